//! HTTP between workloads.

use std::net::IpAddr;

use weft_testkit::wait;

use crate::machine::Machine;
use crate::mesh::{BINARY, Mesh, PYTHON, script};

/// What a document server answers that has no backend.
const REDIRECTS: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weftway}
spec: {controllerName: weftway.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: weftway
  listeners: [{name: web, port: 8080, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: away}
spec:
  parentRefs: [{name: web}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: away.test}}]}]
";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn workloads_call_each_other_by_name_and_know_who_calls() {
    let mut mesh = Mesh::start();
    mesh.serve("payments", "http", 8080, &["--service-account", "payments"]);
    mesh.caller("shop", &["--service-account", "shop"]);
    for name in ["payments", "payments.default", "payments.default.svc.cluster.local"] {
        let answer = mesh.get("shop", &[&format!("http://{name}:8080/hello")]);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(answer.json()["path"], "/hello");
    }
    let forged = [
        ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/default/sa/boss"),
        ("l5d-client-id", "boss"),
        ("weftway-destination", "10.0.0.1:1"),
    ];
    let forged = forged.map(|(name, value)| format!("{name}: {value}"));
    let mut arguments: Vec<&str> = forged.iter().flat_map(|header| ["-H", header]).collect();
    arguments.push("http://payments:8080/");
    let headers = &mesh.get("shop", &arguments).json()["headers"];
    assert_eq!(
        headers["x-forwarded-client-cert"],
        "By=spiffe://cluster.local/ns/default/sa/payments;\
         URI=spiffe://cluster.local/ns/default/sa/shop"
    );
    let caller = "shop.default.serviceaccount.identity.linkerd.cluster.local";
    assert_eq!(headers["l5d-client-id"], caller);
    assert_eq!(headers.get("weftway-destination"), None);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_upgraded_connection_carries_bytes_both_ways() {
    let mut mesh = Mesh::start();
    mesh.serve("chat", "http", 8080, &[]);
    mesh.caller("shop", &[]);
    let seen = mesh.client("shop", &["upgrade", "chat", "8080"]);
    assert_eq!((&seen["status"], &seen["echoed"]), (&101.into(), &"810568656c6c6f0a".into()));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn http2_with_prior_knowledge_is_spoken_where_nobody_has_declared_it() {
    let mut mesh = Mesh::start();
    let documents = mesh.machine.write("redirects.yaml", REDIRECTS);
    let documents = documents.to_str().unwrap();
    let application = [BINARY, "gateway", "-f", documents, "--admin", "off"];
    mesh.run("away", &["--port", "8080"], &application);
    mesh.caller("shop", &[]);
    let url = "http://away:8080/there";
    let retried = ["--retry", "20", "--retry-connrefused", "--retry-delay", "0"];
    for arguments in [&["--http1.1"][..], &["--http2-prior-knowledge"]] {
        let answer = mesh.get("shop", &[arguments, &retried, &[url]].concat());
        assert_eq!(answer.status, 302, "{answer:?}");
        assert!(answer.head.contains("location: http://away.test"), "{answer:?}");
    }
    let argv = Mesh::beside("shop", &[BINARY, "bench", "--h2", "-c", "4", "-n", "200", url]);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let report = mesh.machine.output(&argv);
    assert!(report.contains("200"), "{report}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn between_two_workloads_nothing_is_readable() {
    const SECRET: &str = "an-unmistakable-word";
    let mut mesh = Mesh::start();
    mesh.serve("payments", "http", 8080, &[]);
    mesh.serve("cache", "echo", 6379, &[]);
    mesh.caller("shop", &[]);
    let wire = Wire::tap(&mesh.machine);
    let addrs = [mesh.addr("payments"), mesh.addr("cache")];
    let body = format!("-d{SECRET}");
    let answer = mesh.get("shop", &[&body, "http://payments:8080/"]);
    assert_eq!(answer.json()["body"], SECRET);
    let said = mesh.client("shop", &["echo", "cache", "6379", "100000"]);
    assert_eq!(said["same"], true);
    // What was said has passed here.
    for addr in addrs {
        wait::until_true("frames to a proxy", || wire.has_frames_to(addr, 15008));
    }
    assert!(!wire.has(SECRET.as_bytes()), "plaintext of HTTP is on the wire");
    let pattern: Vec<u8> = (0..64_u32).map(|index| (index * 31 % 251) as u8).collect();
    assert!(!wire.has(&pattern), "plaintext of TCP is on the wire");

    // The same two, and the same calls: without mutual TLS they are readable.
    mesh.change(DISABLED);
    wait::until_true("readable calls", || {
        mesh.get("shop", &[&body, "http://payments:8080/"]);
        mesh.client("shop", &["echo", "cache", "6379", "100000"]);
        wire.has(SECRET.as_bytes()) && wire.has(&pattern)
    });
}

const DISABLED: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: DISABLE}}
";

/// Everything that passes the links of the machine, those of workloads among them.
struct Wire {
    frames: std::path::PathBuf,
    _sniffer: crate::machine::Process,
}

impl Wire {
    fn tap(machine: &Machine) -> Self {
        let frames = machine.folder().join("frames");
        let script = script("sniff.py");
        let argv = [PYTHON, &script, frames.to_str().unwrap()];
        let sniffer = machine.spawn("sniffer", &argv);
        sniffer.until_printed("listening");
        Self { frames, _sniffer: sniffer }
    }

    /// Whether something was sent to that port of that address.
    fn has_frames_to(&self, addr: IpAddr, port: u16) -> bool {
        let IpAddr::V4(addr) = addr else { panic!("{addr} is of IPv6") };
        let (addr, port) = (addr.octets(), port.to_be_bytes());
        let frames = std::fs::read(&self.frames).unwrap();
        // The end of the header of IP, and the beginning of that of TCP with the port it comes from.
        frames.windows(8).any(|bytes| bytes[..4] == addr && bytes[6..] == port)
    }

    fn has(&self, bytes: &[u8]) -> bool {
        let frames = std::fs::read(&self.frames).unwrap();
        frames.windows(bytes.len()).any(|window| window == bytes)
    }
}
