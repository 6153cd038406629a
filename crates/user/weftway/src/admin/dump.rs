//! What is in force, as the admin endpoint shows it. Nothing secret is read here.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_admin_api::ConfigDump;
use weft_admin_api::config::{
    BackendView, CertificateView, ChoiceView, EndpointView, HealthCheckView, LimitsView,
    ListenerView, MirrorView, OriginView, ProblemView, ResourceView, RouteView, SourceView,
    StepView, TargetView,
};
use weft_compile::{Report, ResourceReport};
use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoints, HealthCheck, Probe, UpstreamProtocol};
use weft_model::calling::Source;
use weft_model::listener::{Listener, Served, TlsTable};
use weft_model::policy::{Step, StepKind};
use weft_model::route::{Affinity, Choice, Origin, Target};
use weft_resilience::settings::{LimitSettings, PickerKind};
use weft_resources::Problem;

use super::AdminConfig;

/// Everything that is in force.
pub(super) fn dump(config: &AdminConfig) -> ConfigDump {
    let AdminConfig { snapshot, report, addresses } = config;
    let tables = snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    ConfigDump {
        generation: snapshot.generation.0,
        listeners: snapshot
            .listeners
            .iter()
            .map(|listener| listener_view(listener, snapshot, addresses))
            .collect(),
        backends: snapshot
            .backends
            .values()
            .map(|backend| backend_view(backend, snapshot.sources.get(&backend.id)))
            .collect(),
        certificates: certificates(tables.map(|tls| &*tls.terminate)),
        resources: resources(report),
        problems: problems(report),
    }
}

/// What became of each document.
pub(super) fn resources(report: &Report) -> Vec<ResourceView> {
    let view = |resource: &ResourceReport| ResourceView {
        name: resource.key().map(ToString::to_string).unwrap_or_default(),
        place: place(resource.file(), resource.at().line, 0),
        verdict: resource.verdict.to_string(),
    };
    report.resources.iter().map(view).collect()
}

/// Everything to say about the documents.
pub(super) fn problems(report: &Report) -> Vec<ProblemView> {
    report.problems().iter().map(problem_view).collect()
}

fn listener_view(
    listener: &Listener,
    snapshot: &Snapshot,
    addresses: &BTreeMap<String, std::net::SocketAddr>,
) -> ListenerView {
    let of = |served: &Served| routes(served, snapshot);
    ListenerView {
        id: listener.id.to_string(),
        wanted: listener.addr,
        bound: addresses.get(listener.id.as_str()).copied(),
        plain: listener.plain.as_ref().map(of).unwrap_or_default(),
        tls: listener.tls.as_ref().map(|tls| of(&tls.served)).unwrap_or_default(),
    }
}

/// TCP routes, then HTTP routes, each with the greatest rank first.
fn routes(served: &Served, snapshot: &Snapshot) -> Vec<RouteView> {
    let tcp = served.tcp.iter().map(|route| {
        let view = RouteView {
            id: route.id.to_string(),
            protocol: "tcp".into(),
            rule: route.origin.rule.to_string(),
            origin: origin_view(&route.origin, snapshot.line(&route.id)),
            steps: Vec::new(),
            target: target_view(&route.target),
        };
        (1, route.rank, view)
    });
    let http = served.http.routes.iter().map(|route| {
        let view = RouteView {
            id: route.id.to_string(),
            protocol: "http".into(),
            rule: route.origin.rule.to_string(),
            origin: origin_view(&route.origin, snapshot.line(&route.id)),
            steps: steps(&route.steps),
            target: target_view(&route.target),
        };
        (0, route.rank, view)
    });
    let mut all: Vec<_> = tcp.chain(http).collect();
    all.sort_by_key(|(protocol, rank, _)| std::cmp::Reverse((*protocol, *rank)));
    all.into_iter().map(|(_, _, view)| view).collect()
}

fn origin_view(origin: &Origin, line: u32) -> OriginView {
    OriginView {
        kind: origin.kind.to_string(),
        name: origin.name.to_string(),
        place: place(&origin.file, line, 0),
    }
}

