//! All kinds that are understood, and how each is found by `apiVersion` and `kind`.

use crate::gateway_api;
use crate::istio;
use crate::kubernetes;
use crate::linkerd;
use crate::multicluster;
use crate::read::{Reader, nearest};
use crate::smi;
use crate::traefik;
use crate::weftway;

/// What a resource says, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Traefik `IngressRoute`.
    IngressRoute(Box<traefik::IngressRoute>),
    /// Traefik `IngressRouteTCP`.
    IngressRouteTcp(Box<traefik::IngressRouteTcp>),
    /// Traefik `Middleware`, or one of the file provider.
    Middleware(Box<traefik::Middleware>),
    /// Traefik `MiddlewareTCP`, or one of the file provider.
    MiddlewareTcp(Box<traefik::MiddlewareTcp>),
    /// Traefik `TraefikService`.
    TraefikService(Box<traefik::TraefikService>),
    /// Traefik `ServersTransport`, or one of the file provider.
    ServersTransport(Box<traefik::ServersTransport>),
    /// Traefik `ServersTransportTCP`, or one of the file provider.
    ServersTransportTcp(Box<traefik::ServersTransportTcp>),
    /// Traefik `TLSOption`, or one of the file provider.
    TlsOption(Box<traefik::TlsOption>),
    /// Traefik `TLSStore`, or one of the file provider.
    TlsStore(Box<traefik::TlsStore>),
    /// An HTTP router of Traefik's file provider.
    Router(Box<traefik::file::Router>),
    /// A TCP router of Traefik's file provider.
    RouterTcp(Box<traefik::file::RouterTcp>),
    /// An HTTP service of Traefik's file provider.
    FileService(Box<traefik::file::Service>),
    /// A TCP service of Traefik's file provider.
    FileServiceTcp(Box<traefik::file::ServiceTcp>),
    /// A certificate of Traefik's file provider.
    FileCertificate(Box<traefik::file::Certificate>),
    /// Kubernetes `Service`.
    Service(Box<kubernetes::Service>),
    /// Kubernetes `Endpoints`.
    Endpoints(Box<kubernetes::Endpoints>),
    /// Kubernetes `EndpointSlice`.
    EndpointSlice(Box<kubernetes::EndpointSlice>),
    /// `ServiceImport` of the Multi-Cluster Services API.
    ServiceImport(Box<kubernetes::Service>),
    /// `ServiceExport` of the Multi-Cluster Services API.
    ServiceExport(multicluster::ServiceExport),
    /// Kubernetes `Secret`.
    Secret(Box<kubernetes::Secret>),
    /// Kubernetes `ConfigMap`.
    ConfigMap(Box<kubernetes::ConfigMap>),
    /// Kubernetes `Namespace`.
    Namespace(kubernetes::Namespace),
    /// Kubernetes `Pod`.
    Pod(Box<kubernetes::Pod>),
    /// Kubernetes `ServiceAccount`.
    ServiceAccount(kubernetes::ServiceAccount),
    /// Kubernetes `Ingress`.
    Ingress(Box<kubernetes::Ingress>),
    /// Kubernetes `IngressClass`.
    IngressClass(Box<kubernetes::IngressClass>),
    /// Kubernetes `NetworkPolicy`.
    NetworkPolicy(Box<kubernetes::NetworkPolicy>),
    /// Istio `VirtualService`.
    VirtualService(Box<istio::VirtualService>),
    /// Istio `DestinationRule`.
    DestinationRule(Box<istio::DestinationRule>),
    /// Istio `Gateway`.
    IstioGateway(Box<istio::Gateway>),
    /// Istio `ServiceEntry`.
    ServiceEntry(Box<istio::ServiceEntry>),
    /// Istio `WorkloadEntry`.
    WorkloadEntry(Box<istio::WorkloadEntry>),
    /// Istio `WorkloadGroup`.
    WorkloadGroup(Box<istio::WorkloadGroup>),
    /// Istio `Sidecar`.
    Sidecar(Box<istio::Sidecar>),
    /// Istio `PeerAuthentication`.
    PeerAuthentication(Box<istio::PeerAuthentication>),
    /// Istio `AuthorizationPolicy`.
    AuthorizationPolicy(Box<istio::AuthorizationPolicy>),
    /// Istio `RequestAuthentication`.
    RequestAuthentication(Box<istio::RequestAuthentication>),
    /// Linkerd `Server`.
    Server(Box<linkerd::Server>),
    /// Linkerd's own `HTTPRoute`.
    LinkerdHttpRoute(Box<linkerd::HttpRoute>),
    /// Linkerd `HTTPLocalRateLimitPolicy`.
    RateLimitPolicy(Box<linkerd::RateLimitPolicy>),
    /// Linkerd `EgressNetwork`.
    EgressNetwork(Box<linkerd::EgressNetwork>),
    /// Linkerd `ExternalWorkload`.
    ExternalWorkload(Box<linkerd::ExternalWorkload>),
    /// Linkerd `ServiceProfile`.
    ServiceProfile(Box<linkerd::ServiceProfile>),
    /// SMI `TrafficSplit`.
    TrafficSplit(Box<smi::TrafficSplit>),
    /// SMI `HTTPRouteGroup`.
    RouteGroup(Box<smi::RouteGroup>),
    /// Weftway's own `TrafficPolicy`.
    TrafficPolicy(Box<weftway::TrafficPolicy>),
    /// Gateway API `GatewayClass`.
    GatewayClass(Box<gateway_api::GatewayClass>),
    /// Gateway API `Gateway`.
    Gateway(Box<gateway_api::Gateway>),
    /// Gateway API `ListenerSet`.
    ListenerSet(Box<gateway_api::ListenerSet>),
    /// Gateway API `HTTPRoute`.
    HttpRoute(Box<gateway_api::HttpRoute>),
    /// Gateway API `GRPCRoute`.
    GrpcRoute(Box<gateway_api::GrpcRoute>),
    /// Gateway API `TLSRoute`.
    TlsRoute(Box<gateway_api::L4Route>),
    /// Gateway API `TCPRoute`.
    TcpRoute(Box<gateway_api::L4Route>),
    /// Gateway API `ReferenceGrant`.
    ReferenceGrant(Box<gateway_api::ReferenceGrant>),
    /// Gateway API `BackendTLSPolicy`.
    BackendTlsPolicy(Box<gateway_api::BackendTlsPolicy>),
    /// Gateway API `XBackendTrafficPolicy`, and `BackendTrafficPolicy` as it was called before.
    BackendTrafficPolicy(Box<gateway_api::BackendTrafficPolicy>),
    /// A kind that is named but has no effect here.
    Unsupported {
        /// What it would need.
        why: &'static str,
    },
    /// A kind that is not known.
    Unknown {
        /// `apiVersion` as written.
        api_version: Box<str>,
        /// `kind` as written.
        kind: Box<str>,
    },
}

