//! Which rules hold for calls.

mod gamma;
mod incremental;
mod linkerd;
mod names;
mod outside;
mod precedence;
mod split;
mod virtual_service;

use weft_message::{Method, RequestHead};
use weft_model::backend::Backend;
use weft_model::mesh::Traffic;
use weft_model::policy::StepKind;
use weft_model::route::{HostMatch, Route, RouteSet, Routed, Target, TcpMatcher, TcpRoute};
use weft_route::HttpTable;

use super::*;

/// Who calls, and on which port.
#[derive(Clone, Copy)]
pub(super) struct From<'c> {
    pub(super) namespace: &'c str,
    pub(super) labels: &'c [(&'c str, &'c str)],
    pub(super) port: u16,
}

/// A caller of the namespace `default`, on port 80.
pub(super) const HERE: From<'_> = From { namespace: "default", labels: &[], port: 80 };

/// Services `a`, `v1`, `v2` of `default` with the ports 80 (HTTP) and 9000 (bytes), and `far` of
/// `other` with port 80.
pub(super) fn services() -> String {
    let ports = "ports: [{port: 80, name: http}, {port: 9000, name: tcp}]";
    let near: String = ["a", "v1", "v2"].map(|name| service_document(name, ports)).concat();
    let far = "name: far, namespace: other";
    format!("{near}{}", document("v1", "Service", far, "ports: [{port: 80, name: http}]"))
}

/// Compiles documents beside the services.
pub(super) fn routing(documents: &[&str]) -> MeshWorld {
    world(&format!("{}{}", services(), documents.concat()), &[])
}

/// The same where nothing may be wrong.
pub(super) fn clean_routing(documents: &[&str]) -> MeshWorld {
    let world = routing(documents);
    assert_eq!(faults(&world), Vec::<String>::new());
    world
}

/// Errors and warnings.
pub(super) fn faults(world: &MeshWorld) -> Vec<String> {
    let all = world.report.problems();
    let worth = all.iter().filter(|problem| problem.severity != weft_resources::Severity::Note);
    worth.map(ToString::to_string).collect()
}

/// Asserts that something is reported that contains `text`.
pub(super) fn reports(world: &MeshWorld, text: &str) {
    let problems = problems(world);
    assert!(problems.iter().any(|one| one.contains(text)), "no {text:?} among {problems:#?}");
}

pub(super) fn traffic<'w>(world: &'w MeshWorld, service: &str) -> &'w Traffic {
    let name = match service.split_once('.') {
        None => format!("{service}.default.svc.cluster.local"),
        Some((_, rest)) if !rest.contains('.') => format!("{service}.svc.cluster.local"),
        Some(_) => service.to_owned(),
    };
    let service = world.mesh.services.get(&*name);
    &service.unwrap_or_else(|| panic!("{name} is there")).traffic
}

/// The first set that is for a caller.
fn set<'t>(
    traffic: &'t Traffic,
    from: From<'_>,
    has: impl Fn(&RouteSet) -> bool,
) -> Option<&'t RouteSet> {
    traffic.routing.iter().find(|set| {
        has(set)
            && set.audience.fits(from.namespace, &labels(from))
            && (set.ports.is_empty() || set.ports.contains(&from.port))
    })
}

