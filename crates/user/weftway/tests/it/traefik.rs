//! Traefik's documents: the samples, the rule language, kinds of services, the file provider.

use std::collections::BTreeMap;
use std::path::Path;

use weft_testkit::documents::{endpoint_slice, ingress_route, service};
use weft_testkit::{Gateway, Next, RawClient, RawOrigin, TlsDial, wait};

use crate::common::{GET, POST, builder, shares};

fn seed(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds").join(name)
}

/// The origin that answers, or the status.
fn who(gateway: &Gateway, host: &str, target: &str) -> String {
    gateway.get(host, target).who()
}

/// An IngressRoute that leads everything to a TraefikService, and its spec.
fn traefik_service(spec: &str) -> String {
    let route = ingress_route(&[("PathPrefix(`/`)", "it:1")])
        .replace("    - name: it\n      port: 1\n", "    - name: it\n      kind: TraefikService\n");
    format!(
        "{route}---\napiVersion: traefik.io/v1alpha1\nkind: TraefikService\nmetadata:\n  name: it\n\
         spec:\n{spec}"
    )
}

#[test]
fn the_sample_ingress_route_serves_https() {
    let origin = RawOrigin::start("greeter");
    let gateway = builder()
        .source(seed("traefik-ingressroute.yaml"))
        .backend("greeter:8080", origin.addr())
        .start();
    let dial = TlsDial::insecure("gateway.test");
    let mut client = RawClient::connect_tls(gateway.websecure(), &dial);
    for (target, status) in [("/api/v1/hello", 200), ("/api/v1/hello/you", 200), ("/api/v1", 404)] {
        let response = client.request(format!("GET {target} HTTP/1.1\r\nHost: any.test\r\n\r\n"));
        assert_eq!(response.status, status, "{target}");
    }
    assert_eq!(origin.requests().len(), 2);
    // The sample is on `websecure` only.
    assert_eq!(gateway.get("any.test", "/api/v1/hello").status, 404);
    // The resolver of the sample is not there, which is said and not an error.
    assert!(gateway.stderr().iter().any(|line| line.contains("letsencrypt")));
}

#[test]
fn the_sample_middleware_tries_twice_in_all() {
    let origin = RawOrigin::start("greeter");
    let route = ingress_route(&[("PathPrefix(`/`)", "greeter:8080")]).replace(
        "    services:\n",
        "    middlewares:\n    - name: greeter-retries\n    services:\n",
    );
    let gateway = builder()
        .source(seed("middleware.yaml"))
        .document("route.yaml", &route)
        .backend("greeter:8080", origin.addr())
        .start();
    origin.on("/once", |x| if x.number() == 0 { Ok(Next::Reset) } else { x.echo() });
    assert_eq!(gateway.get("a.test", "/once").status, 200);
    assert_eq!(origin.requests_for("/once").len(), 2);
    origin.on("/never", |_| Ok(Next::Reset));
    assert_eq!(gateway.get("a.test", "/never").status, 502);
    assert_eq!(origin.requests_for("/never").len(), 2);
}

/// Starts a gateway whose routes lead to origins named `a`, `b` and so on, in their order, and
/// checks who answers which request.
fn check_rules(rules: &[&str], requests: &[(&str, &str)]) {
    let names = ["a", "b", "c", "d", "e"];
    let origins: Vec<RawOrigin> = names.iter().map(|name| RawOrigin::start(name)).collect();
    let services: Vec<String> = names.iter().map(|name| format!("{name}:80")).collect();
    let routes: Vec<(&str, &str)> =
        rules.iter().zip(&services).map(|(rule, service)| (*rule, &**service)).collect();
    let mut builder = builder().document("routes.yaml", &ingress_route(&routes));
    for (service, origin) in services.iter().zip(&origins) {
        builder = builder.backend(service, origin.addr());
    }
    let gateway = builder.start();
    for (request, expected) in requests {
        let response = gateway.client().request(format!("{request}\r\n\r\n"));
        assert_eq!(response.who(), *expected, "{request}");
    }
}