/// How documents of one kind are decoded.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The API group that keys carry.
    pub group: &'static str,
    /// Accepted values of `apiVersion`.
    pub api_versions: &'static [&'static str],
    /// The kind.
    pub kind: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Decodes what follows `metadata`; the reader stands on the whole document. `None` after the
    /// reason was reported.
    pub decode: fn(&Reader<'_, '_>) -> Option<Kind>,
}

/// The kinds of every dialect. Each dialect lists its own in its module.
const DIALECTS: &[&[KindInfo]] = &[
    gateway_api::KINDS,
    kubernetes::KINDS,
    istio::KINDS,
    linkerd::KINDS,
    smi::KINDS,
    multicluster::KINDS,
    traefik::KINDS,
    weftway::KINDS,
];

/// What was probably meant by an `apiVersion` and `kind` that are not known.
#[derive(Debug, Clone, Copy)]
pub enum Slip {
    /// This kind, which has other versions.
    ApiVersion(&'static KindInfo),
    /// This kind, which has another name.
    Kind(&'static KindInfo),
}

/// The kinds that say who may call workloads, by group. Authorizations of Linkerd are not among
/// them: they only open.
const PROTECTING: &[(&str, &str)] = &[
    (istio::security::GROUP, "PeerAuthentication"),
    (istio::security::GROUP, "AuthorizationPolicy"),
    (istio::security::GROUP, "RequestAuthentication"),
    (linkerd::GROUP, "Server"),
    (linkerd::GROUP, "HTTPRoute"),
    (linkerd::GROUP, "HTTPLocalRateLimitPolicy"),
    (kubernetes::NETWORKING, "NetworkPolicy"),
];

/// Those of them whose names mean nothing else, whatever group they are written under.
const UNMISTAKABLE: &[&str] =
    &["PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication", "NetworkPolicy"];

/// The groups whose kinds are about who may call.
const PROTECTING_GROUPS: &[&str] = &[istio::security::GROUP, linkerd::GROUP];

/// The group that Ingress and NetworkPolicy came from, among others.
const LEGACY_GROUP: &str = "extensions";

// === impl Kind ===

impl Kind {
    /// Marks what has errors and stays in force all the same: a policy that is attached from
    /// outside. Were it gone, nobody would miss it where it protects; marked as broken it lets
    /// `compile` answer errors there. False for all else, of which nothing stays.
    pub(crate) fn mark_broken(&mut self) -> bool {
        self.broken_mark().map(|mark| *mark = true).is_some()
    }

    /// Whether it was read in part only and kept for what it protects.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::BackendTlsPolicy(policy) => policy.is_broken,
            Self::DestinationRule(rule) => rule.is_broken,
            Self::PeerAuthentication(policy) => policy.is_broken,
            Self::AuthorizationPolicy(policy) => policy.is_broken,
            Self::RequestAuthentication(policy) => policy.is_broken,
            Self::Server(server) => server.is_broken,
            Self::LinkerdHttpRoute(route) => route.is_broken,
            Self::RateLimitPolicy(policy) => policy.is_broken,
            Self::EgressNetwork(egress) => egress.is_broken,
            Self::TrafficPolicy(policy) => policy.is_broken,
            Self::NetworkPolicy(policy) => policy.is_broken,
            _ => false,
        }
    }

