//! ServiceEntries.

use super::*;

fn service_entry(spec: &str) -> String {
    istio("ServiceEntry", "name: e", spec)
}

const HTTP: &str = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]";

#[test]
fn static_ones_run_at_their_endpoints() {
    let spec = |location: &str| {
        format!(
            "hosts: [api.example.com], location: {location}, resolution: STATIC, {HTTP}, \
             endpoints: [{{address: 10.0.0.1}}, {{address: 10.77.0.2, ports: {{http: 9090}}, weight: 2}}]"
        )
    };
    let check = |location: &str, last: &str, suffix: &str| {
        let world = clean(&service_entry(&spec(location)), &[workload("payments", 2)]);
        assert_eq!(
            runs(&world, "api.example.com"),
            [
                "default/10.0.0.1 10.0.0.1 80>8080 plain",
                &format!("default/payments 10.77.0.2 80>9090 {last} x2"),
            ]
        );
        assigned(&world, "api.example.com");
        let entry = entry(&world, "api.example.com");
        assert!(entry.ends_with(&format!(" 80/http/Http{suffix}")), "{entry}");
        // It selects nothing, so the workload has a service of its own, too.
        assert_eq!(names(&world), ["api.example.com", "payments.default.svc.cluster.local"]);
    };
    check("MESH_INTERNAL", "default/default", "");
    check("MESH_EXTERNAL", "plain", " external");
}

#[test]
fn endpoints_may_have_proxies() {
    let endpoint =
        "{address: 10.0.0.1, serviceAccount: vm, labels: {networking.istio.io/tunnel: http}}";
    let check = |location: &str, expected: &str| {
        let spec = format!(
            "hosts: [api.example.com], location: {location}, resolution: STATIC, {HTTP}, endpoints: [{endpoint}]"
        );
        let world = clean(&service_entry(&spec), &[]);
        assert_eq!(
            runs(&world, "api.example.com"),
            [format!("default/10.0.0.1 10.0.0.1 80>8080 {expected}")]
        );
    };
    check("MESH_INTERNAL", "default/vm");
    check("MESH_EXTERNAL", "plain");
}

#[test]
fn selectors_find_workloads() {
    let spec = format!(
        "hosts: [api.example.com], location: MESH_INTERNAL, resolution: STATIC, {HTTP}, workloadSelector: {{labels: {{app: payments}}}}"
    );
    let vm = istio(
        "WorkloadEntry",
        "name: vm",
        "address: 10.1.0.1, labels: {app: payments}, ports: {http: 7070}",
    );
    let world = clean(&(service_entry(&spec) + &vm), &[workload("payments", 2)]);
    assert_eq!(names(&world), ["api.example.com"]);
    assert_eq!(
        runs(&world, "api.example.com"),
        ["default/payments 10.77.0.2 80>8080 default/default", "default/vm 10.1.0.1 80>7070 plain",]
    );
}

