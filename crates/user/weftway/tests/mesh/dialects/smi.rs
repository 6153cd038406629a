//! SMI: TrafficSplits, with groups of requests and without.

use crate::echo::{Call, Load, Tally, answered, check};

use super::{SHOP, WEB_1, WEB_2, document, mesh, service, service_with};

/// A Service of that name, and one for each version with a number behind.
fn services(name: &str) -> String {
    let version = |number: u32| {
        service_with(&format!("{name}-{number}"), &format!("app: web, version: v{number}"), "")
    };
    [service(name), version(1), version(2)].concat()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_traffic_split_shares_requests_by_weight() {
    for (version, weights) in [("v1alpha1", ["750m", "250m"]), ("v1alpha4", ["75", "25"])] {
        let spec = format!(
            "  service: split\n  backends:\n  - {{service: split-1, weight: {}}}\n  - {{service: \
             split-2, weight: {}}}\n",
            weights[0], weights[1]
        );
        let split =
            document(&format!("split.smi-spec.io/{version}"), "TrafficSplit", "split", &spec);
        let mesh = mesh(&[&services("split"), &split]);
        let replies = mesh.calls(SHOP, &Load::times(&Call::get("split/"), 500));
        Tally::of(&replies).check_shares(&[(WEB_1, 0.75), (WEB_2, 0.25)]);
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_traffic_split_of_a_group_is_for_its_requests_alone() {
    let group = document(
        "specs.smi-spec.io/v1alpha4",
        "HTTPRouteGroup",
        "beta",
        "  matches:
  - {name: testers, methods: [GET], pathRegex: /beta/.*, headers: [{x-beta: \"yes|true\"}]}
",
    );
    let split = document(
        "split.smi-spec.io/v1alpha4",
        "TrafficSplit",
        "grouped",
        "  service: grouped
  matches: [{kind: HTTPRouteGroup, name: beta}]
  backends: [{service: grouped-2, weight: 1}]
",
    );
    let all = document(
        "split.smi-spec.io/v1alpha2",
        "TrafficSplit",
        "grouped-all",
        "  service: grouped
  backends: [{service: grouped-1, weight: 1}]
",
    );
    let mesh = mesh(&[&services("grouped"), &group, &split, &all]);
    let beta =
        |path: &str, value: &str| Call::get(&format!("grouped/{path}")).header("x-beta", value);
    check(
        &mesh,
        SHOP,
        &[
            (beta("beta/a", "yes"), answered(WEB_2)),
            (beta("beta/a", "true"), answered(WEB_2)),
            (beta("beta/a", "no"), answered(WEB_1)),
            (beta("a", "yes"), answered(WEB_1)),
            (beta("beta/a", "yes").method("POST"), answered(WEB_1)),
        ],
    );
}