    fn broken_mark(&mut self) -> Option<&mut bool> {
        match self {
            Self::BackendTlsPolicy(policy) => Some(&mut policy.is_broken),
            Self::DestinationRule(rule) if rule.asks_for_tls() => Some(&mut rule.is_broken),
            Self::PeerAuthentication(policy) => Some(&mut policy.is_broken),
            Self::AuthorizationPolicy(policy) => Some(&mut policy.is_broken),
            Self::RequestAuthentication(policy) => Some(&mut policy.is_broken),
            Self::Server(server) => Some(&mut server.is_broken),
            Self::LinkerdHttpRoute(route) => Some(&mut route.is_broken),
            Self::RateLimitPolicy(policy) => Some(&mut policy.is_broken),
            Self::EgressNetwork(egress) => Some(&mut egress.is_broken),
            Self::TrafficPolicy(policy) if policy.local_rate_limit.is_some() => {
                Some(&mut policy.is_broken)
            }
            Self::NetworkPolicy(policy) => Some(&mut policy.is_broken),
            _ => None,
        }
    }

    /// What callers call: a Service, or what is one of several clusters.
    pub fn as_service(&self) -> Option<&kubernetes::Service> {
        match self {
            Self::Service(service) | Self::ServiceImport(service) => Some(service),
            _ => None,
        }
    }

    /// Whether only a mesh acts on it: it says of workloads what they are and who may call them.
    pub fn is_for_mesh(&self) -> bool {
        matches!(
            self,
            Self::Pod(_)
                | Self::ServiceAccount(_)
                | Self::WorkloadEntry(_)
                | Self::WorkloadGroup(_)
                | Self::Sidecar(_)
                | Self::PeerAuthentication(_)
                | Self::AuthorizationPolicy(_)
                | Self::RequestAuthentication(_)
                | Self::Server(_)
                | Self::LinkerdHttpRoute(_)
                | Self::RateLimitPolicy(_)
                | Self::EgressNetwork(_)
                | Self::ExternalWorkload(_)
                | Self::ServiceProfile(_)
                | Self::TrafficSplit(_)
                | Self::RouteGroup(_)
                | Self::NetworkPolicy(_)
        )
    }
}

// === impl KindInfo ===

impl KindInfo {
    /// Whether documents of this kind say who may call workloads. One that cannot be read has to
    /// be reckoned with all the same.
    pub fn protects(&self) -> bool {
        PROTECTING.contains(&(self.group, self.kind))
    }

    fn is_version(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.api_versions.iter().any(|version| is_meant(version))
    }
}

/// The decoder of a kind.
pub fn find(api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    infos().find(|info| info.kind == kind && info.api_versions.contains(&api_version))
}

/// The group that an `apiVersion` names; empty for the core group.
pub fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// What was probably meant by an `apiVersion` and `kind` that are not known. A kind of ours under a
/// wrong version is a mistake; a kind of others is none of our business.
pub fn slip(api_version: &str, kind: &str) -> Option<Slip> {
    let same = || infos().filter(|info| info.kind == kind);
    let own = group(api_version);
    let of_group = same().find(|info| info.is_version(|version| group(version) == own));
    let moved = || same().next().filter(|_| own == LEGACY_GROUP);
    let near = || {
        let versions = same().flat_map(|info| info.api_versions.iter().copied());
        let version = nearest(api_version, versions)?;
        same().find(|info| info.is_version(|known| known == version))
    };
    let unmistakable = || same().find(|info| UNMISTAKABLE.contains(&info.kind) && info.protects());
    let version = of_group.or_else(moved).or_else(near).or_else(unmistakable);
    version.map(Slip::ApiVersion).or_else(|| nearest_kind(api_version, kind).map(Slip::Kind))
}

/// All values of `apiVersion` under which a kind is known.
pub fn known_api_versions(kind: &str) -> Vec<&'static str> {
    let same = infos().filter(|info| info.kind == kind);
    same.flat_map(|info| info.api_versions.iter().copied()).collect()
}

/// Whether a document that cannot be read may protect workloads, by what its `apiVersion` and `kind`
/// seem to be; empty where nothing is seen of them.
pub fn may_protect(api_version: &str, kind: &str) -> bool {
    let group = group(api_version);
    match infos().find(|info| info.kind == kind && info.group == group) {
        Some(info) => info.protects(),
        None => {
            // Most routes are none of Linkerd's.
            let has_name = kind != "HTTPRoute" && PROTECTING.iter().any(|(_, name)| *name == kind);
            has_name || PROTECTING_GROUPS.contains(&group)
        }
    }
}

/// The kind of this version's group whose name is nearest, to tell a slip from an unknown kind.
fn nearest_kind(api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    let wanted = Some(group(api_version)).filter(|group| !group.is_empty())?;
    let same = || infos().filter(|info| info.is_version(|version| group(version) == wanted));
    let name = nearest(kind, same().map(|info| info.kind))?;
    same().find(|info| info.kind == name)
}

/// All kinds.
pub fn infos() -> impl Iterator<Item = &'static KindInfo> {
    DIALECTS.iter().flat_map(|kinds| kinds.iter())
}
