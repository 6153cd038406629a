//! Mutual TLS, and what closes workloads.

use super::*;

/// A PeerAuthentication.
fn peer(metadata: &str, spec: &str) -> String {
    security("PeerAuthentication", metadata, spec)
}

fn authorization(metadata: &str, spec: &str) -> String {
    security("AuthorizationPolicy", metadata, spec)
}

fn server(name: &str, spec: &str) -> String {
    document("policy.linkerd.io/v1beta3", "Server", &format!("name: {name}"), spec)
}

const ROOT: &str = "name: root, namespace: istio-system";

#[test]
fn the_narrowest_peer_authentication_wins() {
    let check = |documents: &[String], expected: [Mtls; 2]| {
        let world = clean(&documents.concat(), &[workload("payments", 2)]);
        let own = of(&world, "default/payments");
        assert_eq!([own.port(8080).mtls, own.mtls], expected, "{documents:?}");
    };
    let all = |mode: &str| format!("mtls: {{mode: {mode}}}");
    let root = |mode: &str| peer(ROOT, &all(mode));
    let wide = |mode: &str| peer("name: wide", &all(mode));
    let narrow = |mode: &str, ports: &str| {
        let selector = "selector: {matchLabels: {app: payments}}";
        peer("name: narrow", &format!("{selector}, {}, portLevelMtls: {{{ports}}}", all(mode)))
    };
    use Mtls::{Disable, Permissive, Strict};
    check(&[], [Permissive; 2]);
    check(&[root("STRICT")], [Strict; 2]);
    check(&[root("UNSET")], [Permissive; 2]);
    check(&[root("STRICT"), wide("UNSET")], [Strict; 2]);
    check(&[root("STRICT"), wide("DISABLE")], [Disable; 2]);
    check(&[root("STRICT"), wide("DISABLE"), narrow("PERMISSIVE", "")], [Permissive; 2]);
    check(&[wide("STRICT"), narrow("UNSET", "")], [Strict; 2]);
    check(&[wide("STRICT"), narrow("UNSET", "8080: {mode: DISABLE}")], [Disable, Strict]);
    check(&[wide("STRICT"), narrow("DISABLE", "8080: {mode: UNSET}")], [Disable; 2]);
    check(&[narrow("DISABLE", "8080: {mode: STRICT}")], [Strict, Disable]);
    check(&[narrow("STRICT", "9090: {mode: DISABLE}")], [Strict; 2]);
    let other = peer("name: o", "selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}");
    check(&[other], [Permissive; 2]);
    check(&[peer("name: o, namespace: other", &all("STRICT"))], [Permissive; 2]);
    check(&[peer("name: empty", "")], [Permissive; 2]);
}

#[test]
fn of_equals_the_oldest_holds() {
    let check = |selector: &str, first: &str, second: &str, expected: Mtls, winner: &str| {
        let one = |name: &str, created: &str, mode: &str| {
            let metadata = format!("name: {name}, creationTimestamp: '{created}'");
            peer(&metadata, &format!("{selector} mtls: {{mode: {mode}}}"))
        };
        let text = one("a", first, "STRICT") + &one("b", second, "DISABLE");
        let world = world(&text, &[workload("payments", 2)]);
        assert_eq!(of(&world, "default/payments").mtls, expected);
        says(&world, &format!("PeerAuthentication default/{winner} is older and holds instead"));
    };
    let (old, new) = ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    for selector in ["", "selector: {matchLabels: {app: payments}},"] {
        check(selector, old, new, Mtls::Strict, "a");
        check(selector, new, old, Mtls::Disable, "b");
        check(selector, "", "", Mtls::Strict, "a");
        check(selector, "", old, Mtls::Disable, "b");
    }
}

#[test]
fn ports_without_mutual_tls_are_called_plain() {
    let text = peer(
        "name: p",
        "selector: {matchLabels: {app: payments}}, mtls: {mode: STRICT}, portLevelMtls: {9090: {mode: DISABLE}}",
    ) + &service_document(
        "payments",
        "selector: {app: payments}, ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 90, targetPort: 9090}]",
    );
    let world = clean(&text, &[workload("payments", 2)]);
    assert_eq!(
        runs(&world, "payments.default.svc.cluster.local"),
        [
            "default/payments 10.77.0.2 80>8080 default/default",
            "default/payments 10.77.0.2 90>9090 plain",
        ]
    );
    assert_eq!(asked(&world, "default/payments", 8080), "Strict");
    assert_eq!(asked(&world, "default/payments", 9090), "Disable");
    let world = clean(&peer("name: p", "mtls: {mode: DISABLE}"), &[workload("payments", 2)]);
    let runs = runs(&world, "payments.default.svc.cluster.local");
    assert_eq!(runs, ["default/payments 10.77.0.2 8080>8080 plain"]);
}

