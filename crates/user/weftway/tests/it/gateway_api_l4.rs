//! Gateway API: GRPCRoute, TLSRoute, TCPRoute and BackendTLSPolicy. Each test restates a case of
//! the upstream conformance suite and has its name.

use std::collections::BTreeMap;

use weft_testkit::conformance::{Conformance, INFRA, gateway, route, route_to, same_namespace};
use weft_testkit::documents::pem_block;
use weft_testkit::{
    Certificates, H2Client, H2Origin, H2Request, RawClient, RawOrigin, TcpOrigin, TlsDial,
};

use crate::common::builder;

/// A gateway with gRPC backends `one` and `two` on port 8080.
struct Grpc {
    it: Conformance,
    _origins: [H2Origin; 2],
}

fn grpc(documents: &[&str]) -> Grpc {
    let origins = [H2Origin::start("one"), H2Origin::start("two")];
    let builder = builder()
        .backend(&format!("{INFRA}/one:8080"), origins[0].addr())
        .backend(&format!("{INFRA}/two:8080"), origins[1].addr());
    Grpc { it: Conformance::start_with(builder, documents), _origins: origins }
}

impl Grpc {
    /// Who answers a call, or its `grpc-status`.
    fn who(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let client = H2Client::connect(self.it.gateway.port(80));
        let mut request = H2Request::grpc(host, path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = client.request(request);
        match response.header("grpc-status") {
            Some(status) => format!("status {status}"),
            None => weft_testkit::Echo::parse(&response.body).backend,
        }
    }
}

fn grpc_rule(matches: &str, backend: &str) -> String {
    format!("  - {{matches: [{matches}], backendRefs: [{{name: {backend}, port: 8080}}]}}\n")
}

#[test]
fn grpc_route_exact_method_matching() {
    let rules = grpc_rule("{method: {service: weft.Plain, method: Echo}}", "one")
        + &grpc_rule("{method: {service: weft.Plain, method: EchoTwo}}", "two")
        + &grpc_rule("{method: {service: weft.Other}}", "two")
        + &grpc_rule("{method: {method: Anywhere}}", "one");
    let it = grpc(&[&same_namespace(), &route("GRPCRoute", "exact", &rules)]);
    for (path, expected) in [
        ("/weft.Plain/Echo", "one"),
        ("/weft.Plain/EchoTwo", "two"),
        ("/weft.Plain/EchoThree", "status 12"),
        ("/weft.Other/Any", "two"),
        ("/weft.New/Anywhere", "one"),
        ("/weft.plain/Echo", "status 12"),
    ] {
        assert_eq!(it.who("a.test", path, &[]), expected, "{path}");
    }
}

#[test]
fn grpc_route_header_matching() {
    let rules = grpc_rule("{headers: [{name: version, value: one}]}", "one")
        + &grpc_rule("{headers: [{name: version, value: two}]}", "two")
        + &grpc_rule(
            "{headers: [{name: color, type: RegularExpression, value: '^gr.*n$'}]}",
            "two",
        );
    let it = grpc(&[&same_namespace(), &route("GRPCRoute", "headers", &rules)]);
    for (headers, expected) in [
        (&[("version", "one")][..], "one"),
        (&[("version", "two")][..], "two"),
        (&[("color", "green")][..], "two"),
        (&[("color", "purple")][..], "status 12"),
    ] {
        assert_eq!(it.who("a.test", "/weft.Plain/Echo", headers), expected, "{headers:?}");
    }
}

#[test]
fn grpc_route_listener_hostname_matching() {
    let listeners = [
        "name: listener-1, hostname: bar.com, port: 80, protocol: HTTP",
        "name: listener-2, hostname: '*.bar.com', port: 80, protocol: HTTP",
    ];
    let part = |name: &str, section: &str| {
        let spec = format!("  rules:\n  - backendRefs: [{{name: {name}, port: 8080}}]\n");
        route_to("GRPCRoute", name, &format!("[{{name: hosts, sectionName: {section}}}]"), &spec)
    };
    let it = grpc(&[
        &gateway("hosts", &listeners),
        &part("one", "listener-1"),
        &part("two", "listener-2"),
    ]);
    for (host, expected) in [("bar.com", "one"), ("foo.bar.com", "two"), ("foo.com", "status 12")] {
        assert_eq!(it.who(host, "/weft.Plain/Echo", &[]), expected, "{host}");
    }
}

#[test]
fn grpc_route_weight() {
    let rules = "  - backendRefs: [{name: one, port: 8080, weight: 3}, {name: two, port: 8080, weight: 1}]\n";
    let it = grpc(&[&same_namespace(), &route("GRPCRoute", "weight", rules)]);
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..80 {
        *shares.entry(it.who("a.test", "/weft.Plain/Echo", &[])).or_default() += 1;
    }
    assert!((50..=70).contains(&shares["one"]), "{shares:?}");
}

#[test]
fn grpc_route_carries_real_calls() {
    let rules = "  - backendRefs: [{name: one, port: 8080}]\n";
    let it = grpc(&[&same_namespace(), &route("GRPCRoute", "all", rules)]);
    let client = H2Client::connect(it.it.gateway.port(80));
    let reply = client.grpc("a.test", "/weft.test.Echo/ServerStream", &["x"]);
    assert_eq!((reply.status, reply.messages.len(), reply.has_trailers), (Some(0), 3, true));
}

#[test]
fn tls_route_simple_same_namespace() {
    let authority = Certificates::new("test");
    let origin = TcpOrigin::start_tls("raw", &authority.leaf(&["abc.example.com"]));
    let listener = "name: https, port: 443, protocol: TLS, hostname: '*.example.com', tls: {mode: Passthrough}";
    let spec =
        "  hostnames: [abc.example.com]\n  rules:\n  - backendRefs: [{name: raw, port: 443}]\n";
    let it = Conformance::start_with(
        builder().backend(&format!("{INFRA}/raw:443"), origin.addr()),
        &[&gateway("tls", &[listener]), &route_to("TLSRoute", "pass", "[{name: tls}]", spec)],
    );
    let dial = TlsDial::http1("abc.example.com", authority.roots()).alpn(&[]);
    let mut client = RawClient::connect_tls(it.gateway.port(443), &dial);
    assert_eq!(client.read_until(b"\n").unwrap(), b"raw\n");
    for name in ["def.example.com", "abc.example.org"] {
        let dial = TlsDial::insecure(name);
        assert!(RawClient::try_connect_tls(it.gateway.port(443), &dial).is_err(), "{name}");
    }
}

#[test]
fn tls_route_terminate_simple_same_namespace() {
    let authority = Certificates::new("test");
    let leaf = authority.leaf(&["abc.example.com"]);
    let secret = leaf
        .secret("tls")
        .replace("  name: tls\n", &format!("  name: tls\n  namespace: {INFRA}\n"));
    let origin = TcpOrigin::start("raw");
    let listener = "name: tls, port: 443, protocol: TLS, hostname: abc.example.com, tls: {mode: Terminate, \
                    certificateRefs: [{name: tls}]}";
    let spec =
        "  hostnames: [abc.example.com]\n  rules:\n  - backendRefs: [{name: raw, port: 9000}]\n";
    let it = Conformance::start_with(
        builder().backend(&format!("{INFRA}/raw:9000"), origin.addr()),
        &[
            &gateway("tls", &[listener]),
            &secret,
            &route_to("TLSRoute", "end", "[{name: tls}]", spec),
        ],
    );
    let dial = TlsDial::http1("abc.example.com", authority.roots()).alpn(&[]);
    let mut client = RawClient::connect_tls(it.gateway.port(443), &dial);
    assert_eq!(client.read_until(b"\n").unwrap(), b"raw\n");
    client.send("hello");
    assert_eq!(client.read_exact(5).unwrap(), b"hello");
}

#[test]
fn tcp_route_simple_same_namespace() {
    let (one, two) = (TcpOrigin::start("one"), TcpOrigin::start("two"));
    let listeners =
        ["name: first, port: 80, protocol: TCP", "name: second, port: 8080, protocol: TCP"];
    let part = |name: &str, section: &str| {
        let spec = format!("  rules:\n  - backendRefs: [{{name: {name}, port: 9000}}]\n");
        route_to("TCPRoute", name, &format!("[{{name: tcp, sectionName: {section}}}]"), &spec)
    };
    let builder = builder()
        .backend(&format!("{INFRA}/one:9000"), one.addr())
        .backend(&format!("{INFRA}/two:9000"), two.addr());
    let it = Conformance::start_with(
        builder,
        &[&gateway("tcp", &listeners), &part("one", "first"), &part("two", "second")],
    );
    for (port, name) in [(80, &b"one\n"[..]), (8080, b"two\n")] {
        let mut client = RawClient::connect(it.gateway.port(port));
        assert_eq!(client.read_until(b"\n").unwrap(), name);
        client.send("hello");
        assert_eq!(client.read_exact(5).unwrap(), b"hello");
    }
}

/// A backend with TLS behind a policy that expects this name, and says of whose authority.
fn backend_tls(
    hostname: &str,
    more: &str,
    trusted: &Certificates,
    served: &Certificates,
) -> (RawOrigin, Conformance) {
    let leaf = served.leaf(&["abc.example.com", "spiffe://abc.example.com/test-identity"]);
    let origin = RawOrigin::builder("secure").tls(&leaf).start();
    let ca = pem_block(trusted.pem());
    let policy = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: policy, \
         namespace: {INFRA}}}\nspec:\n  targetRefs: [{{group: '', kind: Service, name: secure}}]\n  \
         validation:\n    caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]\n    hostname: \
         {hostname}\n{more}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: \
         {INFRA}}}\ndata:\n  ca.crt: |\n    {ca}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: \
         secure, namespace: {INFRA}}}\nspec: {{ports: [{{port: 443}}]}}\n"
    );
    let rules = "  - backendRefs: [{name: secure, port: 443}]\n";
    let it = Conformance::start_with(
        builder().backend(&format!("{INFRA}/secure:443"), origin.addr()),
        &[&same_namespace(), &policy, &route("HTTPRoute", "tls", rules)],
    );
    (origin, it)
}

