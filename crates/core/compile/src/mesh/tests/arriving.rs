//! What is said of calls that arrive, and of what a workload may call: rate limits, Sidecars, and who
//! sees what.

use weft_model::calling::HttpUpgrade;
use weft_model::mesh::{Egress, Outside, UnknownDestinations, WorkloadPort};
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
fn where_no_proxy_counts_what_arrives_it_is_told() {
    let policy = |rate: u32| {
        let spec = format!(
            "targetRefs: [{{group: '', kind: Service, name: pay}}],
             localRateLimit: {{total: {{requestsPerSecond: {rate}}}}}"
        );
        document("weftway.io/v1alpha1", "TrafficPolicy", "name: p", &spec)
    };
    let selected = service_document("pay", "selector: {app: payments}, ports: [{port: 80}]");
    let named = service_document("pay", "ports: [{port: 80}]");
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {name: pay-1, labels: {kubernetes.io/service-name: pay}}\n\
                 addressType: IPv4\nports: [{port: 3000}]\nendpoints: [{addresses: [10.9.9.9]}]\n---\n";
    let entry = istio(
        "WorkloadEntry",
        "name: vm, labels: {app: payments}",
        "address: 10.9.9.8, labels: {app: payments}",
    );
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: pod, labels: {app: payments}, \
               annotations: {ambient.istio.io/redirection: enabled}}\n\
               status: {podIPs: [{ip: 10.9.9.7}], conditions: [{type: Ready, status: 'True'}]}\n---\n";
    let meshed = [workload("payments", 2)];
    let location =
        |world: &MeshWorld| world.mesh.index.entries["pay.default.svc.cluster.local"].location;
    let check = |text: &str, workloads: &[RegisteredWorkload], missing: &str| {
        let name = "`pay.default.svc.cluster.local`";
        let said = format!("no proxy of the mesh stands at {missing} of {name}");
        let world = world(&format!("{text}{}", policy(1)), workloads);
        says(&world, &format!("{said}: `localRateLimit` holds there at a gateway alone"));
        assert_eq!(location(&world), Location::Unguarded);
        // One that cannot be obeyed is an error, as nobody is kept from calling.
        let broken = super::world(&format!("{text}{}", policy(0)), workloads);
        let problems = broken.report.problems();
        let found = problems.iter().find(|problem| problem.message.starts_with(&said));
        assert!(found.is_some_and(|problem| problem.is_error()), "{problems:?}");
    };
    check(&format!("{named}{slice}"), &[], "1 of the 1 endpoints");
    check(&format!("{selected}{entry}"), &meshed, "1 of the 2 endpoints");
    let without = RegisteredWorkload { proxy: None, ..workload("payments", 3) };
    check(&selected, &[without], "1 of the 1 endpoints");
    // Its proxy is none that asks us.
    check(&format!("{selected}{pod}"), &[], "1 of the 1 endpoints");
    for workloads in [&meshed[..], &[]] {
        let world = clean(&format!("{selected}{}", policy(1)), workloads);
        assert_eq!(location(&world), Location::Mesh);
    }
}

#[test]
fn a_sidecar_says_where_calls_that_arrive_go() {
    let sidecar = istio(
        "Sidecar",
        "name: s",
        "ingress: [{port: {number: 8080, protocol: HTTP}, defaultEndpoint: '0.0.0.0:3000',
                    connectionPool: {tcp: {maxConnections: 7}}},
                   {port: {number: 9090, protocol: GRPC}, defaultEndpoint: '127.0.0.1:9090'}],
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

#[test]
fn every_bound_of_a_pool_holds_for_calls_that_arrive() {
    let (limits, settings) = bounded();
    for (written, upgrade) in [
        ("h2UpgradePolicy: UPGRADE", HttpUpgrade::Http2),
        ("useClientProtocol: true", HttpUpgrade::AsClient),
    ] {
        let pool = every_bound(&format!(", {written}"));
        let port = "{number: 8080, protocol: HTTP}";
        for spec in [
            format!("inboundConnectionPool: {pool}"),
            format!("ingress: [{{port: {port}, connectionPool: {pool}}}]"),
        ] {
            let world = clean(&istio("Sidecar", "name: s", &spec), &[workload("payments", 2)]);
            let calling = of(&world, "default/payments").port(8080).calling.expect("it has a pool");
            assert_eq!((calling.limits, calling.upgrade), (limits, upgrade), "{spec}");
            assert_eq!(calling.pool, settings, "{spec}");
        }
    }
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
        "egress: [{port: {number: 9000}, hosts: ['*/*']},
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
    // Of those that do not say it themselves.
    let config = "apiVersion: v1\nkind: ConfigMap\n\
                  metadata: {name: istio, namespace: istio-system}\n\
                  data: {mesh: 'defaultServiceExportTo: [.]'}\n---\n";
    let open = service.replace("networking.istio.io/exportTo: '.'", "");
    let world = clean(&(config.to_owned() + &open), &workloads);
    assert_eq!(
        egress(&world, "other/payments").expect("not everything"),
        ["*/*", "-*/p.shop.svc.cluster.local"]
    );
}

fn network(metadata: &str, spec: &str) -> String {
    linkerd("v1alpha1", "EgressNetwork", metadata, spec)
}

#[test]
fn networks_hold_for_their_own_namespace_or_for_all() {
    let workloads = [workload("payments", 2)];
    let outside = |text: &str| -> Vec<String> {
        let world = world(text, &workloads);
        let own = of(&world, "default/payments");
        // None of them closes what the mesh does not know as a whole.
        assert_eq!(own.unknown, UnknownDestinations::Allow);
        let one = |outside: &Outside| {
            let except = outside.range.except.iter().map(|net| format!(" but {net}"));
            format!("{}{} {}", outside.range.within, except.collect::<String>(), outside.network)
        };
        own.outside.iter().map(one).collect()
    };
    let all = |name: &str| {
        ["0.0.0.0/0", "::/0"].map(|net| format!("{net} EgressNetwork/{name}")).to_vec()
    };
    let own = network("name: n", "trafficPolicy: Deny");
    assert_eq!(outside(&own), all("default/n"));
    let theirs = network("name: n, namespace: shop", "trafficPolicy: Deny");
    assert_eq!(outside(&theirs), [""; 0]);
    let global = network("name: g, namespace: linkerd-egress", "trafficPolicy: Deny");
    assert_eq!(outside(&(global + &own)), [all("default/n"), all("linkerd-egress/g")].concat());
    // Longer prefixes come first.
    let some = "trafficPolicy: Deny, networks: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]},
                                                {cidr: 10.2.3.0/24}]";
    let more = network("name: a", "trafficPolicy: Allow, networks: [{cidr: 10.2.0.0/16}]");
    assert_eq!(
        outside(&(network("name: n", some) + &more)),
        [
            "10.2.3.0/24 EgressNetwork/default/n",
            "10.2.0.0/16 EgressNetwork/default/a",
            "10.0.0.0/8 but 10.1.0.0/16 EgressNetwork/default/n",
        ]
    );
    // What one forbids that cannot be read is not known.
    let broken = network("name: z", "trafficPolicy: 5, networks: [{cidr: 10.2.0.0/16}]");
    assert_eq!(outside(&(more + &broken))[..2], all("default/z"));
    let said = problems(&world(&broken, &workloads));
    assert!(said.iter().any(|one| one.contains("are refused until it can be read")), "{said:?}");
}