fn steps(steps: &[Arc<Step>]) -> Vec<StepView> {
    let view =
        |step: &Arc<Step>| StepView { id: step.id.to_string(), kind: step_kind(&step.kind).into() };
    steps.iter().map(view).collect()
}

fn step_kind(kind: &StepKind) -> &'static str {
    match kind {
        StepKind::AddPrefix(_) => "add_prefix",
        StepKind::StripPrefix(_) => "strip_prefix",
        StepKind::StripPrefixRegex(_) => "strip_prefix_regex",
        StepKind::ReplacePath(_) => "replace_path",
        StepKind::ReplacePathRegex { .. } => "replace_path_regex",
        StepKind::Rewrite(_) => "rewrite",
        StepKind::RedirectScheme { .. } => "redirect_scheme",
        StepKind::RedirectRegex { .. } => "redirect_regex",
        StepKind::Redirect(_) => "redirect",
        StepKind::RequestHeaders(_) => "request_headers",
        StepKind::ResponseHeaders(_) => "response_headers",
        StepKind::SecureHeaders(_) => "secure_headers",
        StepKind::Cors(_) => "cors",
        StepKind::IpAllowList(_) => "ip_allow_list",
        StepKind::BasicAuth(_) => "basic_auth",
        StepKind::ForwardAuth(_) => "forward_auth",
        StepKind::RateLimit { .. } => "rate_limit",
        StepKind::InFlight { .. } => "in_flight",
        StepKind::CircuitBreaker(_) => "circuit_breaker",
        StepKind::Retry(_) => "retry",
        StepKind::Buffering(_) => "buffering",
        StepKind::Errors(_) => "errors",
        StepKind::Compress(_) => "compress",
        StepKind::Mirror { .. } => "mirror",
        StepKind::Fault(_) => "fault",
        StepKind::LocalRateLimit(_) => "local_rate_limit",
        StepKind::Hedge(_) => "hedge",
        StepKind::Respond(_) => "respond",
        StepKind::Refuse(_) => "refuse",
    }
}

fn target_view(target: &Target) -> TargetView {
    match target {
        Target::Backend(id) => TargetView::Backend { backend: id.to_string() },
        Target::Weighted(weighted) => TargetView::Weighted {
            choices: choices(&weighted.choices),
            sticky_cookie: cookie_name(weighted.sticky.as_ref()),
        },
        Target::HighestRandomWeight(all) => {
            TargetView::HighestRandomWeight { choices: choices(all) }
        }
        Target::Mirror(mirrors) => TargetView::Mirror {
            main: Box::new(target_view(&mirrors.main)),
            mirrors: mirrors
                .mirrors
                .iter()
                .map(|mirror| MirrorView {
                    ratio: f64::from(mirror.parts_per_million) / 1e6,
                    target: target_view(&mirror.target),
                })
                .collect(),
        },
        Target::Failover(failover) => TargetView::Failover {
            main: Box::new(target_view(&failover.main)),
            fallback: Box::new(target_view(&failover.fallback)),
        },
        Target::Refuse(refusal) => TargetView::Refuse {
            status: refusal.reason.status(),
            reason: refusal.reason.label().into(),
            detail: refusal.detail.to_string(),
        },
    }
}

fn choices(choices: &[Choice]) -> Vec<ChoiceView> {
    let view = |choice: &Choice| ChoiceView {
        name: choice.name.to_string(),
        weight: choice.weight,
        steps: steps(&choice.steps),
        target: target_view(&choice.target),
    };
    choices.iter().map(view).collect()
}

/// The name of the cookie; a header is told as one.
fn cookie_name(affinity: Option<&Affinity>) -> Option<String> {
    affinity.map(|affinity| match affinity {
        Affinity::Cookie(cookie) => cookie.name.to_string(),
        Affinity::Header(header) => format!("header {}", header.name),
    })
}

