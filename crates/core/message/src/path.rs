//! The canonical path: one reading for every part of the gateway and for the upstream.

use thiserror::Error;

use crate::bytes::{ByteSet, hex_value};
use crate::error::ErrorClass;

/// What may stand in a path although it is refused by default.
///
/// Whatever is allowed here stays encoded: nothing decodes a slash into a separator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathRules {
    /// Takes `%2F`. Default: refused.
    pub allow_encoded_slash: bool,
    /// Takes `%5C`. Default: refused.
    pub allow_encoded_backslash: bool,
    /// Takes `%00`. Default: refused.
    pub allow_encoded_nul: bool,
    /// Takes escapes that are no UTF-8, such as `%E9`. Default: refused.
    pub allow_non_utf8: bool,
}

/// Why a request target or a part of it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidTarget {
    /// Not a form that the method takes (RFC 9112 section 3.2).
    #[error("the target has no form that the method takes")]
    Form,
    /// The scheme of an absolute target is neither `http` nor `https`.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// A control byte or a space.
    #[error("a control byte or a space is in the target")]
    Control,
    /// A byte of 0x80 or above that is not percent-encoded.
    #[error("a byte that is not ASCII is in the target")]
    NonAscii,
    /// A fragment, which is never sent.
    #[error("a fragment is in the target")]
    Fragment,
    /// A backslash, which some servers read as a slash.
    #[error("a backslash is in the path")]
    Backslash,
    /// `%2F`.
    #[error("an encoded slash is in the path")]
    EncodedSlash,
    /// `%5C`.
    #[error("an encoded backslash is in the path")]
    EncodedBackslash,
    /// `%00`.
    #[error("an encoded NUL is in the path")]
    EncodedNul,
    /// A percent sign without two hexadecimal digits.
    #[error("an escape in the path is malformed")]
    Escape,
    /// Escapes that are no UTF-8, overlong forms among them.
    #[error("the escapes in the path are not UTF-8")]
    Utf8,
    /// A dot, slash, backslash or NUL that is encoded twice.
    #[error("a path separator is encoded twice")]
    DoubleEncoding,
    /// A dot segment that hides behind a parameter or an encoded separator: `..;x=y`.
    #[error("a dot segment has parameters")]
    DotSegment,
    /// `..` above the root.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// The path given to [`RequestHead::set_path`](crate::RequestHead::set_path) differs from its
    /// canonical form.
    #[error("the path is not in its canonical form")]
    NotCanonical,
}

/// Bytes that need no look: `pchar` without the percent sign (RFC 3986 section 3.3), the slash,
/// and brackets, which browsers send as they are.
const PLAIN: ByteSet = ByteSet::alphanumeric_and(b"-._~!$&'()*+,;=:@/[]");

/// Bytes that may not stand raw in a path but are sent so; they are taken and encoded.
const ENCODED: ByteSet = ByteSet::of(b"\"<>^`{|}");

/// Class of each byte for the fast look at a path.
const CLASS: [u8; 256] = class_table();
const ODD: u8 = 1;
const SLASH: u8 = 2;
const SLASH_OR_DOT: u8 = 4;

// === impl PathRules ===

impl PathRules {
    /// Everything that can be allowed. For checking paths that were accepted before.
    pub const PERMISSIVE: Self = Self {
        allow_encoded_slash: true,
        allow_encoded_backslash: true,
        allow_encoded_nul: true,
        allow_non_utf8: true,
    };
}

// === impl InvalidTarget ===

impl InvalidTarget {
    pub(crate) fn class(self) -> ErrorClass {
        match self {
            Self::Form | Self::Scheme | Self::Control | Self::NonAscii | Self::Escape => {
                ErrorClass::Malformed
            }
            Self::Fragment
            | Self::Backslash
            | Self::EncodedSlash
            | Self::EncodedBackslash
            | Self::EncodedNul
            | Self::Utf8
            | Self::DoubleEncoding
            | Self::DotSegment
            | Self::AboveRoot
            | Self::NotCanonical => ErrorClass::Ambiguous,
        }
    }
}

