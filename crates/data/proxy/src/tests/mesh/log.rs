//! What the access log says of connections that are not HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_model::backend::Endpoint;
use weft_model::mesh::{Mtls, Peer, Protocol};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_runtime::time;
use weft_testkit::Reserved;

use super::super::harness::{
    Destined, Proxy, TcpApp, endpoint, entry, inbound, is_reset, make_time_fly, make_time_walk,
    read_exactly, run, run_bounded, service,
};
use super::{PAYMENTS, PAYMENTS_ADDR, authority, callee};

const CALLER: &str = "spiffe://cluster.local/ns/shop/sa/front";
const CALLEE: &str = "spiffe://cluster.local/ns/shop/sa/payments";

fn payments(protocol: Protocol, endpoints: &[Endpoint]) -> Destined {
    service(PAYMENTS, PAYMENTS_ADDR, protocol, endpoints)
}

async fn caller(destined: Destined) -> Proxy {
    Proxy::start(&authority(), "front", &[destined], &[]).await
}

/// The line of the one connection that the test has made.
#[track_caller]
fn check(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.split(' ').any(|field| field.starts_with(part)), "{part} is not in {line}");
    }
}

/// Breaks a connection of our side.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// A server that does so with whatever it accepts, once something was said.
async fn breaking_app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    weft_runtime::task::spawn("app", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 16]).await;
            reset(stream);
        }
    });
    addr
}

#[test]
fn each_end_of_a_connection_has_a_line() {
    run_bounded(async {
        let authority = authority();
        let app = TcpApp::start("220 ready\r\n").await;
        let theirs = callee(&authority, "payments").await;
        let destined = payments(Protocol::Detect, &[endpoint(app.addr, Some(&theirs))]);
        let ours = Proxy::start(&authority, "front", &[destined], &[]).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        let client = stream.local_addr().unwrap();
        read_exactly(&mut stream, 11).await;
        stream.write_all(b"QUIT\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        let line = ours.logged("scheme=tcp").await;
        check(
            &line,
            &[
                &format!("client={client}"),
                "listener=outbound/payments",
                "service=payments.shop.svc.cluster.local",
                "destination=10.78.0.1:80",
                "protocol=tcp_server_first",
                "detection_us=",
                "reason=closed",
                &format!("upstream={}", app.addr),
                &format!("upstream_peer={CALLEE}"),
                "duration_us=",
                "received_bytes=6",
                // The greeting, and the echo.
                "sent_bytes=17",
            ],
        );
        assert!(!line.contains(" peer=") && !line.contains(" detail="), "{line}");
        let line = theirs.logged("scheme=tcp").await;
        check(
            &line,
            &[
                "service=shop/cart-1",
                &format!("peer={CALLER}"),
                &format!("destination={}", app.addr),
                "reason=closed",
                "received_bytes=6",
                "sent_bytes=17",
            ],
        );
    });
}

#[test]
fn who_broke_a_connection_is_said() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let ours = caller(payments(Protocol::Detect, &[endpoint(app.addr, None)])).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        stream.write_all(b"\x01\x02").await.unwrap();
        read_exactly(&mut stream, 2).await;
        reset(stream);
        let line = ours.logged("scheme=tcp").await;
        check(&line, &["reason=client_reset", "protocol=tcp_client_first", "received_bytes=2"]);
        assert!(line.contains(" detail="), "{line}");

        let ours = caller(payments(Protocol::Tcp, &[endpoint(breaking_app().await, None)])).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        stream.write_all(b"\x01\x02").await.unwrap();
        assert!(is_reset(&mut stream).await);
        let line = ours.logged("scheme=tcp").await;
        check(&line, &["reason=upstream_reset", "received_bytes=2", "sent_bytes=0"]);
        assert!(!line.contains("protocol="), "it was declared: {line}");
    });
}

#[test]
fn why_nobody_was_reached_is_said() {
    run_bounded(async {
        let authority = authority();
        let app = TcpApp::start("").await;
        let dead = Reserved::forever();
        let theirs = callee(&authority, "impostor").await;
        let mut impostor = endpoint(app.addr, Some(&theirs));
        let peer = Peer { addr: theirs.addrs["mesh"], identity: CALLEE.parse().unwrap() };
        impostor.peer = Some(std::sync::Arc::new(peer));
        let honest = callee(&authority, "payments").await;
        for (endpoints, reason, upstream) in [
            (vec![], "no_endpoint", None),
            (vec![endpoint(dead, None)], "connect_failed", Some(dead)),
            // The same behind another proxy, which says so.
            (vec![endpoint(dead, Some(&honest))], "connect_failed", Some(dead)),
            (vec![impostor], "identity_refused", Some(app.addr)),
        ] {
            for protocol in [Protocol::Tcp, Protocol::Detect] {
                let destined = payments(protocol, &endpoints);
                let ours = Proxy::start(&authority, "front", &[destined], &[]).await;
                let mut stream = ours.dial(PAYMENTS_ADDR).await;
                stream.write_all(b"\x01\x02").await.unwrap();
                assert!(is_reset(&mut stream).await, "{reason} {protocol:?}");
                let line = ours.logged("scheme=tcp").await;
                check(&line, &[&format!("reason={reason}"), "received_bytes=0", "sent_bytes=0"]);
                assert!(line.contains(" detail="), "{line}");
                let at = upstream.map(|addr| format!(" upstream={addr} "));
                assert!(at.is_none_or(|at| line.contains(&at)), "{line}");
            }
        }
    });
}

