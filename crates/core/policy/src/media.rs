//! Small pieces of grammar: lists, parameters, quality values, media types, percent-encoding.

#[cfg(test)]
mod tests;

/// The elements of a comma-separated list (RFC 9110 section 5.6.1), trimmed, without empty ones.
/// A comma in a quoted string does not separate.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_unquoted(value, b',').filter(|element| !element.is_empty())
}

/// What stands before the first semicolon, trimmed, and the rest.
pub(crate) fn split_parameters(element: &[u8]) -> (&[u8], &[u8]) {
    match element.iter().position(|&byte| byte == b';') {
        Some(at) => (element[..at].trim_ascii(), &element[at + 1..]),
        None => (element.trim_ascii(), &[]),
    }
}

/// Parameters as name and value, without quotes.
pub(crate) fn parameters(rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    split_unquoted(rest, b';').filter(|part| !part.is_empty()).map(|part| {
        let at = part.iter().position(|&byte| byte == b'=').unwrap_or(part.len());
        let value = part.get(at + 1..).unwrap_or_default().trim_ascii();
        (part[..at].trim_ascii(), unquote(value))
    })
}

/// The weight `q` in thousandths (RFC 9110 section 12.4.2): 1000 when there is none, 0 when it is
/// malformed.
pub(crate) fn quality(rest: &[u8]) -> u16 {
    parameters(rest)
        .find(|(name, _)| name.eq_ignore_ascii_case(b"q"))
        .map_or(1000, |(_, value)| parse_quality(value))
}

/// Whether a media type is the one that a setting names: with parameters in the setting, they must
/// be the same; without, they do not matter.
pub(crate) fn is_media_type(setting: &[u8], media_type: &[u8]) -> bool {
    let (wanted, wanted_parameters) = split_parameters(setting);
    let (name, found_parameters) = split_parameters(media_type);
    if !wanted.eq_ignore_ascii_case(name) {
        return false;
    }
    let wanted_count = parameters(wanted_parameters).count();
    wanted_count == 0
        || (wanted_count == parameters(found_parameters).count()
            && parameters(wanted_parameters).all(|(name, value)| {
                parameters(found_parameters).any(|(found, found_value)| {
                    found.eq_ignore_ascii_case(name) && found_value == value
                })
            }))
}

/// Appends `bytes`, those that `plain` does not take as `%XX`.
pub(crate) fn percent_encode(bytes: &[u8], plain: impl Fn(u8) -> bool, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii() && plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// The unreserved bytes of a URI (RFC 3986 section 2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn parse_quality(value: &[u8]) -> u16 {
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return 0,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return 0,
    };
    for (digit, unit) in fraction.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return 0;
        }
        thousandths += u16::from(digit - b'0') * unit;
    }
    if thousandths > 1000 { 0 } else { thousandths }
}

fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |&byte| {
            if escaped {
                escaped = false;
            } else if quoted && byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                quoted = !quoted;
            }
            byte == separator && !quoted && !escaped
        })
        .map(<[u8]>::trim_ascii)
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}