fn backend_view(backend: &Backend, sources: Option<&Arc<[Source]>>) -> BackendView {
    let (dns_name, endpoints) = match &backend.endpoints {
        Endpoints::Static(endpoints) => {
            let view = |endpoint: &weft_model::backend::Endpoint| EndpointView {
                addr: endpoint.addr,
                weight: endpoint.weight,
                locality: endpoint.locality.as_deref().map(str::to_owned),
                tier: endpoint.tier,
            };
            (None, endpoints.iter().map(view).collect())
        }
        Endpoints::Dns { name, port } => (Some(format!("{name}:{port}")), Vec::new()),
        Endpoints::Dialled | Endpoints::DialledThrough(_) | Endpoints::Service { .. } => {
            (None, Vec::new())
        }
    };
    BackendView {
        id: backend.id.to_string(),
        protocol: match backend.protocol {
            UpstreamProtocol::Auto => "auto",
            UpstreamProtocol::Http1 => "http1",
            UpstreamProtocol::Http2 => "http2",
            UpstreamProtocol::AsClient => "as_client",
        }
        .into(),
        tls: backend.calling.tls.is_some(),
        picker: match backend.calling.picker {
            PickerKind::RoundRobin => "round_robin",
            PickerKind::LeastRequest => "least_request",
            PickerKind::PeakEwma => "peak_ewma",
            PickerKind::Random => "random",
            PickerKind::Rendezvous => "rendezvous",
            PickerKind::RingHash(_) => "ring_hash",
            PickerKind::Maglev(_) => "maglev",
            PickerKind::WeightedByLoad(_) => "weighted_by_load",
        }
        .into(),
        sticky_cookie: cookie_name(backend.calling.sticky.as_ref()),
        health_check: backend.health_check.as_deref().map(health_check_view),
        passive_health: backend.calling.outlier.is_some(),
        limits: limits_view(&backend.calling.limits),
        endpoint_limits: limits_view(&backend.calling.endpoint_limits),
        sources: sources.into_iter().flat_map(|all| all.iter()).map(source_view).collect(),
        dns_name,
        endpoints,
    }
}

fn limits_view(limits: &LimitSettings) -> LimitsView {
    let LimitSettings { connections, pending, requests, retries } = *limits;
    LimitsView { connections, pending, requests, retries }
}

fn source_view(source: &Source) -> SourceView {
    SourceView {
        setting: source.setting.to_string(),
        document: source.document.to_string(),
        place: place(&source.file, source.line, 0),
    }
}

fn health_check_view(check: &HealthCheck) -> HealthCheckView {
    let (probe, what) = match &check.probe {
        Probe::Tcp => ("tcp", ""),
        Probe::Http { path, .. } => ("http", &**path),
        Probe::Grpc { service } => ("grpc", &**service),
    };
    HealthCheckView {
        probe: probe.into(),
        what: what.into(),
        interval_ms: check.interval.as_millis() as u64,
        timeout_ms: check.timeout.as_millis() as u64,
    }
}

fn certificates<'a>(tables: impl Iterator<Item = &'a TlsTable>) -> Vec<CertificateView> {
    let mut all: BTreeMap<(&str, &[Box<str>]), BTreeSet<&str>> = BTreeMap::new();
    for entry in tables.flat_map(|table| table.entries.iter().chain(&table.default)) {
        for certificate in &entry.certificates {
            let key = (&*certificate.origin, &*certificate.names);
            all.entry(key).or_default().insert(&entry.host);
        }
    }
    let view = |((origin, names), hosts): ((&str, &[Box<str>]), BTreeSet<&str>)| CertificateView {
        origin: origin.to_owned(),
        names: names.iter().map(ToString::to_string).collect(),
        served_for: hosts.into_iter().map(str::to_owned).collect(),
    };
    all.into_iter().map(view).collect()
}

fn problem_view(problem: &Problem) -> ProblemView {
    ProblemView {
        severity: problem.severity.to_string(),
        place: place(&problem.file, problem.at.line, problem.at.column),
        path: problem.path.to_string(),
        message: problem.message.to_string(),
        fix: problem.fix.as_deref().map(str::to_owned),
    }
}

/// `file:line:column`, as far as it is known.
fn place(file: &str, line: u32, column: u32) -> String {
    match (line, column) {
        (0, _) => file.to_owned(),
        (line, 0) => format!("{file}:{line}"),
        (line, column) => format!("{file}:{line}:{column}"),
    }
}
