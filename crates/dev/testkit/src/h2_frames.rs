//! HTTP/2 frame by frame, for what no well-behaved library sends.

use std::io;
use std::net::SocketAddr;

use crate::raw_client::RawClient;
use crate::stream::TlsDial;

/// Kinds of frames (RFC 9113 section 6).
pub mod kind {
    /// DATA
    pub const DATA: u8 = 0;
    /// HEADERS
    pub const HEADERS: u8 = 1;
    /// PRIORITY
    pub const PRIORITY: u8 = 2;
    /// RST_STREAM
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS
    pub const SETTINGS: u8 = 4;
    /// PUSH_PROMISE
    pub const PUSH_PROMISE: u8 = 5;
    /// PING
    pub const PING: u8 = 6;
    /// GOAWAY
    pub const GOAWAY: u8 = 7;
    /// WINDOW_UPDATE
    pub const WINDOW_UPDATE: u8 = 8;
    /// CONTINUATION
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flags {
    /// END_STREAM on DATA and HEADERS
    pub const END_STREAM: u8 = 1;
    /// ACK on SETTINGS and PING
    pub const ACK: u8 = 1;
    /// END_HEADERS on HEADERS and CONTINUATION
    pub const END_HEADERS: u8 = 4;
    /// PADDED on DATA and HEADERS
    pub const PADDED: u8 = 8;
    /// PRIORITY on HEADERS
    pub const PRIORITY: u8 = 0x20;
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// Of [`flags`].
    pub flags: u8,
    /// Stream, 0 for the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A connection that speaks frames.
#[derive(Debug)]
pub struct H2Frames {
    client: RawClient,
}

// === impl H2Frames ===

impl H2Frames {
    /// Connects in the clear and sends the preface with these settings (identifier and value).
    ///
    /// # Panics
    ///
    /// When the connection cannot be made.
    pub fn connect(addr: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::over(RawClient::connect(addr), settings)
    }

    /// The same over TLS.
    ///
    /// # Panics
    ///
    /// As [`H2Frames::connect`], and when the handshake fails.
    pub fn connect_tls(addr: SocketAddr, dial: &TlsDial, settings: &[(u16, u32)]) -> Self {
        Self::over(RawClient::connect_tls(addr, &dial.clone().alpn(&["h2"])), settings)
    }

    /// Sends a frame.
    ///
    /// # Panics
    ///
    /// When the connection is broken.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.try_send(kind, flags, stream, payload).expect("the connection takes frames");
        self
    }

    /// Sends a frame, if the peer still takes it.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.client.try_send(Self::encode(kind, flags, stream, payload))
    }

    /// Sends many frames at once.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn try_send_bytes(&mut self, frames: &[u8]) -> io::Result<()> {
        self.client.try_send(frames)
    }

    /// Changes how long a write waits for the peer to take bytes.
    pub fn set_write_timeout(&mut self, timeout: std::time::Duration) {
        self.client.set_write_timeout(timeout);
    }

    /// A frame's bytes.
    pub fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("frames are small").to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    /// A header block without compression: every field a literal that is not indexed.
    pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                push_length(text.len(), &mut block);
                block.extend_from_slice(text.as_bytes());
            }
        }
        block
    }

    /// The pseudo-fields of a GET, then `more`.
    pub fn get(authority: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        Self::request("GET", authority, path, more)
    }

    /// The pseudo-fields of a request, then `more`.
    pub fn request(method: &str, authority: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let mut fields = vec![
            (":method", method),
            (":scheme", "http"),
            (":authority", authority),
            (":path", path),
        ];
        fields.extend_from_slice(more);
        Self::block(&fields)
    }

    /// Opens a stream with a whole header block.
    pub fn headers(&mut self, stream: u32, block: &[u8], end: bool) -> &mut Self {
        let end = if end { flags::END_STREAM } else { 0 };
        self.send(kind::HEADERS, flags::END_HEADERS | end, stream, block)
    }

    /// The next frame; `None` when the connection has ended. SETTINGS are acknowledged.
    ///
    /// # Panics
    ///
    /// When nothing comes within the deadline.
    pub fn frame(&mut self) -> Option<Frame> {
        match self.try_frame() {
            Ok(frame) => frame,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                panic!("no frame comes")
            }
            Err(_) => None,
        }
    }

    /// Reads on until a frame satisfies `wanted`; `None` when the connection ends first.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        while let Some(frame) = self.frame() {
            if wanted(&frame) {
                return Some(frame);
            }
        }
        None
    }

    /// How a stream ends: its status, or the error of its reset or of the connection.
    ///
    /// # Panics
    ///
    /// When the connection ends without a word.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        let frame = self
            .until(|frame| {
                frame.kind == kind::GOAWAY && frame.error() != Some(0)
                    || frame.stream == stream
                        && matches!(frame.kind, kind::HEADERS | kind::RST_STREAM)
            })
            .expect("the peer says how it ends");
        match frame.kind {
            kind::HEADERS => Outcome::Status(frame.status().expect("a status stands first")),
            kind::RST_STREAM => Outcome::Reset(frame.error().unwrap_or(0)),
            _ => Outcome::GoAway(frame.error().unwrap_or(0)),
        }
    }

    /// Waits until the peer ends the connection; the error code of its GOAWAY, if it sent one.
    pub fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.frame() {
            if frame.kind == kind::GOAWAY {
                code = frame.error();
            }
        }
        code
    }

    fn over(mut client: RawClient, settings: &[(u16, u32)]) -> Self {
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(Self::encode(kind::SETTINGS, 0, 0, &payload));
        Self { client }
    }

    fn try_frame(&mut self) -> io::Result<Option<Frame>> {
        let head = match self.client.read_exact(9) {
            Ok(head) => head,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.client.read_exact(length as usize)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == kind::SETTINGS && frame.flags & flags::ACK == 0 {
            let _ = self.try_send(kind::SETTINGS, flags::ACK, 0, &[]);
        }
        Ok(Some(frame))
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// By a response.
    Status(u16),
    /// By a reset with this error code.
    Reset(u32),
    /// By the end of the connection with this error code.
    GoAway(u32),
}

// === impl Outcome ===

impl Outcome {
    /// Whether the request was refused: an error of the stream or of the connection, or a status
    /// of the 400s.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Status(status) => (400..500).contains(&status),
            Self::Reset(code) | Self::GoAway(code) => code != 0,
        }
    }
}

