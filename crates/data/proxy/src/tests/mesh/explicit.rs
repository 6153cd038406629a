//! Applications that use the proxy as a forward proxy.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weft_model::mesh::Protocol;

use super::super::harness::{
    Http, Origin, Proxy, TcpApp, endpoint, entry, read_exactly, run_bounded, service, unknown,
};
use super::{PAYMENTS, PAYMENTS_ADDR, authority, callee};

/// Sends a request whose answer ends with the connection, and reads that.
async fn ask(proxy: &Proxy, request: &str) -> String {
    let mut stream = TcpStream::connect(proxy.addrs["explicit"]).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A tunnel, once it is open.
async fn tunnel(proxy: &Proxy, target: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(proxy.addrs["explicit"]).await.unwrap();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    if head.starts_with("HTTP/1.1 200 ") { Ok(stream) } else { Err(head) }
}

#[test]
fn requests_go_to_the_services_they_name() {
    run_bounded(async {
        let authority = authority();
        let app = Origin::echo(Http::One).await;
        let theirs = callee(&authority, "payments").await;
        let payments =
            service(PAYMENTS, PAYMENTS_ADDR, Protocol::Http, &[endpoint(app.addr, Some(&theirs))]);
        let ours = Proxy::start(&authority, "front", &[payments, unknown()], &[]).await;
        let answer = ask(
            &ours,
            "POST http://payments/pay HTTP/1.1\r\nHost: payments\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\nmoney",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("money"), "{answer}");
        assert_eq!(app.requests(), ["POST /pay"]);
        assert!(app.field(0, "x-forwarded-client-cert").is_some());
        // What the mesh does not know, by address.
        let other = Origin::echo(Http::One).await;
        let request = format!(
            "GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n",
            other.addr
        );
        assert!(ask(&ours, &request).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(ours.metric("weftway_external_requests_total{host=\"127.0.0.1\"}"), 1.0);
        // Itself.
        let own = ours.addrs["explicit"];
        let request =
            format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n");
        assert!(ask(&ours, &request).await.starts_with("HTTP/1.1 421 "));
        // What the system knows.
        let port = other.addr.port();
        let request = format!(
            "GET http://localhost:{port}/ HTTP/1.1\r\nHost: localhost:{port}\r\n\
             Connection: close\r\n\r\n"
        );
        assert!(ask(&ours, &request).await.starts_with("HTTP/1.1 200 "));
        let request = "CONNECT payments HTTP/1.1\r\nHost: payments\r\n\r\n";
        assert!(ask(&ours, request).await.starts_with("HTTP/1.1 400 "));
    });
}

#[test]
fn tunnels_lead_to_whoever_begins() {
    run_bounded(async {
        let authority = authority();
        let app = TcpApp::start("220 ready\r\n").await;
        let theirs = callee(&authority, "payments").await;
        let payments = service(
            PAYMENTS,
            PAYMENTS_ADDR,
            Protocol::Detect,
            &[endpoint(app.addr, Some(&theirs))],
        );
        let ours = Proxy::start(&authority, "front", &[payments], &[]).await;
        let mut stream = tunnel(&ours, "payments:80").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 11).await, "220 ready\r\n");
        stream.write_all(b"EHLO").await.unwrap();
        assert_eq!(read_exactly(&mut stream, 4).await, "EHLO");
        app.stop().await;
        let refused = tunnel(&ours, "payments:80").await.unwrap_err();
        assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
    });
}

#[test]
fn http_in_a_tunnel_has_its_policies() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let payments =
            service(PAYMENTS, PAYMENTS_ADDR, Protocol::Detect, &[endpoint(app.addr, None)]);
        let ours = Proxy::start(&authority(), "front", &[payments], &[]).await;
        let mut stream = tunnel(&ours, "payments:80").await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: payments\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let route = "weftway_requests_total{route=\"outbound/payments.shop.svc.cluster.local\",status=\"2xx\"}";
        assert_eq!(ours.metric(route), 1.0);
    });
}

#[test]
fn services_are_asked_for_here_too() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let services = [entry(PAYMENTS, PAYMENTS_ADDR)];
        let mut ours = Proxy::start(&authority(), "front", &[], &services).await;
        let addr = ours.addrs["explicit"];
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request =
            b"GET http://payments/ HTTP/1.1\r\nHost: payments\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        assert!(ours.demanded.recv().await.is_some());
        let payments =
            service(PAYMENTS, PAYMENTS_ADDR, Protocol::Http, &[endpoint(app.addr, None)]);
        ours.apply(2, &[payments], &services).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    });
}
