//! What requests and connections get from Gateways and VirtualServices.

mod connections;
mod subsets;
mod tls;

use std::time::Duration;

use weft_model::policy::StepKind;
use weft_model::route::Target;
use weft_resources::load;

use crate::gateway_api::tests::{assert_reported, find, problems};
use crate::{Options, World, compile};

/// The services `reviews` (two versions, told apart by their Pods) and `ratings` of `shop`.
pub(super) const SERVICES: &str = "apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {ports: [{port: 9080, name: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-1, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{port: 3000, name: http}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}]
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v1, namespace: shop, labels: {app: reviews, version: v1}}
spec: {containers: [{name: app}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v2, namespace: shop, labels: {app: reviews, version: v2}}
spec: {containers: [{name: app}]}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: shop}
spec: {ports: [{port: 9080, name: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ratings-1, namespace: shop, labels: {kubernetes.io/service-name: ratings}}
addressType: IPv4
ports: [{port: 3000, name: http}]
endpoints: [{addresses: [10.0.1.1]}]
---
";

/// A Gateway `public` of `shop` with these servers (each a flow map without braces).
pub(super) fn gateway(servers: &[&str]) -> String {
    named_gateway("public", servers)
}

/// The same by another name.
pub(super) fn named_gateway(name: &str, servers: &[&str]) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
"
    );
    for server in servers {
        text.push_str(&format!("  - {{{server}}}\n"));
    }
    text.push_str("---\n");
    text
}

/// A server of plain HTTP on port 80 for these hosts.
pub(super) fn plain(hosts: &str) -> String {
    format!("port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{hosts}]")
}

/// A VirtualService of `shop`, bound to `public`, made at that hour, with the rest of its spec.
pub(super) fn service(name: &str, hour: u8, hosts: &str, rest: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop, creationTimestamp: '2026-01-01T{hour:02}:00:00Z'}}
spec:
  hosts: [{hosts}]
  gateways: [public]
{rest}---
"
    )
}

/// A rule: the flow list of its matches, and where it leads.
pub(super) fn rule(matches: &str, host: &str) -> String {
    format!("  - {{match: [{matches}], route: [{{destination: {{host: {host}}}}}]}}\n")
}

/// `http` with these rules.
pub(super) fn http(rules: &[String]) -> String {
    format!("  http:\n{}", rules.concat())
}

/// MeshConfig with a number of retries.
fn mesh_config(attempts: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data: {{mesh: 'defaultHttpRetryPolicy: {{attempts: {attempts}}}'}}
---
"
    )
}

/// Compiles documents together with the services.
pub(super) fn world(documents: &[&str]) -> World {
    let text = format!("{SERVICES}{}", documents.concat());
    compile(&load(&[("a.yaml", text)]), &Options::new(Vec::new()), None)
}

/// The same where nothing may be wrong.
pub(super) fn clean(documents: &[&str]) -> World {
    let world = world(documents);
    assert_eq!(problems(&world), Vec::<String>::new());
    world
}

/// What a request to port 80 gets: the backend, `a:70 b:30` for shares, or a status.
pub(super) fn ask(world: &World, line: &str) -> String {
    find(world, 80, false, line).map_or("404".into(), |route| words(&route.target))
}

/// The same for any target.
pub(super) fn words(target: &Target) -> String {
    match target {
        Target::Backend(id) => {
            let name = id.as_str().trim_start_matches("shop/").trim_end_matches("+istio");
            name.replace(":9080", "")
        }
        Target::Weighted(weighted) => {
            let choices = weighted.choices.iter();
            let words: Vec<String> = choices
                .map(|choice| format!("{}:{}", words(&choice.target), choice.weight))
                .collect();
            words.join(" ")
        }
        Target::Refuse(refusal) => refusal.reason.status().to_string(),
        other => format!("{other:?}"),
    }
}

fn check(world: &World, table: &[(&str, &str)]) {
    for (line, expected) in table {
        assert_eq!(ask(world, line), *expected, "{line}");
    }
}

/// The steps of the rule that takes a request to port 80.
fn steps(world: &World, line: &str) -> Vec<StepKind> {
    let route = find(world, 80, false, line).unwrap_or_else(|| panic!("no route takes {line}"));
    route.steps.iter().map(|step| step.kind.clone()).collect()
}

