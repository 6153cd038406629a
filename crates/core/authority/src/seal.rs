//! The state as bytes that only a secret opens.
//!
//! ```text
//! offset  bytes
//!      0      8  "WEFTAUTH"
//!      8      1  version of this format: 1
//!      9      1  secret: 0 a key, 1 a passphrase
//!     10      4  iterations of PBKDF2, big endian; 0 with a key
//!     14     32  salt
//!     46     16  check value: whether the secret is the right one
//!     62     12  nonce
//!     74      -  the state, AES-256-GCM; its tag covers all that stands before it, too
//! ```
//!
//! The key of the cipher and the check value come from the secret and the salt: of a passphrase by
//! PBKDF2-HMAC-SHA512 (RFC 8018), of a key by HKDF-SHA512 (RFC 5869). aws-lc has no Argon2, and a
//! second cryptographic library would be worse than a passphrase that takes ten times as long.

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use zeroize::Zeroizing;

use crate::hex;
use crate::random::random;
use crate::state::{InvalidState, State};

const MAGIC: &[u8; 8] = b"WEFTAUTH";
const VERSION: u8 = 1;
const WITH_KEY: u8 = 0;
const WITH_PASSPHRASE: u8 = 1;
const SALT_BYTES: usize = 32;
const CHECK_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const HEAD_BYTES: usize = 8 + 1 + 1 + 4 + SALT_BYTES + CHECK_BYTES + NONCE_LEN;

/// Iterations for new passphrases (OWASP, Password Storage Cheat Sheet, 2023).
const ITERATIONS: u32 = 210_000;

/// More are not computed: the number is read before anything shows that the file is ours.
const ITERATIONS_MAX: u32 = 10_000_000;

/// A shorter passphrase is no protection.
const PASSPHRASE_CHARS_MIN: usize = 12;

/// What opens the sealed state. Never shown, never compared, and wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Kind);

#[derive(Clone)]
enum Kind {
    Key(Zeroizing<[u8; KEY_BYTES]>),
    Passphrase(Zeroizing<String>),
}

/// A secret made ready for one state: sealing again does not take the time of a passphrase again.
pub struct Seal {
    kind: u8,
    iterations: u32,
    salt: [u8; SALT_BYTES],
    check: [u8; CHECK_BYTES],
    key: LessSafeKey,
}

/// Something that cannot be used as a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// A passphrase of fewer than 12 characters.
    #[error("the passphrase has {0} characters: take at least {PASSPHRASE_CHARS_MIN}")]
    Short(usize),
    /// A key file that holds no key.
    #[error(
        "the key file has {0} bytes: it takes 32 random bytes, or 64 hexadecimal digits as \
         `openssl rand -hex 32` writes them"
    )]
    KeyFile(usize),
}

/// Sealed bytes that do not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// They are something else.
    #[error("this is not a sealed authority: it does not begin with WEFTAUTH")]
    Foreign,
    /// They are of a newer version of this program.
    #[error(
        "the sealed authority has format {0}, but only {VERSION} is known: use a newer version"
    )]
    Version(u8),
    /// They end too early, or their head has values that are never written.
    #[error("the sealed authority is damaged: restore it from a copy")]
    Damaged,
    /// They were sealed with a passphrase, and a key was given.
    #[error("the authority was sealed with a passphrase, not with a key file")]
    NeedsPassphrase,
    /// They were sealed with a key, and a passphrase was given.
    #[error("the authority was sealed with a key file, not with a passphrase")]
    NeedsKey,
    /// The secret is not the one they were sealed with.
    #[error("the secret is not the one that the authority was sealed with")]
    WrongSecret,
    /// The secret is right, but the bytes are not what was written.
    #[error("the sealed authority has been altered since it was written: restore it from a copy")]
    Altered,
    /// What was sealed makes no sense.
    #[error("the sealed authority cannot be read")]
    State(#[from] InvalidState),
}

// === impl Secret ===

impl Secret {
    /// A passphrase, at least 12 characters.
    ///
    /// # Errors
    ///
    /// [`InvalidSecret::Short`].
    pub fn passphrase(text: &str) -> Result<Self, InvalidSecret> {
        match text.chars().count() {
            PASSPHRASE_CHARS_MIN.. => Ok(Self(Kind::Passphrase(Zeroizing::new(text.into())))),
            count => Err(InvalidSecret::Short(count)),
        }
    }

