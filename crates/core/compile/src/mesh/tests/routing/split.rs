//! TrafficSplits.

use super::*;

fn split(version: &str, name: &str, spec: &str) -> String {
    document(
        &format!("split.smi-spec.io/{version}"),
        "TrafficSplit",
        &format!("name: {name}"),
        spec,
    )
}

const SHARES: &str = "backends: [{service: v1, weight: 900m}, {service: v2, weight: 100m}]";

#[test]
fn shares_of_requests_and_of_connections() {
    let world = clean_routing(&[&split("v1alpha1", "s", &format!("service: a, {SHARES}"))]);
    check(&world, &[("GET /", "v1:80 x900, v2:80 x100")]);
    assert_eq!(
        connections(&world, "a", From { port: 9000, ..HERE }),
        ["all -> v1:9000 x900, v2:9000 x100", "all -> a:9000"]
    );
    let whole = split("v1alpha2", "s", &format!("service: a.default.svc.cluster.local, {SHARES}"));
    check(&clean_routing(&[&whole]), &[("GET /", "v1:80 x900, v2:80 x100")]);
}

#[test]
fn a_backend_without_the_port_gets_no_calls_of_it() {
    let narrow = service_document("v3", "ports: [{port: 80, name: http}]");
    let spec = "service: a, backends: [{service: v1, weight: 1}, {service: v3, weight: 1}, {service: v4, weight: 1}]";
    let world = routing(&[&narrow, &split("v1alpha4", "s", spec)]);
    check(&world, &[("GET /", "v1:80 x1000, v3:80 x1000, 503 x1000")]);
    let from = From { port: 9000, ..HERE };
    assert_eq!(connections(&world, "a", from)[0], "all -> v1:9000 x1000, 503 x1000");
    reports(
        &world,
        "`v3.default.svc.cluster.local` has no port 9000, and gets no calls of that port",
    );
    reports(&world, "there is no Service `v4.default.svc.cluster.local`");
}

#[test]
fn classes_of_requests_are_split_and_the_rest_goes_on() {
    let group = document(
        "specs.smi-spec.io/v1alpha4",
        "HTTPRouteGroup",
        "name: g",
        "matches: [{name: one, pathRegex: '/one', methods: [GET]},
                   {name: two, headers: [{user-agent: 'fire.*'}]}]",
    );
    let spec = format!("service: a, {SHARES}, matches: [{{kind: HTTPRouteGroup, name: g}}]");
    let world = clean_routing(&[&group, &split("v1alpha4", "s", &spec)]);
    let shares = "v1:80 x900, v2:80 x100";
    check(
        &world,
        &[
            ("GET /one/x", shares),
            ("POST /one", "a:80"),
            ("GET /x/one", "a:80"),
            ("POST /x user-agent: firefox", shares),
        ],
    );
    let lost = routing(&[&split("v1alpha4", "s", &spec)]);
    check(&lost, &[("GET /one", "a:80")]);
    reports(&lost, "there is no HTTPRouteGroup g: nothing is split by it");
}

#[test]
fn of_two_splits_the_older_one_holds() {
    let second = "service: a, backends: [{service: v2, weight: 1}]";
    let world = routing(&[
        &split("v1alpha4", "one", &format!("service: a, {SHARES}")),
        &split("v1alpha4", "two", second),
    ]);
    check(&world, &[("GET /", "v1:80 x900, v2:80 x100")]);
    reports(
        &world,
        "TrafficSplit default/one (a.yaml:21) is older and splits the same calls instead",
    );
    reports(&world, "it holds instead of TrafficSplit default/two (a.yaml:");
    let lost = routing(&[&split("v1alpha4", "s", &format!("service: lost, {SHARES}"))]);
    reports(&lost, "there is no service `lost.default.svc.cluster.local`, so nothing is split");
}
