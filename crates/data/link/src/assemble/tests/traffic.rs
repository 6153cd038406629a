//! What documents say of calls to services.

use weft_model::calling::{Audience, CallingFor, HttpUpgrade, Source, Subset};
use weft_model::mesh::Traffic;
use weft_model::policy::StepKind;
use weft_model::route::{
    Choice, Matcher, PathMatch, Rank, Route, RouteSet, Routed, TcpMatcher, TcpRoute, TcpTls,
    Timeouts, Weighted,
};
use weft_resilience::settings::PickerKind;

use super::*;

const CANARY: &str = "canary.shop.svc.cluster.local";

pub(super) fn route(id: &str, path: &str, target: Target) -> Arc<Route> {
    Arc::new(Route {
        id: RouteId::new(id),
        origin: Default::default(),
        rank: Rank { minor: path.len() as u64, ..Rank::default() },
        matcher: Matcher::Path(PathMatch::Prefix(path.into())),
        steps: Arc::default(),
        target,
        timeouts: Timeouts::default(),
    })
}

pub(super) fn tcp_route(id: &str, target: Target) -> Arc<TcpRoute> {
    Arc::new(TcpRoute {
        id: RouteId::new(id),
        origin: Default::default(),
        rank: Rank::default(),
        matcher: TcpMatcher::All(Vec::new()),
        tls: TcpTls::Plain,
        in_flight_max: None,
        allow: Vec::new(),
        target,
    })
}

/// A rule for everybody.
pub(super) fn routed<T>(route: Arc<T>) -> Routed<T> {
    Routed { audience: Audience::default(), ports: [].into(), route }
}

pub(super) fn http(routes: impl IntoIterator<Item = Arc<Route>>) -> RouteSet {
    RouteSet { http: Some(routes.into_iter().map(routed).collect()), ..RouteSet::default() }
}

pub(super) fn to(id: &str) -> Target {
    Target::Backend(BackendId::new(id))
}

/// The backend of a port of a service, or of a part of it, as compile makes it.
pub(super) fn lead(name: &str, port: u16, subset: Option<&str>) -> (BackendId, Arc<Backend>) {
    let id = match subset {
        None => format!("{name}:{port}"),
        Some(subset) => format!("{name}:{port}/{subset}"),
    };
    let name = ServiceName::new(name);
    let endpoints = Endpoints::Service { name, port, subset: subset.map(Into::into) };
    let backend = backend(&id, Protocol::Http, endpoints);
    (backend.id.clone(), Arc::new(backend))
}

pub(super) fn namespace(name: &str) -> Audience {
    Audience { namespaces: [name.into()].into(), ..Audience::default() }
}

fn with(service: Service, traffic: Traffic) -> Service {
    Service { traffic: Arc::new(traffic), ..service }
}

fn at(service: Service, endpoints: &[MeshEndpoint]) -> Service {
    Service { endpoints: ServiceEndpoints::Known(endpoints.into()), ..service }
}

fn shop(protocol: Protocol, traffic: Traffic) -> Service {
    let service = service(SHOP, &["10.78.0.1"], &[(80, protocol)]);
    with(at(service, &[known("10.77.0.3", &[(80, 8080)], Transport::Plain)]), traffic)
}

fn canary(traffic: Traffic) -> Service {
    let service = service(CANARY, &["10.78.0.9"], &[(80, Protocol::Http)]);
    with(at(service, &[known("10.77.0.9", &[(80, 8080)], Transport::Plain)]), traffic)
}

fn calling(picker: PickerKind) -> Arc<Calling> {
    Arc::new(Calling { picker, ..Calling::default() })
}

fn entry(calling: Arc<Calling>) -> CallingFor {
    CallingFor {
        audience: Audience::default(),
        port: None,
        subset: None,
        calling,
        sources: Arc::default(),
    }
}

fn route_ids(snapshot: &Snapshot, id: &str) -> Vec<String> {
    let served = served(snapshot, id);
    let http = served.http.routes.iter().map(|route| route.id.to_string());
    http.chain(served.tcp.iter().map(|route| format!("tcp {}", route.id))).collect()
}

fn own() -> String {
    format!("outbound/{SHOP}:80")
}

