//! Upstream connections: reuse, replay, health, failover of endpoints, stickiness.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weft_testkit::documents::{endpoint_slice, file_provider, ingress_route, servers, service};
use weft_testkit::{Next, RawOrigin, Reserved, wait};

use crate::common::{GET, POST, builder, shares, to_echo};

/// Lines of a load balancer that asks for `/health` often.
const HEALTH: &str = "        healthCheck:\n          path: /health\n          interval: 50ms\n          timeout: 1s\n";

/// Everything to `echo:80`, with more lines in the reference to the service (indented by six).
fn route(more: &str) -> String {
    ingress_route(&[("PathPrefix(`/`)", "echo:80")])
        .replace("      port: 80\n", &format!("      port: 80\n{more}"))
}

/// The case of the issue: an upstream that closes after a second of idleness, and gaps around a
/// second. Whoever takes a connection at the moment when it is closed must not see that.
#[test]
fn an_upstream_that_closes_when_idle_costs_no_request() {
    let origin = RawOrigin::builder("echo").idle_close(Duration::from_secs(1)).start();
    let gateway = to_echo(&origin).start();
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for index in 0..50_u64 {
            let (gateway, failures) = (&gateway, &failures);
            scope.spawn(move || {
                let mut client = gateway.client();
                for round in 0..5_u64 {
                    let request = if (index + round) % 2 == 0 { GET } else { POST };
                    let status = client.request(request).status;
                    failures.fetch_add(usize::from(status != 200), Ordering::Relaxed);
                    wait::pass(Duration::from_millis(900 + (index * 37 + round * 61) % 201));
                }
            });
        }
    });
    assert_eq!(failures.load(Ordering::Relaxed), 0);
    assert_eq!(gateway.metric("weftway_requests_total", &[("status", "5xx")]), 0.0);
}

#[test]
fn a_restarted_upstream_costs_no_request() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    for round in 0..50 {
        let request = if round % 2 == 0 { GET } else { POST };
        assert_eq!(client.request(request).status, 200, "{round}");
        origin.close_connections();
    }
}

#[test]
fn a_connection_that_ends_with_the_first_byte_is_replayed_only_if_that_is_safe() {
    let origin = RawOrigin::start("echo");
    // The second request on each connection is read, then dropped without an answer.
    origin.on("/", |x| {
        x.read_body()?;
        let before = x.requests_on_connection();
        if before > 1 {
            return Ok(Next::Reset);
        }
        x.echo()
    });
    let gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    assert_eq!(client.request(GET).status, 200);
    assert_eq!(client.request(GET).status, 200, "a GET can be sent again");
    let before = origin.requests().len();
    let status = client.request(POST).status;
    let sent = origin.requests().len() - before;
    // A POST may have been carried out, so it is sent once, whatever comes of it; on a connection
    // that nobody has used before, it succeeds.
    assert!(matches!(status, 200 | 502) && sent == 1, "{status} after {sent} tries");
}

#[test]
fn connections_are_reused() {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).start();
    for _ in 0..30 {
        assert_eq!(gateway.get("a.test", "/").status, 200);
    }
    assert_eq!(origin.connections().len(), 1);
    assert_eq!(gateway.metric("weftway_upstream_connects_total", &[]), 1.0);
    assert_eq!(gateway.metric("weftway_upstream_reuses_total", &[]), 29.0);
}

#[test]
fn a_connection_with_unread_bytes_is_not_used_again() {
    let origin = RawOrigin::start("echo");
    origin.on_raw(
        "/",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        Next::KeepAlive,
    );
    let gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.request(GET).body, b"ok");
    }
    assert_eq!(origin.connections().len(), 5);
}

#[test]
fn a_dead_endpoint_is_passed_over() {
    let alive = RawOrigin::start("alive");
    let dead = Reserved::any();
    let gateway = builder()
        .document("route.yaml", &route(""))
        .backends("echo:80", &[dead.addr(), alive.addr()])
        .start();
    let shares = shares(&gateway, 20);
    assert_eq!(shares.get("alive"), Some(&20), "{shares:?}");
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(client.request(POST).status, 200, "nothing was sent to the dead one");
    }
}

