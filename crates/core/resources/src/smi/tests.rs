use super::*;
use crate::set::load;

fn read(text: &str) -> (Option<Kind>, Vec<String>) {
    let set = load(&[("a.yaml", text)]);
    let kind = set.resources().next().map(|resource| resource.body.clone());
    (kind, set.problems().iter().map(ToString::to_string).collect())
}

fn split(version: &str, spec: &str) -> (Option<Kind>, Vec<String>) {
    read(&format!(
        "apiVersion: split.smi-spec.io/{version}\nkind: TrafficSplit\nmetadata: {{name: a}}\n\
         spec: {spec}\n"
    ))
}

#[test]
fn weights_of_every_version_are_comparable() {
    let check = |version: &str, weights: [&str; 2], expected: [u64; 2]| {
        let [first, second] = weights;
        let spec = format!(
            "{{service: web, backends: [{{service: a, weight: {first}}}, \
             {{service: b, weight: {second}}}]}}"
        );
        let (kind, problems) = split(version, &spec);
        assert_eq!(problems, [""; 0]);
        let Some(Kind::TrafficSplit(split)) = kind else { panic!("not a TrafficSplit") };
        assert_eq!(&*split.service, "web");
        let found: Vec<u64> = split.backends.iter().map(|backend| backend.weight).collect();
        assert_eq!(found, expected);
    };
    check("v1alpha1", ["900m", "100m"], [900, 100]);
    check("v1alpha1", ["1", "500m"], [1000, 500]);
    check("v1alpha2", ["90", "10"], [90_000, 10_000]);
    check("v1alpha4", ["0", "1"], [0, 1000]);
}

#[test]
fn impossible_splits() {
    let check = |spec: &str, reason: &str| {
        let (kind, problems) = split("v1alpha4", spec);
        assert!(kind.is_none(), "{spec}");
        assert!(problems.iter().any(|problem| problem.contains(reason)), "{problems:?}");
    };
    check("{backends: []}", "the field `service` is required");
    check("{service: web}", "the field `backends` is required");
    check("{service: web, backends: [{service: a}]}", "the field `weight` is required");
    check("{service: web, backends: [{service: a, weight: -1}]}", "`-1` is not a quantity");
    check("{service: web, backends: [{service: a, weight: 1.5}]}", "`1.5` is not a quantity");
    check(
        "{service: web, backends: [], matches: [{kind: TCPRoute, name: a}]}",
        "TCPRoute is not a class of requests",
    );
}

#[test]
fn matches_name_groups() {
    let spec = "{service: web, backends: [], matches: [{kind: HTTPRouteGroup, name: beta}]}";
    let (kind, problems) = split("v1alpha3", spec);
    assert_eq!(problems, [""; 0]);
    let Some(Kind::TrafficSplit(split)) = kind else { panic!("not a TrafficSplit") };
    assert!(split.matches[0].is(SPECS_GROUP, "HTTPRouteGroup"));
    assert_eq!(&*split.matches[0].name, "beta");
}

#[test]
fn groups_of_every_version_say_the_same() {
    let check = |version: &str, text: &str| {
        let head = "kind: HTTPRouteGroup\nmetadata: {name: a}";
        let (kind, problems) =
            read(&format!("apiVersion: specs.smi-spec.io/{version}\n{head}\n{text}\n"));
        assert_eq!(problems, [""; 0]);
        let Some(Kind::RouteGroup(group)) = kind else { panic!("not a group") };
        let [one] = group.matches.as_slice() else { panic!("{text}") };
        assert_eq!((&*one.name, one.path_regex.as_deref()), ("m", Some("/a.*")));
        assert_eq!(one.methods, ["GET".into()]);
        assert_eq!(one.headers, [("x-a".into(), "b|c".into())]);
    };
    let one = "name: m, pathRegex: /a.*, methods: [GET]";
    check("v1alpha2", &format!("matches: [{{{one}, headers: {{x-a: b|c}}}}]"));
    check("v1alpha4", &format!("spec: {{matches: [{{{one}, headers: [{{x-a: b|c}}]}}]}}"));
}

#[test]
fn every_method_is_no_condition() {
    let (kind, _) = read(
        "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {name: a}\n\
         spec: {matches: [{name: m, methods: ['*']}]}\n",
    );
    let Some(Kind::RouteGroup(group)) = kind else { panic!("not a group") };
    assert!(group.matches[0].methods.is_empty());
}

#[test]
fn a_class_of_requests_has_a_name() {
    let (kind, problems) = read(
        "apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {name: a}\n\
         spec: {matches: [{methods: [GET]}]}\n",
    );
    assert!(kind.is_none());
    assert!(problems[0].contains("the field `name` is required"), "{problems:?}");
}

#[test]
fn traffic_targets_are_errors() {
    let (kind, problems) = read(
        "apiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nmetadata: {name: a}\n\
         spec: {destination: {kind: ServiceAccount, name: web}}\n",
    );
    assert!(kind.is_none());
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.contains("error: a TrafficTarget is not evaluated"), "{problem}");
}
