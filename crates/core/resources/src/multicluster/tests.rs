use std::net::IpAddr;

use super::*;
use crate::kubernetes::service::PortRef;
use crate::set::load;

fn read(kind: &str, spec: &str) -> (Option<Kind>, Vec<String>) {
    let text = format!(
        "apiVersion: {GROUP}/v1beta1\nkind: {kind}\nmetadata: {{name: pay}}\nspec: {spec}\n"
    );
    let set = load(&[("a.yaml", text)]);
    let kind = set.resources().next().map(|resource| resource.body.clone());
    (kind, set.problems().iter().map(ToString::to_string).collect())
}

fn import(spec: &str) -> Service {
    let (kind, problems) = read("ServiceImport", spec);
    assert_eq!(problems, [""; 0]);
    let Some(Kind::ServiceImport(service)) = kind else { panic!("{spec} is no ServiceImport") };
    *service
}

#[test]
fn an_import_is_a_service_that_selects_nothing() {
    let found = import(
        "{type: ClusterSetIP, ips: [10.0.0.1, 'fd00::1'], sessionAffinity: ClientIP, \
         trafficDistribution: PreferClose, ports: [{name: http, port: 80}]}",
    );
    let ips: [IpAddr; 2] = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().expect("an address"));
    assert_eq!((&*found.cluster_ips, found.is_headless), (&ips[..], false));
    assert!(found.client_affinity.is_some() && found.distribution.is_some());
    let port = &found.ports[0];
    assert_eq!((port.port, &port.target), (80, &PortRef::Number(80)));
    assert!(found.selector.is_empty());
    let headless = import("{type: Headless, ips: [10.0.0.1], ports: []}");
    assert!(headless.is_headless && headless.cluster_ips.is_empty());
}

#[test]
fn an_import_of_no_known_type_is_an_error() {
    for (spec, reason) in [("{ports: []}", "`type` is required"), ("{type: Other}", "`Other`")] {
        let (kind, problems) = read("ServiceImport", spec);
        assert!(kind.is_none() && problems[0].contains(reason), "{problems:?}");
    }
}

#[test]
fn an_export_says_nothing_but_its_name() {
    let (kind, problems) = read("ServiceExport", "{exportedLabels: {a: b}}");
    assert_eq!((kind, problems), (Some(Kind::ServiceExport(ServiceExport)), Vec::new()));
}
