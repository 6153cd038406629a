//! gRPC messages by hand: a byte for compression, four for the length, then the message.

/// The end of a gRPC call, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcReply {
    /// HTTP status.
    pub http_status: u16,
    /// `grpc-status`, from the trailers or, when there are none, from the head.
    pub status: Option<i32>,
    /// `grpc-message`.
    pub message: String,
    /// The messages.
    pub messages: Vec<Vec<u8>>,
    /// Whether the status came in real trailers.
    pub has_trailers: bool,
}

/// A message with its prefix.
pub fn encode_message(message: impl AsRef<[u8]>) -> Vec<u8> {
    let message = message.as_ref();
    let mut out = vec![0];
    out.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// Takes whole messages from the front of `buffer`.
pub fn decode_messages(buffer: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some(prefix) = buffer.get(..5) {
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let Some(message) = buffer.get(5..5 + length) else { break };
        messages.push(message.to_vec());
        buffer.drain(..5 + length);
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_cut() {
        let bytes = [encode_message("one"), encode_message(""), encode_message("three")].concat();
        for cut in 0..bytes.len() {
            let mut buffer = bytes[..cut].to_vec();
            let mut messages = decode_messages(&mut buffer);
            buffer.extend_from_slice(&bytes[cut..]);
            messages.extend(decode_messages(&mut buffer));
            assert_eq!(messages, [b"one".to_vec(), Vec::new(), b"three".to_vec()]);
            assert!(buffer.is_empty());
        }
    }
}
