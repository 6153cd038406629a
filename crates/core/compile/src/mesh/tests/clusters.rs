//! Services of several clusters.

use super::routing::{From, HERE, ask};
use super::*;

const PAY: &str = "pay.default.svc.clusterset.local";

const API: &str = "multicluster.x-k8s.io/v1beta1";

fn import(spec: &str) -> String {
    document(API, "ServiceImport", "name: pay", &format!("type: ClusterSetIP, {spec}"))
}

fn export() -> String {
    document(API, "ServiceExport", "name: pay", "")
}

/// What a cluster has of it, at this address and port 8080.
fn slice(cluster: &str, ip: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: pay-{cluster}
  labels:
    multicluster.kubernetes.io/service-name: pay
    multicluster.kubernetes.io/source-cluster: {cluster}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{{addresses: [{ip}]}}]
---
"
    )
}

fn local() -> String {
    service_document("pay", "selector: {app: pay}, ports: [{name: http, port: 80, targetPort: 81}]")
}

#[test]
fn an_import_runs_where_the_slices_of_all_clusters_say() {
    let ports = "ports: [{name: http, port: 80}]";
    let slices = [slice("east", "10.1.0.1"), slice("west", "10.2.0.1")].concat();
    let world = clean(&(import(ports) + &slices), &[]);
    assert_eq!(names(&world), [PAY]);
    let places = |ip: &str| format!("default/{ip} {ip} 80>8080 plain");
    assert_eq!(runs(&world, PAY), [places("10.1.0.1"), places("10.2.0.1")]);
    assert!(entry(&world, PAY).ends_with(" 80/http/Http"), "{}", entry(&world, PAY));

    // It has the addresses that it asks for, and none of its own without any.
    let given = clean(&import(&format!("ips: [10.97.0.7], {ports}")), &[]);
    assert_eq!(entry(&given, PAY), "10.97.0.7 80/http/Http");
    // A workload that is registered under the name is not meant: it is of this cluster alone.
    let registered = clean(&(import(ports) + &slices), &[workload("pay", 2)]);
    assert_eq!(runs(&registered, PAY).len(), 2);
}

#[test]
fn endpoints_that_the_mesh_knows_are_called_with_mutual_tls() {
    let entry = istio(
        "WorkloadEntry",
        "name: east",
        "address: 10.1.0.1, serviceAccount: pay, labels: {networking.istio.io/tunnel: http}",
    );
    let text = import("ports: [{name: http, port: 80}]") + &slice("east", "10.1.0.1") + &entry;
    assert_eq!(runs(&clean(&text, &[]), PAY), ["default/east 10.1.0.1 80>8080 default/pay"]);
}

#[test]
fn what_is_exported_is_a_part_of_the_whole() {
    let own = labelled("own", 2, &[("app", "pay")]);
    let here = "default/own 10.77.0.2 80>81 default/default";
    let there = "default/10.1.0.1 10.1.0.1 80>8080 plain";
    let alone = clean(&(local() + &export()), std::slice::from_ref(&own));
    assert_eq!(names(&alone), ["pay.default.svc.cluster.local", PAY]);
    assert_eq!(runs(&alone, PAY), [here]);
    // Imported slices join, with a ServiceImport and without one; the local service stays as it is.
    for import in [String::new(), import("ports: [{name: http, port: 80}]")] {
        let text = [local(), export(), import, slice("east", "10.1.0.1")].concat();
        let world = clean(&text, std::slice::from_ref(&own));
        assert_eq!(runs(&world, PAY), [there, here]);
        assert_eq!(runs(&world, "pay.default.svc.cluster.local"), [here]);
    }
}

#[test]
fn what_cannot_be_exported_is_told() {
    says(&world(&export(), &[]), "there is no Service default/pay that could be a part of one");
    let outside = service_document("pay", "type: ExternalName, externalName: a.test");
    let found = problems(&world(&(outside + &export()), &[]));
    let is_told = |one: &String| one.contains("the Service default/pay is of type ExternalName");
    assert!(found.iter().any(is_told), "{found:?}");
}

