//! Routes of networks outside of the mesh (Linkerd's EgressNetwork).

use std::time::Duration;

use weft_model::backend::Endpoints;
use weft_model::route::Timeouts;

use super::*;

const ALL: &str = "EgressNetwork/default/all";

fn network(metadata: &str, spec: &str) -> String {
    document("policy.linkerd.io/v1alpha1", "EgressNetwork", &format!("name: all{metadata}"), spec)
}

fn denied() -> String {
    network("", "trafficPolicy: Deny")
}

fn attached(kind: &str, metadata: &str, parent: &str, spec: &str) -> String {
    let parents = format!(
        "parentRefs: [{{group: policy.linkerd.io, kind: EgressNetwork, name: all{parent}}}]"
    );
    document("gateway.networking.k8s.io/v1", kind, metadata, &format!("{parents}, {spec}"))
}

fn of_network(world: &MeshWorld) -> &Traffic {
    &world.mesh.networks.get(ALL).expect("it is there").traffic
}

/// Where a request for a host goes.
fn asks(world: &MeshWorld, from: From<'_>, host: &str, line: &str) -> String {
    let set = set(of_network(world), from, |set| set.http.is_some()).expect("there is one");
    let is_meant = |one: &&Routed<Route>| one.ports.is_empty() || one.ports.contains(&from.port);
    let routes = set.http.iter().flatten().filter(is_meant);
    let routes: Vec<_> = routes.map(|one| Arc::clone(&one.route)).collect();
    let mut head = head("a", line);
    head.set_authority(host).expect("a host");
    let table = HttpTable::new(&routes);
    let found = table.find(&head, IpAddr::from([127, 0, 0, 1]));
    found.map_or_else(|| "404".into(), |found| goes(&found.route().target))
}

/// Where connections go, the greatest rank first.
fn opens(world: &MeshWorld, from: From<'_>) -> Vec<String> {
    let set = set(of_network(world), from, |set| set.tcp.is_some()).expect("there is one");
    let mut routes: Vec<_> = set.tcp.iter().flatten().map(|one| &one.route).collect();
    routes.sort_by_key(|route| std::cmp::Reverse(route.rank));
    routes.iter().map(|route| format!("{} {}", route.id, goes(&route.target))).collect()
}

#[test]
fn what_no_route_takes_is_as_the_network_says() {
    let check = |policy: &str, expected: &str| {
        let world = clean_routing(&[&network("", &format!("trafficPolicy: {policy}"))]);
        assert_eq!(asks(&world, HERE, "any.example", "GET /"), expected);
        let id = "egressnetwork/default/all/rest";
        assert_eq!(opens(&world, HERE), [format!("{id} {expected}")]);
        assert!(of_network(&world).lines.contains_key(id));
    };
    check("Allow", ALL);
    check("Deny", "403");
    // One that cannot be read may have forbidden anything.
    let world = routing(&[&network("", "trafficPolicy: 5")]);
    assert_eq!(asks(&world, HERE, "any.example", "GET /"), "403");
}

#[test]
fn routes_of_a_network_open_what_it_forbids() {
    let rules =
        "hostnames: [httpbin.org, '*.example.com'], rules: [{matches: [{path: {value: /get}}]}]";
    let on_80 = attached("HTTPRoute", "name: r", ", port: 80", rules);
    let world = clean_routing(&[&denied(), &on_80]);
    assert_eq!(asks(&world, HERE, "httpbin.org", "GET /get"), ALL);
    assert_eq!(asks(&world, HERE, "www.example.com", "GET /get/1"), ALL);
    assert_eq!(asks(&world, HERE, "httpbin.org", "GET /ip"), "403");
    assert_eq!(asks(&world, HERE, "other.org", "GET /get"), "403");
    assert_eq!(asks(&world, From { port: 8080, ..HERE }, "httpbin.org", "GET /get"), "403");
    assert_eq!(opens(&world, HERE), ["egressnetwork/default/all/rest 403"]);
    let backend = &of_network(&world).backends[ALL];
    assert_eq!(backend.endpoints, Endpoints::Dialled);
}

#[test]
fn routes_of_a_network_may_lead_into_the_mesh() {
    let rules = "rules: [{backendRefs: [{name: v1, port: 80, weight: 1},
                 {group: policy.linkerd.io, kind: EgressNetwork, name: all, weight: 3}]}]";
    let world = clean_routing(&[&denied(), &attached("HTTPRoute", "name: r", "", rules)]);
    assert_eq!(asks(&world, HERE, "any.example", "GET /"), format!("v1:80 x1, {ALL} x3"));
    // To another network nothing leads.
    let rules =
        "rules: [{backendRefs: [{group: policy.linkerd.io, kind: EgressNetwork, name: other}]}]";
    let world = routing(&[&denied(), &attached("HTTPRoute", "name: r", "", rules)]);
    assert_eq!(asks(&world, HERE, "any.example", "GET /"), "500");
    reports(&world, "requests cannot be sent to a EgressNetwork");
}

