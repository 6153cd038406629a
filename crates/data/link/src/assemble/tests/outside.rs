//! What stands for addresses that no service has.

use weft_message::RequestHead;
use weft_model::calling::Audience;
use weft_model::mesh::{AddressRange, Egress, Outside, Traffic};
use weft_model::route::{Route, RouteSet, TcpRoute};
use weft_route::{HttpTable, TcpAsk, TcpTable};

use super::traffic::{http, lead, namespace, route, routed, tcp_route, to};
use super::*;

const API: &str = "api.example.com";

/// A service elsewhere that is known by its host alone.
fn by_host(name: &str, ports: &[(u16, Protocol)], traffic: Traffic) -> Service {
    let known = service(name, &[], ports);
    let entry = IndexEntry { location: Location::External, ..IndexEntry::clone(&known.entry) };
    Service {
        entry: Arc::new(entry),
        endpoints: ServiceEndpoints::Dialled,
        traffic: Arc::new(traffic),
    }
}

/// The rules of a network, and a place where they hold.
fn network(name: &str, within: &str, except: &[&str], traffic: Traffic) -> (Service, Outside) {
    let service = by_host(name, &[], traffic);
    let except = except.iter().map(|net| net.parse().unwrap()).collect();
    let range = AddressRange { within: within.parse().unwrap(), except };
    (service, Outside { range, network: ServiceName::new(name) })
}

/// A state that knows networks and what is found by hosts.
fn knowing(workload: Workload, services: Vec<Service>, networks: Vec<Service>) -> State {
    let mut state = state(workload, services);
    let networks = networks.into_iter().map(|known| (known.entry.name.clone(), versioned(known)));
    Arc::make_mut(&mut state.services).extend(networks);
    state
}

/// Where a request goes that comes to a listener, or the reason why nowhere.
fn asks(snapshot: &Snapshot, id: &str, host: &str, path: &str) -> String {
    let mut head = RequestHead::new();
    head.set_authority(host).unwrap();
    head.set_path(path).unwrap();
    let table = HttpTable::new(&served(snapshot, id).http.routes);
    let found = table.find(&head, "10.77.0.2".parse().unwrap());
    found.map_or("404".into(), |found| goes(&found.route().target))
}

/// The same for a connection with TLS that names a host, or without.
fn opens(snapshot: &Snapshot, id: &str, sni: Option<&str>) -> String {
    let table = TcpTable::new(&served(snapshot, id).tcp);
    let ask = TcpAsk {
        sni,
        alpn: &[],
        client_ip: "10.77.0.2".parse().unwrap(),
        local_ip: "192.0.2.1".parse().unwrap(),
        tls: sni.is_some(),
    };
    table.find(&ask).map_or("closed".into(), |route| goes(&route.target))
}

fn goes(target: &Target) -> String {
    match target {
        Target::Backend(id) => id.as_str().into(),
        Target::Refuse(refusal) => refusal.reason.label().into(),
        _ => panic!("{target:?}"),
    }
}

fn served<'s>(snapshot: &'s Snapshot, id: &str) -> &'s Served {
    listener(snapshot, id).plain.as_ref().expect("it serves")
}