#[test]
fn rules_by_host() {
    check_rules(
        &[
            "Host(`a.test`)",
            "Host(`*.b.test`)",
            "HostRegexp(`^[0-9]+\\.c\\.test$`)",
            "Host(`d.test`) || Host(`e.test`)",
        ],
        &[
            ("GET / HTTP/1.1\r\nHost: a.test", "a"),
            ("GET / HTTP/1.1\r\nHost: A.Test:8080", "a"),
            ("GET / HTTP/1.1\r\nHost: a.test.", "a"),
            ("GET / HTTP/1.1\r\nHost: x.b.test", "b"),
            ("GET / HTTP/1.1\r\nHost: x.y.b.test", "404"),
            ("GET / HTTP/1.1\r\nHost: b.test", "404"),
            ("GET / HTTP/1.1\r\nHost: 42.c.test", "c"),
            ("GET / HTTP/1.1\r\nHost: x.c.test", "404"),
            ("GET / HTTP/1.1\r\nHost: e.test", "d"),
            ("GET http://a.test/ HTTP/1.1\r\nHost: a.test", "a"),
        ],
    );
}

#[test]
fn rules_by_path() {
    check_rules(
        &[
            "Path(`/exact`)",
            "PathPrefix(`/products`)",
            "PathRegexp(`^/users/[0-9]+$`)",
            "PathPrefix(`/api`) && !PathPrefix(`/api/internal`)",
        ],
        &[
            ("GET /exact HTTP/1.1\r\nHost: x", "a"),
            ("GET /exact?q=1 HTTP/1.1\r\nHost: x", "a"),
            ("GET /exact/ HTTP/1.1\r\nHost: x", "404"),
            // A prefix is one of characters, not of elements.
            ("GET /products-for-sale HTTP/1.1\r\nHost: x", "b"),
            ("GET //products HTTP/1.1\r\nHost: x", "b"),
            ("GET /x/../products HTTP/1.1\r\nHost: x", "b"),
            ("GET /%70roducts HTTP/1.1\r\nHost: x", "b"),
            ("GET /users/42 HTTP/1.1\r\nHost: x", "c"),
            ("GET /users/x HTTP/1.1\r\nHost: x", "404"),
            ("GET /api/x HTTP/1.1\r\nHost: x", "d"),
            ("GET /api/internal/x HTTP/1.1\r\nHost: x", "404"),
        ],
    );
}

#[test]
fn rules_by_headers_query_method_and_client() {
    check_rules(
        &[
            "Header(`X-Team`, `blue`)",
            "HeaderRegexp(`X-Team`, `^(red|green)$`)",
            "Query(`v`, `2`) || QueryRegexp(`w`, `^[a-c]+$`)",
            "Method(`DELETE`) && ClientIP(`127.0.0.0/8`)",
            "ClientIP(`10.0.0.0/8`)",
        ],
        &[
            ("GET / HTTP/1.1\r\nHost: x\r\nx-team: pink\r\nX-TEAM: blue", "a"),
            ("GET / HTTP/1.1\r\nHost: x\r\nX-Team: Blue", "404"),
            ("GET / HTTP/1.1\r\nHost: x\r\nX-Team: green", "b"),
            ("GET /?a=1&v=2 HTTP/1.1\r\nHost: x", "c"),
            ("GET /?v=%32 HTTP/1.1\r\nHost: x", "c"),
            ("GET /?v=22 HTTP/1.1\r\nHost: x", "404"),
            ("GET /?w=abc HTTP/1.1\r\nHost: x", "c"),
            ("DELETE / HTTP/1.1\r\nHost: x", "d"),
            ("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.1", "404"),
        ],
    );
}

