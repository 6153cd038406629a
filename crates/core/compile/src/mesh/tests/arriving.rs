//! What is said of calls that arrive, and of what a workload may call: rate limits, Sidecars, and who
//! sees what.

use weft_model::mesh::{Egress, UnknownDestinations, WorkloadPort};
use weft_model::policy::{LocalRateLimit, StepKind};
use weft_resilience::settings::RateSettings;

use super::*;

fn linkerd(api: &str, kind: &str, metadata: &str, spec: &str) -> String {
    document(&format!("policy.linkerd.io/{api}"), kind, metadata, spec)
}

fn server(spec: &str) -> String {
    let open = "podSelector: {}, port: 8080, accessPolicy: all-unauthenticated";
    linkerd("v1beta3", "Server", "name: s", &format!("{open}{spec}"))
}

fn limit(name: &str, spec: &str) -> String {
    let target = "targetRef: {group: policy.linkerd.io, kind: Server, name: s}";
    let metadata = format!("name: {name}");
    linkerd("v1alpha1", "HTTPLocalRateLimitPolicy", &metadata, &format!("{target}, {spec}"))
}

fn payments(world: &MeshWorld) -> WorkloadPort {
    of(world, "default/payments").port(8080)
}

fn per_second(average: u64) -> RateSettings {
    RateSettings { average, period: std::time::Duration::from_secs(1), burst: average }
}

fn rates(port: &WorkloadPort) -> Vec<LocalRateLimit> {
    let rate = |step: &Arc<weft_model::policy::Step>| match &step.kind {
        StepKind::LocalRateLimit(rate) => (**rate).clone(),
        other => panic!("{other:?}"),
    };
    port.steps.iter().map(rate).collect()
}

#[test]
fn a_server_may_bound_requests_by_caller() {
    let text = server("")
        + &limit(
            "l",
            "total: {requestsPerSecond: 100}, identity: {requestsPerSecond: 20},
             overrides: [{requestsPerSecond: 50, clientRefs: [{kind: ServiceAccount, name: web, namespace: shop}]}]",
        );
    let world = clean(&text, &[workload("payments", 2)]);
    let web = vec!["spiffe://cluster.local/ns/shop/sa/web".into()];
    let expected = LocalRateLimit {
        total: Some(per_second(100)),
        identity: Some(per_second(20)),
        overrides: vec![(web, per_second(50))],
    };
    let port = payments(&world);
    assert_eq!((rates(&port), port.closed), (vec![expected], None));
    assert_eq!(of(&world, "default/payments").port(9090).steps.len(), 0);
}

#[test]
fn of_two_bounds_on_a_server_the_older_one_holds() {
    let text = server("")
        + &limit("a", "total: {requestsPerSecond: 1}")
        + &limit("b", "total: {requestsPerSecond: 2}");
    let world = world(&text, &[workload("payments", 2)]);
    assert_eq!(rates(&payments(&world))[0].total, Some(per_second(1)));
    says(&world, "HTTPLocalRateLimitPolicy default/a is older and holds instead");
}

#[test]
fn a_bound_that_cannot_be_kept_closes_the_port() {
    let text = server(", proxyProtocol: opaque") + &limit("a", "total: {requestsPerSecond: 1}");
    let world = world(&text, &[workload("payments", 2)]);
    assert!(payments(&world).closed.is_some());
    says(&world, "requests are not seen on a port that does not speak HTTP");
}

#[test]
fn an_own_policy_bounds_requests_where_they_arrive() {
    let policy = |spec: &str| {
        document(
            "weftway.io/v1alpha1",
            "TrafficPolicy",
            "name: p",
            &format!(
                "targetRefs: [{{group: '', kind: Service, name: pay, {spec}}}], localRateLimit: {{
                     total: {{requestsPerSecond: 3, burst: 5}},
                     perIdentity: {{requestsPerSecond: 2}},
                     overrides: [{{requestsPerSecond: 4, clientRefs:
                         [{{name: web}}, {{name: batch, namespace: jobs}}]}}]}}"
            ),
        )
    };
    let service = service_document(
        "pay",
        "selector: {app: payments}, ports: [{port: 80, targetPort: 8080, name: http}, {port: 81, targetPort: 8081, name: other}]",
    );
    let compile =
        |spec: &str| clean(&(service.clone() + &policy(spec)), &[workload("payments", 2)]);
    let caller = |name: &str| format!("spiffe://cluster.local/ns/{name}").into();
    let expected = LocalRateLimit {
        total: Some(RateSettings { burst: 5, ..per_second(3) }),
        identity: Some(per_second(2)),
        overrides: vec![(vec![caller("default/sa/web"), caller("jobs/sa/batch")], per_second(4))],
    };
    let all = compile("");
    let at = |world: &MeshWorld, port| rates(&of(world, "default/payments").port(port));
    assert_eq!((at(&all, 8080), at(&all, 8081)), (vec![expected.clone()], vec![expected.clone()]));
    for one in ["port: 80", "sectionName: http"] {
        let one = compile(one);
        assert_eq!((at(&one, 8080), at(&one, 8081)), (vec![expected.clone()], Vec::new()));
    }
}

