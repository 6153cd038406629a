//! Password hashes as `htpasswd` writes them.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// The highest bcrypt cost taken. One check at 16 holds a core for about four seconds; more is a
/// way to stop a gateway by asking it.
pub const BCRYPT_COST_MAX: u32 = 16;

/// Longer passwords are wrong without being hashed. It bounds the work that a stranger can order.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// A stored password hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordHash<'a> {
    /// `$2a$`, `$2b$`, `$2x$` or `$2y$`.
    Bcrypt(&'a str),
    /// `$apr1$salt$hash`, or `$1$salt$hash`: a thousand rounds of MD5.
    Md5 {
        /// `$apr1$` or `$1$`.
        magic: &'a str,
        /// At most eight characters.
        salt: &'a str,
        /// Twenty-two characters.
        hash: &'a str,
    },
    /// `{SHA}` and the digest in base64.
    Sha1([u8; 20]),
}

/// The text is no hash that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnsupportedHash {
    /// It starts like none of the known kinds; plain text passwords and DES `crypt` are refused.
    #[error("the password hash is not bcrypt, $apr1$, $1$ or {{SHA}}")]
    Kind,
    /// It starts like a known kind and goes on differently.
    #[error("the password hash is malformed")]
    Malformed,
    /// Above [`BCRYPT_COST_MAX`].
    #[error("the bcrypt cost {0} is above {BCRYPT_COST_MAX}")]
    Cost(u32),
}

// === impl PasswordHash ===

impl<'a> PasswordHash<'a> {
    /// Reads a stored hash.
    ///
    /// # Errors
    ///
    /// When it cannot be checked; a user with such a hash could never log in.
    pub fn parse(text: &'a str) -> Result<Self, UnsupportedHash> {
        if let Some(digest) = text.strip_prefix("{SHA}") {
            let digest = STANDARD.decode(digest).map_err(|_| UnsupportedHash::Malformed)?;
            let digest = digest.try_into().map_err(|_| UnsupportedHash::Malformed)?;
            return Ok(Self::Sha1(digest));
        }
        for magic in ["$apr1$", "$1$"] {
            if let Some(rest) = text.strip_prefix(magic) {
                let (salt, hash) = rest.split_once('$').ok_or(UnsupportedHash::Malformed)?;
                let sound = salt.len() <= 8 && hash.len() == MD5_CRYPT_BYTES;
                let found = Self::Md5 { magic, salt, hash };
                return if sound { Ok(found) } else { Err(UnsupportedHash::Malformed) };
            }
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return parse_bcrypt(text);
        }
        Err(UnsupportedHash::Kind)
    }

    /// Whether checking takes so long (milliseconds and more) that it must not be done where
    /// requests are served.
    pub fn is_costly(self) -> bool {
        match self {
            Self::Bcrypt(_) | Self::Md5 { .. } => true,
            Self::Sha1(_) => false,
        }
    }

    /// Whether `password` is the one hashed. The time taken does not depend on how much of it is
    /// right.
    pub fn verify(self, password: &[u8]) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        match self {
            Self::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            Self::Md5 { magic, salt, hash } => {
                let found = md5_crypt(password, salt.as_bytes(), magic.as_bytes());
                found.ct_eq(hash.as_bytes()).into()
            }
            Self::Sha1(digest) => Sha1::digest(password).as_slice().ct_eq(&digest).into(),
        }
    }
}

fn parse_bcrypt(text: &str) -> Result<PasswordHash<'_>, UnsupportedHash> {
    let bytes = text.as_bytes();
    let (cost, rest) = match bytes.get(4..) {
        Some([tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'$', rest @ ..]) => {
            (u32::from(tens - b'0') * 10 + u32::from(ones - b'0'), rest)
        }
        _ => return Err(UnsupportedHash::Malformed),
    };
    let base64 = rest.iter().all(|byte| MD5_CRYPT_ALPHABET.contains(byte));
    if rest.len() != 53 || !base64 || cost < 4 {
        return Err(UnsupportedHash::Malformed);
    }
    if cost > BCRYPT_COST_MAX {
        return Err(UnsupportedHash::Cost(cost));
    }
    Ok(PasswordHash::Bcrypt(text))
}

/// The alphabet of `crypt`, from 0 to 63.
const MD5_CRYPT_ALPHABET: &[u8; 64] =
    b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Length of an encoded digest of 16 bytes.
const MD5_CRYPT_BYTES: usize = 22;

/// Poul-Henning Kamp's MD5 crypt; Apache's variant differs by `magic` only.
fn md5_crypt(password: &[u8], salt: &[u8], magic: &[u8]) -> [u8; MD5_CRYPT_BYTES] {
    let mixed =
        Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(16) {
        first.update(&mixed[..chunk.len()]);
    }
    let mut bits = password.len();
    while bits != 0 {
        first.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let odd = round % 2 == 1;
        let mut hasher = Md5::new();
        hasher.update(if odd { password } else { &digest });
        if round % 3 != 0 {
            hasher.update(salt);
        }
        if round % 7 != 0 {
            hasher.update(password);
        }
        hasher.update(if odd { &digest } else { password });
        digest = hasher.finalize();
    }
    let digest: [u8; 16] = digest.into();
    encode(&digest)
}

/// The digest in `crypt`'s order of bytes, six bits a character, the lowest first.
fn encode(digest: &[u8; 16]) -> [u8; MD5_CRYPT_BYTES] {
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let mut out = [0; MD5_CRYPT_BYTES];
    let (groups, last) = out.split_at_mut(20);
    for (chars, [high, middle, low]) in groups.chunks_exact_mut(4).zip(ORDER) {
        let value =
            u32::from(digest[high]) << 16 | u32::from(digest[middle]) << 8 | u32::from(digest[low]);
        put(chars, value);
    }
    put(last, u32::from(digest[11]));
    out
}

fn put(chars: &mut [u8], value: u32) {
    let mut rest = value;
    for char in chars {
        *char = MD5_CRYPT_ALPHABET[(rest & 63) as usize];
        rest >>= 6;
    }
}
