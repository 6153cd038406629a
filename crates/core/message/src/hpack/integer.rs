//! Integers with a prefix (RFC 7541 section 5.1).

use super::DecodeError;

/// Bytes after the prefix that are looked at. Five hold every number of 32 bits; more are refused,
/// zeros too, so that a number has a bounded length.
const MORE_BYTES_MAX: u32 = 5;

/// Takes an integer from the front of `input`, whose first byte has the prefix in its low
/// `prefix_bits`.
#[inline]
pub(super) fn decode(input: &mut &[u8], prefix_bits: u32) -> Result<u32, DecodeError> {
    let (&first, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
    let mask = (1u32 << prefix_bits) - 1;
    let prefix = u32::from(first) & mask;
    *input = rest;
    if prefix < mask { Ok(prefix) } else { decode_more(input, mask) }
}

#[cold]
fn decode_more(input: &mut &[u8], mask: u32) -> Result<u32, DecodeError> {
    let mut value = u64::from(mask);
    for at in 0..MORE_BYTES_MAX {
        let (&byte, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
        *input = rest;
        value += u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| DecodeError::IntegerOverflow);
        }
    }
    Err(DecodeError::IntegerOverflow)
}

/// Appends an integer whose first byte has `pattern` above its low `prefix_bits`.
#[inline]
pub(super) fn encode(value: usize, prefix_bits: u32, pattern: u8, out: &mut Vec<u8>) {
    let mask = (1usize << prefix_bits) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests;
