//! Requests of HTTP.

use ::http::{HeaderMap, HeaderName, Method, Request};

use super::Replay;
use crate::balance::Tried;
use crate::error::Stop;
use crate::hop::{self, Hop};

/// A client that sends it promises that the same key has the same effect only once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Repeats requests of HTTP.
///
/// Only those that are safe to repeat: with an idempotent method (RFC 9110 section 9.2.2) or an
/// `idempotency-key`, unless [`any_method`](Self::any_method) says otherwise. Never one that is a
/// retry itself ([`Hop::is_retry`]); but where this process made it one, a [`Hedge`](crate::Hedge)
/// may send it twice. Each attempt carries its number ([`hop::ATTEMPT`]). Attempts tell a
/// [`Balance`](crate::Balance) further in which endpoints were tried.
///
/// Bodies are cloned, as `Full<Bytes>` and `Empty` can be, or copied by another function, which may
/// fail ([`cloned_by`](Self::cloned_by)). Around a body that has neither put a
/// [`ReplayBody`](super::ReplayBody):
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
/// use resilience_tower::replay::{HttpReplay, ReplayBody};
/// use resilience_tower::{BoxError, Retry, retry::RetrySettings};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// // As it comes from another connection, for instance.
/// type Body = ReplayBody<UnsyncBoxBody<Bytes, BoxError>>;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let client = service_fn(async |req: Request<Body>| {
///     let first = req.headers()["x-envoy-attempt-count"] == "1";
///     let sent = req.into_body().collect().await?.to_bytes();
///     let status = if first { 503 } else { 200 };
///     Ok::<_, BoxError>(Response::builder().status(status).body(sent)?)
/// });
/// let replay = HttpReplay::new().cloned_by(ReplayBody::try_clone);
/// let client = Retry::http(RetrySettings::DEFAULT).replayed_by(replay).layer(client);
///
/// let body = Full::new(Bytes::from("charge")).map_err(Into::into).boxed_unsync();
/// let req = Request::put("http://payments/7").body(ReplayBody::new(body, 65_536));
/// let answer = client.oneshot(req.expect("it is valid")).await.expect("an answer");
/// assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"charge"[..]));
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpReplay<B = ByClone> {
    any_method: bool,
    bodies: B,
}

/// Makes copies of bodies: [`ByClone`], or any `Fn(&B) -> Option<B>`.
pub trait CopyBody<B> {
    /// A copy that sends the same; `None` if there can be none, or none any more.
    fn copy(&self, body: &B) -> Option<B>;
}

/// Copies bodies that can be cloned.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByClone;

// === impl HttpReplay ===

impl HttpReplay {
    /// As the page of this type says.
    #[must_use]
    pub const fn new() -> Self {
        Self { any_method: false, bodies: ByClone }
    }
}

impl<F> HttpReplay<F> {
    /// Repeats POST and PATCH as well: the server does the same thing once, however often it is
    /// asked.
    #[must_use]
    pub fn any_method(self) -> Self {
        Self { any_method: true, ..self }
    }

    /// Copies bodies by a function. Where it gives `None` the request is not repeated, and the
    /// answer that there is stands.
    #[must_use]
    pub fn cloned_by<B, G: Fn(&B) -> Option<B>>(self, copy: G) -> HttpReplay<G> {
        HttpReplay { any_method: self.any_method, bodies: copy }
    }

    /// Whether a request may be sent more than once, for a [`Replay`] of requests of another type.
    ///
    /// # Errors
    ///
    /// [`Stop::RetryOfRetry`] or [`Stop::NotRepeatable`].
    pub fn permits(&self, method: &Method, fields: &HeaderMap) -> Result<(), Stop> {
        if Hop::of(fields).is_retry() {
            return Err(Stop::RetryOfRetry);
        }
        self.suits(method, fields)
    }

    /// Whether a request may be sent a second time beside the first.
    pub(super) fn permits_beside<T>(&self, req: &Request<T>) -> Result<(), Stop> {
        // Only what is no retry of another caller's is given a list by the attempts of this one.
        match req.extensions().get::<Tried>() {
            Some(_) => self.suits(req.method(), req.headers()),
            None => self.permits(req.method(), req.headers()),
        }
    }

    /// Whether it does no harm to carry a request out again.
    fn suits(&self, method: &Method, fields: &HeaderMap) -> Result<(), Stop> {
        let idempotent =
            self.any_method || method.is_idempotent() || fields.contains_key(IDEMPOTENCY_KEY);
        if idempotent { Ok(()) } else { Err(Stop::NotRepeatable) }
    }

    /// Keeps a request if it is permitted.
    fn keep_if<B>(
        &self,
        permitted: Result<(), Stop>,
        mut req: Request<B>,
    ) -> (Request<B>, Result<Request<B>, Stop>)
    where
        F: CopyBody<B>,
    {
        if let Err(stop) = permitted {
            return (req, Err(stop));
        }
        // Copies of a request share it.
        req.extensions_mut().get_or_insert_default::<Tried>();
        let first = self.again(&req).ok_or(Stop::NotRepeatable);
        match first {
            Ok(first) => (first, Ok(req)),
            Err(stop) => (req, Err(stop)),
        }
    }
}

impl<B, F: CopyBody<B>> Replay<Request<B>> for HttpReplay<F> {
    type Kept = Request<B>;

    fn keep(&self, req: Request<B>) -> (Request<B>, Result<Request<B>, Stop>) {
        self.keep_if(self.permits(req.method(), req.headers()), req)
    }

    fn keep_beside(&self, req: Request<B>) -> (Request<B>, Result<Request<B>, Stop>) {
        self.keep_if(self.permits_beside(&req), req)
    }

    fn again(&self, kept: &Request<B>) -> Option<Request<B>> {
        let body = self.bodies.copy(kept.body())?;
        let mut req = Request::new(body);
        *req.method_mut() = kept.method().clone();
        *req.uri_mut() = kept.uri().clone();
        *req.version_mut() = kept.version();
        *req.headers_mut() = kept.headers().clone();
        *req.extensions_mut() = kept.extensions().clone();
        Some(req)
    }

    fn number(&self, req: &mut Request<B>, attempt: u32) {
        hop::set_attempt(req.headers_mut(), attempt);
    }
}

// === impl CopyBody ===

impl<B: Clone> CopyBody<B> for ByClone {
    fn copy(&self, body: &B) -> Option<B> {
        Some(body.clone())
    }
}

impl<B, F: Fn(&B) -> Option<B>> CopyBody<B> for F {
    fn copy(&self, body: &B) -> Option<B> {
        self(body)
    }
}

#[cfg(test)]
mod tests;
