//! Requests of HTTP.

use ::http::{HeaderName, HeaderValue, Request};

use super::Replay;
use crate::balance::Tried;
use crate::error::Stop;
use crate::hop::{self, Hop};

/// A client that sends it promises that the same key has the same effect only once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Repeats requests of HTTP with a body that can be cloned.
///
/// Only those that are safe to repeat: with an idempotent method (RFC 9110 section 9.2.2) or an
/// `idempotency-key`, unless [`any_method`](Self::any_method) says otherwise. Never one that is a
/// retry itself ([`Hop::is_retry`]); each attempt carries its number ([`hop::ATTEMPT`]). Attempts
/// tell a [`Balance`](crate::Balance) further in which endpoints were tried.
///
/// `Full<Bytes>` and `Empty` can be cloned; around other bodies put a
/// [`ReplayBody`](super::ReplayBody).
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpReplay {
    any_method: bool,
}

// === impl HttpReplay ===

impl HttpReplay {
    /// As the page of this type says.
    #[must_use]
    pub const fn new() -> Self {
        Self { any_method: false }
    }

    /// Repeats POST and PATCH as well: the server does the same thing once, however often it is
    /// asked.
    #[must_use]
    pub const fn any_method(self) -> Self {
        Self { any_method: true }
    }
}

impl<B: Clone> Replay<Request<B>> for HttpReplay {
    type Kept = Request<B>;

    fn keep(&self, mut req: Request<B>) -> (Request<B>, Result<Request<B>, Stop>) {
        if let Err(stop) = may_repeat(&req, self.any_method) {
            return (req, Err(stop));
        }
        // Clones of a request share it.
        req.extensions_mut().get_or_insert_default::<Tried>();
        (req.clone(), Ok(req))
    }

    fn again(&self, kept: &Request<B>) -> Option<Request<B>> {
        Some(kept.clone())
    }

    fn number(&self, req: &mut Request<B>, attempt: u32) {
        number(req, attempt);
    }
}

/// Whether a request may be sent more than once.
pub(super) fn may_repeat<B>(req: &Request<B>, any_method: bool) -> Result<(), Stop> {
    if Hop::of(req.headers()).is_retry() {
        return Err(Stop::RetryOfRetry);
    }
    let idempotent =
        any_method || req.method().is_idempotent() || req.headers().contains_key(IDEMPOTENCY_KEY);
    if idempotent { Ok(()) } else { Err(Stop::NotRepeatable) }
}

/// Writes the number of an attempt.
pub(super) fn number<B>(req: &mut Request<B>, attempt: u32) {
    req.headers_mut().insert(hop::ATTEMPT, HeaderValue::from(attempt));
}

#[cfg(test)]
mod tests;
