//! Resilience mechanisms as plain state machines: limits, breakers, budgets, health, pickers.
//!
//! Every mechanism has the same shape: its settings, the present moment and an event go in, a
//! decision comes out. Nothing here reads a clock, opens a socket, spawns, logs or draws its own
//! random numbers, so each runs inside a proxy, inside an application or on the virtual clock of a
//! test without a change. Nothing knows HTTP beyond status numbers.
//!
//! | To | use |
//! | --- | --- |
//! | limit a rate | [`bucket::TokenBucket`], [`bucket::KeyedBuckets`] |
//! | limit what is under way | [`inflight::InFlight`], [`inflight::KeyedInFlight`] |
//! | stop calling what fails | [`breaker::Breaker`] |
//! | try again within reason | [`retry::Attempts`], [`retry::Backoff`], [`retry::RetryBudget`] |
//! | end in time | [`deadline::Deadline`] |
//! | choose an endpoint | [`pick::Picker`], with [`load`] and [`slow_start`] |
//! | set endpoints aside | [`outlier::Outlier`] (passive), [`health::Active`] (active) |
//! | reuse connections safely | [`idle::LearnedIdle`] |
//!
//! # Time and chance
//!
//! The present is a [`std::time::Instant`] argument. Types that keep time in atomics take an
//! *epoch* when they are made: any instant not later than the first event, best one per process. An
//! earlier instant counts as the epoch, and time that goes backwards a little (threads that read
//! the clock in turn) is harmless everywhere. Chance comes from a [`rng::Rng`] that the caller
//! seeds.
//!
//! # Threads
//!
//! What must hold for a whole process ([`bucket`], [`inflight`], [`breaker`], [`outlier`],
//! [`retry::RetryBudget`]) is [`Sync`]: relaxed atomics, and a mutex only where its page says why
//! it is short. What is asked on each request by one worker ([`pick`], [`load`], [`idle`], [`rng`])
//! lives in cells and is not. Once warm, nothing on the request path allocates, but for a source
//! seen for the first time in a keyed limit.
//!
//! # Example
//!
//! ```
//! use std::time::{Duration, Instant};
//! use weft_resilience::bucket::{Admission, TokenBucket};
//! use weft_resilience::settings::RateSettings;
//!
//! let start = Instant::now();
//! let settings = RateSettings { average: 10, period: Duration::from_secs(1), burst: 1 };
//! let bucket = TokenBucket::new(settings, start);
//!
//! assert_eq!(bucket.take(start), Admission::Pass);
//! let refused = Admission::Refuse { retry_after: Duration::from_millis(100) };
//! assert_eq!(bucket.take(start), refused);
//! assert_eq!(bucket.take(start + Duration::from_millis(100)), Admission::Pass);
//! ```

pub mod breaker;
pub mod bucket;
pub mod deadline;
pub mod hash;
pub mod health;
pub mod idle;
pub mod inflight;
pub mod jitter;
pub mod load;
pub mod outlier;
pub mod pick;
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
