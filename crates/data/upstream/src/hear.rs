//! What is learned of an endpoint from how attempts go.

use std::time::{Duration, Instant};

use weft_message::{Fields, Known, ResponseHead, grpc};
use weft_model::outcome::Reason;
use weft_resilience::grpc::is_content_type;
use weft_resilience::outlier::{Ejection, Signal};
use weft_resilience::pushback::Pushback;
use weft_resilience::settings::{LoadReportSettings, PickerKind};

use crate::lease::Lease;
use crate::load_report;

/// What came back on a lease so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Heard {
    /// Nothing, or all that it says was taken in.
    #[default]
    Nothing,
    /// A head, which says it all.
    Outcome(Signal),
    /// The head of a gRPC answer: the trailers will tell.
    Grpc,
}

// === impl Lease ===

impl Lease {
    /// The head of the answer has come, the last one: no interim response. To be called before
    /// anything edits it.
    pub fn answered(&self, now: Instant, head: &ResponseHead) {
        let heard = Heard::new(head);
        self.heard.set(heard);
        let latency = now.saturating_duration_since(self.started);
        match heard {
            Heard::Outcome(signal) => self.note_latency(now, latency, signal, &head.fields),
            Heard::Grpc | Heard::Nothing => self.endpoint.latency.observe(now, latency),
        }
        self.note_load(now, &head.fields);
        if let Some(permit) = self.adaptive.take() {
            permit.complete(now);
        }
    }

    /// The answer is complete, with these trailers. Does nothing before [`Lease::answered`].
    pub fn ended(&self, now: Instant, trailers: Option<&Fields>) {
        let signal = match self.heard.take() {
            Heard::Nothing => return,
            Heard::Outcome(signal) => signal,
            Heard::Grpc => {
                let code = trailers.and_then(grpc::status).unwrap_or(GRPC_UNKNOWN);
                let signal = Signal::grpc(code);
                if let Some(trailers) = trailers.filter(|_| is_dear(signal)) {
                    self.note_latency(now, Duration::ZERO, signal, trailers);
                }
                signal
            }
        };
        if let Some(trailers) = trailers {
            self.note_load(now, trailers);
        }
        self.signal(now, signal);
    }

    /// The attempt gave no answer, or the answer broke off. Where that is not the endpoint's doing,
    /// nothing follows for it.
    pub fn failed(&self, now: Instant, reason: Reason) {
        self.heard.take();
        // Who waited in line until then has not come to the endpoint.
        if !reason.is_endpoints() || self.queues.get() {
            return;
        }
        if self.backend.settings().calling.bias.is_some() {
            let latency = now.saturating_duration_since(self.started);
            self.note_latency(now, latency, Signal::ConnectionFailure, &Fields::new());
        }
        self.signal(now, Signal::ConnectionFailure);
    }

    /// Feeds what was seen of the endpoint to passive health.
    pub(crate) fn signal(&self, now: Instant, signal: Signal) {
        if let Some(outlier) = &self.backend.outlier
            && let Some(ejection) = outlier.record(&self.endpoint.shared.passive, now, signal)
        {
            let Ejection { duration, count, trigger } = ejection;
            let (backend, endpoint) = (&self.backend.settings.id, self.endpoint.addr);
            tracing::warn!(%backend, %endpoint, ?duration, count, ?trigger, "set aside");
            self.backend.cells.eject(trigger);
            // What it said of its load is old when it comes back.
            self.endpoint.shared.reported.clear();
        }
    }

    /// How long an answer took, or what it costs an endpoint to have given such a one.
    fn note_latency(&self, now: Instant, latency: Duration, signal: Signal, fields: &Fields) {
        let load = &self.endpoint.latency;
        match &self.backend.settings().calling.bias {
            Some(bias) if is_dear(signal) => {
                let said = Pushback::of(|name| fields.get(name));
                load.penalize(now, latency, said.wait(), bias);
            }
            _ => load.observe(now, latency),
        }
    }

    fn note_load(&self, now: Instant, fields: &Fields) {
        if let Some(settings) = self.reports()
            && let Some(report) = load_report::read(fields)
        {
            self.endpoint.shared.reported.record(now, &report, settings);
        }
    }

    /// Whether reports of load matter, and how.
    fn reports(&self) -> Option<&LoadReportSettings> {
        match &self.backend.settings().calling.picker {
            PickerKind::WeightedByLoad(settings) => Some(settings),
            _ => None,
        }
    }
}

// === impl Heard ===

impl Heard {
    fn new(head: &ResponseHead) -> Self {
        if !head.fields.get(Known::ContentType).is_some_and(is_content_type) {
            return Self::Outcome(Signal::Status(head.status()));
        }
        match grpc::status(&head.fields) {
            Some(code) => Self::Outcome(Signal::grpc(code)),
            None if head.status() == 200 => Self::Grpc,
            None => Self::Outcome(Signal::Status(head.status())),
        }
    }
}

// === functions ===

/// A gRPC answer without a status counts as this (gRPC's "HTTP to gRPC Status Code Mapping").
const GRPC_UNKNOWN: u32 = 2;

/// Whether it is a refusal to serve more, or another failure.
fn is_dear(signal: Signal) -> bool {
    match signal {
        Signal::Status(status) => status == 429 || status >= 500,
        Signal::Failure | Signal::ConnectionFailure => true,
        Signal::Success | Signal::Connected => false,
    }
}

#[cfg(test)]
mod tests;
