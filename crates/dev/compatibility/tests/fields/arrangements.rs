//! What the sample of a kind needs around it for its fields to matter.

/// Documents beside those of the scene, and changes of the sample's own.
pub(crate) struct Arrangement {
    /// Group and kind of the samples that it is for.
    pub(crate) of: (&'static str, &'static str),
    /// Changes of the document ([`crate::adjust::adjusted`]).
    pub(crate) changes: &'static [&'static str],
    /// Documents that stand beside it.
    pub(crate) beside: &'static str,
}

const fn of(
    group: &'static str,
    kind: &'static str,
    changes: &'static [&'static str],
    beside: &'static str,
) -> Arrangement {
    Arrangement { of: (group, kind), changes, beside }
}

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";
const ISTIO: &str = "networking.istio.io";
const LINKERD: &str = "policy.linkerd.io";
const MULTICLUSTER: &str = "multicluster.x-k8s.io";
const TRAEFIK: &str = "traefik.io";
const FILE: &str = "file.traefik.io";

/// A Service without addresses of its own and its selector.
const HEADLESS: &str = include_str!("beside/headless.yaml");
/// A route with the target that a policy names.
const TARGET_ROUTE: &str = include_str!("beside/target-route.yaml");
/// Another document for the host of the sample.
const SAME_HOST: &str = include_str!("beside/same-host.yaml");
/// One of the same age, whose name lies between that of the sample and another.
const SAME_AGE: &str = include_str!("beside/same-age.yaml");
/// A class that is somebody else's.
const OTHER_CLASS: &str = include_str!("beside/other-class.yaml");
/// What trusts the authorities of a ConfigMap.
const AUTHORITIES: &str = include_str!("beside/authorities.yaml");
/// A class for Ingresses that name none.
const DEFAULT_CLASS: &str = include_str!("beside/default-class.yaml");
/// Routes of two namespaces for every listener of the samples.
const ROUTES: &str = include_str!("beside/routes.yaml");
/// The same for sets of listeners.
const ROUTES_OF_SETS: &str = include_str!("beside/routes-of-sets.yaml");
/// A route to Services of the namespace `shop`.
const ROUTE: &str = include_str!("beside/route.yaml");
/// The same from another namespace.
const ROUTE_FROM_FRONT: &str = include_str!("beside/route-from-front.yaml");
/// A namespace without mutual TLS.
const PLAIN: &str = include_str!("beside/plain.yaml");
/// What gives a Service without selector its endpoints, in place of the scene's.
const NO_SLICES: &str = include_str!("beside/no-slices.yaml");
/// What another cluster has of the service of a ServiceImport, and a route to it.
const IMPORTED: &str = include_str!("beside/imported.yaml");
/// Routers that use every Middleware, TraefikService and transport of the samples.
const ROUTERS: &str = include_str!("beside/routers.yaml");
/// The same for a file of the file provider.
const FILE_ROUTERS: &str = include_str!("beside/file-routers.yaml");
/// What routers of a file name.
const FILE_SERVICES: &str = include_str!("beside/file-services.yaml");
/// The Server that a bound is about.
const SERVER: &str = include_str!("beside/server.yaml");
/// Who shows the sample's certificate.
const CREDENTIALS: &str = include_str!("beside/credentials.yaml");
/// Who asks for the sample's credentials of users.
const LOGINS: &str = include_str!("beside/logins.yaml");
/// Who trusts authorities that are bytes.
const BINARY: &str = include_str!("beside/binary.yaml");
/// An endpoint that takes no calls.
const UNREADY: &str = include_str!("beside/unready.yaml");
/// A Service whose ports are told by their names, and which publishes what is not ready.
const BY_NAME: &str = include_str!("beside/by-name.yaml");
/// What leads to the host of a ServiceEntry, and tells its endpoints apart.
const LEGACY: &str = include_str!("beside/legacy.yaml");
/// The requests that a split is for.
const GROUP: &str = include_str!("beside/group.yaml");
/// A split of the requests of every group of the sample.
const SPLIT: &str = include_str!("beside/split.yaml");
/// A route and a rule of the service that the options are for.
const MESH: &str = include_str!("beside/mesh.yaml");
/// The Gateway that the sample names, with a server for each protocol.
const ISTIO_FRONT: &str = include_str!("beside/istio-front.yaml");
/// A VirtualService for every Gateway of the sample, and the scene's out of their way.
const ISTIO_GATEWAY: &str = include_str!("beside/istio-gateway.yaml");

