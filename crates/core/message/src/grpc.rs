//! What heads and trailers of gRPC say (gRPC over HTTP/2).

use crate::fields::Fields;
use crate::known::Known;

#[cfg(test)]
mod tests;

/// Whether the message is one of gRPC, by its content type.
pub fn is_grpc(fields: &Fields) -> bool {
    fields.get(Known::ContentType).is_some_and(is_content_type)
}

/// Whether the content type is gRPC's, whatever its encoding of messages; gRPC-Web's is not.
pub fn is_content_type(value: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    match value.split_at_checked(NAME.len()) {
        Some((name, rest)) if name.eq_ignore_ascii_case(NAME) => {
            matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
        }
        _ => false,
    }
}

/// The status of a call, which trailers have, or a head that no message follows. `None` when there
/// is none, or none that is a number.
pub fn status(fields: &Fields) -> Option<u32> {
    fields.get_str(Known::GrpcStatus)?.trim_ascii().parse().ok()
}