#[test]
fn rules_take_the_place_of_the_route_that_takes_everything() {
    let rules = || {
        let http = [routed(route("a", "/a", to("x"))), routed(route("b", "/b", to("x")))];
        let tcp = [routed(tcp_route("t", to("x")))];
        RouteSet { http: Some(http.into()), tcp: Some(tcp.into()), ..RouteSet::default() }
    };
    let check = |protocol, set: RouteSet, expected: &[&str]| {
        let traffic = Traffic { routing: [set].into(), ..Traffic::default() };
        let snapshot = assembled(workload(), [shop(protocol, traffic)]);
        let expected: Vec<_> = expected.iter().map(|id| id.replace('*', &own())).collect();
        assert_eq!(route_ids(&snapshot, &own()), expected, "{protocol:?}");
    };
    check(Protocol::Detect, rules(), &["a", "b", "tcp t"]);
    check(Protocol::Http, rules(), &["a", "b"]);
    check(Protocol::Tcp, rules(), &["tcp t"]);
    // What a source says nothing of stays.
    check(Protocol::Detect, RouteSet { tcp: None, ..rules() }, &["a", "b", "tcp *"]);
    check(Protocol::Detect, RouteSet { http: None, ..rules() }, &["*", "tcp t"]);
    check(Protocol::Detect, RouteSet::default(), &["*", "tcp *"]);
    // Rules of which none is there take nothing.
    check(Protocol::Http, RouteSet { http: Some([].into()), ..rules() }, &[]);
}

#[test]
fn the_first_source_that_fits_caller_and_port_holds() {
    let set = |id: &str| http([route(id, "/", to("x"))]);
    let check = |sets: &[RouteSet], expected: &str| {
        let traffic = Traffic { routing: sets.into(), ..Traffic::default() };
        let own = Workload { labels: [("app".into(), "cart".into())].into(), ..workload() };
        let snapshot = assembled(own, [shop(Protocol::Http, traffic)]);
        assert_eq!(route_ids(&snapshot, &self::own()), [expected]);
    };
    let of = |name: &str, id: &str| RouteSet { audience: namespace(name), ..set(id) };
    let labelled = |value: &str, id: &str| {
        let labels = [("app".into(), value.into())].into();
        RouteSet { audience: Audience { labels, ..Audience::default() }, ..set(id) }
    };
    let on = |port: u16, id: &str| RouteSet { ports: [port].into(), ..set(id) };
    check(&[set("first"), set("second")], "first");
    check(&[of("other", "consumer"), set("producer")], "producer");
    check(&[of("shop", "consumer"), set("producer")], "consumer");
    check(&[labelled("web", "for web"), labelled("cart", "for cart"), set("rest")], "for cart");
    check(&[on(81, "on 81"), on(80, "on 80"), set("rest")], "on 80");
    // One without rules of HTTP leaves HTTP to the next.
    let bytes = RouteSet { http: None, tcp: Some([].into()), ..RouteSet::default() };
    check(&[bytes, set("http")], "http");
}

#[test]
fn rules_for_other_callers_and_ports_are_left_out() {
    let routes = [
        Routed { audience: namespace("shop"), ..routed(route("ours", "/a", to("x"))) },
        Routed { audience: namespace("other"), ..routed(route("theirs", "/b", to("x"))) },
        Routed { ports: [81, 82].into(), ..routed(route("elsewhere", "/c", to("x"))) },
        Routed { ports: [80].into(), ..routed(route("here", "/d", to("x"))) },
    ];
    let set = RouteSet { http: Some(routes.into()), ..RouteSet::default() };
    let traffic = Traffic { routing: [set].into(), ..Traffic::default() };
    let snapshot = assembled(workload(), [shop(Protocol::Http, traffic)]);
    assert_eq!(route_ids(&snapshot, &own()), ["ours", "here"]);
}

#[test]
fn a_rule_leads_to_another_service_as_that_service_is_called() {
    let id = format!("{CANARY}:80");
    let traffic = Traffic {
        routing: [http([route("a", "/", to(&id))])].into(),
        backends: [lead(CANARY, 80, None)].into(),
        calling: [entry(calling(PickerKind::Random))].into(),
        ..Traffic::default()
    };
    let rings = [
        CallingFor { audience: namespace("other"), ..entry(calling(PickerKind::Rendezvous)) },
        entry(calling(PickerKind::PeakEwma)),
    ];
    let canary = canary(Traffic { calling: rings.into(), ..Traffic::default() });
    let snapshot = assembled(workload(), [shop(Protocol::Http, traffic), canary]);
    let backend = backend_of(&snapshot, &id);
    assert_eq!(addrs(backend), ["10.77.0.9:8080"]);
    assert_eq!(backend.calling.picker, PickerKind::PeakEwma);
    // Nothing leads to the service that was dialled.
    assert!(!snapshot.backends.contains_key(&*format!("{SHOP}:80")));
}

