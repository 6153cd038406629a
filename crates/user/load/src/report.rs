//! What a run found, as numbers; `render` shows it to people.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::options::Options;
use crate::tally::Tally;
use crate::target::Plan;

/// The result of a run. Serialised in camelCase; latencies are milliseconds, as
/// `latencies.unit` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The URL as given.
    pub url: String,
    /// The request method.
    pub method: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: String,
    /// Connections over all threads.
    pub connections: usize,
    /// Requests in flight on one connection.
    pub streams: usize,
    /// Threads that made the load.
    pub threads: usize,
    /// The asked-for rate in requests per second; absent in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_rps: Option<f64>,
    /// Seconds from the first allowed start to the last answer.
    pub duration: f64,
    /// Answered requests, whatever their status.
    pub requests: u64,
    /// Requests without an answer; the sum of `errors`.
    pub failed: u64,
    /// Open loop: requests that were due before the end and could not be started.
    pub missed: u64,
    /// Answered requests per second.
    pub rps: f64,
    /// Bytes of response bodies, without heads and framing.
    pub bytes: u64,
    /// Answered requests by status code.
    pub status_codes: BTreeMap<String, u64>,
    /// Requests without an answer, by [`FailureKind`](crate::FailureKind).
    pub errors: BTreeMap<String, u64>,
    /// One message for each kind of error.
    pub error_samples: BTreeMap<String, String>,
    /// Latencies of answered requests.
    pub latencies: Latencies,
    /// The same latencies as counts between bounds, in order.
    pub histogram: Vec<Bucket>,
}

/// Latencies of answered requests, in milliseconds; all zero when nothing was answered. In an open
/// loop they count from the intended start of each request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Latencies {
    /// Always `ms`.
    pub unit: &'static str,
    /// Shortest.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 75th percentile.
    pub p75: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Longest.
    pub max: f64,
}

/// How many latencies lie above the bound before and up to this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Bucket {
    /// Upper bound in milliseconds, inclusive.
    pub up_to: f64,
    /// Answered requests in this bucket.
    pub count: u64,
}

/// Equal steps up to the 99th percentile; the tail gets one bucket of its own, or a single slow
/// answer would squeeze all others into one bar.
const STEPS: u64 = 10;

// === impl Report ===

impl Report {
    pub(crate) fn new(options: &Options, plan: &Plan, tally: &Tally) -> Self {
        let duration = tally.elapsed.as_secs_f64();
        let requests = tally.answered_count();
        let failures = || tally.failures.iter();
        Self {
            url: options.url.clone(),
            method: options.method.clone(),
            protocol: plan.protocol.as_str().to_owned(),
            connections: plan.connections,
            streams: plan.streams,
            threads: plan.threads,
            target_rps: plan.rate_per_sec,
            duration,
            requests,
            failed: tally.failed_count(),
            missed: tally.missed,
            rps: if duration > 0.0 { requests as f64 / duration } else { 0.0 },
            bytes: tally.body_bytes,
            status_codes: tally.statuses().map(|(code, n)| (code.to_string(), n)).collect(),
            errors: failures().map(|(kind, (n, _))| (kind.as_str().to_owned(), *n)).collect(),
            error_samples: failures()
                .map(|(kind, (_, detail))| (kind.as_str().to_owned(), detail.clone()))
                .collect(),
            latencies: Latencies::new(&tally.latencies),
            histogram: buckets(&tally.latencies),
        }
    }

    /// Whether every request was answered, with a status below 500.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.status_codes.keys().all(|code| !code.starts_with('5'))
    }
}

// === impl Latencies ===

impl Latencies {
    fn new(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Self {
            unit: "ms",
            min: if histogram.is_empty() { 0.0 } else { millis(histogram.min()) },
            mean: millis(histogram.mean() as u64),
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(histogram.max()),
        }
    }
}

fn buckets(histogram: &Histogram<u64>) -> Vec<Bucket> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let (low, tail, high) = (histogram.min(), histogram.value_at_quantile(0.99), histogram.max());
    let mut bounds: Vec<u64> = (1..=STEPS).map(|step| low + (tail - low) * step / STEPS).collect();
    bounds.push(high);
    bounds.dedup();
    let mut seen = 0;
    let mut buckets = Vec::with_capacity(bounds.len());
    for bound in bounds {
        let up_to = histogram.count_between(0, bound);
        buckets.push(Bucket { up_to: millis(bound), count: up_to.saturating_sub(seen) });
        seen = up_to.max(seen);
    }
    buckets
}

/// Nanoseconds to milliseconds, rounded to 0.1 µs: finer digits are noise.
fn millis(nanos: u64) -> f64 {
    ((nanos + 50) / 100) as f64 / 10_000.0
}
