//! Which listeners a route attaches to, and for which hosts.

use std::sync::Arc;

use weft_resources::gateway_api::{GROUP, ParentRef};
use weft_resources::{Resource, Spanned};

use super::host::Host;
use super::objects::{EXPERIMENTAL_GROUP, Objects};
use super::site::{Fate, Site};
use crate::context::Output;
use crate::remark::{Fix, Place};

/// A route at a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    /// Position of the listener.
    pub(super) site: usize,
    /// The hosts that both have, each with how specific the route's own name is.
    pub(super) hosts: Vec<(Host, u16)>,
}

/// Attaches a route wherever it may.
pub(super) fn attach(
    objects: &Objects<'_>,
    sites: &[Site<'_>],
    route: &Arc<Resource>,
    parents: &[ParentRef],
    hostnames: &[Spanned<Box<str>>],
    out: &mut Output,
) -> Vec<Attachment> {
    if parents.is_empty() {
        Place::whole(route).error_with(
            out,
            "the route attaches to nothing",
            "name a Gateway in `parentRefs`",
        );
    }
    let hosts: Vec<Host> = hostnames.iter().map(|name| Host::new(Some(&name.value))).collect();
    let mut attached: Vec<Attachment> = Vec::new();
    for (index, parent) in parents.iter().enumerate() {
        let path = format!("spec.parentRefs[{index}]");
        let place = Place::new(route, parent.object.at, &path);
        match at_parent(objects, sites, route, parent, &hosts) {
            Ok(found) => {
                for attachment in found {
                    // The same listener by another name counts once.
                    if !attached.iter().any(|known| known.site == attachment.site) {
                        attached.push(attachment);
                    }
                }
            }
            Err(Detached::Elsewhere(message)) => place.note(out, message),
            Err(Detached::Refused(message)) => place.error(out, message),
            Err(Detached::Absent(message, fix)) => place.error_fixed_by(out, message, Some(fix)),
        }
    }
    if !attached.is_empty() {
        report_unused(sites, route, hostnames, &hosts, &attached, out);
    }
    attached
}

/// Why a route does not attach.
enum Detached {
    /// The parent is none of ours.
    Elsewhere(String),
    /// Something does not fit.
    Refused(String),
    /// The parent is not in force.
    Absent(String, Fix),
}

fn at_parent(
    objects: &Objects<'_>,
    sites: &[Site<'_>],
    route: &Arc<Resource>,
    parent: &ParentRef,
    hosts: &[Host],
) -> Result<Vec<Attachment>, Detached> {
    let object = &parent.object;
    let namespace = object.namespace_or(route.namespace());
    if object.is("", "Service") {
        return Err(Detached::Elsewhere("routes of a Service are for the mesh only".into()));
    }
    let is_parent = object.is(GROUP, "Gateway")
        || object.is(GROUP, "ListenerSet")
        || object.is(EXPERIMENTAL_GROUP, "XListenerSet");
    if !is_parent {
        let message = format!("routes do not attach to a {} ({})", object.kind, object.group);
        return Err(Detached::Refused(message));
    }
    let of_parent: Vec<usize> = (0..sites.len())
        .filter(|index| {
            let owner = &sites[*index].owner.key;
            owner.kind == *object.kind
                && *owner.namespace == *namespace
                && owner.name == object.name
        })
        .collect();
    if of_parent.is_empty() {
        return Err(no_parent(objects, parent, namespace));
    }
    let named: Vec<usize> =
        of_parent.into_iter().filter(|index| is_meant(&sites[*index], parent)).collect();
    if named.is_empty() {
        let message = format!("{} has no listener {}", object, wanted(parent));
        return Err(Detached::Refused(message));
    }
    let mut reason = String::new();
    let mut found = Vec::new();
    for site in named {
        match at_site(objects, &sites[site], route, hosts) {
            Ok(hosts) => found.push(Attachment { site, hosts }),
            Err(why) => reason = why,
        }
    }
    if found.is_empty() { Err(Detached::Refused(reason)) } else { Ok(found) }
}

fn no_parent(objects: &Objects<'_>, parent: &ParentRef, namespace: &str) -> Detached {
    let object = &parent.object;
    let is_there = objects.gateways.iter().any(|(gateway, _)| {
        *object.kind == *"Gateway"
            && gateway.namespace() == namespace
            && gateway.name() == &*object.name
    });
    if is_there {
        return Detached::Elsewhere(format!("{object} is not served here"));
    }
    let name = format!("{} {namespace}/{}", object.kind, object.name);
    let is_set = objects.sets.iter().any(|(set, _)| {
        set.key.kind == *object.kind && set.namespace() == namespace && set.name() == &*object.name
    });
    if is_set {
        return Detached::Refused(format!("{name} belongs to no Gateway"));
    }
    let (message, fix) = objects.absent(&object.kind, namespace, &object.name);
    Detached::Absent(message, fix)
}

fn is_meant(site: &Site<'_>, parent: &ParentRef) -> bool {
    parent.section.as_deref().is_none_or(|name| *name == *site.listener.name)
        && parent.port.is_none_or(|port| port == site.listener.port)
}

fn wanted(parent: &ParentRef) -> String {
    match (&parent.section, parent.port) {
        (Some(name), Some(port)) => format!("`{name}` on port {port}"),
        (Some(name), None) => format!("`{name}`"),
        (None, Some(port)) => format!("on port {port}"),
        (None, None) => "at all".into(),
    }
}

/// The hosts of a route at a listener.
fn at_site(
    objects: &Objects<'_>,
    site: &Site<'_>,
    route: &Arc<Resource>,
    hosts: &[Host],
) -> Result<Vec<(Host, u16)>, String> {
    let name = &site.listener.name;
    if site.fate == Fate::Absent {
        return Err(format!("the listener `{name}` is not served"));
    }
    if !site.kinds.contains(&&*route.key.kind) {
        return Err(format!(
            "the listener `{name}` does not take routes of kind {}",
            route.key.kind
        ));
    }
    let allowed = &site.listener.allowed.namespaces;
    if !objects.is_allowed(allowed, site.owner.namespace(), route.namespace()) {
        return Err(format!(
            "the listener `{name}` does not allow routes from the namespace `{}`",
            route.namespace()
        ));
    }
    if hosts.is_empty() {
        return Ok(vec![(site.host.clone(), 0)]);
    }
    let mut common: Vec<(Host, u16)> = Vec::new();
    for host in hosts {
        let Some(both) = site.host.intersection(host) else { continue };
        let own = host.specificity();
        match common.iter_mut().find(|(known, _)| *known == both) {
            Some((_, known)) => *known = own.max(*known),
            None => common.push((both, own)),
        }
    }
    if common.is_empty() {
        return Err(format!("no host of the route fits the listener `{name}` ({})", site.host));
    }
    Ok(common)
}

/// Hosts of a route that fit no listener it is attached to.
fn report_unused(
    sites: &[Site<'_>],
    route: &Arc<Resource>,
    hostnames: &[Spanned<Box<str>>],
    hosts: &[Host],
    attached: &[Attachment],
    out: &mut Output,
) {
    for (index, (host, name)) in hosts.iter().zip(hostnames).enumerate() {
        let mut at = attached.iter().map(|attachment| &sites[attachment.site].host);
        if !at.any(|site| site.intersection(host).is_some()) {
            let path = format!("spec.hostnames[{index}]");
            let message = format!("`{host}` fits no listener that the route attaches to");
            Place::new(route, name.at, &path).warn(out, message);
        }
    }
}