/// References and namespaces of a Gateway that are what they are asked to be.
const REFERENCES: &[&str] = &[
    "spec.tls.frontend.perPort[].tls.validation.mode = \"AllowValidOnly\"",
    "spec.tls.frontend.default.validation.caCertificateRefs[kind=Vault]",
    "spec.tls.frontend.perPort[].tls.validation.caCertificateRefs[kind=Vault]",
    "spec.tls.backend.clientCertificateRef.group = \"\"",
    "spec.tls.backend.clientCertificateRef.kind = \"Secret\"",
    "spec.allowedListeners.namespaces.selector.matchExpressions",
    "spec.listeners[].tls.certificateRefs[kind=Vault]",
    "spec.listeners[name=more-https].port = 7443",
    "spec.listeners[].allowedRoutes.kinds",
    "spec.listeners[].allowedRoutes.namespaces.selector.matchExpressions",
];

/// What hides all of a redirect but its path.
const WHOLE_REDIRECTS: &[&str] = &[
    "metadata.annotations",
    "spec.rules[].filters[type=ExternalAuth]",
    "spec.rules[].filters[type=RequestMirror]",
    "spec.rules[].filters[type=ExtensionRef]",
    "spec.rules[].backendRefs[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=URLRewrite]",
    "spec.rules[].backendRefs[].filters[type=RequestMirror]",
    "spec.rules[].backendRefs[].filters[type=ExtensionRef]",
    "spec.rules[].backendRefs[].filters[].requestRedirect.path",
];

/// What Linkerd says of a Service, which comes before what Kubernetes does.
const NOT_OF_LINKERD: &[&str] = &[
    "metadata.annotations.balancer|linkerd|io/failure-accrual",
    "metadata.annotations.balancer|alpha|linkerd|io/penalize-failures",
    "metadata.annotations.config|linkerd|io/opaque-ports = \"80\"",
    "spec.sessionAffinity",
];

/// What leaves the annotation of Istio to speak.
const DISTRIBUTION: &[&str] = &[
    "metadata.annotations.balancer|linkerd|io/failure-accrual",
    "metadata.annotations.balancer|alpha|linkerd|io/penalize-failures",
    "metadata.annotations.service|kubernetes|io/topology-mode",
    "metadata.annotations.service|kubernetes|io/topology-aware-hints",
    "spec.trafficDistribution",
    "spec.sessionAffinity",
];

/// What leaves the oldest of annotations to speak.
const TOPOLOGY: &[&str] = &[
    "metadata.annotations.balancer|linkerd|io/failure-accrual",
    "metadata.annotations.balancer|alpha|linkerd|io/penalize-failures",
    "metadata.annotations.networking|istio|io/traffic-distribution",
    "metadata.annotations.service|kubernetes|io/topology-aware-hints",
    "spec.trafficDistribution",
    "spec.sessionAffinity",
];

/// An endpoint that takes calls.
const READY: &[&str] =
    &["endpoints[].conditions.ready = true", "endpoints[].conditions.terminating = false"];

