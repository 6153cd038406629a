//! What comes to a workload in plain text, and what its policy says of that.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use weft_message::h1::BodyFraming;
use weft_model::listener::Destination;
use weft_model::mesh::{Mtls, Protocol};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;

use super::super::harness::{
    Client, Http, Origin, Proxy, TcpApp, inbound, is_reset, read_exactly, run_bounded, until,
};
use super::authority;

async fn proxy(port: u16, change: impl FnOnce(&mut Destination)) -> Proxy {
    let destinations =
        [inbound(Some(port), Protocol::Detect).change(change), inbound(None, Protocol::Detect)];
    Proxy::start(&authority(), "cart", &destinations, &[]).await
}

fn closed(destination: &mut Destination) {
    let detail = "AuthorizationPolicy shop/cart is not supported".into();
    destination.closed = Some(Refusal { reason: Reason::PolicyUnenforceable, detail });
}

async fn is_closed_to_tcp(proxy: &Proxy, addr: SocketAddr) -> bool {
    let mut silent = proxy.dial_inbound(addr).await;
    let mut speaking = proxy.dial_inbound(addr).await;
    speaking.write_all(b"\x01\x02").await.unwrap();
    is_reset(&mut silent).await && is_reset(&mut speaking).await
}

#[test]
fn plain_text_is_served_where_it_may_be_and_proves_nothing() {
    for mtls in [Mtls::Permissive, Mtls::Disable] {
        for http in [Http::One, Http::Two] {
            run_bounded(async {
                let app = Origin::echo(http).await;
                let proxy = proxy(app.addr.port(), |port| port.mtls = mtls).await;
                let mut client = Client::over(http, proxy.dial_inbound(app.addr).await).await;
                let forged = [
                    ("x-forwarded-client-cert", "URI=spiffe://evil"),
                    ("l5d-client-id", "evil"),
                    ("weftway-destination", "127.0.0.1:1"),
                ];
                let call = client.begin("GET", "/", &forged, BodyFraming::None).await;
                assert_eq!(client.answer(call).await.status, 200);
                for (name, _) in forged {
                    assert_eq!(app.field(0, name), None, "{name}");
                }
            });
        }
    }
}

#[test]
fn a_request_in_disguise_does_not_reach_the_application() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let proxy = proxy(app.addr.port(), |_| {}).await;
        let forged = "x-forwarded-client-cert: URI=spiffe://evil\r\n\r\n";
        let disguises =
            ["\r\n\r\nGET / HTTP/1.1\r\n", "GET x://h/ HTTP/1.1\r\n", "\u{b}GET / HTTP/1.1\n"];
        for line in disguises {
            let mut stream = proxy.dial_inbound(app.addr).await;
            stream.write_all(line.as_bytes()).await.unwrap();
            // The proxy may have closed by now.
            let _ = stream.write_all(forged.as_bytes()).await;
            assert!(is_reset(&mut stream).await, "{line:?}");
        }
        // Piece by piece, the first of which were passed on as another protocol's.
        let mut stream = proxy.dial_inbound(app.addr).await;
        stream.write_all(b"\x01 ").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 2).await, "\u{1} ");
        stream.write_all(b"/ HTTP/1.1\r\nx-forwarded-client-cert: evil\r\n\r\n").await.unwrap();
        assert!(is_reset(&mut stream).await);
        assert_eq!(proxy.refused("disguised"), 4.0);
        assert_eq!(app.seen(), b"\x01 ");
        // What merely begins with a line is not held up, and anything may come after it.
        let mut stream = proxy.dial_inbound(app.addr).await;
        stream.write_all(b"PING\r\nGET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 22).await, "PING\r\nGET / HTTP/1.1\r\n");
    });
}

#[test]
fn a_server_that_speaks_first_is_heard_inbound() {
    run_bounded(async {
        let app = TcpApp::start("+OK\r\n").await;
        let proxy = proxy(1, |_| {}).await;
        let mut stream = proxy.dial_inbound(app.addr).await;
        assert_eq!(read_exactly(&mut stream, 5).await, "+OK\r\n");
        assert_eq!(proxy.detected("inbound", "tcp_server_first"), 1.0);
    });
}

