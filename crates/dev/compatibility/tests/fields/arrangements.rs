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

/// A Service without addresses of its own and its selector.
const HEADLESS: &str = include_str!("beside/headless.yaml");
/// A route with the target that a policy names.
const TARGET_ROUTE: &str = include_str!("beside/target-route.yaml");
/// What trusts the authorities of a ConfigMap.
const AUTHORITIES: &str = include_str!("beside/authorities.yaml");

/// A class for Ingresses that name none.
const DEFAULT_CLASS: &str = include_str!("beside/default-class.yaml");

/// References and namespaces of a Gateway that are what they are asked to be.
const REFERENCES: &[&str] = &[
    "spec.tls.frontend.default.validation.caCertificateRefs[kind=Vault]",
    "spec.tls.frontend.perPort[].tls.validation.caCertificateRefs[kind=Vault]",
    "spec.tls.backend.clientCertificateRef.group = \"\"",
    "spec.tls.backend.clientCertificateRef.kind = \"Secret\"",
    "spec.allowedListeners.namespaces.selector.matchExpressions",
    "spec.listeners[].tls.certificateRefs[kind=Vault]",
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

/// What only some callers are meant by, whom a gateway does not know.
const ANY_CALLER: &[&str] = &[
    "spec.tls[].match[].sourceLabels",
    "spec.tls[].match[].sourceNamespace",
    "spec.tls[].match[].port",
    "spec.tls[].match[].destinationSubnets",
    "spec.tcp[].match[].sourceLabels",
    "spec.tcp[].match[].sourceNamespace",
    "spec.tcp[].match[].port",
    "spec.tcp[].match[].sourceSubnet",
    "spec.tcp[].match[].destinationSubnets",
];

/// What closes the servers of a Gateway, and whose they are.
const CERTAIN: &[&str] = &[
    "spec.servers[].tls.verifyCertificateSpki",
    "spec.servers[].tls.verifyCertificateHash",
    "spec.servers[].tls.caCrl",
    "spec.servers[].hosts = [\"*/*\"]",
];

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";
const ISTIO: &str = "networking.istio.io";
const LINKERD: &str = "policy.linkerd.io";
const TRAEFIK: &str = "traefik.io";
const FILE: &str = "file.traefik.io";

/// Routes of two namespaces for every listener of the samples.
const ROUTES: &str = include_str!("beside/routes.yaml");
const ROUTES_OF_SETS: &str = include_str!("beside/routes-of-sets.yaml");
/// A route to Services of the namespace `shop`.
const ROUTE: &str = include_str!("beside/route.yaml");
/// The same from another namespace.
const ROUTE_FROM_FRONT: &str = include_str!("beside/route-from-front.yaml");
/// What gives a Service without selector its endpoints, in place of the scene's.
const NO_SLICES: &str = include_str!("beside/no-slices.yaml");
/// Routers that use every Middleware, TraefikService and transport of the samples.
const ROUTERS: &str = include_str!("beside/routers.yaml");
/// The same for a file of the file provider.
const FILE_ROUTERS: &str = include_str!("beside/file-routers.yaml");
const FILE_SERVICES: &str = include_str!("beside/file-services.yaml");
const SERVER: &str = include_str!("beside/server.yaml");
const CREDENTIALS: &str = include_str!("beside/credentials.yaml");
const SPLIT: &str = include_str!("beside/split.yaml");
const MESH: &str = include_str!("beside/mesh.yaml");
const ISTIO_FRONT: &str = include_str!("beside/istio-front.yaml");
const ISTIO_GATEWAY: &str = include_str!("beside/istio-gateway.yaml");

/// What closes the rules of a sample of all filters.
const NO_CLASHES: &[&str] = &[
    "spec.rules[].filters[type=ExternalAuth]",
    "spec.rules[].filters[type=ExtensionRef]",
    "spec.rules[].filters[].requestMirror.backendRef.group",
    "spec.rules[].filters[].requestMirror.backendRef.kind",
    "spec.rules[].filters[].requestMirror.backendRef.name = \"web-v2\"",
    "spec.rules[].backendRefs[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=ExtensionRef]",
    "spec.rules[].backendRefs[kind=TraefikService]",
];

/// What hides the redirects of a sample.
const REDIRECTS: &[&str] = &[
    "spec.rules[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=ExternalAuth]",
    "spec.rules[].backendRefs[].filters[type=URLRewrite]",
    "spec.rules[].backendRefs[].filters[type=RequestMirror]",
    "spec.rules[].backendRefs[].filters[type=ExtensionRef]",
    "spec.rules[].filters[type=RequestMirror]",
    "spec.rules[].filters[type=ExtensionRef]",
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

/// What hides what a check of health by HTTP asks for.
const CHECKS: &[&str] = &[
    "spec.weighted.services[].healthCheck.mode",
    "spec.highestRandomWeight.services[].healthCheck.mode",
    "spec.mirroring.healthCheck.mode",
    "spec.mirroring.mirrors[].healthCheck.mode",
    "spec.failover.service.healthCheck.mode",
    "spec.failover.fallback.healthCheck.mode",
    "spec.errors.service.healthCheck.mode",
];

/// All of them. Every document is looked at as it is as well, alone and with the others of its
/// sample.
pub(crate) const ALL: &[Arrangement] = &[
    of(GATEWAY_API, "Gateway", &[], ROUTES),
    of(GATEWAY_API, "Gateway", &["spec.listeners[].allowedRoutes.kinds", "spec.tls"], ROUTES),
    of(
        GATEWAY_API,
        "Gateway",
        &[
            "spec.tls.frontend.default.validation.caCertificateRefs = [{\"kind\": \"ConfigMap\", \
             \"namespace\": \"certificates\", \"name\": \"clients\", \"group\": \"\"}]",
            "spec.tls.frontend.perPort",
        ],
        ROUTES,
    ),
    of(GATEWAY_API, "ListenerSet", &[], ROUTES_OF_SETS),
    of(GATEWAY_API, "ListenerSet", &["spec.listeners[].allowedRoutes.kinds"], ROUTES_OF_SETS),
    of(EXPERIMENTAL, "XListenerSet", &[], ROUTES_OF_SETS),
    of(EXPERIMENTAL, "XListenerSet", &["spec.listeners[].allowedRoutes.kinds"], ROUTES_OF_SETS),
    of(GATEWAY_API, "ReferenceGrant", &[], ROUTE_FROM_FRONT),
    of(GATEWAY_API, "BackendTLSPolicy", &[], ROUTE),
    of(GATEWAY_API, "HTTPRoute", NO_CLASHES, ""),
    of(GATEWAY_API, "HTTPRoute", REDIRECTS, ""),
    of(GATEWAY_API, "GRPCRoute", NO_CLASHES, ""),
    of(LINKERD, "HTTPRoute", NO_CLASHES, ""),
    of(LINKERD, "HTTPRoute", REDIRECTS, ""),
    of("", "Endpoints", &[], NO_SLICES),
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
    of("", "Service", &[], ROUTE),
    of(
        "",
        "Service",
        &[
            "metadata.annotations.retry|linkerd|io/http",
            "metadata.annotations.retry|linkerd|io/grpc",
        ],
        "",
    ),
    of("", "Service", &["spec.trafficDistribution", "spec.sessionAffinity = \"None\""], ""),
    of(
        "",
        "Service",
        &[
            "spec.trafficDistribution",
            "metadata.annotations.networking|istio|io/traffic-distribution",
        ],
        "",
    ),
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
    of("", "Secret", &["data.* = \"@chain64@\"", "stringData.* = \"@key@\""], CREDENTIALS),
    of("", "ConfigMap", &["data.* = \"@chain@\""], ROUTE),
    of("", "Pod", &["status.phase = \"Running\""], NO_SLICES),
    of("networking.k8s.io", "Ingress", &["spec.ingressClassName = \"weftway\""], ""),
    of("networking.k8s.io", "IngressClass", &[], ROUTERS),
    of(ISTIO, "VirtualService", &[], ISTIO_FRONT),
    of(ISTIO, "DestinationRule", &["spec.workloadSelector"], ""),
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
    of("security.istio.io", "AuthorizationPolicy", TARGETS, ""),
    of("security.istio.io", "RequestAuthentication", TARGETS, ""),
    of("extensions.istio.io", "WasmPlugin", TARGETS, ""),
    of(ISTIO, "Gateway", &[], ISTIO_GATEWAY),
    of(LINKERD, "HTTPLocalRateLimitPolicy", &[], SERVER),
    of("specs.smi-spec.io", "HTTPRouteGroup", &[], SPLIT),
    of("", "MeshConfig", &[], MESH),
    of(TRAEFIK, "IngressRoute", &["spec.parentRefs"], ""),
    of(
        TRAEFIK,
        "IngressRoute",
        &["spec.parentRefs", "spec.routes[].services[].healthCheck.mode"],
        "",
    ),
    of(TRAEFIK, "IngressRoute", &["spec.parentRefs", "spec.tls.options"], ""),
    of(TRAEFIK, "IngressRouteTCP", &["spec.tls.passthrough"], ""),
    of(TRAEFIK, "Middleware", &[], ROUTERS),
    of(TRAEFIK, "Middleware", &["spec.rateLimit.redis"], ROUTERS),
    of(TRAEFIK, "Middleware", CHECKS, ROUTERS),
    of(
        TRAEFIK,
        "Middleware",
        &["spec.basicAuth.users = [\"ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\"]"],
        ROUTERS,
    ),
    of(
        TRAEFIK,
        "Middleware",
        &[
            "spec.basicAuth.users = [\"ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\"]",
            "spec.basicAuth.secret",
        ],
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
    of(TRAEFIK, "MiddlewareTCP", &[], ROUTERS),
    of(TRAEFIK, "TraefikService", &[], ROUTERS),
    of(TRAEFIK, "TraefikService", CHECKS, ROUTERS),
    of(TRAEFIK, "ServersTransport", &["spec.spiffe"], ROUTERS),
    of(TRAEFIK, "ServersTransport", &["spec.spiffe", "spec.insecureSkipVerify"], ROUTERS),
    of(TRAEFIK, "ServersTransportTCP", &["spec.tls.spiffe"], ROUTERS),
    of(
        TRAEFIK,
        "ServersTransportTCP",
        &["spec.tls.spiffe", "spec.tls.insecureSkipVerify"],
        ROUTERS,
    ),
    of(TRAEFIK, "TLSOption", &[], ROUTERS),
    of(TRAEFIK, "TLSOption", &["spec.minVersion"], ROUTERS),
    of(FILE, "File", &[], FILE_ROUTERS),
    of(FILE, "File", &[], FILE_SERVICES),
    of(FILE, "File", &["http.routers.*.parentRefs"], FILE_SERVICES),
    of(FILE, "File", &["tcp.routers.*.tls.passthrough"], FILE_SERVICES),
    of(FILE, "File", &["http.middlewares.*.rateLimit.redis"], FILE_ROUTERS),
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
    of(FILE, "File", &["http.services.*.loadBalancer.healthCheck.mode"], FILE_ROUTERS),
    of(FILE, "File", &["http.serversTransports.*.spiffe"], FILE_ROUTERS),
    of(
        FILE,
        "File",
        &["http.serversTransports.*.spiffe", "http.serversTransports.*.insecureSkipVerify"],
        FILE_ROUTERS,
    ),
    of(FILE, "File", &["tcp.serversTransports.*.tls.spiffe"], FILE_ROUTERS),
    of(FILE, "File", &["tls.options.*.minVersion"], FILE_ROUTERS),
    of(GATEWAY_API, "Gateway", REFERENCES, ROUTES),
    of(GATEWAY_API, "ListenerSet", REFERENCES, ROUTES_OF_SETS),
    of(EXPERIMENTAL, "XListenerSet", REFERENCES, ROUTES_OF_SETS),
    of(GATEWAY_API, "HTTPRoute", WHOLE_REDIRECTS, ""),
    of(LINKERD, "HTTPRoute", WHOLE_REDIRECTS, ""),
    of("", "Service", NOT_OF_LINKERD, ""),
    of("", "Service", &["metadata.annotations", "spec.trafficDistribution"], ""),
    of("", "Service", DISTRIBUTION, ""),
    of("", "Service", TOPOLOGY, ""),
    of("", "ConfigMap", &["data.* = \"@chain@\"", "binaryData"], AUTHORITIES),
    of("discovery.k8s.io", "EndpointSlice", READY, HEADLESS),
    of("", "Endpoints", &[], HEADLESS),
    of(ISTIO, "DestinationRule", UPGRADES, ""),
    of(ISTIO, "Sidecar", UPGRADES, ""),
    of(ISTIO, "VirtualService", ANY_CALLER, ISTIO_FRONT),
    of(ISTIO, "Gateway", CERTAIN, ISTIO_GATEWAY),
    of(LINKERD, "EgressNetwork", &["spec.trafficPolicy = \"Deny\""], ""),
    of("weftway.io", "TrafficPolicy", &[], TARGET_ROUTE),
    of("networking.k8s.io", "Ingress", &[], DEFAULT_CLASS),
    of(TRAEFIK, "IngressRoute", &["spec.parentRefs", "spec.tls.certResolver"], ""),
    of(TRAEFIK, "IngressRouteTCP", &["spec.tls.certResolver", "spec.tls.passthrough"], ""),
    of(FILE, "File", &["http.routers.*.tls.certResolver"], ""),
    of(FILE, "File", &["tcp.routers.*.tls.certResolver"], ""),
];
