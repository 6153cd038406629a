//! DestinationRule.

mod balancer;
mod locality;
mod outlier;
mod pool;
#[cfg(test)]
mod tests;
mod tls;

use std::time::Duration;

use super::destination::selector;
use super::value::{
    ExportTo, Percent, any_duration, block, duration, foreign, host, is_label, spanned, written,
};
use super::virtual_service::Retries;
use crate::kubernetes::Labels;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

pub use balancer::{
    Algorithm, ConsistentHash, CookieAttribute, HashAlgorithm, HashCookie, HashKey, LoadBalancer,
    Warmup,
};
pub use locality::{
    Distribute, LocalityLb, LocalityPattern, PriorityLabel, RegionFailover, ZoneAwareLb,
};
pub use outlier::OutlierDetection;
pub use pool::{ConnectionPool, H2Upgrade, Http2Keepalive, HttpPool, TcpKeepalive, TcpPool};
pub use tls::{ClientTls, ClientTlsMode};

/// A DestinationRule: how calls of a host are made.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationRule {
    /// The host, lower case. A short name is one of the document's namespace.
    pub host: Spanned<Box<str>>,
    /// How calls are made.
    pub policy: TrafficPolicy,
    /// Parts of the host that routes may name.
    pub subsets: Vec<Subset>,
    /// Who sees it; `None` leaves it to MeshConfig.
    pub export_to: Option<Spanned<ExportTo>>,
    /// Labels of the callers that it is for, all of which must fit; `None` for all callers.
    pub selector: Option<Spanned<Labels>>,
    /// It has errors, and asks for TLS: were it gone, calls would be made in plain text.
    pub is_broken: bool,
}

/// A part of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    /// Its name.
    pub name: Spanned<Box<str>>,
    /// Labels of its workloads, all of which must fit.
    pub labels: Labels,
    /// How calls of it are made, where it differs from calls of the host.
    pub policy: TrafficPolicy,
    /// Where it is written.
    pub at: Pos,
}

/// How calls are made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrafficPolicy {
    /// To all ports.
    pub settings: UpstreamSettings,
    /// To single ports, instead of what is said for all.
    pub ports: Vec<PortPolicy>,
    /// A tunnel that connections go through.
    pub tunnel: Option<Spanned<Tunnel>>,
    /// The header that begins connections.
    pub proxy_protocol: Option<Spanned<ProxyProtocol>>,
    /// How many calls may be tries after the first.
    pub retry_budget: Option<Spanned<RetryBudget>>,
    /// From the request to the end of the answer. Istio knows it in a VirtualService only, whose own
    /// holds.
    pub timeout: Option<Spanned<Duration>>,
    /// Sends again what failed. Istio knows it in a VirtualService only, whose own holds.
    pub retries: Option<Spanned<Retries>>,
}

/// How calls of one port are made: each part that is missing is as it is by default.
#[derive(Debug, Clone, PartialEq)]
pub struct PortPolicy {
    /// The port of the service.
    pub port: Spanned<u16>,
    /// How calls are made.
    pub settings: UpstreamSettings,
    /// Where it is written.
    pub at: Pos,
}

/// What can be said of all ports and of single ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpstreamSettings {
    /// Which endpoint gets a call.
    pub load_balancer: Option<Spanned<LoadBalancer>>,
    /// How many connections and requests there may be.
    pub connection_pool: Option<Spanned<ConnectionPool>>,
    /// Which endpoints get no calls for a while.
    pub outlier_detection: Option<Spanned<OutlierDetection>>,
    /// Whether connections are encrypted, and how.
    pub tls: Option<Spanned<ClientTls>>,
}

/// A tunnel through the host to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// By `POST` instead of `CONNECT`.
    pub uses_post: bool,
    /// The host at its other end: a name or an address.
    pub target_host: Spanned<Box<str>>,
    /// The port at its other end.
    pub target_port: u16,
}

/// The header that begins connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// As text.
    #[default]
    V1,
    /// As bytes.
    V2,
}

/// How many calls may be tries after the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// Share of the calls; 20 by default.
    pub percent: Percent,
    /// How many there may always be at once; 3 by default.
    pub min_concurrency: u32,
    /// Calls of how long ago count; zero, the default, for those that are under way.
    pub interval: Duration,
}

