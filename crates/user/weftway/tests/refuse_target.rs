//! One canonical host, and what follows from one canonical path: limits, prefixes, upstreams. The
//! spellings of a path are in `refuse_paths.rs`.

use weft_testkit::documents::{ingress_route, with_middlewares};
use weft_testkit::{Gateway, H2Frames, H2Origin, Outcome, RawOrigin};

/// The same view towards an HTTP/2 origin, and in an absolute target.
#[test]
fn the_upstream_sees_the_canonical_path_whatever_it_speaks() {
    let origin = H2Origin::start("two");
    let route = ingress_route(&[("PathPrefix(`/`)", "two:80")])
        .replace("      port: 80\n", "      port: 80\n      scheme: h2c\n");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &route)
        .backend("two:80", origin.addr())
        .start();
    for (target, expected) in [
        ("/x/../y//z", "/y/z"),
        ("/%61", "/a"),
        ("http://a.test/x/%2e%2e/y?q=%61", "/y?q=%61"),
        ("http://A.TEST.:80?q", "/?q"),
    ] {
        let echo = gateway.get("a.test", target).echo();
        assert_eq!((&*echo.target, echo.version.as_str()), (expected, "HTTP/2"), "{target}");
    }
}

#[test]
fn stripping_a_prefix_leaves_a_path() {
    let origin = RawOrigin::start("echo");
    let strip = with_middlewares("echo:80", &[("strip", "  stripPrefix:\n    prefixes: [/api]\n")]);
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &strip)
        .backend("echo:80", origin.addr())
        .start();
    for (target, expected) in [
        ("/api/foo", "/foo"),
        ("/api", "/"),
        ("/api/", "/"),
        ("/api//foo", "/foo"),
        ("/api/../foo", "/foo"),
        // What is left must again be canonical: `../foo` may not climb.
        ("/api/%2e%2e/foo", "/foo"),
        ("/api/..foo", "/..foo"),
    ] {
        assert_eq!(gateway.get("a.test", target).echo().target, expected, "{target}");
    }
    for target in ["/api../foo", "/api..%2ffoo", "/api..;/foo", "/api."] {
        let response = gateway.get("a.test", target);
        let targets: Vec<String> = origin.requests().iter().map(|r| r.target.clone()).collect();
        match response.status {
            200 => {
                let target = response.echo().target;
                assert!(target.starts_with('/') && !target.contains("/../"), "{targets:?}");
                assert!(!target.starts_with("/.."), "{target}");
            }
            status => assert!(matches!(status, 400 | 404), "{target}: {status}"),
        }
    }
}

/// A host as it is written, and as the origin, the rules and the forwarding header see it.
#[test]
// long: tables of hosts
fn one_canonical_host() {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document(
            "routes.yaml",
            &ingress_route(&[("Host(`a.test`)", "echo:80"), ("Host(`a_b.test`)", "echo:80")]),
        )
        .backend("echo:80", origin.addr())
        .start();
    for (host, expected) in [
        ("a.test", "a.test"),
        ("A.Test", "a.test"),
        ("a.test.", "a.test"),
        ("a.test:80", "a.test:80"),
        ("A.TEST.:8080", "a.test:8080"),
        ("a_b.test", "a_b.test"),
        ("  a.test\t", "a.test"),
    ] {
        let echo = gateway.get(host, "/").echo();
        assert_eq!(echo.host, expected, "{host:?}");
        assert_eq!(echo.header("x-forwarded-host"), Some(expected), "{host:?}");
    }
    let before = origin.requests().len();
    for host in [
        "",
        "a.test:",
        "a.test:x",
        "a.test:0",
        "a.test:080",
        "a.test:65536",
        "a.test:80:80",
        "user@a.test",
        "user:pass@a.test",
        "a.test/admin",
        "a.test\\admin",
        "a.test?x",
        "a.test#x",
        "a..test",
        ".a.test",
        "a.test..",
        "a%2etest",
        "a test",
        "a.test,b.test",
        "a.test, b.test",
        "\u{e4}.test",
        "[::1",
        "[::1%eth0]",
        "[::1%25eth0]",
        "[fe80::1%1]",
        "[v1.x]",
        "[127.0.0.1]",
        "::1",
        ":80",
        "a.test:+80",
        "a.test:\u{1}",
    ] {
        let response = gateway.get(host, "/");
        assert_eq!(response.status, 400, "{host:?}");
        assert!(response.says_close(), "{host:?}");
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nhost: b.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
        // The target wins over nothing: where the two differ, both are refused.
        "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n",
        "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test:81/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\n\r\n",
        "GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET x:y HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test\\@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET http://a.test#@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ] {
        let mut client = gateway.client();
        let response = client.request(request);
        assert_eq!((response.status, response.says_close()), (400, true), "{request:?}");
        assert!(client.closed().is_empty(), "{request:?}");
    }
    assert_eq!(origin.requests().len(), before);
    // A host that no rule names is not found, whatever it is.
    for host in
        ["b.test", "a.test.evil.test", "xa.test", "127.0.0.1", "[::1]:80", "0x7f.1", "2130706433"]
    {
        assert_eq!(gateway.get(host, "/").status, 404, "{host}");
    }
}

#[test]
fn one_canonical_host_over_http2() {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("Host(`a.test`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .start();
    let outcome = |authority: &str, more: &[(&str, &str)]| {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &H2Frames::get(authority, "/", more), true);
        frames.outcome(1)
    };
    for (authority, more) in [
        ("A.TEST.", &[][..]),
        ("a.test", &[("host", "a.test")]),
        ("a.test:80", &[("host", "A.test")]),
    ] {
        assert_eq!(outcome(authority, more), Outcome::Status(200), "{authority} {more:?}");
        assert!(origin.requests().pop().unwrap().header("host").unwrap().starts_with("a.test"));
    }
    let before = origin.requests().len();
    for (authority, more) in [
        ("a.test", &[("host", "b.test")][..]),
        ("b.test", &[("host", "a.test")]),
        ("a.test", &[("host", "a.test"), ("host", "b.test")]),
        ("a.test:81", &[("host", "a.test")]),
        ("user@a.test", &[]),
        ("a.test/x", &[]),
        ("a test", &[]),
        ("a.test:x", &[]),
        ("[::1%25eth0]", &[]),
        ("", &[]),
    ] {
        let outcome = outcome(authority, more);
        assert!(
            outcome.is_refusal() && outcome != Outcome::Status(404),
            "{authority} {more:?}: {outcome:?}"
        );
    }
    assert_eq!(origin.requests().len(), before);
}

/// Case or spelling of the path is no way around a rate limit.
#[test]
fn a_limit_counts_every_spelling_of_a_path() {
    let origin = RawOrigin::start("echo");
    let limit = "  rateLimit:\n    average: 1\n    period: 1h\n    burst: 3\n";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &with_middlewares("echo:80", &[("limit", limit)]))
        .backend("echo:80", origin.addr())
        .start();
    let spellings = ["/x", "//x", "/./x", "/%78", "/y/../x", "http://a.test/x"];
    let statuses: Vec<u16> = spellings.iter().map(|t| gateway.get("a.test", t).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    for request in origin.requests() {
        assert_eq!(request.target, "/x");
    }
}