#[test]
fn a_broken_peer_authentication_is_strict() {
    let check = |spec: &str, expected: &str| {
        let world = world(&peer("name: p", spec), &[workload("payments", 2)]);
        assert_eq!(of(&world, "default/payments").mtls, Mtls::Strict, "{spec}");
        let problems = problems(&world);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    };
    check("mtls: {mode: STRIKT}", "`STRIKT` is not a value of this field");
    check("mtlss: {mode: STRICT}", "unknown field `mtlss`");
    check("portLevelMtls: {8080: {mode: STRICT}}", "modes of single ports need a selector");
    check("selector: 5, mtls: {mode: DISABLE}", "STRICT, which holds until it can be read");
}

#[test]
fn selectors_mean_nothing_in_the_root_namespace() {
    let text = peer(ROOT, "selector: {matchLabels: {app: payments}}, mtls: {mode: STRICT}");
    let world = world(&text, &[workload("payments", 2)]);
    assert_eq!(of(&world, "default/payments").mtls, Mtls::Permissive);
    says(&world, "a selector has no effect in the root namespace");
}

/// Documents, and what then holds for ports 8080, 9090 and all others of `payments`: `open`,
/// `denied` (as asked for), or `closed` (for want of enforcement).
fn check(text: &str, expected: [&str; 3]) -> MeshWorld {
    let mut payments = workload("payments", 2);
    payments.ports = [port(8080, "http"), port(9090, "admin")].into();
    let world = world(text, &[payments]);
    let found = [8080, 9090, 7].map(|port| {
        let asked = asked(&world, "default/payments", port);
        match asked.split(':').next().unwrap_or_default() {
            "forbidden" => "denied",
            "policy_unenforceable" => "closed",
            _ => "open",
        }
    });
    assert_eq!(found, expected, "{text}");
    world
}

#[test]
fn authorization_that_is_not_evaluated_closes() {
    let one = |spec: &str| authorization("name: a", spec);
    const FROM: &str = "from: [{source: {principals: [x]}}]";
    check("", ["open"; 3]);
    check(&one(&format!("rules: [{{{FROM}}}]")), ["closed"; 3]);
    check(&one("rules: [{when: [{key: source.ip, values: [10.0.0.1]}]}]"), ["closed"; 3]);
    check(&one("rules: [{to: [{operation: {methods: [GET]}}]}]"), ["closed"; 3]);
    check(&one("action: CUSTOM, provider: {name: x}, rules: [{}]"), ["closed"; 3]);
    check(&one("action: CUSTOM, provider: {name: x}"), ["open"; 3]);
    // What Istio does not accept opens nothing.
    check(&one("rules: [{to: [{}]}]"), ["closed"; 3]);
    check(&one("rules: [{to: [{operation: {}}]}]"), ["closed"; 3]);
    check(&one("rules: [{from: [{}]}]"), ["closed"; 3]);
    check(&one("action: AUDIT, rules: [{}]"), ["open"; 3]);
    check(&one(&format!("action: DENY, rules: [{{{FROM}}}]")), ["closed"; 3]);
    check(
        &one(&format!(
            "action: DENY, rules: [{{{FROM}, to: [{{operation: {{ports: ['9090']}}}}]}}]"
        )),
        ["open", "closed", "open"],
    );
    check(&one("action: DENY, rules: [{to: [{operation: {notPorts: ['9090']}}]}]"), ["closed"; 3]);
    // An unknown word may have asked for anything.
    check(&one("rules: [{form: []}]"), ["closed"; 3]);
    check(&one("action: ALOW"), ["closed"; 3]);
    check(&one("selector: [], action: AUDIT"), ["closed"; 3]);
}

