use weft_resources::load;

use crate::{EntryPoint, Options, Verdict, World, compile};

fn world(text: &str) -> World {
    let addr = "127.0.0.1:80".parse().expect("an address");
    let options = Options::new(vec![EntryPoint { name: "web".into(), addr, tls: false }]);
    compile(&load(&[("t.yaml", text)]), &options, None)
}

/// A document that a field rejects, and all that is said of it.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let world = world(text);
    let problems: Vec<String> = world
        .report
        .problems()
        .iter()
        .map(|problem| format!("{}: {}", problem.at.line, problem.message))
        .collect();
    let fits = |(problem, part): (&String, &&str)| problem.contains(*part);
    assert!(
        problems.len() == expected.len() && problems.iter().zip(expected).all(fits),
        "{problems:#?}"
    );
    assert_eq!(world.report.resources[0].verdict, Verdict::Rejected);
    let routes = world.snapshot.listeners.iter().flat_map(|listener| &listener.plain);
    assert_eq!(routes.map(|served| served.http.routes.len()).sum::<usize>(), 0);
}

#[test]
fn rules_and_references_are_judged_beside_a_wrong_field() {
    check(
        "apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: r}
spec:
  entrypoints: [web]
  routes:
  - match: Hots(`a`)
    middlewares: [{name: gone}]
    services: [{name: nobody, port: 80}]
",
        &[
            "5: unknown field `entrypoints`",
            "7: invalid rule: unknown matcher `Hots`",
            "7: the rule cannot be read, and names no host to close",
            "8: not served (503): Middleware `default/gone` is not found",
            "9: answered 503: service `default/nobody` is not found",
        ],
    );
    check(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i}
spec:
  ruels: []
  defaultBackend: {service: {name: nobody, port: {number: 80}}}
",
        &["5: unknown field `ruels`", "6: answered 503: service `default/nobody` is not found"],
    );
    check(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: h}
spec:
  hostname: a.test
  parentRefs: [{name: gone}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: x.test}}]}]
",
        &["5: unknown field `hostname`", "6: Gateway default/gone is not found"],
    );
}

/// What follows from a known mistake is not said: the rest may be right.
#[test]
fn what_cannot_be_judged_is_not() {
    check(
        "apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: r}
spec:
  routes:
  - services: [{name: nobody, port: 80}]
",
        &["6: the field `match` is required"],
    );
    check(
        "apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: r}
spec: {routes: []}
more: 1
",
        &["1: there is no route", "5: unknown field `more`"],
    );
}
