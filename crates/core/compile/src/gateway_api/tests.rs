//! What requests get, for resources that restate the routing cases of the upstream conformance
//! suite. Each table names the case it restates.

mod backend_tls;
mod filter;
mod grpc;
mod l4;
mod listener;
mod matching;
mod reference;
pub(crate) mod tls;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use weft_message::{Method, RequestHead};
use weft_model::backend::{Backend, Endpoints};
use weft_model::id::ServiceName;
use weft_model::listener::Served;
use weft_model::mesh::{Index, IndexEntry, Location, Protocol, ServicePort};
use weft_model::policy::StepKind;
use weft_model::route::{Route, Target};
use weft_resources::load;
use weft_route::HttpTable;

use crate::{Options, World, compile};

/// Services of the namespaces `infra` and `other`: `v1` to `v3` on port 8080, and `empty`, which
/// has no endpoint.
pub(crate) fn services() -> String {
    let service = |namespace: &str, name: &str, number: u8| {
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{ports: [{{port: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{port: 3000}}]
endpoints: [{{addresses: [10.0.0.{number}]}}]
---
"
        )
    };
    let mut text = String::new();
    for (number, name) in (1..).zip(["v1", "v2", "v3"]) {
        text.push_str(&service("infra", name, number));
        text.push_str(&service("other", name, number + 10));
    }
    text.push_str(
        "apiVersion: v1
kind: Service
metadata: {name: empty, namespace: infra}
spec: {ports: [{port: 8080}]}
---
",
    );
    text
}

/// A Gateway `gw` in `infra` with these listeners (each a flow map without braces).
pub(crate) fn gateway(listeners: &[&str]) -> String {
    let mut text = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: infra}
spec:
  gatewayClassName: weftway
  listeners:
"
    .to_owned();
    for listener in listeners {
        text.push_str(&format!("  - {{{listener}}}\n"));
    }
    text.push_str("---\n");
    text
}

/// The usual Gateway: plain HTTP on port 80, for routes of its own namespace.
pub(crate) fn plain_gateway() -> String {
    gateway(&["name: http, port: 80, protocol: HTTP"])
}

/// A route in `infra`, attached to the Gateway, with the rest of its spec.
pub(crate) fn route(kind: &str, name: &str, spec: &str) -> String {
    let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1" };
    format!(
        "apiVersion: gateway.networking.k8s.io/{version}
kind: {kind}
metadata: {{name: {name}, namespace: infra}}
spec:
{spec}---
"
    )
}

/// An HTTPRoute at the whole Gateway with these rules.
pub(crate) fn http_route(rules: &str) -> String {
    route("HTTPRoute", "r", &format!("  parentRefs: [{{name: gw}}]\n  rules:\n{rules}"))
}

/// A rule that leads to a backend: the flow list of its matches, and the backend's name.
pub(crate) fn rule(matches: &str, backend: &str) -> String {
    format!("  - {{matches: [{matches}], backendRefs: [{{name: {backend}, port: 8080}}]}}\n")
}

/// Compiles documents together with the services.
pub(crate) fn world(documents: &[&str]) -> World {
    let text = format!("{}{}", services(), documents.concat());
    compile(&load(&[("a.yaml", text)]), &Options::new(Vec::new()), None)
}

/// The same where nothing may be wrong.
pub(crate) fn clean(documents: &[&str]) -> World {
    let world = world(documents);
    assert_eq!(problems(&world), Vec::<String>::new());
    world
}

/// Errors and warnings.
pub(crate) fn problems(world: &World) -> Vec<String> {
    let all = world.report.problems();
    let worth = all.iter().filter(|problem| problem.severity != weft_resources::Severity::Note);
    worth.map(ToString::to_string).collect()
}

/// Asserts that something was reported that contains `text`.
pub(crate) fn assert_reported(world: &World, text: &str) {
    let all = world.report.problems();
    assert!(
        all.iter().any(|problem| problem.to_string().contains(text)),
        "no `{text}` among {all:#?}"
    );
}