#[test]
fn authorization_without_conditions_is_obeyed() {
    let one = |name: &str, spec: &str| authorization(&format!("name: {name}"), spec);
    let clean = |text: &str, expected: [&str; 3]| {
        assert_eq!(problems(&check(text, expected)), Vec::<String>::new());
    };
    let ports = |ports: &str| format!("rules: [{{to: [{{operation: {{ports: [{ports}]}}}}]}}]");
    clean(&one("a", "rules: [{}]"), ["open"; 3]);
    clean(&one("a", ""), ["denied"; 3]);
    clean(&one("a", &ports("'8080'")), ["open", "denied", "denied"]);
    clean(&one("a", &format!("action: DENY, {}", ports("'9090'"))), ["open", "denied", "open"]);
    clean(&one("a", "action: DENY, rules: [{}]"), ["denied"; 3]);
    clean(&one("a", "action: DENY"), ["open"; 3]);
    // What several allow is allowed, and what any denies is denied.
    clean(&(one("a", &ports("'8080'")) + &one("b", &ports("'9090'"))), ["open", "open", "denied"]);
    clean(
        &(one("a", "rules: [{}]") + &one("b", &format!("action: DENY, {}", ports("'9090'")))),
        ["open", "denied", "open"],
    );
    let conditional = one("c", "rules: [{from: [{source: {namespaces: [x]}}]}]");
    check(&(one("a", &ports("'8080'")) + &conditional), ["open", "closed", "closed"]);
    check(&(one("a", "rules: [{}]") + &conditional), ["open"; 3]);
}

#[test]
fn authorization_is_about_some_workloads() {
    let one = |metadata: &str, target: &str| {
        authorization(
            metadata,
            &format!("{target}, rules: [{{from: [{{source: {{namespaces: [x]}}}}]}}]"),
        )
    };
    let labels = |app: &str| format!("selector: {{matchLabels: {{app: {app}}}}}");
    check(&one("name: a", &labels("payments")), ["closed"; 3]);
    check(&one("name: a", &labels("other")), ["open"; 3]);
    check(&one("name: a, namespace: other", &labels("payments")), ["open"; 3]);
    check(&one(ROOT, &labels("payments")), ["closed"; 3]);
    check(&one(ROOT, &labels("other")), ["open"; 3]);
    let service = |selector: &str| {
        service_document(
            "s",
            &format!("selector: {{app: {selector}}}, ports: [{{port: 80, targetPort: 8080}}]"),
        )
    };
    let target = "targetRefs: [{kind: Service, group: '', name: s}]";
    check(&(one("name: a", target) + &service("payments")), ["closed"; 3]);
    check(&(one("name: a", target) + &service("other")), ["open"; 3]);
    let world = check(&one("name: a", target), ["open"; 3]);
    assert!(problems(&world).iter().any(|said| said.contains("there is no Service `s`")));
    let own = target.replace("name: s", "name: s, namespace: default");
    check(&(one("name: a", &own) + &service("payments")), ["closed"; 3]);
    let other = target.replace("name: s", "name: s, namespace: other");
    let world = check(&(one("name: a", &other) + &service("payments")), ["open"; 3]);
    assert!(problems(&world).iter().any(|said| said.contains("it is in another namespace")));
    let gateway = "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g}]";
    let world = check(&one("name: a", gateway), ["open"; 3]);
    assert!(problems(&world).iter().any(|said| said.contains("the Gateway `g` is not protected")));
}

#[test]
fn tokens_that_are_not_checked_close() {
    let one = |spec: &str| security("RequestAuthentication", "name: r", spec);
    let world = check(&one("jwtRules: [{issuer: x, jwks: y}]"), ["closed"; 3]);
    says(&world, "tokens are not checked by this version");
    check(&one("selector: {matchLabels: {app: other}}, jwtRules: [{issuer: x}]"), ["open"; 3]);
    check(&one(""), ["open"; 3]);
    check(&one("jwtRuels: []"), ["closed"; 3]);
    assert_eq!(
        asked(&world, "default/payments", 8080),
        "policy_unenforceable: closed: \
        RequestAuthentication default/r asks for what this version cannot enforce"
    );
}