#[test]
fn an_entry_with_a_proxy_is_a_workload() {
    let vm = |labels: &str| {
        let spec = format!("address: 10.1.0.1, serviceAccount: vm, labels: {{{labels}}}");
        istio("WorkloadEntry", "name: vm", &spec)
    };
    let world = clean(&vm("networking.istio.io/tunnel: http"), &[]);
    let workload = &world.mesh.workloads[&WorkloadName::new("default/vm")];
    assert_eq!(workload.identity.to_string(), "spiffe://cluster.local/ns/default/sa/vm");
    assert_eq!(*workload.addrs, ["10.1.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert!(clean(&vm("app: vm"), &[]).mesh.workloads.is_empty());
}

#[test]
fn hosts_have_addresses_unless_they_are_dialled_as_they_are() {
    let check = |spec: &str, host: &str, expected: &str, runs: &str| {
        let world = world(&service_entry(spec), &[]);
        let entry = entry(&world, host);
        let addrs = entry.split(' ').next().unwrap_or_default();
        let addrs = if addrs.starts_with("10.78.") { "assigned" } else { addrs };
        assert_eq!(
            (addrs, super::runs(&world, host).join(";").as_str()),
            (expected, runs),
            "{spec}"
        );
    };
    let hosts = "hosts: [api.example.com]";
    check(
        &format!("{hosts}, {HTTP}, resolution: DNS"),
        "api.example.com",
        "assigned",
        "dns api.example.com 80>8080",
    );
    check(&format!("{hosts}, {HTTP}"), "api.example.com", "", "dialled");
    check(
        &format!("{hosts}, {HTTP}, addresses: [10.9.0.1]"),
        "api.example.com",
        "10.9.0.1",
        "dialled",
    );
    check(
        &format!(
            "{hosts}, {HTTP}, resolution: DNS, endpoints: [{{address: a.example, ports: {{http: 81}}}}]"
        ),
        "api.example.com",
        "assigned",
        "dns a.example 80>81",
    );
    check(
        &format!(
            "{hosts}, {HTTP}, resolution: DNS, endpoints: [{{address: 10.0.0.1}}, {{address: 10.0.0.2}}]"
        ),
        "api.example.com",
        "assigned",
        "default/10.0.0.1 10.0.0.1 80>8080 plain;default/10.0.0.2 10.0.0.2 80>8080 plain",
    );
    check(
        &format!("hosts: ['*.example.com'], {HTTP}, resolution: NONE"),
        "*.example.com",
        "",
        "dialled",
    );
    check(
        &format!("hosts: [API.Example.com.], {HTTP}, resolution: DNS"),
        "api.example.com",
        "assigned",
        "dns api.example.com 80>8080",
    );
    check(
        &format!("hosts: [greeter], {HTTP}, resolution: DNS"),
        "greeter.default.svc.cluster.local",
        "assigned",
        "dns greeter 80>8080",
    );
    check(
        &format!("hosts: [a.b.svc], {HTTP}, resolution: DNS"),
        "a.b.svc.cluster.local",
        "assigned",
        "dns a.b.svc 80>8080",
    );
}

#[test]
fn a_label_keeps_addresses_away() {
    let metadata = "name: e, labels: {networking.istio.io/enable-autoallocate-ip: 'false'}";
    let spec = format!("hosts: [api.example.com], resolution: DNS, {HTTP}");
    let world = clean(&istio("ServiceEntry", metadata, &spec), &[]);
    assert_eq!(entry(&world, "api.example.com"), " 80/http/Http external");
}

#[test]
fn hosts_of_one_entry_share_its_addresses() {
    let spec =
        format!("hosts: [a.example, b.example], addresses: [10.9.0.1], resolution: DNS, {HTTP}");
    let world = clean(&service_entry(&spec), &[]);
    for host in ["a.example", "b.example"] {
        assert_eq!(entry(&world, host), "10.9.0.1 80/http/Http external");
    }
}

#[test]
fn tcp_services_on_one_port_are_told_apart() {
    let one = |name: &str| {
        let spec = format!(
            "hosts: [{name}.example], resolution: DNS, ports: [{{number: 5432, name: tcp, protocol: TCP}}]"
        );
        istio("ServiceEntry", &format!("name: {name}"), &spec)
    };
    let world = clean(&(one("a") + &one("b")), &[]);
    assert_ne!(assigned(&world, "a.example"), assigned(&world, "b.example"));
}

#[test]
fn the_older_of_two_for_one_host_holds() {
    let spec = format!("hosts: [a.example], resolution: DNS, {HTTP}");
    let old = "name: old, creationTimestamp: '2026-01-01T00:00:00Z'";
    let text = istio("ServiceEntry", "name: e", &spec.replace("DNS", "NONE"))
        + &istio("ServiceEntry", old, &spec);
    let world = world(&text, &[]);
    says(&world, "`a.example` is defined by ServiceEntry default/old and is not used here");
    assert_eq!(runs(&world, "a.example"), ["dns a.example 80>8080"]);
}

#[test]
fn protocols() {
    let check = |port: &str, expected: Protocol| {
        let spec = format!("hosts: [a.example], resolution: DNS, ports: [{{number: 80, {port}}}]");
        let world = world(&service_entry(&spec), &[]);
        assert_eq!(world.mesh.index.entries["a.example"].ports[0].protocol, expected, "{port}");
    };
    check("name: a", Protocol::Detect);
    check("name: http", Protocol::Http);
    check("name: a, protocol: HTTP", Protocol::Http);
    check("name: http, protocol: TCP", Protocol::Tcp);
    check("name: a, protocol: HTTPS", Protocol::Tls);
    check("name: a, protocol: TLS", Protocol::Tls);
    check("name: a, protocol: GRPC", Protocol::Http2);
    check("name: a, protocol: HTTP2", Protocol::Http2);
    check("name: a, protocol: GRPC-WEB", Protocol::Http);
    check("name: a, protocol: MONGO", Protocol::Tcp);
    check("name: a, protocol: THRIFT", Protocol::Detect);
}

#[test]
fn what_is_not_meant_so_is_said() {
    let check = |spec: &str, expected: &str| says(&world(&service_entry(spec), &[]), expected);
    check(
        &format!("hosts: [a.example], resolution: STATIC, {HTTP}"),
        "STATIC needs endpoints or a selector",
    );
    check(
        &format!("hosts: [a.example], {HTTP}, endpoints: [{{address: 10.0.0.1}}]"),
        "endpoints have no effect with the resolution NONE",
    );
    check(
        &format!(
            "hosts: [a.example], resolution: DNS, {HTTP}, endpoints: [{{address: b.example}}, {{address: c.example}}]"
        ),
        "only the first name is resolved",
    );
    check(
        "hosts: [a.example], resolution: DNS, ports: [{number: 53, name: dns, protocol: UDP}]",
        "port 53 is not TCP",
    );
    let vm = istio("WorkloadEntry", "name: vm", "address: vm.example");
    says(&world(&vm, &[]), "`vm.example` is a name, and workloads need an address");
    let both = "hosts: [a.example], resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 10.0.0.1}]";
    check(both, "exclude each other");
}

#[test]
fn what_is_known_by_name_alone_and_names_no_host_is_told() {
    let check = |spec: &str, expected: &str| {
        let world = world(&service_entry(&format!("hosts: [api.example.com], {spec}")), &[]);
        match expected {
            "" => assert_eq!(problems(&world), [""; 0], "{spec}"),
            expected => says(&world, expected),
        }
    };
    let tcp = "ports: [{number: 5432, name: sql, protocol: TCP}]";
    check(HTTP, "");
    check("ports: [{number: 443, name: tls, protocol: TLS}]", "");
    check(tcp, "calls to port 5432 name no host, and stay closed");
    check(&format!("{tcp}, addresses: [10.9.0.1]"), "");
    check(&format!("{tcp}, resolution: DNS"), "");
    check(&format!("{HTTP}, location: MESH_INTERNAL"), "without addresses it opens nothing");
}