#[test]
fn the_longer_rule_wins_unless_a_priority_says_otherwise() {
    check_rules(
        &["PathPrefix(`/`)", "PathPrefix(`/api`)", "PathPrefix(`/api`) && Method(`POST`)"],
        &[
            ("GET / HTTP/1.1\r\nHost: x", "a"),
            ("GET /api HTTP/1.1\r\nHost: x", "b"),
            ("POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 0", "c"),
        ],
    );
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let routes = ingress_route(&[("PathPrefix(`/`)", "a:80"), ("PathPrefix(`/api`)", "b:80")])
        .replacen("    kind: Rule\n", "    kind: Rule\n    priority: 1000\n", 1);
    let gateway = builder()
        .document("routes.yaml", &routes)
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .start();
    assert_eq!(who(&gateway, "x", "/api"), "a");
}

#[test]
fn a_route_with_a_broken_rule_is_alone_in_its_loss() {
    let origin = RawOrigin::start("a");
    let good = ingress_route(&[("PathPrefix(`/good`)", "a:80")]);
    let bad = ingress_route(&[("PathPrefix('/bad')", "a:80")]).replace("name: routes", "name: bad");
    let gateway = builder()
        .document("a-bad.yaml", &bad)
        .document("good.yaml", &good)
        .backend("a:80", origin.addr())
        .start();
    assert_eq!(who(&gateway, "x", "/good"), "a");
    assert_eq!(who(&gateway, "x", "/bad"), "404");
    assert!(gateway.stderr().iter().any(|line| line.contains("a-bad.yaml")));
}

#[test]
fn endpoint_slices_share_by_round_robin() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let documents = ingress_route(&[("PathPrefix(`/`)", "echo:80")])
        + &service("echo", 80)
        + &endpoint_slice("echo", &[a.addr(), b.addr()]);
    let gateway = builder().document("all.yaml", &documents).start();
    let shares = shares(&gateway, 20);
    assert_eq!((shares["a"], shares["b"]), (10, 10));
}

#[test]
fn a_service_without_endpoints_is_503() {
    let documents = ingress_route(&[("PathPrefix(`/`)", "echo:80")]) + &service("echo", 80);
    let gateway = builder().document("all.yaml", &documents).start();
    assert_eq!(who(&gateway, "x", "/"), "503");
}

#[test]
fn weights_of_services_in_a_route() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let documents = ingress_route(&[("PathPrefix(`/`)", "a:80")]).replace(
        "    - name: a\n      port: 80\n",
        "    - name: a\n      port: 80\n      weight: 3\n    - name: b\n      port: 80\n      weight: 1\n",
    );
    let gateway = builder()
        .document("all.yaml", &documents)
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .start();
    let shares = shares(&gateway, 40);
    assert!((28..=32).contains(&shares["a"]), "{shares:?}");
}

#[test]
fn weighted_with_a_sticky_cookie() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let documents = traefik_service(
        "  weighted:\n    services:\n    - name: a\n      port: 80\n      weight: 1\n    - name: b\n      \
         port: 80\n      weight: 1\n    sticky:\n      cookie:\n        name: lane\n        httpOnly: \
         true\n        sameSite: lax\n",
    );
    let gateway = builder()
        .document("all.yaml", &documents)
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .start();
    let shares = shares(&gateway, 10);
    assert_eq!((shares["a"], shares["b"]), (5, 5));
    for _ in 0..2 {
        let response = gateway.get("a.test", "/");
        let first = response.echo().backend;
        let cookie = response.header("set-cookie").expect("a cookie is set").to_owned();
        assert!(cookie.starts_with("lane=") && cookie.contains("HttpOnly"), "{cookie}");
        assert!(cookie.to_lowercase().contains("samesite=lax"), "{cookie}");
        let pair = cookie.split(';').next().unwrap().to_owned();
        for _ in 0..6 {
            let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: x=1; {pair}\r\n\r\n");
            let response = gateway.client().request(request);
            assert_eq!(response.echo().backend, first);
        }
    }
}

/// A gateway that takes everything to `main`, and so much of it to `copy` as well.
fn mirroring(percent: u32, main: &RawOrigin, copy: &RawOrigin) -> Gateway {
    let documents = traefik_service(&format!(
        "  mirroring:\n    name: main\n    port: 80\n    mirrors:\n    - name: copy\n      port: 80\n      \
         percent: {percent}\n",
    ));
    builder()
        .document("all.yaml", &documents)
        .backend("main:80", main.addr())
        .backend("copy:80", copy.addr())
        .start()
}

