//! One view of path, host and client: what a request is routed and authorized by is what the origin
//! sees, and forwarding headers are the gateway's own.

use weft_testkit::documents::{ingress_route, middleware, with_middlewares};
use weft_testkit::{Gateway, H2Client, H2Frames, H2Request, Outcome, RawOrigin, Response, wait};

/// `test` with password `test`.
const USERS: &str = "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: users\nstringData:\n  \
                     users: |\n    test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/\n";

struct Setup {
    open: RawOrigin,
    admin: RawOrigin,
    gateway: Gateway,
}

/// `/admin` needs a password and leads to an origin of its own; everything else is open.
fn setup() -> Setup {
    let (open, admin) = (RawOrigin::start("open"), RawOrigin::start("admin"));
    let routes =
        ingress_route(&[("PathPrefix(`/`)", "open:80"), ("PathPrefix(`/admin`)", "admin:80")]);
    let routes = routes.replace(
        "  - match: PathPrefix(`/admin`)\n    kind: Rule\n",
        "  - match: PathPrefix(`/admin`)\n    kind: Rule\n    middlewares:\n    - name: guard\n",
    );
    let guard = middleware("guard", "  basicAuth:\n    secret: users");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &(routes + &guard + USERS))
        .backend("open:80", open.addr())
        .backend("admin:80", admin.addr())
        .start();
    Setup { open, admin, gateway }
}

/// Target, the status without credentials, and what the open origin sees where it is let through.
const VIEWS: &[(&str, u16, &str)] = &[
    ("/admin", 401, ""),
    ("//admin", 401, ""),
    ("///admin", 401, ""),
    ("/./admin", 401, ""),
    ("/x/../admin", 401, ""),
    ("/x/./../admin", 401, ""),
    ("/x/%2e%2e/admin", 401, ""),
    ("/x/.%2E/admin", 401, ""),
    ("/%2e/admin", 401, ""),
    ("/%61dmin", 401, ""),
    ("/%61%64%6d%69%6e", 401, ""),
    ("/admin/", 401, ""),
    ("/admin.", 401, ""),
    ("/admin?x=/../", 401, ""),
    ("/admin;a=b", 401, ""),
    ("/admin%23", 401, ""),
    ("/admin%3f", 401, ""),
    ("/admin%20", 401, ""),
    ("/x%2fadmin", 400, ""),
    ("/x%2Fadmin", 400, ""),
    ("/x/..%2fadmin", 400, ""),
    ("/x%5cadmin", 400, ""),
    ("/x%5Cadmin", 400, ""),
    ("/x\\admin", 400, ""),
    ("/\\admin", 400, ""),
    ("\\admin", 400, ""),
    ("/admin%00", 400, ""),
    ("/%00/admin", 400, ""),
    ("/admin#f", 400, ""),
    ("/x#/../admin", 400, ""),
    ("/user/..;x=y/admin", 400, ""),
    ("/user/..;/admin", 400, ""),
    ("/user/%2e%2e;/admin", 400, ""),
    ("/x/%252e%252e/admin", 400, ""),
    ("/x%252fadmin", 400, ""),
    ("/x/%25252e/admin", 400, ""),
    ("/%c0%ae%c0%ae/admin", 400, ""),
    ("/x%c0%afadmin", 400, ""),
    ("/x/%e0%80%ae/admin", 400, ""),
    ("/%ff", 400, ""),
    ("/x%", 400, ""),
    ("/x%2", 400, ""),
    ("/x%zz", 400, ""),
    ("/x%u002f", 400, ""),
    ("/../admin", 400, ""),
    ("/..", 400, ""),
    ("/x/../../admin", 400, ""),
    ("/caf\u{e9}", 400, ""),
    ("/a\tb", 400, ""),
    ("/a\u{b}b", 400, ""),
    // What is another path stays another path, and is passed on as such.
    ("/ADMIN", 200, "/ADMIN"),
    ("/%41DMIN", 200, "/ADMIN"),
    ("/x/admin", 200, "/x/admin"),
    ("/;/admin", 200, "/;/admin"),
    ("/a;b=c/d", 200, "/a;b=c/d"),
    ("/%2561dmin", 200, "/%2561dmin"),
    ("/.admin", 200, "/.admin"),
    ("/...", 200, "/..."),
    ("/a/%e2%82%ac", 200, "/a/%E2%82%AC"),
    ("/a%20b", 200, "/a%20b"),
    ("/a%7eb", 200, "/a~b"),
    ("/a//b/./c", 200, "/a/b/c"),
    ("/a?x=1;y=2&z=/../admin", 200, "/a?x=1;y=2&z=/../admin"),
    ("/a?%2e%2e/admin", 200, "/a?%2e%2e/admin"),
];