/// Another version of HTTP than the client's.
const UPGRADES: &[&str] = &[
    "spec.workloadSelector",
    "spec.trafficPolicy.connectionPool.http.useClientProtocol",
    "spec.trafficPolicy.connectionPool.http.h2UpgradePolicy = \"UPGRADE\"",
    "spec.trafficPolicy.portLevelSettings[].connectionPool.http.useClientProtocol",
    "spec.trafficPolicy.portLevelSettings[].connectionPool.http.h2UpgradePolicy = \"UPGRADE\"",
    "spec.subsets[].trafficPolicy.connectionPool.http.useClientProtocol",
    "spec.subsets[].trafficPolicy.connectionPool.http.h2UpgradePolicy = \"UPGRADE\"",
    "spec.subsets[].trafficPolicy.portLevelSettings[].connectionPool.http.useClientProtocol",
    "spec.subsets[].trafficPolicy.portLevelSettings[].connectionPool.http.h2UpgradePolicy = \
     \"UPGRADE\"",
    "spec.inboundConnectionPool.http.useClientProtocol",
    "spec.inboundConnectionPool.http.h2UpgradePolicy = \"UPGRADE\"",
    "spec.ingress[].connectionPool.http.useClientProtocol",
    "spec.ingress[].connectionPool.http.h2UpgradePolicy = \"UPGRADE\"",
    "spec.ingress[].port.protocol = \"HTTP\"",
    "spec.ingress[].tls",
];

/// What closes the rules of a sample of all filters.
const NO_CLASHES: &[&str] = &[
    "spec.rules[].filters[type=ExternalAuth]",
    "spec.rules[].filters[type=ExtensionRef]",
    "spec.rules[].filters[].requestMirror.backendRef.group = \"\"",
    "spec.rules[].filters[].requestMirror.backendRef.kind = \"Service\"",
    "spec.rules[].filters[].requestMirror.backendRef.name = \"web-v2\"",
    "spec.rules[].backendRefs[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=ExtensionRef]",
    "spec.rules[].backendRefs[].filters[].requestMirror.backendRef.group = \"\"",
    "spec.rules[].backendRefs[].filters[].requestMirror.backendRef.kind = \"Service\"",
    "spec.rules[].backendRefs[].filters[].requestMirror.backendRef.name = \"web-v2\"",
    "spec.rules[].backendRefs[kind=TraefikService]",
];

/// A Service as the only parent, and a port of it by name.
const NAMED_PORT: &[&str] = &[
    "spec.parentRefs[kind=Service]",
    "spec.parentRefs[].port",
    "spec.parentRefs[].group = \"\"",
    "spec.parentRefs[].namespace = \"shop\"",
    "spec.parentRefs[].name = \"web\"",
    "spec.parentRefs[].kind = \"Service\"",
];

/// Redirects with prefixes to replace.
const PREFIX_REDIRECTS: &[&str] = &[
    "spec.rules[].matches[].path.type = \"PathPrefix\"",
    "spec.rules[].filters[type=ExternalAuth]",
    "spec.rules[].filters[type=RequestMirror]",
    "spec.rules[].filters[type=ExtensionRef]",
    "spec.rules[].backendRefs[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=URLRewrite]",
    "spec.rules[].backendRefs[].filters[type=RequestMirror]",
    "spec.rules[].backendRefs[].filters[type=ExtensionRef]",
];

/// The same for rewrites.
const PREFIX_REWRITES: &[&str] = &[
    "spec.rules[].matches[].path.type = \"PathPrefix\"",
    "spec.rules[].filters[type=ExternalAuth]",
    "spec.rules[].filters[type=RequestMirror]",
    "spec.rules[].filters[type=ExtensionRef]",
    "spec.rules[].backendRefs[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=RequestRedirect]",
    "spec.rules[].backendRefs[].filters[type=RequestMirror]",
    "spec.rules[].backendRefs[].filters[type=ExtensionRef]",
];

/// Extensions of backends alone.
const EXTENSIONS: &[&str] = &[
    "spec.rules[].filters[type=ExternalAuth]",
    "spec.rules[].filters[type=ExtensionRef]",
    "spec.rules[].filters[type=RequestMirror]",
    "spec.rules[].backendRefs[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=RequestMirror]",
];

/// Targets that a mesh has.
const TARGETS: &[&str] = &[
    "spec.selector",
    "spec.targetRef.group = \"\"",
    "spec.targetRef.kind = \"Service\"",
    "spec.targetRef.name = \"web\"",
    "spec.targetRefs[].group = \"\"",
    "spec.targetRefs[].kind = \"Service\"",
    "spec.targetRefs[].name = \"api\"",
];