#[test]
fn routes_for_grpc_take_their_ports_of_a_network_and_no_others() {
    let service = "rules: [{matches: [{method: {service: shop.Cart}}]}]";
    let grpc = attached("GRPCRoute", "name: g", ", port: 443", service);
    let http = |parent| attached("HTTPRoute", "name: h", parent, "rules: [{}]");
    let on = |world: &MeshWorld, port, line: &str| {
        asks(world, From { port, ..HERE }, "any.example", line)
    };
    let check = |world: &MeshWorld, expected: [&str; 3]| {
        let found = [(443, "POST /shop.Cart/Add"), (443, "GET /"), (80, "GET /")];
        assert_eq!(found.map(|(port, line)| on(world, port, line)), expected);
    };
    let world = routing(&[&denied(), &grpc, &http("")]);
    check(&world, [ALL, "403", ALL]);
    reports(&world, "gRPC comes before HTTP: it does not hold on some of its ports");
    check(&clean_routing(&[&denied(), &grpc, &http(", port: 80")]), [ALL, "403", ALL]);
    let is_lost = |world: &MeshWorld| {
        problems(world).iter().any(|one| one.ends_with("gRPC comes before HTTP: it does not hold"))
    };
    let world = routing(&[&denied(), &grpc, &http(", port: 443")]);
    check(&world, [ALL, "403", "403"]);
    assert!(is_lost(&world));
    let everywhere = attached("GRPCRoute", "name: g", "", service);
    let world = routing(&[&denied(), &everywhere, &http("")]);
    check(&world, [ALL, "403", "403"]);
    assert!(is_lost(&world));
}

#[test]
fn connections_to_a_network_are_told_apart_by_server_name_and_port() {
    let tls =
        attached("TLSRoute", "name: t", ", port: 443", "hostnames: [api.example.com], rules: [{}]");
    let tcp = attached("TCPRoute", "name: c", ", port: 5432", "rules: [{}]");
    let world = clean_routing(&[&denied(), &tls, &tcp]);
    let rest = "egressnetwork/default/all/rest 403";
    let on = |port| opens(&world, From { port, ..HERE });
    assert_eq!(on(443)[0], format!("tlsroute/default/t/0 {ALL}"));
    assert_eq!(on(443).last().unwrap(), rest);
    assert!(on(5432).contains(&format!("tcproute/default/c/0 {ALL}")));
    assert_eq!(on(80), [rest]);
    let find = |sni, port| {
        let from = From { port, ..HERE };
        let set = set(of_network(&world), from, |set| set.tcp.is_some()).expect("there is one");
        let is_meant = |one: &&Routed<TcpRoute>| one.ports.is_empty() || one.ports.contains(&port);
        let routes = set.tcp.iter().flatten().filter(is_meant);
        let routes: Vec<_> = routes.map(|one| Arc::clone(&one.route)).collect();
        let ask = weft_route::TcpAsk {
            sni,
            alpn: &[],
            client_ip: IpAddr::from([127, 0, 0, 1]),
            local_ip: IpAddr::from([192, 0, 2, 1]),
            tls: sni.is_some(),
        };
        weft_route::TcpTable::new(&routes).find(&ask).map(|route| goes(&route.target))
    };
    assert_eq!(find(Some("api.example.com"), 443).as_deref(), Some(ALL));
    assert_eq!(find(Some("www.example.com"), 443).as_deref(), Some("403"));
    assert_eq!(find(None, 443).as_deref(), Some("403"));
    assert_eq!(find(None, 5432).as_deref(), Some(ALL));
}

#[test]
fn annotations_of_a_network_hold_for_its_routes_and_without_them() {
    let annotations = ", annotations: {retry.linkerd.io/http: 5xx, timeout.linkerd.io/request: 3s}";
    let rules = "rules: [{matches: [{path: {value: /own}}], timeouts: {request: 1s}}]";
    let own = ", annotations: {timeout.linkerd.io/request: 2s}";
    let world = clean_routing(&[
        &network(annotations, "trafficPolicy: Allow"),
        &attached("HTTPRoute", &format!("name: r{own}"), "", rules),
    ]);
    let timeouts = |path: &str| -> Timeouts {
        let sets = &of_network(&world).routing;
        let routes = sets.iter().flat_map(|set| set.http.iter().flatten());
        let routes: Vec<_> = routes.map(|one| Arc::clone(&one.route)).collect();
        let table = HttpTable::new(&routes[..2]);
        let head = head("a", &format!("GET {path}"));
        let found = table.find(&head, IpAddr::from([127, 0, 0, 1])).expect("a rule");
        found.route().timeouts.clone()
    };
    let (own, rest) = (timeouts("/own"), timeouts("/else"));
    assert_eq!(own.request, Some(Duration::from_secs(2)));
    assert_eq!(rest.request, Some(Duration::from_secs(3)));
    assert!(own.retry.is_some() && rest.retry.is_some());
}

#[test]
fn routes_of_callers_come_before_those_of_the_network() {
    let own = attached("HTTPRoute", "name: r", "", "rules: [{}]");
    let there = attached(
        "HTTPRoute",
        "name: r, namespace: other",
        ", namespace: default",
        "rules: [{backendRefs: [{name: far, port: 80}]}]",
    );
    let world = clean_routing(&[&denied(), &own, &there]);
    let theirs = From { namespace: "other", ..HERE };
    assert_eq!(asks(&world, theirs, "any.example", "GET /"), "far.other.svc.cluster.local:80");
    assert_eq!(asks(&world, HERE, "any.example", "GET /"), ALL);
    let nowhere = attached("HTTPRoute", "name: r", "", "rules: [{}]");
    reports(&routing(&[&nowhere]), "there is no EgressNetwork");
}
