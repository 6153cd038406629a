//! Services of Kubernetes.

use super::*;

const PAYMENTS: &str = "payments.default.svc.cluster.local";

fn payments(spec: &str) -> String {
    service_document("payments", spec)
}

/// A Pod `default/NAME` at 10.0.0.N with a label `app` and a port `http` 8080.
fn pod(name: &str, app: &str, last: u8, rest: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {app}}}{rest}}}
spec: {{serviceAccountName: {app}, hostname: {name}, subdomain: {app}, containers: [{{ports: [{{name: http, containerPort: 8080}}]}}]}}
status: {{podIP: 10.0.0.{last}, conditions: [{{type: Ready, status: 'True'}}]}}
---
"
    )
}

fn slice(service: &str, endpoints: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-1, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
ports: [{{port: 3000}}]
endpoints: [{endpoints}]
---
"
    )
}

#[test]
fn selectors_find_workloads_of_all_kinds() {
    let entry = istio(
        "WorkloadEntry",
        "name: vm, labels: {tier: old}",
        "address: 10.1.0.1, labels: {app: payments}, ports: {http: 9999}, weight: 3, locality: eu/west",
    );
    let elsewhere = pod("other", "payments", 7, ", namespace: elsewhere");
    let text = [
        payments("selector: {app: payments}, ports: [{name: http, port: 80, targetPort: http}]"),
        pod("pod", "payments", 5, ""),
        pod("none", "greeter", 6, ""),
        elsewhere,
        entry,
    ]
    .concat();
    let mut other = labelled("checkout", 3, &[("app", "payments")]);
    other.ports = [port(7000, "http")].into();
    // What is called `payments` is found as such, without a label.
    let mut own = workload("payments", 2);
    own.ports = [port(8080, "http")].into();
    let world = clean(&text, &[own, other]);
    assert_eq!(names(&world), [PAYMENTS]);
    assert_eq!(
        runs(&world, PAYMENTS),
        [
            "default/checkout 10.77.0.3 80>7000 default/default",
            "default/payments 10.77.0.2 80>8080 default/default",
            "default/pod 10.0.0.5 80>8080 plain",
            "default/vm 10.1.0.1 80>9999 plain in eu/west x3",
        ]
    );
}

#[test]
fn labels_that_are_given_win_over_the_name() {
    let text = payments("selector: {app: payments}, ports: [{port: 80, targetPort: 8080}]");
    let world = world(&text, &[labelled("payments", 2, &[("app", "other")])]);
    // The document holds for the name, and it selects nothing.
    assert_eq!((names(&world), runs(&world, PAYMENTS)), (vec![PAYMENTS], vec![]));
    says(&world, "it does not select the workloads that were registered under its name");
}

#[test]
fn a_service_without_a_selector_has_the_workloads_of_its_name() {
    let text = payments("ports: [{port: 80, targetPort: 8080}]");
    let world = clean(&text, &[workload("payments", 2), workload("greeter", 3)]);
    assert_eq!(runs(&world, PAYMENTS), ["default/payments 10.77.0.2 80>8080 default/default"]);
    // Unless somebody says where it runs.
    let text = text + &slice("payments", "{addresses: [10.0.0.9]}");
    let world = super::world(&text, &[workload("payments", 2)]);
    assert_eq!(runs(&world, PAYMENTS), ["default/10.0.0.9 10.0.0.9 80>3000 plain"]);
}

