//! What heads and trailers of gRPC say (gRPC over HTTP/2).

use crate::fields::Fields;
use crate::known::Known;

#[cfg(test)]
mod tests;

/// The status of a call, which trailers have, or a head that no message follows. `None` when there
/// is none, or none that is a number.
pub fn status(fields: &Fields) -> Option<u32> {
    fields.get_str(Known::GrpcStatus)?.trim_ascii().parse().ok()
}