#[test]
fn servers_close_their_port() {
    let one = |spec: &str| {
        server("s", &format!("podSelector: {{matchLabels: {{app: payments}}}}, {spec}"))
    };
    check(&one("port: 8080"), ["closed", "open", "open"]);
    check(&one("port: admin"), ["open", "closed", "open"]);
    // A name that no port has may be meant for any.
    check(&one("port: other"), ["closed"; 3]);
    check(&one("port: other, accessPolicy: all-unauthenticated"), ["open"; 3]);
    let named = server("t", "podSelector: {}, port: http, accessPolicy: all-unauthenticated");
    check(&(one("port: other") + &named), ["open", "closed", "closed"]);
    check(&one("port: 8080, accessPolicy: all-unauthenticated"), ["open"; 3]);
    check(&one("port: 8080, accessPolicy: audit"), ["open"; 3]);
    check(&one("port: 8080, accessPolicy: cluster-unauthenticated"), ["closed", "open", "open"]);
    check(&one("port: 8080, accessPolicy: cluster-authenticated"), ["closed", "open", "open"]);
    check(&one("port: 8080, accessPolicy: everybody"), ["closed", "open", "open"]);
    check(&one("prot: 8080"), ["closed"; 3]);
    check(&server("s", "podSelector: {matchLabels: {app: other}}, port: 8080"), ["open"; 3]);
    check(&server("s", "podSelector: {}, port: 8080"), ["closed", "open", "open"]);
    check(&server("s", "port: 8080"), ["closed", "open", "open"]);
    check(&server("s", "externalWorkloadSelector: {}, port: 8080"), ["open"; 3]);
    let world = check(
        &one("port: 8080, accessPolicy: all-authenticated, proxyProtocol: gRPC"),
        ["open"; 3],
    );
    assert_eq!(asked(&world, "default/payments", 8080), "Strict");
    assert_eq!(asked(&world, "default/payments", 9090), "Permissive");
    assert_eq!(protocol(&world, "default/payments", 8080), Protocol::Http2);
}

#[test]
fn what_restricts_a_server_closes_it() {
    let open = server("s", "podSelector: {}, port: 8080, accessPolicy: all-unauthenticated");
    let route = |api: &str, parent: &str| {
        document(api, "HTTPRoute", "name: r", &format!("parentRefs: [{parent}], rules: []"))
    };
    let parent = "{group: policy.linkerd.io, kind: Server, name: s}";
    let closed = ["closed", "open", "open"];
    check(&(open.clone() + &route("policy.linkerd.io/v1beta3", parent)), closed);
    check(&(open.clone() + &route("gateway.networking.k8s.io/v1", parent)), closed);
    let outbound = route("policy.linkerd.io/v1beta3", "{group: core, kind: Service, name: s}");
    let world = check(&(open.clone() + &outbound), ["open"; 3]);
    says(&world, "there is no Service default/s");
    let limit = |spec: &str| {
        document("policy.linkerd.io/v1alpha1", "HTTPLocalRateLimitPolicy", "name: l", spec)
    };
    let target = "targetRef: {group: policy.linkerd.io, kind: Server, name: s}";
    check(
        &(open.clone() + &limit(&format!("{target}, total: {{requestsPerSecond: 1}}"))),
        ["open"; 3],
    );
    check(&(open.clone() + &limit("targetRef: 5")), closed);
    let world = check(&(open + &limit(&target.replace("name: s", "name: t"))), ["open"; 3]);
    says(&world, "there is no Server `t`");
}

#[test]
fn annotations_close_ports_without_a_server() {
    let annotation = |word: &str| {
        namespace("default", &format!("config.linkerd.io/default-inbound-policy: {word}"))
    };
    check(&annotation("all-unauthenticated"), ["open"; 3]);
    check(&annotation("deny"), ["closed"; 3]);
    check(&annotation("cluster-authenticated"), ["closed"; 3]);
    check(&annotation("nobody"), ["closed"; 3]);
    let open = server("s", "podSelector: {}, port: 8080, accessPolicy: all-unauthenticated");
    check(&(annotation("deny") + &open), ["open", "closed", "closed"]);
    let world = check(&annotation("all-authenticated"), ["open"; 3]);
    assert_eq!(asked(&world, "default/payments", 7), "Strict");
}