#[test]
fn a_server_that_does_not_answer_in_time_is_said() {
    run_bounded(async {
        // The kernel takes connections up to the backlog, and nobody takes them from it.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        let soon = Duration::from_millis(100);
        while let Ok(stream) = tokio::time::timeout(soon, TcpStream::connect(addr)).await {
            waiting.push(stream.unwrap());
        }
        let ours = caller(payments(Protocol::Tcp, &[endpoint(addr, None)])).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        stream.write_all(b"\x01\x02").await.unwrap();
        make_time_fly();
        assert!(is_reset(&mut stream).await);
        let line = ours.logged("scheme=tcp").await;
        make_time_walk();
        check(&line, &["reason=connect_timeout"]);
    });
}

#[test]
fn a_connection_on_which_nothing_moves_is_said_to_idle() {
    run(async {
        let app = TcpApp::start("").await;
        let ours = caller(payments(Protocol::Tcp, &[endpoint(app.addr, None)])).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        stream.write_all(b"\x01\x02").await.unwrap();
        read_exactly(&mut stream, 2).await;
        make_time_fly();
        let line = ours.logged("scheme=tcp").await;
        make_time_walk();
        check(&line, &["reason=idle_timeout", "received_bytes=2", "sent_bytes=2"]);
    });
}

#[test]
fn a_connection_of_bytes_ends_when_the_settings_of_its_service_say_so() {
    let minutes = |count: u64| Some(Duration::from_secs(60 * count));
    for (idle, age, reason, expected) in [
        (minutes(2), None, "reason=idle_timeout", minutes(2)),
        (None, minutes(3), "reason=too_old", minutes(3)),
        (minutes(30), minutes(3), "reason=too_old", minutes(3)),
    ] {
        run(async {
            let app = TcpApp::start("").await;
            let destined = payments(Protocol::Tcp, &[endpoint(app.addr, None)]);
            let ours = caller(destined.calling(|calling| {
                calling.pool.tcp_idle_timeout = idle;
                calling.pool.connection_age_max = age;
            }))
            .await;
            let mut stream = ours.dial(PAYMENTS_ADDR).await;
            stream.write_all(b"\x01\x02").await.unwrap();
            read_exactly(&mut stream, 2).await;
            make_time_fly();
            let start = time::now();
            let line = ours.logged("scheme=tcp").await;
            let lasted = time::now() - start;
            make_time_walk();
            check(&line, &[reason, "received_bytes=2", "sent_bytes=2"]);
            let expected = expected.unwrap();
            let margin = Duration::from_secs(30);
            assert!(lasted + margin > expected && lasted < expected + margin, "{lasted:?}");
        });
    }
}

#[test]
fn what_is_refused_has_a_line_with_the_reason() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let port = inbound(Some(app.addr.port()), Protocol::Detect);
        let strict = port.clone().change(|destination| destination.mtls = Mtls::Strict);
        let closed = port.change(|destination| {
            let detail = "AuthorizationPolicy shop/only at a.yaml:3".into();
            destination.closed = Some(Refusal { reason: Reason::PolicyUnenforceable, detail });
        });
        for (destined, reason, detail) in [
            (strict, "forbidden", "STRICT"),
            (closed, "policy_unenforceable", "AuthorizationPolicy"),
        ] {
            let proxy = caller(destined).await;
            let mut stream = proxy.dial_inbound(app.addr).await;
            stream.write_all(b"\x01\x02").await.unwrap();
            assert!(is_reset(&mut stream).await, "{reason}");
            let line = proxy.logged("scheme=tcp").await;
            check(&line, &[&format!("reason={reason}"), "service=shop/cart-1"]);
            assert!(line.contains(detail), "{line}");
        }

        let proxy =
            Proxy::start(&authority(), "front", &[], &[entry(PAYMENTS, PAYMENTS_ADDR)]).await;
        for (addr, reason) in
            [("10.1.2.3:5432", "unknown_destination"), (PAYMENTS_ADDR, "service_unlearned")]
        {
            let mut stream = proxy.dial(addr).await;
            stream.write_all(b"\x01\x02").await.unwrap();
            assert!(is_reset(&mut stream).await, "{reason}");
            let line = proxy.logged("scheme=tcp").await;
            check(&line, &[&format!("reason={reason}"), &format!("destination={addr}")]);
        }
    });
}

#[test]
fn a_client_that_says_nothing_has_a_line_unless_requests_were_expected() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let ours = caller(payments(Protocol::Tls, &[])).await;
        drop(ours.dial(PAYMENTS_ADDR).await);
        check(&ours.logged("scheme=tcp").await, &["reason=silent"]);

        let web = payments(Protocol::Http, &[endpoint(app.addr, None)]);
        let ours = caller(web).await;
        drop(ours.dial(PAYMENTS_ADDR).await);
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
        let first = ours.logged("scheme=").await;
        check(&first, &["scheme=http"]);
    });
}
