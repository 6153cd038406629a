//! User and password (RFC 7617).
//!
//! Slow hashes are not computed where requests are served: [`check`] hands out a [`VerifyJob`] for
//! a thread that may block, and a [`CredentialCache`] remembers what was right. An unknown user
//! costs what a known one costs, so the time taken tells nobody who exists.

pub mod cache;
pub mod htpasswd;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use weft_message::{InvalidFieldValue, Known, RequestHead};
use weft_model::policy::BasicAuth;

use crate::answer::{self, Asker, DirectResponse};
use crate::fields::is_settable;

use cache::{CredentialCache, Digest};
use htpasswd::{PASSWORD_BYTES_MAX, PasswordHash};

/// Longest `Authorization` read, bytes: a password of [`PASSWORD_BYTES_MAX`] and a user, in base64.
const HEADER_BYTES_MAX: usize = 4096;

/// User and password as a client sent them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Box<[u8]>,
    password: Box<[u8]>,
}

/// What a check of credentials says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check<'a> {
    /// They are right; the user as configured.
    Ok(&'a str),
    /// They are missing or wrong: [`unauthorized`].
    Wrong,
    /// It takes a slow hash to tell.
    Costly(VerifyJob),
}

/// A slow check, for a thread that may block.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyJob {
    hash: Box<str>,
    user: Box<str>,
    password: Box<[u8]>,
    /// The hash is this user's, not another's that is computed for the time it takes.
    is_known: bool,
}

/// Padding is neither demanded nor refused: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Checks the credentials of a request, first against what `cache` remembers.
///
/// When a [`Check::Costly`] job turns out right, pass [`VerifyJob::digest`] to
/// [`CredentialCache::insert`].
pub fn authenticate<'a>(
    settings: &'a BasicAuth,
    head: &RequestHead,
    cache: &CredentialCache,
) -> Check<'a> {
    let Some(credentials) = Credentials::of(head) else { return Check::Wrong };
    match check(settings, &credentials) {
        Check::Costly(job) if job.is_known && cache.contains(job.digest(cache)) => {
            let user = settings.users.iter().map(|(user, _)| user).find(|user| **user == job.user);
            user.map_or(Check::Wrong, |user| Check::Ok(user))
        }
        result => result,
    }
}

/// Checks credentials as far as that is quick.
pub fn check<'a>(settings: &'a BasicAuth, credentials: &Credentials) -> Check<'a> {
    let BasicAuth { users, realm: _, header: _, remove_header: _ } = settings;
    // Every user is compared in full. Of equal names the last counts, as in Traefik.
    let (mut place, mut is_known) = (0, Choice::from(0));
    for (index, (user, _)) in users.iter().enumerate() {
        let is_this = user.as_bytes().ct_eq(&credentials.user);
        place = u64::conditional_select(&place, &(index as u64), is_this);
        is_known |= is_this;
    }
    let is_known = bool::from(is_known);
    let Some((user, stored)) = users.get(place as usize) else { return Check::Wrong };
    let Ok(hash) = PasswordHash::parse(stored) else { return Check::Wrong };
    if credentials.password.len() > PASSWORD_BYTES_MAX {
        return Check::Wrong;
    }
    if hash.is_costly() {
        return Check::Costly(VerifyJob {
            hash: stored.clone(),
            user: user.clone(),
            password: credentials.password.clone(),
            is_known,
        });
    }
    if hash.verify(&credentials.password) && is_known { Check::Ok(user) } else { Check::Wrong }
}

/// Lets the request of `user` go on: names the user to the upstream and removes the credentials, as
/// the settings say. What the client sent under the header's name, however spelled, is removed.
///
/// # Errors
///
/// When the request has no room, or the user's name is no field value; it must not go on then.
pub fn accept(
    settings: &BasicAuth,
    user: &str,
    head: &mut RequestHead,
) -> Result<(), InvalidFieldValue> {
    if let Some(name) = settings.header.as_ref().filter(|name| is_settable(name)) {
        head.fields.remove_folded(name);
        head.fields.append(name, user.as_bytes())?;
    }
    if settings.remove_header {
        head.fields.remove(Known::Authorization);
    }
    Ok(())
}

/// The answer to credentials that are missing or wrong.
pub fn unauthorized(settings: &BasicAuth, asker: Asker<'_>) -> DirectResponse {
    answer::unauthorized(&settings.realm, asker)
}

// === impl Credentials ===

impl Credentials {
    /// Reads the value of `Authorization`; `None` when it is not `Basic` or malformed.
    ///
    /// The scheme is taken in any case (RFC 9110 section 11.1). The user ends at the first colon.
    pub fn parse(header: &[u8]) -> Option<Self> {
        if header.len() > HEADER_BYTES_MAX {
            return None;
        }
        let (scheme, rest) = header.split_at_checked(5)?;
        if !scheme.eq_ignore_ascii_case(b"basic") || rest.first() != Some(&b' ') {
            return None;
        }
        let decoded = BASE64.decode(rest.trim_ascii()).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        Some(Self { user: decoded[..colon].into(), password: decoded[colon + 1..].into() })
    }

    /// The credentials of a request; `None` also when it has several `Authorization` fields, of
    /// which another reader might believe another one.
    pub fn of(head: &RequestHead) -> Option<Self> {
        let mut values = head.fields.get_all(Known::Authorization);
        let value = values.next()?;
        if values.next().is_some() { None } else { Self::parse(value) }
    }
}

impl fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = String::from_utf8_lossy(&self.user);
        f.debug_struct("Credentials").field("user", &user).finish_non_exhaustive()
    }
}

// === impl VerifyJob ===

impl VerifyJob {
    /// Whether the credentials are right. Takes from milliseconds to seconds of a core.
    pub fn run(&self) -> bool {
        let is_right =
            PasswordHash::parse(&self.hash).is_ok_and(|hash| hash.verify(&self.password));
        is_right && self.is_known
    }

    /// The user, as configured. Means something only after [`VerifyJob::run`] said yes.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What a cache remembers these credentials by.
    pub fn digest(&self, cache: &CredentialCache) -> Digest {
        cache.digest(&self.hash, &self.user, &self.password)
    }
}

impl fmt::Debug for VerifyJob {
    /// Without hash and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyJob").field("user", &self.user).finish_non_exhaustive()
    }
}
