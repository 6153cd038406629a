//! Every kind of document that says who may call a workload: each closes what it is about, or is
//! enforced, and says so with its place.

use super::*;

/// What becomes of calls to ports 8080 and 9090.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    Open,
    /// Of those who prove who they are.
    Strict,
    /// So many of them per second.
    Limited,
    /// Refused, as the document asks.
    Denied,
    /// Refused for want of enforcement.
    Closed,
}

use Calls::{Closed, Denied, Limited, Open, Strict};

fn calls(world: &MeshWorld, port: u16) -> Calls {
    let asked = asked(world, "default/payments", port);
    match asked.split(':').next().unwrap_or_default() {
        "forbidden" => Denied,
        "policy_unenforceable" => Closed,
        "Strict" => Strict,
        _ if !of(world, "default/payments").port(port).steps.is_empty() => Limited,
        _ => Open,
    }
}

/// The kind, its API, its spec, and what holds for port 8080 and then for 9090.
type Row = (&'static str, &'static str, &'static str, [Calls; 2]);

const ISTIO: &[Row] = &[
    ("PeerAuthentication", "security.istio.io/v1", "mtls: {mode: STRICT}", [Strict; 2]),
    (
        "PeerAuthentication",
        "security.istio.io/v1",
        "selector: {matchLabels: {app: payments}}, portLevelMtls: {9090: {mode: STRICT}}",
        [Open, Strict],
    ),
    ("AuthorizationPolicy", "security.istio.io/v1", "", [Denied; 2]),
    (
        "AuthorizationPolicy",
        "security.istio.io/v1beta1",
        "rules: [{from: [{source: {principals: [x]}}]}]",
        [Closed; 2],
    ),
    (
        "AuthorizationPolicy",
        "security.istio.io/v1",
        "action: DENY, rules: [{to: [{operation: {ports: ['9090'], paths: [/admin]}}]}]",
        [Open, Closed],
    ),
    (
        "AuthorizationPolicy",
        "security.istio.io/v1",
        "action: CUSTOM, provider: {name: x}, rules: [{}]",
        [Closed; 2],
    ),
    ("RequestAuthentication", "security.istio.io/v1", "jwtRules: [{issuer: x}]", [Closed; 2]),
    (
        "WasmPlugin",
        "extensions.istio.io/v1alpha1",
        "selector: {matchLabels: {app: payments}}, phase: AUTHZ, url: 'oci://a/b', pluginConfig: {a: 1}",
        [Closed; 2],
    ),
    (
        "EnvoyFilter",
        "networking.istio.io/v1alpha3",
        "workloadSelector: {labels: {app: payments}}, configPatches: [{applyTo: HTTP_FILTER, \
         match: {context: SIDECAR_INBOUND, listener: {}}, patch: {operation: INSERT_BEFORE}}]",
        [Closed; 2],
    ),
];

const LINKERD: &[Row] = &[
    ("Server", "policy.linkerd.io/v1beta3", "podSelector: {}, port: 8080", [Closed, Open]),
    (
        "Server",
        "policy.linkerd.io/v1beta3",
        "podSelector: {}, port: 8080, accessPolicy: all-authenticated",
        [Strict, Open],
    ),
];

/// What restricts a Server `a` further, which by itself lets everybody in.
const OF_A_SERVER: &[Row] = &[
    (
        "HTTPLocalRateLimitPolicy",
        "policy.linkerd.io/v1alpha1",
        "targetRef: {group: policy.linkerd.io, kind: Server, name: a}, total: {requestsPerSecond: 1}",
        [Limited, Open],
    ),
    (
        "HTTPRoute",
        "policy.linkerd.io/v1beta3",
        "parentRefs: [{group: policy.linkerd.io, kind: Server, name: a}], rules: []",
        [Closed, Open],
    ),
    (
        "HTTPRoute",
        "gateway.networking.k8s.io/v1",
        "parentRefs: [{group: policy.linkerd.io, kind: Server, name: a}], rules: []",
        [Closed, Open],
    ),
    (
        "GRPCRoute",
        "gateway.networking.k8s.io/v1",
        "parentRefs: [{group: policy.linkerd.io, kind: Server, name: a}], rules: []",
        [Closed, Open],
    ),
];

/// What only opens: beside a Server that is closed nothing changes.
const OPENING: &[Row] = &[
    (
        "ServerAuthorization",
        "policy.linkerd.io/v1beta1",
        "server: {name: a}, client: {unauthenticated: true}",
        [Closed, Open],
    ),
    (
        "AuthorizationPolicy",
        "policy.linkerd.io/v1alpha1",
        "targetRef: {group: policy.linkerd.io, kind: Server, name: a}",
        [Closed, Open],
    ),
    ("MeshTLSAuthentication", "policy.linkerd.io/v1alpha1", "identities: ['*']", [Closed, Open]),
    ("NetworkAuthentication", "policy.linkerd.io/v1alpha1", "networks: []", [Closed, Open]),
];

/// What is about other things: reported, and nothing is closed.
const ELSEWHERE: &[Row] = &[
    ("WasmPlugin", "extensions.istio.io/v1alpha1", "phase: STATS, url: x", [Open; 2]),
    (
        "EnvoyFilter",
        "networking.istio.io/v1alpha3",
        "configPatches: [{applyTo: HTTP_FILTER, match: {context: GATEWAY}}, {applyTo: CLUSTER}]",
        [Open; 2],
    ),
    (
        "Sidecar",
        "networking.istio.io/v1",
        "ingress: [{port: {number: 8080}, bind: 127.0.0.1}]",
        [Open; 2],
    ),
];

#[test]
fn every_document_that_protects_closes_or_is_enforced_and_says_so() {
    let check = |before: &str, (kind, api, spec, expected): &Row| {
        let mut payments = labelled("payments", 2, &[("app", "payments")]);
        payments.ports = [port(8080, "http"), port(9090, "admin")].into();
        let text = before.to_owned() + &document(api, kind, "name: z", spec);
        let world = world(&text, &[payments]);
        let found = [calls(&world, 8080), calls(&world, 9090)];
        assert_eq!(found, *expected, "{kind} {spec}: {:?}", problems(&world));
        let is_enforced = !expected.contains(&Closed) && *expected != [Open; 2];
        let first_line = 1 + before.lines().count() as u32;
        let is_about = |problem: &&weft_resources::Problem| {
            &*problem.file == "a.yaml" && problem.at.line >= first_line
        };
        let reported = world.report.problems().iter().filter(is_about).count();
        assert_eq!(reported == 0, is_enforced, "{kind} {spec}: {:?}", problems(&world));
    };
    let server = |access: &str| {
        let spec = format!("podSelector: {{}}, port: 8080, accessPolicy: {access}");
        document("policy.linkerd.io/v1beta3", "Server", "name: a", &spec)
    };
    ISTIO.iter().chain(LINKERD).chain(ELSEWHERE).for_each(|row| check("", row));
    OF_A_SERVER.iter().for_each(|row| check(&server("all-unauthenticated"), row));
    OPENING.iter().for_each(|row| check(&server("deny"), row));
}
