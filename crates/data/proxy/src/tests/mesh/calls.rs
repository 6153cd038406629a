//! From an application through both proxies to another application, and what becomes of it when
//! nobody is there.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_message::Fields;
use weft_message::h1::BodyFraming;
use weft_model::backend::Endpoint;
use weft_model::mesh::Protocol;
use weft_testkit::Reserved;

use super::super::harness::{
    Client, Http, Origin, Proxy, TcpApp, endpoint, is_reset, read_exactly, run_bounded, service,
};
use super::{PAYMENTS, PAYMENTS_ADDR, authority, callee};

const CALLER: &str = "spiffe://cluster.local/ns/shop/sa/front";
const CALLEE: &str = "spiffe://cluster.local/ns/shop/sa/payments";

async fn caller(
    authority: &weft_testkit::MeshAuthority,
    protocol: Protocol,
    endpoints: &[Endpoint],
) -> Proxy {
    let payments = service(PAYMENTS, PAYMENTS_ADDR, protocol, endpoints);
    Proxy::start(authority, "front", &[payments], &[]).await
}

#[test]
fn http_goes_through_both_proxies() {
    for (http, protocol) in [
        (Http::One, Protocol::Detect),
        (Http::One, Protocol::Http),
        (Http::Two, Protocol::Detect),
        (Http::Two, Protocol::Http),
    ] {
        run_bounded(async {
            let authority = authority();
            let app = Origin::echo(http).await;
            let theirs = callee(&authority, "payments").await;
            let ours = caller(&authority, protocol, &[endpoint(app.addr, Some(&theirs))]).await;
            let mut client = Client::over(http, ours.dial(PAYMENTS_ADDR).await).await;
            let forged = [
                ("x-forwarded-client-cert", "URI=spiffe://evil"),
                ("l5d-client-id", "evil"),
                ("weftway-destination", "192.0.2.1:1"),
                ("x-forwarded-for", "192.0.2.7"),
            ];
            for index in 0..2 {
                let mut call =
                    client.begin("POST", "/pay?n=1", &forged, BodyFraming::Length(5)).await;
                call.send(b"money").await;
                call.finish(None).await;
                let answer = client.answer(call).await;
                assert_eq!((answer.status, &*answer.body), (200, &b"money"[..]), "{http:?}");
                let field = |name| app.field(index, name);
                let caller = format!("By={CALLEE};URI={CALLER}");
                assert_eq!(field("x-forwarded-client-cert"), Some(caller));
                let linkerd = "front.shop.serviceaccount.identity.linkerd.cluster.local";
                assert_eq!(field("l5d-client-id").as_deref(), Some(linkerd));
                assert_eq!(field("weftway-destination"), None);
                assert_eq!(field("host").as_deref(), Some("a.example"));
                // What is between two applications adds no hop.
                assert_eq!(field("x-forwarded-for").as_deref(), Some("192.0.2.7"));
                assert_eq!(field("x-real-ip"), None);
            }
            assert_eq!(app.requests(), ["POST /pay?n=1", "POST /pay?n=1"]);
            assert_eq!(
                theirs.metric("weftway_connections_total"),
                theirs.metric("weftway_connections_open")
            );
        });
    }
}

#[test]
fn trailers_of_grpc_arrive() {
    for protocol in [Protocol::Detect, Protocol::Http2] {
        run_bounded(async {
            let authority = authority();
            let app = Origin::echo(Http::Two).await;
            let port = super::super::harness::inbound(Some(app.addr.port()), protocol);
            let theirs = Proxy::start(&authority, "payments", &[port], &[]).await;
            let ours = caller(&authority, protocol, &[endpoint(app.addr, Some(&theirs))]).await;
            let mut client = Client::over(Http::Two, ours.dial(PAYMENTS_ADDR).await).await;
            let fields = [("content-type", "application/grpc"), ("te", "trailers")];
            let mut call = client.begin("POST", "/Pay/One", &fields, BodyFraming::Chunked).await;
            call.send(b"message").await;
            let mut trailers = Fields::new();
            trailers.append("grpc-status", b"0").unwrap();
            call.finish(Some(&trailers)).await;
            let answer = client.answer(call).await;
            assert_eq!(answer.body, b"message");
            let trailers = answer.trailers.expect("they are passed on");
            assert_eq!(trailers.get_str("grpc-status"), Some("0"));
            assert_eq!(app.field(0, "te").as_deref(), Some("trailers"));
        });
    }
}