#[test]
fn a_part_of_a_service_has_the_endpoints_with_its_labels() {
    let labelled = |ip: &str, version: &str| MeshEndpoint {
        labels: [("version".into(), version.into())].into(),
        ..known(ip, &[(80, 8080)], Transport::Plain)
    };
    let subset = Subset { name: "v2".into(), labels: [("version".into(), "2".into())].into() };
    let traffic = Traffic {
        routing: [http([
            route("a", "/a", to(&format!("{SHOP}:80/v2"))),
            route("b", "/b", to(&format!("{SHOP}:80/v3"))),
            route("c", "/c", to(&format!("{SHOP}:80"))),
        ])]
        .into(),
        backends: [lead(SHOP, 80, Some("v2")), lead(SHOP, 80, Some("v3")), lead(SHOP, 80, None)]
            .into(),
        calling: [CallingFor { subset: Some(subset), ..entry(calling(PickerKind::Random)) }].into(),
        ..Traffic::default()
    };
    let service = shop(Protocol::Http, traffic);
    let service = at(service, &[labelled("10.77.0.3", "1"), labelled("10.77.0.4", "2")]);
    let snapshot = assembled(workload(), [service]);
    let part = backend_of(&snapshot, &format!("{SHOP}:80/v2"));
    assert_eq!(addrs(part), ["10.77.0.4:8080"]);
    assert_eq!(part.calling.picker, PickerKind::Random);
    // Nobody has said what the third part is.
    assert_eq!(addrs(backend_of(&snapshot, &format!("{SHOP}:80/v3"))), [""; 0]);
    let whole = backend_of(&snapshot, &format!("{SHOP}:80"));
    assert_eq!(addrs(whole), ["10.77.0.3:8080", "10.77.0.4:8080"]);
    assert_eq!(*whole.calling, Calling::mesh());
}

#[test]
fn what_is_dialled_and_what_a_rule_leads_to_is_one_backend() {
    let id = format!("{CANARY}:80");
    let traffic = Traffic {
        routing: [http([route("a", "/", to(&id))])].into(),
        backends: [lead(CANARY, 80, None)].into(),
        ..Traffic::default()
    };
    let services = [shop(Protocol::Http, traffic), canary(Traffic::default())];
    let snapshot = assembled(workload(), services);
    let dialled = served(&snapshot, &format!("outbound/{CANARY}:80"));
    assert_eq!(dialled.http.routes[0].target, to(&id));
    assert_eq!(snapshot.backends.keys().filter(|id| id.as_str().contains("canary")).count(), 1);
}

#[test]
fn a_rule_that_leads_to_what_is_not_known_here_has_no_endpoint() {
    let id = format!("{CANARY}:80");
    let traffic = Traffic {
        routing: [http([route("a", "/", to(&id))])].into(),
        backends: [lead(CANARY, 80, None)].into(),
        ..Traffic::default()
    };
    let snapshot = assembled(workload(), [shop(Protocol::Http, traffic)]);
    assert_eq!(addrs(backend_of(&snapshot, &id)), [""; 0]);
}

/// Who has dialled one endpoint of a headless service keeps it, whatever the rules split.
#[test]
fn rules_at_an_address_lead_to_that_address() {
    let choice = |id: &str, weight| Choice {
        name: id.into(),
        weight,
        steps: Arc::default(),
        target: to(id),
    };
    let (whole, other) = (format!("{SHOP}:80"), format!("{CANARY}:80"));
    let choices = vec![choice(&whole, 9), choice(&other, 1)];
    let split = Target::Weighted(Arc::new(Weighted { choices, sticky: None }));
    let traffic = Traffic {
        routing: [http([route("split", "/", split), route("all", "/all", to(&whole))])].into(),
        backends: [lead(SHOP, 80, None), lead(CANARY, 80, None)].into(),
        ..Traffic::default()
    };
    let headless = service(SHOP, &[], &[(80, Protocol::Http)]);
    let entry = IndexEntry {
        endpoint_addrs: ips(&["10.77.0.3", "10.77.0.4"]),
        ..IndexEntry::clone(&headless.entry)
    };
    let endpoints = [
        known("10.77.0.3", &[(80, 8080)], Transport::Plain),
        known("10.77.0.4", &[(80, 8080)], Transport::Plain),
    ];
    let headless = Service { entry: Arc::new(entry), ..with(at(headless, &endpoints), traffic) };
    let snapshot = assembled(workload(), [headless, canary(Traffic::default())]);
    let id = format!("outbound/{SHOP}:80/10.77.0.4");
    assert_eq!(addrs(backend_of(&snapshot, &id)), ["10.77.0.4:8080"]);
    let routes = &served(&snapshot, &id).http.routes;
    let Target::Weighted(weighted) = &routes[0].target else { panic!("{:?}", routes[0].target) };
    let targets: Vec<_> = weighted.choices.iter().map(|one| one.target.clone()).collect();
    assert_eq!(targets, [to(&id), to(&other)]);
    assert_eq!(routes[1].target, to(&id));
    assert_eq!(routes[1].id.as_str(), "all");
    assert!(!snapshot.backends.contains_key(&*whole), "nothing leads to all of them");
}

