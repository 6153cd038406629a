//! What a request says about where it should go.

use std::sync::{Arc, Mutex, PoisonError};

use weft_resilience::hash;

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
    ids: Arc<Mutex<Vec<u64>>>,
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

#[cfg(feature = "http")]
impl<B> Hints<http::Request<B>> for HttpHints {
    fn tried<'a>(&self, req: &'a http::Request<B>) -> Option<&'a Tried> {
        req.extensions().get()
    }
}

// === impl Tried ===

impl Tried {
    pub(crate) fn add(&self, id: u64) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
