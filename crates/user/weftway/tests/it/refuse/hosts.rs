//! One view of a host, and no request that chooses where the gateway connects to.

use weft_testkit::documents::ingress_route;
use weft_testkit::{Gateway, H2Frames, Outcome, RawOrigin};

use super::{Ask, WIRES, Wire};
use crate::common::{builder, to_echo};

/// Serves `a.test` and `a_b.test`, an address, and nothing else.
fn setup() -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let hosts = ["Host(`a.test`)", "Host(`a_b.test`)", "Host(`[2001:db8::1]`)"];
    let routes = hosts.map(|rule| (rule, "echo:80"));
    let gateway = builder()
        .document("routes.yaml", &ingress_route(&routes))
        .backend("echo:80", origin.addr())
        .start();
    (origin, gateway)
}

/// A host as it is written, and as the origin, the rules and the forwarding header see it.
const GOOD: &[(&str, &str)] = &[
    ("a.test", "a.test"),
    ("A.Test", "a.test"),
    ("a.test.", "a.test"),
    ("a.test:80", "a.test:80"),
    ("A.TEST.:8080", "a.test:8080"),
    ("a_b.test", "a_b.test"),
    ("[2001:DB8::1]:80", "[2001:db8::1]:80"),
];

const BAD: &[&str] = &[
    "",
    "a.test:",
    "a.test:x",
    "a.test:port",
    "a.test:0",
    "a.test:080",
    "a.test:+80",
    "a.test:65536",
    "a.test:80:80",
    "a.test:\u{1}",
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
    "[not]",
    "::1",
    ":80",
];

/// Row: Host with userinfo, port text, slash, trailing dot, underscore, IPv6 zone. Over both
/// versions.
#[test]
fn one_canonical_host() {
    let (origin, gateway) = setup();
    for wire in WIRES {
        for (host, expected) in GOOD {
            let outcome = wire.outcome(&gateway, &Ask::get("/").host(host));
            assert_eq!(outcome, Outcome::Status(200), "{wire:?} {host:?}");
            let request = origin.requests().pop().unwrap();
            assert_eq!(request.header("host"), Some(*expected), "{wire:?} {host:?}");
            assert_eq!(request.header("x-forwarded-host"), Some(*expected), "{wire:?} {host:?}");
        }
        origin.forget();
        for host in BAD {
            wire.check_refused(&gateway, &Ask::get("/").host(host), 400);
        }
        // A host that no rule names is not found, whatever it is.
        for host in [
            "b.test",
            "a.test.evil.test",
            "xa.test",
            "127.0.0.1",
            "[::1]:80",
            "0x7f.1",
            "2130706433",
        ] {
            let outcome = wire.outcome(&gateway, &Ask::get("/").host(host));
            assert_eq!(outcome, Outcome::Status(404), "{wire:?} {host:?}");
        }
        assert!(origin.requests().is_empty(), "{wire:?}");
    }
    // Blanks around a value are not part of it.
    assert_eq!(gateway.get("  a.test\t", "/").echo().host, "a.test");
}

/// Row: absolute-form target whose host differs from Host; two Hosts. The target wins over nothing:
/// where the two differ, both are refused.
#[test]
fn hosts_that_can_be_read_in_two_ways() {
    let (origin, gateway) = setup();
    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nhost: b.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
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
    assert!(origin.requests().is_empty());
    for (target, host) in [("http://a.test/x?y", "a.test"), ("HTTP://A.Test/x?y", "a.test")] {
        let echo = gateway.get(host, target).echo();
        assert_eq!((&*echo.host, &*echo.target), ("a.test", "/x?y"), "{target} {host}");
    }
}

/// Row: `:authority` differing from host.
#[test]
fn authorities_that_can_be_read_in_two_ways() {
    let (origin, gateway) = setup();
    let ask = |authority: &str, hosts: &[&'static str]| {
        Ask::get("/").host(authority).fields(hosts.iter().map(|host| ("host", *host)))
    };
    for (authority, host) in [("a.test", "a.test"), ("a.test:80", "A.test")] {
        let outcome = Wire::Http2.outcome(&gateway, &ask(authority, &[host]));
        assert_eq!(outcome, Outcome::Status(200), "{authority} {host}");
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.header("host"), Some(authority));
    }
    origin.forget();
    for (authority, hosts) in [
        ("a.test", &["b.test"][..]),
        ("b.test", &["a.test"]),
        ("a.test:81", &["a.test"]),
        ("a.test", &["a.test", "b.test"]),
    ] {
        Wire::Http2.check_refused(&gateway, &ask(authority, hosts), 400);
    }
    assert!(origin.requests().is_empty());
}

/// Row: SSRF by Host and `X-Forwarded-Host`: loopback, link-local metadata address, IPv6-mapped. A
/// host is looked up in the routes, and nowhere else.
#[test]
fn no_request_chooses_where_the_gateway_connects_to() {
    let (origin, inside) = (RawOrigin::start("echo"), RawOrigin::start("inside"));
    let gateway = to_echo(&origin).start();
    let addr = inside.addr().to_string();
    for wire in WIRES {
        for ask in [
            Ask::get("/").host(&addr),
            Ask::get("/").host("169.254.169.254"),
            Ask::get("/").host("[::ffff:127.0.0.1]"),
            Ask::get("/").field("x-forwarded-host", &addr),
            Ask::get("/").field("x-original-host", &addr).field("x-host", &addr),
            Ask::get("/").field("forwarded", &format!("host=\"{addr}\"")),
        ] {
            assert_eq!(wire.echo(&gateway, &ask).backend, "echo", "{wire:?} {ask:?}");
        }
    }
    let absolute = gateway.get(&addr, &format!("http://{addr}/"));
    assert_eq!(absolute.echo().backend, "echo");
    let connect = format!("CONNECT {addr} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    assert_eq!(gateway.client().request(connect).status, 501);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let block = H2Frames::block(&[(":method", "CONNECT"), (":authority", &addr)]);
    frames.headers(1, &block, false);
    assert_ne!(frames.outcome(1), Outcome::Status(200));
    assert!(inside.connections().is_empty());
}

/// Row: admin port reachable through the data port by Host or loopback rewriting. It is just a host
/// like another, and goes where the routes say.
#[test]
fn the_administration_is_not_reachable_through_the_data_port() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    let admin = gateway.admin_addr().to_string();
    for wire in WIRES {
        for host in ["localhost", "127.0.0.1", &*admin] {
            let echo = wire.echo(&gateway, &Ask::get("/config").host(host));
            assert_eq!(echo.backend, "echo", "{wire:?} {host}");
        }
    }
    assert_eq!(origin.requests().len(), 6);
}
