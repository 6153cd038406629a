use std::sync::Arc;

use proptest::prelude::*;
use weft_model::id::RouteId;
use weft_model::listener::Listener;
use weft_model::route::Route;
use weft_resources::set::Change;
use weft_resources::{load, load_incremental};

use super::*;
use crate::EntryPoint;

fn options() -> Options {
    Options::new(vec![EntryPoint {
        name: "web".into(),
        addr: "127.0.0.1:80".parse().expect("an address"),
        tls: false,
    }])
}

fn route(name: &str, rule: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {{name: {name}}}\nspec:\n  routes:\n  - match: {rule}\n    middlewares: [{{name: m}}]\n    services: [{{name: s, port: 80}}]\n"
    )
}

fn middleware(prefix: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: m}}\nspec: {{addPrefix: {{prefix: {prefix}}}}}\n"
    )
}

fn slice(last: u8) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s-1, labels: {{kubernetes.io/service-name: s}}}}\naddressType: IPv4\nports: [{{port: 80}}]\nendpoints: [{{addresses: [10.0.0.{last}]}}]\n"
    )
}

fn step(files: &[(&str, String)], previous: Option<&World>) -> World {
    compile(&load(files), &options(), previous)
}

fn rules(world: &World) -> Vec<String> {
    let listener: &Listener = &world.snapshot.listeners[0];
    let served = listener.plain.as_ref().expect("it is served");
    served.http.routes.iter().map(|route| route.origin.rule.to_string()).collect()
}

fn verdicts(world: &World) -> Vec<(String, Verdict)> {
    let entries = world.report.resources.iter();
    entries
        .map(|entry| (entry.key().map(ToString::to_string).unwrap_or_default(), entry.verdict))
        .collect()
}

fn good(rule: &str) -> Vec<(&'static str, String)> {
    vec![("m.yaml", middleware("/a")), ("r.yaml", route("r", rule)), ("s.yaml", slice(1))]
}

#[test]
fn nothing_new_keeps_every_part() {
    let files = good("Path(`/a`)");
    let before = step(&files, None);
    assert_eq!(before.report.problems(), Vec::<Problem>::new());
    assert_eq!(before.snapshot.generation, Generation(1));
    let after = step(&files, Some(&before));
    assert_eq!(after.snapshot.generation, Generation(2));
    assert_eq!(before.snapshot.listeners, after.snapshot.listeners);
    let same = |index: usize| {
        Arc::ptr_eq(&before.snapshot.listeners[index], &after.snapshot.listeners[index])
    };
    assert!((0..after.snapshot.listeners.len()).all(same));
}

#[test]
fn what_did_not_change_keeps_its_arc() {
    let files = |rule: &str| {
        vec![
            ("m.yaml", middleware("/a")),
            ("q.yaml", route("q", "Path(`/q`)")),
            ("r.yaml", route("r", rule)),
            ("s.yaml", slice(1)),
        ]
    };
    let before = step(&files("Path(`/r`)"), None);
    let after = step(&files("Path(`/changed`)"), Some(&before));
    assert_eq!(after.snapshot.generation, Generation(2));
    let routes = |world: &World| {
        world.snapshot.listeners[0].plain.as_ref().expect("it is served").http.routes.clone()
    };
    let find = |world: &World, name: &str| {
        let routes = routes(world);
        let found = routes.iter().find(|route| &*route.origin.name == name);
        Arc::clone(found.expect("it is there"))
    };
    assert!(Arc::ptr_eq(&find(&before, "default/q"), &find(&after, "default/q")));
    assert!(!Arc::ptr_eq(&find(&before, "default/r"), &find(&after, "default/r")));
    for (id, backend) in &before.snapshot.backends {
        assert!(Arc::ptr_eq(backend, &after.snapshot.backends[id]));
    }
}

/// The route of that name and the line of its rule.
fn route_at(world: &World, id: &str) -> (Arc<Route>, u32) {
    let id = RouteId::new(id);
    (Arc::clone(world.snapshot.route(&id).expect("it is there")), world.snapshot.line(&id))
}