/// A request: method, host and path with query, then headers, as one line:
/// `GET a.example/path?q=1 version: one`.
pub(crate) fn head(line: &str) -> RequestHead {
    let mut words = line.split(' ');
    let (method, url) = (words.next().unwrap(), words.next().unwrap());
    let (host, rest) = url.split_once('/').unwrap();
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut head = RequestHead::new();
    head.set_method(Method::parse(method.as_bytes()).unwrap());
    head.set_authority(host).unwrap();
    head.set_path(&format!("/{path}")).unwrap();
    head.set_query(query).unwrap();
    let rest: Vec<&str> = words.collect();
    for header in rest.chunks(2) {
        let [name, value] = header else { panic!("a header needs a value: {line}") };
        head.fields.append(name.trim_end_matches(':'), value.as_bytes()).unwrap();
    }
    head
}

/// What a gateway knows of a mesh with one service that speaks HTTP.
pub(crate) fn mesh_index(service: &str, port: u16) -> Index {
    let name = ServiceName::new(service);
    let port = ServicePort { number: port, name: "http".into(), protocol: Protocol::Http };
    let entry = IndexEntry {
        name: name.clone(),
        addrs: [[10, 78, 0, 1].into()].into(),
        endpoint_addrs: [].into(),
        ports: [port].into(),
        location: Location::Mesh,
    };
    Index { entries: [(name, Arc::new(entry))].into() }
}

/// One side of the listener on a port.
pub(crate) fn served(world: &World, port: u16, is_tls: bool) -> &Served {
    let listeners = &world.snapshot.listeners;
    let listener = listeners.iter().find(|listener| listener.addr.port() == port);
    let listener = listener.unwrap_or_else(|| panic!("nothing listens on port {port}"));
    let side = match is_tls {
        true => listener.tls.as_ref().map(|tls| &tls.served),
        false => listener.plain.as_ref(),
    };
    side.unwrap_or_else(|| panic!("nothing is served on port {port}"))
}

/// The route that takes a request on a port.
pub(crate) fn find(world: &World, port: u16, is_tls: bool, line: &str) -> Option<Arc<Route>> {
    let table = HttpTable::new(&served(world, port, is_tls).http.routes);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    table.find(&head(line), peer).map(|found| Arc::clone(found.route()))
}

/// Where a target leads, in words: the name of the backend, `a:70 b:30` for shares, or a status.
pub(crate) fn words(target: &Target) -> String {
    match target {
        Target::Backend(id) => id.as_str().trim_start_matches("infra/").replace(":8080", ""),
        Target::Refuse(refusal) => refusal.reason.status().to_string(),
        Target::Weighted(weighted) => {
            let choices = weighted.choices.iter();
            let words: Vec<String> = choices
                .map(|choice| format!("{}:{}", words(&choice.target), choice.weight))
                .collect();
            words.join(" ")
        }
        other => format!("{other:?}"),
    }
}

/// What a request gets on a plain port.
pub(crate) fn ask(world: &World, port: u16, line: &str) -> String {
    find(world, port, false, line).map_or("404".into(), |route| words(&route.target))
}

/// Checks a table of requests to port 80 and what they get.
pub(crate) fn check(world: &World, table: &[(&str, &str)]) {
    for (line, expected) in table {
        assert_eq!(ask(world, 80, line), *expected, "{line}");
    }
}

/// The steps of the route that takes a request to port 80.
pub(crate) fn steps(world: &World, line: &str) -> Vec<StepKind> {
    let route = find(world, 80, false, line).unwrap_or_else(|| panic!("no route takes {line}"));
    route.steps.iter().map(|step| step.kind.clone()).collect()
}

/// The backend that a request to port 80 goes to.
pub(crate) fn backend(world: &World, line: &str) -> Arc<Backend> {
    let route = find(world, 80, false, line).unwrap_or_else(|| panic!("no route takes {line}"));
    let Target::Backend(id) = &route.target else {
        panic!("{line} goes to {}", words(&route.target))
    };
    Arc::clone(&world.snapshot.backends[id])
}

/// The addresses of a backend.
pub(crate) fn addresses(backend: &Backend) -> Vec<String> {
    match &backend.endpoints {
        Endpoints::Static(list) => list.iter().map(|endpoint| endpoint.addr.to_string()).collect(),
        Endpoints::Dns { name, port } => vec![format!("{name}:{port}")],
        Endpoints::Dialled | Endpoints::DialledThrough(_) | Endpoints::Service { .. } => Vec::new(),
    }
}

/// The only backend there is.
pub(crate) fn only_backend(world: &World) -> Arc<Backend> {
    assert_eq!(world.snapshot.backends.len(), 1);
    let (_, backend) = world.snapshot.backends.first_key_value().unwrap();
    Arc::clone(backend)
}
