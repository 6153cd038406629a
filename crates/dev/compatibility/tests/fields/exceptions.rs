//! Fields of which the samples and their arrangements do not show what the table says.

/// A kind, the fields, and why.
type Exception = (&'static str, &'static str, &'static str);

/// Fields that are neither honoured nor reported: faults, each to be mended. The list may only
/// become shorter.
const NEITHER: &[Exception] = &[
    (
        "networking.istio.io VirtualService",
        "spec.http[].name",
        "labels that nothing shows: rules are named by their document and number",
    ),
    (
        "networking.istio.io VirtualService",
        "spec.http[].match[].name",
        "labels that nothing shows: rules are named by their document and number",
    ),
    ("gateway.networking.k8s.io TLSRoute", "spec.rules[].name", "the same"),
    ("gateway.networking.k8s.io TCPRoute", "spec.rules[].name", "the same"),
    ("networking.istio.io Gateway", "spec.servers[].name", "the same"),
    ("networking.istio.io Sidecar", "spec.egress[].port.name", "the same"),
    ("networking.istio.io Sidecar", "spec.egress[].port.protocol", "the same"),
    ("networking.istio.io Sidecar", "spec.ingress[].port.name", "the same"),
    (
        "networking.istio.io DestinationRule",
        "**.zoneAwareLbSetting.minClusterSize",
        "zones are weighed whatever the size",
    ),
    (
        "networking.istio.io ServiceEntry",
        "metadata.annotations.networking.istio.io/traffic-distribution",
        "what is read is not compiled",
    ),
    ("Namespace", "metadata.annotations.networking.istio.io/traffic-distribution", "the same"),
    ("Pod", "metadata.annotations.config.linkerd.io/opaque-ports", "the same"),
    ("Endpoints", "**.nodeName", "the same"),
    ("Endpoints", "subsets[].ports[].appProtocol", "the same"),
    ("discovery.k8s.io EndpointSlice", "endpoints[].nodeName", "the same"),
    ("discovery.k8s.io EndpointSlice", "ports[].appProtocol", "the same"),
    (
        "policy.linkerd.io EgressNetwork",
        "metadata.annotations.**",
        "routes of networks are not served, and ranges are not told apart",
    ),
    (
        "policy.linkerd.io EgressNetwork",
        "spec.networks[].except",
        "routes of networks are not served, and ranges are not told apart",
    ),
    ("traefik.io ServersTransport", "spec.maxVersion", "what is read is not compiled"),
    ("traefik.io ServersTransport", "spec.minVersion", "what is read is not compiled"),
    ("traefik.io ServersTransportTCP", "spec.tls.maxVersion", "the same"),
    ("traefik.io ServersTransportTCP", "spec.tls.minVersion", "the same"),
    ("file.traefik.io File", "**.minVersion", "the same, for servers"),
    ("file.traefik.io File", "**.maxVersion", "the same, for servers"),
];

/// Fields that make a difference in a world other than that of the samples. The tests that their
/// rows name have such worlds.
const ELSEWHERE: &[Exception] = &[
    ("ObjectMeta", "apiVersion", "the sample is a ConfigMap that nobody asks for"),
    ("ObjectMeta", "kind", "the sample is a ConfigMap that nobody asks for"),
    ("ObjectMeta", "metadata.**", "the sample is a ConfigMap that nobody asks for"),
    (
        "gateway.networking.k8s.io Gateway",
        "spec.tls.frontend.**",
        "authorities of other kinds and namespaces are refused alike",
    ),
    (
        "gateway.networking.k8s.io ListenerSet",
        "spec.listeners[].tls.certificateRefs[].**",
        "its certificates are in a namespace of their own",
    ),
    (
        "gateway.networking.x-k8s.io XListenerSet",
        "spec.listeners[].tls.certificateRefs[].**",
        "the same",
    ),
    (
        "gateway.networking.k8s.io HTTPRoute",
        "**.requestMirror.fraction.denominator",
        "the sample's mirror with a fraction leads nowhere",
    ),
    ("gateway.networking.k8s.io GRPCRoute", "**.requestMirror.fraction.denominator", "the same"),
    (
        "gateway.networking.k8s.io GRPCRoute",
        "spec.rules[].filters[].requestMirror.backendRef.**",
        "the same",
    ),
    (
        "policy.linkerd.io HTTPRoute",
        "**.requestMirror.fraction.denominator",
        "the same; and a gateway serves the Gateway API's own kind",
    ),
    (
        "policy.linkerd.io HTTPRoute",
        "spec.rules[].filters[].requestMirror.backendRef.**",
        "the same; and a gateway serves the Gateway API's own kind",
    ),
    (
        "policy.linkerd.io HTTPRoute",
        "spec.hostnames",
        "the same; and a gateway serves the Gateway API's own kind",
    ),
    (
        "policy.linkerd.io HTTPRoute",
        "spec.parentRefs[].sectionName",
        "the same; and a gateway serves the Gateway API's own kind",
    ),
    (
        "Service",
        "spec.publishNotReadyAddresses",
        "all endpoints are ready, and an annotation says the same",
    ),
    (
        "Service",
        "spec.trafficDistribution",
        "all endpoints are ready, and an annotation says the same",
    ),
    (
        "Endpoints",
        "subsets[].notReadyAddresses[].hostname",
        "the ports of the scene are told by their numbers",
    ),
    ("Endpoints", "subsets[].ports[].name", "the ports of the scene are told by their numbers"),
    ("Endpoints", "subsets[].ports[].protocol", "the ports of the scene are told by their numbers"),
    ("discovery.k8s.io EndpointSlice", "ports[].name", "the same"),
    ("discovery.k8s.io EndpointSlice", "ports[].protocol", "the same"),
    ("Secret", "type", "the kind of basic authentication is another one"),
    ("ConfigMap", "binaryData.**", "nobody asks for that key"),
    (
        "Namespace",
        "metadata.annotations.config.linkerd.io/opaque-ports",
        "no Service has that port",
    ),
    (
        "Pod",
        "metadata.annotations.config.linkerd.io/default-inbound-policy",
        "each is said twice in the sample",
    ),
    ("Pod", "spec.containers[].ports[].name", "each is said twice in the sample"),
    ("Pod", "spec.initContainers[].ports[].name", "each is said twice in the sample"),
    ("Pod", "spec.serviceAccountName", "each is said twice in the sample"),
    (
        "networking.istio.io VirtualService",
        "spec.http[].redirect.derivePort",
        "the sample names the default",
    ),
    (
        "networking.istio.io DestinationRule",
        "**.tls.caCertificates",
        "sidecars have no files: such calls fail in any case",
    ),
    (
        "networking.istio.io DestinationRule",
        "**.tls.caCrl",
        "sidecars have no files: such calls fail in any case",
    ),
    (
        "networking.istio.io Gateway",
        "spec.servers[].tls.**",
        "the sample's servers are closed for more than one reason",
    ),
    (
        "networking.istio.io ServiceEntry",
        "metadata.annotations.weftway.io/slow-start",
        "no route leads there, no rule asks for labels, and the port's name says the protocol",
    ),
    (
        "networking.istio.io ServiceEntry",
        "spec.endpoints[].labels.*",
        "no route leads there, no rule asks for labels, and the port's name says the protocol",
    ),
    (
        "networking.istio.io ServiceEntry",
        "spec.endpoints[].serviceAccount",
        "no route leads there, no rule asks for labels, and the port's name says the protocol",
    ),
    (
        "networking.istio.io ServiceEntry",
        "spec.ports[].protocol",
        "no route leads there, no rule asks for labels, and the port's name says the protocol",
    ),
    ("networking.istio.io WorkloadEntry", "spec.serviceAccount", "it has no proxy"),
    (
        "security.istio.io AuthorizationPolicy",
        "spec.targetRef.namespace",
        "an own namespace is the only one",
    ),
    (
        "security.istio.io AuthorizationPolicy",
        "spec.targetRefs[].namespace",
        "an own namespace is the only one",
    ),
    ("security.istio.io RequestAuthentication", "spec.targetRef.namespace", "the same"),
    ("security.istio.io RequestAuthentication", "spec.targetRefs[].namespace", "the same"),
    ("extensions.istio.io WasmPlugin", "spec.targetRef.namespace", "the same"),
    ("extensions.istio.io WasmPlugin", "spec.targetRefs[].namespace", "the same"),
    ("MeshConfig", "localityLbSetting.distribute[].**", "the sample switches it off"),
    (
        "linkerd.io ServiceProfile",
        "spec.routes[].responseClasses[].condition.status.max",
        "the sample's range is of one status",
    ),
    (
        "traefik.io IngressRoute",
        "spec.routes[].syntax",
        "the rule means the same in both languages",
    ),
    ("traefik.io IngressRoute", "spec.tls.store.**", "the rule means the same in both languages"),
    ("traefik.io IngressRouteTCP", "spec.routes[].syntax", "the same, and of one service"),
    (
        "traefik.io IngressRouteTCP",
        "spec.routes[].services[].weight",
        "the same, and of one service",
    ),
    ("traefik.io IngressRouteTCP", "spec.tls.store.**", "the same, and of one service"),
    (
        "traefik.io Middleware",
        "spec.errors.service.**",
        "the one service is closed by its middleware; the host is the default",
    ),
    (
        "traefik.io Middleware",
        "spec.inFlightReq.sourceCriterion.requestHost",
        "the one service is closed by its middleware; the host is the default",
    ),
    ("traefik.io TraefikService", "spec.failover.**", "the same"),
    ("traefik.io TraefikService", "spec.mirroring.**", "the same"),
    ("traefik.io ServersTransport", "spec.certificatesSecrets", "the certificate is named twice"),
    ("traefik.io ServersTransportTCP", "spec.tls.certificatesSecrets", "the same"),
    ("traefik.io TLSOption", "spec.maxVersion", "the least is the greatest"),
    ("traefik.io TLSStore", "spec.defaultCertificate.**", "only the store `default` has an effect"),
    (
        "file.traefik.io File",
        "http.middlewares.*.basicAuth.secret",
        "a file of the provider has no Secrets beside it",
    ),
    (
        "file.traefik.io File",
        "http.middlewares.*.forwardAuth.**",
        "its parts are in documents of their own, and are compiled as those of the kinds above",
    ),
    (
        "file.traefik.io File",
        "http.middlewares.*.inFlightReq.sourceCriterion.requestHost",
        "its parts are in documents of their own, and are compiled as those of the kinds above",
    ),
    (
        "file.traefik.io File",
        "http.routers.*.ruleSyntax",
        "its parts are in documents of their own, and are compiled as those of the kinds above",
    ),
    (
        "file.traefik.io File",
        "http.serversTransports.*.**",
        "its parts are in documents of their own, and are compiled as those of the kinds above",
    ),
    (
        "file.traefik.io File",
        "http.services.*.loadBalancer.**",
        "its parts are in documents of their own, and are compiled as those of the kinds above",
    ),
    (
        "file.traefik.io File",
        "tcp.**",
        "its parts are in documents of their own, and are compiled as those of the kinds above",
    ),
    (
        "file.traefik.io File",
        "tls.**",
        "its parts are in documents of their own, and are compiled as those of the kinds above",
    ),
];

/// The exception for a field.
pub(crate) fn find(kind: &str, path: &str) -> Option<usize> {
    all().position(|(of, pattern, _)| *of == kind && fits(pattern, path))
}

/// The exceptions of a kind.
pub(crate) fn of(kind: &str) -> impl Iterator<Item = (usize, String)> {
    let own = all().enumerate().filter(move |(_, (of, ..))| *of == kind);
    own.map(|(number, (of, pattern, _))| (number, format!("{of} {pattern}")))
}

fn all() -> impl Iterator<Item = &'static Exception> {
    NEITHER.iter().chain(ELSEWHERE)
}

/// Whether a pattern, in which `**` stands for anything, is that of a field.
fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once("**") {
        None => pattern == path,
        Some((start, end)) => {
            path.len() >= start.len() + end.len() && path.starts_with(start) && path.ends_with(end)
        }
    }
}
