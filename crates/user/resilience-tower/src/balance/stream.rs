//! Calls of HTTP that end with the body of their answer.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;
use weft_resilience::grpc;

use super::hints::Wanted;
use super::member::{Judge, Lease};
use super::{Balance, Hints, HttpHints};
use crate::classify::{Class, Classify, GRPC_STATUS, HttpClassifier, Verdict};
use crate::clock;
use crate::error::{AsRefused, Refused};
use crate::observe::Observed;
use crate::oneshot::{Oneshot, OrRefused};

/// Like [`Balance`], but a call ends with the body of its answer and not with its head.
///
/// Made by [`Balance::streaming`]. Until the body has ended or is dropped, the call counts as one
/// that its endpoint has under way; the trailers are looked at for the endpoint's load and, of an
/// answer of gRPC, for the status; and an answer that breaks off is a failure of the endpoint, whose
/// head did not show it. An answer that fails by its head counts at once. One that is dropped before
/// its end counts by its head; one of gRPC, whose head says nothing, not at all.
///
/// ```
/// use bytes::Bytes;
/// use http::{HeaderMap, Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use resilience_tower::balance::{Balance, BalanceSettings, Endpoints, HttpHints};
/// use resilience_tower::settings::OutlierSettings;
/// use resilience_tower::BoxError;
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// // An instance that answers, and says at the end that it could not do it.
/// let client = service_fn(async |_: Request<()>| {
///     let mut trailers = HeaderMap::new();
///     trailers.insert("grpc-status", "13".parse()?); // INTERNAL
///     let body = Full::new(Bytes::from("...")).with_trailers(async { Some(Ok(trailers)) });
///     Ok::<_, BoxError>(Response::builder().header("content-type", "application/grpc").body(body)?)
/// });
/// let outlier = OutlierSettings { consecutive: Some(1), ..OutlierSettings::LINKERD_CONSECUTIVE };
/// let endpoints = Endpoints::http(BalanceSettings::DEFAULT.outlier(outlier));
/// endpoints.insert("10.0.0.1:80", client.clone());
/// endpoints.insert("10.0.0.2:80", client);
/// let greeter = Balance::new(endpoints.clone()).hinted_by(HttpHints).streaming();
///
/// let answer = greeter.oneshot(Request::new(())).await.expect("it has a head");
/// assert_eq!(endpoints.ejected(), 0);
/// answer.into_body().collect().await.expect("it has a body");
/// assert_eq!(endpoints.ejected(), 1);
/// # }
/// ```
pub struct StreamBalance<K, S, H = HttpHints> {
    balance: Balance<K, S, HttpClassifier, H>,
}

pin_project! {
    /// The future of a [`StreamBalance`].
    pub struct StreamFuture<F, K: fmt::Debug> {
        #[pin]
        call: OrRefused<F>,
        open: Option<Open<K>>,
    }
}

pin_project! {
    /// The body of an answer whose endpoint hears how it ends.
    pub struct StreamBody<B, K: fmt::Debug> {
        #[pin]
        body: B,
        open: Option<Open<K>>,
    }
}

/// A call that has not ended. Dropped, it ends with what is known of it.
struct Open<K: fmt::Debug> {
    lease: Lease<K>,
    judge: Arc<Judge>,
    classifier: HttpClassifier,
    observed: Observed,
    expects: Expects,
}

/// How a call is to end.
#[derive(Debug, Clone, Copy)]
enum Expects {
    /// A head first; or all was told that there is to tell.
    Nothing,
    /// The rest of an answer with a good head.
    Body(Verdict),
    /// Trailers that have the status of gRPC.
    Status,
}

// === impl StreamBalance ===

impl<K, S, H> StreamBalance<K, S, H> {
    pub(super) const fn new(balance: Balance<K, S, HttpClassifier, H>) -> Self {
        Self { balance }
    }
}

impl<K, S, H, Req, B> Service<Req> for StreamBalance<K, S, H>
where
    K: Eq + Hash + Clone + fmt::Debug,
    S: Service<Req, Response = Response<B>> + Clone,
    S::Error: From<Refused> + AsRefused,
    B: Body,
    H: Hints<Req>,
{
    type Response = Response<StreamBody<B, K>>;
    type Error = S::Error;
    type Future = StreamFuture<Oneshot<S, Req>, K>;

    /// Always ready, as [`Balance`] is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let Balance { endpoints, hints } = &self.balance;
        match endpoints.pick(&Wanted::of(hints, &req)) {
            Ok((service, lease)) => StreamFuture {
                call: OrRefused::Call { call: Oneshot::new(service, req) },
                open: Some(Open {
                    lease,
                    judge: Arc::clone(endpoints.judge()),
                    classifier: endpoints.classifier,
                    observed: endpoints.observed.clone(),
                    expects: Expects::Nothing,
                }),
            },
            Err(by) => StreamFuture { call: OrRefused::Refused { by }, open: None },
        }
    }
}

