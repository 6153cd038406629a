//! Parts of services, and how destinations are called.

use weft_model::backend::Endpoints;
use weft_resilience::settings::PickerKind;

use super::{ask, clean, gateway, plain, service, world};
use crate::World;
use crate::gateway_api::tests::{addresses, assert_reported, find, mesh_index};

fn rule(host: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {}, namespace: shop}}
spec: {{host: {host}{rest}}}
---
",
        host.replace('.', "-")
    )
}

const SUBSETS: &str = ", subsets: [{name: v1, labels: {version: v1}}, \
                       {name: v2, labels: {version: v2}, \
                       trafficPolicy: {loadBalancer: {simple: RANDOM}}}]";

fn to_subset(host: &str, subset: &str) -> String {
    let rules =
        format!("  http: [{{route: [{{destination: {{host: {host}, subset: {subset}}}}}]}}]\n");
    service("a", 1, "'*'", &rules)
}

fn backend(world: &World) -> std::sync::Arc<weft_model::backend::Backend> {
    let route = find(world, 80, false, "GET a.example/").unwrap();
    let ids = route.target.backends();
    std::sync::Arc::clone(&world.snapshot.backends[ids[0]])
}

#[test]
fn a_subset_has_the_endpoints_whose_pods_have_its_labels() {
    for (subset, expected) in [("v1", "10.0.0.1:3000"), ("v2", "10.0.0.2:3000")] {
        let world = clean(&[
            &gateway(&[&plain("'*'")]),
            &rule("reviews", SUBSETS),
            &to_subset("reviews", subset),
        ]);
        let backend = backend(&world);
        assert_eq!(addresses(&backend), [expected]);
        assert_eq!(backend.id.as_str(), format!("shop/reviews:9080/{subset}+istio"));
        let picker = if subset == "v2" { PickerKind::Random } else { PickerKind::LeastRequest };
        assert_eq!(backend.calling.picker, picker);
    }
}

#[test]
fn endpoints_of_a_service_entry_have_labels_of_their_own() {
    let entry = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: legacy, namespace: data}
spec:
  hosts: [legacy.example.net]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
  - {address: 10.9.0.1, labels: {version: v1}}
  - {address: 10.9.0.2, labels: {version: v2}}
---
";
    let world = clean(&[
        &gateway(&[&plain("'*'")]),
        entry,
        &rule("legacy.example.net", SUBSETS),
        &to_subset("legacy.example.net", "v2"),
    ]);
    assert_eq!(addresses(&backend(&world)), ["10.9.0.2:8080"]);
}

#[test]
fn workload_entries_run_what_selects_them() {
    let entry = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: legacy, namespace: data}
spec:
  hosts: [legacy.example.net]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: legacy}}
---
";
    let workload = |name: &str, namespace: &str, last: u8, labels: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{address: 10.9.0.{last}, labels: {{{labels}}}}}
---
"
        )
    };
    let documents = [
        gateway(&[&plain("'*'")]),
        workload("one", "data", 1, "app: legacy, version: v1"),
        workload("two", "data", 2, "app: legacy, version: v2"),
        rule("legacy.example.net", SUBSETS),
        to_subset("legacy.example.net", "v2"),
    ];
    let text = documents.concat();
    assert_eq!(addresses(&backend(&clean(&[entry, &text]))), ["10.9.0.2:8080"]);
    let others =
        workload("other", "data", 3, "app: x") + &workload("far", "shop", 4, "app: legacy");
    let alone = world(&[entry, &gateway(&[&plain("'*'")]), &others]);
    assert_reported(&alone, "no WorkloadEntry of the namespace has these labels");
    assert_reported(&alone, "WorkloadEntry has no effect on a gateway");
}

#[test]
fn a_subset_that_nobody_knows_or_whose_labels_are_unknown_is_answered_503() {
    let documents = [gateway(&[&plain("'*'")]), rule("reviews", SUBSETS)];
    let [gateway, subsets] = &documents;
    let unknown = world(&[gateway, subsets, &to_subset("reviews", "v3")]);
    assert_eq!(ask(&unknown, "GET a.example/"), "503");
    assert_reported(&unknown, "no DestinationRule of `shop/reviews` has a subset `v3`");

    let labels = ", subsets: [{name: v1, labels: {version: v1}}]";
    let unsure = world(&[gateway, &rule("ratings", labels), &to_subset("ratings", "v1")]);
    assert_eq!(addresses(&backend(&unsure)), Vec::<String>::new());
    assert_reported(&unsure, "the labels of some of its endpoints are not known");
    assert_reported(&unsure, "it is answered 503");
}

#[test]
fn a_destination_without_a_port_has_the_only_one() {
    let two = "apiVersion: v1
kind: Service
metadata: {name: two, namespace: shop}
spec: {ports: [{port: 80, name: a}, {port: 81, name: b}]}
---
";
    let rules = "  http: [{route: [{destination: {host: two}}]}]\n";
    let world = world(&[&gateway(&[&plain("'*'")]), two, &service("a", 1, "'*'", rules)]);
    assert_eq!(ask(&world, "GET a.example/"), "503");
    assert_reported(&world, "service `shop/two` has several ports; name one");
}

#[test]
fn without_a_destination_rule_the_less_busy_of_two_is_called() {
    let rules = "  http: [{route: [{destination: {host: reviews}}]}]\n";
    let world = clean(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", rules)]);
    let backend = backend(&world);
    assert_eq!(backend.calling.picker, PickerKind::LeastRequest);
    assert!(matches!(&backend.endpoints, Endpoints::Static(all) if all.len() == 3));
}

#[test]
fn timeout_and_retries_of_a_destination_rule_hold_for_rules_without() {
    let policy = ", trafficPolicy: {timeout: 4s, retries: {attempts: 7}}";
    let rules = "  http:
  - {match: [{uri: {prefix: /own}}], timeout: 1s, route: [{destination: {host: reviews}}]}
  - {route: [{destination: {host: reviews}}]}
";
    let world = world(&[
        &gateway(&[&plain("'*'")]),
        &rule("reviews", policy),
        &service("a", 1, "'*'", rules),
    ]);
    let times = |line: &str| {
        let route = find(&world, 80, false, line).unwrap();
        let retry = route.timeouts.retry.as_ref().unwrap();
        (route.timeouts.request.unwrap().as_secs(), retry.attempts)
    };
    assert_eq!(times("GET a.example/own"), (1, 8));
    assert_eq!(times("GET a.example/else"), (4, 8));
}

#[test]
fn in_a_mesh_the_mesh_knows_the_parts() {
    let name = "reviews.shop.svc.cluster.local";
    let index = mesh_index(name, 9080);
    let text = [
        super::SERVICES,
        &gateway(&[&plain("'*'")]),
        &rule("reviews", SUBSETS),
        &to_subset("reviews", "v1"),
    ]
    .concat();
    let set = weft_resources::load(&[("a.yaml", text)]);
    let options = crate::Options::new(Vec::new());
    let world = crate::compile_in_mesh(&set, &options, &index, None);
    let backend = backend(&world);
    let subset = Some("v1".into());
    let name = weft_model::id::ServiceName::new(name);
    assert_eq!(backend.endpoints, Endpoints::Service { name, port: 9080, subset });
    assert_eq!(backend.calling.picker, PickerKind::RoundRobin);
}