#[test]
fn rules_of_a_service_without_addresses_hold_where_its_host_is_asked_for() {
    let (to_api, api) = lead(API, 80, None);
    let (to_shop, shop) = lead(SHOP, 80, None);
    let rules = http([
        route("a", "/shop", Target::Backend(to_shop.clone())),
        route("b", "/", to(&format!("{API}:80"))),
    ]);
    let traffic = Traffic {
        routing: [rules].into(),
        backends: [(to_api, api), (to_shop, shop)].into(),
        ..Traffic::default()
    };
    let list = &[(80, Protocol::Http), (443, Protocol::Tls), (9000, Protocol::Tcp)];
    let known = by_host(API, list, traffic);
    let snapshot =
        assembled(workload(), [known, service(SHOP, &["10.78.0.1"], &[(80, Protocol::Http)])]);
    let unknown = "outbound/unknown:80";
    assert_eq!(asks(&snapshot, unknown, API, "/shop/1"), format!("{SHOP}:80"));
    // What is led to the service itself goes where it was dialled.
    assert_eq!(asks(&snapshot, unknown, API, "/"), format!("outbound/{API}:80"));
    assert_eq!(asks(&snapshot, unknown, "other.example.com", "/shop"), "outbound/unknown");
    let own = &snapshot.backends[&BackendId::new(format!("outbound/{API}:80"))];
    assert_eq!(own.endpoints, Endpoints::Dialled);
    // TLS says the host in its hello.
    let unknown = "outbound/unknown:443";
    assert_eq!(opens(&snapshot, unknown, Some(API)), format!("outbound/{API}:443"));
    assert_eq!(opens(&snapshot, unknown, Some("other.example.com")), "outbound/unknown");
    assert_eq!(opens(&snapshot, unknown, None), "outbound/unknown");
    // Bytes say none.
    assert!(!ids(&snapshot).contains(&"outbound/unknown:9000"));
    assert_eq!(destination(&snapshot, "outbound/unknown").port, None);
}

