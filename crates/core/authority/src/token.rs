//! Join tokens: one-time secrets that attest a workload where nothing else does.

mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weft_model::identity::Identity;

use crate::random::random;
use crate::span::Span;
use crate::validity::{at_secs, secs, since};

pub use pattern::{IdentityPattern, InvalidPattern};

/// What a token begins with, so that it is known for one wherever it turns up.
const PREFIX: &str = "weft-join-";

/// Tokens that may be open at a time: each is looked at for each attempt.
const TOKENS_MAX: usize = 10_000;

/// The longest that a token may be open: it is a secret in somebody's hands.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The tokens that have been given out and not been used. Of each only the hash is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JoinTokens {
    open: Vec<OpenToken>,
}

/// A token as its holder has it. Shown once, to whoever asked for it.
pub struct JoinToken(String);

/// A token that has not been used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenToken {
    /// SHA-256 of the whole text. It has 256 random bits, so that no slow hash is needed.
    pub(crate) hash: [u8; 32],
    pub(crate) scope: IdentityPattern,
    pub(crate) expires_at: SystemTime,
}

/// No more tokens can be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{TOKENS_MAX} join tokens are open: wait until some are used or have expired")]
pub struct TooManyTokens;

/// A token that does not admit its holder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedToken {
    /// It was never given out, has been used, or was forgotten after it had expired.
    #[error("the join token is unknown or has been used: each admits once; ask for a new one")]
    Unknown,
    /// It has expired.
    #[error("the join token expired {} ago: ask for a new one", Span(*.ago))]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// It is for others.
    #[error("the join token admits {scope}, not {identity}")]
    Scope {
        /// For whom it is.
        scope: IdentityPattern,
        /// Who came.
        identity: Identity,
    },
}

// === impl JoinTokens ===

impl JoinTokens {
    /// No token is open.
    pub const fn new() -> Self {
        Self { open: Vec::new() }
    }

    pub(crate) const fn from_parts(open: Vec<OpenToken>) -> Self {
        Self { open }
    }

    pub(crate) fn open(&self) -> &[OpenToken] {
        &self.open
    }

    /// How many are open, expired ones that have not been forgotten included.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Makes a token that admits one workload within `scope`, once, until `lifetime` has passed.
    /// More than 30 days are cut to 30 days.
    ///
    /// # Errors
    ///
    /// [`TooManyTokens`].
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn create(
        &mut self,
        scope: IdentityPattern,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<JoinToken, TooManyTokens> {
        self.forget_expired(now);
        if self.open.len() >= TOKENS_MAX {
            return Err(TooManyTokens);
        }
        let secret: [u8; 32] = random();
        let token = JoinToken(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret)));
        let expires_at = at_secs(secs(now + lifetime.min(LIFETIME_MAX)));
        self.open.push(OpenToken { hash: hash(token.as_str()), scope, expires_at });
        Ok(token)
    }

    /// Uses a token for an identity; afterwards it is used up. One that is refused stays as it was.
    ///
    /// The time it takes does not tell how much of a guess was right.
    ///
    /// # Errors
    ///
    /// [`RefusedToken`].
    pub fn redeem(
        &mut self,
        token: &str,
        identity: &Identity,
        now: SystemTime,
    ) -> Result<(), RefusedToken> {
        let hash = hash(token);
        let mut found = None;
        for (index, open) in self.open.iter().enumerate() {
            if verify_slices_are_equal(&open.hash, &hash).is_ok() {
                found = Some(index);
            }
        }
        let index = found.ok_or(RefusedToken::Unknown)?;
        let open = &self.open[index];
        if open.expires_at <= now {
            return Err(RefusedToken::Expired { ago: since(open.expires_at, now) });
        }
        if !open.scope.matches(identity) {
            let (scope, identity) = (open.scope.clone(), identity.clone());
            return Err(RefusedToken::Scope { scope, identity });
        }
        self.open.swap_remove(index);
        Ok(())
    }

    /// Forgets tokens whose time has passed.
    pub fn forget_expired(&mut self, now: SystemTime) {
        self.open.retain(|open| open.expires_at > now);
    }
}

// === impl JoinToken ===

impl JoinToken {
    /// The secret text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").finish_non_exhaustive()
    }
}

fn hash(token: &str) -> [u8; 32] {
    let digest = digest(&SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