/// The address that was dialled is nobody else's.
#[test]
fn a_service_that_is_called_as_dialled_is_called_by_its_name_when_a_rule_leads_there() {
    let any = "any.example";
    let rules = |prefix: &str| Traffic {
        routing: [http([route(prefix, "/", to("any.example:80"))])].into(),
        backends: [lead(any, 80, None)].into(),
        ..Traffic::default()
    };
    let dialled = Service {
        endpoints: ServiceEndpoints::Dialled,
        ..with(service(any, &["192.0.2.1"], &[(80, Protocol::Http)]), rules("own"))
    };
    let snapshot = assembled(workload(), [shop(Protocol::Http, rules("from shop")), dialled]);
    let own_id = "outbound/any.example:80";
    assert_eq!(backend_of(&snapshot, own_id).endpoints, Endpoints::Dialled);
    assert_eq!(served(&snapshot, own_id).http.routes[0].target, to(own_id));
    let named = Endpoints::Dns { name: any.into(), port: 80 };
    assert_eq!(backend_of(&snapshot, "any.example:80").endpoints, named);
}

#[test]
fn a_service_may_be_left_as_dialled() {
    let passed = Arc::new(Calling { as_dialled: true, ..Calling::mesh() });
    let traffic = Traffic { calling: [entry(passed)].into(), ..Traffic::default() };
    let snapshot = assembled(workload(), [shop(Protocol::Http, traffic)]);
    let backend = backend_of(&snapshot, &own());
    assert_eq!(backend.endpoints, Endpoints::Dialled);
    assert!(backend.calling.outlier.is_none());
}

#[test]
fn calls_without_mutual_tls_go_past_proxies() {
    let plain = Arc::new(Calling { without_mesh_tls: true, ..Calling::mesh() });
    let traffic = Traffic { calling: [entry(plain)].into(), ..Traffic::default() };
    let endpoint = known("10.77.0.3", &[(80, 8080)], Transport::Mesh(peer("10.77.0.3")));
    let snapshot = assembled(workload(), [at(shop(Protocol::Http, traffic), &[endpoint])]);
    let Endpoints::Static(all) = &backend_of(&snapshot, &format!("{SHOP}:80")).endpoints else {
        panic!()
    };
    assert_eq!(all.iter().map(|one| one.peer.is_some()).collect::<Vec<_>>(), [false]);
}

#[test]
fn the_version_of_http_follows_the_settings() {
    let check = |protocol, upgrade, expected| {
        let asked = Arc::new(Calling { upgrade, ..Calling::mesh() });
        let traffic = Traffic { calling: [entry(asked)].into(), ..Traffic::default() };
        let snapshot = assembled(workload(), [shop(protocol, traffic)]);
        let backend = backend_of(&snapshot, &format!("{SHOP}:80"));
        assert_eq!(backend.protocol, expected, "{protocol:?} {upgrade:?}");
    };
    use UpstreamProtocol::{AsClient, Http1, Http2};
    check(Protocol::Http, HttpUpgrade::Default, AsClient);
    check(Protocol::Http, HttpUpgrade::Http2, Http2);
    check(Protocol::Http, HttpUpgrade::Never, Http1);
    check(Protocol::Http2, HttpUpgrade::Default, Http2);
    check(Protocol::Http2, HttpUpgrade::Never, Http2);
    check(Protocol::Http2, HttpUpgrade::AsClient, AsClient);
    // There is no HTTP on it.
    check(Protocol::Tcp, HttpUpgrade::Http2, Http1);
}

