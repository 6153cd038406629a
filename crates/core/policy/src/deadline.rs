//! How long a request may take, as the request itself says.
//!
//! gRPC says it in `grpc-timeout` (`500m`), Envoy in `x-envoy-expected-rq-timeout-ms`. Both say how
//! much time is left when the request is sent, so each hop writes them anew.

#[cfg(test)]
mod tests;

use std::time::Duration;

use weft_message::{Fields, Known};

/// The most digits of a `grpc-timeout`.
const DIGITS_MAX: usize = 8;

/// The units of a `grpc-timeout`, each in nanoseconds, the finest first.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// Which fields say how much time is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// `grpc-timeout`.
    pub grpc: bool,
    /// `x-envoy-expected-rq-timeout-ms`.
    pub envoy: bool,
}

/// The time that a request has from when it was sent, as it says, and where. What cannot be read
/// says nothing.
pub fn read(fields: &Fields) -> (Option<Duration>, Told) {
    let grpc = fields.get(Known::GrpcTimeout).and_then(parse_grpc);
    let envoy = fields.get_str(Known::XEnvoyExpectedRqTimeoutMs);
    // None at all is how Envoy says that there is no bound.
    let envoy = envoy.and_then(|value| value.parse().ok()).filter(|millis| *millis > 0);
    let told = Told { grpc: grpc.is_some(), envoy: envoy.is_some() };
    (grpc.into_iter().chain(envoy.map(Duration::from_millis)).min(), told)
}

/// Says how much time is left, in place of what was said before.
pub fn write(fields: &mut Fields, left: Duration, told: Told) {
    // Digits and a letter are a valid value; a head without room for them came without them.
    if told.grpc {
        let (number, unit) = grpc_parts(left);
        let _ = fields.set(Known::GrpcTimeout, format!("{number}{unit}").as_bytes());
    }
    if told.envoy {
        let millis = left.as_millis().max(1).to_string();
        let _ = fields.set(Known::XEnvoyExpectedRqTimeoutMs, millis.as_bytes());
    }
}

/// Removes what says how much time is left.
pub fn remove(fields: &mut Fields) {
    fields.remove(Known::GrpcTimeout);
    fields.remove(Known::XEnvoyExpectedRqTimeoutMs);
}

/// `TimeoutValue TimeoutUnit` of gRPC over HTTP/2.
fn parse_grpc(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let nanos = UNITS.iter().find(|(known, _)| known == unit)?.1;
    Some(Duration::from_nanos(number.saturating_mul(nanos)))
}

/// The finest unit, milliseconds at best unless that is nothing, in which the number has room.
fn grpc_parts(left: Duration) -> (u64, char) {
    let nanos = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
    let coarse = nanos >= 100_000_000;
    let units = if coarse { &UNITS[2..] } else { &UNITS[1..] };
    let fits = |(_, unit): &&(u8, u64)| nanos / unit < 10_u64.pow(DIGITS_MAX as u32);
    let (name, unit) = units.iter().find(fits).unwrap_or(&UNITS[5]);
    (nanos / unit, char::from(*name))
}
