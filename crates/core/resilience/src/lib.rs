//! Resilience mechanisms as plain state machines: limits, breakers, budgets, health, pickers.
//!
//! Every mechanism has the same shape: its settings, the present moment and an event go in, a
//! decision comes out. Nothing here reads a clock, opens a socket, spawns, logs or draws its own
//! random numbers, so each runs inside a proxy, inside an application or on the virtual clock of a
//! test without a change. Of HTTP and gRPC only numbers of statuses and values of fields are known.
//!
//! | To | use |
//! | --- | --- |
//! | choose an endpoint | [`pick::Picker`], with [`load`] and [`slow_start`] |
//! | read what endpoints report of their load | `orca`, with the feature of that name |
//! | read when they want to be asked again | `pushback`, with the feature of that name |
//! | set endpoints aside | [`outlier::Outlier`] (passive), [`health::Active`] (active) |
//! | try again within reason | [`retry::Attempts`], [`retry::Backoff`], [`retry::RetryBudget`] |
//! | try a second time meanwhile | [`hedge::Hedge`] |
//! | end in time | [`deadline::Deadline`] |
//! | stop calling what fails | [`breaker::Breaker`] |
//! | limit what is under way | [`limits::Limits`], [`inflight::InFlight`] |
//! | the same for each client | [`inflight::KeyedInFlight`] |
//! | have that limit find itself | [`adaptive::AdaptiveLimit`] |
//! | limit a rate | [`bucket::TokenBucket`] |
//! | the same for each client | [`bucket::KeyedBuckets`], [`bucket::ClientBuckets`] |
//! | reuse connections safely | [`idle::LearnedIdle`] |
//!
//! # A call, put together
//!
//! The mechanisms do not know of each other. Whoever makes calls asks them in this order, and tells
//! them what came of it:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use weft_resilience::deadline::Deadline;
//! use weft_resilience::outlier::{EndpointHealth, Outlier, Signal};
//! use weft_resilience::pick::{Ask, Candidates, Picker};
//! use weft_resilience::retry::{Attempts, Backoff, RetryBudget};
//! use weft_resilience::rng::Rng;
//! use weft_resilience::settings::{
//!     BackoffSettings, BudgetSettings, OutlierSettings, PickerKind,
//! };
//!
//! /// Endpoints as the picker sees them at one moment.
//! struct View<'a>(&'a [EndpointHealth], Instant);
//!
//! impl Candidates for View<'_> {
//!     fn len(&self) -> usize { self.0.len() }
//!     fn weight(&self, _: usize) -> f64 { 1.0 }
//!     fn usable(&self, index: usize) -> bool { self.0[index].is_usable(self.1) }
//!     fn load(&self, _: usize) -> f64 { 0.0 }
//!     fn hash(&self, index: usize) -> u64 { index as u64 }
//! }
//!
//! // Of a process, or of a worker. The first two of the three endpoints fail all that they get.
//! let mut now = Instant::now();
//! let health: Vec<_> = (0..3).map(|_| EndpointHealth::new(now)).collect();
//! let outlier = Outlier::new(OutlierSettings::ISTIO, health.len());
//! let picker = Picker::new(PickerKind::RoundRobin);
//! let budget = RetryBudget::new(BudgetSettings::DEFAULT, now);
//! let rng = Rng::new(7);
//! let send = |endpoint: usize| if endpoint < 2 { 503 } else { 200 };
//!
//! // Of one request.
//! let deadline = Deadline::after(now, Duration::from_secs(1));
//! let mut attempts = Attempts::new(3);
//! let mut backoff = Backoff::new(BackoffSettings::envoy(Duration::from_millis(25)));
//! let _request = budget.request(now);
//! let (mut tried, mut retry) = (Vec::new(), None);
//! let status = loop {
//!     assert!(attempts.begin());
//!     let ask = Ask { tried: &tried, ..Ask::new(now) };
//!     let picked = picker.pick(&View(&health, now), &ask, &rng).expect("one is usable");
//!     let status = send(picked);
//!     outlier.record(&health[picked], now, Signal::Status(status));
//!     if status < 500 || attempts.left() == 0 {
//!         break status;
//!     }
//!     let Some(wait) = backoff.next_within(now, None, deadline, &rng) else { break status };
//!     retry = budget.try_retry(now);
//!     if retry.is_none() {
//!         break status; // others have used it up
//!     }
//!     now += wait; // here a caller sleeps
//!     tried.push(picked);
//! };
//! assert_eq!(status, 200);
//! # drop(retry);
//! ```
//!
//! # Words of others
//!
//! [`settings`] has the defaults that users of these know, as constants:
//!
//! | Theirs | Here |
//! | --- | --- |
//! | Istio `outlierDetection` | [`OutlierSettings::ISTIO`](settings::OutlierSettings::ISTIO) |
//! | Linkerd failure accrual | [`OutlierSettings::LINKERD_CONSECUTIVE`], [`LINKERD_UNIFIED`] |
//! | Linkerd `penalize-failures` | [`load::PeakEwma::penalize`] |
//! | Traefik `passiveHealthCheck` | [`settings::OutlierSettings::traefik`] |
//! | Istio `consistentHash` | [`settings::RingHashSettings`], [`settings::MaglevSettings`] |
//! | Istio `localityLbSetting` | [`pick::Picker::with_locality`] |
//! | Istio `warmup` | [`slow_start`] |
//! | Istio `connectionPool`, Envoy circuit breakers | [`limits::Limits`] |
//! | Istio `retryBudget`, Envoy `retry_budget` | [`settings::ActiveBudget`] |
//! | Linkerd `retryBudget`, Gateway API `retryConstraint` | [`settings::RecentBudget`] |
//! | Linkerd `HTTPLocalRateLimitPolicy` | [`bucket::ClientBuckets`] |
//! | Traefik `rateLimit`, `inFlightReq`, `circuitBreaker` | [`bucket`], [`inflight`], [`breaker`] |
//! | Envoy adaptive concurrency | [`adaptive`] |
//! | gRPC client-side weighted round robin | [`settings::PickerKind::WeightedByLoad`] |
//!
//! [`OutlierSettings::LINKERD_CONSECUTIVE`]: settings::OutlierSettings::LINKERD_CONSECUTIVE
//! [`LINKERD_UNIFIED`]: settings::OutlierSettings::LINKERD_UNIFIED
//!
//! # Time and chance
//!
//! The present is a [`std::time::Instant`] argument. Types that keep time in atomics take an
//! *epoch* when they are made: any instant not later than the first event, best one per process. An
//! earlier instant counts as the epoch, and time that goes backwards a little (threads that read
//! the clock in turn) is harmless everywhere. Chance comes from a [`rng::Rng`] that the caller
//! seeds; where a mechanism of a whole process spreads what it does in time, from the nanosecond at
//! which something happened.
//!
//! # Threads
//!
//! What must hold for a whole process ([`bucket`], [`inflight`], [`limits`], [`adaptive`],
//! [`breaker`], [`outlier`], [`hedge`], [`retry::RetryBudget`], [`load::ReportedLoad`]) is
//! [`Sync`]: relaxed atomics, and a mutex only where its page says why it is short. What is asked
//! on each request by one worker ([`pick`], [`load::PeakEwma`], [`idle`], [`rng`]) lives in cells
//! and is not. Once warm, nothing on the request path allocates, but for a source seen for the
//! first time in a keyed limit; tables of pickers are made anew when the list changes.

pub mod adaptive;
pub mod breaker;
pub mod bucket;
pub mod deadline;
pub mod grpc;
pub mod hash;
pub mod health;
pub mod hedge;
pub mod idle;
pub mod inflight;
pub mod jitter;
pub mod limits;
pub mod load;
#[cfg(feature = "orca")]
pub mod orca;
pub mod outlier;
pub mod pick;
#[cfg(feature = "protobuf")]
pub mod protobuf;
#[cfg(feature = "pushback")]
pub mod pushback;
pub mod retry;
pub mod rng;
pub mod settings;
pub mod slow_start;
pub mod window;

mod clock;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_clock;
