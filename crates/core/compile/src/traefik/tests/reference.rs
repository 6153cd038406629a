//! References between resources.

use weft_model::outcome::Reason;
use weft_model::policy::StepKind;

use super::{kinds, object, only_route, options, problems, route, world, world_with};

fn refused(text: &str, expected: &str) {
    let world = world(text);
    let found = problems(&world);
    assert!(found.iter().any(|line| line.contains(expected)), "{found:?}");
    let route = only_route(&world);
    let [StepKind::Refuse(refusal)] = kinds(route)[..] else { panic!("{route:?}") };
    assert_eq!(refusal.reason, Reason::PolicyUnenforceable);
}

#[test]
fn a_missing_middleware_is_not_served() {
    refused(
        &route("    middlewares: [{name: nope}]\n"),
        "t.yaml:10:19: error: spec.routes[0].middlewares[0]: not served (503): Middleware \
         `default/nope` is not found",
    );
}

#[test]
fn chains_keep_their_order() {
    let text = [
        object("Middleware", "a", "  addPrefix: {prefix: /a}\n"),
        object("Middleware", "b", "  addPrefix: {prefix: /b}\n"),
        object("Middleware", "inner", "  chain: {middlewares: [{name: b}]}\n"),
        object("Middleware", "m", "  chain: {middlewares: [{name: inner}, {name: a}]}\n"),
        route("    middlewares: [{name: a}, {name: m}]\n"),
    ];
    let world = world(&text.concat());
    assert_eq!(problems(&world), [""; 0]);
    let prefixes: Vec<String> =
        kinds(only_route(&world)).iter().map(|kind| format!("{kind:?}")).collect();
    assert_eq!(prefixes, [r#"AddPrefix("/a")"#, r#"AddPrefix("/b")"#, r#"AddPrefix("/a")"#]);
}

#[test]
fn a_chain_with_a_missing_member_is_said_twice() {
    let text = [
        object("Middleware", "m", "  chain: {middlewares: [{name: gone}]}\n"),
        route("    middlewares: [{name: m}]\n"),
    ];
    refused(
        &text.concat(),
        "t.yaml:6:25: error: spec.chain.middlewares[0]: not served (503): Middleware \
         `default/gone` is not found",
    );
    refused(
        &text.concat(),
        "t.yaml:16:19: error: spec.routes[0].middlewares[0]: Middleware default/m: not served \
         (503): Middleware `default/gone` is not found",
    );
}

#[test]
fn circles_end() {
    let text = [
        object("Middleware", "m", "  chain: {middlewares: [{name: n}]}\n"),
        object("Middleware", "n", "  chain: {middlewares: [{name: m}]}\n"),
        route("    middlewares: [{name: m}]\n"),
    ];
    refused(&text.concat(), "refers to itself");
}

#[test]
fn other_namespaces_need_permission() {
    let other = object("Middleware", "m", "  addPrefix: {prefix: /a}\n")
        .replace("{name: m}", "{name: m, namespace: shop}");
    let text = format!("{other}{}", route("    middlewares: [{name: m, namespace: shop}]\n"));
    refused(
        &text,
        "references to other namespaces are not allowed [start with --allow-cross-namespace]",
    );
    let mut options = options();
    options.allow_cross_namespace = true;
    let world = world_with(&text, &options);
    assert_eq!(problems(&world), [""; 0]);
    assert_eq!(only_route(&world).steps.len(), 1);
}

#[test]
fn names_with_a_provider() {
    let text = [
        object("Middleware", "my-m", "  addPrefix: {prefix: /a}\n"),
        "---\nhttp: {middlewares: {f: {addPrefix: {prefix: /f}}}}\n".into(),
        route("    middlewares: [{name: default-my-m@kubernetescrd}, {name: f@file}]\n"),
    ];
    let world = world(&text.concat());
    assert_eq!(problems(&world), [""; 0]);
    assert_eq!(only_route(&world).steps.len(), 2);
    refused(
        &route("    middlewares: [{name: x@docker}]\n"),
        "there is no provider `docker` (in `x@docker`) [use @file or @kubernetescrd]",
    );
}

#[test]
fn a_broken_middleware_is_not_served() {
    let text = [
        object("Middleware", "m", "  redirectRegex: {regex: '(', replacement: x}\n"),
        route("    middlewares: [{name: m}]\n"),
    ];
    refused(
        &text.concat(),
        "middleware `default/m` (t.yaml:2) cannot be enforced: invalid regular expression",
    );
    let text = [
        object("Middleware", "m", "  addPrefix: {prefx: /x}\n"),
        route("    middlewares: [{name: m}]\n"),
    ];
    refused(
        &text.concat(),
        "Middleware `default/m` (t.yaml:2) is rejected [correct what is said about it]",
    );
}
