//! Cookies and headers that keep a client on one endpoint or choice.
//!
//! Names and values of cookies are derived as Traefik derives them, so clients keep their place when a
//! gateway is replaced.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use weft_message::cookie::{self, InvalidCookie, SameSite, SetCookie};
use weft_message::{Fields, ResponseHead};
use weft_model::route::{Affinity, Cookie, SessionHeader, Word};

/// Length of a value, characters.
const VALUE_BYTES: usize = 16;

/// Between the words of a header.
const SEPARATOR: u8 = b'.';

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What a client brings along for a choice, in a cookie or as a word of a header: a digest of the
/// choice's name, which says nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark([u8; VALUE_BYTES]);

/// The name of a cookie: `configured`, with what may not stand in a cookie name as `_`, or one made
/// from the name of the service when nothing is configured.
pub fn cookie_name(configured: &str, service: &str) -> String {
    if !configured.is_empty() {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^`|~".contains(*c);
        return configured.chars().map(|c| if plain(&c) { c } else { '_' }).collect();
    }
    let digest = Sha1::new().chain_update("_TRAEFIK_BACKEND_").chain_update(service).finalize();
    let mut name = String::from("_");
    name.extend(hex(&digest).take(5).map(char::from));
    name
}

/// The value that a request brings; `None` when there is none, or one that was never ours.
pub fn read(affinity: &Affinity, fields: &Fields) -> Option<Mark> {
    match affinity {
        Affinity::Cookie(cookie) => cookie::pairs(fields)
            .filter(|(name, _)| *name == cookie.name.as_bytes())
            .find_map(|(_, value)| Mark::parse(value)),
        Affinity::Header(header) => read_word(&header.name, header.word, fields),
    }
}

/// Adds what was chosen to the answer to a request with these fields. A word of a header that was not
/// chosen anew stays as the request has brought it.
///
/// # Errors
///
/// When a setting holds what no cookie or header may; all others are added.
pub fn write_all<'a>(
    chosen: impl Iterator<Item = (&'a Affinity, Mark)> + Clone,
    brought: &Fields,
    head: &mut ResponseHead,
) -> Result<(), InvalidCookie> {
    let mut written = Ok(());
    for (affinity, value) in chosen.clone() {
        written = written.and(match affinity {
            Affinity::Cookie(cookie) => write(cookie, value, head),
            Affinity::Header(SessionHeader { name, .. }) => {
                let header = Header::new(name, chosen.clone(), brought);
                head.fields.set(&**name, header.as_bytes()).map_err(InvalidCookie::Field)
            }
        });
    }
    written
}

fn read_word(name: &str, word: Word, fields: &Fields) -> Option<Mark> {
    let mut words = fields.get(name)?.split(|byte| *byte == SEPARATOR);
    Mark::parse(match word {
        Word::Backend => words.next()?,
        Word::Endpoint => words.next_back()?,
    })
}

/// Adds the cookie to a response.
fn write(cookie: &Cookie, value: Mark, head: &mut ResponseHead) -> Result<(), InvalidCookie> {
    let Cookie { name, path, domain, http_only, secure, same_site, max_age_secs } = cookie;
    let max_age = match u64::try_from(*max_age_secs) {
        Ok(0) => None,
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // Deletes it.
        Err(_) => Some(Duration::ZERO),
    };
    let same_site =
        [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)]
            .into_iter()
            .find_map(|(text, mode)| same_site.eq_ignore_ascii_case(text).then_some(mode));
    SetCookie {
        name,
        value: value.as_str(),
        path,
        domain,
        max_age,
        secure: *secure,
        http_only: *http_only,
        same_site,
    }
    .append_to(&mut head.fields)
}

/// The value of a header that keeps a client on its choices.
struct Header {
    text: [u8; 2 * VALUE_BYTES + 1],
    len: usize,
}

// === impl Header ===

impl Header {
    /// Of what was chosen under a name, and else of what a request has brought.
    fn new<'a>(
        name: &str,
        chosen: impl Iterator<Item = (&'a Affinity, Mark)> + Clone,
        brought: &Fields,
    ) -> Self {
        // A header of one word has none for a backend.
        let is_whole = brought.get(name).is_some_and(|value| value.contains(&SEPARATOR));
        let mut header = Self { text: [SEPARATOR; _], len: 0 };
        for word in [Word::Backend, Word::Endpoint] {
            let is_it = |(one, _): &(&Affinity, Mark)| match one {
                Affinity::Header(one) => *one.name == *name && one.word == word,
                Affinity::Cookie(_) => false,
            };
            let new = chosen.clone().find(is_it).map(|(_, value)| value);
            let old = || read_word(name, word, brought).filter(|_| is_whole);
            if let Some(value) = new.or_else(old) {
                let begin = if header.len == 0 { 0 } else { header.len + 1 };
                header.len = begin + VALUE_BYTES;
                header.text[begin..header.len].copy_from_slice(&value.0);
            }
        }
        header
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

// === impl Mark ===

impl Mark {
    /// The value that stands for an endpoint or choice of this name: the first 16 hexadecimal
    /// digits of its SHA-256. Made when a plan is built, not for each request.
    pub fn of(name: &str) -> Self {
        let mut value = [0; VALUE_BYTES];
        for (out, digit) in value.iter_mut().zip(hex(&Sha256::digest(name))) {
            *out = digit;
        }
        Self(value)
    }

    /// Reads a value as it stands in a cookie, without quotes.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let value: [u8; VALUE_BYTES] = text.try_into().ok()?;
        value.iter().all(|digit| DIGITS.contains(digit)).then_some(Self(value))
    }

    /// The value as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn hex(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)])
}
