//! Calls that survive an upstream's bad day: tower layers and plain async functions.
//!
//! | To | layer | function |
//! | --- | --- | --- |
//! | end in time | [`Timeout`] | [`timeout()`], [`Timeout::run`] |
//! | try again, within a budget | [`Retry`] | [`retry()`] |
//! | ask twice when it takes long | [`Hedge`] | [`hedge()`] |
//! | stop calling what fails | [`Breaker`] | [`Breaker::call`] |
//! | bound how often | [`RateLimit`], [`RateLimitByKey`] | [`RateLimit::call`], [`RateLimitByKey::call`] |
//! | bound how many at one time, fixed or adaptive | [`ConcurrencyLimit`] | [`ConcurrencyLimit::call`] |
//! | spread over endpoints, near ones first, and set failing ones aside | [`Balance`] | [`Endpoints::call`] |
//!
//! The mechanisms are those of the Weftway proxy, as one crate of state machines without clock or
//! I/O (`weft-resilience`); here is only what connects them to tokio and tower. Nothing else of
//! Weftway is needed, and no proxy.
//!
//! # The order of layers
//!
//! Outermost first, as in a [`tower::ServiceBuilder`]; leave out what you do not need:
//!
//! ```text
//!        the caller
//!            |
//!   +--------v---------+
//!   | Timeout          |  the whole call: what the caller waits for at most
//!   +------------------+
//!   | Retry            |  each attempt passes through all below
//!   +------------------+
//!   | Hedge            |  a slow attempt becomes two
//!   +------------------+
//!   | Timeout          |  each attempt: one that hangs leaves time for another
//!   +------------------+
//!   | Breaker          |  sees attempts as they end, timeouts included
//!   +------------------+
//!   | RateLimit        |  attempts are what an upstream has to bear,
//!   | ConcurrencyLimit |  so limits count them and not calls
//!   +------------------+
//!   | Balance          |  chooses an endpoint, ejects those that fail
//!   +--+-----+-----+---+
//!      |     |     |
//!   +--v-----v-----v---+
//!   | ErrorLayer       |  one error type for all of the above
//!   +------------------+
//!   | client           |  hyper, tonic, reqwest, or any other service
//!   +------------------+
//! ```
//!
//! On a server: [`AnswerLayer`] outermost, then limits, then [`ErrorLayer`], then the handlers.
//!
//! # A worked example
//!
//! A client for a service with two instances, by any client that is a service of HTTP requests:
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use resilience_tower::balance::{BalanceSettings, HttpHints};
//! use resilience_tower::retry::RetrySettings;
//! use resilience_tower::{
//!     Balance, Breaker, ConcurrencyLimit, Endpoints, ErrorLayer, Retry, Timeout, breaker,
//! };
//! use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In place of a real client: one instance always fails.
//! let instance = |status: u16| {
//!     ErrorLayer.layer(service_fn(move |_: Request<Full<Bytes>>| async move {
//!         Response::builder().status(status).body(())
//!     }))
//! };
//! let endpoints = Endpoints::http(BalanceSettings::DEFAULT);
//! endpoints.insert("10.0.0.1:8080", instance(503));
//! endpoints.insert("10.0.0.2:8080", instance(200));
//!
//! let payments = ServiceBuilder::new()
//!     .layer(Timeout::new(Duration::from_secs(2)))
//!     .layer(Retry::http(RetrySettings::DEFAULT))
//!     .layer(Timeout::new(Duration::from_millis(500)))
//!     .layer(Breaker::http(&breaker::on_failure_ratio(0.8, 50)))
//!     .layer(ConcurrencyLimit::fixed(1_000))
//!     .service(Balance::new(endpoints.clone()).hinted_by(HttpHints));
//!
//! // Whichever instance it goes to first, the answer is the good one's.
//! for _ in 0..10 {
//!     let req = Request::get("http://payments/v2/balance").body(Full::default())?;
//!     assert_eq!(payments.clone().oneshot(req).await?.status(), 200);
//! }
//! // After five failures in a row the bad one is left alone for a while.
//! # Ok(())
//! # }
//! ```
//!
//! Clones of a service share what it knows. Make one stack for each upstream when the program
//! starts, and clone it for each call.
//!
//! # Why in this order
//!
//! - A **timeout around everything** is what the caller was promised. It ends retries too, so it is
//!   outside of them; the one **for each attempt** is inside, or one that hangs takes all the time.
//! - **Retry around breaker and limits**: each attempt is a call to the upstream. Outside of it a
//!   breaker would not see what retries hide, and a limit would let three calls pass as one.
//! - **Hedge inside of retry**: an attempt may be two; a retry follows when both have failed. The
//!   other way round, a retry that waits would be hedged.
//! - **Breaker outside of limits**: what a limit refuses says nothing of the upstream, and an open
//!   breaker takes no place and no token.
//! - **Balance innermost**, so that each attempt and each hedge chooses an endpoint of its own. A
//!   breaker or limit of *one endpoint* goes between it and that endpoint's client:
//!   `endpoints.insert(addr, limit.layer(client))`.
//!
//! # Clients
//!
//! - **hyper**: `hyper_util::client::legacy::Client` is a service of `http::Request`; it fits as it
//!   is. A body that cannot be cloned can still be repeated: [`replay::ReplayBody`].
//! - **tonic**: a channel is such a service, and generated clients take the stack in its place:
//!   the module `grpc`, with the feature `tonic`. Take [`Balance::streaming`], since most of gRPC's
//!   statuses come in trailers.
//! - **reqwest**: `reqwest::Client` is a service of requests of its own. A [`replay::Replay`] and a
//!   [`classify::Classify`] of a few lines each, by [`replay::HttpReplay::permits`] and
//!   [`classify::HttpClassifier::judge`], tell the layers what they want to know; the example
//!   `reqwest` has them. Or the plain functions go around its calls
//!   (`retry(&policy, || client.get(url).send())`, with [`classify::ByResult`]).
//! - **Others**: the plain functions go around any future.
//!
//! # Beside tower's own layers
//!
//! A layer needs a service below it that is `Clone`, since a call may become several. Clones of a
//! service are not ready because the original was, so each call clones the service below and waits
//! until its own clone is ready, inside of the call:
//!
//! - `tower::buffer`: put it around a service that is not `Clone`, below these layers; above them it
//!   has nothing to do.
//! - `tower::limit`, below: a call waits for its permit, and a [`Timeout`] farther out bounds that
//!   wait. [`ConcurrencyLimit`] and [`RateLimit`] refuse instead.
//! - `tower::load_shed`, above: never sheds, as these layers are always ready; below, around a
//!   service that has to wait, it refuses in its place.
//! - `BoxCloneService`, `BoxCloneSyncService`, `ServiceExt::oneshot`: as with any other service.
//!   Layers are `Sync` where their parts are.
//!
//! # Promises of every layer
//!
//! - Services are `Clone`, and `Send` where their parts are; clones share one state.
//! - **Nothing queues.** A call that may not go on is refused at once by a [`Refused`], which says
//!   by what and, where that is known, when to come back.
//! - **`poll_ready` reserves nothing.** A layer decides in the call, and the wait until the service
//!   below is ready is part of it. A service that was polled and never called holds no permit.
//! - **Dropping a call cancels it**: permits come back, and it counts neither as a success nor as a
//!   failure.
//! - Errors are those of the service below ([`ErrorLayer`]), in which a refusal can be told from a
//!   failure ([`AsRefused`]).
//! - Observers hear what happens: [`observe`].
//! - A policy of your own becomes a layer like these: [`gate`].
//!
//! - **Nothing is allocated** for a call once the state is warm, neither by a layer nor by a pick of
//!   up to four attempts; but a request of HTTP that may be repeated is copied, and a source of a
//!   [`RateLimitByKey`] is remembered. Futures are as large as what they hold and some hundred bytes; that of a [`Hedge`]
//!   holds two calls. A deep stack around large futures is best boxed once, outermost.
//!
//! Services need a tokio runtime with its clock enabled. State takes no locks across waits and
//! spawns nothing.
//!
//! # Features
//!
//! - `http` (default): judging `http::Response`, repeating `http::Request`, answers for servers,
//!   attempts across hops.
//! - `tonic`: repeating tonic's requests, refusals as `tonic::Status`.
//!
//! # Versions
//!
//! Rust 1.95 or later (edition 2024). What may grow without a breaking change is
//! `#[non_exhaustive]`: refusals, reasons, events, verdicts, settings of this crate; the
//! [settings] of the state machines are plain values, to be made with `..X::DEFAULT`. Of other
//! crates, types of `http`, `http-body`, `bytes`, `tower-service`, `tower-layer`, `futures-core` and,
//! with its feature, `tonic` are part of the interface: a new major version of one is one of this
//! crate.
//!
//! [`tower::ServiceBuilder`]: https://docs.rs/tower/latest/tower/struct.ServiceBuilder.html

#[cfg(feature = "http")]
mod answer;
pub mod balance;
pub mod breaker;
mod chance;
pub mod classify;
mod clock;
pub mod concurrency;
mod error;
pub mod gate;
#[cfg(feature = "tonic")]
pub mod grpc;
pub mod hedge;
#[cfg(feature = "http")]
pub mod hop;
pub mod observe;
mod oneshot;
pub mod rate;
pub mod replay;
pub mod retry;
pub mod settings;
pub mod timeout;

#[cfg(feature = "http")]
pub use answer::{AnswerLayer, AnswerService, answer};
pub use balance::{Balance, Endpoints};
pub use breaker::Breaker;
pub use concurrency::ConcurrencyLimit;
pub use error::{AsRefused, BoxError, Error, ErrorLayer, ErrorService, GaveUp, Refused, Stop};
pub use hedge::{Hedge, hedge};
pub use oneshot::Oneshot;
pub use rate::{RateLimit, RateLimitByKey};
pub use retry::{Retry, retry};
pub use timeout::{Timeout, timeout};

#[cfg(test)]
mod tests;