#[test]
fn mirroring_copies_requests_and_ignores_the_answers() {
    let (main, copy) = (RawOrigin::start("main"), RawOrigin::start("copy"));
    copy.on_status("/x", 500, "nobody reads this");
    let gateway = mirroring(100, &main, &copy);
    let response = gateway
        .client()
        .request("POST /x?y=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(response.echo().backend, "main");
    copy.wait_for("the copy", |requests, _| {
        requests.first().is_some_and(|request| request.body == b"body")
    });
    let request = &copy.requests()[0];
    assert_eq!((&*request.method, &*request.target), ("POST", "/x?y=1"));
}

#[test]
fn mirroring_takes_its_share() {
    let (main, copy) = (RawOrigin::start("main"), RawOrigin::start("copy"));
    let gateway = mirroring(50, &main, &copy);
    for _ in 0..200 {
        assert_eq!(who(&gateway, "a.test", "/"), "main");
    }
    wait::until_true("some copies", || copy.requests().len() > 50);
    assert!(copy.requests().len() < 150, "{}", copy.requests().len());
}

#[test]
fn failover_by_status() {
    let (first, second) = (RawOrigin::start("first"), RawOrigin::start("second"));
    let documents = traefik_service(
        "  failover:\n    service:\n      name: first\n      port: 80\n    fallback:\n      name: second\n      \
         port: 80\n    errors:\n      status: ['500-599']\n",
    );
    let gateway = builder()
        .document("all.yaml", &documents)
        .backend("first:80", first.addr())
        .backend("second:80", second.addr())
        .start();
    let post = |gateway: &Gateway| gateway.client().request(POST).echo();
    assert_eq!(post(&gateway).backend, "first");
    first.on_status("/", 503, "down");
    let echo = post(&gateway);
    assert_eq!((&*echo.backend, echo.body.as_deref()), ("second", Some("body")));
}

#[test]
fn failover_when_the_first_has_no_endpoint() {
    let second = RawOrigin::start("second");
    let documents = traefik_service(
        "  failover:\n    service:\n      name: first\n      port: 80\n    fallback:\n      name: second\n      \
         port: 80\n",
    ) + &service("first", 80);
    let gateway =
        builder().document("all.yaml", &documents).backend("second:80", second.addr()).start();
    assert_eq!(who(&gateway, "a.test", "/"), "second");
}

#[test]
fn highest_random_weight_keeps_a_client_on_one() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let documents = traefik_service(
        "  highestRandomWeight:\n    services:\n    - name: a\n      port: 80\n    - name: b\n      port: 80\n",
    );
    let gateway = builder()
        .document("all.yaml", &documents)
        .backend("a:80", a.addr())
        .backend("b:80", b.addr())
        .args(&["--trust-proxy-protocol-from", "127.0.0.0/8"])
        .start();
    let mut found = BTreeMap::new();
    for client in 0..32 {
        for _ in 0..3 {
            let mut connection = gateway.client();
            connection.send(format!("PROXY TCP4 192.0.2.{client} 192.0.2.1 4000 80\r\n"));
            let backend = connection.request(GET).echo().backend;
            let first = found.entry(client).or_insert_with(|| backend.clone());
            assert_eq!(*first, backend);
        }
    }
    let on_a = found.values().filter(|name| **name == "a").count();
    assert!((6..=26).contains(&on_a), "{on_a} of 32");
}

#[test]
fn the_host_header_passes_or_not() {
    let origin = RawOrigin::start("a");
    let documents = |pass: bool| {
        ingress_route(&[("PathPrefix(`/`)", "a:80")])
            .replace("      port: 80\n", &format!("      port: 80\n      passHostHeader: {pass}\n"))
    };
    let gateway =
        builder().document("all.yaml", &documents(true)).backend("a:80", origin.addr()).start();
    assert_eq!(gateway.get("a.test", "/").echo().host, "a.test");
    gateway.write("all.yaml", &documents(false));
    let expected = origin.addr().to_string();
    wait::until_true("the other host", || gateway.get("a.test", "/").echo().host == expected);
}

