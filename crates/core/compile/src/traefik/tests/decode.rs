//! What is wrong with documents, and where.

use super::{object, problems, route, world};

/// The problems of documents, without the file name.
fn check(text: &str, expected: &[&str]) {
    let problems = problems(&world(text));
    let shown: Vec<&str> =
        problems.iter().map(|line| line.strip_prefix("t.yaml:").unwrap_or(line)).collect();
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn unknown_fields_name_the_one_meant() {
    check(
        &route("    middleware: [{name: m}]\n"),
        &["10:5: error: spec.routes[0].middleware: unknown field `middleware` \
           [did you mean `middlewares`?]"],
    );
    check(
        &object("Middleware", "m", "  retri: {attempts: 2}\n"),
        &["6:3: error: spec.retri: unknown field `retri` [did you mean `retry`?]"],
    );
}

#[test]
fn wrong_values_name_the_right_form() {
    check(
        &object("Middleware", "m", "  retry: {attempts: two, initialInterval: 5 minutes}\n"),
        &[
            "6:21: error: spec.retry.attempts: expected a whole number, found the text `two`",
            "6:43: error: spec.retry.initialInterval: `5 minutes` is not a duration \
             [write a duration such as 250ms, 30s or 1m30s]",
        ],
    );
    check(
        &object("Middleware", "m", "  ipAllowList: {sourceRange: [10.0.0.0/33]}\n"),
        &["6:31: error: spec.ipAllowList.sourceRange[0]: `10.0.0.0/33` is not an address or \
             address range [write an address or a range such as 10.0.0.0/8]"],
    );
}

#[test]
fn rules_are_pointed_into() {
    let text = route("").replace("PathPrefix(`/`)", "PathPrefix(`/`) && Hots(`a.b`)");
    let found = problems(&world(&text));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("t.yaml:8:31: error: spec.routes[0].match: invalid rule: "),
        "{found:?}"
    );
    assert!(found[0].contains("Host"), "{found:?}");
}

#[test]
fn patterns_and_expressions_are_checked() {
    check(
        &object("Middleware", "m", "  redirectRegex: {regex: '(a', replacement: b}\n"),
        &["6:26: error: spec.redirectRegex.regex: invalid regular expression: unclosed group"],
    );
    check(
        &object("Middleware", "m", "  stripPrefixRegex: {regex: ['/a(?=b)']}\n"),
        &["6:30: error: spec.stripPrefixRegex.regex: invalid regular expression: look-around, \
           including look-ahead and look-behind, is not supported [look-around is not available, \
           as in Traefik; write the rule without it]"],
    );
    let text = object("Middleware", "m", "  circuitBreaker: {expression: Sometimes() > 1}\n");
    let found = problems(&world(&text));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("t.yaml:6:32: error: spec.circuitBreaker.expression"));
}

#[test]
fn a_middleware_has_one_type() {
    check(
        &object("Middleware", "m", "  addPrefix: {prefix: /a}\n  compress: {}\n"),
        &[
            "6:3: error: spec: a middleware has one type, found addPrefix and compress [split it into \
           several middlewares, in a chain if need be]",
        ],
    );
    check(&object("Middleware", "m", "  {}\n"), &["6:3: error: spec: the middleware has no type"]);
}

#[test]
fn fields_without_effect_are_said() {
    check(
        &object("ServersTransport", "t", "  forwardingTimeouts: {pingTimeout: 3s}\n"),
        &["6:37: warning: spec.forwardingTimeouts.pingTimeout: `pingTimeout` has no effect: \
           HTTP/2 connections to servers are not pinged"],
    );
    check(
        &route("    observability: {accessLogs: false}\n"),
        &[
            "10:20: warning: spec.routes[0].observability: `accessLogs: false` has no effect: it is \
           not switched per router",
        ],
    );
}

#[test]
fn udp_is_named() {
    let text = object("IngressRouteUDP", "u", "  routes: []\n");
    let world = world(&text);
    assert_eq!(
        problems(&world),
        ["t.yaml:2:1: warning: kind: IngressRouteUDP default/u is not served: UDP is not served"]
    );
    let last = world.report.resources.last().expect("an entry");
    assert_eq!(last.verdict, crate::Verdict::Ignored);
}

#[test]
fn the_older_group_is_the_same() {
    let text = object("Middleware", "m", "  compress: {}\n")
        .replace("traefik.io/v1alpha1", "traefik.containo.us/v1alpha1");
    let world = world(&format!("{text}{}", route("    middlewares: [{name: m}]\n")));
    assert_eq!(problems(&world), [""; 0]);
    assert_eq!(super::only_route(&world).steps.len(), 1);
}