// === functions ===

/// The canonical form of a path, as requests have it: unreserved characters decoded, escapes in
/// upper case, `.`, `..` and empty segments removed. A trailing slash stays.
///
/// For the paths of configuration; requests get theirs when they are parsed.
///
/// # Errors
///
/// When `path` does not start with a slash, or has more than one reading.
pub fn canonical_path(path: &str, rules: &PathRules) -> Result<String, InvalidTarget> {
    let mut out = Vec::with_capacity(path.len());
    push_canonical(path.as_bytes(), rules, &mut out)?;
    String::from_utf8(out).map_err(|_| InvalidTarget::NonAscii)
}

/// Appends the canonical form of `path`, which is ASCII, to `out`. After an error, what follows
/// the old end of `out` is of no use.
#[inline]
pub(crate) fn push_canonical(
    path: &[u8],
    rules: &PathRules,
    out: &mut Vec<u8>,
) -> Result<(), InvalidTarget> {
    if path.first() != Some(&b'/') {
        return Err(InvalidTarget::Form);
    }
    if is_plain(path) {
        out.extend_from_slice(path);
        return Ok(());
    }
    push_normalised(path, rules, out)
}

/// Whether the path is canonical as it stands, told from single bytes and pairs.
#[inline]
fn is_plain(path: &[u8]) -> bool {
    let mut odd = 0;
    let mut before = 0;
    for &byte in path {
        let class = CLASS[usize::from(byte)];
        // A slash or dot right after a slash: `before` has SLASH where `class` has SLASH_OR_DOT.
        odd |= class | ((before << 1) & class) >> 2;
        before = class & SLASH;
    }
    odd & ODD == 0
}

#[cold]
#[inline(never)]
fn push_normalised(path: &[u8], rules: &PathRules, out: &mut Vec<u8>) -> Result<(), InvalidTarget> {
    let base = out.len();
    push_escapes_normalised(path, rules, out)?;
    if has_double_encoding(&out[base..]) {
        return Err(InvalidTarget::DoubleEncoding);
    }
    if !is_plain(&out[base..]) {
        let end = remove_dot_segments(out, base)?;
        out.truncate(end);
    }
    Ok(())
}

/// Decodes unreserved characters, encodes what may not stand raw, and refuses the ambiguous.
fn push_escapes_normalised(
    path: &[u8],
    rules: &PathRules,
    out: &mut Vec<u8>,
) -> Result<(), InvalidTarget> {
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        if byte == b'%' {
            at += push_escape(&path[at..], rules, out)?;
            continue;
        }
        at += 1;
        if PLAIN.has(byte) {
            out.push(byte);
        } else if ENCODED.has(byte) {
            push_encoded(byte, out);
        } else {
            return Err(match byte {
                b'\\' => InvalidTarget::Backslash,
                b'#' => InvalidTarget::Fragment,
                b'?' => InvalidTarget::Form,
                0x80.. => InvalidTarget::NonAscii,
                _ => InvalidTarget::Control,
            });
        }
    }
    Ok(())
}

/// Takes the escape at the start of `rest`, or the several that make one character; how many
/// bytes they have.
fn push_escape(rest: &[u8], rules: &PathRules, out: &mut Vec<u8>) -> Result<usize, InvalidTarget> {
    let byte = escape(rest).ok_or(InvalidTarget::Escape)?;
    match byte {
        b'/' if !rules.allow_encoded_slash => return Err(InvalidTarget::EncodedSlash),
        b'\\' if !rules.allow_encoded_backslash => return Err(InvalidTarget::EncodedBackslash),
        0 if !rules.allow_encoded_nul => return Err(InvalidTarget::EncodedNul),
        0x80.. if !rules.allow_non_utf8 => return push_escaped_char(byte, rest, out),
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
        _ => push_encoded(byte, out),
    }
    Ok(3)
}

