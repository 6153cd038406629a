//! What a request says about where it should go.

use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;
use weft_resilience::hash;

/// Endpoints that attempts of one call have gone to, without memory of their own: calls with more
/// attempts are rare.
pub(super) const ATTEMPTS: usize = 4;

/// Looks into requests.
pub trait Hints<Req> {
    /// Requests with equal numbers go to the same endpoint, with a picker that hashes. By default
    /// there is none.
    fn key(&self, req: &Req) -> Option<u64> {
        let _ = req;
        None
    }

    /// Endpoints that earlier attempts went to. By default none are known.
    fn tried<'a>(&self, req: &'a Req) -> Option<&'a Tried> {
        let _ = req;
        None
    }
}

/// What decides on the endpoint of one call, for
/// [`Endpoints::call_for`](super::Endpoints::call_for).
///
/// ```
/// use resilience_tower::balance::{BalanceSettings, Tried, Wanted};
/// use resilience_tower::{Endpoints, Error, Retry, retry, retry::RetrySettings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
/// for name in ["good", "bad", "worse"] {
///     endpoints.insert(name, name);
/// }
/// // Whatever the first attempts have met, the third goes to the endpoint that is left.
/// let tried = Tried::default();
/// let call = async |name| if name == "good" { Ok("hello") } else { Err("reset") };
/// let attempt = || endpoints.call_for(Wanted::new().tried(&tried), call);
/// let policy = Retry::new(RetrySettings::DEFAULT);
/// assert_eq!(retry(&policy, attempt).await.expect("one is good"), "hello");
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    pub(super) key: Option<u64>,
    pub(super) tried: Option<&'a Tried>,
}

/// Does not look.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHints;

/// Keeps requests with the same key together, with a [picker](super::BalanceSettings::picker) that
/// hashes: `Rendezvous`, `RingHash` or `Maglev`.
///
/// ```
/// use resilience_tower::balance::{Hints, KeyHints};
///
/// let hints = KeyHints(|user: &String| Some(user.clone()));
/// assert_eq!(hints.key(&"7".to_owned()), hints.key(&"7".to_owned()));
/// assert_ne!(hints.key(&"7".to_owned()), hints.key(&"8".to_owned()));
/// ```
///
/// Two kinds of hints are one as a pair: `(HttpHints, KeyHints(..))` keeps together what has one
/// key, and leaves an endpoint that has failed an attempt.
#[derive(Debug, Clone, Copy)]
pub struct KeyHints<F>(pub F);

/// Knows which endpoints the attempts of a request of HTTP went to, from its extension [`Tried`].
#[cfg(feature = "http")]
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpHints;

/// Which endpoints the attempts of one request went to. Its clones are one list.
///
/// [`HttpReplay`](crate::replay::HttpReplay) puts one into the extensions of requests.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    /// Held to add or copy a few numbers.
    ids: Arc<Mutex<SmallVec<[u64; ATTEMPTS]>>>,
}

// === impl Hints ===

impl<Req> Hints<Req> for NoHints {}

impl<Req, F, K> Hints<Req> for KeyHints<F>
where
    F: Fn(&Req) -> Option<K>,
    K: AsRef<[u8]>,
{
    fn key(&self, req: &Req) -> Option<u64> {
        (self.0)(req).map(|key| hash::stable(key.as_ref()))
    }
}

/// What the first does not know, the second is asked for.
impl<Req, A: Hints<Req>, B: Hints<Req>> Hints<Req> for (A, B) {
    fn key(&self, req: &Req) -> Option<u64> {
        self.0.key(req).or_else(|| self.1.key(req))
    }

    fn tried<'a>(&self, req: &'a Req) -> Option<&'a Tried> {
        self.0.tried(req).or_else(|| self.1.tried(req))
    }
}

#[cfg(feature = "http")]
impl<B> Hints<http::Request<B>> for HttpHints {
    fn tried<'a>(&self, req: &'a http::Request<B>) -> Option<&'a Tried> {
        req.extensions().get()
    }
}

// === impl Wanted ===

impl<'a> Wanted<'a> {
    /// Any endpoint.
    #[must_use]
    pub const fn new() -> Self {
        Self { key: None, tried: None }
    }

    /// What a request says.
    pub(super) fn of<Req>(hints: &impl Hints<Req>, req: &'a Req) -> Self {
        Self { key: hints.key(req), tried: hints.tried(req) }
    }

    /// One that other calls with the same key go to as well, with a
    /// [picker](super::BalanceSettings::picker) that hashes.
    #[must_use]
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        Self { key: Some(hash::stable(key.as_ref())), ..self }
    }

    /// One that is not in this list, if there are others. The one that is chosen is put into it.
    #[must_use]
    pub const fn tried(self, tried: &'a Tried) -> Self {
        Self { tried: Some(tried), ..self }
    }
}

// === impl Tried ===

impl Tried {
    pub(crate) fn add(&self, id: u64) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    pub(crate) fn with<T>(&self, with: impl FnOnce(&[u64]) -> T) -> T {
        with(&self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