fn labels(from: From<'_>) -> Vec<(Box<str>, Box<str>)> {
    from.labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// The rule that takes a request of a caller: as the proxy beside it would find it.
pub(super) fn find(
    world: &MeshWorld,
    service: &str,
    from: From<'_>,
    line: &str,
) -> Option<Option<Arc<Route>>> {
    let set = set(traffic(world, service), from, |set| set.http.is_some())?;
    let is_meant = |routed: &&Routed<Route>| {
        routed.audience.fits(from.namespace, &labels(from))
            && (routed.ports.is_empty() || routed.ports.contains(&from.port))
    };
    let routes: Vec<Arc<Route>> = set
        .http
        .iter()
        .flatten()
        .filter(is_meant)
        .map(|routed| Arc::clone(&routed.route))
        .collect();
    let peer = IpAddr::from([127, 0, 0, 1]);
    let table = HttpTable::new(&routes);
    Some(table.find(&head(service, line), peer).map(|found| Arc::clone(found.route())))
}

/// What a request of a caller gets: where it goes, a status, or `as is` where no document speaks.
pub(super) fn ask(world: &MeshWorld, service: &str, from: From<'_>, line: &str) -> String {
    match find(world, service, from, line) {
        None => "as is".into(),
        Some(None) => "404".into(),
        Some(Some(route)) => goes(&route.target),
    }
}

/// Checks a table of requests of a caller in `default` to port 80 of `a`.
pub(super) fn check(world: &MeshWorld, table: &[(&str, &str)]) {
    for (line, expected) in table {
        assert_eq!(ask(world, "a", HERE, line), *expected, "{line}");
    }
}

/// The rule that takes such a request.
pub(super) fn route(world: &MeshWorld, line: &str) -> Arc<Route> {
    let found = find(world, "a", HERE, line).flatten();
    found.unwrap_or_else(|| panic!("no rule takes {line}"))
}

/// What is done to such a request.
pub(super) fn steps(world: &MeshWorld, line: &str) -> Vec<StepKind> {
    route(world, line).steps.iter().map(|step| step.kind.clone()).collect()
}

/// The backend that it goes to.
pub(super) fn backend(world: &MeshWorld, line: &str) -> Arc<Backend> {
    let Target::Backend(id) = &route(world, line).target else { panic!("{line} goes elsewhere") };
    Arc::clone(&traffic(world, "a").backends[id])
}

/// Where a target leads, in words: `v1:80`, `v1:80 x70, v2:80 x30`, or a status.
pub(super) fn goes(target: &Target) -> String {
    match target {
        Target::Backend(id) => id.as_str().replace(".default.svc.cluster.local", ""),
        Target::Refuse(refusal) => refusal.reason.status().to_string(),
        Target::Weighted(weighted) => {
            let choices = weighted.choices.iter();
            let words: Vec<String> = choices
                .map(|choice| format!("{} x{}", goes(&choice.target), choice.weight))
                .collect();
            words.join(", ")
        }
        other => format!("{other:?}"),
    }
}

/// The rules for connections of a caller to a service, in order: what they take, and where it goes.
pub(super) fn connections(world: &MeshWorld, service: &str, from: From<'_>) -> Vec<String> {
    let Some(set) = set(traffic(world, service), from, |set| set.tcp.is_some()) else {
        return vec!["as is".into()];
    };
    let is_meant = |routed: &&Routed<TcpRoute>| {
        routed.audience.fits(from.namespace, &labels(from))
            && (routed.ports.is_empty() || routed.ports.contains(&from.port))
    };
    let mut routes: Vec<_> = set.tcp.iter().flatten().filter(is_meant).collect();
    routes.sort_by_key(|routed| std::cmp::Reverse(routed.route.rank));
    let words = routes.iter().map(|routed| {
        format!("{} -> {}", takes(&routed.route.matcher), goes(&routed.route.target))
    });
    words.collect()
}

fn takes(matcher: &TcpMatcher) -> String {
    let all = |of: &[TcpMatcher], sign: &str| of.iter().map(takes).collect::<Vec<_>>().join(sign);
    match matcher {
        TcpMatcher::All(of) if of.is_empty() => "all".into(),
        TcpMatcher::All(of) => all(of, " and "),
        TcpMatcher::Any(of) => all(of, " or "),
        TcpMatcher::Not(of) => format!("not {}", takes(of)),
        TcpMatcher::Sni(HostMatch::Exact(name)) => name.to_string(),
        TcpMatcher::Sni(HostMatch::AnyLabels(name)) => format!("*.{name}"),
        TcpMatcher::Sni(_) => "tls".into(),
        TcpMatcher::ClientIp(net) => format!("from {net}"),
        TcpMatcher::Destination(net) => format!("to {net}"),
        TcpMatcher::Alpn(name) => format!("alpn {name}"),
    }
}

/// A request to a service: method and path with query, then headers, as one line:
/// `GET /path?q=1 version: one`.
fn head(service: &str, line: &str) -> RequestHead {
    let mut words = line.split(' ');
    let (method, rest) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut head = RequestHead::new();
    head.set_method(Method::parse(method.as_bytes()).unwrap());
    head.set_authority(service).unwrap();
    head.set_path(path).unwrap();
    head.set_query(query).unwrap();
    let rest: Vec<&str> = words.collect();
    for header in rest.chunks(2) {
        let [name, value] = header else { panic!("a header needs a value: {line}") };
        match name.trim_end_matches(':') {
            "host" => head.set_authority(value).unwrap(),
            name => head.fields.append(name, value.as_bytes()).unwrap(),
        }
    }
    head
}

/// A route of the Gateway API in `default`, attached to the Service `a`.
pub(super) fn http_route(name: &str, spec: &str) -> String {
    let metadata = format!("name: {name}");
    let spec = format!("parentRefs: [{{group: '', kind: Service, name: a}}], {spec}");
    document("gateway.networking.k8s.io/v1", "HTTPRoute", &metadata, &spec)
}

/// A VirtualService in `default` for the host `a`.
pub(super) fn virtual_service(name: &str, spec: &str) -> String {
    istio("VirtualService", &format!("name: {name}"), &format!("hosts: [a], {spec}"))
}

#[test]
fn without_documents_there_are_no_rules() {
    let world = clean_routing(&[]);
    assert_eq!(*traffic(&world, "a"), Traffic::default());
    assert_eq!(ask(&world, "a", HERE, "GET /"), "as is");
    assert_eq!(connections(&world, "a", From { port: 9000, ..HERE }), ["as is"]);
}
