//! What our own TrafficPolicies add to the rules of a gateway, of every dialect.

use weft_model::identity::TrustDomain;
use weft_model::mesh::{Index, IndexEntry, Location};
use weft_model::policy::{AnswerDiff, LocalRateLimit, SourceCriterion, StepKind};
use weft_model::route::{Choice, Route};
use weft_resilience::settings::RateSettings;

use super::*;
use crate::gateway_api::tests::mesh_index;

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const ISTIO: &str = "networking.istio.io";

/// A TrafficPolicy of that age about an object of `shop`.
fn policy(name: &str, year: u32, (group, kind, object): (&str, &str, &str), spec: &str) -> String {
    format!(
        "apiVersion: weftway.io/v1alpha1
kind: TrafficPolicy
metadata: {{name: {name}, namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'}}
spec: {{targetRefs: [{{group: '{group}', kind: {kind}, name: {object}}}], {spec}}}
---
"
    )
}

/// The same about the service `web`.
fn of_web(spec: &str) -> String {
    policy("p", 2024, ("", "Service", "web"), spec)
}

/// A Gateway and a VirtualService of Istio's at port 81, with these rules.
fn istio(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: shop}}
spec: {{servers: [{{port: {{number: 81, name: http, protocol: HTTP}}, hosts: ['*']}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: shop}}
spec: {{hosts: ['istio.test'], gateways: [gw], http: [{http}]}}
---
"
    )
}

const TO_WEB: &str = "route: [{destination: {host: web, port: {number: 80}}}]";

/// An HTTPRoute for `gw.test` with these rules.
fn http_route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: named, namespace: shop}}
spec: {{parentRefs: [{{name: gw}}], hostnames: [named.test], rules: [{rules}]}}
---
"
    )
}

/// A service besides `web`.
fn other() -> String {
    SERVICE.replace("web", "other").replace("10.0.0.", "10.0.1.")
}

fn route(world: &World, port: u16, line: &str) -> Arc<Route> {
    find(world, port, false, line).unwrap_or_else(|| panic!("no route takes {line}"))
}

/// The steps of a route with their names.
fn steps(route: &Route) -> Vec<(String, StepKind)> {
    route.steps.iter().map(|step| (step.id.to_string(), step.kind.clone())).collect()
}

fn kinds(world: &World, port: u16, line: &str) -> Vec<StepKind> {
    steps(&route(world, port, line)).into_iter().map(|(_, kind)| kind).collect()
}

fn in_flight(amount: u32) -> StepKind {
    StepKind::InFlight { amount, source: SourceCriterion::All }
}

fn rate(total: u64, identity: Option<u64>) -> StepKind {
    let per_second =
        |average| RateSettings { average, period: Duration::from_secs(1), burst: average };
    StepKind::LocalRateLimit(Box::new(LocalRateLimit {
        total: Some(per_second(total)),
        identity: identity.map(per_second),
        overrides: Vec::new(),
    }))
}

const FOUR: [(u16, &str); 4] = [
    (80, "GET gw.test/"),
    (80, "GET traefik.test/"),
    (80, "GET ingress.test/"),
    (81, "GET istio.test/"),
];

#[test]
fn a_policy_at_a_service_bounds_each_rule_of_every_dialect_and_all_of_them_in_time() {
    let spec = "limits: {perRoute: {requests: 3}}, localRateLimit: {total: {requestsPerSecond: 9}}";
    let world = clean(&[&routes(""), &istio(&format!("{{{TO_WEB}}}")), &of_web(spec)]);
    let mut names = Vec::new();
    for (port, line) in FOUR {
        let [(limit, bound), (rate, speed)] =
            <[_; 2]>::try_from(steps(&route(&world, port, line))).expect("two steps");
        assert_eq!((bound, speed), (in_flight(3), self::rate(9, None)), "{line}");
        // All rules together, which is why the state has one name.
        assert_eq!(rate, "trafficpolicy/shop/p@service/shop/web/rate", "{line}");
        assert!(!names.contains(&limit), "{limit} bounds two rules");
        names.push(limit);
    }
    assert_eq!(names[0], "trafficpolicy/shop/p@httproute/shop/r/0/limit");
    assert_eq!(names[3], "trafficpolicy/shop/p@virtualservice/shop/v/0/limit");
}

