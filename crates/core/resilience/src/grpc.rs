//! Statuses of gRPC in the terms of HTTP, as which they are counted and answered.

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