#[test]
fn one_path_for_routing_authentication_and_the_origin() {
    let setup = setup();
    for (target, status, seen) in VIEWS {
        let response = setup
            .gateway
            .client()
            .request(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"));
        assert_eq!(response.status, *status, "{target:?}");
        if *status == 200 {
            assert_eq!(response.echo().target, *seen, "{target:?}");
        }
    }
    assert!(setup.admin.requests().is_empty(), "the guard was passed");
    for request in setup.open.requests() {
        assert!(!request.target.to_lowercase().starts_with("/admin/"), "{}", request.target);
    }
}

#[test]
fn the_same_over_http2() {
    let setup = setup();
    for (target, status, seen) in VIEWS {
        let mut frames = H2Frames::connect(setup.gateway.web(), &[]);
        frames.headers(1, &H2Frames::get("a.test", target, &[]), true);
        let outcome = frames.outcome(1);
        match status {
            // The library takes fragments off before anybody decides.
            400 if target.contains('#') => assert!(
                !matches!(outcome, Outcome::Status(200)) || setup.admin.requests().is_empty()
            ),
            400 => assert!(outcome.is_refusal(), "{target:?}: {outcome:?}"),
            status => assert_eq!(outcome, Outcome::Status(*status), "{target:?}"),
        }
        if *status == 200 {
            let requests = setup.open.requests();
            assert_eq!(requests.last().map(|request| &*request.target), Some(*seen), "{target:?}");
        }
    }
    assert!(setup.admin.requests().is_empty(), "the guard was passed");
}

#[test]
fn the_guard_lets_the_right_one_through_under_every_spelling() {
    let setup = setup();
    for target in ["/admin", "//admin", "/x/../admin", "/%61dmin"] {
        let response = setup.gateway.client().request(format!(
            "GET {target} HTTP/1.1\r\nHost: a.test\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n\r\n"
        ));
        let echo = response.echo();
        assert_eq!((&*echo.backend, &*echo.target), ("admin", "/admin"), "{target}");
    }
}

#[test]
fn patterns_of_users_cost_linear_time() {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document(
            "routes.yaml",
            &ingress_route(&[
                ("PathRegexp(`^/(a+)+$`)", "echo:80"),
                ("HeaderRegexp(`X`, `(x|x)*y`)", "echo:80"),
            ]),
        )
        .backend("echo:80", origin.addr())
        .start();
    let evil = format!(
        "GET /{}! HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n",
        "a".repeat(10_000),
        "x".repeat(10_000)
    );
    let (statuses, time) = wait::timed(|| {
        let mut client = gateway.client();
        (0..20).map(|_| client.request(&evil).status).collect::<Vec<_>>()
    });
    assert_eq!(statuses, [404; 20]);
    // A backtracking engine would take longer than the universe has been there.
    assert!(time < wait::DEADLINE, "{time:?}");
}

#[test]
fn a_pattern_that_grows_too_large_is_refused_at_once() {
    let origin = RawOrigin::start("echo");
    let huge = format!("PathRegexp(`^/{}$`)", "(a{1,1000}){1,1000}");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[(&huge, "echo:80"), ("Path(`/ok`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .start();
    assert!(gateway.stderr().iter().any(|line| line.contains("error")), "{:?}", gateway.stderr());
    assert_eq!(gateway.get("a.test", "/aaa").status, 404);
}

fn redirecting(spec: &str) -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &with_middlewares("echo:80", &[("it", spec)]))
        .backend("echo:80", origin.addr())
        .start();
    (origin, gateway)
}

#[test]
fn redirects_stay_on_their_host() {
    let schemes = "  redirectScheme:\n    scheme: https";
    let slashes =
        "  redirectRegex:\n    regex: ^(https?://[^/]+)?(/.*[^/])$\n    replacement: ${2}/";
    for (spec, target, expected) in [
        (schemes, "//evil.test/x", Some("https://a.test/evil.test/x")),
        (schemes, "/\\evil.test", None),
        (schemes, "/%5cevil.test", None),
        (schemes, "https:evil.test", None),
        (slashes, "//evil.test/x", Some("/evil.test/x/")),
        (slashes, "/x", Some("/x/")),
        (slashes, "/%0d%0aSet-Cookie:x=y", Some("/%0D%0ASet-Cookie:x=y/")),
    ] {
        let (_origin, gateway) = redirecting(spec);
        let response: Response = gateway
            .client()
            .request(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"));
        let location = response.header("location");
        match expected {
            Some(expected) => assert_eq!(location, Some(expected), "{target}"),
            None => assert_eq!((response.status, location), (400, None), "{target}"),
        }
        assert!(!location.is_some_and(|location| location.starts_with("//")), "{target}");
    }
}

/// Sends a request with these lines and gives what the origin saw.
fn seen(gateway: &Gateway, lines: &str) -> weft_testkit::Echo {
    gateway.client().request(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")).echo()
}

fn plain(arguments: &[&str]) -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .args(arguments)
        .start();
    (origin, gateway)
}

/// What a client may not say of itself.
const SPOOFED: &str = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /evil\r\n\
    X-Forwarded-Uri: /evil\r\nX-Forwarded-Method: DELETE\r\nX-Forwarded-Server: evil\r\n\
    X-Real-Ip: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nVia: 1.1 evil\r\nX-Original-URL: /evil\r\n\
    X-Rewrite-URL: /evil\r\nX-HTTP-Method-Override: DELETE\r\n\
    X-Forwarded-Tls-Client-Cert: evil\r\nX-Forwarded-Client-Cert: evil\r\n";

fn is_clean(echo: &weft_testkit::Echo) {
    for (name, value) in &echo.headers {
        let has =
            ["10.0.0.1", "evil", "DELETE", "https", "443"].iter().find(|bad| value.contains(**bad));
        assert!(has.is_none(), "{name}: {value}");
    }
    assert_eq!(echo.headers_named("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(echo.headers_named("x-real-ip").collect::<Vec<_>>(), ["127.0.0.1"]);
    assert_eq!(echo.headers_named("x-forwarded-host").collect::<Vec<_>>(), ["a.test"]);
    assert_eq!(echo.headers_named("x-forwarded-proto").collect::<Vec<_>>(), ["http"]);
}

#[test]
fn forwarding_headers_of_strangers_are_replaced() {
    let (_origin, gateway) = plain(&[]);
    is_clean(&seen(&gateway, SPOOFED));
    // Doubled, and in other case.
    is_clean(&seen(
        &gateway,
        &format!("{SPOOFED}{}", SPOOFED.to_uppercase().replace("HTTPS", "https")),
    ));
    // A trusted net that the client is not in changes nothing.
    let (_origin, gateway) = plain(&["--trust-forwarded-from", "10.0.0.0/8"]);
    is_clean(&seen(&gateway, SPOOFED));
}

#[test]
fn aliases_of_forwarding_headers_are_removed() {
    let (_origin, gateway) = plain(&[]);
    for separator in ["_", ".", "~", "!"] {
        let lines: String = SPOOFED
            .lines()
            .filter(|line| line.contains('-'))
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                format!("{}:{value}\r\n", name.replace('-', separator))
            })
            .collect();
        is_clean(&seen(&gateway, &lines));
    }
    let echo = seen(&gateway, "X-Forwarded_For: 10.0.0.1\r\nx_forwarded-for: 10.0.0.1\r\n");
    is_clean(&echo);
}

#[test]
fn the_connection_header_cannot_remove_ours() {
    let (_origin, gateway) = plain(&[]);
    let names = "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-Ip, Host, close";
    let echo = seen(&gateway, &format!("Connection: {names}\r\n{SPOOFED}"));
    is_clean(&echo);
    assert_eq!(echo.host, "a.test");
}

#[test]
fn forwarding_headers_of_strangers_are_replaced_over_http2() {
    let (_origin, gateway) = plain(&[]);
    let client = H2Client::connect(gateway.web());
    for separator in ["-", "_", "."] {
        let mut request = H2Request::get("a.test", "/");
        for line in SPOOFED.lines() {
            let (name, value) = line.split_once(": ").expect("each line is a field");
            if separator == "-" || name.contains('-') {
                request = request.header(&name.to_lowercase().replace('-', separator), value);
            }
        }
        is_clean(&client.request(request).echo());
    }
}

#[test]
fn an_identity_that_a_client_claims_is_removed_whatever_it_sends() {
    let origin = RawOrigin::start("echo");
    let spec = "  basicAuth:\n    secret: users\n    headerField: X-Auth-User";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &(with_middlewares("echo:80", &[("it", spec)]) + USERS))
        .backend("echo:80", origin.addr())
        .start();
    for alias in
        ["X-Auth-User", "x-auth-user", "X_Auth_User", "X.Auth.User", "X-Auth_User", "X~Auth~User"]
    {
        for connection in ["", "Connection: X-Auth-User, X_Auth_User\r\n"] {
            let lines =
                format!("{connection}{alias}: root\r\nAuthorization: Basic dGVzdDp0ZXN0\r\n");
            let echo = seen(&gateway, &lines);
            assert_eq!(echo.header("x-auth-user"), Some("test"), "{alias}");
            assert!(
                echo.headers.iter().all(|(_, value)| value != "root"),
                "{alias}: {:?}",
                echo.headers
            );
        }
    }
}

#[test]
fn trusted_hops_are_believed() {
    let (_origin, gateway) = plain(&["--trust-forwarded-from", "127.0.0.0/8"]);
    let echo = seen(
        &gateway,
        "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.test\r\n",
    );
    assert_eq!(echo.header("x-forwarded-for"), Some("10.0.0.1, 127.0.0.1"));
    assert_eq!(echo.header("x-forwarded-proto"), Some("https"));
    assert_eq!(echo.header("x-forwarded-host"), Some("outer.test"));
    // Aliases are believed from nobody.
    let echo = seen(&gateway, "X_Forwarded_For: 10.0.0.1\r\n");
    assert_eq!(echo.header("x_forwarded_for"), None);
}

#[test]
fn trace_context_passes() {
    let (_origin, gateway) = plain(&[]);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let echo = seen(&gateway, &format!("traceparent: {parent}\r\ntracestate: a=b\r\n"));
    assert_eq!(echo.header("traceparent"), Some(parent));
    assert_eq!(echo.header("tracestate"), Some("a=b"));
}

#[test]
fn the_administration_is_not_reachable_through_the_data_port() {
    let (origin, gateway) = plain(&[]);
    let admin = gateway.admin_addr().to_string();
    for host in ["localhost", "127.0.0.1", &*admin] {
        let response = gateway.get(host, "/config");
        // It is just a host like another, and goes where the routes say.
        assert_eq!(response.echo().backend, "echo", "{host}");
    }
    assert_eq!(origin.requests().len(), 3);
}
