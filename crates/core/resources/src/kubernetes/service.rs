//! Service.

use std::net::IpAddr;
use std::time::Duration;

use super::Labels;
use crate::linkerd::annotations::{self, BalancerAnnotations, CallAnnotations};
use crate::metadata::{Annotations, SLOW_START, annotation};
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;
use crate::yaml::Core;

/// A Service (core v1).
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Where its name leads.
    pub kind: ServiceType,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Its virtual addresses; none when it is headless, or when none were assigned yet.
    pub cluster_ips: Box<[IpAddr]>,
    /// Whether callers dial its endpoints themselves (`clusterIP: None`).
    pub is_headless: bool,
    /// Labels of its workloads, all of which must fit; empty when others say where it runs.
    pub selector: Labels,
    /// Whether endpoints that are not ready are published as well.
    pub publishes_unready: bool,
    /// The annotation `weftway.io/slow-start`, as written.
    pub slow_start: Option<Spanned<Box<str>>>,
    /// Which endpoints come first; `None` when nothing is said.
    pub distribution: Option<Spanned<Distribution>>,
    /// Keeps a client, by its address, on its endpoint until it made no call for this long.
    pub client_affinity: Option<Spanned<Duration>>,
    /// The Service of its namespace that is a part of it (`multicluster.linkerd.io/local-discovery`
    /// of a federated Service).
    pub local_part: Option<Spanned<Box<str>>>,
    /// What Linkerd's annotations say of calls.
    pub calls: CallAnnotations,
    /// What Linkerd's annotations say of how endpoints are chosen.
    pub balancer: BalancerAnnotations,
}

/// Which endpoints of a Service come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Those of the caller's zone (`PreferSameZone`, and `PreferClose` as it was called before).
    SameZone,
    /// Those of the caller's node (`PreferSameNode`).
    SameNode,
    /// Those that the cluster means for the caller's zone
    /// (`service.kubernetes.io/topology-mode: Auto`).
    Hints,
}

/// `spec.type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceType {
    /// Endpoints inside the cluster: `ClusterIP`, `NodePort` and `LoadBalancer` alike.
    Cluster,
    /// A DNS name elsewhere.
    ExternalName(Box<str>),
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; empty when the Service has one port only and gives it none.
    pub name: Box<str>,
    /// Port that callers name.
    pub port: u16,
    /// Port of the endpoints; the same as `port` by default.
    pub target: PortRef,
    /// What is spoken, such as `kubernetes.io/h2c`.
    pub app_protocol: Option<Box<str>>,
    /// Transport.
    pub transport: Transport,
    /// Where it is written.
    pub at: Pos,
}

/// A port by number or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRef {
    /// A number.
    Number(u16),
    /// The name of a port.
    Name(Box<str>),
}

/// Transport protocols of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// The annotation by which Istio says what `spec.trafficDistribution` says, also for a ServiceEntry
/// and for all Services of a Namespace.
pub const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// The annotation that asks for hints in EndpointSlices.
pub const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

/// The same as it was called before.
pub const TOPOLOGY_AWARE_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// Fields that the cluster acts on and a gateway does not: it goes to endpoints itself.
const CLUSTER_ONLY: &[&str] = &[
    "ipFamilies",
    "ipFamilyPolicy",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "allocateLoadBalancerNodePorts",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
];

// === impl Service ===

impl Service {
    /// The port of that number or name, TCP only.
    pub fn port(&self, wanted: &PortRef) -> Option<&ServicePort> {
        self.ports.iter().filter(|port| port.transport == Transport::Tcp).find(
            |port| match wanted {
                PortRef::Number(number) => port.port == *number,
                PortRef::Name(name) => port.name == *name,
            },
        )
    }
}

// === impl Distribution ===

impl Distribution {
    /// The words of `spec.trafficDistribution` and of Istio's annotation.
    const CHOICES: [(&'static str, Self); 3] = [
        ("PreferSameZone", Self::SameZone),
        ("PreferClose", Self::SameZone),
        ("PreferSameNode", Self::SameNode),
    ];
}

// === impl PortRef ===

impl std::fmt::Display for PortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl PortRef {
    /// Reads a number, or the name of a port.
    pub fn read(field: &Field<'_, '_>) -> Option<Self> {
        let scalar = field.node().as_scalar();
        if scalar.is_some_and(|scalar| matches!(scalar.core(), Core::Int(_))) {
            return field.port().map(Self::Number);
        }
        field.non_empty_string().map(Self::Name)
    }
}

// === impl Transport ===

impl Transport {
    /// Takes `protocol`, TCP when absent.
    pub(crate) fn take(reader: &Reader<'_, '_>) -> Self {
        let choices = [("TCP", Self::Tcp), ("UDP", Self::Udp), ("SCTP", Self::Sctp)];
        reader.take("protocol").and_then(|field| field.choice(&choices)).unwrap_or_default()
    }
}

/// Reads a Service.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Service> {
    let slow_start = annotation(reader, SLOW_START);
    let annotations = Annotations::of(reader);
    let calls = annotations::calls(&annotations, "Service");
    let balancer = annotations::balancer(&annotations);
    let local_part = annotations::local_part(&annotations);
    let annotated = annotated_distribution(&annotations);
    reader.require("spec")?.nested(|spec| {
        CLUSTER_ONLY.iter().for_each(|name| spec.skip(name));
        let distribution = written_distribution(spec);
        let kind = service_type(spec)?;
        let (cluster_ips, is_headless) = cluster_ips(spec);
        let selector = spec.take("selector").map(|field| field.text_map()).unwrap_or_default();
        Some(Service {
            kind,
            ports: spec.list("ports", |item| item.nested(port)),
            cluster_ips,
            is_headless,
            selector: selector.into(),
            publishes_unready: spec.bool_or("publishNotReadyAddresses", false),
            slow_start,
            distribution: distribution.or(annotated),
            client_affinity: client_affinity(spec),
            local_part,
            calls,
            balancer,
        })
    })
}

