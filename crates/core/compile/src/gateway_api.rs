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
mod host;
mod l4;
mod objects;
mod policy;
mod rule;
mod session;
mod site;
#[cfg(test)]
mod tests;

use crate::context::{Context, Output};
use crate::gateway_api::emit::Emitter;
use crate::gateway_api::objects::Objects;
use crate::gateway_api::policy::Policies;
use crate::gateway_api::rule::Compiler;
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
        let attached =
            attach::attach(&objects, &sites, resource, &route.parents, &route.hostnames, out);
        emitter.http(&compiler, resource, rule::Rules::Http(&route.rules), &attached, out);
    }
    for (resource, route) in &objects.grpc {
        let attached =
            attach::attach(&objects, &sites, resource, &route.parents, &route.hostnames, out);
        emitter.http(&compiler, resource, rule::Rules::Grpc(&route.rules), &attached, out);
    }
    for (resource, route) in objects.tls.iter().chain(&objects.tcp) {
        let attached =
            attach::attach(&objects, &sites, resource, &route.parents, &route.hostnames, out);
        emitter.l4(&compiler, resource, route, &attached, out);
    }
    emitter.finish(out);
}
