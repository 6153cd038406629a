//! The samples, embedded.

/// Group, kind and text of one sample.
type Sample = (&'static str, &'static str, &'static str);

/// The folder of the samples of the core group, whose name is empty.
const CORE: &str = "core";

macro_rules! sample {
    ($group:literal, $kind:literal) => {
        ($group, $kind, include_str!(concat!("../../samples/", $group, "/", $kind, ".yaml")))
    };
}

const SAMPLES: &[Sample] = &[
    sample!("core", "ConfigMap"),
    sample!("core", "Endpoints"),
    sample!("core", "MeshConfig"),
    sample!("core", "Namespace"),
    sample!("core", "ObjectMeta"),
    sample!("core", "Pod"),
    sample!("core", "Secret"),
    sample!("core", "Service"),
    sample!("core", "ServiceAccount"),
    sample!("discovery.k8s.io", "EndpointSlice"),
    sample!("multicluster.x-k8s.io", "ServiceExport"),
    sample!("multicluster.x-k8s.io", "ServiceImport"),
    sample!("networking.k8s.io", "Ingress"),
    sample!("networking.k8s.io", "IngressClass"),
    sample!("networking.k8s.io", "NetworkPolicy"),
    sample!("gateway.networking.k8s.io", "BackendTLSPolicy"),
    sample!("gateway.networking.k8s.io", "GRPCRoute"),
    sample!("gateway.networking.k8s.io", "Gateway"),
    sample!("gateway.networking.k8s.io", "GatewayClass"),
    sample!("gateway.networking.k8s.io", "HTTPRoute"),
    sample!("gateway.networking.k8s.io", "ListenerSet"),
    sample!("gateway.networking.k8s.io", "ReferenceGrant"),
    sample!("gateway.networking.k8s.io", "TCPRoute"),
    sample!("gateway.networking.k8s.io", "TLSRoute"),
    sample!("gateway.networking.k8s.io", "UDPRoute"),
    sample!("gateway.networking.x-k8s.io", "BackendTrafficPolicy"),
    sample!("gateway.networking.x-k8s.io", "XBackendTrafficPolicy"),
    sample!("gateway.networking.x-k8s.io", "XListenerSet"),
    sample!("networking.istio.io", "DestinationRule"),
    sample!("networking.istio.io", "EnvoyFilter"),
    sample!("networking.istio.io", "Gateway"),
    sample!("networking.istio.io", "ServiceEntry"),
    sample!("networking.istio.io", "Sidecar"),
    sample!("networking.istio.io", "VirtualService"),
    sample!("networking.istio.io", "WorkloadEntry"),
    sample!("networking.istio.io", "WorkloadGroup"),
    sample!("security.istio.io", "AuthorizationPolicy"),
    sample!("security.istio.io", "PeerAuthentication"),
    sample!("security.istio.io", "RequestAuthentication"),
    sample!("extensions.istio.io", "WasmPlugin"),
    sample!("linkerd.io", "ServiceProfile"),
    sample!("policy.linkerd.io", "AuthorizationPolicy"),
    sample!("policy.linkerd.io", "EgressNetwork"),
    sample!("policy.linkerd.io", "HTTPLocalRateLimitPolicy"),
    sample!("policy.linkerd.io", "HTTPRoute"),
    sample!("policy.linkerd.io", "MeshTLSAuthentication"),
    sample!("policy.linkerd.io", "NetworkAuthentication"),
    sample!("policy.linkerd.io", "Server"),
    sample!("policy.linkerd.io", "ServerAuthorization"),
    sample!("workload.linkerd.io", "ExternalWorkload"),
    sample!("split.smi-spec.io", "TrafficSplit"),
    sample!("specs.smi-spec.io", "HTTPRouteGroup"),
    sample!("specs.smi-spec.io", "TCPRoute"),
    sample!("specs.smi-spec.io", "UDPRoute"),
    sample!("access.smi-spec.io", "TrafficTarget"),
    sample!("traefik.io", "IngressRoute"),
    sample!("traefik.io", "IngressRouteTCP"),
    sample!("traefik.io", "IngressRouteUDP"),
    sample!("traefik.io", "Middleware"),
    sample!("traefik.io", "MiddlewareTCP"),
    sample!("traefik.io", "ServersTransport"),
    sample!("traefik.io", "ServersTransportTCP"),
    sample!("traefik.io", "TLSOption"),
    sample!("traefik.io", "TLSStore"),
    sample!("traefik.io", "TraefikService"),
    sample!("file.traefik.io", "File"),
    sample!("weftway.io", "TrafficPolicy"),
];

/// The sample of a kind; empty when there is none.
pub(super) fn find(group: &str, kind: &str) -> &'static str {
    let folder = if group.is_empty() { CORE } else { group };
    let found = SAMPLES.iter().find(|(other, name, _)| (*other, *name) == (folder, kind));
    found.map_or("", |(_, _, text)| text)
}