#[test]
fn slices_say_where_a_service_runs() {
    let endpoints = "{addresses: [10.0.0.9], zone: a}, {addresses: [10.77.0.2]}, \
                     {addresses: [10.0.0.10], conditions: {ready: false}}, \
                     {addresses: [10.0.0.11], conditions: {ready: false, serving: true, terminating: true}}";
    let text = payments("ports: [{port: 80}]") + &slice("payments", endpoints);
    let world = clean(&text, &[workload("greeter", 2)]);
    assert_eq!(
        runs(&world, PAYMENTS),
        [
            "default/10.0.0.9 10.0.0.9 80>3000 plain in /a",
            "default/greeter 10.77.0.2 80>3000 default/default",
        ]
    );
    let world =
        clean(&text, &[RegisteredWorkload { phase: Phase::Terminating, ..workload("greeter", 2) }]);
    assert_eq!(runs(&world, PAYMENTS), ["default/10.0.0.9 10.0.0.9 80>3000 plain in /a"]);
}

#[test]
fn slices_and_endpoints_without_a_service_are_one() {
    let endpoints = "apiVersion: v1
kind: Endpoints
metadata: {name: legacy}
subsets: [{addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}], ports: [{name: http, port: 8080}]}]
---
";
    let world = clean(&(slice("payments", "{addresses: [10.0.0.9]}") + endpoints), &[]);
    assert_eq!(names(&world), ["legacy.default.svc.cluster.local", PAYMENTS]);
    assert!(entry(&world, PAYMENTS).ends_with(" 3000//Detect"));
    assert_eq!(runs(&world, PAYMENTS), ["default/10.0.0.9 10.0.0.9 3000>3000 plain"]);
    let legacy = "legacy.default.svc.cluster.local";
    assert!(entry(&world, legacy).ends_with(" 8080/http/Http"));
    assert_eq!(runs(&world, legacy), ["default/10.0.0.1 10.0.0.1 8080>8080 plain"]);
}

#[test]
fn of_two_families_one_is_called() {
    let v6 =
        slice("payments", "{addresses: ['fd00::9']}").replace("IPv4", "IPv6").replace("-1", "-2");
    let text = payments("ports: [{port: 80}]") + &slice("payments", "{addresses: [10.0.0.9]}");
    assert_eq!(
        runs(&clean(&(text + &v6), &[]), PAYMENTS),
        ["default/10.0.0.9 10.0.0.9 80>3000 plain"]
    );
    let alone = payments("ports: [{port: 80}]") + &v6;
    assert_eq!(runs(&clean(&alone, &[]), PAYMENTS), ["default/fd00::9 fd00::9 80>3000 plain"]);
}

#[test]
fn headless_services_are_their_endpoints() {
    let text = service_document(
        "db",
        "clusterIP: None, selector: {app: db}, ports: [{name: tcp-sql, port: 80, targetPort: 8080}]",
    ) + &pod("db-0", "db", 5, "");
    let mut own = labelled("db-1", 2, &[("app", "db")]);
    own.addrs = ["10.77.0.2".parse().unwrap(), "fd77::2".parse().unwrap()].into();
    let mut world = clean(&text, &[own]);
    let name = "db.default.svc.cluster.local";
    // The number of the workloads' own port is one that callers may dial as well.
    let ports = "80/tcp-sql/Tcp,8080/tcp-sql/Tcp";
    assert_eq!(entry(&world, name), format!(" {ports} at 10.0.0.5,10.77.0.2,fd77::2"));
    let service = Arc::clone(&world.mesh.services[name]);
    let shown: Vec<String> = service
        .endpoints
        .known()
        .iter()
        .map(|endpoint| format!("{} {:?}", endpoint.ip, endpoint.hostname))
        .collect();
    assert_eq!(
        shown,
        ["10.0.0.5 Some(\"db-0\")", "10.77.0.2 Some(\"db-1\")", "fd77::2 Some(\"db-1\")"]
    );
    let at = |addr: &str| service.at(addr.parse().unwrap()).map(|found| found.ip.to_string());
    assert_eq!(at("10.77.0.2:80").as_deref(), Some("10.77.0.2"));
    assert_eq!(at("[fd77::2]:8080").as_deref(), Some("fd77::2"));
    assert_eq!(at("10.77.0.2:81"), None);
    let directory = Directory::new(world.mesh.index.entries.values());
    let named = directory.resolve("db-1.db", "default", "cluster.local").expect("it has that name");
    assert_eq!((named.service.name(), named.hostname.as_deref()), (name, Some("db-1")));
    world = clean(&text.replace("subdomain: db", "subdomain: other"), &[]);
    assert!(world.mesh.services[name].endpoints.known()[0].hostname.is_none());
}

