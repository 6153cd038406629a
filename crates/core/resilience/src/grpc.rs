//! What gRPC says in fields of HTTP (gRPC over HTTP/2), and how its statuses are counted and answered.

/// The HTTP status that says about the same as a gRPC status (`google.rpc.Code`), as Envoy takes it.
/// A number that gRPC does not define counts as UNKNOWN does.
///
/// ```
/// assert_eq!(weft_resilience::grpc::http_status(14), 503); // UNAVAILABLE
/// ```
#[must_use]
pub const fn http_status(code: u32) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// Whether a content type is gRPC's, whatever its encoding of messages; gRPC-Web's is not.
///
/// ```
/// assert!(weft_resilience::grpc::is_content_type(b"application/grpc+proto"));
/// ```
#[must_use]
pub fn is_content_type(value: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    match value.split_at_checked(NAME.len()) {
        Some((name, rest)) if name.eq_ignore_ascii_case(NAME) => {
            matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