/// What [`RetryBudget::percent`] is by default.
const BUDGET_PERCENT: f64 = 20.0;

/// What [`RetryBudget::min_concurrency`] is by default.
const BUDGET_CONCURRENCY: u32 = 3;

/// What somebody wants who writes `http2ProtocolOptions`, which are Envoy's.
const HTTP2_FIX: &str = "HTTP/2 follows from the Service: name its port `http2-…` or `grpc-…` or \
                         set `appProtocol: kubernetes.io/h2c`; for calls that come in HTTP/1.1 \
                         write `connectionPool.http.h2UpgradePolicy: UPGRADE`";

// === impl DestinationRule ===

impl DestinationRule {
    /// Whether calls of any part are encrypted on its word.
    pub fn asks_for_tls(&self) -> bool {
        let subsets = self.subsets.iter().map(|subset| &subset.policy);
        std::iter::once(&self.policy).chain(subsets).any(TrafficPolicy::asks_for_tls)
    }

    /// The subset of that name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| **subset.name == *name)
    }
}

// === impl TrafficPolicy ===

impl TrafficPolicy {
    /// What is said of a single port, instead of what is said for all.
    pub fn port(&self, number: u16) -> Option<&PortPolicy> {
        self.ports.iter().find(|port| *port.port == number)
    }

    fn asks_for_tls(&self) -> bool {
        let ports = self.ports.iter().map(|port| &port.settings);
        std::iter::once(&self.settings).chain(ports).any(|settings| {
            settings.tls.as_ref().is_some_and(|tls| *tls.mode != ClientTlsMode::Disable)
        })
    }

    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        foreign_http2(reader);
        let policy = Self {
            settings: UpstreamSettings::take(reader),
            ports: reader.list("portLevelSettings", |item| item.nested(PortPolicy::read)),
            tunnel: block(reader, "tunnel", Tunnel::read),
            proxy_protocol: block(reader, "proxyProtocol", ProxyProtocol::read),
            retry_budget: block(reader, "retryBudget", RetryBudget::read),
            timeout: extension_timeout(reader),
            retries: extension_retries(reader),
        };
        if policy.tunnel.is_some() && policy.proxy_protocol.is_some() {
            let fix = Some("keep one of them".into());
            reader.error("`tunnel` and `proxyProtocol` exclude each other", fix);
        }
        for (index, port) in policy.ports.iter().enumerate() {
            if policy.ports[..index].iter().any(|other| *other.port == *port.port) {
                reader.error(format!("port {} is there already", port.port.value), None);
            }
        }
        if reader.is_empty() {
            reader.error("a policy needs at least one field", Some("remove it".into()));
        }
        Some(policy)
    }
}

/// Takes `timeout`, which is no field of Istio's at this place.
fn extension_timeout(reader: &Reader<'_, '_>) -> Option<Spanned<Duration>> {
    let field = written(reader, "timeout")?;
    warn_extension(&field, "timeout", "timeout");
    Some(Spanned::new(duration(&field)?, field.key_at()))
}

/// Takes `retries` or `retry`, which are no fields of Istio's at this place.
fn extension_retries(reader: &Reader<'_, '_>) -> Option<Spanned<Retries>> {
    let retries = ["retries", "retry"].map(|name| {
        let field = written(reader, name)?;
        warn_extension(&field, name, "retries");
        Some(Spanned::new(field.nested(Retries::read)?, field.key_at()))
    });
    match retries {
        [Some(_), Some(second)] => {
            let fix = Some("keep `retries`".into());
            reader.error("`retries` and `retry` exclude each other", fix);
            Some(second)
        }
        [first, second] => first.or(second),
    }
}

fn warn_extension(field: &Field<'_, '_>, name: &str, meant: &str) {
    let message = format!(
        "`{name}` is honoured here, but Istio has no such field in a DestinationRule and drops it"
    );
    let fix = format!("write it as `http[].{meant}` of a VirtualService for this host");
    field.warn(message, Some(fix));
}

/// Reports the options of Envoy that many take for Istio's.
pub(crate) fn foreign_http2(reader: &Reader<'_, '_>) {
    let message = "`http2ProtocolOptions` is a field of Envoy's clusters, and none of Istio's";
    foreign(reader, "http2ProtocolOptions", message, HTTP2_FIX);
}

// === impl PortPolicy ===

