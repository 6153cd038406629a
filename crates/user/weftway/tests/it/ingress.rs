//! Kubernetes Ingress by its specification.

use weft_testkit::documents::{endpoint_slice, ingress_route, middleware, service};
use weft_testkit::{
    Certificates, Gateway, GatewayBuilder, H2Client, RawClient, RawOrigin, TlsDial,
};

use crate::common::{self, GET};

fn builder() -> GatewayBuilder {
    common::builder().port(80).port(443)
}

/// An Ingress with `spec` indented by two.
fn ingress(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\nspec:\n{spec}"
    )
}

fn path(path: &str, kind: &str, service: &str) -> String {
    format!(
        "      - path: {path}\n        pathType: {kind}\n        backend:\n          service:\n            \
         name: {service}\n            port:\n              number: 80\n"
    )
}

/// The origin that answers, or the status.
fn who(gateway: &Gateway, host: &str, target: &str) -> String {
    RawClient::get(gateway.port(80), host, target).who()
}

#[test]
fn path_types() {
    let origins: Vec<RawOrigin> =
        ["exact", "prefix", "longer", "any"].iter().map(|name| RawOrigin::start(name)).collect();
    let spec = "  rules:\n  - http:\n      paths:\n".to_owned()
        + &path("/aaa", "Exact", "exact")
        + &path("/aaa/bbb", "Prefix", "prefix")
        + &path("/aaa/bbb/ccc", "Prefix", "longer")
        + &path("/any", "ImplementationSpecific", "any");
    let mut builder = builder().document("ingress.yaml", &ingress("paths", &spec));
    for (name, origin) in ["exact", "prefix", "longer", "any"].iter().zip(&origins) {
        builder = builder.backend(&format!("{name}:80"), origin.addr());
    }
    let gateway = builder.start();
    // The examples of the specification, as far as they apply.
    for (target, expected) in [
        ("/aaa", "exact"),
        ("/aaa/", "404"),
        ("/AAA", "404"),
        ("/aaa/bbb", "prefix"),
        ("/aaa/bbb/", "prefix"),
        ("/aaa/bbbxyz", "404"),
        ("/aaa/bbb/x", "prefix"),
        ("/aaa/bbb/ccc", "longer"),
        ("/aaa/bbb/cccd", "prefix"),
        ("/aaa/bbb/ccc/d", "longer"),
        ("/any", "any"),
        ("/any/x", "any"),
        ("/", "404"),
    ] {
        assert_eq!(who(&gateway, "x.test", target), expected, "{target}");
    }
}

#[test]
fn hosts() {
    let (a, b, c) = (RawOrigin::start("a"), RawOrigin::start("b"), RawOrigin::start("c"));
    let rule = |host: &str, service: &str| {
        format!("  - host: '{host}'\n    http:\n      paths:\n{}", path("/", "Prefix", service))
    };
    let spec = "  rules:\n".to_owned()
        + &rule("a.test", "a")
        + &rule("*.foo.test", "b")
        + &rule("bar.foo.test", "c");
    let gateway = builder()
        .document("ingress.yaml", &ingress("hosts", &spec))
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .backend("c:80", c.addr())
        .start();
    for (host, expected) in [
        ("a.test", "a"),
        ("A.TEST:80", "a"),
        ("x.foo.test", "b"),
        ("bar.foo.test", "c"),
        ("baz.bar.foo.test", "404"),
        ("foo.test", "404"),
    ] {
        assert_eq!(who(&gateway, host, "/"), expected, "{host}");
    }
}

#[test]
fn the_default_backend_takes_the_rest() {
    let (a, rest) = (RawOrigin::start("a"), RawOrigin::start("rest"));
    let spec = "  defaultBackend:\n    service:\n      name: rest\n      port:\n        number: 80\n  rules:\n  \
                - host: a.test\n    http:\n      paths:\n"
        .to_owned()
        + &path("/a", "Prefix", "a");
    let gateway = builder()
        .document("ingress.yaml", &ingress("default", &spec))
        .backend("a:80", a.addr())
        .backend("rest:80", rest.addr())
        .start();
    for (host, target, expected) in
        [("a.test", "/a", "a"), ("a.test", "/b", "rest"), ("b.test", "/a", "rest")]
    {
        assert_eq!(who(&gateway, host, target), expected, "{host}{target}");
    }
}

