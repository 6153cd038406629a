//! What a worker counts, and how counts of several workers add up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailureKind {
    /// No TCP connection.
    Connect,
    /// No TLS session, or not the protocol that was asked for.
    Tls,
    /// No complete answer within the timeout.
    Timeout,
    /// The server closed the connection before the answer was complete.
    Closed,
    /// Sending or receiving failed.
    Io,
    /// The answer broke the rules of HTTP.
    Protocol,
    /// The server reset the HTTP/2 stream.
    Reset,
}

/// One request without an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) detail: String,
}

/// One answered request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body_bytes: u64,
}

/// Counts of one worker, or of all of them.
pub(crate) struct Tally {
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    statuses: Vec<u64>,
    pub(crate) failures: BTreeMap<FailureKind, (u64, String)>,
    pub(crate) body_bytes: u64,
    /// Scheduled requests that could not be started before the end of an open-loop run.
    pub(crate) missed: u64,
    /// From the first allowed start to the last answer.
    pub(crate) elapsed: Duration,
}

/// Three significant digits: an error of one in a thousand at any size.
const SIGNIFICANT_DIGITS: u8 = 3;

/// An hour; a longer latency is recorded as this.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// Statuses are three digits (RFC 9110 section 15).
const STATUSES: usize = 1000;

// === impl FailureKind ===

impl FailureKind {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Io => "io",
            Self::Protocol => "protocol",
            Self::Reset => "reset",
        }
    }
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(kind: FailureKind, detail: impl ToString) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_NANOS, SIGNIFICANT_DIGITS)
            .expect("constant bounds with up to five digits are accepted");
        Self {
            latencies,
            statuses: vec![0; STATUSES],
            failures: BTreeMap::new(),
            body_bytes: 0,
            missed: 0,
            elapsed: Duration::ZERO,
        }
    }

    pub(crate) fn answered(&mut self, answer: Answer, start: Instant, now: Instant) {
        let nanos = now.saturating_duration_since(start).as_nanos() as u64;
        self.latencies.saturating_record(nanos.max(1));
        self.body_bytes += answer.body_bytes;
        if let Some(count) = self.statuses.get_mut(usize::from(answer.status)) {
            *count += 1;
        }
    }

    pub(crate) fn failed(&mut self, failure: Failure) {
        let entry = self.failures.entry(failure.kind).or_insert((0, failure.detail));
        entry.0 += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        // Both histograms have the same bounds, so any recorded value fits.
        let _ = self.latencies.add(&other.latencies);
        for (mine, theirs) in self.statuses.iter_mut().zip(&other.statuses) {
            *mine += theirs;
        }
        for (kind, (count, detail)) in &other.failures {
            self.failures.entry(*kind).or_insert_with(|| (0, detail.clone())).0 += count;
        }
        self.body_bytes += other.body_bytes;
        self.missed += other.missed;
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// Statuses that were seen, with their counts.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (usize, u64)> {
        self.statuses.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    pub(crate) fn answered_count(&self) -> u64 {
        self.statuses.iter().sum()
    }

    pub(crate) fn failed_count(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }
}