#[test]
fn strict_ports_reset_plain_text() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let other = Origin::echo(Http::One).await;
        let proxy = proxy(app.addr.port(), |port| port.mtls = Mtls::Strict).await;
        let mut stream = proxy.dial_inbound(app.addr).await;
        assert!(is_reset(&mut stream).await);
        assert_eq!(proxy.refused("plaintext"), 1.0);
        assert_eq!(app.connections(), 0);
        // That port alone.
        let mut client = Client::over(Http::One, proxy.dial_inbound(other.addr).await).await;
        assert_eq!(client.get("/").await.status, 200);
    });
}

#[test]
fn a_port_that_becomes_strict_ends_plain_connections() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let mut proxy = proxy(app.addr.port(), |_| {}).await;
        let mut client = Client::over(Http::One, proxy.dial_inbound(app.addr).await).await;
        assert_eq!(client.get("/").await.status, 200);
        let port = inbound(Some(app.addr.port()), Protocol::Detect);
        proxy.apply(2, &[port.change(|port| port.mtls = Mtls::Strict)], &[]).await;
        assert_eq!(client.get("/").await.status, 403);
        assert!(client.closed().await);
    });
}

#[test]
fn a_port_that_becomes_strict_ends_what_runs_in_plain_text() {
    for http in [Http::One, Http::Two] {
        run_bounded(async {
            let app = Origin::echo(http).await;
            let mut proxy = proxy(app.addr.port(), |_| {}).await;
            let mut client = Client::over(http, proxy.dial_inbound(app.addr).await).await;
            let mut call = client.begin("POST", "/", &[], BodyFraming::Chunked).await;
            call.send(b"begun").await;
            assert_eq!(call.head().await.unwrap().0.status(), 200);
            let port = inbound(Some(app.addr.port()), Protocol::Detect);
            proxy.apply(2, &[port.change(|port| port.mtls = Mtls::Strict)], &[]).await;
            assert!(call.body().await.is_err());
        });
    }
    run_bounded(async {
        let app = TcpApp::start("").await;
        let mut proxy = proxy(app.addr.port(), |_| {}).await;
        let mut stream = proxy.dial_inbound(app.addr).await;
        stream.write_all(b"\x01").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 1).await, "\u{1}");
        let port = inbound(Some(app.addr.port()), Protocol::Detect);
        proxy.apply(2, &[port.change(|port| port.mtls = Mtls::Strict)], &[]).await;
        assert!(is_reset(&mut stream).await);
    });
}

#[test]
fn a_connection_that_was_silent_meets_the_policy_of_its_first_byte() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let mut proxy = proxy(app.addr.port(), |_| {}).await;
        let mut stream = proxy.dial_inbound(app.addr).await;
        until("the early connection", || app.connections() == 1).await;
        let port = inbound(Some(app.addr.port()), Protocol::Detect);
        proxy.apply(2, &[port.change(|port| port.mtls = Mtls::Strict)], &[]).await;
        stream.write_all(b"\x01\x02").await.unwrap();
        assert!(is_reset(&mut stream).await);
        assert_eq!(app.seen(), b"");
    });
}

#[test]
fn a_closed_port_says_why_to_whom_it_can() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let proxy = proxy(app.addr.port(), closed).await;
        for http in [Http::One, Http::Two] {
            let mut client = Client::over(http, proxy.dial_inbound(app.addr).await).await;
            let answer = client.get("/").await;
            let body = String::from_utf8(answer.body).unwrap();
            assert_eq!((answer.status, &*body), (503, "this route is not served: shop/cart-1\n"));
        }
        assert!(is_closed_to_tcp(&proxy, app.addr).await);
        assert_eq!(app.connections(), 0);
        assert!(proxy.refused("closed") >= 4.0);
    });
}

#[test]
fn connections_to_the_proxy_itself_are_no_loop() {
    run_bounded(async {
        let proxy = proxy(1, |_| {}).await;
        for listener in ["inbound", "outbound"] {
            // Made to the proxy, without having been captured.
            let mut stream = tokio::net::TcpStream::connect(proxy.addrs[listener]).await.unwrap();
            assert!(is_reset(&mut stream).await);
        }
        // Captured on their way to the proxy.
        let mut stream = proxy.dial(&proxy.addrs["outbound"].to_string()).await;
        assert!(is_reset(&mut stream).await);
        let mut stream = proxy.dial_inbound(proxy.addrs["mesh"]).await;
        assert!(is_reset(&mut stream).await);
        assert_eq!(proxy.refused("loop"), 4.0);
    });
}