#[test]
fn ports_by_name_and_endpoint_slices() {
    let origin = RawOrigin::start("a");
    let spec = "  rules:\n  - http:\n      paths:\n      - path: /\n        pathType: Prefix\n        \
                backend:\n          service:\n            name: a\n            port:\n              name: http\n";
    let documents =
        ingress("named", spec) + &service("a", 80) + &endpoint_slice("a", &[origin.addr()]);
    let gateway = builder().document("ingress.yaml", &documents).start();
    assert_eq!(who(&gateway, "x.test", "/"), "a");
}

#[test]
fn tls_by_host() {
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["a.test"]);
    let origin = RawOrigin::start("a");
    let spec = "  tls:\n  - hosts: [a.test]\n    secretName: a-tls\n  rules:\n  - host: a.test\n    http:\n      \
                paths:\n"
        .to_owned()
        + &path("/", "Prefix", "a");
    let documents = ingress("tls", &spec) + "---\n" + &leaf.secret("a-tls");
    let gateway =
        builder().document("ingress.yaml", &documents).backend("a:80", origin.addr()).start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let mut client = RawClient::connect_tls(gateway.port(443), &dial);
    let echo = client.request(GET).echo();
    assert_eq!((&*echo.backend, echo.header("x-forwarded-proto")), ("a", Some("https")));
    let client = H2Client::connect_tls(gateway.port(443), &dial);
    assert_eq!(client.get("a.test", "/").echo().backend, "a");
}

#[test]
fn classes_of_others_are_left_alone() {
    let (ours, theirs) = (RawOrigin::start("ours"), RawOrigin::start("theirs"));
    let class = |name: &str, controller: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: {name}\nspec:\n  \
             controller: {controller}\n"
        )
    };
    let rule = |class: &str, host: &str, service: &str| {
        let spec = format!(
            "  ingressClassName: {class}\n  rules:\n  - host: {host}\n    http:\n      paths:\n"
        );
        ingress(service, &(spec + &path("/", "Prefix", service)))
    };
    let documents = class("weftway", "weftway.io/ingress-controller")
        + &class("nginx", "k8s.io/ingress-nginx")
        + &rule("weftway", "ours.test", "ours")
        + &rule("nginx", "theirs.test", "theirs");
    let gateway = builder()
        .document("ingress.yaml", &documents)
        .backend("ours:80", ours.addr())
        .backend("theirs:80", theirs.addr())
        .start();
    assert_eq!(who(&gateway, "ours.test", "/"), "ours");
    assert_eq!(who(&gateway, "theirs.test", "/"), "404");
}

#[test]
fn a_service_that_is_missing_spoils_only_its_path() {
    let origin = RawOrigin::start("a");
    let spec = "  rules:\n  - http:\n      paths:\n".to_owned()
        + &path("/a", "Prefix", "a")
        + &path("/missing", "Prefix", "missing");
    let gateway = builder()
        .document("ingress.yaml", &ingress("some", &spec))
        .backend("a:80", origin.addr())
        .start();
    assert_eq!(who(&gateway, "x.test", "/a"), "a");
    assert_eq!(who(&gateway, "x.test", "/missing"), "503");
    assert!(gateway.stderr().iter().any(|line| line.contains("missing")));
}

#[test]
fn middlewares_by_annotation() {
    let origin = RawOrigin::start("a");
    let spec = "  rules:\n  - http:\n      paths:\n".to_owned() + &path("/", "Prefix", "a");
    let documents = ingress("some", &spec).replace(
        "  name: some\n",
        "  name: some\n  annotations:\n    traefik.ingress.kubernetes.io/router.middlewares: \
         default-add@kubernetescrd\n",
    ) + &middleware("add", "  addPrefix:\n    prefix: /api");
    let gateway =
        builder().document("ingress.yaml", &documents).backend("a:80", origin.addr()).start();
    let echo = RawClient::get(gateway.port(80), "x.test", "/x").echo();
    assert_eq!(echo.target, "/api/x");
}

#[test]
fn entry_points_and_ingresses_live_side_by_side() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let spec = "  rules:\n  - http:\n      paths:\n".to_owned() + &path("/", "Prefix", "a");
    let gateway = builder()
        .document("ingress.yaml", &ingress("some", &spec))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "b:80")]))
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .start();
    assert_eq!(who(&gateway, "x.test", "/"), "a");
    assert_eq!(gateway.get("x.test", "/").echo().backend, "b");
}