impl PortPolicy {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        foreign_http2(reader);
        for name in ["timeout", "retries", "retry"] {
            let message = format!("`{name}` is for no single port");
            let fix = "write it in a VirtualService, in a rule whose `match` names the port";
            foreign(reader, name, &message, fix);
        }
        let settings = UpstreamSettings::take(reader);
        if settings == UpstreamSettings::default() {
            reader.error("a policy for a port needs at least one field", None);
        }
        let port = selector(&reader.require("port")?)?;
        Some(Self { port, settings, at: reader.at() })
    }
}

// === impl UpstreamSettings ===

impl UpstreamSettings {
    fn take(reader: &Reader<'_, '_>) -> Self {
        Self {
            load_balancer: block(reader, "loadBalancer", LoadBalancer::read),
            connection_pool: block(reader, "connectionPool", ConnectionPool::read),
            outlier_detection: block(reader, "outlierDetection", OutlierDetection::read),
            tls: ClientTls::take(reader),
        }
    }
}

// === impl Subset ===

impl Subset {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let labels = reader.take("labels").map(|field| field.text_map()).unwrap_or_default();
        let policy = reader.nested("trafficPolicy", TrafficPolicy::read).unwrap_or_default();
        let field = reader.require("name")?;
        let name = field.non_empty_string()?;
        if !is_label(&name) {
            field.error(format!("`{name}` is not the name of a subset"), None);
        }
        Some(Self { name: field.spanned(name), labels: labels.into(), policy, at: reader.at() })
    }
}

// === impl Tunnel ===

impl Tunnel {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let protocols = [("CONNECT", false), ("POST", true), ("", false)];
        let uses_post = reader.take("protocol").map_or(Some(false), |one| one.choice(&protocols));
        let target_host =
            reader.require("targetHost").and_then(|field| Some(field.spanned(host(&field)?)));
        let target_port = reader.require("targetPort").and_then(|field| field.port());
        Some(Self { uses_post: uses_post?, target_host: target_host?, target_port: target_port? })
    }
}

// === impl ProxyProtocol ===

impl ProxyProtocol {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let versions = [("V1", Self::V1), ("V2", Self::V2)];
        reader.take("version").map_or(Some(Self::V1), |field| field.choice(&versions))
    }
}

// === impl RetryBudget ===

impl RetryBudget {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let percent = reader.take("percent").map(|field| Percent::read(&field));
        let least = reader.int("minRetryConcurrency", 0, u32::MAX.into());
        let interval = spanned(reader, "budgetInterval", any_duration);
        Some(Self {
            percent: percent.unwrap_or_else(|| Percent::new(BUDGET_PERCENT))?,
            min_concurrency: least.map_or(BUDGET_CONCURRENCY, |least| least as u32),
            interval: interval.map_or(Duration::ZERO, |interval| interval.value),
        })
    }
}

/// Reads a DestinationRule.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<DestinationRule> {
    reader.require("spec")?.nested(|spec| {
        foreign_http2(spec);
        let policy = spec.nested("trafficPolicy", TrafficPolicy::read).unwrap_or_default();
        let subsets = spec.list("subsets", |item| item.nested(Subset::read));
        let mut names: Vec<&str> = Vec::new();
        for subset in &subsets {
            if names.contains(&&**subset.name) {
                spec.error(format!("the subset `{}` is there already", subset.name.value), None);
            }
            names.push(&subset.name);
        }
        let selector = block(spec, "workloadSelector", |selector| {
            let labels = selector.take("matchLabels").map(|field| field.text_map());
            Some(Labels::from(labels.unwrap_or_default()))
        });
        let export_to = ExportTo::take_some(spec);
        let is_wide = |export: &Spanned<ExportTo>| match &export.value {
            ExportTo::Namespaces(all) => all.len() > 1,
            ExportTo::Everyone | ExportTo::Nobody => true,
        };
        if selector.is_some() && export_to.as_ref().is_some_and(is_wide) {
            let fix = Some("write exportTo: [\".\"], or remove it".into());
            spec.error("with `workloadSelector` a rule is for its own namespace alone", fix);
        }
        let field = spec.require("host")?;
        let host = field.spanned(host(&field)?);
        Some(DestinationRule { host, policy, subsets, export_to, selector, is_broken: false })
    })
}