#[test]
fn backend_tls_policy() {
    let (good, bad) = (Certificates::new("good"), Certificates::new("bad"));
    let (origin, it) = backend_tls("abc.example.com", "", &good, &good);
    assert_eq!(it.who("a.test", "/", &[]), "secure");
    assert_eq!(origin.connections()[0].server_name.as_deref(), Some("abc.example.com"));
    let (origin, it) = backend_tls("other.example.com", "", &good, &good);
    let status = it.who("a.test", "/", &[]);
    assert!(status.starts_with('5'), "{status}");
    assert!(origin.requests().is_empty());
    let (origin, it) = backend_tls("abc.example.com", "", &bad, &good);
    assert!(it.who("a.test", "/", &[]).starts_with('5'));
    assert!(origin.requests().is_empty());
}

#[test]
fn backend_tls_policy_san_validation() {
    let authority = Certificates::new("good");
    let names = |text: &str| format!("    subjectAltNames: [{text}]\n");
    for (text, works) in [
        ("{type: Hostname, hostname: abc.example.com}", true),
        ("{type: URI, uri: 'spiffe://abc.example.com/test-identity'}", true),
        ("{type: Hostname, hostname: mismatch.example.com}", false),
        ("{type: URI, uri: 'spiffe://mismatch.example.com/x'}", false),
    ] {
        let (_origin, it) = backend_tls("sni.example.com", &names(text), &authority, &authority);
        assert_eq!(it.who("a.test", "/", &[]) == "secure", works, "{text}");
    }
}
