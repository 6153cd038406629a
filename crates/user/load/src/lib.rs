//! The load generator behind `weftway bench URL`.
//!
//! Two shapes of load:
//!
//! - **closed loop**: every connection sends its next request when the last one is answered;
//! - **open loop** (`rate_per_sec` is set): requests start on a fixed schedule whatever the server
//!   does, and a latency counts from the *intended* start. A server that stalls is charged for
//!   every request that had to wait behind the stall (no coordinated omission).
//!
//! [`run`] blocks: it starts its own threads, each with its own single-threaded runtime, and
//! returns a [`Report`]. This is client code that a person runs, not the data path of the proxy.
#![allow(
    clippy::disallowed_methods,
    reason = "a load generator reads the clock and owns its threads; it is no part of the proxy"
)]

mod dial;
mod error;
mod h1;
mod h2;
mod options;
mod pace;
mod render;
mod report;
mod tally;
mod target;
mod tls;
mod worker;

pub use error::LoadError;
pub use options::{Options, Protocol, Trust};
pub use report::{Bucket, Latencies, Report};
pub use tally::FailureKind;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use worker::Live;

/// How far a run has come; handed to the progress callback of [`run`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Requests answered so far, over all threads.
    pub answered: u64,
    /// Requests that ended without an answer so far.
    pub failed: u64,
    /// Time since the first request was allowed to start; zero while connections are opened.
    pub elapsed: Duration,
    /// Requests asked for, when the run is bounded by a count.
    pub requests: Option<u64>,
    /// Time asked for, when the run is bounded by a duration.
    pub duration: Option<Duration>,
}

/// How often the progress callback is called.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the load that `options` describe and blocks until it has ended.
///
/// `progress` is called on the calling thread about ten times a second.
///
/// # Errors
///
/// [`LoadError`] when the options make no sense (a bad URL, header or certificate) or the machine
/// refuses a thread or a timer. A server that cannot be reached is no error: its failed requests
/// are counted in the [`Report`] with their reason.
pub fn run(options: &Options, mut progress: impl FnMut(Progress)) -> Result<Report, LoadError> {
    let plan = Arc::new(target::Plan::new(options)?);
    let live = Arc::new(Live::new(plan.threads));
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut threads = Vec::with_capacity(plan.threads);
    for index in 0..plan.threads {
        threads.push(worker::start(index, &plan, &live, sender.clone())?);
    }
    drop(sender);

    let mut total = tally::Tally::new();
    let mut failure = None;
    loop {
        match receiver.recv_timeout(PROGRESS_INTERVAL) {
            Ok(Ok(tally)) => total.merge(&tally),
            Ok(Err(error)) => failure = Some(error),
            Err(RecvTimeoutError::Timeout) => progress(snapshot(&live, options)),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    for thread in threads {
        // A worker reports through the channel; a panic in it leaves no message.
        thread.join().map_err(|_| LoadError::WorkerDied)?;
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(Report::new(options, &plan, &total)),
    }
}

fn snapshot(live: &Live, options: &Options) -> Progress {
    Progress {
        answered: live.answered.load(Ordering::Relaxed),
        failed: live.failed.load(Ordering::Relaxed),
        elapsed: live.elapsed(),
        requests: options.effective_requests(),
        duration: options.duration,
    }
}

#[cfg(test)]
mod tests;