#[test]
fn a_server_and_a_virtual_service_have_to_have_a_host_in_common() {
    let world = clean(&[
        &gateway(&[&plain("'*.example.com', other.org")]),
        &service("a", 1, "shop.example.com", &http(&[rule("", "reviews")])),
        &service("b", 2, "'*'", &http(&[rule("", "ratings")])),
    ]);
    check(
        &world,
        &[
            ("GET shop.example.com/", "reviews"),
            ("GET deep.below.example.com/", "ratings"),
            ("GET other.org/", "ratings"),
            ("GET elsewhere.net/", "404"),
        ],
    );
}

#[test]
fn a_server_says_whose_virtual_services_may_have_a_host() {
    for (hosts, expected) in [
        ("'./a.example'", "reviews"),
        ("'shop/a.example'", "reviews"),
        ("'*/a.example'", "reviews"),
        ("'front/a.example'", "404"),
    ] {
        let world = world(&[
            &gateway(&[&plain(hosts)]),
            &service("a", 1, "a.example", &http(&[rule("", "reviews")])),
        ]);
        assert_eq!(ask(&world, "GET a.example/"), expected, "{hosts}");
        if expected == "404" {
            assert_reported(&world, "no server of its Gateways is for the host `a.example`");
        }
    }
}

#[test]
fn the_first_rule_that_takes_a_request_holds() {
    let rules = http(&[
        rule("{uri: {prefix: /api/v2}}", "ratings"),
        rule("{uri: {prefix: /api}}, {headers: {x-beta: {exact: yes}}}", "reviews"),
        rule("{uri: {exact: /api/v2/late}}", "reviews"),
    ]);
    let world = clean(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", &rules)]);
    check(
        &world,
        &[
            ("GET a.example/api/v2/late", "ratings"),
            ("GET a.example/api/v1", "reviews"),
            ("GET a.example/else x-beta: yes", "reviews"),
            ("GET a.example/else", "404"),
        ],
    );
}

#[test]
fn rules_of_several_documents_stand_behind_each_other_and_those_for_everything_come_last() {
    let world = world(&[
        &gateway(&[&plain("'*'")]),
        &service(
            "younger",
            2,
            "a.example",
            &http(&[
                rule("{uri: {prefix: /api}}", "ratings"),
                rule("{uri: {prefix: /x}}", "ratings"),
            ]),
        ),
        &service(
            "older",
            1,
            "a.example",
            &http(&[rule("{uri: {prefix: /x}}", "reviews"), rule("", "reviews")]),
        ),
    ]);
    check(
        &world,
        &[
            ("GET a.example/api", "ratings"),
            ("GET a.example/x", "reviews"),
            ("GET a.example/else", "reviews"),
        ],
    );
    assert_reported(&world, "for a.example its rules stand behind those of VirtualService");
}

#[test]
fn what_stands_behind_a_rule_for_everything_is_never_reached() {
    let rules = http(&[rule("", "reviews"), rule("{uri: {prefix: /late}}", "ratings")]);
    let world = world(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", &rules)]);
    assert_eq!(ask(&world, "GET a.example/late"), "reviews");
    assert_reported(&world, "never reached: a rule before it takes every request (a.yaml:");
}

#[test]
fn requests_for_an_exact_host_never_fall_to_a_wider_one() {
    let world = clean(&[
        &gateway(&[&plain("'*'")]),
        &service("wide", 1, "'*.example.com'", &http(&[rule("", "ratings")])),
        &service("exact", 2, "a.example.com", &http(&[rule("{uri: {prefix: /api}}", "reviews")])),
    ]);
    check(
        &world,
        &[
            ("GET a.example.com/api", "reviews"),
            ("GET a.example.com/else", "404"),
            ("GET b.example.com/else", "ratings"),
        ],
    );
}

#[test]
fn rules_for_other_ports_gateways_and_callers_take_nothing() {
    let rules = http(&[
        rule("{port: 8080}", "ratings"),
        rule("{gateways: [mesh]}", "ratings"),
        rule("{sourceLabels: {app: web}}", "ratings"),
        rule("{gateways: [shop/public], uri: {prefix: /own}}", "reviews"),
        rule("{port: 80, uri: {prefix: /port}}", "reviews"),
    ]);
    let world = world(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", &rules)]);
    check(
        &world,
        &[
            ("GET a.example/", "404"),
            ("GET a.example/own", "reviews"),
            ("GET a.example/port", "reviews"),
        ],
    );
    assert_reported(&world, "rules for `sourceLabels` and `sourceNamespace` take nothing here");
}

#[test]
fn rules_have_their_steps_and_times() {
    let rules = "  http:
  - match: [{uri: {prefix: /old}}]
    rewrite: {uri: /new, authority: inner.example}
    timeout: 3s
    retries: {attempts: 4, perTryTimeout: 1s, retryOn: 5xx}
    headers: {request: {set: {x-a: b}}, response: {remove: [server]}}
    fault: {abort: {httpStatus: 418, percentage: {value: 50}}}
    mirrors: [{destination: {host: ratings}, percentage: {value: 10}}]
    route: [{destination: {host: reviews}}]
  - match: [{uri: {prefix: /moved}}]
    redirect: {uri: /there, authority: new.example, redirectCode: 302}
  - directResponse: {status: 503, body: {string: closed}}
";
    let world = clean(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", rules)]);
    let route = find(&world, 80, false, "GET a.example/old/x").unwrap();
    assert_eq!(route.timeouts.request, Some(Duration::from_secs(3)));
    let retry = route.timeouts.retry.as_ref().unwrap();
    assert_eq!((retry.attempts, retry.attempt_timeout), (5, Some(Duration::from_secs(1))));
    let kinds = steps(&world, "GET a.example/old/x");
    let has = |wanted: fn(&StepKind) -> bool| kinds.iter().any(wanted);
    assert!(has(|kind| matches!(kind, StepKind::Fault(_))));
    assert!(has(|kind| matches!(kind, StepKind::Rewrite(_))));
    assert!(has(|kind| matches!(kind, StepKind::RequestHeaders(_))));
    assert!(has(|kind| matches!(kind, StepKind::ResponseHeaders(_))));
    assert!(has(|kind| { matches!(kind, StepKind::Mirror { parts_per_million: 100_000, .. }) }));
    let moved = steps(&world, "GET a.example/moved");
    assert!(matches!(&moved[..], [StepKind::Redirect(redirect)] if redirect.status == 302));
    let closed = steps(&world, "GET a.example/");
    assert!(matches!(&closed[..], [StepKind::Respond(answer)] if answer.status == 503));
}

#[test]
fn weights_are_shares() {
    let rules = "  http:
  - route:
    - {destination: {host: reviews}, weight: 90}
    - {destination: {host: ratings.shop.svc.cluster.local, port: {number: 9080}}, weight: 10}
";
    let world = clean(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", rules)]);
    assert_eq!(ask(&world, "GET a.example/"), "reviews:90 ratings:10");
}

#[test]
fn rules_may_stand_in_another_document() {
    let table = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: table, namespace: shop}
spec:
  http:
  - {match: [{uri: {prefix: /api/reviews}}], route: [{destination: {host: reviews}}]}
  - {route: [{destination: {host: ratings}}]}
---
";
    let rules = "  http: [{match: [{uri: {prefix: /api}}], delegate: {name: table}}]\n";
    let world = clean(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", rules), table]);
    check(
        &world,
        &[
            ("GET a.example/api/reviews/1", "reviews"),
            ("GET a.example/api/else", "ratings"),
            ("GET a.example/else", "404"),
        ],
    );
    let world = self::world(&[&gateway(&[&plain("'*'")]), table]);
    assert_reported(&world, "it has no hosts, and no other VirtualService delegates to it");
}

#[test]
fn a_server_may_send_everything_to_https() {
    let redirecting =
        format!("{}, tls: {{httpsRedirect: true}}", plain("'*.example.com', a.example.org"));
    let world = clean(&[
        &gateway(&[&redirecting]),
        &service("a", 1, "shop.example.com", &http(&[rule("", "reviews")])),
    ]);
    for line in ["GET shop.example.com/a", "GET other.example.com/", "POST a.example.org/"] {
        let steps = steps(&world, line);
        let [StepKind::Redirect(redirect)] = &steps[..] else { panic!("{line}: {steps:?}") };
        assert_eq!((redirect.scheme.as_deref(), redirect.status), (Some("https"), 301));
    }
    assert_eq!(ask(&world, "GET elsewhere.net/"), "404");
}

#[test]
fn a_route_of_gateway_api_comes_first() {
    let route = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  gatewayClassName: weftway
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: gw}]
  hostnames: [a.example]
  rules: [{backendRefs: [{name: ratings, port: 9080}]}]
---
";
    let world = world(&[
        &gateway(&[&plain("'*'")]),
        &service("a", 1, "a.example", &http(&[rule("", "reviews")])),
        &service("b", 1, "b.example", &http(&[rule("", "reviews")])),
        route,
    ]);
    check(&world, &[("GET a.example/", "ratings"), ("GET b.example/", "reviews")]);
    assert_reported(&world, "Gateway API comes before Istio at one address");
}

#[test]
fn what_cannot_be_bound_is_reported() {
    let unbound = |name: &str, gateways: &str| {
        service(name, 1, "a.example", &http(&[rule("", "reviews")]))
            .replace("gateways: [public]", gateways)
    };
    for (document, expected) in [
        (unbound("a", "gateways: [pubic]"), "Gateway shop/pubic is not found"),
        (unbound("a", "gateways: [mesh]"), "it is for sidecars alone"),
        (unbound("a", ""), "it is for sidecars alone"),
        (
            service("a", 1, "'*'", "  tcp: [{route: [{destination: {host: reviews}}]}]\n"),
            "its `tcp` rules take nothing: they need a server of TCP",
        ),
    ] {
        let world = world(&[&gateway(&[&plain("'*'")]), &document]);
        assert_reported(&world, expected);
    }
}

#[test]
fn ports_and_addresses_are_those_of_the_command_line() {
    let set = |bind: &str| {
        let server = format!("{}{bind}", plain("'*'"));
        let text = format!("{SERVICES}{}", gateway(&[&server]));
        let mut options = Options::new(Vec::new());
        options.port_map.insert(80, 8080);
        options.bind_address = [127, 0, 0, 1].into();
        let world = compile(&load(&[("a.yaml", text)]), &options, None);
        world.snapshot.listeners[0].addr.to_string()
    };
    assert_eq!(set(""), "127.0.0.1:8080");
    assert_eq!(set(", bind: 0.0.0.0"), "127.0.0.1:8080");
    assert_eq!(set(", bind: 127.0.0.2"), "127.0.0.2:8080");
}

#[test]
fn a_document_with_an_unknown_field_is_judged_as_a_whole() {
    let rules = http(&[rule("", "nobody")]) + "  htpp: []\n";
    let world = world(&[&gateway(&[&plain("'*'")]), &service("a", 1, "'*'", &rules)]);
    assert_reported(&world, "unknown field `htpp`");
    assert_reported(&world, "service `shop/nobody` is not found");
    assert_eq!(ask(&world, "GET a.example/"), "404");
}

#[test]
fn mesh_config_says_what_is_retried_where_rules_do_not() {
    let documents = |attempts: &str, own: &str| {
        let rule = rule("", "reviews").replace("route:", &format!("{own}route:"));
        let service = service("v", 1, "shop.test", &http(&[rule]));
        [mesh_config(attempts), gateway(&[&plain("'*'")]), service].concat()
    };
    let timeouts = |world: &World| {
        let route = find(world, 80, false, "GET shop.test/").expect("it is served");
        let timeouts = route.timeouts.clone();
        let source = timeouts.inherited.first().map(|(_, source)| source.document.to_string());
        (timeouts.retry.map(|retry| retry.attempts), source)
    };
    let of_mesh = Some("ConfigMap istio-system/istio".to_owned());
    let first = world(&[&documents("4", "")]);
    assert_eq!(problems(&first), [""; 0]);
    assert_eq!(timeouts(&first), (Some(5), of_mesh.clone()));
    let text = format!("{SERVICES}{}", documents("0", ""));
    let next = compile(&load(&[("a.yaml", text)]), &Options::new(Vec::new()), Some(&first));
    assert_eq!(timeouts(&next), (None, of_mesh));
    let own = world(&[&documents("4", "retries: {attempts: 1}, ")]);
    assert_eq!(timeouts(&own), (Some(2), None));
    let of_service = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec: {host: reviews, trafficPolicy: {retries: {attempts: 2}}}
---
";
    let world = world(&[&documents("4", ""), of_service]);
    assert_eq!(timeouts(&world), (Some(3), Some("DestinationRule shop/reviews".into())));
    assert_reported(&self::world(&[&documents("-1", "")]), "defaultHttpRetryPolicy.attempts");
}