#[test]
fn lines_that_move_change_nothing_else() {
    const COUNT: usize = 50;
    let name = |number: usize| format!("r{number:02}");
    let routes = (0..COUNT).map(|number| route(&name(number), &format!("Path(`/{number}`)")));
    let rest = [middleware("/a"), slice(1)];
    let text = routes.chain(rest).collect::<Vec<_>>().join("---\n");
    let first = load(&[("all.yaml", &*text)]);
    let before = compile(&first, &options(), None);
    assert_eq!(before.compiled(), COUNT + 1);
    let check = |edited: &str, compiled: usize, moved: u32| {
        let set = load_incremental(&first, &[("all.yaml", Some(edited))]);
        let after = compile(&set, &options(), Some(&before));
        assert_eq!(after.compiled(), compiled);
        let fresh = compile(&load(&[("all.yaml", edited)]), &options(), None);
        assert_eq!(after.snapshot.lines, fresh.snapshot.lines);
        assert_eq!(after.report, fresh.report);
        for number in 1..COUNT {
            let id = format!("ingressroute/default/{}/0", name(number));
            let ((old, old_line), (new, line)) = (route_at(&before, &id), route_at(&after, &id));
            assert!(Arc::ptr_eq(&old, &new), "{id}");
            assert_eq!(line, old_line + moved);
        }
        Arc::ptr_eq(&before.snapshot.listeners[0], &after.snapshot.listeners[0])
    };
    assert_eq!(route_at(&before, "ingressroute/default/r49/0").1, 49 * 9 + 6);
    assert!(check(&format!("# one\n# two\n{text}"), 0, 2));
    assert!(!check(&text.replacen("Path(`/0`)", "Path(`/new`)\n    priority: 3", 1), 1, 1));
}

#[test]
fn words_that_name_a_line_follow_it() {
    let check = |broken: String, wanted: [&str; 2]| {
        let text = format!("{}---\n{broken}", route("r", "Path(`/r`)"));
        let first = load(&[("all.yaml", &*text)]);
        let before = compile(&first, &options(), None);
        let edited = text.replacen("kind: IngressRoute", "kind: IngressRoute\n", 1);
        let edited = edited.replacen("---\n", "---\n\n\n", 1);
        let set = load_incremental(&first, &[("all.yaml", Some(&*edited))]);
        let after = compile(&set, &options(), Some(&before));
        let fresh = compile(&set, &options(), None);
        assert_eq!(after.snapshot.listeners, fresh.snapshot.listeners);
        assert_eq!(after.report, fresh.report);
        for (world, wanted) in [&before, &after].into_iter().zip(wanted) {
            let found = format!("{:?}", world.snapshot.listeners);
            assert!(found.contains(wanted), "no {wanted} in {found}");
        }
    };
    // The route's own place, and that of a middleware below it.
    let missing = middleware("/a").replace("name: m", "name: other");
    check(missing, ["not found (all.yaml:7)", "not found (all.yaml:8)"]);
    let plugin = middleware("/a").replace("addPrefix: {prefix: /a}", "plugin: {waf: {x: 1}}");
    check(plugin, ["`default/m` (all.yaml:10)", "`default/m` (all.yaml:13)"]);
}

#[test]
fn a_last_good_form_stands_where_the_broken_one_does() {
    let text = |rule: &str| format!("{}---\n{}", middleware("/a"), route("r", rule));
    let first = load(&[("all.yaml", text("Path(`/r`)"))]);
    let before = compile(&first, &options(), None);
    let broken = format!("\n\n{}", text("Pth(`/r`)"));
    let set = load_incremental(&first, &[("all.yaml", Some(&*broken))]);
    let after = compile(&set, &options(), Some(&before));
    assert_eq!(route_at(&after, "ingressroute/default/r/0").1, 13);
    let shown: Vec<String> = after.report.problems().iter().map(ToString::to_string).collect();
    assert!(shown.iter().any(|line| line.starts_with("all.yaml:13:12: error")), "{shown:?}");
    assert!(shown.iter().any(|line| line.starts_with("all.yaml:8:1: note")), "{shown:?}");
}

#[test]
fn new_endpoints_leave_routes_alone() {
    let mut files = good("Path(`/a`)");
    let before = step(&files, None);
    files[2].1 = slice(2);
    let after = step(&files, Some(&before));
    assert!(Arc::ptr_eq(&before.snapshot.listeners[0], &after.snapshot.listeners[0]));
    let (id, backend) = after.snapshot.backends.first_key_value().expect("one");
    assert_ne!(&before.snapshot.backends[id], backend);
}