/// Takes the two to four escapes of one character that is not ASCII.
fn push_escaped_char(first: u8, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, InvalidTarget> {
    let len = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Err(InvalidTarget::Utf8),
    };
    let mut bytes = [0u8; 4];
    for (index, slot) in bytes[..len].iter_mut().enumerate() {
        *slot = rest.get(index * 3..).and_then(escape).ok_or(InvalidTarget::Utf8)?;
    }
    if std::str::from_utf8(&bytes[..len]).is_err() {
        return Err(InvalidTarget::Utf8);
    }
    bytes[..len].iter().for_each(|&byte| push_encoded(byte, out));
    Ok(len * 3)
}

/// The byte that `%XX` at the start of `rest` stands for.
fn escape(rest: &[u8]) -> Option<u8> {
    match rest {
        [b'%', high, low, ..] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
    out.extend_from_slice(&[b'%', high, low]);
}

/// Whether `%25` starts an escape that, decoded once or more often, is a dot, a slash, a
/// backslash or a NUL.
fn has_double_encoding(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).any(|at| {
        let Some(mut rest) = path[at..].strip_prefix(b"%25") else { return false };
        while let Some(deeper) = rest.strip_prefix(b"25") {
            rest = deeper;
        }
        matches!(rest, [high, low, ..] if matches!(
            (hex_value(*high), hex_value(*low)),
            (Some(2), Some(0xe | 0xf)) | (Some(5), Some(0xc)) | (Some(0), Some(0))
        ))
    })
}

/// Removes `.`, `..` and empty segments of the path from `base` to the end, in place; the new
/// end. A trailing slash stays, as Traefik's `sanitizePath` has it.
fn remove_dot_segments(bytes: &mut [u8], base: usize) -> Result<usize, InvalidTarget> {
    let trailing_slash = bytes.ends_with(b"/");
    let mut write = base;
    let mut read = base + 1;
    while read <= bytes.len() {
        let end = memchr::memchr(b'/', &bytes[read..]).map_or(bytes.len(), |at| read + at);
        match &bytes[read..end] {
            b"" | b"." => {}
            b".." => {
                let kept = memchr::memrchr(b'/', &bytes[base..write]);
                write = base + kept.ok_or(InvalidTarget::AboveRoot)?;
            }
            segment if hides_dots(segment) => return Err(InvalidTarget::DotSegment),
            _ => {
                bytes[write] = b'/';
                bytes.copy_within(read..end, write + 1);
                write += 1 + (end - read);
            }
        }
        read = end + 1;
    }
    if trailing_slash || write == base {
        bytes[write] = b'/';
        write += 1;
    }
    Ok(write)
}

/// Whether another reader may take the segment, or a part between encoded separators, for a dot
/// segment.
fn hides_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let part_end = memchr::memchr_iter(b'%', rest)
            .find(|&at| matches!(&rest[at..], [b'%', b'2', b'F', ..] | [b'%', b'5', b'C', ..]));
        let part = &rest[..part_end.unwrap_or(rest.len())];
        let is_cut = part.len() < segment.len();
        let after_dots = part.strip_prefix(b"..").or_else(|| part.strip_prefix(b"."));
        match after_dots {
            Some([]) if is_cut => return true,
            Some([b';', ..] | [b'%', b'3', b'B', ..] | [b'%', b'0', b'0', ..]) => return true,
            _ => {}
        }
        match part_end {
            Some(at) => rest = &rest[at + 3..],
            None => return false,
        }
    }
}

const fn class_table() -> [u8; 256] {
    let mut table = [ODD; 256];
    let mut byte = 0;
    while byte < 256 {
        if PLAIN.has(byte as u8) {
            table[byte] = 0;
        }
        byte += 1;
    }
    table[b'/' as usize] = SLASH | SLASH_OR_DOT;
    table[b'.' as usize] = SLASH_OR_DOT;
    table
}

#[cfg(test)]
mod tests;
