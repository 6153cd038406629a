//! What proxies know, for resources and registered workloads.

mod arriving;
mod clusters;
mod entry;
mod incremental;
mod members;
mod outbound;
mod protection;
mod report;
mod routing;
mod security;
mod service;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use weft_model::calling::{KeepAlive, PoolSettings};
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{
    Directory, Location, Mtls, Phase, Protocol, Registered, RegisteredPort, RegisteredWorkload,
    ServiceEndpoints, Transport, Workload,
};
use weft_resilience::settings::LimitSettings;
use weft_resources::load;

use super::*;

/// A ready workload `default/NAME` at 10.77.0.N with a proxy and port 8080.
pub(super) fn workload(name: &str, last: u8) -> RegisteredWorkload {
    let ip = IpAddr::from([10, 77, 0, last]);
    RegisteredWorkload {
        namespace: "default".into(),
        name: name.into(),
        service: name.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()).into(),
        labels: BTreeMap::new(),
        service_account: "default".into(),
        addrs: [ip].into(),
        ports: [port(8080, "")].into(),
        proxy: Some(SocketAddr::new(ip, 15008)),
        zone: None,
        phase: Phase::Ready,
    }
}

pub(super) fn port(number: u16, name: &str) -> RegisteredPort {
    RegisteredPort { number, name: name.into(), app_protocol: None }
}

/// The same with labels.
pub(super) fn labelled(name: &str, last: u8, labels: &[(&str, &str)]) -> RegisteredWorkload {
    let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    RegisteredWorkload { labels: labels.collect(), ..workload(name, last) }
}

pub(super) fn registered(workloads: &[RegisteredWorkload]) -> Registered {
    workloads.iter().cloned().collect()
}

/// A pool of connections with every bound, and with this besides for HTTP.
pub(super) fn every_bound(more: &str) -> String {
    format!(
        "{{tcp: {{maxConnections: 1, connectTimeout: 2s, \
         tcpKeepalive: {{probes: 3, time: 4s, interval: 5s}}, maxConnectionDuration: 6s, \
         idleTimeout: 7s}}, http: {{http1MaxPendingRequests: 8, http2MaxRequests: 9, \
         maxRequestsPerConnection: 10, maxRetries: 11, idleTimeout: 12s, \
         maxConcurrentStreams: 13, http2KeepAlive: {{interval: 15s, timeout: 14s}}{more}}}}}"
    )
}

/// What becomes of it.
pub(super) fn bounded() -> (LimitSettings, PoolSettings) {
    let limits = LimitSettings {
        connections: Some(1),
        pending: Some(8),
        requests: Some(9),
        retries: Some(11),
    };
    let secs = Duration::from_secs;
    let pool = PoolSettings {
        connect_timeout: secs(2),
        idle_timeout: secs(12),
        tcp_idle_timeout: Some(secs(7)),
        requests_per_connection_max: 10,
        connection_age_max: Some(secs(6)),
        h2_streams_max: 13,
        keep_alive: Some(KeepAlive { idle: secs(4), interval: secs(5), probes: 3 }),
        h2_keep_alive: Some((secs(15), secs(14))),
        ..PoolSettings::DEFAULT
    };
    (limits, pool)
}

pub(super) fn options() -> MeshOptions {
    MeshOptions::new(TrustDomain::default())
}

pub(super) fn world(text: &str, workloads: &[RegisteredWorkload]) -> MeshWorld {
    compile_mesh(&load(&[("a.yaml", text)]), &registered(workloads), &options(), None)
}

/// The same where nothing may be wrong.
pub(super) fn clean(text: &str, workloads: &[RegisteredWorkload]) -> MeshWorld {
    let world = world(text, workloads);
    assert_eq!(problems(&world), Vec::<String>::new());
    world
}

pub(super) fn problems(world: &MeshWorld) -> Vec<String> {
    world.report.problems().iter().map(ToString::to_string).collect()
}

/// Asserts that just one problem is reported, which says this.
pub(super) fn says(world: &MeshWorld, expected: &str) {
    let problems = problems(world);
    let is_said = problems.len() == 1 && problems[0].contains(expected);
    assert!(is_said, "expected {expected:?}, found {problems:?}");
}

/// The names of all services.
pub(super) fn names(world: &MeshWorld) -> Vec<&str> {
    world.mesh.services.keys().map(ServiceName::as_str).collect()
}

