//! Which rule takes a request.

use super::{
    ask, assert_reported, check, clean, http_route, plain_gateway, problems, route, rule, world,
};

#[test]
fn simple_same_namespace() {
    let world =
        clean(&[&plain_gateway(), &http_route("  - backendRefs: [{name: v1, port: 8080}]\n")]);
    check(&world, &[("GET a.example/", "v1"), ("POST /any/path?x=y", "v1")]);
}

/// HTTPRouteExactPathMatching
#[test]
fn exact_paths() {
    let rules = [
        rule("{path: {type: Exact, value: /one}}", "v1"),
        rule("{path: {type: Exact, value: /two}}", "v2"),
    ];
    let world = clean(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(
        &world,
        &[
            ("GET h/one", "v1"),
            ("GET h/two", "v2"),
            ("GET h/", "404"),
            ("GET h/one/example", "404"),
            ("GET h/two/", "404"),
            ("GET h/One", "404"),
        ],
    );
}

/// HTTPRoutePathMatchOrder
#[test]
fn path_order() {
    let exact =
        |path: &str, backend| rule(&format!("{{path: {{type: Exact, value: {path}}}}}"), backend);
    let prefix = |path: &str, backend| rule(&format!("{{path: {{value: {path}}}}}"), backend);
    let rules = [
        exact("/match", "v1"),
        exact("/match/exact", "v2"),
        exact("/match/exact/one", "v3"),
        prefix("/match/", "v3"),
        prefix("/match/prefix/", "v1"),
        prefix("/match/prefix/one", "v2"),
    ];
    let world = clean(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(
        &world,
        &[
            ("GET h/match/exact/one", "v3"),
            ("GET h/match/exact", "v2"),
            ("GET h/match", "v1"),
            ("GET h/match/prefix/one/any", "v2"),
            ("GET h/match/prefix/any", "v1"),
            ("GET h/match/any", "v3"),
        ],
    );
}

/// HTTPRouteMatching
#[test]
fn alternatives_in_one_rule() {
    let rules = [
        rule("{path: {value: /}}, {headers: [{name: version, value: one}]}", "v1"),
        rule("{path: {value: /v2}}, {headers: [{name: version, value: two}]}", "v2"),
    ];
    let world = clean(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(
        &world,
        &[
            ("GET h/", "v1"),
            ("GET h/example", "v1"),
            ("GET h/ Version: one", "v1"),
            ("GET h/v2", "v2"),
            ("GET h/v2/example", "v2"),
            ("GET h/v2/", "v2"),
            ("GET h/ Version: two", "v2"),
            ("GET h/v2example", "v1"),
            ("GET h/foo/v2/example", "v1"),
        ],
    );
}

/// HTTPRouteMatchingAcrossRoutes
#[test]
fn across_routes() {
    let spec = |hosts: &str, rules: &str| {
        format!("  parentRefs: [{{name: gw}}]\n  hostnames: [{hosts}]\n  rules:\n{rules}")
    };
    let one = rule("{path: {value: /}}, {headers: [{name: version, value: one}]}", "v1");
    let two = rule("{path: {value: /v2}}, {headers: [{name: version, value: two}]}", "v2");
    let world = clean(&[
        &plain_gateway(),
        &route("HTTPRoute", "part1", &spec("example.com, example.net", &one)),
        &route("HTTPRoute", "part2", &spec("example.com", &two)),
    ]);
    check(
        &world,
        &[
            ("GET example.com/", "v1"),
            ("GET example.com/example", "v1"),
            ("GET example.net/example", "v1"),
            ("GET example.com/example Version: one", "v1"),
            ("GET example.com/v2", "v2"),
            ("GET example.net/v2", "v1"),
            ("GET example.com/v2/example", "v2"),
            ("GET example.com/ Version: two", "v2"),
            ("GET example.org/", "404"),
        ],
    );
}

/// HTTPRouteHeaderMatching
#[test]
fn headers() {
    let header = |pairs: &[(&str, &str)]| {
        let list: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{{name: {name}, value: {value}}}")).collect();
        format!("{{headers: [{}]}}", list.join(", "))
    };
    let rules = [
        rule(&header(&[("version", "one")]), "v1"),
        rule(&header(&[("version", "two")]), "v2"),
        rule(&header(&[("version", "two"), ("color", "orange")]), "v1"),
        rule(&format!("{}, {}", header(&[("color", "blue")]), header(&[("color", "green")])), "v1"),
        rule(&format!("{}, {}", header(&[("color", "red")]), header(&[("color", "yellow")])), "v2"),
    ];
    let world = clean(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(
        &world,
        &[
            ("GET h/ Version: one", "v1"),
            ("GET h/ Version: two", "v2"),
            ("GET h/ Version: two Color: orange", "v1"),
            ("GET h/ Version: two Color: blue", "v2"),
            ("GET h/ Color: orange", "404"),
            ("GET h/ Some-Other-Header: one", "404"),
            ("GET h/ Color: blue", "v1"),
            ("GET h/ Color: green", "v1"),
            ("GET h/ Color: red", "v2"),
            ("GET h/ Color: yellow", "v2"),
            ("GET h/ Color: purple", "404"),
        ],
    );
}

/// HTTPRouteQueryParamMatching
#[test]
fn query_parameters() {
    let whale = "queryParams: [{name: animal, value: whale}]";
    let rules = [
        rule(&format!("{{{whale}}}"), "v1"),
        rule("{queryParams: [{name: animal, value: dolphin}]}", "v2"),
        rule(
            "{queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]}, \
             {queryParams: [{name: ANIMAL, value: Whale}]}",
            "v3",
        ),
        rule(&format!("{{path: {{value: /path1}}, {whale}}}"), "v1"),
        rule(&format!("{{headers: [{{name: version, value: one}}], {whale}}}"), "v2"),
        rule(
            &format!(
                "{{path: {{value: /path2}}, headers: [{{name: version, value: two}}], {whale}}}"
            ),
            "v3",
        ),
        rule(
            "{path: {value: /path3}, queryParams: [{name: animal, value: shark}]}, \
             {path: {value: /path4}, headers: [{name: version, value: three}], \
             queryParams: [{name: animal, value: kraken}]}",
            "v1",
        ),
        rule("{path: {value: /path5}}", "v1"),
        rule("{queryParams: [{name: animal, value: hydra}]}", "v2"),
        rule("{headers: [{name: version, value: four}]}", "v3"),
    ];
    let world = clean(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(
        &world,
        &[
            ("GET h/?animal=whale", "v1"),
            ("GET h/?animal=dolphin", "v2"),
            ("GET h/?animal=dolphin&color=blue", "v3"),
            ("GET h/?ANIMAL=Whale", "v3"),
            ("GET h/?animal=whale&otherparam=irrelevant", "v1"),
            ("GET h/?animal=dolphin&color=yellow", "v2"),
            ("GET h/?color=blue", "404"),
            ("GET h/?animal=dog", "404"),
            ("GET h/?animal=whaledolphin", "404"),
            ("GET h/", "404"),
            ("GET h/path1?animal=whale", "v1"),
            ("GET h/?animal=whale version: one", "v2"),
            ("GET h/path2?animal=whale version: two", "v3"),
            ("GET h/path3?animal=shark", "v1"),
            ("GET h/path4?animal=kraken version: three", "v1"),
            ("GET h/?animal=shark", "404"),
            ("GET h/path4?animal=kraken", "404"),
            ("GET h/path5?animal=hydra", "v1"),
            ("GET h/?animal=hydra version: four", "v3"),
        ],
    );
}

/// HTTPRouteMethodMatching
#[test]
fn methods() {
    let rules = [
        rule("{method: POST}", "v1"),
        rule("{method: GET}", "v2"),
        rule("{path: {value: /path1}, method: GET}", "v1"),
        rule("{headers: [{name: version, value: one}], method: PUT}", "v2"),
        rule("{path: {value: /path2}, headers: [{name: version, value: two}], method: POST}", "v3"),
        rule(
            "{path: {value: /path3}, method: PATCH}, \
             {path: {value: /path4}, headers: [{name: version, value: three}], method: DELETE}",
            "v1",
        ),
        rule("{path: {value: /path5}}", "v1"),
        rule("{method: PATCH}", "v2"),
        rule("{headers: [{name: version, value: four}]}", "v3"),
    ];
    let world = clean(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(
        &world,
        &[
            ("POST h/", "v1"),
            ("GET h/", "v2"),
            ("HEAD h/", "404"),
            ("GET h/path1", "v1"),
            ("PUT h/ version: one", "v2"),
            ("POST h/path2 version: two", "v3"),
            ("PATCH h/path3", "v1"),
            ("DELETE h/path4 version: three", "v1"),
            ("PUT h/", "404"),
            ("DELETE h/path4", "404"),
            ("PATCH h/path5", "v1"),
            ("PATCH h/ version: four", "v2"),
        ],
    );
}

#[test]
fn patterns_are_whole_and_stand_between_exact_and_prefix() {
    let rules = [
        rule("{path: {type: RegularExpression, value: '/items/[0-9]+'}}", "v1"),
        rule("{path: {value: /items/1234567890}}", "v2"),
        rule("{path: {type: Exact, value: /items/7}}", "v3"),
        rule(
            "{path: {value: /h}, headers: [{name: a, type: RegularExpression, value: 'x|y'}]}",
            "v1",
        ),
    ];
    let world = clean(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(
        &world,
        &[
            ("GET h/items/1", "v1"),
            ("GET h/items/1234567890", "v1"),
            ("GET h/items/1234567890/x", "v2"),
            ("GET h/items/7", "v3"),
            ("GET h/items/", "404"),
            ("GET h/h a: x", "v1"),
            ("GET h/h a: xy", "404"),
        ],
    );
}

#[test]
fn the_oldest_route_wins_then_the_first_by_name_then_the_first_rule() {
    let dated = |name: &str, created: &str, backend: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: infra{created}}}
spec:
  parentRefs: [{{name: gw}}]
  rules:
  - {{backendRefs: [{{name: {backend}, port: 8080}}]}}
  - {{backendRefs: [{{name: v3, port: 8080}}]}}
---
"
        )
    };
    let gateway = plain_gateway();
    let winner = |routes: &[String]| {
        let mut all = vec![&*gateway];
        all.extend(routes.iter().map(|text| &**text));
        let world = world(&all);
        assert_reported(&world, "has the same rule and wins");
        ask(&world, 80, "GET h/")
    };
    let old = ", creationTimestamp: '2020-09-08T01:02:03Z'";
    let new = ", creationTimestamp: '2020-09-08T01:02:04Z'";
    assert_eq!(winner(&[dated("a", new, "v1"), dated("b", old, "v2")]), "v2");
    assert_eq!(winner(&[dated("b", old, "v2"), dated("a", old, "v1")]), "v1");
    assert_eq!(winner(&[dated("a", "", "v1"), dated("b", new, "v2")]), "v2");
    assert_eq!(winner(&[dated("b", "", "v2"), dated("a", "", "v1")]), "v1");
}

#[test]
fn an_invalid_pattern_costs_only_its_match() {
    let rules = [
        rule("{path: {type: RegularExpression, value: '/(x'}}, {path: {value: /y}}", "v1"),
        rule("{path: {value: /z}}", "v2"),
    ];
    let world = world(&[&plain_gateway(), &http_route(&rules.concat())]);
    check(&world, &[("GET h/x", "404"), ("GET h/y", "v1"), ("GET h/z", "v2")]);
    let problems = problems(&world);
    assert_eq!(problems.len(), 1);
    let said = "spec.rules[0].matches[0]: invalid regular expression `/(x`: unclosed group";
    assert!(problems[0].contains(said), "{problems:?}");
}

#[test]
fn adding_a_route_changes_no_other() {
    let spec = |path: &str| {
        let rule = rule(&format!("{{path: {{value: {path}}}}}"), "v1");
        format!("  parentRefs: [{{name: gw}}]\n  rules:\n{rule}")
    };
    let (gateway, services) = (plain_gateway(), super::services());
    let texts = ["/aa", "/bb", "/cc"].map(|path| route("HTTPRoute", &path[1..], &spec(path)));
    let options = crate::Options::new(Vec::new());
    let compile = |routes: &[String], before| {
        let text = format!("{services}{gateway}{}", routes.concat());
        crate::compile(&weft_resources::load(&[("a.yaml", text)]), &options, before)
    };
    let before = compile(&texts[..2], None);
    let after = compile(&texts, Some(&before));
    let old = &super::served(&before, 80, false).http.routes;
    let new = &super::served(&after, 80, false).http.routes;
    assert_eq!((old.len(), new.len()), (2, 3));
    for route in old {
        assert!(new.iter().any(|other| std::sync::Arc::ptr_eq(route, other)), "{:?}", route.id);
    }
}
