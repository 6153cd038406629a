//! What is outside of the mesh: Linkerd's EgressNetwork, and hosts that Istio's ServiceEntry has
//! without addresses.

use crate::machine::Process;
use crate::mesh::{Mesh, PROBLEMS, PYTHON, script};

use super::{SHOP, document, mesh};

/// The machine itself, as workloads call it.
const OUTSIDE: &str = "10.77.0.1";

/// A server outside of the mesh that says what it was asked.
fn server(mesh: &Mesh, port: &str) -> Process {
    let server = mesh
        .machine
        .spawn(&format!("out{port}"), &[PYTHON, &script("service.py"), "http", port, "outside"]);
    server.until_printed("http ");
    server
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn routes_of_a_network_open_what_it_forbids() {
    let network = document(
        "policy.linkerd.io/v1alpha1",
        "EgressNetwork",
        "machine",
        &format!("  trafficPolicy: Deny\n  networks: [{{cidr: {OUTSIDE}/32}}]\n"),
    );
    let route = document(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "machine",
        "  parentRefs: [{group: policy.linkerd.io, kind: EgressNetwork, name: machine, port: 8091}]
  hostnames: [partner.test]
  rules:
  - matches: [{path: {value: /get}}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: x-through, value: network}]}
",
    );
    let mesh = mesh(&[&network, &route]);
    let _servers = [server(&mesh, "8091"), server(&mesh, "8092")];
    let ask = |host: &str, port: u16, path: &str| {
        let url = format!("http://{OUTSIDE}:{port}{path}");
        mesh.get(SHOP, &["-H", PROBLEMS, "-H", &format!("Host: {host}"), &url])
    };
    let open = ask("partner.test", 8091, "/get/1");
    assert_eq!((open.status, &open.json()["headers"]["x-through"]), (200, &"network".into()));
    for (host, port, path) in [
        ("partner.test", 8091, "/ip"),
        ("other.test", 8091, "/get"),
        ("partner.test", 8092, "/get"),
    ] {
        let closed = ask(host, port, path);
        assert_eq!((closed.status, &closed.json()["reason"]), (403, &"forbidden".into()));
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn rules_hold_for_a_host_without_addresses() {
    let entry = document(
        "networking.istio.io/v1",
        "ServiceEntry",
        "sms",
        "  hosts: ['*.sms.test']
  location: MESH_EXTERNAL
  resolution: NONE
  ports: [{number: 8093, name: http, protocol: HTTP}]
",
    );
    let rules = document(
        "networking.istio.io/v1",
        "VirtualService",
        "sms",
        "  hosts: ['*.sms.test']
  http:
  - match: [{uri: {prefix: /old}}]
    directResponse: {status: 410}
  - rewrite: {uri: /v2}
    match: [{uri: {prefix: /v1}}]
    route: [{destination: {host: '*.sms.test'}, headers: {request: {set: {x-through: rules}}}}]
",
    );
    let mesh = mesh(&[&entry, &rules]);
    let _server = server(&mesh, "8093");
    let ask = |host: &str, path: &str| {
        let url = format!("http://{OUTSIDE}:8093{path}");
        mesh.get(SHOP, &["-H", PROBLEMS, "-H", &format!("Host: {host}"), &url])
    };
    let sent = ask("eu.sms.test", "/v1/send");
    assert_eq!((sent.status, &sent.json()["headers"]["x-through"]), (200, &"rules".into()));
    assert_eq!(ask("eu.sms.test", "/old").status, 410);
    assert_eq!(ask("eu.sms.test", "/else").status, 404);
    // Whom no rule is about goes on.
    let other = ask("mms.test", "/old");
    assert_eq!((other.status, other.json()["headers"].get("x-through")), (200, None));
}