#[test]
fn a_broken_document_keeps_its_last_good_form() {
    let check = |broken: String, line: &str| {
        let before = step(&good("Path(`/a`)"), None);
        let mut files = good("Path(`/a`)");
        files[1].1 = broken.clone();
        let after = step(&files, Some(&before));
        assert_eq!(rules(&after), ["Path(`/a`)"], "{broken}");
        let shown: Vec<String> = after.report.problems().iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|problem| problem.starts_with(line)), "{shown:?}");
        assert!(shown.iter().any(|problem| problem.contains("still in force")), "{shown:?}");
        // It stays through further changes, and comes back when it is repaired.
        let later = step(&files, Some(&after));
        assert_eq!(rules(&later), ["Path(`/a`)"], "{broken}");
        let repaired = step(&good("Path(`/new`)"), Some(&later));
        assert_eq!(rules(&repaired), ["Path(`/new`)"]);
        assert_eq!(repaired.report.problems(), Vec::<Problem>::new());
    };
    let new = route("r", "Path(`/b`)");
    check(new.replace("services", "servcies"), "r.yaml:8:5: error");
    check(new.replace("Path(`/b`)", "Pth(`/b`)"), "r.yaml:6:12: error");
    check(new.replace("[{name: s, port: 80}]", "[{name: s"), "r.yaml:");
}

#[test]
fn the_verdict_says_that_an_old_form_is_in_force() {
    let before = step(&good("Path(`/a`)"), None);
    let mut files = good("Path(`/a`)");
    files[1].1 = route("r", "Pth(`/b`)");
    let after = step(&files, Some(&before));
    assert!(verdicts(&after).contains(&("IngressRoute default/r".into(), Verdict::LastGood)));
    files[1].1 = files[1].1.replace("spec:", "spec: 5 #");
    let after = step(&files, Some(&after));
    assert!(!rules(&after).is_empty(), "{:?}", verdicts(&after));
}

#[test]
fn without_a_good_form_a_broken_one_is_rejected() {
    let mut files = good("Path(`/a`)");
    files[1].1 = files[1].1.replace("services", "servcies");
    let world = step(&files, None);
    assert_eq!(rules(&world), [""; 0]);
    assert!(verdicts(&world).contains(&("IngressRoute default/r".into(), Verdict::Rejected)));
}

#[test]
fn a_broken_form_is_never_the_last_good_one() {
    let mut files = good("Pth(`/a`)");
    let first = step(&files, None);
    files[1].1 = route("r", "Pth(`/b`)");
    let second = step(&files, Some(&first));
    assert!(verdicts(&second).contains(&("IngressRoute default/r".into(), Verdict::Degraded)));
}

#[test]
fn a_document_that_is_gone_is_gone() {
    let before = step(&good("Path(`/a`)"), None);
    let after = step(&[("m.yaml", middleware("/a")), ("s.yaml", slice(1))], Some(&before));
    assert_eq!(rules(&after), [""; 0]);
}

#[test]
fn an_unreadable_file_keeps_what_it_held() {
    let both = format!("{}---\n{}", route("q", "Path(`/q`)"), route("r", "Path(`/r`)"));
    let before = step(&[("r.yaml", both.clone())], None);
    let broken = both.replacen("metadata: {name: q}", "metadata: {name: q", 1);
    let after = step(&[("r.yaml", broken)], Some(&before));
    assert_eq!(rules(&after), ["Path(`/q`)", "Path(`/r`)"]);
}

#[test]
fn a_moved_resource_is_not_kept_twice() {
    let before = step(&[("a.yaml", route("r", "Path(`/r`)"))], None);
    let files = [("a.yaml", "{".to_owned()), ("b.yaml", route("r", "Path(`/new`)"))];
    let after = step(&files, Some(&before));
    assert_eq!(rules(&after), ["Path(`/new`)"]);
}

