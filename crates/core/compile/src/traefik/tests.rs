//! What Traefik's resources compile to.

mod decode;
mod file;
mod middleware;
mod reference;
mod router;
mod service;
mod tcp;
mod tls;

use std::sync::Arc;

use weft_model::backend::Backend;
use weft_model::listener::Served;
use weft_model::policy::StepKind;
use weft_model::route::{Route, Target};
use weft_resources::load;

use crate::{EntryPoint, Options, World, compile};

/// Services `greeter` and `other` in `default` and `shop`, port 8080, named `http`.
pub(super) fn services() -> String {
    let mut text = String::new();
    for (number, (namespace, name)) in
        (1..).zip([("default", "greeter"), ("default", "other"), ("shop", "greeter")])
    {
        text.push_str(&format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{ports: [{{port: 8080, name: http}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{port: 9000, name: http}}]
endpoints: [{{addresses: [10.0.0.{number}]}}]
---
"
        ));
    }
    text
}

/// Entry points `web` (plain) and `websecure`, which leaves TLS to the routers.
pub(super) fn options() -> Options {
    let entry_point = |name: &str, addr: &str| EntryPoint {
        name: name.into(),
        addr: addr.parse().expect("an address"),
        tls: false,
    };
    Options::new(vec![
        entry_point("web", "127.0.0.1:80"),
        entry_point("websecure", "127.0.0.1:443"),
    ])
}

pub(super) fn world_with(text: &str, options: &Options) -> World {
    let files = [("services.yaml", services()), ("t.yaml", text.to_owned())];
    compile(&load(&files), options, None)
}

pub(super) fn world(text: &str) -> World {
    world_with(text, &options())
}

/// An object of this dialect in `default`, with its spec as a block indented by two.
pub(super) fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: traefik.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"
    )
}

/// An IngressRoute `r` with one rule for every request, and further fields of the rule.
pub(super) fn route(rest: &str) -> String {
    object(
        "IngressRoute",
        "r",
        &format!(
            "  entryPoints: [web]\n  routes:\n  - match: PathPrefix(`/`)\n    services: [{{name: greeter, port: 8080}}]\n{rest}"
        ),
    )
}

/// Problems as text, with their advice.
pub(super) fn problems(world: &World) -> Vec<String> {
    let shown = world.report.problems().into_iter().map(|problem| {
        let fix = problem.fix.as_ref().map(|fix| format!(" [{fix}]")).unwrap_or_default();
        format!("{problem}{fix}")
    });
    shown.collect()
}

pub(super) fn side<'a>(world: &'a World, name: &str, is_tls: bool) -> Option<&'a Served> {
    let listeners = &world.snapshot.listeners;
    let listener = listeners.iter().find(|listener| listener.id.as_str() == name)?;
    match is_tls {
        true => listener.tls.as_ref().map(|tls| &tls.served),
        false => listener.plain.as_ref(),
    }
}

/// The plain routes of `web`, best first.
pub(super) fn routes(world: &World) -> &[Arc<Route>] {
    side(world, "web", false).map(|served| &*served.http.routes).unwrap_or_default()
}

pub(super) fn only_route(world: &World) -> &Route {
    let [route] = routes(world) else { panic!("expected one route: {:?}", problems(world)) };
    route
}

pub(super) fn kinds(route: &Route) -> Vec<&StepKind> {
    route.steps.iter().map(|step| &step.kind).collect()
}

/// The backend of a target that is one.
pub(super) fn backend<'a>(world: &'a World, target: &Target) -> &'a Backend {
    let Target::Backend(id) = target else { panic!("no backend: {target:?}") };
    &world.snapshot.backends[id]
}