/// The addresses, ports and location of a service, or an empty text.
pub(super) fn entry(world: &MeshWorld, name: &str) -> String {
    let Some(entry) = world.mesh.index.entries.get(name) else { return String::new() };
    let ips = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let ports: Vec<String> = entry
        .ports
        .iter()
        .map(|port| format!("{}/{}/{:?}", port.number, port.name, port.protocol))
        .collect();
    let location = match entry.location {
        Location::Mesh | Location::Unguarded => "",
        Location::External => " external",
    };
    let endpoint_addrs = match &*entry.endpoint_addrs {
        [] => String::new(),
        addrs => format!(" at {}", ips(addrs)),
    };
    format!("{} {}{endpoint_addrs}{location}", ips(&entry.addrs), ports.join(","))
}

/// Where a service runs, one place a line: workload, address, ports, and `plain` or the identity.
pub(super) fn runs(world: &MeshWorld, name: &str) -> Vec<String> {
    let service = world.mesh.services.get(name).expect("the service is there");
    let pairs = |ports: &[(u16, u16)]| {
        ports.iter().map(|(from, to)| format!("{from}>{to}")).collect::<Vec<_>>().join(",")
    };
    match &service.endpoints {
        ServiceEndpoints::Known(endpoints) => endpoints
            .iter()
            .map(|endpoint| {
                let way = match &endpoint.transport {
                    Transport::Plain => "plain".to_owned(),
                    Transport::Mesh(peer) => {
                        assert_eq!(peer.addr, SocketAddr::new(endpoint.ip, 15008));
                        let identity = &peer.identity;
                        format!("{}/{}", identity.namespace(), identity.service_account())
                    }
                };
                let hostname = endpoint.hostname.iter().map(|name| format!(" as {name}"));
                let weight = if endpoint.weight == 1 {
                    String::new()
                } else {
                    format!(" x{}", endpoint.weight)
                };
                let zone = endpoint.locality.iter().map(|zone| format!(" in {zone}"));
                let rest: String = hostname.chain(zone).chain([weight]).collect();
                let ports = pairs(&endpoint.ports);
                format!("{} {} {ports} {way}{rest}", endpoint.workload, endpoint.ip)
            })
            .collect(),
        ServiceEndpoints::Dns { name, ports } => vec![format!("dns {name} {}", pairs(ports))],
        ServiceEndpoints::Dialled => vec!["dialled".into()],
    }
}

pub(super) fn of<'w>(world: &'w MeshWorld, name: &str) -> &'w Arc<Workload> {
    world.mesh.workloads.get(&WorkloadName::new(name)).expect("the workload is there")
}

/// What is asked of callers of a port: `Strict`, or why it is closed.
pub(super) fn asked(world: &MeshWorld, name: &str, port: u16) -> String {
    let port = of(world, name).port(port);
    match port.closed {
        Some(refusal) => format!("{}: {}", refusal.reason.label(), refusal.detail),
        None => format!("{:?}", port.mtls),
    }
}

pub(super) fn protocol(world: &MeshWorld, name: &str, port: u16) -> Protocol {
    of(world, name).port(port).protocol
}

/// A document of a kind, with the rest of its metadata and its spec as flow maps.
pub(super) fn document(api: &str, kind: &str, metadata: &str, spec: &str) -> String {
    format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n---\n")
}

pub(super) fn service_document(name: &str, spec: &str) -> String {
    document("v1", "Service", &format!("name: {name}"), spec)
}

/// A Secret of one value.
pub(super) fn secret(name: &str, key: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n\
         stringData: {{{key}: {value:?}}}\n---\n"
    )
}

/// The certificate of an authority, PEM; always the same.
pub(super) fn authority() -> &'static str {
    static PEM: LazyLock<String> = LazyLock::new(|| {
        let made = rcgen::generate_simple_self_signed(["authority.example".to_owned()]);
        made.expect("it can be made").cert.pem()
    });
    &PEM
}

pub(super) fn istio(kind: &str, metadata: &str, spec: &str) -> String {
    document("networking.istio.io/v1", kind, metadata, spec)
}

pub(super) fn security(kind: &str, metadata: &str, spec: &str) -> String {
    document("security.istio.io/v1", kind, metadata, spec)
}

