//! Durations as users write them.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration")]
pub struct InvalidDuration {
    text: String,
}

/// Parses a Go duration (`250ms`, `1m30s`, `1.5h`), or a bare whole number of seconds.
///
/// # Errors
///
/// For anything else, negative durations and durations above 290 years included (Go's own bound).
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration { text: text.into() };
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Ok(secs) = unsigned.parse::<u32>() {
        return Ok(Duration::from_secs(secs.into()));
    }
    let mut rest = unsigned;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number_len =
            rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let amount = scaled(number, unit_nanos(unit).ok_or_else(invalid)?).ok_or_else(invalid)?;
        nanos = nanos.checked_add(amount).ok_or_else(invalid)?;
        rest = tail;
    }
    if unsigned.is_empty() || nanos > i64::MAX as u128 {
        return Err(invalid());
    }
    Ok(Duration::from_nanos(nanos as u64))
}

/// Parses a Gateway API duration (GEP-2257): `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
///
/// # Errors
///
/// For anything else.
pub fn parse_gateway_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration { text: text.into() };
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if !(1..=5).contains(&digits) {
            return Err(invalid());
        }
        let amount: u64 = number.parse().map_err(|_| invalid())?;
        let unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(unit);
        total += match unit {
            "h" => Duration::from_secs(amount * 3600),
            "m" => Duration::from_secs(amount * 60),
            "s" => Duration::from_secs(amount),
            "ms" => Duration::from_millis(amount),
            _ => return Err(invalid()),
        };
        rest = tail;
        if rest.is_empty() {
            return Ok(total);
        }
    }
    Err(invalid())
}

/// Parses a duration of Linkerd's annotations: a whole number and one of `ms`, `s`, `m`, `h` and
/// `d`; zero needs no unit.
///
/// # Errors
///
/// For anything else.
pub fn parse_linkerd_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration { text: text.into() };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let amount: u64 = number.parse().map_err(|_| invalid())?;
    let millis = match unit {
        "" if amount == 0 => 0,
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(invalid()),
    };
    amount.checked_mul(millis).map(Duration::from_millis).ok_or_else(invalid)
}

/// Shows a duration as it would be written: `250ms`, `1m30s`.
pub fn format_duration(value: Duration) -> String {
    let (mut secs, millis, nanos) = (value.as_secs(), value.subsec_millis(), value.subsec_nanos());
    if value.is_zero() {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, size) in [("h", 3600), ("m", 60), ("s", 1)] {
        if secs >= size {
            out.push_str(&format!("{}{unit}", secs / size));
            secs %= size;
        }
    }
    if nanos % 1_000_000 != 0 {
        out.push_str(&format!("{nanos}ns"));
    } else if millis > 0 {
        out.push_str(&format!("{millis}ms"));
    }
    out
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A decimal number times a unit, without floating point.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { u64_of(whole)?.into() };
    let part: u128 = if fraction.is_empty() { 0 } else { u64_of(fraction)?.into() };
    let scale = 10_u128.pow(fraction.len() as u32);
    Some(whole.checked_mul(unit)? + part * unit / scale)
}

fn u64_of(digits: &str) -> Option<u64> {
    digits.parse().ok()
}