#[test]
fn headless_services_may_publish_what_is_not_ready() {
    let check = |spec: &str, phase: Phase, expected: usize| {
        let text = service_document("db", &format!("clusterIP: None, {spec}"));
        let world = clean(&text, &[RegisteredWorkload { phase, ..workload("db", 2) }]);
        let count = world.mesh.services["db.default.svc.cluster.local"].endpoints.known().len();
        assert_eq!(count, expected, "{spec} {phase:?}");
    };
    let published = "publishNotReadyAddresses: true, ports: [{port: 80}]";
    check("ports: [{port: 80}]", Phase::Unready, 0);
    check(published, Phase::Unready, 1);
    check(published, Phase::Terminating, 0);
}

#[test]
fn ports_tell_what_is_spoken() {
    let check = |written: &str, expected: Protocol| {
        let text = payments(&format!("ports: [{{{written}}}]"));
        let world = world(&text, &[]);
        let port = &world.mesh.index.entries[PAYMENTS].ports[0];
        assert_eq!(port.protocol, expected, "{written}");
    };
    check("port: 80", Protocol::Detect);
    check("port: 80, name: http", Protocol::Http);
    check("port: 80, name: http-api", Protocol::Http);
    check("port: 80, name: httpx", Protocol::Detect);
    check("port: 80, name: http2-api", Protocol::Http2);
    check("port: 80, name: grpc", Protocol::Http2);
    check("port: 80, name: grpc-web", Protocol::Http);
    check("port: 80, name: grpc-web-api", Protocol::Http);
    check("port: 80, name: grpc-website", Protocol::Http2);
    check("port: 443, name: https", Protocol::Tls);
    check("port: 443, name: tls-a", Protocol::Tls);
    check("port: 80, name: tcp-a", Protocol::Tcp);
    check("port: 80, name: mongo", Protocol::Tcp);
    check("port: 80, name: web", Protocol::Detect);
    check("port: 80, name: http, appProtocol: tcp", Protocol::Tcp);
    check("port: 80, appProtocol: HTTP2", Protocol::Http2);
    check("port: 80, appProtocol: kubernetes.io/h2c", Protocol::Http2);
    check("port: 80, appProtocol: kubernetes.io/ws", Protocol::Http);
    check("port: 80, appProtocol: kubernetes.io/wss", Protocol::Tls);
    check("port: 80, appProtocol: linkerd.io/opaque", Protocol::Tcp);
    check("port: 80, name: http, appProtocol: example.com/x", Protocol::Http);
    check("port: 3306", Protocol::Tcp);
    check("port: 3306, name: http", Protocol::Http);
    check("port: 11211", Protocol::Tcp);
    check("port: 11212", Protocol::Detect);
}

#[test]
fn slices_may_tell_what_is_spoken() {
    let slice = slice("payments", "{addresses: [10.0.0.9]}")
        .replace("{port: 3000}", "{port: 3000, appProtocol: kubernetes.io/h2c}");
    let endpoints = "apiVersion: v1
kind: Endpoints
metadata: {name: payments}
subsets: [{addresses: [{ip: 10.0.0.9}], ports: [{port: 3000, appProtocol: kubernetes.io/h2c}]}]
---
";
    for (port, expected) in [
        ("{port: 80}", Protocol::Http2),
        ("{port: 80, name: tcp-a}", Protocol::Http2),
        ("{port: 80, appProtocol: http}", Protocol::Http),
    ] {
        for ends in [&slice, endpoints] {
            let text = payments(&format!("ports: [{port}]")) + ends;
            let world = clean(&text, &[]);
            let ports = &world.mesh.index.entries[PAYMENTS].ports;
            assert_eq!(ports[0].protocol, expected, "{text}");
        }
    }
}