/// The addresses, and whether there are to be none. `clusterIPs` repeats `clusterIP` as its first.
fn cluster_ips(spec: &Reader<'_, '_>) -> (Box<[IpAddr]>, bool) {
    let mut texts = spec.strings("clusterIPs");
    match spec.string("clusterIP").filter(|text| !text.is_empty()) {
        Some(first) if !texts.contains(&first) => texts.insert(0, first),
        _ => {}
    }
    let is_headless = texts.iter().any(|text| **text == *"None");
    let addrs: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    (if is_headless { Box::default() } else { addrs.into() }, is_headless)
}

fn service_type(spec: &Reader<'_, '_>) -> Option<ServiceType> {
    let choices = [
        ("ClusterIP", false),
        ("NodePort", false),
        ("LoadBalancer", false),
        ("ExternalName", true),
    ];
    let external = spec.take("type").map_or(Some(false), |field| field.choice(&choices))?;
    let name = spec.take("externalName");
    match (external, name) {
        (true, Some(field)) => {
            let name = field.non_empty_string()?;
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            Some(ServiceType::ExternalName(name.into()))
        }
        (true, None) => {
            spec.error("`externalName` is required for the type ExternalName", None);
            None
        }
        (false, Some(field)) => {
            let message = "`externalName` has no effect: the type is not ExternalName";
            field.warn(message, Some("write type: ExternalName".into()));
            Some(ServiceType::Cluster)
        }
        (false, None) => Some(ServiceType::Cluster),
    }
}

/// `sessionAffinity: ClientIP` with its timeout, three hours when absent.
pub(crate) fn client_affinity(spec: &Reader<'_, '_>) -> Option<Spanned<Duration>> {
    const TIMEOUT_SECS: i64 = 10_800;
    const DAY_SECS: i64 = 86_400;
    let secs = spec.nested("sessionAffinityConfig", |config| {
        config.nested("clientIP", |client| client.int("timeoutSeconds", 1, DAY_SECS))
    });
    let field = spec.take("sessionAffinity")?;
    let is_kept = field.choice(&[("None", false), ("ClientIP", true)])?;
    let timeout = Duration::from_secs(secs.unwrap_or(TIMEOUT_SECS).unsigned_abs());
    is_kept.then(|| field.spanned(timeout))
}

/// `trafficDistribution`, and `internalTrafficPolicy` beside it.
pub(crate) fn written_distribution(spec: &Reader<'_, '_>) -> Option<Spanned<Distribution>> {
    spec.ignored("internalTrafficPolicy", "endpoints are not chosen by node");
    let field = spec.take("trafficDistribution")?;
    field.choice(&Distribution::CHOICES).map(|choice| field.spanned(choice))
}

/// What annotations say of the distribution: Istio's, then those of Kubernetes.
fn annotated_distribution(annotations: &Annotations<'_, '_>) -> Option<Spanned<Distribution>> {
    let istio = distribution(annotations);
    let hints = |text: &str| match text {
        "Auto" | "auto" => Ok(Some(Distribution::Hints)),
        "Disabled" | "disabled" | "" => Ok(None),
        _ => Err(format!("`{text}` is neither `Auto` nor `Disabled`")),
    };
    let hints = [TOPOLOGY_MODE, TOPOLOGY_AWARE_HINTS].map(|name| {
        let choice = annotations.parse(name, hints).flatten()?;
        Some(annotations.take(name)?.spanned(choice))
    });
    [istio].into_iter().chain(hints).flatten().next()
}

/// What Istio's annotation of a Service, ServiceEntry or Namespace says of the distribution.
pub(crate) fn distribution(annotations: &Annotations<'_, '_>) -> Option<Spanned<Distribution>> {
    let choice = annotations.parse(TRAFFIC_DISTRIBUTION, |text| {
        let found = Distribution::CHOICES.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| format!("`{text}` is not known"))
    })?;
    Some(annotations.take(TRAFFIC_DISTRIBUTION)?.spanned(choice))
}

fn port(reader: &Reader<'_, '_>) -> Option<ServicePort> {
    reader.skip("nodePort");
    let target = reader.take("targetPort").map(|field| PortRef::read(&field));
    port_with(reader, target)
}

/// A port that leads to that one of the endpoints, if it can be read; to its own without one.
pub(crate) fn port_with(
    reader: &Reader<'_, '_>,
    target: Option<Option<PortRef>>,
) -> Option<ServicePort> {
    let name = reader.string_or_empty("name");
    let app_protocol = reader.string("appProtocol").filter(|text| !text.is_empty());
    let transport = Transport::take(reader);
    let port = reader.require("port")?.port()?;
    let target = target.unwrap_or(Some(PortRef::Number(port)))?;
    Some(ServicePort { name, port, target, app_protocol, transport, at: reader.at() })
}
