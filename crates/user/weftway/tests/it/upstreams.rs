//! What clients see when upstreams misbehave: time-outs, breaks, retries, failover, shares, mirrors.
//! Reuse and replay of connections are in `pools.rs`.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use weft_testkit::documents::{
    endpoint_slice, file_provider, ingress_route, servers, service, with_middlewares,
};
use weft_testkit::{Certificates, Gate, H2Origin, Next, RawClient, RawOrigin, Reserved, wait};

use crate::common::{GET, POST, builder, shares, through, to_echo};

/// Everything to `echo:80`, called through a transport with these time-outs (indented by four).
fn with_transport(timeouts: &str) -> String {
    ingress_route(&[("PathPrefix(`/`)", "echo:80")])
        .replace("      port: 80\n", "      port: 80\n      serversTransport: mine\n")
        + "---\napiVersion: traefik.io/v1alpha1\nkind: ServersTransport\nmetadata:\n  name: mine\nspec:\n  \
           forwardingTimeouts:\n"
        + timeouts
}

/// An address at which connecting hangs: its queue of connections is full, and nobody accepts.
struct Tarpit {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Tarpit {
    fn new() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
            queue.push(stream);
            assert!(queue.len() < 10_000, "the queue never fills");
        }
        Self { listener: socket, _queue: queue }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

#[test]
fn an_upstream_that_takes_no_connection_is_504() {
    let (tarpit, alive) = (Tarpit::new(), RawOrigin::start("alive"));
    let document = with_transport("    dialTimeout: 300ms\n");
    let gateway =
        builder().document("all.yaml", &document).backend("echo:80", tarpit.addr()).start();
    assert_eq!(gateway.client().request(POST).status, 504);
    let line = gateway.log_entry("reason", "connect_timeout");
    assert_eq!(line["upstream"], tarpit.addr().to_string());
    assert!(line["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{line}");
    // With another endpoint, nothing was sent and nothing is lost.
    let gateway = builder()
        .document("all.yaml", &document)
        .backends("echo:80", &[tarpit.addr(), alive.addr()])
        .start();
    for _ in 0..4 {
        assert_eq!(gateway.client().request(POST).echo().backend, "alive");
    }
    assert_eq!(alive.requests().len(), 4);
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504_and_is_not_asked_twice() {
    let origin = RawOrigin::start("echo");
    origin.hang("/");
    let gateway = builder()
        .document("all.yaml", &with_transport("    responseHeaderTimeout: 300ms\n"))
        .backend("echo:80", origin.addr())
        .start();
    let mut client = gateway.client();
    for request in [GET, POST] {
        assert_eq!(client.request(request).status, 504);
    }
    origin.wait_for("the ends", |requests, all| {
        requests.len() == 2 && all.iter().all(|connection| connection.closed_by_peer)
    });
    assert_eq!(
        gateway.log_entry("reason", "upstream_timeout")["upstream"],
        origin.addr().to_string()
    );
    assert_eq!(origin.requests().len(), 2);
}

/// On a connection of its own nothing is stale: what breaks there is told, not repeated.
#[test]
fn a_new_connection_that_breaks_is_502_at_once() {
    for next in [Next::Close, Next::Reset] {
        let origin = RawOrigin::start("echo");
        origin.on("/", move |x| {
            x.read_body()?;
            Ok(next)
        });
        let gateway = to_echo(&origin).start();
        let mut client = gateway.client();
        for request in [GET, POST] {
            assert_eq!(client.request(request).status, 502, "{next:?}");
        }
        assert_eq!(origin.requests().len(), 2, "{next:?}");
        assert_eq!(gateway.log_entry("reason", "upstream_reset")["attempts"], 1, "{next:?}");
    }
}

/// Every POST has a name of its own. An upstream that closes after 60 ms of idleness loses some of
/// them to the race between its close and the request; none may arrive twice.
#[test]
fn no_post_is_ever_sent_twice() {
    let origin = RawOrigin::builder("echo").idle_close(Duration::from_millis(60)).start();
    let gateway = to_echo(&origin).start();
    let ok = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client_id in 0..16_u64 {
            let (gateway, ok) = (&gateway, &ok);
            scope.spawn(move || {
                let mut client = gateway.client();
                for round in 0..40_u64 {
                    let request = format!(
                        "POST /{client_id}-{round} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody"
                    );
                    let status = client.request(request).status;
                    assert!(matches!(status, 200 | 502), "{status}");
                    ok.fetch_add(usize::from(status == 200), std::sync::atomic::Ordering::Relaxed);
                    wait::pass(Duration::from_millis(50 + (client_id * 7 + round * 3) % 21));
                }
            });
        }
    });
    let mut seen = BTreeMap::new();
    for request in origin.requests() {
        *seen.entry(request.target).or_insert(0) += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let ok = ok.into_inner();
    // What is lost to the race is rare once its length is known.
    assert!(ok >= 16 * 40 - 16, "{} of {} were lost", 16 * 40 - ok, 16 * 40);
}

#[test]
fn an_announced_timeout_is_kept() {
    let origin = RawOrigin::start("echo");
    origin.on_raw(
        "/",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=5\r\nContent-Length: 2\r\n\r\nok",
        Next::KeepAlive,
    );
    let gateway = to_echo(&origin).start();
    let mut client = gateway.client();
    client.request(GET);
    client.request(GET);
    assert_eq!(origin.connections().len(), 1);
    // The origin would still take it, but said that it would not.
    wait::pass(Duration::from_millis(1_100));
    client.request(GET);
    assert_eq!(origin.connections().len(), 2);
}

#[test]
fn tls_upstreams_that_close_when_idle_cost_no_request() {
    let authority = Certificates::new("inner");
    let leaf = authority.leaf(&["inner.test"]);
    let origin =
        RawOrigin::builder("secure").tls(&leaf).idle_close(Duration::from_millis(300)).start();
    let document = ingress_route(&[("PathPrefix(`/`)", "echo:80")]).replace(
        "      port: 80\n",
        "      port: 80\n      scheme: https\n      serversTransport: any\n",
    ) + "---\napiVersion: traefik.io/v1alpha1\nkind: ServersTransport\nmetadata:\n  name: any\nspec:\n  \
           insecureSkipVerify: true\n";
    let gateway =
        builder().document("all.yaml", &document).backend("echo:80", origin.addr()).start();
    let mut client = gateway.client();
    for (round, pause) in [0, 350, 0, 310, 0, 280, 290, 300, 320].into_iter().enumerate() {
        wait::pass(Duration::from_millis(pause));
        let request = if round % 3 == 2 { POST } else { GET };
        assert_eq!(client.request(request).status, 200, "{round}");
    }
}

#[test]
fn retries_count_from_the_first_try_and_go_elsewhere() {
    let (bad, good) = (RawOrigin::start("bad"), RawOrigin::start("good"));
    bad.on("/", |_| Ok(Next::Reset));
    let retry = |attempts: u32| {
        let spec = format!("  retry:\n    attempts: {attempts}\n    initialInterval: 1ms\n");
        with_middlewares("echo:80", &[("again", &spec)])
    };
    // Nowhere else to go: three tries in all, and the answer of the last.
    let gateway = builder().document("all.yaml", &retry(3)).backend("echo:80", bad.addr()).start();
    assert_eq!(gateway.client().request(GET).status, 502);
    assert_eq!(bad.requests().len(), 3);
    gateway.wait_metric("weftway_upstream_retries_total", &[], |count| count == 2.0);
    assert_eq!(gateway.log_entry("reason", "upstream_reset")["attempts"], 3);
    // A POST that was sent is not sent again.
    assert_eq!(gateway.client().request(POST).status, 502);
    assert_eq!(bad.requests().len(), 4);
    // Somewhere else to go: no client sees the bad one.
    let gateway = builder()
        .document("all.yaml", &retry(2))
        .backends("echo:80", &[bad.addr(), good.addr()])
        .start();
    assert_eq!(shares(&gateway, 8).get("good"), Some(&8));
    // One try is none again.
    let before = bad.requests().len();
    let gateway = builder().document("all.yaml", &retry(1)).backend("echo:80", bad.addr()).start();
    assert_eq!(gateway.client().request(GET).status, 502);
    assert_eq!(bad.requests().len(), before + 1);
}

/// A body that is kept goes out whole with each try; one that is too large to be kept is tried once.
#[test]
fn bodies_are_repeated_whole_or_not_at_all() {
    let origin = RawOrigin::start("echo");
    origin.on("/", |x| {
        if x.request().header("expect").is_some() {
            x.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        x.read_body()?;
        if x.number() % 3 < 2 {
            return Ok(Next::Reset);
        }
        x.echo()
    });
    let spec = "  retry:\n    attempts: 3\n    initialInterval: 1ms\n";
    let gateway = through(&origin, &[("again", spec)]).start();
    let small: Vec<u8> = (0..1 << 20).map(|index| (index * 7 + index / 251) as u8).collect();
    let chunked = [b"100000\r\n", &small[..], b"\r\n0\r\n\r\n"].concat();
    for (framing, body) in
        [("Content-Length: 1048576", &small), ("Transfer-Encoding: chunked", &chunked)]
    {
        let before = origin.requests().len();
        let mut client = gateway.client();
        // The client waits until the origin asks for the body.
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
        ));
        assert_eq!(client.head().status, 100, "{framing}");
        client.send(body);
        assert_eq!(client.response().echo().body_bytes, small.len(), "{framing}");
        let tries = origin.requests().split_off(before);
        assert_eq!(tries.len(), 3, "{framing}");
        assert!(tries.iter().all(|one| one.body == small), "{framing}: a body is not whole");
    }
    let large = vec![b'x'; 12 << 20];
    let before = origin.requests().len();
    let mut client = gateway.client();
    client
        .send(format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", large.len()));
    client.send(&large);
    assert_eq!(client.response().status, 502);
    assert_eq!(origin.requests().len(), before + 1);
}

/// An answer that has begun is never repeated, whatever becomes of it.
#[test]
fn a_retry_does_not_repeat_what_the_client_has_seen_the_start_of() {
    let (origin, gate) = (RawOrigin::start("echo"), Gate::new());
    let held = gate.clone();
    origin.on("/", move |x| {
        x.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")?;
        x.wait(&held);
        Ok(Next::Reset)
    });
    let spec = "  retry:\n    attempts: 5\n    initialInterval: 1ms\n";
    let gateway = through(&origin, &[("again", spec)]).start();
    let mut client = gateway.client();
    client.send(GET);
    assert_eq!(client.head().status, 200);
    gate.open();
    assert_eq!(client.closed(), b"half");
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(gateway.log_entry("reason", "upstream_reset")["status"], 200);
}

#[test]
fn servers_share_by_weight_in_turn() {
    let (a, b, none) = (RawOrigin::start("a"), RawOrigin::start("b"), RawOrigin::start("none"));
    let gateway = builder()
        .document(
            "dynamic.yaml",
            &file_provider(&servers("main", "", &[(a.addr(), 3), (b.addr(), 1), (none.addr(), 0)])),
        )
        .start();
    // Exactly, and mixed: no four requests in a row go to one of them.
    let mut order = Vec::new();
    for _ in 0..16 {
        order.push(gateway.get("a.test", "/").echo().backend);
    }
    assert_eq!(order.iter().filter(|who| *who == "a").count(), 12, "{order:?}");
    assert!(order.windows(4).all(|four| four.iter().any(|who| who == "b")), "{order:?}");
    assert!(none.requests().is_empty());
}

#[test]
fn failover_follows_the_health_of_the_first() {
    let (first, second) = (RawOrigin::start("first"), RawOrigin::start("second"));
    let check = "        healthCheck:\n          path: /health\n          interval: 50ms\n          timeout: 1s\n";
    let services = "    main:\n      failover:\n        service: first\n        fallback: second\n"
        .to_owned()
        + &servers("first", check, &[(first.addr(), 1)])
        + &servers("second", "", &[(second.addr(), 1)]);
    let gateway = builder().document("dynamic.yaml", &file_provider(&services)).start();
    first.wait_for("a probe", |requests, _| {
        requests.iter().any(|request| request.target == "/health")
    });
    let goes_to = |name: &str| wait::until_true(name, || shares(&gateway, 3).get(name) == Some(&3));
    goes_to("first");
    first.on_status("/health", 500, "ill");
    goes_to("second");
    first.on_status("/health", 200, "well");
    goes_to("first");
}

#[test]
fn a_mirror_costs_the_client_nothing() {
    let (main, mirror) = (RawOrigin::start("main"), RawOrigin::start("mirror"));
    let gate = Gate::new();
    let held = gate.clone();
    mirror.on("/", move |x| {
        x.read_body()?;
        x.wait(&held);
        Ok(Next::Reset)
    });
    let gone = Reserved::any();
    let services = "    main:\n      mirroring:\n        service: live\n        maxBodySize: 10\n        mirrors:\n        \
                    - name: copy\n          percent: 100\n        - name: dead\n          percent: 100\n"
        .to_owned()
        + &servers("live", "", &[(main.addr(), 1)])
        + &servers("copy", "", &[(mirror.addr(), 1)])
        + &servers("dead", "", &[(gone.addr(), 1)]);
    let gateway = builder().document("dynamic.yaml", &file_provider(&services)).start();
    let mut client = gateway.client();
    // The copy is not answered, and nobody waits for it.
    assert_eq!(client.request(POST).echo().backend, "main");
    assert_eq!(client.request(GET).echo().backend, "main");
    mirror.wait_for("the copies", |requests, _| {
        requests.len() == 2 && requests.iter().any(|request| request.body == b"body")
    });
    gate.open();
    // A body beyond the bound is for the first one only.
    let long =
        "POST /long HTTP/1.1\r\nHost: a.test\r\nContent-Length: 20\r\n\r\n01234567890123456789";
    assert_eq!(client.request(long).echo().body_bytes, 20);
    assert_eq!(client.request("GET /last HTTP/1.1\r\nHost: a.test\r\n\r\n").echo().backend, "main");
    mirror.wait_for("the last copy", |requests, _| {
        requests.iter().any(|request| request.target == "/last")
    });
    assert!(mirror.requests_for("/long").is_empty());
    assert_eq!(main.requests().len(), 4);
}

#[test]
fn an_h2_upstream_that_is_gone_is_502_and_comes_back() {
    let nowhere = Reserved::any();
    let document = ingress_route(&[("PathPrefix(`/`)", "two:80")])
        .replace("      port: 80\n", "      port: 80\n      scheme: h2c\n");
    let gateway =
        builder().document("all.yaml", &document).backend("two:80", nowhere.addr()).start();
    assert_eq!(gateway.get("a.test", "/").status, 502);
    // What speaks HTTP/1.1 where HTTP/2 was promised is no answer either.
    let origin = RawOrigin::start("one");
    let gateway =
        builder().document("all.yaml", &document).backend("two:80", origin.addr()).start();
    let status = gateway.get("a.test", "/").status;
    assert!(matches!(status, 502 | 504), "{status}");
    // Streams that break take nobody else with them.
    let origin = H2Origin::start("two");
    let gateway =
        builder().document("all.yaml", &document).backend("two:80", origin.addr()).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.request("GET /reset HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 502);
        assert_eq!(client.request(GET).echo().backend, "two");
    }
    assert_eq!(origin.connections(), 1);
}

/// What is behind an upstream of HTTP/2 may speak HTTP/1.1, and not know chunks.
#[test]
fn the_length_of_a_body_is_known_to_an_h2_upstream() {
    let document = ingress_route(&[("PathPrefix(`/`)", "two:80")])
        .replace("      port: 80\n", "      port: 80\n      scheme: h2c\n");
    let origin = H2Origin::start("two");
    let gateway =
        builder().document("all.yaml", &document).backend("two:80", origin.addr()).start();
    let mut client = gateway.client();
    let length = |head: &str, body: &str, client: &mut RawClient| {
        let request = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{head}\r\n\r\n{body}");
        let echo = client.request(request).echo();
        assert_eq!(echo.body.as_deref(), Some("body"));
        echo.header("content-length").map(str::to_owned)
    };
    assert_eq!(length("Content-Length: 4", "body", &mut client).as_deref(), Some("4"));
    let chunks = "4\r\nbody\r\n0\r\n\r\n";
    assert_eq!(length("Transfer-Encoding: chunked", chunks, &mut client), None);
}

/// The client's upload goes on while the upstream has answered and is gone.
#[test]
fn an_upstream_that_leaves_during_an_upload_is_reported_as_its_own_fault() {
    let origin = RawOrigin::start("echo");
    origin.on("/", |x| {
        x.read_piece()?;
        Ok(Next::Reset)
    });
    let gateway = to_echo(&origin).start();
    let mut client = RawClient::connect(gateway.web());
    client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10000000\r\n\r\n");
    let piece = vec![b'x'; 64 << 10];
    while client.try_send(&piece).is_ok() {
        if origin.connections().iter().any(|connection| connection.is_closed) {
            break;
        }
    }
    assert_eq!(client.response().status, 502);
    assert_eq!(gateway.log_entry("reason", "upstream_reset")["attempts"], 1);
    assert_eq!(gateway.metric("weftway_request_failures_total", &[("reason", "client_gone")]), 0.0);
}

/// The service `echo` with a share that grows, and these endpoints.
fn growing(annotations: &str, origins: &[&RawOrigin]) -> String {
    let addrs: Vec<SocketAddr> = origins.iter().map(|origin| origin.addr()).collect();
    let service = service("echo", 80)
        .replace("metadata:\n", &format!("metadata:\n  annotations:\n    {annotations}\n"));
    format!("{service}{}", endpoint_slice("echo", &addrs))
}

#[test]
fn a_new_endpoint_gets_a_small_share_at_first() {
    let check = |annotations: &str, arguments: &[&str], share: std::ops::RangeInclusive<usize>| {
        let (old, new) = (RawOrigin::start("old"), RawOrigin::start("new"));
        let gateway = builder()
            .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
            .document("echo.yaml", &growing(annotations, &[&old]))
            .args(arguments)
            .start();
        assert_eq!(shares(&gateway, 2), BTreeMap::from([("old".to_owned(), 2)]));
        let before = gateway.generation();
        gateway.write("echo.yaml", &growing(annotations, &[&old, &new]));
        gateway.wait_generation_after(before);
        let shares = shares(&gateway, 110);
        assert_eq!(shares.values().sum::<usize>(), 110);
        assert!(share.contains(&shares["new"]), "{annotations}, {arguments:?}: {shares:?}");
    };
    // A tenth of an endpoint's share is one of eleven, and hardly more within the test.
    check("weftway.io/slow-start: 24h", &[], 9..=12);
    check("example.test/none: ''", &["--slow-start", "24h"], 9..=12);
    check("example.test/none: ''", &[], 54..=56);
    check("weftway.io/slow-start: 0s", &["--slow-start", "24h"], 54..=56);
}

#[test]
fn retries_are_bounded_by_a_share_of_requests() {
    const REQUESTS: usize = 60;
    let middleware = "  retry:\n    attempts: 4\n    status: ['503']";
    let sent = |budget: &str| {
        let origin = RawOrigin::start("echo");
        origin.on("/", |x| {
            x.respond(503, &[], "busy")?;
            Ok(Next::KeepAlive)
        });
        let gateway =
            through(&origin, &[("it", middleware)]).args(&["--retry-budget", budget]).start();
        let mut client = gateway.client();
        for _ in 0..REQUESTS {
            let response = client.request(GET);
            assert_eq!((response.status, &*response.body), (503, &b"busy"[..]));
        }
        (gateway, origin.requests().len())
    };
    let labels = [("backend", "default/echo:80")];
    let (gateway, count) = sent("off");
    assert_eq!(count, 4 * REQUESTS);
    assert_eq!(gateway.metric("weftway_upstream_retries_denied_total", &labels), 0.0);
    // Ten a second are always there, so that little traffic is retried as its policy says.
    let (gateway, count) = sent("0");
    assert!((REQUESTS + 10..3 * REQUESTS).contains(&count), "{count}");
    let denied = gateway.metric("weftway_upstream_retries_denied_total", &labels);
    assert!(denied > 0.0);
    let spent = "not sent again: the retry budget is spent (default/echo:80)";
    gateway.log_line("the reason", |line| line.contains(spent));
}