#[test]
fn bytes_go_through_both_proxies_whoever_begins() {
    for (greeting, protocol) in [
        ("", Protocol::Detect),
        ("220 ready\r\n", Protocol::Detect),
        ("", Protocol::Tcp),
        ("220 ready\r\n", Protocol::Tcp),
    ] {
        run_bounded(async {
            let authority = authority();
            let app = TcpApp::start(greeting).await;
            let port = super::super::harness::inbound(Some(app.addr.port()), protocol);
            let theirs = Proxy::start(&authority, "payments", &[port], &[]).await;
            let ours = caller(&authority, protocol, &[endpoint(app.addr, Some(&theirs))]).await;
            let mut stream = ours.dial(PAYMENTS_ADDR).await;
            assert_eq!(read_exactly(&mut stream, greeting.len()).await, greeting);
            stream.write_all(b"EHLO a.example\r\n").await.unwrap();
            assert_eq!(read_exactly(&mut stream, 16).await, "EHLO a.example\r\n");
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
            let outcome = if greeting.is_empty() { "tcp_client_first" } else { "tcp_server_first" };
            if protocol == Protocol::Detect {
                assert_eq!(ours.detected("outbound", outcome), 1.0);
                assert_eq!(theirs.detected("inbound", outcome), 1.0);
            }
            assert_eq!(app.connections(), 1);
        });
    }
}

#[test]
fn websockets_go_through_both_proxies() {
    run_bounded(async {
        let authority = authority();
        let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
            Upgrade: websocket\r\n\r\n";
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        weft_runtime::task::spawn("server", async move {
            loop {
                let (mut stream, _) = server.accept().await.unwrap();
                weft_runtime::task::spawn("server", async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    stream.write_all(switching.as_bytes()).await.unwrap();
                    let mut bytes = [0; 4];
                    stream.read_exact(&mut bytes).await.unwrap();
                    stream.write_all(&bytes).await.unwrap();
                });
            }
        });
        let theirs = callee(&authority, "payments").await;
        let ours = caller(&authority, Protocol::Detect, &[endpoint(addr, Some(&theirs))]).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        let request = "GET /chat HTTP/1.1\r\nHost: payments\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        stream.write_all(b"ping").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 4).await, "ping");
    });
}

#[test]
fn a_request_that_reached_no_application_goes_to_another() {
    for http in [Http::One, Http::Two] {
        run_bounded(async {
            let authority = authority();
            let app = Origin::echo(http).await;
            let dead = Reserved::forever();
            let theirs = callee(&authority, "payments").await;
            let endpoints = [endpoint(dead, Some(&theirs)), endpoint(app.addr, Some(&theirs))];
            let ours = caller(&authority, Protocol::Http, &endpoints).await;
            let mut client = Client::over(http, ours.dial(PAYMENTS_ADDR).await).await;
            for _ in 0..4 {
                assert_eq!(client.get("/").await.status, 200, "{http:?}");
            }
            let replays = "weftway_upstream_replays_total{backend=\"outbound/payments.shop.svc.cluster.local\"}";
            assert!(ours.metric(replays) >= 1.0);
        });
    }
}

#[test]
fn who_cannot_be_reached_is_named() {
    for meshed in [true, false] {
        for http in [Http::One, Http::Two] {
            run_bounded(async {
                let authority = authority();
                let dead = Reserved::forever();
                let theirs = callee(&authority, "payments").await;
                let proxy = meshed.then_some(&theirs);
                let ours = caller(&authority, Protocol::Http, &[endpoint(dead, proxy)]).await;
                let mut client = Client::over(http, ours.dial(PAYMENTS_ADDR).await).await;
                let fields = [("accept", "application/problem+json")];
                let call = client.begin("GET", "/", &fields, BodyFraming::None).await;
                let answer = client.answer(call).await;
                let body = String::from_utf8(answer.body).unwrap();
                assert_eq!(answer.status, 502, "{meshed} {http:?} {body}");
                assert!(body.contains("\"reason\":\"connect_failed\""), "{body}");
                assert!(body.contains("\"service\":\"payments.shop.svc.cluster.local\""), "{body}");
            });
        }
    }
}