#[test]
fn a_host_comes_before_the_wildcards_that_it_fits() {
    let all = ["*.com", "*.example.com", API];
    let services = all.map(|name| by_host(name, &[(80, Protocol::Http)], Traffic::default()));
    let snapshot = assembled(workload(), services);
    for (host, expected) in [
        (API, API),
        ("www.example.com", "*.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("example.com", "*.com"),
    ] {
        let found = asks(&snapshot, "outbound/unknown:80", host, "/");
        assert_eq!(found, format!("outbound/{expected}:80"), "{host}");
    }
}

#[test]
fn what_no_rule_of_a_host_takes_is_not_for_others() {
    let (to_api, api) = lead(API, 80, None);
    let rules = http([route("a", "/only", Target::Backend(to_api.clone()))]);
    let traffic =
        Traffic { routing: [rules].into(), backends: [(to_api, api)].into(), ..Traffic::default() };
    let snapshot = assembled(workload(), [by_host(API, &[(80, Protocol::Http)], traffic)]);
    assert_eq!(asks(&snapshot, "outbound/unknown:80", API, "/other"), "no_route");
}

/// What its rules ask for, such as TLS, is not left out.
#[test]
fn a_host_whose_rules_are_not_known_yet_waits_for_them() {
    let mut state = state(workload(), [by_host(API, &[(80, Protocol::Http)], Traffic::default())]);
    state.services = Arc::default();
    let snapshot = assemble(&state, &role(), None);
    let unknown = "outbound/unknown:80";
    assert_eq!(asks(&snapshot, unknown, API, "/"), "service_unlearned");
    state.missing = Arc::new([ServiceName::new(API)].into());
    assert!(!ids(&assemble(&state, &role(), None)).contains(&unknown));
    // It is asked for although nobody can dial it.
    let led = led_to(&state, &role().workload, []);
    assert!(led.contains(&ServiceName::new(API)));
}

#[test]
fn a_host_that_is_hidden_on_one_port_is_learned_for_the_others() {
    let egress = |host: &str, port, excluded| Egress {
        namespace: "*".into(),
        host: host.into(),
        port: Some(port),
        excluded,
    };
    let check = |hidden: &[u16], expected: &[u16]| {
        let all = [80, 443].map(|port| egress("*", port, false));
        let without = hidden.iter().map(|port| egress(API, *port, true));
        let own = Workload { egress: Some(all.into_iter().chain(without).collect()), ..workload() };
        let list = &[(80, Protocol::Http), (443, Protocol::Http)];
        let mut state = state(own, [by_host(API, list, Traffic::default())]);
        let snapshot = assemble(&state, &role(), None);
        for port in [80, 443] {
            let id = format!("outbound/unknown:{port}");
            let is_there = ids(&snapshot).contains(&&*id);
            assert_eq!(is_there, expected.contains(&port), "{port} without {hidden:?}");
            if is_there {
                assert_eq!(asks(&snapshot, &id, API, "/"), format!("outbound/{API}:{port}"));
            }
        }
        // Nobody waits for what is never asked for.
        state.services = Arc::default();
        let led = led_to(&state, &role().workload, []);
        assert_eq!(led.contains(&ServiceName::new(API)), !expected.is_empty(), "{hidden:?}");
    };
    check(&[], &[80, 443]);
    check(&[443], &[80]);
    check(&[80, 443], &[]);
}

#[test]
fn networks_have_rules_for_their_addresses_and_ports() {
    let backend = |id: &str| {
        let backend = backend(id, Protocol::Detect, Endpoints::Dialled);
        (backend.id.clone(), Arc::new(backend))
    };
    let set = |ports: &[u16], audience: Audience, id: &str| RouteSet {
        audience,
        ports: ports.into(),
        http: Some([routed(route(id, "/", to("EgressNetwork/shop/all")))].into()),
        tcp: Some([routed(tcp_route(id, to("EgressNetwork/shop/all")))].into()),
    };
    let traffic = Traffic {
        routing: [
            set(&[80], namespace("other"), "theirs"),
            set(&[80], Audience::default(), "web"),
            set(&[], Audience::default(), "rest"),
        ]
        .into(),
        backends: [backend("EgressNetwork/shop/all")].into(),
        lines: [(RouteId::new("web"), 7)].into(),
        ..Traffic::default()
    };
    let (rules, outside) =
        network("EgressNetwork/shop/all", "192.0.2.0/24", &["192.0.2.9/32"], traffic);
    let workload = Workload { outside: [outside.clone()].into(), ..workload() };
    let state = knowing(workload.clone(), Vec::new(), vec![rules]);
    let snapshot = assemble(&state, &role(), None);
    let id = "outbound/EgressNetwork/shop/all/192.0.2.0/24";
    let first = |id: &str| served(&snapshot, id).http.routes[0].id.as_str().to_owned();
    assert_eq!(first(&format!("{id}:80")), "web");
    assert_eq!(first(id), "rest");
    let meant = destination(&snapshot, &format!("{id}:80"));
    assert_eq!((&meant.range, meant.port), (&Some(outside.range.clone()), Some(80)));
    let backend = &snapshot.backends[&BackendId::new("EgressNetwork/shop/all")];
    assert_eq!(backend.endpoints, Endpoints::Dialled);
    assert!(backend.calling.outlier.is_none(), "there is no other to go to");
    assert_eq!(snapshot.lines[&RouteId::new("web")], 7);
    // It is asked for, and closed until there is an answer.
    assert!(led_to(&state, &role().workload, []).contains(&outside.network));
    let snapshot = assembled(workload.clone(), []);
    let closed = destination(&snapshot, id).closed.as_ref().map(|refusal| refusal.reason);
    assert_eq!(closed, Some(Reason::ServiceUnlearned));
    // What the whole mesh does not let out, a network does not either.
    let workload = Workload { unknown: UnknownDestinations::Refuse, ..workload };
    let snapshot = assembled(workload, []);
    let closed = destination(&snapshot, id).closed.as_ref().map(|refusal| refusal.reason);
    assert_eq!(closed, Some(Reason::UnknownDestination));
}

#[test]
fn rules_of_hosts_come_before_those_of_networks() {
    let traffic = Traffic {
        routing: [RouteSet {
            http: Some([routed::<Route>(route("net", "/", to("EgressNetwork/shop/all")))].into()),
            tcp: Some([routed::<TcpRoute>(tcp_route("net", to("EgressNetwork/shop/all")))].into()),
            ..RouteSet::default()
        }]
        .into(),
        ..Traffic::default()
    };
    let (rules, outside) = network("EgressNetwork/shop/all", "0.0.0.0/0", &[], traffic);
    let workload = Workload { outside: [outside].into(), ..workload() };
    let host = by_host(API, &[(80, Protocol::Http)], Traffic::default());
    let snapshot = assemble(&knowing(workload, vec![host], vec![rules]), &role(), None);
    let id = "outbound/EgressNetwork/shop/all/0.0.0.0/0:80";
    assert_eq!(asks(&snapshot, id, API, "/"), format!("outbound/{API}:80"));
    assert_eq!(asks(&snapshot, id, "other.example.com", "/"), "EgressNetwork/shop/all");
}