// === impl Frame ===

impl Frame {
    /// The error code of RST_STREAM and GOAWAY.
    pub fn error(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        let code = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes([code[0], code[1], code[2], code[3]]))
    }

    /// The status, if it stands first in the block: indexed, or a literal.
    pub fn status(&self) -> Option<u16> {
        const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        let first = *self.payload.first()?;
        if (0x88..=0x8e).contains(&first) {
            return STATIC.get(usize::from(first - 0x88)).copied();
        }
        // A literal with the name `:status`; the tables of the peer are new on a new connection.
        if !matches!(first, 0x08 | 0x18 | 0x48) {
            return None;
        }
        let length = *self.payload.get(1)?;
        let value = self.payload.get(2..2 + usize::from(length & 0x7f))?;
        let digits = if length & 0x80 == 0 { value.to_vec() } else { huffman_digits(value)? };
        String::from_utf8(digits).ok()?.parse().ok()
    }
}

/// Three digits of HPACK's code (RFC 7541 appendix B): `0` to `2` have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<bool> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1 == 1))
        .collect();
    let mut digits = Vec::new();
    let mut at = 0;
    let number = |bits: &[bool]| bits.iter().fold(0_u8, |sum, bit| sum << 1 | u8::from(*bit));
    while digits.len() < 3 {
        let five = number(bits.get(at..at + 5)?);
        if five <= 2 {
            digits.push(b'0' + five);
            at += 5;
        } else {
            let six = number(bits.get(at..at + 6)?);
            digits.push(b'3' + six.checked_sub(0b01_1001)?);
            at += 6;
        }
    }
    Some(digits)
}

fn push_length(length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    block.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::H2Origin;

    #[test]
    fn a_real_server_understands_the_frames() {
        let origin = H2Origin::start("one");
        let mut frames = H2Frames::connect(origin.addr(), &[]);
        for (stream, path, status) in [
            (1, "/", 200),
            (3, "/status/404", 404),
            (5, "/status/431", 431),
            (7, "/status/502", 502),
        ] {
            let long = "v".repeat(300);
            frames.headers(stream, &H2Frames::get("a.test", path, &[("x-long", &long)]), true);
            assert_eq!(frames.outcome(stream), Outcome::Status(status));
        }
        assert_eq!(origin.streams()[0].echo.header("x-long").map(str::len), Some(300));
        frames.headers(9, &H2Frames::get("a.test", "/reset", &[]), true);
        assert_eq!(frames.outcome(9), Outcome::Reset(2));
        // A frame for no stream is an error of the connection.
        frames.send(kind::DATA, 0, 0, b"x");
        assert_eq!(frames.goaway(), Some(1));
    }
}
