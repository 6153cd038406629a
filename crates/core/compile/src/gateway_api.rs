//! Gateway API.
//!
//! Listeners of all Gateways are collected first ([`site`]): those that conflict or lack
//! certificates are left out. Routes attach to what is left ([`attach`]), their rules become
//! conditions, steps and targets ([`rule`]), and for each pair of hosts that a listener and a route
//! have in common a route of the model is made ([`emit`]).
//!
//! A request belongs to the listener with the most specific host of its address, even when only a
//! less specific one has a route for it (listener isolation).

mod attach;
mod authority;
mod backend;
mod condition;
mod emit;
mod filter;
pub(crate) mod host;
mod l4;
mod objects;
mod policy;
pub(crate) mod referrer;
pub(crate) mod rule;
mod session;
mod site;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use session::affinity;

use weft_resources::Kind;
use weft_resources::gateway_api::ParentRef;

use crate::context::{Context, Output};
use crate::gateway_api::backend::Compiler;
use crate::gateway_api::emit::Emitter;
use crate::gateway_api::objects::Objects;
use crate::gateway_api::policy::Policies;
use crate::traefik;

/// The `controllerName` of classes that are ours.
pub(crate) const CONTROLLER: &str = "weftway.io/gateway-controller";

/// Adds all that Gateway API resources ask for. `traefik` knows the middlewares that filters name.
pub(crate) fn compile(context: &Context<'_>, traefik: &traefik::Memo, out: &mut Output) {
    let objects = Objects::new(context);
    let sites = site::collect(&objects, out);
    let policies = Policies::new(&objects, out);
    let mut emitter = Emitter::new(context, &sites);
    let compiler = Compiler { objects: &objects, policies: &policies, traefik };
    for (resource, route) in &objects.http {
        if is_for_services(&resource.body) {
            continue;
        }
        let attached =
            attach::attach(&objects, &sites, resource, &route.parents, &route.hostnames, out);
        emitter.http(&compiler, resource, rule::Rules::Http(&route.rules), &attached, out);
    }
    for (resource, route) in &objects.grpc {
        if is_for_services(&resource.body) {
            continue;
        }
        let attached =
            attach::attach(&objects, &sites, resource, &route.parents, &route.hostnames, out);
        emitter.http(&compiler, resource, rule::Rules::Grpc(&route.rules), &attached, out);
    }
    for (resource, route) in objects.tls.iter().chain(&objects.tcp) {
        if is_for_services(&resource.body) {
            continue;
        }
        let attached =
            attach::attach(&objects, &sites, resource, &route.parents, &route.hostnames, out);
        emitter.l4(&compiler, resource, route, &attached, out);
    }
    emitter.finish(out);
}

/// The parents of a route of the Gateway API.
pub(crate) fn parents(body: &Kind) -> Option<&[ParentRef]> {
    Some(match body {
        Kind::HttpRoute(route) => &route.parents,
        Kind::GrpcRoute(route) => &route.parents,
        Kind::TlsRoute(route) | Kind::TcpRoute(route) => &route.parents,
        _ => return None,
    })
}

/// Whether a route is attached to Services and to nothing else, which is for a mesh.
pub(crate) fn is_for_services(body: &Kind) -> bool {
    parents(body).is_some_and(|parents| {
        !parents.is_empty() && parents.iter().all(|parent| parent.object.is_service())
    })
}