#[test]
fn lines_and_sources_are_those_of_what_is_in_force() {
    let source = Source {
        setting: "trafficPolicy.loadBalancer".into(),
        document: "DestinationRule shop/payments".into(),
        file: "a.yaml".into(),
        line: 7,
    };
    let sources: Arc<[Source]> = [source].into();
    let id = format!("{SHOP}:80");
    let consumer = RouteSet { audience: namespace("other"), ..http([route("no", "/", to(&id))]) };
    let traffic = Traffic {
        routing: [consumer, http([route("yes", "/", to(&id))])].into(),
        backends: [lead(SHOP, 80, None), lead(CANARY, 80, None)].into(),
        calling: [CallingFor { sources: sources.clone(), ..entry(Arc::default()) }].into(),
        lines: [(RouteId::new("yes"), 12), (RouteId::new("no"), 30)].into(),
    };
    let state = state(workload(), [shop(Protocol::Http, traffic)]);
    let snapshot = assemble(&state, &role(), None);
    assert_eq!(snapshot.lines, [(RouteId::new("yes"), 12)].into());
    assert_eq!(snapshot.sources, [(BackendId::new(id), sources)].into());
    // They are still there when nothing was made anew.
    assert_eq!(assemble(&state, &role(), Some((&state, &snapshot))), snapshot);
}

#[test]
fn services_are_asked_for_that_rules_in_force_lead_to() {
    let mirror = Step {
        id: weft_model::id::PolicyId::new("m"),
        kind: StepKind::Mirror {
            parts_per_million: 1_000_000,
            backend: BackendId::new("shadow.shop.svc.cluster.local:80"),
            compared: None,
        },
    };
    let id = format!("{CANARY}:80");
    let mirrored =
        Route { steps: [Arc::new(mirror)].into(), ..Route::clone(&route("a", "/", to(&id))) };
    let consumer = RouteSet {
        audience: namespace("other"),
        ..http([route("b", "/", to("other.shop.svc.cluster.local:80"))])
    };
    let traffic = Traffic {
        routing: [consumer, http([Arc::new(mirrored)])].into(),
        backends: [
            lead(CANARY, 80, None),
            lead("shadow.shop.svc.cluster.local", 80, None),
            lead("other.shop.svc.cluster.local", 80, None),
        ]
        .into(),
        ..Traffic::default()
    };
    let state = state(workload(), [shop(Protocol::Http, traffic)]);
    let led = |used: &[&str]| -> Vec<String> {
        let used: Vec<_> = used.iter().map(|name| ServiceName::new(*name)).collect();
        led_to(&state, &role().workload, &used).iter().map(ToString::to_string).collect()
    };
    assert_eq!(led(&[SHOP]), [CANARY, "shadow.shop.svc.cluster.local"]);
    assert_eq!(led(&[]), [""; 0], "nobody dials it");
    assert_eq!(led(&["nowhere"]), [""; 0]);
}

/// Workers keep what they made of routes and backends that are the same.
#[test]
fn a_rule_that_changes_leaves_the_others_as_they_are() {
    let id = format!("{SHOP}:80");
    let made = |last: &str| {
        let rules = http([route("a", "/a", to(&id)), route("b", last, to(&id))]);
        let backends = [lead(SHOP, 80, None)].into();
        let calling = [entry(calling(PickerKind::Random))].into();
        let traffic = Traffic { routing: [rules].into(), backends, calling, ..Traffic::default() };
        state(workload(), [shop(Protocol::Http, traffic)])
    };
    let (before, after) = (made("/b"), made("/changed"));
    let old = assemble(&before, &role(), None);
    let new = assemble(&after, &role(), Some((&before, &old)));
    let routes = |snapshot: &Snapshot| served(snapshot, &own()).http.routes.clone();
    let (old_routes, new_routes) = (routes(&old), routes(&new));
    assert!(Arc::ptr_eq(&old_routes[0], &new_routes[0]));
    assert_ne!(old_routes[1], new_routes[1]);
    assert!(Arc::ptr_eq(backend_of(&old, &id), backend_of(&new, &id)));
    // A list of routes that is the same is the same list, whatever else is not.
    let moved = made("/changed");
    let mut service = Service::clone(&moved.services[SHOP].value);
    service.entry = Arc::new(IndexEntry {
        addrs: ips(&["10.78.0.1", "10.78.0.2"]),
        ..IndexEntry::clone(&service.entry)
    });
    let last = assemble(&state(workload(), [service]), &role(), Some((&after, &new)));
    let list = |snapshot: &Snapshot| Arc::clone(&served(snapshot, &own()).http);
    assert!(Arc::ptr_eq(&list(&new), &list(&last)));
}