#[test]
fn what_runs_beside_a_gateway_is_ignored() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {x: 1}\n";
    let world = step(&[("d.yaml", text.to_owned())], None);
    assert_eq!(verdicts(&world), [("Deployment default/a".to_owned(), Verdict::Ignored)]);
    assert_eq!(world.report.count(Severity::Note), 1);
    assert!(!world.report.has_errors());
}

#[test]
fn options_of_the_next_generation_hold() {
    let files = good("Path(`/a`)");
    let before = step(&files, None);
    let mut changed = options();
    let addr = "127.0.0.1:9".parse().expect("an address");
    changed.backends.insert(("s".into(), 80), vec![addr]);
    let incremental = compile(&load(&files), &changed, Some(&before));
    let fresh = compile(&load(&files), &changed, None);
    assert_eq!(incremental.snapshot.backends, fresh.snapshot.backends);
    assert_ne!(before.snapshot.backends, fresh.snapshot.backends);
}

/// One of a few documents, all of which can be read.
fn document() -> impl Strategy<Value = String> {
    let name = || prop_oneof![Just("a"), Just("b"), Just("c")];
    let head = |kind: &str, name: &str| {
        format!(
            "apiVersion: traefik.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
        )
    };
    prop_oneof![
        4 => (name(), name(), name(), 0..3usize).prop_map(move |(own, middleware, service, shape)| {
            let tls = ["", "  tls: {}\n", "  tls: {options: {name: a}}\n"][shape];
            format!(
                "{}  routes:\n  - match: Host(`{own}.example`) && Path(`/{service}`)\n    middlewares: [{{name: {middleware}}}]\n    services: [{{name: {service}, port: 80}}, {{name: {own}, kind: TraefikService}}]\n{tls}",
                head("IngressRoute", own)
            )
        }),
        1 => (name(), name(), 0..4usize).prop_map(move |(own, other, shape)| {
            let spec = [
                format!("addPrefix: {{prefix: /{other}}}"),
                format!("chain: {{middlewares: [{{name: {other}}}]}}"),
                format!("errors: {{status: ['500'], query: /x, service: {{name: {other}, port: 80}}}}"),
                "rateLimit: {average: 5}".to_owned(),
            ];
            format!("{}  {}\n", head("Middleware", own), spec[shape])
        }),
        1 => (name(), name(), 0..2usize).prop_map(move |(own, other, shape)| {
            let kind = ["Service", "TraefikService"][shape];
            format!(
                "{}  weighted: {{services: [{{name: {other}, kind: {kind}, port: 80}}]}}\n",
                head("TraefikService", own)
            )
        }),
        2 => (name(), 0..4u8).prop_map(|(own, last)| {
            slice(last).replace("s-1", own).replace("service-name: s", &format!("service-name: {own}"))
        }),
        1 => (name(), any::<bool>()).prop_map(move |(own, strict)| {
            format!("{}  sniStrict: {strict}\n", head("TLSOption", own))
        }),
        1 => (name(), name()).prop_map(move |(own, service)| {
            format!(
                "{}  routes:\n  - match: Host(`{own}.example`)\n    services: [{{name: {service}, port: 80, strategy: p2c}}]\n",
                head("IngressRoute", own)
            )
        }),
        2 => (name(), name(), 0..6usize).prop_map(|(own, other, shape)| {
            let policy = [
                "{loadBalancer: {simple: RANDOM}}",
                "{connectionPool: {tcp: {maxConnections: 3}}}",
                "{tls: {mode: SIMPLE, credentialName: a}}",
                "{tls: {mode: ISTIO_MUTUAL}}",
                "{timeout: 3s, retries: {attempts: 1}}",
                "{outlierDetection: {consecutive5xxErrors: 3}}",
            ][shape];
            format!("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {own}}}\nspec: {{host: {other}, trafficPolicy: {policy}}}\n")
        }),
        1 => name().prop_map(|own| {
            format!("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {own}}}\nspec:\n  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}]\n")
        }),
        1 => (name(), name(), name()).prop_map(|(own, gateway, service)| {
            format!("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {own}}}\nspec:\n  hosts: ['*']\n  gateways: [{gateway}]\n  http: [{{route: [{{destination: {{host: {service}, port: {{number: 80}}}}}}]}}]\n")
        }),
        1 => (name(), name()).prop_map(|(own, other)| {
            format!("http:\n  routers: {{{own}: {{rule: Path(`/f`), service: {other}}}}}\n  services: {{{own}: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}]}}}}}}\n")
        }),
    ]
}