/// A federated Service of Linkerd, with these annotations.
fn federated(annotations: &str) -> String {
    let metadata = format!("name: pay-federated, annotations: {{{annotations}}}");
    document("v1", "Service", &metadata, "ports: [{name: http, port: 80}]")
}

#[test]
fn a_federated_service_runs_where_its_local_part_does() {
    const WHOLE: &str = "pay-federated.default.svc.cluster.local";
    let annotation = "multicluster.linkerd.io/local-discovery: pay";
    let east = slice("east", "10.1.0.1").replace(
        "multicluster.kubernetes.io/service-name: pay",
        "kubernetes.io/service-name: pay-federated",
    );
    let own = labelled("own", 2, &[("app", "pay")]);
    let text = [local(), federated(annotation), east].concat();
    let here = "default/own 10.77.0.2 80>81 default/default";
    let there = "default/10.1.0.1 10.1.0.1 80>8080 plain";
    assert_eq!(runs(&clean(&text, &[own]), WHOLE), [there, here]);

    let missing = world(&federated(annotation), &[]);
    says(&missing, "there is no Service default/pay that could be a part of one");
    assert!(problems(&missing)[0].contains("local-discovery"), "{:?}", problems(&missing));
    let remote = "multicluster.linkerd.io/remote-discovery: pay@east";
    let remote = problems(&world(&federated(remote), &[]));
    assert!(remote[0].contains("the control planes of other clusters are not asked"), "{remote:?}");
}

#[test]
fn rules_lead_to_services_of_several_clusters_and_hold_for_them() {
    let route = |parent: &str, name: &str| {
        let to = "{group: multicluster.x-k8s.io, kind: ServiceImport, name: pay, port: PORT}";
        let spec = format!(
            "parentRefs: [{parent}], rules: [{{backendRefs: [{}]}}]",
            to.replace("PORT", name)
        );
        document("gateway.networking.k8s.io/v1", "HTTPRoute", "name: r", &spec)
    };
    let import = import("ports: [{name: http, port: 80}]") + &slice("east", "10.1.0.1");
    let a = service_document("a", "ports: [{name: http, port: 80}]");
    let of_a = "{group: '', kind: Service, name: a}";
    let found = clean(&[&*a, &import, &route(of_a, "80")].concat(), &[]);
    assert_eq!(ask(&found, "a", HERE, "GET /"), format!("{PAY}:80"));
    let of_import = "{group: multicluster.x-k8s.io, kind: ServiceImport, name: pay}";
    let found = clean(&[&*import, &route(of_import, "80")].concat(), &[]);
    assert_eq!(ask(&found, PAY, From { port: 80, ..HERE }, "GET /"), format!("{PAY}:80"));

    let missing = world(&[&*a, &route(of_a, "80")].concat(), &[]);
    assert_eq!(ask(&missing, "a", HERE, "GET /"), "500");
    says(&missing, "there is no ServiceImport default/pay");
    let other = world(&[&*a, &import, &route(of_a, "81")].concat(), &[]);
    says(&other, "the ServiceImport default/pay has no port 81");
}

#[test]
fn the_clusters_of_imported_endpoints_are_told_apart() {
    let rule = istio(
        "DestinationRule",
        "name: pay",
        &format!(
            "host: {PAY}, subsets: [{{name: east, labels: {{topology.istio.io/cluster: east}}}}]"
        ),
    );
    let slices = [slice("east", "10.1.0.1"), slice("west", "10.2.0.1")].concat();
    let world = clean(&[&*import("ports: [{name: http, port: 80}]"), &slices, &rule].concat(), &[]);
    let service = world.mesh.services.get(PAY).expect("the service is there");
    let ServiceEndpoints::Known(endpoints) = &service.endpoints else { panic!("not known") };
    let of = |cluster: &str| vec![("topology.istio.io/cluster".into(), cluster.into())];
    let labels: Vec<_> = endpoints.iter().map(|one| one.labels.to_vec()).collect();
    assert_eq!(labels, [of("east"), of("west")]);
}
