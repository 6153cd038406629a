//! What a control plane counts.
//!
//! Counters and histograms are written as things happen, gauges by [`ControlPlane::measure`], which
//! whoever renders the metrics calls before: how many proxies are in which state costs nothing while
//! nobody asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use weft_authority::{Breaks, Forecast, Holder};
use weft_distribute::Kind;
use weft_runtime::metrics::{Collect, Counter, Gauge, Histogram, Sink};
use weft_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::plane::ControlPlane;
use crate::registry::{FleetStatus, ProxyEntry, ProxyPhase};

/// What a control plane counts. Everything is written by the control thread.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Responses sent, by [`Kind`].
    pushes: [Counter; 3],
    acks: [Counter; 3],
    nacks: [Counter; 3],
    /// From a change until it was in force on every proxy that was connected.
    pub(crate) convergence: Histogram,
    compile: Histogram,
    documents: Mutex<BTreeMap<(String, &'static str), u64>>,
    certificates: [[Counter; 3]; 2],
    failures: [Counter; 4],
    measured: Measured,
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A proxy.
    Proxy,
    /// An application, by the Workload API.
    Application,
}

/// What became of a request for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// The holder had none that is known of.
    First,
    /// It had one.
    Renewed,
    /// None was given.
    Refused,
}

/// What a control plane keeps on disk, or reads from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The authority's sealed file.
    Authority,
    /// Who has which certificate.
    Fleet,
    /// Which virtual address a service has.
    Addresses,
    /// The documents of the user.
    Documents,
}

/// Gauges.
#[derive(Debug, Default)]
struct Measured {
    /// By [`State`].
    proxies: [Gauge; 4],
    newest: Gauge,
    in_force: Gauge,
    /// By [`Kind`].
    resources: [Gauge; 3],
    connections: Gauge,
    /// Seconds until the first certificate of the kind ends: roots, intermediates, leaves.
    ends: [Gauge; 3],
    outage: Gauge,
    standstill: Gauge,
}

/// A gauge that has no value: there is no certificate of the kind.
const NONE: u64 = u64::MAX;

/// How far a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Current,
    Behind,
    Rejecting,
    Gone,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Brings the gauges up to date.
    pub fn measure(&self) {
        let parts = &self.0;
        let measured = &parts.metrics.measured;
        measured.fleet(&self.status());
        let published = parts.published.borrow();
        for kind in Kind::ALL {
            measured.resources[kind as usize].set(published.len(kind) as u64);
        }
        measured.connections.set(parts.places.taken() as u64);
        measured.certificates(&self.forecast(), parts.settings.clock.now());
    }
}

// === impl Metrics ===