#[test]
fn active_health_checks_take_endpoints_out_and_back() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let document = file_provider(&servers("main", HEALTH, &[(a.addr(), 1), (b.addr(), 1)]));
    let gateway = builder().document("dynamic.yaml", &document).start();
    a.wait_for("a probe", |requests, _| requests.iter().any(|request| request.target == "/health"));
    a.on_status("/health", 500, "ill");
    wait::until_true("only b", || {
        let shares = shares(&gateway, 6);
        shares.get("b") == Some(&6)
    });
    a.on_status("/health", 200, "well");
    wait::until_true("both again", || shares(&gateway, 6).len() == 2);
}

#[test]
fn all_unhealthy_is_503() {
    let a = RawOrigin::start("a");
    a.on_status("/health", 500, "ill");
    let document = file_provider(&servers("main", HEALTH, &[(a.addr(), 1)]));
    let gateway = builder().document("dynamic.yaml", &document).start();
    gateway.wait_for_status("a.test", "/", 503);
    a.on_status("/health", 200, "well");
    gateway.wait_for_status("a.test", "/", 200);
}

#[test]
fn passive_health_checks_set_aside_who_fails() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    a.on_status("/", 500, "broken");
    let more =
        "      passiveHealthCheck:\n        failureWindow: 3s\n        maxFailedAttempts: 2\n";
    let gateway = builder()
        .document("route.yaml", &route(more))
        .backends("echo:80", &[a.addr(), b.addr()])
        .start();
    wait::until_true("only b", || shares(&gateway, 6).get("b") == Some(&6));
    a.on("/", |x| x.echo());
    let is_back = || shares(&gateway, 6).contains_key("a");
    wait::until_true("both again", is_back);
}

#[test]
fn a_sticky_cookie_keeps_a_client_on_its_endpoint() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let more = "      sticky:\n        cookie:\n          name: lane\n          secure: true\n";
    let gateway = builder()
        .document("route.yaml", &route(more))
        .backends("echo:80", &[a.addr(), b.addr()])
        .start();
    for _ in 0..2 {
        let response = gateway.get("a.test", "/");
        let cookie = response.header("set-cookie").expect("a cookie").to_owned();
        assert!(cookie.starts_with("lane=") && cookie.contains("Secure"), "{cookie}");
        assert!(!cookie.contains("127.0.0.1"), "an address is told: {cookie}");
        let first = response.echo().backend;
        let pair = cookie.split(';').next().unwrap().to_owned();
        let get = || {
            let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {pair}\r\n\r\n");
            gateway.client().request(request)
        };
        assert!((0..6).all(|_| get().echo().backend == first));
    }
    // A cookie that names nobody is as good as none.
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nCookie: lane=nobody\r\n\r\n";
    assert_eq!(gateway.client().request(request).status, 200);
}

#[test]
fn least_request_avoids_the_busy_one() {
    let (busy, free) = (RawOrigin::start("busy"), RawOrigin::start("free"));
    let gates = [busy.hold("/"), free.hold("/")];
    let gateway = builder()
        .document("route.yaml", &route("      strategy: p2c\n"))
        .backends("echo:80", &[busy.addr(), free.addr()])
        .start();
    // While both are stuck, they get equal shares.
    let mut stuck: Vec<_> = (0..8).map(|_| gateway.client()).collect();
    for (index, client) in stuck.iter_mut().enumerate() {
        client.send(GET);
        wait::until_true("it to arrive", || busy.requests().len() + free.requests().len() > index);
    }
    assert_eq!((busy.requests().len(), free.requests().len()), (4, 4));
    gates[1].open();
    gateway.wait_metric("weftway_upstream_requests_in_flight", &[], |count| count == 4.0);
    for _ in 0..20 {
        assert_eq!(gateway.get("a.test", "/").echo().backend, "free");
    }
    assert_eq!(busy.requests().len(), 4);
    gates[0].open();
}

#[test]
fn endpoints_that_stay_keep_their_connections_over_a_change() {
    let (a, b) = (RawOrigin::start("a"), RawOrigin::start("b"));
    let slices =
        |addrs: &[std::net::SocketAddr]| service("echo", 80) + &endpoint_slice("echo", addrs);
    let gateway = builder()
        .document("route.yaml", &route(""))
        .document("slices.yaml", &slices(&[a.addr()]))
        .start();
    assert_eq!(gateway.get("a.test", "/").status, 200);
    gateway.write("slices.yaml", &slices(&[a.addr(), b.addr()]));
    wait::until_true("b", || shares(&gateway, 2).contains_key("b"));
    shares(&gateway, 10);
    assert_eq!(a.connections().len(), 1);
}
