//! Plain TCP and the PROXY protocol.

use std::net::SocketAddr;

use weft_testkit::documents::secure_ingress_route;
use weft_testkit::{
    Certificates, Gateway, GatewayBuilder, RawClient, RawOrigin, Reserved, TcpOrigin, TlsDial, wait,
};

use crate::common::{self, GET, pattern, to_echo};

/// An IngressRouteTCP on the entry point `tcp`.
fn route(rule: &str, more: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRouteTCP\nmetadata:\n  name: tcp\nspec:\n  \
         entryPoints: [tcp]\n  routes:\n  - match: {rule}\n    services:\n    - name: raw\n      \
         port: 9000\n{more}"
    )
}

fn builder(origin: SocketAddr) -> GatewayBuilder {
    common::builder().entry_point("tcp").backend("raw:9000", origin)
}

fn greeting(gateway: &Gateway) -> Option<String> {
    let mut client = RawClient::try_connect(gateway.addr("tcp")).ok()?;
    let line = client.read_until(b"\n").ok()?;
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    let origin = TcpOrigin::start("raw");
    let gateway = builder(origin.addr()).document("tcp.yaml", &route("HostSNI(`*`)", "")).start();
    let mut client = RawClient::connect(gateway.addr("tcp"));
    assert_eq!(client.read_until(b"\n").unwrap(), b"raw\n");
    client.send("hello");
    assert_eq!(client.read_exact(5).unwrap(), b"hello");
    // Closing one direction closes it at the origin, and what is on its way still arrives.
    client.send("last");
    client.shutdown_write();
    assert_eq!(client.closed(), b"last");
    assert_eq!(origin.received(), [b"hellolast".to_vec()]);
    assert_eq!(gateway.metric("weftway_tcp_connections_total", &[]), 1.0);
    gateway.wait_metric("weftway_tcp_bytes_total", &[], |bytes| bytes >= 22.0);
}

#[test]
fn large_amounts_pass_unchanged() {
    let origin = TcpOrigin::start("raw");
    let gateway = builder(origin.addr()).document("tcp.yaml", &route("HostSNI(`*`)", "")).start();
    let mut client = RawClient::connect(gateway.addr("tcp"));
    client.read_until(b"\n").unwrap();
    let bytes = pattern(3_000_000);
    for piece in bytes.chunks(50_000) {
        client.send(piece);
        assert!(client.read_exact(piece.len()).unwrap() == piece);
    }
}

#[test]
fn tls_ends_here_where_the_route_says_so() {
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["raw.test"]);
    let origin = TcpOrigin::start("raw");
    let document = format!(
        "{}---\n{}",
        route("HostSNI(`raw.test`)", "  tls:\n    secretName: raw\n"),
        leaf.secret("raw")
    );
    let gateway = builder(origin.addr()).document("tcp.yaml", &document).start();
    let dial = TlsDial::http1("raw.test", authority.roots()).alpn(&[]);
    let mut client = RawClient::connect_tls(gateway.addr("tcp"), &dial);
    assert_eq!(client.read_until(b"\n").unwrap(), b"raw\n");
    client.send("hello");
    assert_eq!(client.read_exact(5).unwrap(), b"hello");
    client.shutdown_write();
    assert!(client.closed().is_empty());
    assert_eq!(origin.received(), [b"hello".to_vec()]);
}

#[test]
fn tcp_routes_are_tried_before_http_on_one_address() {
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["raw.test", "a.test"]);
    let (tcp, http) = (TcpOrigin::start("raw"), RawOrigin::start("echo"));
    let secure = secure_ingress_route(&[("PathPrefix(`/`)", "echo:80")]);
    let tcp_route = route("HostSNI(`raw.test`)", "  tls:\n    secretName: raw\n");
    let gateway = builder(tcp.addr())
        .backend("echo:80", http.addr())
        .document("tcp.yaml", &tcp_route.replace("[tcp]", "[websecure]"))
        .document("secret.yaml", &leaf.secret("raw"))
        .document("http.yaml", &secure)
        .start();
    let dial = TlsDial::insecure("raw.test");
    let mut client = RawClient::connect_tls(gateway.websecure(), &dial);
    assert_eq!(client.read_until(b"\n").unwrap(), b"raw\n");
    let mut client = RawClient::connect_tls(gateway.websecure(), &TlsDial::insecure("a.test"));
    client.request(GET).echo();
}

#[test]
fn weights_share_connections() {
    let (a, b) = (TcpOrigin::start("a"), TcpOrigin::start("b"));
    let document = "apiVersion: traefik.io/v1alpha1\nkind: IngressRouteTCP\nmetadata:\n  name: \
                    tcp\nspec:\n  entryPoints: [tcp]\n  routes:\n  - match: HostSNI(`*`)\n    \
                    services:\n    - name: a\n      port: 1\n      weight: 3\n    - name: b\n      \
                    port: 1\n      weight: 1\n";
    let gateway = common::builder()
        .entry_point("tcp")
        .backend("a:1", a.addr())
        .backend("b:1", b.addr())
        .document("tcp.yaml", document)
        .start();
    let count = (0..40).filter(|_| greeting(&gateway).as_deref() == Some("a")).count();
    // The turn to begin with is drawn, so that not all workers begin alike.
    assert!((28..=32).contains(&count), "{count} of 40");
}