impl Metrics {
    /// Documents were compiled: how long it took, and what became of each, by kind and verdict.
    pub fn compiled(
        &self,
        took: Duration,
        documents: impl Iterator<Item = (String, &'static str)>,
    ) {
        self.compile.observe(took);
        let mut counts = BTreeMap::new();
        for document in documents {
            *counts.entry(document).or_default() += 1;
        }
        *self.documents.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// Something could not be written or read.
    pub fn failed(&self, store: Store) {
        self.failures[store as usize].inc();
    }

    /// A proxy is sent something.
    pub(crate) fn pushed(&self, response: &DeltaDiscoveryResponse) {
        if let Some(kind) = Kind::of_type_url(&response.type_url) {
            self.pushes[kind as usize].inc();
        }
    }

    /// A proxy has answered to what it was sent.
    pub(crate) fn answered(&self, request: &DeltaDiscoveryRequest) {
        let Some(kind) = Kind::of_type_url(&request.type_url) else { return };
        if !request.response_nonce.is_empty() {
            self.acks[kind as usize].inc();
        }
        self.nacks[kind as usize].add(request.rejected.len() as u64);
    }

    /// A request for a certificate was answered.
    pub(crate) fn certificate(&self, whom: For, given: Given) {
        self.certificates[whom as usize][given as usize].inc();
    }

    fn collect_delivery(&self, sink: &mut Sink) {
        for kind in Kind::ALL {
            let (index, labels) = (kind as usize, [("kind", kind.as_str())]);
            let name = "weftway_control_pushes_total";
            let help = "Responses sent to proxies.";
            sink.counter(name, help, &labels, self.pushes[index].value());
            let name = "weftway_control_acks_total";
            let help = "Responses that proxies have acknowledged.";
            sink.counter(name, help, &labels, self.acks[index].value());
            let name = "weftway_control_nacks_total";
            let help = "Resources that proxies could not take.";
            sink.counter(name, help, &labels, self.nacks[index].value());
        }
        let name = "weftway_control_convergence_seconds";
        let help = "From a change until it is in force on every connected proxy.";
        sink.histogram(name, help, &[], &self.convergence);
        let name = "weftway_control_compile_seconds";
        sink.histogram(name, "Compiling what is known.", &[], &self.compile);
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        for ((kind, verdict), count) in &*documents {
            let name = "weftway_control_documents";
            let labels = [("kind", kind.as_str()), ("verdict", *verdict)];
            sink.gauge(name, "Documents, by what became of them.", &labels, *count as f64);
        }
    }

    fn collect_certificates(&self, sink: &mut Sink) {
        for (whom, to) in [(For::Proxy, "proxy"), (For::Application, "application")] {
            for (given, outcome) in
                [(Given::First, "issued"), (Given::Renewed, "renewed"), (Given::Refused, "refused")]
            {
                let name = "weftway_control_certificates_total";
                let labels = [("to", to), ("outcome", outcome)];
                let count = self.certificates[whom as usize][given as usize].value();
                sink.counter(name, "Requests for certificates.", &labels, count);
            }
        }
    }
}

impl Collect for Metrics {
    fn collect(&self, sink: &mut Sink) {
        self.collect_delivery(sink);
        self.collect_certificates(sink);
        for (store, label) in [
            (Store::Authority, "authority"),
            (Store::Fleet, "fleet"),
            (Store::Addresses, "addresses"),
            (Store::Documents, "documents"),
        ] {
            let name = "weftway_control_store_failures_total";
            let help = "What could not be written to disk, or read from there.";
            sink.counter(name, help, &[("store", label)], self.failures[store as usize].value());
        }
        self.measured.collect(sink);
    }
}

// === impl Measured ===

impl Measured {
    fn fleet(&self, status: &FleetStatus) {
        let mut counts = [0; 4];
        let mut oldest = status.generation;
        for proxy in &status.proxies {
            let state = State::of(proxy, status);
            counts[state as usize] += 1;
            if state != State::Gone {
                oldest = oldest.min(proxy.in_force);
            }
        }
        self.proxies.iter().zip(counts).for_each(|(gauge, count)| gauge.set(count));
        self.newest.set(status.generation.0);
        self.in_force.set(oldest.0);
    }

    fn certificates(&self, forecast: &Forecast, now: SystemTime) {
        let kinds: [fn(&Holder) -> bool; 3] = [
            |holder| matches!(holder, Holder::Root),
            |holder| matches!(holder, Holder::Intermediate),
            |holder| matches!(holder, Holder::Proxy(_)),
        ];
        for (gauge, is_kind) in self.ends.iter().zip(kinds) {
            let entries = forecast.entries.iter().filter(|entry| is_kind(&entry.holder));
            let first = entries.map(|entry| entry.left.as_secs()).min();
            gauge.set(first.unwrap_or(NONE));
        }
        let harmful = forecast.entries.iter().filter(|entry| entry.breaks != Breaks::Nothing);
        let outage = harmful.map(|entry| entry.left.as_secs()).min();
        self.outage.set(outage.unwrap_or_default());
        self.standstill.set(forecast.time_to_outage(now).as_secs());
    }

    fn collect(&self, sink: &mut Sink) {
        let value = |gauge: &Gauge| gauge.value() as f64;
        for state in State::ALL {
            let name = "weftway_control_proxies";
            let labels = [("state", state.as_str())];
            sink.gauge(name, "Proxies, by state.", &labels, value(&self.proxies[state as usize]));
        }
        for (of, gauge) in [("newest", &self.newest), ("in_force", &self.in_force)] {
            let name = "weftway_control_generation";
            let help = "The newest generation, and the one in force on every connected proxy.";
            sink.gauge(name, help, &[("of", of)], value(gauge));
        }
        for kind in Kind::ALL {
            let name = "weftway_control_resources";
            let labels = [("kind", kind.as_str())];
            let help = "Resources that proxies can have.";
            sink.gauge(name, help, &labels, value(&self.resources[kind as usize]));
        }
        let name = "weftway_control_connections_open";
        sink.gauge(name, "Open connections.", &[], value(&self.connections));
        let ends = ["root", "intermediate", "leaf"].into_iter().zip(&self.ends);
        for (holder, gauge) in ends.filter(|(_, gauge)| gauge.value() != NONE.cast_signed()) {
            let name = "weftway_control_certificate_ends_in_seconds";
            let help = "Until the first certificate of the kind ends.";
            sink.gauge(name, help, &[("holder", holder)], value(gauge));
        }
        let name = "weftway_control_time_to_outage_seconds";
        let help = "Until the end of a certificate breaks something, if nothing is renewed.";
        sink.gauge(name, help, &[], value(&self.outage));
        let name = "weftway_control_time_to_standstill_seconds";
        let help = "Until nothing can be signed any more, if nobody does anything.";
        sink.gauge(name, help, &[], value(&self.standstill));
    }
}

// === impl State ===

impl State {
    const ALL: [Self; 4] = [Self::Current, Self::Behind, Self::Rejecting, Self::Gone];

    fn of(proxy: &ProxyEntry, status: &FleetStatus) -> Self {
        match proxy.phase {
            ProxyPhase::Gone => Self::Gone,
            ProxyPhase::Connected if !proxy.rejected.is_empty() => Self::Rejecting,
            ProxyPhase::Connected if proxy.in_force == status.generation => Self::Current,
            ProxyPhase::Connected => Self::Behind,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Behind => "behind",
            Self::Rejecting => "rejecting",
            Self::Gone => "gone",
        }
    }
}