/// What closes services that are asked on the side.
const UNGUARDED: &[&str] =
    &["spec.mirroring.mirrors[].middlewares", "spec.errors.service.middlewares"];

/// The same, and what hides what a check of health by HTTP asks for.
const CHECKS: &[&str] = &[
    "spec.mirroring.mirrors[].middlewares",
    "spec.errors.service.middlewares",
    "spec.weighted.services[].healthCheck.mode",
    "spec.highestRandomWeight.services[].healthCheck.mode",
    "spec.mirroring.healthCheck.mode",
    "spec.mirroring.mirrors[].healthCheck.mode",
    "spec.failover.service.healthCheck.mode",
    "spec.failover.fallback.healthCheck.mode",
    "spec.errors.service.healthCheck.mode",
];

/// What a Service says of where its traffic stays, without what others say of it.
const UNHINTED: &[&str] = &["metadata.annotations", "spec.sessionAffinity"];

/// A Pod with a proxy, and a port on which nothing is detected.
const MESHED: &[&str] = &[
    "metadata.labels = {\"app\": \"web\", \"networking.istio.io/tunnel\": \"http\"}",
    "metadata.annotations.config|linkerd|io/opaque-ports = \"8080\"",
    "status.phase = \"Running\"",
];

/// TLS whose authorities are a file, which a sidecar has not, and nothing else is.
const AUTHORITIES_ALONE: &[&str] = &[
    "spec.workloadSelector",
    "spec.trafficPolicy.tls.mode = \"SIMPLE\"",
    "spec.trafficPolicy.tls.clientCertificate",
    "spec.trafficPolicy.tls.privateKey",
    "spec.trafficPolicy.tls.caCrl",
    "spec.trafficPolicy.portLevelSettings[].tls.mode = \"SIMPLE\"",
    "spec.trafficPolicy.portLevelSettings[].tls.clientCertificate",
    "spec.trafficPolicy.portLevelSettings[].tls.privateKey",
    "spec.trafficPolicy.portLevelSettings[].tls.caCrl",
    "spec.subsets[].trafficPolicy.tls.mode = \"SIMPLE\"",
    "spec.subsets[].trafficPolicy.tls.clientCertificate",
    "spec.subsets[].trafficPolicy.tls.privateKey",
    "spec.subsets[].trafficPolicy.tls.caCrl",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.mode = \"SIMPLE\"",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.clientCertificate",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.privateKey",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.caCrl",
];

/// The same with a list of what is revoked.
const REVOKED_ALONE: &[&str] = &[
    "spec.workloadSelector",
    "spec.trafficPolicy.tls.mode = \"SIMPLE\"",
    "spec.trafficPolicy.tls.clientCertificate",
    "spec.trafficPolicy.tls.privateKey",
    "spec.trafficPolicy.tls.caCertificates",
    "spec.trafficPolicy.portLevelSettings[].tls.mode = \"SIMPLE\"",
    "spec.trafficPolicy.portLevelSettings[].tls.clientCertificate",
    "spec.trafficPolicy.portLevelSettings[].tls.privateKey",
    "spec.trafficPolicy.portLevelSettings[].tls.caCertificates",
    "spec.subsets[].trafficPolicy.tls.mode = \"SIMPLE\"",
    "spec.subsets[].trafficPolicy.tls.clientCertificate",
    "spec.subsets[].trafficPolicy.tls.privateKey",
    "spec.subsets[].trafficPolicy.tls.caCertificates",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.mode = \"SIMPLE\"",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.clientCertificate",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.privateKey",
    "spec.subsets[].trafficPolicy.portLevelSettings[].tls.caCertificates",
];

/// Servers of the version that has suites to choose from.
const TLS_1_2: &[&str] = &[
    "spec.servers[].tls.minProtocolVersion",
    "spec.servers[].tls.maxProtocolVersion = \"TLSV1_2\"",
    "spec.servers[].hosts = [\"*/*\"]",
    "spec.servers[].tls.verifyCertificateSpki",
    "spec.servers[].tls.verifyCertificateHash",
    "spec.servers[].tls.caCrl",
];