impl<K, S, H: Clone> Clone for StreamBalance<K, S, H> {
    fn clone(&self) -> Self {
        Self { balance: self.balance.clone() }
    }
}

impl<K: fmt::Debug, S, H> fmt::Debug for StreamBalance<K, S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamBalance").field(&self.balance).finish()
    }
}

// === impl StreamFuture ===

impl<F, K, B, E> Future for StreamFuture<F, K>
where
    F: Future<Output = Result<Response<B>, E>>,
    K: fmt::Debug,
    B: Body,
    E: From<Refused> + AsRefused,
{
    type Output = Result<Response<StreamBody<B, K>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.call.poll(cx));
        let mut open = this.open.take();
        if let Some(open) = &mut open {
            open.answered(&outcome);
        }
        Poll::Ready(outcome.map(|answer| answer.map(|body| StreamBody::new(body, open))))
    }
}

impl<F, K: fmt::Debug> fmt::Debug for StreamFuture<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamFuture").finish_non_exhaustive()
    }
}

// === impl StreamBody ===

impl<B: Body, K: fmt::Debug> StreamBody<B, K> {
    fn new(body: B, mut open: Option<Open<K>>) -> Self {
        if body.is_end_stream()
            && let Some(open) = open.take()
        {
            open.ended(None);
        }
        Self { body, open }
    }
}

impl<B: Body, K: fmt::Debug> Body for StreamBody<B, K> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        match &frame {
            None => this.open.take().into_iter().for_each(|open| open.ended(None)),
            Some(Err(_)) => this.open.take().into_iter().for_each(Open::broke_off),
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref()
                    && let Some(open) = this.open.take()
                {
                    open.ended(Some(trailers));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug, K: fmt::Debug> fmt::Debug for StreamBody<B, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamBody").field(&self.body).finish()
    }
}

// === impl Open ===

impl<K: fmt::Debug> Open<K> {
    /// The head is there, or there will be none.
    fn answered<B, E: AsRefused>(&mut self, outcome: &Result<Response<B>, E>) {
        let (now, verdict) = (clock::now(), self.classifier.classify(outcome));
        self.judge.answered(now, &self.lease, &verdict);
        let known = self.lease.known();
        self.judge.reported(now, known, || self.classifier.load_report(outcome));
        self.expects = match outcome {
            Ok(head) if verdict.class == Class::Success && has_status_in_trailers(head) => {
                Expects::Status
            }
            Ok(_) if verdict.class == Class::Success => Expects::Body(verdict),
            // The caller may look at its body for long, or at none of it.
            _ => {
                self.judge.ended(now, &self.lease, &verdict, &self.observed);
                Expects::Nothing
            }
        };
    }

    /// All of the answer is there.
    fn ended(mut self, trailers: Option<&HeaderMap>) {
        let (now, none) = (clock::now(), HeaderMap::new());
        let trailers = trailers.unwrap_or(&none);
        self.judge.reported(now, self.lease.known(), || HttpClassifier::load(trailers));
        if let Expects::Status = self.expects {
            let verdict = self.classifier.judge_trailers(trailers);
            if verdict.class != Class::Success {
                self.judge.answered(now, &self.lease, &verdict);
            }
            self.expects = Expects::Body(verdict);
        }
    }

    /// The rest of the answer does not come.
    fn broke_off(mut self) {
        if !matches!(self.expects, Expects::Nothing) {
            self.expects = Expects::Body(Verdict::failure(Class::Unreachable));
        }
    }
}

impl<K: fmt::Debug> Drop for Open<K> {
    fn drop(&mut self) {
        if let Expects::Body(verdict) = &self.expects {
            self.judge.ended(clock::now(), &self.lease, verdict, &self.observed);
        }
    }
}

/// Whether an answer is one of gRPC whose status is still to come. (With gRPC-Web it comes in the
/// body, where nobody looks.)
fn has_status_in_trailers<B>(head: &Response<B>) -> bool {
    let kind = head.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| grpc::is_content_type(kind.as_bytes()))
        && !head.headers().contains_key(GRPC_STATUS)
}

#[cfg(test)]
mod tests;
