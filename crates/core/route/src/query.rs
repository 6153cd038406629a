//! Query parameters compared in place: decoding what a client sent must not allocate.

use smallvec::SmallVec;
use weft_model::text::TextMatch;

/// Decoded values up to this stay on the stack.
const VALUE_BYTES_INLINE: usize = 512;

/// The bytes of a name or value, decoded as HTML forms are: `+` is a space, a malformed escape
/// stands for itself.
struct Decoded<'a> {
    rest: &'a [u8],
}

/// Whether some value of `name` satisfies `wanted`. Agrees with
/// [`query_values`](weft_message::RequestHead::query_values).
pub(crate) fn query_holds(query: Option<&str>, name: &str, wanted: &TextMatch) -> bool {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    pairs.filter(|pair| !pair.is_empty()).any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decodes_to(key, name) && value_holds(value, wanted)
    })
}

fn value_holds(value: &str, wanted: &TextMatch) -> bool {
    match wanted {
        TextMatch::Present => true,
        TextMatch::Exact(text) => decodes_to(value, text),
        TextMatch::Regex(pattern) if is_plain(value) => pattern.is_match(value),
        TextMatch::Regex(pattern) => {
            let decoded: SmallVec<[u8; VALUE_BYTES_INLINE]> = Decoded::of(value).collect();
            match std::str::from_utf8(&decoded) {
                Ok(decoded) => pattern.is_match(decoded),
                Err(_) => pattern.is_match(&String::from_utf8_lossy(&decoded)),
            }
        }
    }
}

fn decodes_to(encoded: &str, text: &str) -> bool {
    if is_plain(encoded) {
        return encoded == text;
    }
    // Bytes that are no UTF-8 read as this character.
    if text.contains(char::REPLACEMENT_CHARACTER) {
        let decoded: SmallVec<[u8; VALUE_BYTES_INLINE]> = Decoded::of(encoded).collect();
        return String::from_utf8_lossy(&decoded) == text;
    }
    Decoded::of(encoded).eq(text.bytes())
}

fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'%' | b'+'))
}

// === impl Decoded ===

impl<'a> Decoded<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text.as_bytes() }
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.rest = rest;
            return u8::try_from(high * 16 + low).ok();
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(if *first == b'+' { b' ' } else { *first })
    }
}

#[cfg(test)]
mod tests;