#[test]
fn annotations_list_opaque_ports() {
    let check = |own: &str, of_namespace: &str, expected: [Protocol; 3]| {
        let annotation = |text: &str| match text {
            "" => String::new(),
            text => format!("config.linkerd.io/opaque-ports: '{text}'"),
        };
        let metadata = format!("name: payments, annotations: {{{}}}", annotation(own));
        let ports = "{name: a, port: 80}, {name: http-b, port: 8081}, {name: c, port: 3306}";
        let text = document("v1", "Service", &metadata, &format!("ports: [{ports}]"))
            + &namespace("default", &annotation(of_namespace));
        let world = clean(&text, &[]);
        let ports = &world.mesh.index.entries[PAYMENTS].ports;
        let found: Vec<Protocol> = ports.iter().map(|port| port.protocol).collect();
        assert_eq!(found, expected, "{own:?} {of_namespace:?}");
    };
    use Protocol::{Detect, Http, Tcp};
    check("", "", [Detect, Http, Tcp]);
    check("80", "", [Tcp, Http, Detect]);
    check("8000-8100, a", "", [Tcp, Tcp, Detect]);
    check("http-b", "", [Detect, Tcp, Detect]);
    check("", "80", [Tcp, Http, Detect]);
    check("3306", "80", [Detect, Http, Tcp]);
    let text = "80,,x y,9-1,0,70000";
    let metadata =
        format!("name: payments, annotations: {{config.linkerd.io/opaque-ports: '{text}'}}");
    let world = world(&document("v1", "Service", &metadata, "ports: [{port: 80}]"), &[]);
    let found = problems(&world);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].contains("opaque-ports: `x y` is no port"), "{found:?}");
}

#[test]
fn what_services_say_holds_where_they_lead() {
    let check = |services: &str, own: &str, expected: Protocol| {
        let mut payments = workload("payments", 2);
        payments.ports = [port(8080, own)].into();
        let world = clean(services, &[payments]);
        assert_eq!(protocol(&world, "default/payments", 8080), expected, "{services} {own}");
    };
    let spec = |name: &str| {
        format!(
            "selector: {{app: payments}}, ports: [{{name: {name}, port: 80, targetPort: 8080}}]"
        )
    };
    let a = service_document("a", &spec("http"));
    check(&a, "", Protocol::Http);
    check(&a, "tcp", Protocol::Tcp);
    check(&(a.clone() + &service_document("b", &spec("http-b"))), "", Protocol::Http);
    check(&(a + &service_document("b", &spec("grpc"))), "", Protocol::Detect);
}

#[test]
fn addresses_come_from_the_document_or_the_range() {
    let given = "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd96::1'], ports: [{port: 80}]";
    let world = clean(&payments(given), &[]);
    assert_eq!(entry(&world, PAYMENTS), "10.96.0.1,fd96::1 80//Detect");
    let world = clean(&payments("ports: [{port: 80}]"), &[]);
    assigned(&world, PAYMENTS);
}

#[test]
fn of_two_services_with_one_address_the_older_has_it() {
    let spec = "clusterIP: 10.96.0.1, ports: [{port: 80}]";
    let metadata = "name: payments, creationTimestamp: '2026-01-01T00:00:00Z'";
    let old = document("v1", "Service", metadata, spec);
    let world = world(&(service_document("a", spec) + &old), &[]);
    assert_eq!(entry(&world, PAYMENTS), "10.96.0.1 80//Detect");
    assigned(&world, "a.default.svc.cluster.local");
    says(
        &world,
        "10.96.0.1:80 belongs to Service default/payments, and is no address of `a.default",
    );
    // With ports of their own, both have it.
    let other = spec.replace("port: 80", "port: 81");
    let world = clean(&(service_document("a", &other) + &old), &[]);
    assert_eq!(entry(&world, "a.default.svc.cluster.local"), "10.96.0.1 81//Detect");
}