#[test]
fn a_sidecar_says_where_calls_that_arrive_go() {
    let sidecar = istio(
        "Sidecar",
        "name: s",
        "ingress: [{port: {number: 8080, protocol: HTTP, name: http}, defaultEndpoint: '0.0.0.0:3000',
                    connectionPool: {tcp: {maxConnections: 7}}},
                   {port: {number: 9090, protocol: GRPC, name: grpc}, defaultEndpoint: '127.0.0.1:9090'}],
         inboundConnectionPool: {http: {http2MaxRequests: 9}}",
    );
    let world = world(&sidecar, &[workload("payments", 2)]);
    let port = |number| of(&world, "default/payments").port(number);
    let limits = |number| port(number).calling.map(|calling| calling.limits);
    assert_eq!((port(8080).protocol, port(8080).forward), (Protocol::Http, Some(3000)));
    assert_eq!(limits(8080).and_then(|limits| limits.connections), Some(7));
    assert_eq!(limits(8080).and_then(|limits| limits.requests), None);
    assert_eq!((port(9090).protocol, port(9090).forward), (Protocol::Http2, None));
    assert_eq!(limits(9090).and_then(|limits| limits.requests), Some(9));
    says(&world, "which is not the loopback address");
}

fn egress(world: &MeshWorld, workload: &str) -> Option<Vec<String>> {
    let one = |egress: &Egress| {
        let Egress { namespace, host, port, excluded } = egress;
        let sign = if *excluded { "-" } else { "" };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{sign}{namespace}/{host}{port}")
    };
    of(world, workload).egress.as_ref().map(|all| all.iter().map(one).collect())
}

#[test]
fn a_sidecar_says_what_may_be_called() {
    let entry = istio(
        "ServiceEntry",
        "name: e, namespace: shop",
        "hosts: [api.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS",
    );
    let sidecar = istio(
        "Sidecar",
        "name: s",
        "egress: [{port: {number: 9000, protocol: TCP, name: tcp}, hosts: ['*/*']},
                  {hosts: ['./*', 'shop/*', 'istio-system/a.istio-system.svc.cluster.local']}]",
    );
    let workloads = [workload("payments", 2)];
    let world = world(&(entry + &sidecar), &workloads);
    says(&world, "on this port the hosts of listeners without a port are seen, too");
    assert_eq!(
        egress(&world, "default/payments").expect("not everything"),
        [
            "*/*:9000",
            "default/*",
            "shop/*",
            "*/api.example",
            "istio-system/a.istio-system.svc.cluster.local",
        ]
    );
    assert_eq!(egress(&clean("", &workloads), "default/payments"), None);
    let none = istio("Sidecar", "name: s", "egress: [{hosts: ['~/*']}]");
    assert_eq!(egress(&clean(&none, &workloads), "default/payments"), Some(Vec::new()));
}

#[test]
fn who_sees_a_service_entry_is_said_by_export_to() {
    let entry = istio(
        "ServiceEntry",
        "name: e, namespace: shop",
        "hosts: [api.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, exportTo: [., other]",
    );
    let there = |namespace: &str, last| RegisteredWorkload {
        namespace: namespace.into(),
        ..workload("payments", last)
    };
    let workloads = [there("default", 2), there("shop", 3), there("other", 4)];
    let world = clean(&entry, &workloads);
    assert_eq!(
        egress(&world, "default/payments").expect("not everything"),
        ["*/*", "-*/api.example"]
    );
    assert_eq!(egress(&world, "shop/payments"), None);
    assert_eq!(egress(&world, "other/payments"), None);
    let metadata = "name: p, namespace: shop, annotations: {networking.istio.io/exportTo: '.'}";
    let service = document("v1", "Service", metadata, "ports: [{port: 80}]");
    let world = clean(&service, &workloads);
    assert_eq!(
        egress(&world, "other/payments").expect("not everything"),
        ["*/*", "-*/p.shop.svc.cluster.local"]
    );
    assert_eq!(egress(&world, "shop/payments"), None);
}

#[test]
fn a_network_may_forbid_what_the_mesh_does_not_know() {
    let network = |namespace: &str, spec: &str| {
        linkerd("v1alpha1", "EgressNetwork", &format!("name: n, namespace: {namespace}"), spec)
    };
    let workloads = [workload("payments", 2)];
    let unknown = |text: &str| of(&world(text, &workloads), "default/payments").unknown;
    use UnknownDestinations::{Allow, Refuse};
    assert_eq!(unknown(&network("default", "trafficPolicy: Deny")), Refuse);
    assert_eq!(unknown(&network("shop", "trafficPolicy: Deny")), Allow);
    let global = network("linkerd-egress", "trafficPolicy: Deny");
    assert_eq!(unknown(&global), Refuse);
    assert_eq!(unknown(&(global + &network("default", "trafficPolicy: Allow"))), Allow);
    let some = network("default", "trafficPolicy: Deny, networks: [{cidr: 10.0.0.0/8}]");
    assert_eq!(unknown(&some), Refuse);
    says(&world(&some, &workloads), "networks are not told apart");
    assert_eq!(unknown(&network("default", "trafficPolicy: 5")), Refuse);
}
