//! Spreading calls over a set of endpoints that changes.
//!
//! [`Endpoints`] is the set: a handle that any number of clones share. Discovery puts endpoints in
//! and takes them out, by hand or from a stream of [`Change`]s; [`Balance`] is the service that
//! sends each call to one of them, and [`Endpoints::call`] does the same for plain functions.
//!
//! An endpoint that fails real calls is *ejected* for a while, as far as enough others are left. How
//! one is chosen, what ejects, and how a new one warms up is in [`BalanceSettings`]; that near ones
//! come before far ones, in the [`Place`] of each.
//!
//! # When a call ends
//!
//! With the future of the service, as everywhere in tower: for HTTP that is the head of the answer.
//! Where answers are long, or say only at their end how they went, as gRPC does, take
//! [`Balance::streaming`]: a call then lasts as long as the body of its answer, trailers included.
//!
//! # Reports of load
//!
//! With [`PickerKind::WeightedByLoad`](crate::settings::PickerKind::WeightedByLoad) shares follow
//! what endpoints say of their own load (ORCA, as in gRFC A51 and A58). Three hooks take it in:
//!
//! - in heads of answers, the fields `endpoint-load-metrics` and `endpoint-load-metrics-bin`, by
//!   [`HttpClassifier`](crate::classify::HttpClassifier), or what a
//!   [classifier](crate::classify::Classify::load_report) of your own finds;
//! - in trailers, the same fields, with [`Balance::streaming`];
//! - whatever comes by another way: [`Endpoints::report`].

use std::fmt;
use std::hash::Hash;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::classify::{ByError, Classify};
use crate::error::Refused;
use crate::gate::ResponseFuture;
use crate::oneshot::Oneshot;

mod endpoints;
mod hints;
mod member;
mod place;
mod set;
mod settings;
#[cfg(feature = "http")]
mod stream;

pub use weft_resilience::load::LoadReport;

pub use endpoints::{Change, Endpoints};
#[cfg(feature = "http")]
pub use hints::HttpHints;
pub use hints::{Hints, KeyHints, NoHints, Tried, Wanted};
pub use member::Lease;
pub use place::Place;
pub use settings::BalanceSettings;
#[cfg(feature = "http")]
pub use stream::{StreamBalance, StreamBody, StreamFuture};

/// Sends each call to one of a set of endpoints.
///
/// Inside of a [`Retry`](crate::Retry) or [`Hedge`](crate::Hedge), an attempt does not go to an
/// endpoint that an earlier one went to while there are others, if the requests tell which were
/// tried: those of HTTP do, with [`HttpHints`]. [`KeyHints`] keeps requests with the same key
/// together.
///
/// ```
/// use std::convert::Infallible;
/// use resilience_tower::{Balance, Endpoints, ErrorLayer, balance::BalanceSettings};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
/// for name in ["first", "second"] {
///     let client = service_fn(move |req: &'static str| async move {
///         Ok::<_, Infallible>(format!("{req} from the {name}"))
///     });
///     endpoints.insert(name, ErrorLayer.layer(client));
/// }
/// let service = Balance::new(endpoints.clone());
/// let answer = service.oneshot("hello").await.expect("both work");
/// assert!(answer.starts_with("hello from the "));
/// # }
/// ```
pub struct Balance<K, S, C = ByError, H = NoHints> {
    endpoints: Endpoints<K, S, C>,
    hints: H,
}

// === impl Balance ===

impl<K, S, C> Balance<K, S, C> {
    /// Over these endpoints, without regard to what is in a request.
    #[must_use]
    pub fn new(endpoints: Endpoints<K, S, C>) -> Self {
        Self { endpoints, hints: NoHints }
    }
}

impl<K, S, C, H> Balance<K, S, C, H> {
    /// Looks into requests for what decides on their endpoint.
    #[must_use]
    pub fn hinted_by<G>(self, hints: G) -> Balance<K, S, C, G> {
        Balance { endpoints: self.endpoints, hints }
    }
}

#[cfg(feature = "http")]
impl<K, S, H> Balance<K, S, crate::classify::HttpClassifier, H> {
    /// Lets a call last until its answer has ended, instead of to its head.
    #[must_use]
    pub const fn streaming(self) -> StreamBalance<K, S, H> {
        StreamBalance::new(self)
    }
}

impl<K, S, C, H, Req> Service<Req> for Balance<K, S, C, H>
where
    K: Eq + Hash + Clone + fmt::Debug,
    S: Service<Req> + Clone,
    S::Error: From<Refused>,
    C: Classify<Result<S::Response, S::Error>> + Clone,
    H: Hints<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<Oneshot<S, Req>, Endpoints<K, S, C>, Lease<K>>;

    /// Always ready: which endpoint is asked is decided in the call, and the wait for its service
    /// is part of it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let endpoints = self.endpoints.clone();
        match endpoints.pick(&Wanted::of(&self.hints, &req)) {
            Ok((service, lease)) => {
                ResponseFuture::begun(endpoints, lease, Oneshot::new(service, req))
            }
            Err(by) => ResponseFuture::refused(endpoints, by),
        }
    }
}

impl<K, S, C: Clone, H: Clone> Clone for Balance<K, S, C, H> {
    fn clone(&self) -> Self {
        Self { endpoints: self.endpoints.clone(), hints: self.hints.clone() }
    }
}

impl<K: fmt::Debug, S, C, H> fmt::Debug for Balance<K, S, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Balance").field(&self.endpoints).finish()
    }
}

#[cfg(test)]
mod tests;
