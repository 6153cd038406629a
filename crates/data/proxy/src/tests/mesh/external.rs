//! What is outside of the mesh.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_model::mesh::{IndexEntry, Location};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;

use super::super::harness::{
    Client, Http, Origin, Proxy, TcpApp, entry, is_reset, read_exactly, run_bounded, unknown, until,
};
use super::authority;

/// A ClientHello that asks for `a.example`, and no more (RFC 8446 section 4.1.2).
fn hello() -> Vec<u8> {
    let name = b"a.example";
    let length = |count: usize| (count as u16).to_be_bytes();
    let mut names = vec![0];
    names.extend(length(name.len()));
    names.extend(name);
    let mut extension = vec![0, 0];
    extension.extend(length(names.len() + 2));
    extension.extend(length(names.len()));
    extension.extend(names);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 2, 0x13, 0x01, 1, 0]);
    body.extend(length(extension.len()));
    body.extend(extension);
    let mut message = vec![1, 0];
    message.extend(length(body.len()));
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(length(message.len()));
    record.extend(message);
    record
}

#[test]
fn external_hosts_work_and_are_counted() {
    for http in [Http::One, Http::Two] {
        run_bounded(async {
            let app = Origin::echo(http).await;
            let ours = Proxy::start(&authority(), "front", &[unknown()], &[]).await;
            let mut client = Client::over(http, ours.dial(&app.addr.to_string()).await).await;
            for _ in 0..2 {
                assert_eq!(client.get("/").await.status, 200);
            }
            let series = "weftway_external_requests_total{host=\"a.example\"}";
            until("the count", || ours.metric(series) == 2.0).await;
        });
    }
}

#[test]
fn tls_passes_untouched() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let ours = Proxy::start(&authority(), "front", &[unknown()], &[]).await;
        let mut stream = ours.dial(&app.addr.to_string()).await;
        let hello = hello();
        stream.write_all(&hello).await.unwrap();
        let mut echoed = vec![0; hello.len()];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(echoed, hello);
        assert_eq!(ours.detected("outbound", "tls"), 1.0);
        assert_eq!(ours.metric("weftway_external_connections_total{host=\"a.example\"}"), 1.0);
    });
}

#[test]
fn what_is_said_to_another_forward_proxy_passes_untouched() {
    for request in [
        "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n",
        "GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
    ] {
        run_bounded(async {
            let app = TcpApp::start("").await;
            let ours = Proxy::start(&authority(), "front", &[unknown()], &[]).await;
            let mut stream = ours.dial(&app.addr.to_string()).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(read_exactly(&mut stream, request.len()).await, request);
        });
    }
}

#[test]
fn external_servers_may_speak_first() {
    run_bounded(async {
        let app = TcpApp::start("220 ready\r\n").await;
        let ours = Proxy::start(&authority(), "front", &[unknown()], &[]).await;
        let mut stream = ours.dial(&app.addr.to_string()).await;
        assert_eq!(read_exactly(&mut stream, 11).await, "220 ready\r\n");
        assert_eq!(ours.metric("weftway_external_connections_total{host=\"127.0.0.1\"}"), 1.0);
    });
}

#[test]
fn what_the_mesh_does_not_know_may_be_closed() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let refusal =
            Refusal { reason: Reason::UnknownDestination, detail: "REGISTRY_ONLY".into() };
        let closed = unknown().change(|unknown| unknown.closed = Some(refusal));
        let ours = Proxy::start(&authority(), "front", &[closed], &[]).await;
        let addr = app.addr.to_string();
        let mut client = Client::over(Http::One, ours.dial(&addr).await).await;
        let answer = client.get("/").await;
        let body = String::from_utf8(answer.body).unwrap();
        let expected = format!("the mesh does not know this destination: {addr}\n");
        assert_eq!((answer.status, body), (502, expected));
        let mut stream = ours.dial(&addr).await;
        stream.write_all(&hello()).await.unwrap();
        assert!(is_reset(&mut stream).await);
        assert_eq!(app.connections(), 0);
        assert_eq!(ours.refused("closed"), 2.0);
    });
}

/// A proxy that refuses what the mesh does not know, of which it knows some hosts by name.
async fn refusing(services: &[(&str, u16)]) -> Proxy {
    let known = |(name, port): &(&str, u16)| {
        let inside = entry(name, &format!("10.78.0.1:{port}"));
        let elsewhere = IndexEntry { addrs: [].into(), ..IndexEntry::clone(&inside) };
        Arc::new(IndexEntry { location: Location::External, ..elsewhere })
    };
    let services: Vec<_> = services.iter().map(known).collect();
    let refusal = Refusal { reason: Reason::UnknownDestination, detail: "REGISTRY_ONLY".into() };
    let closed = unknown().change(|unknown| unknown.closed = Some(refusal));
    Proxy::start(&authority(), "front", &[closed], &services).await
}

#[test]
fn tls_to_a_host_that_the_mesh_knows_by_name_is_open_where_others_are_not() {
    for (name, is_same_port, is_open) in [
        ("a.example", true, true),
        ("*.example", true, true),
        ("a.example", false, false),
        ("b.example", true, false),
    ] {
        run_bounded(async {
            let app = TcpApp::start("").await;
            let port = if is_same_port { app.addr.port() } else { app.addr.port() ^ 1 };
            let ours = refusing(&[(name, port)]).await;
            let mut stream = ours.dial(&app.addr.to_string()).await;
            let hello = hello();
            stream.write_all(&hello).await.unwrap();
            if is_open {
                let mut echoed = vec![0; hello.len()];
                stream.read_exact(&mut echoed).await.unwrap();
                assert_eq!(echoed, hello);
                let series = "weftway_external_connections_total{host=\"a.example\"}";
                assert_eq!(ours.metric(series), 1.0);
            } else {
                assert!(is_reset(&mut stream).await, "{name}");
            }
        });
    }
}

#[test]
fn requests_to_hosts_that_the_mesh_knows_by_name_are_open_where_others_are_not() {
    run_bounded(async {
        let web = Origin::echo(Http::One).await;
        let (addr, port) = (web.addr.to_string(), web.addr.port());
        let ours = refusing(&[("a.example", port), ("*.wild.example", port)]).await;
        let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        for (host, status) in [
            ("a.example", "200"),
            ("A.Example:80", "200"),
            ("b.wild.example", "200"),
            ("wild.example", "502"),
            ("b.example", "502"),
        ] {
            let mut stream = ours.dial(&addr).await;
            stream.write_all(request(host).as_bytes()).await.unwrap();
            let line = read_exactly(&mut stream, 12).await;
            assert_eq!(line, format!("HTTP/1.1 {status}"), "{host}");
        }
        // Each request of a connection is looked at.
        let mut stream = ours.dial(&addr).await;
        let both = request("a.example") + &request("b.example");
        stream.write_all(both.as_bytes()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        let found = ["HTTP/1.1 200", "HTTP/1.1 502"].map(|line| answers.matches(line).count());
        assert_eq!(found, [1, 1], "{answers}");
    });
}

#[test]
fn without_anything_that_stands_for_it_nothing_is_served() {
    run_bounded(async {
        let ours = Proxy::start(&authority(), "front", &[], &[]).await;
        let mut client = Client::over(Http::One, ours.dial("192.0.2.1:80").await).await;
        assert_eq!(client.get("/").await.status, 502);
        assert_eq!(ours.refused("no_destination"), 1.0);
    });
}