#[test]
fn what_protects_under_a_wrong_name_closes() {
    let text = |api: &str, kind: &str| document(api, kind, "name: a", "");
    let closed = |text: &str, expected: &str| {
        let world = check(text, ["closed"; 3]);
        let problems = problems(&world);
        assert!(problems[0].starts_with("a.yaml:1:1: error: "), "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    };
    let wrong = "is not known under apiVersion `security.istio.io/v1alpha1`";
    closed(&text("security.istio.io/v1alpha1", "AuthorizationPolicy"), wrong);
    closed(
        &text("security.istio.io/v1", "AuthorisationPolicy"),
        "`AuthorisationPolicy` is not a kind",
    );
    closed(&text("policy.linkerd.io/v1", "Server"), "under apiVersion `policy.linkerd.io/v1`");
    let peer = text("security.istio.io/v1alpha1", "PeerAuthentication");
    let world = world(&peer, &[workload("payments", 2)]);
    assert_eq!(of(&world, "default/payments").mtls, Mtls::Strict);
}

#[test]
fn what_cannot_be_read_closes_a_mesh_that_begins_with_it() {
    let broken = "kind: AuthorizationPolicy\nmetadata: {name: a\nspec: [\n";
    let good = service_document("other", "ports: [{port: 80}]");
    let step = |text: &str, previous: Option<&MeshWorld>| {
        let registered = registered(&[workload("payments", 2)]);
        compile_mesh(&load(&[("a.yaml", text)]), &registered, &options(), previous)
    };
    let is_open = |world: &MeshWorld| asked(world, "default/payments", 8080) == "Permissive";
    let says = |world: &MeshWorld, expected: &str| {
        let problems = problems(world);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    };
    let first = step(broken, None);
    let detail =
        "policy_unenforceable: closed: a.yaml:3 cannot be read, and may protect any workload";
    assert_eq!(asked(&first, "default/payments", 8080), detail);
    says(&first, "all workloads refuse all calls until it can be read");
    // Whatever else changes, it stays closed until it can be read.
    let second = step(&format!("{good}{broken}"), Some(&first));
    assert!(!is_open(&second));
    let third = step(&good, Some(&second));
    assert!(is_open(&third));
    // A mesh that is at work is not closed by it.
    let fourth = step(&format!("{good}{broken}"), Some(&third));
    assert!(is_open(&fourth));
    says(&fourth, "what was in force before stays");
    assert!(is_open(&step("kind: Service\nmetadata: {\n", None)));
}

#[test]
fn network_policies_close_what_they_do_not_open() {
    let one = |spec: &str| document("networking.k8s.io/v1", "NetworkPolicy", "name: a", spec);
    const ALL: &str = "podSelector: {}";
    let silent = |spec: &str, expected: [&str; 3]| {
        assert_eq!(problems(&check(&one(spec), expected)), Vec::<String>::new(), "{spec}");
    };
    let told = |spec: &str, expected: [&str; 3], message: &str| {
        says(&check(&one(spec), expected), message)
    };
    // What asks for nobody or everybody is obeyed.
    silent(ALL, ["denied"; 3]);
    silent("", ["denied"; 3]);
    silent("podSelector: {matchLabels: {app: payments}}, policyTypes: [Ingress]", ["denied"; 3]);
    silent("podSelector: {matchLabels: {app: other}}", ["open"; 3]);
    silent(&format!("{ALL}, ingress: [{{}}]"), ["open"; 3]);
    silent(&format!("{ALL}, ingress: [{{ports: [{{port: 8080}}]}}]"), ["open", "denied", "denied"]);
    silent(&format!("{ALL}, ingress: [{{ports: [{{port: 8080, protocol: UDP}}]}}]"), ["denied"; 3]);
    silent(&format!("{ALL}, ingress: [{{ports: [{{protocol: TCP}}]}}]"), ["open"; 3]);
    // What asks who calls, or is not looked at, closes.
    const FROM: &str = "from: [{podSelector: {}}]";
    const NETWORKS: &str = "networks, named ports and ranges of ports are not looked at";
    told(&format!("{ALL}, ingress: [{{{FROM}}}]"), ["closed"; 3], NETWORKS);
    told(
        &format!("{ALL}, ingress: [{{{FROM}, ports: [{{port: 8080}}]}}]"),
        ["closed", "denied", "denied"],
        NETWORKS,
    );
    told(&format!("{ALL}, ingress: [{{ports: [{{port: http}}]}}]"), ["closed"; 3], NETWORKS);
    told(
        &format!("{ALL}, ingress: [{{ports: [{{port: 80, endPort: 90}}]}}]"),
        ["closed"; 3],
        NETWORKS,
    );
    // It says nothing of who may call.
    told(&format!("{ALL}, policyTypes: [Egress]"), ["open"; 3], "whom workloads call");
    check(&one("podSelector: 5, ingress: [{}]"), ["closed"; 3]);
}

#[test]
fn callers_and_networks_have_to_agree() {
    let networks = document(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "name: a",
        "podSelector: {}, ingress: [{ports: [{port: 8080}]}]",
    );
    let callers = authorization("name: a", "rules: [{to: [{operation: {ports: ['9090']}}]}]");
    check(&networks, ["open", "denied", "denied"]);
    check(&callers, ["denied", "open", "denied"]);
    check(&(networks + &callers), ["denied"; 3]);
}