/// A service of a file that is called without a transport.
const FILE_SERVICE: &[&str] = &[
    "http.services.*.loadBalancer.serversTransport",
    "tcp.services.*.loadBalancer.serversTransport",
];

/// A transport of a file without what only clusters have.
const FILE_TRANSPORT: &[&str] = &[
    "http.serversTransports.*.spiffe",
    "http.serversTransports.*.rootCAs = [\"/etc/ca.pem\"]",
    "http.serversTransports.*.rootCAsSecrets",
    "http.serversTransports.*.certificates = \
     [{\"certFile\": \"/etc/client.pem\", \"keyFile\": \"/etc/client.key\"}]",
    "http.serversTransports.*.certificatesSecrets",
    "http.serversTransports.*.minVersion",
    "http.serversTransports.*.maxVersion = \"VersionTLS12\"",
    "tcp.serversTransports.*.tls.spiffe",
    "tcp.serversTransports.*.tls.rootCAs = [\"/etc/ca.pem\"]",
    "tcp.serversTransports.*.tls.rootCAsSecrets",
    "tcp.serversTransports.*.tls.certificates = \
     [{\"certFile\": \"/etc/client.pem\", \"keyFile\": \"/etc/client.key\"}]",
    "tcp.serversTransports.*.tls.certificatesSecrets",
    "tcp.serversTransports.*.tls.minVersion",
    "tcp.serversTransports.*.tls.maxVersion = \"VersionTLS12\"",
];

/// The same with certificates of Secrets alone.
const FILE_CLIENT_SECRETS: &[&str] = &[
    "http.serversTransports.*.spiffe",
    "http.serversTransports.*.rootCAs = [\"/etc/ca.pem\"]",
    "http.serversTransports.*.rootCAsSecrets",
    "http.serversTransports.*.certificates",
    "tcp.serversTransports.*.tls.spiffe",
    "tcp.serversTransports.*.tls.rootCAs = [\"/etc/ca.pem\"]",
    "tcp.serversTransports.*.tls.rootCAsSecrets",
    "tcp.serversTransports.*.tls.certificates",
];