#[test]
fn an_allow_list_closes_the_others() {
    let origin = TcpOrigin::start("raw");
    let document = |range: &str| {
        let middleware = format!(
            "---\napiVersion: traefik.io/v1alpha1\nkind: MiddlewareTCP\nmetadata:\n  name: allow\n\
             spec:\n  ipAllowList:\n    sourceRange: [{range}]\n"
        );
        let with = route("HostSNI(`*`)", "")
            .replace("    services:\n", "    middlewares:\n    - name: allow\n    services:\n");
        with + &middleware
    };
    let gateway = builder(origin.addr()).document("tcp.yaml", &document("127.0.0.0/8")).start();
    assert_eq!(greeting(&gateway).as_deref(), Some("raw"));
    gateway.write("tcp.yaml", &document("10.0.0.0/8"));
    wait::until_true("the refusal", || greeting(&gateway).is_none());
}

#[test]
fn connections_at_one_time_are_bounded() {
    let origin = TcpOrigin::start("raw");
    let document = route("HostSNI(`*`)", "")
        .replace("    services:\n", "    middlewares:\n    - name: few\n    services:\n")
        + "---\napiVersion: traefik.io/v1alpha1\nkind: MiddlewareTCP\nmetadata:\n  name: few\nspec:\n  \
           inFlightConn:\n    amount: 2\n";
    let gateway = builder(origin.addr()).document("tcp.yaml", &document).start();
    let mut held: Vec<RawClient> = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::connect(gateway.addr("tcp"));
        assert_eq!(client.read_until(b"\n").unwrap(), b"raw\n");
        held.push(client);
    }
    assert_eq!(greeting(&gateway), None);
    held.pop();
    wait::until_true("room again", || greeting(&gateway).is_some());
}

#[test]
fn an_unreachable_origin_closes_the_connection() {
    let nowhere = Reserved::any();
    let gateway = builder(nowhere.addr()).document("tcp.yaml", &route("HostSNI(`*`)", "")).start();
    assert_eq!(greeting(&gateway), None);
}

#[test]
fn the_proxy_protocol_is_sent_in_both_versions() {
    for version in [1, 2] {
        let origin = TcpOrigin::start("raw");
        let more = format!("      proxyProtocol:\n        version: {version}\n");
        let gateway =
            builder(origin.addr()).document("tcp.yaml", &route("HostSNI(`*`)", &more)).start();
        let mut client = RawClient::connect(gateway.addr("tcp"));
        let (from, to) = (client.local_addr(), gateway.addr("tcp"));
        client.read_until(b"\n").unwrap();
        client.send("x");
        wait::until_true("the header", || {
            origin.received().first().is_some_and(|bytes| bytes.last() == Some(&b'x'))
        });
        let received = origin.received()[0].clone();
        if version == 1 {
            let expected =
                format!("PROXY TCP4 {} {} {} {}\r\nx", from.ip(), to.ip(), from.port(), to.port());
            assert_eq!(String::from_utf8_lossy(&received), expected);
        } else {
            assert!(
                received.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01")
            );
            assert_eq!(received[24..26], from.port().to_be_bytes());
            assert_eq!(received[26..28], to.port().to_be_bytes());
            assert_eq!(received[28..], *b"x");
        }
    }
}

fn http_gateway(origin: &RawOrigin, trusted: Option<&str>) -> Gateway {
    let builder = to_echo(origin);
    match trusted {
        Some(net) => builder.args(&["--trust-proxy-protocol-from", net]).start(),
        None => builder.start(),
    }
}

/// A version 2 header for 192.0.2.7:40000 to 192.0.2.1:443.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\x9c\x40\x01\xbb";

#[test]
fn the_proxy_protocol_of_trusted_peers_names_the_client() {
    let origin = RawOrigin::start("echo");
    let gateway = http_gateway(&origin, Some("127.0.0.0/8"));
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n";
    for header in [&v1[..], V2] {
        let mut client = gateway.client();
        client.send(header);
        let echo = client.request(GET).echo();
        assert_eq!(echo.header("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(client.request(GET).echo().header("x-real-ip"), Some("192.0.2.7"));
    }
    // LOCAL and UNKNOWN keep the peer's own address.
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = gateway.client();
        client.send(header);
        assert_eq!(client.request(GET).echo().header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_trusted_peer_must_send_the_header() {
    let origin = RawOrigin::start("echo");
    let gateway = http_gateway(&origin, Some("127.0.0.1"));
    for bad in [
        GET.as_bytes(),
        b"PROXY TCP4 192.0.2.7 192.0.2.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 99999\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\x9c\x40\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc0\0\x02\x07",
    ] {
        let mut client = gateway.client();
        let _ = client.try_send(bad);
        let _ = client.try_send(GET);
        assert!(client.closed().is_empty(), "{}", String::from_utf8_lossy(bad));
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn the_proxy_protocol_of_untrusted_peers_is_closed() {
    let origin = RawOrigin::start("echo");
    for trusted in [None, Some("10.0.0.0/8")] {
        let gateway = http_gateway(&origin, trusted);
        for header in [&b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n"[..], V2] {
            let mut client = gateway.client();
            let _ = client.try_send(header);
            let _ = client.try_send(GET);
            let rest = client.closed();
            // A header is no request either, so an error is as good an end as none.
            assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "{rest:?}");
        }
        gateway.client().request(GET).echo();
    }
    assert_eq!(origin.requests().len(), 2);
}
