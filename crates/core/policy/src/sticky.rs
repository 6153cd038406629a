//! Cookies that keep a client on one endpoint or choice.
//!
//! Names and values are derived as Traefik derives them, so clients keep their place when a
//! gateway is replaced.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use weft_message::cookie::{self, InvalidCookie, SameSite, SetCookie};
use weft_message::{Fields, ResponseHead};
use weft_model::route::StickyCookie;

/// Length of a value, characters.
const VALUE_BYTES: usize = 16;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What a sticky cookie holds: a digest of a name, which says nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CookieValue([u8; VALUE_BYTES]);

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

/// The value in the request's cookie; `None` when there is none, or one that was never ours.
pub fn read(cookie: &StickyCookie, fields: &Fields) -> Option<CookieValue> {
    cookie::pairs(fields)
        .filter(|(name, _)| *name == cookie.name.as_bytes())
        .find_map(|(_, value)| CookieValue::parse(value))
}

/// Adds the cookie to a response.
///
/// # Errors
///
/// When a setting of the cookie holds what no cookie may.
pub fn write(
    cookie: &StickyCookie,
    value: CookieValue,
    head: &mut ResponseHead,
) -> Result<(), InvalidCookie> {
    let StickyCookie { name, path, domain, http_only, secure, same_site, max_age_secs } = cookie;
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

// === impl CookieValue ===

impl CookieValue {
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