/// All of them. Every document is looked at as it is as well, alone and with the others of its
/// sample.
pub(crate) const ALL: &[Arrangement] = &[
    of("", "ObjectMeta", &[], SAME_HOST),
    of("", "ObjectMeta", &[], SAME_AGE),
    of(
        GATEWAY_API,
        "GatewayClass",
        &["spec.controllerName = \"weftway.io/gateway-controller\""],
        ROUTE,
    ),
    of(GATEWAY_API, "Gateway", &["spec.gatewayClassName = \"other\""], OTHER_CLASS),
    of(GATEWAY_API, "Gateway", &[], ROUTES),
    of(GATEWAY_API, "Gateway", &["spec.listeners[].allowedRoutes.kinds", "spec.tls"], ROUTES),
    of(
        GATEWAY_API,
        "Gateway",
        &[
            "spec.tls.frontend.default.validation.mode = \"AllowValidOnly\"",
            "spec.tls.frontend.default.validation.caCertificateRefs[kind=Vault]",
            "spec.tls.frontend.perPort",
        ],
        ROUTES,
    ),
    of(GATEWAY_API, "Gateway", &["spec.tls.frontend.perPort"], ROUTES),
    of(GATEWAY_API, "Gateway", REFERENCES, ROUTES),
    of(GATEWAY_API, "ListenerSet", &[], ROUTES_OF_SETS),
    of(GATEWAY_API, "ListenerSet", REFERENCES, ROUTES_OF_SETS),
    of(EXPERIMENTAL, "XListenerSet", &[], ROUTES_OF_SETS),
    of(EXPERIMENTAL, "XListenerSet", REFERENCES, ROUTES_OF_SETS),
    of(GATEWAY_API, "ReferenceGrant", &[], ROUTE_FROM_FRONT),
    of(GATEWAY_API, "BackendTLSPolicy", &[], ROUTE),
    of(GATEWAY_API, "HTTPRoute", NO_CLASHES, ""),
    of(GATEWAY_API, "HTTPRoute", PREFIX_REDIRECTS, ""),
    of(GATEWAY_API, "HTTPRoute", PREFIX_REWRITES, ""),
    of(GATEWAY_API, "GRPCRoute", NO_CLASHES, ""),
    of(GATEWAY_API, "GRPCRoute", EXTENSIONS, ""),
    of("split.smi-spec.io", "TrafficSplit", &[], GROUP),
    of("split.smi-spec.io", "TrafficSplit", &["spec.matches[].apiGroup = \"other\""], GROUP),
    of(TRAEFIK, "IngressRoute", &["spec.routes[].kind = \"Other\""], ""),
    of(TRAEFIK, "IngressRoute", &["spec.parentRefs", "spec.tls.certResolver"], ""),
    of(TRAEFIK, "IngressRoute", &["spec.parentRefs", "spec.tls.store.name = \"other\""], ""),
    of(TRAEFIK, "Middleware", &["spec.forwardAuth.tls.certSecret"], ROUTERS),
    of(TRAEFIK, "Middleware", &[], ROUTERS),
    of(TRAEFIK, "Middleware", &["spec.rateLimit.redis"], ROUTERS),
    of(TRAEFIK, "Middleware", UNGUARDED, ROUTERS),
    of(TRAEFIK, "Middleware", CHECKS, ROUTERS),
    of(
        TRAEFIK,
        "Middleware",
        &["spec.basicAuth.users = [\"ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\"]"],
        ROUTERS,
    ),
    of(TRAEFIK, "Middleware", &["spec.headers.isDevelopment"], ROUTERS),
    of(
        TRAEFIK,
        "Middleware",
        &["spec.headers.isDevelopment", "spec.headers.customFrameOptionsValue"],
        ROUTERS,
    ),
    of(
        TRAEFIK,
        "Middleware",
        &["spec.headers.isDevelopment", "spec.headers.customBrowserXSSValue"],
        ROUTERS,
    ),
    of(
        TRAEFIK,
        "Middleware",
        &["spec.inFlightReq.sourceCriterion.requestHeaderName += \"x-user\""],
        ROUTERS,
    ),
    of(
        TRAEFIK,
        "ServersTransport",
        &["spec.spiffe", "spec.certificates[secretName=client]"],
        ROUTERS,
    ),
    of(TRAEFIK, "ServersTransport", &["spec.spiffe", "spec.certificates"], ROUTERS),
    of(
        TRAEFIK,
        "ServersTransport",
        &["spec.spiffe", "spec.minVersion", "spec.maxVersion = \"VersionTLS12\""],
        ROUTERS,
    ),
    of(
        TRAEFIK,
        "ServersTransportTCP",
        &["spec.tls.spiffe", "spec.tls.certificates[secretName=client]"],
        ROUTERS,
    ),
    of(TRAEFIK, "ServersTransportTCP", &["spec.tls.spiffe", "spec.tls.certificates"], ROUTERS),
    of(
        TRAEFIK,
        "ServersTransportTCP",
        &["spec.tls.spiffe", "spec.tls.minVersion", "spec.tls.maxVersion = \"VersionTLS12\""],
        ROUTERS,
    ),
    of(FILE, "File", &["http.services.*.loadBalancer.servers[].preservePath = true"], FILE_ROUTERS),
    of(FILE, "File", &[], FILE_SERVICES),
    of(FILE, "File", &["http.routers.*.parentRefs"], FILE_SERVICES),
    of(FILE, "File", &["tcp.routers.*.tls.passthrough"], FILE_SERVICES),
    of(FILE, "File", &["http.middlewares.*.headers.isDevelopment"], FILE_ROUTERS),
    of(
        FILE,
        "File",
        &[
            "http.middlewares.*.headers.isDevelopment",
            "http.middlewares.*.headers.customFrameOptionsValue",
            "http.middlewares.*.headers.customBrowserXSSValue",
        ],
        FILE_ROUTERS,
    ),
    of(
        FILE,
        "File",
        &[
            "http.middlewares.*.basicAuth.users = [\"ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\"]",
            "http.middlewares.*.basicAuth.secret",
        ],
        FILE_ROUTERS,
    ),
    of(FILE, "File", &["http.serversTransports.*.spiffe"], FILE_ROUTERS),
    of(FILE, "File", &["tcp.serversTransports.*.tls.spiffe"], FILE_ROUTERS),
    of(FILE, "File", &["http.routers.*.tls.certResolver"], ""),
    of(FILE, "File", FILE_SERVICE, FILE_ROUTERS),
    of(FILE, "File", FILE_TRANSPORT, FILE_ROUTERS),
    of(
        FILE,
        "File",
        &["http.middlewares.*.inFlightReq.sourceCriterion.requestHeaderName += \"x-user\""],
        FILE_ROUTERS,
    ),
    of(
        FILE,
        "File",
        &["tcp.routers.*.tls.certResolver", "tcp.routers.*.tls.passthrough"],
        FILE_SERVICES,
    ),
    of(FILE, "File", &["tls.stores.files => default"], FILE_ROUTERS),
    of(FILE, "File", FILE_CLIENT_SECRETS, FILE_ROUTERS),
    of(FILE, "File", &["http.middlewares.*.forwardAuth.tls.certSecret"], FILE_ROUTERS),
    of(
        FILE,
        "File",
        &["http.middlewares.*.basicAuth.users = [\"ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\"]"],
        FILE_ROUTERS,
    ),
    of(LINKERD, "HTTPRoute", NO_CLASHES, ""),
    of(LINKERD, "HTTPRoute", NAMED_PORT, ""),
    of(LINKERD, "HTTPRoute", WHOLE_REDIRECTS, ""),
    of("discovery.k8s.io", "EndpointSlice", &[], NO_SLICES),
    of(
        "discovery.k8s.io",
        "EndpointSlice",
        &["endpoints[].conditions.ready = true", "endpoints[].conditions.terminating = false"],
        NO_SLICES,
    ),
    of(
        "discovery.k8s.io",
        "EndpointSlice",
        &["endpoints[].conditions.ready", "endpoints[].conditions.serving = false"],
        NO_SLICES,
    ),
    of("discovery.k8s.io", "EndpointSlice", READY, HEADLESS),
    of("discovery.k8s.io", "EndpointSlice", READY, BY_NAME),
    of(MULTICLUSTER, "ServiceImport", &[], IMPORTED),
    of("", "Service", &[], ROUTE),
    of(
        "",
        "Service",
        &[
            "spec.trafficDistribution",
            "metadata.annotations.networking|istio|io/traffic-distribution",
            "metadata.annotations.service|kubernetes|io/topology-mode",
        ],
        "",
    ),
    of("", "Service", NOT_OF_LINKERD, ""),
    of("", "Service", &["metadata.annotations", "spec.trafficDistribution"], ""),
    of("", "Service", DISTRIBUTION, ""),
    of("", "Service", TOPOLOGY, ""),
    of("", "Service", UNHINTED, ""),
    of("", "Service", &[], UNREADY),
    of("", "Secret", &["data.* = \"@chain64@\"", "stringData.* = \"@key@\""], CREDENTIALS),
    of("", "Secret", &[], LOGINS),
    of("", "Pod", &["status.phase = \"Running\""], NO_SLICES),
    of("", "Pod", MESHED, NO_SLICES),
    of("", "Pod", MESHED, PLAIN),
    of("", "Pod", &["status.phase = \"Running\"", "spec.containers"], NO_SLICES),
    of("", "Pod", &["status.phase = \"Running\"", "spec.initContainers"], NO_SLICES),
    of(
        "networking.k8s.io",
        "IngressClass",
        &["spec.controller = \"weftway.io/ingress-controller\""],
        ROUTERS,
    ),
    of(
        ISTIO,
        "DestinationRule",
        &[
            "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.enabled",
            "spec.trafficPolicy.portLevelSettings[].loadBalancer.zoneAwareLbSetting.enabled",
            "spec.subsets[].trafficPolicy.loadBalancer.zoneAwareLbSetting.enabled",
            "spec.subsets[].trafficPolicy.portLevelSettings[].loadBalancer.zoneAwareLbSetting\
             .enabled",
        ],
        "",
    ),
    of(ISTIO, "DestinationRule", UPGRADES, ""),
    of(ISTIO, "DestinationRule", AUTHORITIES_ALONE, ""),
    of(ISTIO, "DestinationRule", REVOKED_ALONE, ""),
    of("security.istio.io", "AuthorizationPolicy", TARGETS, ""),
    of("security.istio.io", "RequestAuthentication", TARGETS, ""),
    of("extensions.istio.io", "WasmPlugin", TARGETS, ""),
    of(ISTIO, "Gateway", &[], ISTIO_GATEWAY),
    of(ISTIO, "Gateway", TLS_1_2, ISTIO_GATEWAY),
    of(LINKERD, "HTTPLocalRateLimitPolicy", &[], SERVER),
    of("specs.smi-spec.io", "HTTPRouteGroup", &[], SPLIT),
    of("", "MeshConfig", &[], MESH),
    of("", "MeshConfig", &["data.mesh.localityLbSetting.enabled"], MESH),
    of(TRAEFIK, "IngressRouteTCP", &["spec.tls.passthrough"], ""),
    of(TRAEFIK, "IngressRouteTCP", &["spec.tls.certResolver", "spec.tls.passthrough"], ""),
    of(
        TRAEFIK,
        "IngressRouteTCP",
        &["spec.tls.passthrough", "spec.tls.store.name = \"other\""],
        "",
    ),
    of(TRAEFIK, "MiddlewareTCP", &[], ROUTERS),
    of(TRAEFIK, "TraefikService", &[], ROUTERS),
    of(TRAEFIK, "TraefikService", UNGUARDED, ROUTERS),
    of(TRAEFIK, "TraefikService", CHECKS, ROUTERS),
    of(TRAEFIK, "TLSOption", &[], ROUTERS),
    of(
        TRAEFIK,
        "TLSOption",
        &["spec.minVersion", "spec.maxVersion = \"VersionTLS12\"", "spec.cipherSuites"],
        ROUTERS,
    ),
    of("", "ConfigMap", &["data.* = \"@chain@\"", "binaryData"], AUTHORITIES),
    of("", "ConfigMap", &["binaryData.* = \"@chain64@\""], BINARY),
    of("", "Endpoints", &[], HEADLESS),
    of("", "Endpoints", &[], BY_NAME),
    of(ISTIO, "Sidecar", UPGRADES, ""),
    of(
        ISTIO,
        "VirtualService",
        &["spec.http[].redirect.derivePort = \"FROM_PROTOCOL_DEFAULT\""],
        ISTIO_FRONT,
    ),
    of("weftway.io", "TrafficPolicy", &[], TARGET_ROUTE),
    of("networking.k8s.io", "Ingress", &[], DEFAULT_CLASS),
    of("", "Namespace", &["metadata.annotations.config|linkerd|io/opaque-ports = \"80\""], ""),
    of(ISTIO, "ServiceEntry", &[], LEGACY),
    of(ISTIO, "ServiceEntry", &["spec.ports[].name = \"plain\"", "spec.endpoints[].ports"], LEGACY),
    of(
        ISTIO,
        "ServiceEntry",
        &["spec.endpoints[].labels = {\"networking.istio.io/tunnel\": \"http\"}"],
        LEGACY,
    ),
    of(
        ISTIO,
        "WorkloadEntry",
        &["spec.labels = {\"app\": \"web\", \"networking.istio.io/tunnel\": \"http\"}"],
        "",
    ),
];