fn files() -> impl Strategy<Value = Vec<String>> {
    let file = (0..3usize, proptest::collection::vec(document(), 0..4));
    let text = |(lines, documents): (usize, Vec<String>)| {
        format!("{}{}", "# a line\n".repeat(lines), documents.join("---\n"))
    };
    proptest::collection::vec(file.prop_map(text), 3)
}

proptest! {
    /// What came before shares its parts and changes nothing else.
    #[test]
    fn incremental_is_fresh(generations in proptest::collection::vec(files(), 1..4), empty in any::<bool>()) {
        let mut options = options();
        let mut set = ResourceSet::default();
        let mut world: Option<World> = None;
        for (position, texts) in generations.iter().enumerate() {
            options.allow_empty_services = empty && position == 1;
            let named: Vec<(String, &String)> =
                texts.iter().enumerate().map(|(index, text)| (format!("f{index}"), text)).collect();
            let changes: Vec<Change<'_>> =
                named.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
            set = load_incremental(&set, &changes);
            let next = compile(&set, &options, world.as_ref());
            // Duplicates are errors, whose last good form may rightly stay; compare without them.
            if set.items().iter().all(|placed| !placed.item.is_rejected()) {
                let fresh = compile(&set, &options, None);
                prop_assert_eq!(&next.snapshot.listeners, &fresh.snapshot.listeners);
                prop_assert_eq!(&next.snapshot.backends, &fresh.snapshot.backends);
                prop_assert_eq!(&next.snapshot.lines, &fresh.snapshot.lines);
                prop_assert_eq!(&next.snapshot.sources, &fresh.snapshot.sources);
                prop_assert_eq!(&next.report, &fresh.report);
            }
            world = Some(next);
        }
    }

    /// A route never names a backend that is not there.
    #[test]
    fn every_backend_exists(texts in files()) {
        let named: Vec<(String, &String)> =
            texts.iter().enumerate().map(|(index, text)| (format!("f{index}"), text)).collect();
        let world = compile(&load(&named), &options(), None);
        let text = format!("{:?}", world.snapshot.listeners);
        for (at, _) in text.match_indices("Backend(\"") {
            let id = text[at + 9..].split('"').next().unwrap_or_default();
            prop_assert!(world.snapshot.backends.contains_key(&BackendId::new(id)), "{}", id);
        }
    }
}

#[test]
fn a_service_that_joins_the_mesh_is_found_and_nothing_else_is_looked_at_again() {
    use weft_model::id::ServiceName;
    use weft_model::mesh::{Index as MeshIndex, IndexEntry, Location, Protocol, ServicePort};

    let files = [("r.yaml", route("r", "PathPrefix(`/`)")), ("m.yaml", middleware("/a"))];
    let set = load(&files);
    let name = ServiceName::new("s.default.svc.cluster.local");
    let port = ServicePort { number: 80, name: "".into(), protocol: Protocol::Detect };
    let entry = IndexEntry {
        name: name.clone(),
        addrs: [[10, 78, 0, 1].into()].into(),
        endpoint_addrs: [].into(),
        ports: [port].into(),
        location: Location::Mesh,
    };
    let index = MeshIndex { entries: [(name.clone(), Arc::new(entry))].into() };
    let before = compile(&set, &options(), None);
    assert_eq!(before.snapshot.backends.len(), 0);
    let joined = compile_in_mesh(&set, &options(), &index, Some(&before));
    let endpoints: Vec<_> =
        joined.snapshot.backends.values().map(|backend| backend.endpoints.clone()).collect();
    assert_eq!(
        endpoints,
        [weft_model::backend::Endpoints::Service { name, port: 80, subset: None }]
    );
    let same = compile_in_mesh(&set, &options(), &index.clone(), Some(&joined));
    assert_eq!(same.compiled(), 0);
    assert_eq!(same.snapshot.backends, joined.snapshot.backends);
    let left = compile(&set, &options(), Some(&same));
    assert_eq!(left.snapshot.backends.len(), 0);
}
