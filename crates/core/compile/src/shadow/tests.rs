use weft_resources::load;

use crate::{EntryPoint, Options, World, compile};

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.0.0.1]}]
";

/// An IngressRoute, an Ingress and a Gateway all meet at port 80.
fn world(documents: &[String]) -> World {
    let addr = "0.0.0.0:80".parse().expect("an address");
    let options = Options::new(vec![EntryPoint { name: "web".into(), addr, tls: false }]);
    let text = format!("{}---\n{SERVICE}", documents.join("---\n"));
    compile(&load(&[("t.yaml", text)]), &options, None)
}

fn ingress_route(name: &str, rule: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {{name: {name}}}\nspec:\n  \
         routes:\n  - match: {rule}\n    services: [{{name: s, port: 80}}]\n"
    )
}

fn ingress(name: &str, host: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  rules:\n  \
         - host: '{host}'\n    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: s, \
         port: {{number: 80}}}}}}}}]}}\n"
    )
}

fn gateway(listener: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: w}}\nspec: \
         {{controllerName: weftway.io/gateway-controller}}\n---\napiVersion: \
         gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: gw}}\nspec:\n  \
         gatewayClassName: w\n  listeners: [{{name: web, port: 80, protocol: HTTP{listener}}}]\n"
    )
}

#[track_caller]
fn check(documents: &[String], expected: &[&str]) {
    let world = world(documents);
    let problems: Vec<String> = world.report.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems, expected);
}

#[test]
fn the_same_rule_twice_is_told_to_the_one_that_loses() {
    check(
        &[ingress_route("a", "Path(`/x`)"), ingress_route("b", "Path(`/x`)")],
        &[
            "t.yaml:14:1: warning: never reached: IngressRoute default/a (t.yaml:6) has the same rule and \
           wins",
        ],
    );
    let louder = ingress_route("b", "Path(`/x`)") + "    priority: 1000\n";
    check(
        &[ingress_route("a", "Path(`/x`)"), louder],
        &[
            "t.yaml:6:1: warning: never reached: IngressRoute default/b (t.yaml:14) has the same rule and \
           wins",
        ],
    );
    // Rules that only look alike, or share some of their requests, are none of this.
    check(&[ingress_route("a", "Path(`/x`)"), ingress_route("b", "PathPrefix(`/x`)")], &[]);
    check(&[ingress_route("a", "Host(`a`)"), ingress_route("b", "Host(`a`) && Path(`/x`)")], &[]);
    check(
        &[ingress("a", "a.test"), ingress("b", "a.test")],
        &[
            "t.yaml:15:1: warning: never reached: Ingress default/a (t.yaml:7) has the same rule and wins",
        ],
    );
}

#[test]
fn a_dialect_that_comes_first_and_takes_all_is_told_in_both() {
    check(
        &[ingress_route("all", "PathPrefix(`/`)"), ingress("a", "a.test"), ingress("b", "b.test")],
        &[
            "t.yaml:6:1: note: at 0.0.0.0:80 this takes all requests of Ingress default/a (t.yaml:15) \
             and 1 more: Traefik's routers comes first",
            "t.yaml:15:1: warning: never reached: IngressRoute default/all (t.yaml:6) takes all of its \
             requests, and Traefik's routers comes before Ingress at one address",
            "t.yaml:23:1: warning: never reached: IngressRoute default/all (t.yaml:6) takes all of its \
             requests, and Traefik's routers comes before Ingress at one address",
        ],
    );
}

#[test]
fn a_route_of_a_gateway_takes_all_of_its_hosts() {
    let count = |listener: &str, rule: &str| {
        let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: \
                     h}\nspec:\n  parentRefs: [{name: gw}]\n  rules: [{backendRefs: [{name: s, \
                     port: 80}]}]\n";
        let world = world(&[gateway(listener), route.into(), ingress_route("a", rule)]);
        let problems = world.report.problems();
        let told = problems.iter().filter(|problem| {
            let is_route = problem.message.starts_with("never reached: HTTPRoute default/h");
            is_route || problem.message.contains("takes all requests of IngressRoute default/a")
        });
        (told.count(), problems)
    };
    for (listener, rule, expected) in [
        ("", "Path(`/x`)", 2),
        ("", "Host(`a.test`)", 2),
        (", hostname: a.test", "Host(`a.test`) && Path(`/x`)", 2),
        (", hostname: a.test", "Host(`a.test`) || Host(`b.test`)", 0),
        (", hostname: a.test", "Host(`b.test`)", 0),
        (", hostname: a.test", "Path(`/x`)", 0),
        (", hostname: '*.x.test'", "Host(`a.x.test`)", 2),
        (", hostname: '*.x.test'", "Host(`b.a.x.test`) || Host(`*.x.test`)", 2),
        (", hostname: '*.x.test'", "Host(`x.test`)", 0),
    ] {
        let (count, problems) = count(listener, rule);
        assert_eq!(count, expected, "{listener} {rule}: {problems:#?}");
    }
}
