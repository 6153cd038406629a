//! Workloads that are called by their addresses.

use weft_model::mesh::MeshEndpoint;

use super::*;

/// How a workload is reached at an address: the ports of each way, `*` for all others.
fn ways(world: &MeshWorld, ip: &str) -> Vec<String> {
    let service = world.mesh.addresses.get(&ip.parse().unwrap()).expect("somebody is there");
    let way = |endpoint: &MeshEndpoint| {
        let ports: Vec<String> =
            endpoint.ports.iter().map(|(from, to)| format!("{from}>{to}")).collect();
        let ports = if ports.is_empty() { "*".to_owned() } else { ports.join(",") };
        let transport = match &endpoint.transport {
            Transport::Plain => "plain".to_owned(),
            Transport::Mesh(peer) => format!("{} {}", peer.addr, peer.identity.service_account()),
        };
        format!("{} {} {ports} {transport}", endpoint.workload, endpoint.ip)
    };
    service.endpoints.known().iter().map(way).collect()
}

fn off(port: u16) -> String {
    let spec = format!(
        "selector: {{matchLabels: {{app: payments}}}}, portLevelMtls: {{{port}: {{mode: DISABLE}}}}"
    );
    security("PeerAuthentication", "name: off", &spec)
}

fn payments() -> RegisteredWorkload {
    let mut payments = workload("payments", 2);
    payments.ports = [port(8080, "http"), port(9000, "tcp-raw")].into();
    payments
}

#[test]
fn an_address_leads_to_its_workload_on_every_port() {
    let world = clean("", &[payments()]);
    let service = &world.mesh.addresses[&"10.77.0.2".parse().unwrap()];
    assert_eq!(service.entry.name.as_str(), "10.77.0.2");
    assert_eq!(*service.entry.addrs, [IpAddr::from([10, 77, 0, 2])]);
    let spoken: Vec<_> =
        service.entry.ports.iter().map(|port| (port.number, port.protocol)).collect();
    assert_eq!(spoken, [(8080, Protocol::Http), (9000, Protocol::Tcp)]);
    assert_eq!(
        ways(&world, "10.77.0.2"),
        [
            "default/payments 10.77.0.2 8080>8080,9000>9000 10.77.0.2:15008 default",
            "default/payments 10.77.0.2 * 10.77.0.2:15008 default",
        ]
    );
    // It is in no index, and no service of anybody's.
    assert!(!world.mesh.index.entries.contains_key("10.77.0.2"));
    assert!(!world.mesh.services.contains_key("10.77.0.2"));
}

#[test]
fn a_pod_lists_its_own_opaque_ports() {
    let spoken = |own: &str, of_namespace: &str| {
        let pod = format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: a, annotations: {{ambient.istio.io/redirection: enabled{own}}}}}
spec: {{containers: [{{ports: [{{name: http, containerPort: 8080}}]}}]}}
status: {{podIP: 10.0.0.5, conditions: [{{type: Ready, status: 'True'}}]}}
---
"
        );
        let world = clean(&(pod + &namespace("default", of_namespace)), &[]);
        let service = &world.mesh.addresses[&"10.0.0.5".parse().unwrap()];
        service.entry.ports[0].protocol
    };
    let opaque = "config.linkerd.io/opaque-ports: '8080'";
    assert_eq!(spoken("", ""), Protocol::Http);
    assert_eq!(spoken("", opaque), Protocol::Tcp);
    assert_eq!(spoken(&format!(", {opaque}"), ""), Protocol::Tcp);
    // Its own list comes in the place of that of its namespace.
    assert_eq!(spoken(", config.linkerd.io/opaque-ports: '9'", opaque), Protocol::Http);
}

#[test]
fn a_pod_may_ask_for_mutual_tls_that_its_namespace_does_without() {
    let check = |policy: &str, expected: &str| {
        let pod = format!(
            "apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations:
    ambient.istio.io/redirection: enabled
    config.linkerd.io/default-inbound-policy: {policy}
status: {{podIP: 10.0.0.5, conditions: [{{type: Ready, status: 'True'}}]}}
---
"
        );
        let disabled = security("PeerAuthentication", "name: off", "mtls: {mode: DISABLE}");
        let world = world(&(pod + &disabled), &[]);
        let found = ways(&world, "10.0.0.5");
        assert!(found.iter().all(|way| way.contains(expected)), "{policy}: {found:?}");
        world
    };
    check("all-authenticated", "* 10.0.0.5:15008 ");
    check("all-unauthenticated", "* plain");
    says(&check("deny", "* plain"), "`deny` has no effect here: the Pod's own proxy refuses calls");
    says(&check("nobody", "* plain"), "`nobody` is not known: it has no effect");
}

#[test]
fn ports_without_mutual_tls_are_called_as_they_are() {
    let world = clean(&off(9000), &[payments()]);
    assert_eq!(
        ways(&world, "10.77.0.2"),
        [
            "default/payments 10.77.0.2 8080>8080 10.77.0.2:15008 default",
            "default/payments 10.77.0.2 9000>9000 plain",
            "default/payments 10.77.0.2 * 10.77.0.2:15008 default",
        ]
    );
    let all = security("PeerAuthentication", "name: off", "mtls: {mode: DISABLE}");
    let world = clean(&all, &[payments()]);
    assert_eq!(
        ways(&world, "10.77.0.2"),
        [
            "default/payments 10.77.0.2 8080>8080,9000>9000 plain",
            "default/payments 10.77.0.2 * plain",
        ]
    );
}

#[test]
fn who_has_no_proxy_is_no_neighbour() {
    let mut bare = payments();
    bare.proxy = None;
    let world = clean("", &[bare, workload("shop", 3)]);
    assert_eq!(world.mesh.addresses.keys().collect::<Vec<_>>(), [&IpAddr::from([10, 77, 0, 3])]);
    let networks = &of(&world, "default/shop").networks;
    assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.77.0.0/24"]);
}

#[test]
fn what_does_not_change_stays() {
    let compile = |workloads: &[RegisteredWorkload], before: Option<&MeshWorld>| {
        let set = load(&[("a.yaml", "")]);
        compile_mesh(&set, &registered(workloads), &options(), before)
    };
    let before = compile(&[payments()], None);
    let after = compile(&[payments(), workload("shop", 3)], Some(&before));
    let at = |world: &MeshWorld| world.mesh.addresses[&IpAddr::from([10, 77, 0, 2])].clone();
    assert!(Arc::ptr_eq(&at(&before), &at(&after)));
    // One more in the same network is no news for a proxy.
    let known = |world: &MeshWorld| world.mesh.workloads["default/payments"].clone();
    assert!(Arc::ptr_eq(&known(&before), &known(&after)));
}