pub(super) fn namespace(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\n---\n"
    )
}

/// The address that a name gets in the usual range when nobody else has it.
pub(super) fn assigned(world: &MeshWorld, name: &str) -> IpAddr {
    let entry = world.mesh.index.entries.get(name).expect("the service is there");
    let addr = entry.addrs[0];
    assert!(options().service_range.v4.contains(&match addr {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(_) => panic!("the first address is of IPv4"),
    }));
    addr
}

#[test]
fn a_registered_workload_alone_is_a_service() {
    let mut payments = workload("payments", 2);
    payments.ports = [port(8080, ""), port(9090, "grpc-api")].into();
    let world = clean("", &[payments]);
    const NAME: &str = "payments.default.svc.cluster.local";
    assert_eq!(names(&world), [NAME]);
    let directory = Directory::new(world.mesh.index.entries.values());
    let found = directory.resolve("payments", "default", "cluster.local");
    assert_eq!(found.map(|named| named.service.name()), Some(NAME));
    let entry = &world.mesh.index.entries[NAME];
    assert_eq!(entry.addrs.len(), 2, "one of each family");
    assigned(&world, NAME);
    let shown = super::tests::entry(&world, NAME);
    assert!(shown.ends_with(" 8080//Detect,9090/grpc-api/Http2"), "{shown}");
    assert_eq!(
        runs(&world, NAME),
        ["default/payments 10.77.0.2 8080>8080,9090>9090 default/default"]
    );
    let own = of(&world, "default/payments");
    assert_eq!(own.identity.as_str(), "spiffe://cluster.local/ns/default/sa/default");
    assert_eq!((own.mtls, own.closed.is_none()), (Mtls::Permissive, true));
    assert_eq!(protocol(&world, "default/payments", 9090), Protocol::Http2);
    assert_eq!(protocol(&world, "default/payments", 8080), Protocol::Detect);
}

#[test]
fn instances_share_a_service() {
    let mut second = workload("payments-2", 3);
    second.namespace = "default".into();
    second.ports = [port(8080, ""), port(8081, "http")].into();
    let mut third = workload("payments-3", 4);
    third.namespace = "shop".into();
    let world = clean("", &[workload("payments", 2), second, third]);
    assert_eq!(
        names(&world),
        ["payments.default.svc.cluster.local", "payments.shop.svc.cluster.local"]
    );
    assert_eq!(
        runs(&world, "payments.default.svc.cluster.local"),
        [
            "default/payments 10.77.0.2 8080>8080 default/default",
            "default/payments-2 10.77.0.3 8080>8080,8081>8081 default/default",
        ]
    );
}

#[test]
fn only_those_that_take_calls_are_called() {
    let phases = [Phase::Ready, Phase::Unready, Phase::Terminating];
    let workloads: Vec<_> = (2..)
        .zip(phases)
        .map(|(last, phase)| RegisteredWorkload {
            phase,
            ..workload(&format!("payments-{last}"), last)
        })
        .collect();
    let world = clean("", &workloads);
    let runs = runs(&world, "payments.default.svc.cluster.local");
    assert_eq!(runs, ["default/payments-2 10.77.0.2 8080>8080 default/default"]);
    // Their proxies need to know who they are before they can be ready.
    assert_eq!(world.mesh.workloads.len(), 3);
    let none: Vec<_> =
        workloads[1..].iter().map(|workload| RegisteredWorkload { ..workload.clone() }).collect();
    let world = clean("", &none);
    assert_eq!(super::tests::runs(&world, "payments.default.svc.cluster.local"), [""; 0]);
}

#[test]
fn without_a_proxy_calls_are_plain() {
    let world = clean("", &[RegisteredWorkload { proxy: None, ..workload("payments", 2) }]);
    let runs = runs(&world, "payments.default.svc.cluster.local");
    assert_eq!(runs, ["default/payments 10.77.0.2 8080>8080 plain"]);
    assert!(world.mesh.workloads.is_empty());
}

#[test]
fn a_workload_without_an_identity_is_not_called() {
    let world = world(
        "",
        &[RegisteredWorkload { service_account: "a/b".into(), ..workload("payments", 2) }],
    );
    assert_eq!(names(&world), [""; 0]);
    says(
        &world,
        "workload default/payments: error: it is no part of the mesh: `a/b` is not a name",
    );
}