    /// The content of a key file: 32 bytes, or 64 hexadecimal digits with white space around.
    ///
    /// # Errors
    ///
    /// [`InvalidSecret::KeyFile`].
    pub fn key_file(content: &[u8]) -> Result<Self, InvalidSecret> {
        let of = |key| Self(Kind::Key(Zeroizing::new(key)));
        if let Ok(key) = content.try_into() {
            return Ok(of(key));
        }
        let digits = std::str::from_utf8(content).ok().map(str::trim);
        let key = digits.and_then(hex::decode);
        key.map(of).ok_or(InvalidSecret::KeyFile(content.len()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

// === impl Seal ===

impl Seal {
    /// A seal for a new state. With a passphrase it takes about 100 ms.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn new(secret: &Secret) -> Self {
        let iterations = match secret.0 {
            Kind::Key(_) => 0,
            Kind::Passphrase(_) => ITERATIONS,
        };
        Self::derive(secret, random(), iterations)
    }

    /// The state as bytes that only the secret opens.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn seal(&self, state: &State) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut out = self.head(&nonce);
        let head: [u8; HEAD_BYTES] = out.as_slice().try_into().expect("the head is that long");
        let mut content = state.to_bytes(self.key.algorithm().tag_len());
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(head),
                &mut *content,
            )
            .expect("the state is far smaller than what AES-GCM can take");
        out.extend_from_slice(&content);
        out
    }

    /// Opens sealed bytes. The seal that comes with the state seals it again.
    ///
    /// # Errors
    ///
    /// [`CannotOpen`].
    pub fn open(bytes: &[u8], secret: &Secret) -> Result<(State, Self), CannotOpen> {
        let (head, content) = Head::read(bytes)?;
        match (&secret.0, head.kind) {
            (Kind::Key(_), WITH_PASSPHRASE) => return Err(CannotOpen::NeedsPassphrase),
            (Kind::Passphrase(_), WITH_KEY) => return Err(CannotOpen::NeedsKey),
            _ => {}
        }
        let seal = Self::derive(secret, head.salt, head.iterations);
        verify_slices_are_equal(&seal.check, &head.check).map_err(|_| CannotOpen::WrongSecret)?;
        let mut content = Zeroizing::new(content.to_vec());
        let nonce = Nonce::assume_unique_for_key(head.nonce);
        let plain = seal
            .key
            .open_in_place(nonce, Aad::from(&bytes[..HEAD_BYTES]), &mut content)
            .map_err(|_| CannotOpen::Altered)?;
        Ok((State::from_bytes(plain)?, seal))
    }

    fn derive(secret: &Secret, salt: [u8; SALT_BYTES], iterations: u32) -> Self {
        let mut derived = Zeroizing::new([0; KEY_BYTES + CHECK_BYTES]);
        let kind = match &secret.0 {
            Kind::Key(key) => {
                let key = hkdf::Salt::new(hkdf::HKDF_SHA512, &salt).extract(&**key);
                key.expand(&[b"weftway authority"], Length)
                    .and_then(|key| key.fill(&mut *derived))
                    .expect("HKDF gives much longer keys than that");
                WITH_KEY
            }
            Kind::Passphrase(text) => {
                let iterations = NonZeroU32::new(iterations).expect("checked in the head");
                pbkdf2::derive(
                    PBKDF2_HMAC_SHA512,
                    iterations,
                    &salt,
                    text.as_bytes(),
                    &mut *derived,
                );
                WITH_PASSPHRASE
            }
        };
        let (key, check) = derived.split_at(KEY_BYTES);
        let key = UnboundKey::new(&AES_256_GCM, key).expect("it has the length of the cipher's");
        let check = check.try_into().expect("it is what was left");
        Self { kind, iterations, salt, check, key: LessSafeKey::new(key) }
    }

    fn head(&self, nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
        let Self { kind, iterations, salt, check, key: _ } = self;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[VERSION, *kind]);
        head.extend_from_slice(&iterations.to_be_bytes());
        head.extend_from_slice(salt);
        head.extend_from_slice(check);
        head.extend_from_slice(nonce);
        head
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

/// What stands before the sealed content.
struct Head {
    kind: u8,
    iterations: u32,
    salt: [u8; SALT_BYTES],
    check: [u8; CHECK_BYTES],
    nonce: [u8; NONCE_LEN],
}

// === impl Head ===

impl Head {
    /// The head, and what follows it.
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), CannotOpen> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(CannotOpen::Foreign)?;
        let (&[version], rest) = take(rest)?;
        if version != VERSION {
            return Err(CannotOpen::Version(version));
        }
        let (&[kind], rest) = take(rest)?;
        let (&iterations, rest) = take(rest)?;
        let (&salt, rest) = take(rest)?;
        let (&check, rest) = take(rest)?;
        let (&nonce, rest) = take(rest)?;
        let iterations = u32::from_be_bytes(iterations);
        match (kind, iterations) {
            (WITH_KEY, 0) | (WITH_PASSPHRASE, 1..=ITERATIONS_MAX) => {}
            _ => return Err(CannotOpen::Damaged),
        }
        Ok((Self { kind, iterations, salt, check, nonce }, rest))
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), CannotOpen> {
    bytes.split_first_chunk().ok_or(CannotOpen::Damaged)
}

/// How much HKDF is asked for.
struct Length;

// === impl Length ===

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES + CHECK_BYTES
    }
}