#[test]
fn the_routes_of_one_rule_share_its_bound() {
    let rule = "{matches: [{path: {value: /a}}, {path: {value: /b}}], \
                backendRefs: [{name: web, port: 80}]}";
    let conditions =
        format!("{{match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}], {TO_WEB}}}");
    let documents = [routes(""), http_route(rule), istio(&conditions)].concat();
    for about in [
        [("", "Service", "web"), ("", "Service", "web")],
        [(GATEWAY_API, "HTTPRoute", "named"), (ISTIO, "VirtualService", "v")],
    ] {
        let limit = "limits: {perRoute: {requests: 3}}";
        let policies: String = [("one", about[0]), ("two", about[1])]
            .map(|(name, about)| policy(name, 2024, about, limit))
            .concat();
        let world = clean(&[&documents, &policies]);
        for (port, host) in [(80, "named.test"), (81, "istio.test")] {
            let [a, b] =
                ["a", "b"].map(|path| steps(&route(&world, port, &format!("GET {host}/{path}"))));
            assert!(!a.is_empty() && a == b, "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_policy_at_a_route_of_a_gateway_holds_for_it() {
    let spec = "localRateLimit: {total: {requestsPerSecond: 9}, perIdentity: {requestsPerSecond: 2}, \
                overrides: [{requestsPerSecond: 5, clientRefs: [{name: batch, namespace: jobs}]}]}, \
                limits: {perRoute: {requests: 3}}, hedging: {percentile: 90}";
    let rules = "{name: one, matches: [{path: {value: /one}}], \
                  backendRefs: [{name: web, port: 80}]}, \
                 {name: two, backendRefs: [{name: web, port: 80}]}";
    let http = format!(
        "{{name: one, match: [{{uri: {{prefix: /one}}}}], {TO_WEB}}}, \
                        {{name: two, {TO_WEB}}}"
    );
    let documents = [routes(""), http_route(rules), istio(&http)].concat();
    for (section, is_two_meant) in [("", true), (", sectionName: one", false)] {
        let about = [(GATEWAY_API, "HTTPRoute", "named"), (ISTIO, "VirtualService", "v")];
        let policies: String = about
            .map(|(group, kind, name)| {
                let name = format!("{name}{section}");
                policy(&kind.to_ascii_lowercase(), 2024, (group, kind, &name), spec)
            })
            .concat();
        let world = clean(&[&documents, &policies]);
        for (port, host) in [(80, "named.test"), (81, "istio.test")] {
            let found = kinds(&world, port, &format!("GET {host}/one"));
            let [StepKind::LocalRateLimit(limit), bound, StepKind::Hedge(hedge)] = &*found else {
                panic!("{found:?}")
            };
            assert_eq!(*bound, in_flight(3));
            assert!((hedge.quantile - 0.9).abs() < 1e-9, "{hedge:?}");
            assert_eq!(limit.identity.map(|rate| rate.average), Some(2));
            let [(clients, _)] = &*limit.overrides else { panic!("{limit:?}") };
            assert_eq!(**clients, ["spiffe://cluster.local/ns/jobs/sa/batch".into()]);
            let other = kinds(&world, port, &format!("GET {host}/two"));
            assert_eq!(other.len(), if is_two_meant { 3 } else { 0 }, "{host}{section}");
        }
    }
}

#[test]
fn the_trust_domain_of_clients_is_that_of_the_gateway() {
    let spec = "localRateLimit: {overrides: [{requestsPerSecond: 5, clientRefs: [{name: batch}]}]}";
    let policy = policy("p", 2024, (GATEWAY_API, "HTTPRoute", "r"), spec);
    let text = [SERVICE, &routes(""), &policy].concat();
    let trust_domain = TrustDomain::new("example.org").expect("a name");
    let options = Options { trust_domain, ..options() };
    let world = compile(&load(&[("a.yaml", text)]), &options, None);
    let found = kinds(&world, 80, "GET gw.test/");
    let [StepKind::LocalRateLimit(limit)] = &*found else { panic!("{found:?}") };
    assert_eq!(*limit.overrides[0].0, ["spiffe://example.org/ns/shop/sa/batch".into()]);
}

#[test]
fn a_rate_of_each_client_stands_behind_the_steps_that_find_out_who_it_is() {
    let auth = "apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: users, namespace: shop}
spec: {basicAuth: {secret: users}}
---
apiVersion: v1
kind: Secret
metadata: {name: users, namespace: shop}
stringData: {users: 'anna:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g='}
---
";
    let prefix = "{type: URLRewrite, urlRewrite: {hostname: inner.test}}";
    let users =
        "{type: ExtensionRef, extensionRef: {group: traefik.io, kind: Middleware, name: users}}";
    let rule = format!("{{filters: [{users}, {prefix}], backendRefs: [{{name: web, port: 80}}]}}");
    let order = |spec: &str| -> Vec<&'static str> {
        let policy = policy("p", 2024, (GATEWAY_API, "HTTPRoute", "named"), spec);
        let world = world(&[&routes(""), &http_route(&rule), auth, &policy]);
        let name = |kind| match kind {
            StepKind::BasicAuth(_) => "auth",
            StepKind::LocalRateLimit(_) => "rate",
            StepKind::InFlight { .. } => "bound",
            StepKind::Rewrite(_) => "rewrite",
            other => panic!("{other:?}"),
        };
        kinds(&world, 80, "GET named.test/").into_iter().map(name).collect()
    };
    let bound = "limits: {perRoute: {requests: 3}}";
    assert_eq!(
        order(&format!("localRateLimit: {{perIdentity: {{requestsPerSecond: 2}}}}, {bound}")),
        ["bound", "auth", "rate", "rewrite"]
    );
    assert_eq!(
        order(&format!("localRateLimit: {{total: {{requestsPerSecond: 2}}}}, {bound}")),
        ["rate", "bound", "auth", "rewrite"]
    );
}

#[test]
fn where_a_rule_leads_to_several_services_the_targets_of_the_policys_are_bounded() {
    let split =
        "{backendRefs: [{name: web, port: 80, weight: 1}, {name: other, port: 80, weight: 9}]}";
    let spec = "limits: {perRoute: {requests: 3}}, localRateLimit: {total: {requestsPerSecond: 9}}";
    let world = clean(&[&other(), &routes(""), &http_route(split), &of_web(spec)]);
    let found = route(&world, 80, "GET named.test/");
    assert!(found.steps.is_empty(), "{found:?}");
    let Target::Weighted(weighted) = &found.target else { panic!("{found:?}") };
    let steps = |choice: &Choice| -> Vec<StepKind> {
        choice.steps.iter().map(|step| step.kind.clone()).collect()
    };
    let [web, other] = &*weighted.choices else { panic!("{weighted:?}") };
    assert_eq!(steps(web), [in_flight(3), rate(9, None)]);
    assert_eq!((steps(other), other.weight), (Vec::new(), 9));
}

#[test]
fn answers_of_mirrors_at_gateways_are_compared() {
    let filter = "filters: [{type: RequestMirror, \
                   requestMirror: {backendRef: {name: other, port: 80}}}]";
    let rule = format!("{{{filter}, backendRefs: [{{name: web, port: 80}}]}}");
    let http =
        format!("{{{TO_WEB}, mirrors: [{{destination: {{host: other, port: {{number: 80}}}}}}]}}");
    let traefik = "apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: copied, namespace: shop}
spec: {mirroring: {name: web, port: 80, mirrors: [{name: other, port: 80, percent: 100}]}}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: copied, namespace: shop}
spec: {routes: [{match: 'Host(`copied.test`)', services: [{name: copied, kind: TraefikService}]}]}
---
";
    let how = |percent: u32| AnswerDiff {
        parts_per_million: percent * 10_000,
        status: true,
        headers: false,
        body: false,
    };
    let documents = [other(), routes(""), http_route(&rule), istio(&http), traefik.into()].concat();
    let of_service = of_web("mirrorDiff: {samplePercent: 20}");
    let of_route = policy(
        "route",
        2024,
        (GATEWAY_API, "HTTPRoute", "named"),
        "mirrorDiff: {samplePercent: 30}",
    );
    let world = clean(&[&documents, &of_service, &of_route]);
    let compared = |port, line| match &*kinds(&world, port, line) {
        [StepKind::Mirror { compared, .. }] => *compared,
        other => panic!("{other:?}"),
    };
    // What is nearer comes first.
    assert_eq!(compared(80, "GET named.test/"), Some(how(30)));
    assert_eq!(compared(81, "GET istio.test/"), Some(how(20)));
    let Target::Mirror(mirrors) = &route(&world, 80, "GET copied.test/").target else {
        panic!("a mirror")
    };
    assert_eq!(mirrors.compared, Some(how(20)));
}

#[test]
fn a_policy_that_cannot_be_obeyed_closes_what_it_protects() {
    let broken = "localRateLimit: {total: {requestsPerSecond: 0}}";
    let world = world(&[&routes(""), &istio(&format!("{{{TO_WEB}}}")), &of_web(broken)]);
    for (port, line) in FOUR {
        let Target::Refuse(refusal) = &route(&world, port, line).target else { panic!("{line}") };
        assert_eq!(refusal.reason.status(), 503, "{line}");
    }
    let split = "{backendRefs: [{name: web, port: 80}, {name: other, port: 80}]}";
    let world = self::world(&[&other(), &routes(""), &http_route(split), &of_web(broken)]);
    let Target::Weighted(weighted) = &route(&world, 80, "GET named.test/").target else {
        panic!("shares")
    };
    let [web, other] = &*weighted.choices else { panic!("{weighted:?}") };
    assert!(matches!(web.target, Target::Refuse(_)), "{web:?}");
    assert!(matches!(other.target, Target::Backend(_)), "{other:?}");
}

#[test]
fn rates_are_for_the_port_that_the_policy_names() {
    let spec = "localRateLimit: {total: {requestsPerSecond: 9}}";
    for (section, expected) in [(", port: 80", 1), (", port: 81", 0), (", sectionName: http", 1)] {
        let name = format!("web{section}");
        let policy = policy("p", 2024, ("", "Service", &name), spec);
        let world = world(&[&routes(""), &policy]);
        assert_eq!(kinds(&world, 80, "GET gw.test/").len(), expected, "{section}");
    }
}

#[test]
fn of_two_policies_about_one_thing_the_older_one_wins_and_both_are_told() {
    let spec = |percent: u32| {
        format!("hedging: {{percentile: {percent}}}, limits: {{perRoute: {{requests: {percent}}}}}")
    };
    let route = (GATEWAY_API, "HTTPRoute", "r");
    // By name the younger one would be first.
    let young = policy("a", 2025, route, &spec(50));
    let old = policy("b", 2024, route, &spec(90));
    let world = self::world(&[&routes(""), &young, &old]);
    let found = kinds(&world, 80, "GET gw.test/");
    // Bounds protect, so both hold.
    let [
        StepKind::InFlight { amount: 90, .. },
        StepKind::Hedge(hedge),
        StepKind::InFlight { amount: 50, .. },
    ] = &*found
    else {
        panic!("{found:?}")
    };
    assert!((hedge.quantile - 0.9).abs() < 1e-9, "{hedge:?}");
    assert_reported(&world, "`hedging` of TrafficPolicy shop/b holds instead");
    assert_reported(&world, "it holds instead of `hedging` of TrafficPolicy shop/a");
    // What is about one rule comes before what is about all of the route, whatever its age.
    let one = policy("a", 2025, (GATEWAY_API, "HTTPRoute", "named, sectionName: one"), &spec(50));
    let all = policy("b", 2024, (GATEWAY_API, "HTTPRoute", "named"), &spec(90));
    let rule = http_route("{name: one, backendRefs: [{name: web, port: 80}]}");
    let world = self::world(&[&routes(""), &rule, &one, &all]);
    let found = kinds(&world, 80, "GET named.test/");
    let hedge = found.iter().find_map(|kind| match kind {
        StepKind::Hedge(hedge) => Some(hedge.quantile),
        _ => None,
    });
    assert_eq!(hedge, Some(0.5), "{found:?}");
}

#[test]
fn of_two_policies_about_calls_of_a_service_the_older_one_wins_and_both_are_told() {
    let own = |name, year, max: u32| {
        policy(name, year, ("", "Service", "web"), &format!("adaptiveConcurrency: {{max: {max}}}"))
    };
    let budget = |name: &str, year: u32, percent: u32| {
        format!(
            "apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {{name: {name}, namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'}}
spec:
  targetRefs: [{{group: '', kind: Service, name: web}}]
  retryConstraint: {{budget: {{percent: {percent}}}}}
---
"
        )
    };
    let documents = [
        own("a", 2025, 50),
        own("b", 2024, 90),
        budget("a", 2025, 50),
        budget("b", 2024, 30),
        routes(""),
    ];
    let world = self::world(&[&documents.concat()]);
    for host in HOSTS {
        let calling = &backend(&world, host).expect("it is served").calling;
        assert_eq!(calling.adaptive.map(|found| found.limit_max), Some(90), "{host}");
        let Some(BudgetSettings::Recent(budget)) = calling.retry_budget else { panic!("{host}") };
        assert!((budget.ratio - 0.3).abs() < 1e-9, "{budget:?}");
    }
    for kind in ["TrafficPolicy", "XBackendTrafficPolicy"] {
        assert_reported(&world, &format!("of {kind} shop/b (a.yaml:"));
        assert_reported(&world, &format!("of {kind} shop/a (a.yaml:"));
    }
}

#[test]
fn what_a_policy_is_not_about_at_a_gateway_is_told() {
    let rule = http_route("{name: one, backendRefs: [{name: web, port: 80}]}");
    for (about, spec, expected) in [
        ((GATEWAY_API, "HTTPRoute", "lost"), "hedging: {}", "there is no HTTPRoute lost"),
        (
            (GATEWAY_API, "HTTPRoute", "named, sectionName: x"),
            "hedging: {}",
            "there is no `x` in the HTTPRoute named",
        ),
        (
            (GATEWAY_API, "HTTPRoute", "named"),
            "deadline: {propagate: false}",
            "`deadline` has no effect on a route",
        ),
        (("", "Service", "lost"), "hedging: {}", "there is no Service lost"),
        (
            ("", "Service", "web, port: 80"),
            "limits: {perRoute: {requests: 3}}",
            "`limits.perRoute` has no effect on a single port",
        ),
    ] {
        let policy = policy("p", 2024, about, spec);
        assert_reported(&world(&[&routes(""), &rule, &policy]), expected);
    }
}

#[test]
fn in_a_mesh_rates_are_kept_where_calls_arrive() {
    let name = "web.shop.svc.cluster.local";
    let index = mesh_index(name, 80);
    let text = |rate: u32| {
        let rate = format!("localRateLimit: {{total: {{requestsPerSecond: {rate}}}}}");
        let spec = format!("limits: {{perRoute: {{requests: 3}}}}, {rate}");
        load(&[("a.yaml", [SERVICE, &routes(""), &of_web(&spec)].concat())])
    };
    let world = crate::compile_in_mesh(&text(9), &options(), &index, None);
    for host in HOSTS {
        let found = kinds(&world, 80, &format!("GET {host}/"));
        assert_eq!(found, [in_flight(3)], "{host}");
    }
    // Where no proxy stands, or not at each endpoint, the gateway does.
    let entry =
        IndexEntry { location: Location::Unguarded, ..IndexEntry::clone(&index.entries[name]) };
    let index = Index { entries: [(entry.name.clone(), Arc::new(entry))].into() };
    let world = crate::compile_in_mesh(&text(9), &options(), &index, Some(&world));
    let broken = crate::compile_in_mesh(&text(0), &options(), &index, None);
    for host in HOSTS {
        let line = format!("GET {host}/");
        assert_eq!(kinds(&world, 80, &line), [in_flight(3), rate(9, None)], "{host}");
        let target = &route(&broken, 80, &line).target;
        assert!(matches!(target, Target::Refuse(_)), "{host}: {target:?}");
    }
}

#[test]
fn a_policy_about_a_rule_that_delegates_holds_at_gateways_too() {
    let inner = format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: inner, namespace: shop}}
spec: {{http: [{{match: [{{uri: {{prefix: /a}}}}], {TO_WEB}}}, {{{TO_WEB}}}]}}
---
"
    );
    let documents = [routes(""), istio("{name: team, delegate: {name: inner}}"), inner].concat();
    for section in ["", ", sectionName: team"] {
        let about = format!("v{section}");
        let limit = policy(
            "p",
            2024,
            (ISTIO, "VirtualService", &about),
            "limits: {perRoute: {requests: 3}}, localRateLimit: {total: {requestsPerSecond: 9}}",
        );
        let world = clean(&[&documents, &limit]);
        let [a, rest] =
            ["GET istio.test/a", "GET istio.test/"].map(|line| steps(&route(&world, 81, line)));
        let id = |part: &str| format!("trafficpolicy/shop/p@virtualservice/shop/v/team/{part}");
        assert_eq!(a, [(id("rate"), rate(9, None)), (id("limit"), in_flight(3))], "{section}");
        assert_eq!(a, rest, "{section}");
    }
}
