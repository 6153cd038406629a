//! What is counted of DNS.

use std::time::Duration;

use weft_runtime::metrics::{Collect, Counter, Histogram, Sink};

use crate::answer::Outcome;

/// Counts of one responder. Written by the control thread only.
#[derive(Debug, Default)]
pub struct DnsMetrics {
    queries: [Counter; Ended::ALL.len()],
    failures: [Counter; Failure::ALL.len()],
    limits: [Counter; Limit::ALL.len()],
    here: Histogram,
    upstream: Histogram,
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Found,
    NoData,
    NoName,
    Refused,
    /// An upstream resolver replied.
    Forwarded,
    /// Nobody who had to know replied, or too many queries were under way.
    Failed,
    /// It was no query, and got no reply.
    Dropped,
}

/// Why an upstream resolver gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Timeout,
    Unreachable,
    /// It replied that it fails or refuses.
    Refused,
}

/// What there may be too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Queries,
    Connections,
}

/// Who gave the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Here,
    Upstream,
}

// === impl DnsMetrics ===

impl DnsMetrics {
    /// Counts the end of a query, and what it took.
    pub(crate) fn ended(&self, ended: Ended, by: By, took: Duration) {
        self.queries[ended as usize].inc();
        match by {
            By::Here => self.here.observe(took),
            By::Upstream => self.upstream.observe(took),
        }
    }

    /// Counts a question to an upstream resolver without an answer.
    pub(crate) fn upstream_failed(&self, failure: Failure) {
        self.failures[failure as usize].inc();
    }

    /// Counts that a limit was reached.
    pub(crate) fn limited(&self, limit: Limit) {
        self.limits[limit as usize].inc();
    }
}

impl Collect for DnsMetrics {
    fn collect(&self, sink: &mut Sink) {
        for ended in Ended::ALL {
            sink.counter(
                "weftway_dns_queries_total",
                "Queries of the workload that have ended.",
                &[("outcome", ended.as_str())],
                self.queries[ended as usize].value(),
            );
        }
        for (by, histogram) in [("here", &self.here), ("upstream", &self.upstream)] {
            sink.histogram(
                "weftway_dns_query_duration_seconds",
                "From a query to its reply.",
                &[("by", by)],
                histogram,
            );
        }
        for failure in Failure::ALL {
            sink.counter(
                "weftway_dns_upstream_failures_total",
                "Questions to upstream resolvers that got no answer.",
                &[("reason", failure.as_str())],
                self.failures[failure as usize].value(),
            );
        }
        for limit in Limit::ALL {
            sink.counter(
                "weftway_limit_reached_total",
                "How often a limit was reached.",
                &[("limit", limit.as_str())],
                self.limits[limit as usize].value(),
            );
        }
    }
}

// === impl Ended ===

impl Ended {
    const ALL: [Self; 7] = [
        Self::Found,
        Self::NoData,
        Self::NoName,
        Self::Refused,
        Self::Forwarded,
        Self::Failed,
        Self::Dropped,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NoData => "no_data",
            Self::NoName => "no_name",
            Self::Refused => "refused",
            Self::Forwarded => "forwarded",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Found => Self::Found,
            Outcome::NoData => Self::NoData,
            Outcome::NoName => Self::NoName,
            Outcome::Refused => Self::Refused,
        }
    }
}

// === impl Failure ===

impl Failure {
    const ALL: [Self; 3] = [Self::Timeout, Self::Unreachable, Self::Refused];

    fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }
}

// === impl Limit ===

impl Limit {
    const ALL: [Self; 2] = [Self::Queries, Self::Connections];

    fn as_str(self) -> &'static str {
        match self {
            Self::Queries => "dns_queries",
            Self::Connections => "dns_connections",
        }
    }
}
