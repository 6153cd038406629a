//! Which VirtualServices a server is for, and for which hosts.

use std::sync::Arc;

use weft_resources::istio::NETWORKING;
use weft_resources::istio::virtual_service::{GatewayRef, HttpAction, VirtualService};
use weft_resources::{Key, Kind, Pos, Resource};

use super::site::{Serves, Site, host};
use crate::age::age;
use crate::context::{Context, Output};
use crate::gateway_api::host::Host;
use crate::istio::virtual_service::Document;
use crate::remark::{Fix, Place};
use crate::report::Verdict;

/// A VirtualService at a server.
pub(super) struct Bound<'a> {
    pub(super) document: Document<'a>,
    /// The position of the server among all.
    pub(super) site: usize,
    /// The hosts that both have; never none.
    pub(super) hosts: Vec<Host>,
}

/// Binds VirtualServices to servers, the oldest first.
pub(super) fn bind<'a>(
    context: &Context<'a>,
    sites: &[Site<'a>],
    out: &mut Output,
) -> Vec<Bound<'a>> {
    let mut services: Vec<(&'a Arc<Resource>, &'a VirtualService)> = Vec::new();
    for resource in context.resources {
        if let Kind::VirtualService(service) = &resource.body {
            services.push((resource, service));
        }
    }
    services.sort_by(|(a, _), (b, _)| age(a).cmp(&age(b)));
    let mut bound = Vec::new();
    for (resource, service) in &services {
        if service.is_delegate() {
            tell_unless_used(resource, &services, context, out);
            continue;
        }
        one(context, sites, (resource, service), &mut bound, out);
    }
    bound
}

fn one<'a>(
    context: &Context<'a>,
    sites: &[Site<'a>],
    document: Document<'a>,
    bound: &mut Vec<Bound<'a>>,
    out: &mut Output,
) {
    let (resource, service) = document;
    let own = gateways(context, document, out);
    if own.is_empty() {
        if service.is_for_mesh() && !context.services.has_mesh() {
            let message = "it is for sidecars alone: `gateways` names no Gateway, so that it has no \
                           effect on a gateway";
            Place::new(resource, Pos::default(), "spec.gateways").warn_with(
                out,
                message,
                "name a Gateway in `gateways`",
            );
            out.verdict(&resource.key, Verdict::Ignored);
        }
        return;
    }
    let mut taken = vec![false; service.hosts.len()];
    for (index, site) in sites.iter().enumerate() {
        let is_meant = own.iter().any(|key| site.gateway.key == *key);
        if !is_meant || matches!(site.serves, Serves::Nothing) {
            continue;
        }
        let export = service.export_to.as_ref().map(|export| &export.value);
        let (home, gateway) = (resource.namespace(), site.gateway.namespace());
        if export.is_some_and(|export| !export.reaches(home, gateway)) {
            let message = format!("it is not exported to the namespace of {}", site.gateway.key);
            Place::new(resource, Pos::default(), "spec.exportTo").warn(out, message);
            continue;
        }
        let mut hosts: Vec<Host> = Vec::new();
        for (position, written) in service.hosts.iter().enumerate() {
            let written = whole(context, written, home);
            let allowed = site.hosts.iter().filter(|(namespace, _)| {
                namespace.as_ref().is_none_or(|namespace| **namespace == *home)
            });
            let common: Vec<Host> =
                allowed.filter_map(|(_, known)| known.intersection(&written)).collect();
            taken[position] |= !common.is_empty();
            hosts.extend(common);
        }
        hosts.sort();
        hosts.dedup();
        if !hosts.is_empty() {
            bound.push(Bound { document, site: index, hosts });
        }
    }
    for (written, _) in service.hosts.iter().zip(taken).filter(|(_, taken)| !taken) {
        let message =
            format!("no server of its Gateways is for the host `{}` of this namespace", **written);
        Place::new(resource, written.at, "spec.hosts").warn_with(
            out,
            message,
            "add the host to `hosts` of a server, or correct it",
        );
    }
}

/// The Gateways that a document names and that there are.
fn gateways(
    context: &Context<'_>,
    (resource, service): Document<'_>,
    out: &mut Output,
) -> Vec<Key> {
    let mut keys = Vec::new();
    for (index, reference) in service.gateways.iter().enumerate() {
        let GatewayRef::Named { .. } = &reference.value else { continue };
        let key = gateway_key(resource, &reference.value);
        match context.index.get(&key) {
            Some(_) => keys.push(key),
            None => {
                let path = format!("spec.gateways[{index}]");
                let place = Place::new(resource, reference.at, &path);
                match context.rejected.get(&key) {
                    Some((file, line)) => {
                        place.error(out, format!("{key} ({file}:{line}) is rejected"));
                    }
                    None => {
                        let message = format!("{key} is not found");
                        place.error_fixed_by(out, message, Some(Fix::Find(key)));
                    }
                }
            }
        }
    }
    keys
}

/// The Gateway that a document means.
pub(super) fn gateway_key(resource: &Resource, reference: &GatewayRef) -> Key {
    let (namespace, name) = match reference {
        GatewayRef::Named { namespace, name } => {
            (namespace.as_deref().unwrap_or(resource.namespace()), &**name)
        }
        GatewayRef::Mesh => ("", "mesh"),
    };
    Key::new(NETWORKING, "Gateway", namespace, name)
}

/// The host as clients name it: a short one is that of a service.
fn whole(context: &Context<'_>, written: &str, namespace: &str) -> Host {
    match written.contains(['.', '*', ':']) {
        true => host(written),
        false => {
            let domain = &context.options.domain;
            Host::Exact(format!("{written}.{namespace}.svc.{domain}").into())
        }
    }
}

/// Says of a table that others delegate to when none does.
fn tell_unless_used(
    resource: &Resource,
    services: &[(&Arc<Resource>, &VirtualService)],
    context: &Context<'_>,
    out: &mut Output,
) {
    let is_used = services.iter().any(|(other, service)| {
        service.http.iter().any(|rule| match &rule.action {
            HttpAction::Delegate(found) => {
                let namespace = found.namespace.as_deref().unwrap_or(other.namespace());
                namespace == resource.namespace() && *found.name == *resource.name()
            }
            _ => false,
        })
    });
    if !is_used && !context.services.has_mesh() {
        let message = "it has no hosts, and no other VirtualService delegates to it";
        Place::whole(resource).warn(out, message);
    }
}