#[test]
fn the_file_provider() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let document = format!(
        "http:\n  routers:\n    shop:\n      rule: Host(`shop.test`)\n      entryPoints: [web]\n      \
         middlewares: [strip]\n      service: shop\n    other:\n      rule: PathPrefix(`/`)\n      \
         service: other@file\n  middlewares:\n    strip:\n      stripPrefix:\n        prefixes: [/v1]\n  \
         services:\n    shop:\n      loadBalancer:\n        servers:\n        - url: http://{}\n    other:\n      \
         loadBalancer:\n        servers:\n        - url: http://{}\n",
        a.addr(),
        b.addr()
    );
    let gateway = builder().document("dynamic.yaml", &document).start();
    let echo = gateway.get("shop.test", "/v1/x").echo();
    assert_eq!((&*echo.backend, &*echo.target), ("a", "/x"));
    assert_eq!(who(&gateway, "else.test", "/"), "b");
}

#[test]
fn entry_points_have_their_own_routes() {
    let origin = RawOrigin::start("a");
    let documents = ingress_route(&[("PathPrefix(`/`)", "a:80")]).replace("[web]", "[internal]");
    let gateway = builder()
        .entry_point("internal")
        .document("all.yaml", &documents)
        .backend("a:80", origin.addr())
        .start();
    assert_eq!(who(&gateway, "x", "/"), "404");
    assert_eq!(RawClient::get(gateway.addr("internal"), "x", "/").echo().backend, "a");
}

#[test]
fn a_broken_rule_does_not_open_what_it_protects() {
    let origin = RawOrigin::start("echo");
    let rules = |rule: &str| {
        ingress_route(&[("Host(`a.test`)", "echo:80"), (rule, "echo:80")])
            + "    middlewares:\n    - name: guard\n"
            + "---\napiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata:\n  name: guard\nspec:\n  \
               ipAllowList:\n    sourceRange: [192.0.2.1]\n"
    };
    let broken = rules("Host(`a.test`) && PathPrefix(`/admin`) && Headr(`x`, `y`)");
    let gateway = builder().document("all.yaml", &broken).backend("echo:80", origin.addr()).start();
    // Without its rule, the wide route would serve what the guard is for.
    assert_eq!(gateway.get("a.test", "/admin").status, 503);
    assert_eq!(gateway.get("a.test", "/shop").status, 200);
    let line = gateway.log_entry("reason", "policy_unenforceable");
    assert!(line["detail"].as_str().unwrap().contains("the rule cannot be read"), "{line}");
    assert!(gateway.stderr().iter().any(|line| line.contains("requests for a.test")));
    gateway.write("all.yaml", &rules("Host(`a.test`) && PathPrefix(`/admin`)"));
    gateway.wait_for_status("a.test", "/admin", 403);
}

#[test]
fn an_encoded_slash_is_kept_where_that_is_asked_for() {
    let origin = RawOrigin::start("echo");
    let started = |arguments: &[&str]| {
        builder()
            .document("all.yaml", &ingress_route(&[("PathPrefix(`/a`)", "echo:80")]))
            .backend("echo:80", origin.addr())
            .args(arguments)
            .start()
    };
    for arguments in [&[][..], &["--encoded-slash", "reject"]] {
        assert_eq!(started(arguments).get("a.test", "/a%2fb").status, 400);
    }
    let gateway = started(&["--encoded-slash", "keep"]);
    assert_eq!(gateway.get("a.test", "/a%2fb").echo().target, "/a%2Fb");
    // It separates nothing, and what hides behind it is still ambiguous.
    assert_eq!(gateway.get("a.test", "/x%2f../a").status, 400);
    assert_eq!(gateway.get("a.test", "/%2fa").status, 404);
    assert_eq!(gateway.get("a.test", "/a%5cb").status, 400);
}