#[test]
fn external_names_are_resolved_where_they_are_called() {
    let spec = "type: ExternalName, externalName: db.example.com, ports: [{port: 5432}]";
    let world = clean(&payments(spec), &[]);
    assert!(entry(&world, PAYMENTS).ends_with(" 5432//Tcp external"));
    assert_eq!(runs(&world, PAYMENTS), ["dns db.example.com 5432>5432"]);
    // One that names a service of the mesh is that service by another name.
    let alias = payments(
        "type: ExternalName, externalName: greeter.default.svc.cluster.local, ports: [{port: 8080}]",
    );
    let world = clean(&alias, &[workload("greeter", 2)]);
    assert_eq!(runs(&world, PAYMENTS), ["default/greeter 10.77.0.2 8080>8080 default/default"]);
    assert!(entry(&world, PAYMENTS).ends_with(" 8080//Detect"));
}

#[test]
fn external_names_without_ports_are_found_all_the_same() {
    let world = world(&payments("type: ExternalName, externalName: a.example"), &[]);
    assert!(entry(&world, PAYMENTS).ends_with(" 80/http/Http,443/https/Tls external"));
    assigned(&world, PAYMENTS);
    assert_eq!(runs(&world, PAYMENTS), ["dns a.example 80>80,443>443"]);
    says(&world, "it names no ports: 80 and 443 lead to the host that it names");
    // Of a service of the mesh it has the ports.
    let alias = "type: ExternalName, externalName: greeter.default.svc.cluster.local";
    let world = clean(&payments(alias), &[workload("greeter", 2)]);
    assert_eq!(runs(&world, PAYMENTS), ["default/greeter 10.77.0.2 8080>8080 default/default"]);
    assert!(entry(&world, PAYMENTS).ends_with(" 8080//Detect"));
}

#[test]
fn what_cannot_be_carried_is_said() {
    let check = |spec: &str, expected: &str| {
        says(&world(&payments(spec), &[workload("payments", 2)]), expected)
    };
    check("ports: [{port: 53, protocol: UDP}]", "spec.ports: port 53 is not TCP, and not carried");
    check("ports: [{name: a, port: 80}, {name: b, port: 80}]", "port 80 is there already");
    check(
        "selector: {app: payments}, ports: [{port: 80, targetPort: sql}]",
        "no workload of this service has a port `sql`",
    );
    check(
        "ports: [{port: 80, appProtocol: example.com/x}]",
        "appProtocol `example.com/x` is not known",
    );
}

#[test]
fn pods_with_proxies_of_the_field_are_spoken_to_with_identity() {
    let check = |metadata: &str, expected: &str| {
        let pod = pod("a", "payments", 5, metadata).replace("labels: {", "labels: {x: y, ");
        let text =
            payments("selector: {app: payments}, ports: [{port: 80, targetPort: 8080}]") + &pod;
        assert_eq!(
            runs(&clean(&text, &[]), PAYMENTS),
            [format!("default/a 10.0.0.5 80>8080 {expected}")]
        );
    };
    check("", "plain");
    check(", annotations: {ambient.istio.io/redirection: enabled}", "default/payments");
    check(", annotations: {ambient.istio.io/redirection: disabled}", "plain");
    let tunnel = pod("a", "payments", 5, "")
        .replace("labels: {", "labels: {networking.istio.io/tunnel: http, ");
    let text =
        payments("selector: {app: payments}, ports: [{port: 80, targetPort: 8080}]") + &tunnel;
    let world = clean(&text, &[]);
    assert_eq!(runs(&world, PAYMENTS), ["default/a 10.0.0.5 80>8080 default/payments"]);
    assert!(world.mesh.workloads.is_empty(), "its proxy is not ours");
}
