//! What the control plane knows, as it is shown.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use weft_admin_api::certificates::{DutyView, HeldCertificateView, HolderView};
use weft_admin_api::proxies::{ProxyView, RejectedView};
use weft_admin_api::rotation::{HindranceView, PhaseView, StepName, StepView};
use weft_admin_api::{CertificatesView, ProxiesView, RotationView};
use weft_authority::{
    Duty, Entry, Forecast, Holder, Issuer, Phase, ProxyReport, RefusedRotation, Rotation, Span,
};
use weft_controlplane::{ControlPlane, FleetStatus, ProxyEntry, ProxyPhase};
use weft_model::id::WorkloadName;
use weft_runtime::time;

/// Every certificate that the control plane knows of.
pub(crate) fn certificates_now(plane: &ControlPlane) -> CertificatesView {
    certificates(&plane.forecast(), time::wall())
}

/// What each proxy has in force.
pub(crate) fn proxies_now(plane: &ControlPlane) -> ProxiesView {
    proxies(&plane.status(), time::wall())
}

/// How far a rotation of the root is.
pub(crate) fn rotation_now(plane: &ControlPlane) -> RotationView {
    let reports = plane.registry().reports();
    rotation(&plane.rotation(), &reports, &plane.status(), time::wall())
}

fn certificates(forecast: &Forecast, now: SystemTime) -> CertificatesView {
    CertificatesView {
        outage_in_secs: forecast.time_to_outage(now).as_secs(),
        certificates: forecast.entries.iter().map(|entry| certificate(entry, now)).collect(),
    }
}

fn certificate(entry: &Entry, now: SystemTime) -> HeldCertificateView {
    HeldCertificateView {
        holder: match &entry.holder {
            Holder::Root => HolderView::Root,
            Holder::Intermediate => HolderView::Intermediate,
            Holder::Proxy(workload) => HolderView::Proxy { workload: workload.to_string() },
        },
        duty: match entry.duty {
            Duty::Signing => DutyView::Signing,
            Duty::Next => DutyView::Next,
            Duty::Previous => DutyView::Previous,
            Duty::Presented => DutyView::Presented,
        },
        subject: entry.subject.to_string(),
        fingerprint: entry.fingerprint.map(|found| found.to_string()),
        root: entry.root.to_string(),
        age_secs: entry.age.as_secs(),
        left_secs: entry.left.as_secs(),
        breaks: entry.breaks.to_string(),
        remedy: entry.remedy.describe(now),
    }
}

fn proxies(status: &FleetStatus, now: SystemTime) -> ProxiesView {
    let (in_force, connected) = status.in_force();
    ProxiesView {
        generation: status.generation.0,
        in_force,
        connected,
        proxies: status.proxies.iter().map(|entry| proxy(entry, now)).collect(),
    }
}

fn proxy(entry: &ProxyEntry, now: SystemTime) -> ProxyView {
    let rejected = entry.rejected.iter().map(|(kind, name, reason)| RejectedView {
        kind: kind.as_str().to_owned(),
        name: name.to_string(),
        reason: reason.clone(),
    });
    ProxyView {
        workload: entry.workload.to_string(),
        is_connected: entry.phase == ProxyPhase::Connected,
        since_secs: since(entry.since, now).as_secs(),
        last_seen_secs: since(entry.last_seen, now).as_secs(),
        peer: entry.peer.clone(),
        product_version: entry.product_version.clone(),
        sent: entry.sent.0,
        in_force: entry.in_force.0,
        services: entry.subscribed,
        rejected: rejected.collect(),
        trusts: entry.trusts.iter().map(ToString::to_string).collect(),
        root: entry.leaf.as_ref().map(|leaf| leaf.root.to_string()),
    }
}

/// Each step that can follow is tried on a copy, so that what is in its way is known before.
fn rotation(
    rotation: &Rotation,
    reports: &[ProxyReport],
    status: &FleetStatus,
    now: SystemTime,
) -> RotationView {
    let fleet = Fleet::new(reports, status, now);
    let root = |issuer: &Issuer| issuer.root().certificate().fingerprint().to_string();
    let (phase, since_at, other) = match rotation.phase() {
        Phase::Steady => (PhaseView::Steady, None, None),
        Phase::Prepared { next, since } => (PhaseView::Prepared, Some(*since), Some(root(next))),
        Phase::Switched { previous, since } => {
            (PhaseView::Switched, Some(*since), Some(root(previous)))
        }
    };
    let tried = |step: StepName| {
        let mut copy = rotation.clone();
        let made = match step {
            StepName::Prepare => return StepView { step, hindrances: fleet.out_of_reach() },
            StepName::Switch => copy.switch(reports, now),
            StepName::Retire => copy.retire(reports, now),
            StepName::Cancel => copy.cancel(reports, now),
            StepName::Revert => copy.revert(reports, now),
        };
        StepView { step, hindrances: fleet.hindrances(made.err()) }
    };
    let steps: &[StepName] = match phase {
        PhaseView::Steady => &[StepName::Prepare],
        PhaseView::Prepared => &[StepName::Switch, StepName::Cancel],
        PhaseView::Switched => &[StepName::Retire, StepName::Revert],
    };
    RotationView {
        phase,
        since_secs: since_at.map(|at| since(at, now).as_secs()),
        signing: root(rotation.signing()),
        other,
        steps: steps.iter().map(|step| tried(*step)).collect(),
    }
}

/// The proxies that others may still accept.
struct Fleet {
    /// For how long each can be accepted.
    left: BTreeMap<WorkloadName, Duration>,
    connected: BTreeSet<WorkloadName>,
}

// === impl Fleet ===

impl Fleet {
    fn new(reports: &[ProxyReport], status: &FleetStatus, now: SystemTime) -> Self {
        let mut left = BTreeMap::<_, Duration>::new();
        for report in reports {
            let Some(leaf) = &report.leaf else { continue };
            let longest = left.entry(report.proxy.clone()).or_default();
            *longest = leaf.validity.left(now).max(*longest);
        }
        let connected = status.proxies.iter().filter(|it| it.phase == ProxyPhase::Connected);
        let connected = connected.map(|it| &it.workload).chain(&status.applications);
        Self { left, connected: connected.cloned().collect() }
    }

    /// A rotation that is begun while a live proxy is out of reach would have to wait for it.
    fn out_of_reach(&self) -> Vec<HindranceView> {
        let missing = self.left.iter().filter(|(name, _)| !self.connected.contains(*name));
        let hindrance = |(name, left): (&WorkloadName, &Duration)| {
            let why = format!("{name} has a certificate for another {}", Span(*left));
            self.hindrance(name, why)
        };
        missing.map(hindrance).collect()
    }

    /// Who is in the way of a step, each proxy once.
    fn hindrances(&self, refused: Option<RefusedRotation>) -> Vec<HindranceView> {
        let Some(RefusedRotation::Stranded(stranded)) = refused else { return Vec::new() };
        let whys: BTreeMap<_, _> =
            stranded.proxies.iter().map(|it| (it.proxy.clone(), it.to_string())).collect();
        whys.into_iter().map(|(name, why)| self.hindrance(&name, why)).collect()
    }

    fn hindrance(&self, name: &WorkloadName, why: String) -> HindranceView {
        HindranceView {
            workload: name.to_string(),
            why,
            is_connected: self.connected.contains(name),
            left_secs: self.left.get(name).map_or(0, Duration::as_secs),
        }
    }
}

fn since(earlier: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(earlier).unwrap_or_default()
}