#[test]
fn a_service_without_endpoints_is_named() {
    run_bounded(async {
        let authority = authority();
        let ours = caller(&authority, Protocol::Detect, &[]).await;
        let mut client = Client::over(Http::One, ours.dial(PAYMENTS_ADDR).await).await;
        let answer = client.get("/").await;
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(
            (answer.status, &*body),
            (503, "the service has no endpoint: payments.shop.svc.cluster.local\n")
        );
    });
}

#[test]
fn a_tcp_caller_that_reaches_nobody_is_reset() {
    for meshed in [true, false] {
        run_bounded(async {
            let authority = authority();
            let dead = Reserved::forever();
            let theirs = callee(&authority, "payments").await;
            let proxy = meshed.then_some(&theirs);
            for protocol in [Protocol::Tcp, Protocol::Detect] {
                let ours = caller(&authority, protocol, &[endpoint(dead, proxy)]).await;
                // One that waits for the server.
                let mut stream = ours.dial(PAYMENTS_ADDR).await;
                assert!(is_reset(&mut stream).await, "{protocol:?} {meshed}");
                // One that speaks.
                let mut stream = ours.dial(PAYMENTS_ADDR).await;
                stream.write_all(b"\x01\x02").await.unwrap();
                assert!(is_reset(&mut stream).await, "{protocol:?} {meshed}");
            }
        });
    }
}

#[test]
fn a_peer_that_cannot_prove_yet_who_it_is_says_so() {
    run_bounded(async {
        let authority = authority();
        let theirs = Proxy::unproved(&authority, "payments").await;
        let app = endpoint("127.0.0.1:1".parse().unwrap(), Some(&theirs));
        let ours = caller(&authority, Protocol::Http, &[app]).await;
        let mut client = Client::over(Http::One, ours.dial(PAYMENTS_ADDR).await).await;
        assert_eq!(client.get("/").await.status, 502);
        let line = ours.logged("reason=").await;
        assert!(line.contains("received fatal alert: InternalError"), "{line}");
        assert_eq!(theirs.refused("no_credentials"), 1.0);
    });
}

#[test]
fn a_peer_that_is_somebody_else_is_not_spoken_to() {
    run_bounded(async {
        let authority = authority();
        let app = Origin::echo(Http::One).await;
        let theirs = callee(&authority, "impostor").await;
        let mut expected = endpoint(app.addr, Some(&theirs));
        let peer = weft_model::mesh::Peer {
            addr: theirs.addrs["mesh"],
            identity: CALLEE.parse().unwrap(),
        };
        expected.peer = Some(std::sync::Arc::new(peer));
        let ours = caller(&authority, Protocol::Http, &[expected]).await;
        let mut client = Client::over(Http::One, ours.dial(PAYMENTS_ADDR).await).await;
        let answer = client.get("/").await;
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(
            (answer.status, &*body),
            (502, "the identity of the service was refused: payments.shop.svc.cluster.local\n")
        );
        assert_eq!(app.connections(), 0);
    });
}

#[test]
fn a_connection_that_breaks_looks_broken() {
    for meshed in [true, false] {
        run_bounded(async {
            let authority = authority();
            let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = server.local_addr().unwrap();
            weft_runtime::task::spawn("server", async move {
                loop {
                    let (mut stream, _) = server.accept().await.unwrap();
                    if stream.read_u8().await.is_ok() {
                        stream.set_zero_linger().unwrap();
                    }
                }
            });
            let theirs = callee(&authority, "payments").await;
            let proxy = meshed.then_some(&theirs);
            let ours = caller(&authority, Protocol::Tcp, &[endpoint(addr, proxy)]).await;
            let mut stream = ours.dial(PAYMENTS_ADDR).await;
            stream.write_all(b"x").await.unwrap();
            assert!(is_reset(&mut stream).await, "{meshed}");
        });
    }
}
