//! Listeners: which are served, where, and with what certificates.

pub(super) mod certificate;
mod conflict;

use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::listener::{Certificate, TlsOptions};
use weft_resources::gateway_api::gateway::{Listener, Protocol};
use weft_resources::gateway_api::{GROUP, Gateway, ListenerSet};
use weft_resources::{Pos, Resource};

use super::CONTROLLER;
use super::host::Host;
use super::objects::{Object, Objects};
use crate::context::Output;
use crate::remark::{Fix, Place};

/// A listener of a Gateway or ListenerSet.
pub(super) struct Site<'a> {
    /// The Gateway or ListenerSet it is written in.
    pub(super) owner: &'a Arc<Resource>,
    /// The Gateway.
    pub(super) gateway: Object<'a, Gateway>,
    /// The listener.
    pub(super) listener: &'a Listener,
    /// Its position among the owner's.
    pub(super) position: usize,
    /// Its host.
    pub(super) host: Host,
    /// Where it is bound.
    pub(super) addr: SocketAddr,
    /// Whether it is served.
    pub(super) fate: Fate,
    /// Kinds of route that may attach.
    pub(super) kinds: Vec<&'static str>,
    /// Where TLS ends.
    pub(super) tls: Option<Terminate>,
}

/// Whether a listener is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is.
    Open,
    /// It is not, as if it were not there.
    Absent,
    /// It is not, and its hosts are served by no other listener either.
    Broken(String),
}

/// How TLS ends at a listener.
#[derive(Debug, Clone)]
pub(super) struct Terminate {
    /// Never empty.
    pub(super) certificates: Vec<Arc<Certificate>>,
    /// Versions, client certificates and so on.
    pub(super) options: Arc<TlsOptions>,
}

/// What a listener's connections look like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Plain HTTP.
    Plain,
    /// TLS, told apart by server name.
    Tls,
    /// Anything, so it shares its port with nobody.
    Raw,
}

// === impl Site ===

impl<'a> Site<'a> {
    fn new(
        objects: &Objects<'a>,
        owner: &'a Arc<Resource>,
        gateway: Object<'a, Gateway>,
        (position, listener): (usize, &'a Listener),
    ) -> Self {
        Self {
            owner,
            gateway,
            listener,
            position,
            host: Host::new(listener.hostname.as_deref()),
            addr: objects.ctx.options.bind_gateway(
                gateway.0.namespace(),
                gateway.0.name(),
                listener.port,
            ),
            fate: Fate::Open,
            kinds: Vec::new(),
            tls: None,
        }
    }

    /// What its connections look like.
    pub(super) fn side(&self) -> Side {
        match self.listener.protocol.value {
            Protocol::Http => Side::Plain,
            Protocol::Https | Protocol::Tls => Side::Tls,
            Protocol::Tcp | Protocol::Udp | Protocol::Other(_) => Side::Raw,
        }
    }

    /// Whether TLS bytes go through it untouched.
    pub(super) fn is_passthrough(&self) -> bool {
        self.listener.tls.as_ref().is_some_and(|tls| tls.passthrough)
    }

    /// Whether HTTP is spoken behind it.
    pub(super) fn is_http(&self) -> bool {
        matches!(self.listener.protocol.value, Protocol::Http | Protocol::Https)
    }

    /// Whether it decides about its hosts: it is served, or keeps others from serving them.
    pub(super) fn owns_host(&self) -> bool {
        self.fate != Fate::Absent
    }

    /// Name among all listeners: `gateway/shop/public/https`.
    pub(super) fn name(&self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.owner.key.kind.to_ascii_lowercase(),
            self.owner.namespace(),
            self.owner.name(),
            self.listener.name
        )
    }

    /// Path of one of its fields.
    pub(super) fn path(&self, field: &str) -> String {
        let dot = if field.is_empty() { "" } else { "." };
        format!("spec.listeners[{}]{dot}{field}", self.position)
    }

    /// Reports an error about one of its fields.
    fn error(&self, out: &mut Output, at: Pos, field: &str, message: impl Into<Box<str>>) {
        self.error_fixed_by(out, at, field, message, None);
    }

    /// The same where it is known what to do about it.
    fn error_fixed_by(
        &self,
        out: &mut Output,
        at: Pos,
        field: &str,
        message: impl Into<Box<str>>,
        fix: Option<Fix>,
    ) {
        Place::new(self.owner, at, &self.path(field)).error_fixed_by(out, message, fix);
    }
}

/// All listeners of all Gateways that are ours, in the order of precedence.
pub(super) fn collect<'a>(objects: &Objects<'a>, out: &mut Output) -> Vec<Site<'a>> {
    let mut sites: Vec<Site<'a>> = Vec::new();
    for gateway in &objects.gateways {
        if !is_ours(objects, *gateway, out) {
            continue;
        }
        let (resource, body) = *gateway;
        if let Some(addr) = body.addresses.first() {
            let message = format!(
                "`addresses` has no effect: listeners are bound at {}",
                objects.ctx.options.bind_gateway(resource.namespace(), resource.name(), 0).ip()
            );
            Place::new(resource, addr.at, "spec.addresses").warn(out, message);
        }
        let own = body.listeners.iter().enumerate();
        sites.extend(own.map(|listener| Site::new(objects, resource, *gateway, listener)));
        for (set, body) in &objects.sets {
            if is_attached(objects, *gateway, (*set, *body), out) {
                let own = body.listeners.iter().enumerate();
                sites.extend(own.map(|listener| Site::new(objects, set, *gateway, listener)));
            }
        }
    }
    sites.iter_mut().for_each(|site| accept(site, out));
    conflict::settle(&mut sites, out);
    for site in &mut sites {
        if site.fate == Fate::Open {
            certificate::settle(objects, site, out);
        }
    }
    orphans(objects, out);
    sites
}

/// Whether a Gateway is for us: by its class, or because there is no telling.
fn is_ours(objects: &Objects<'_>, gateway: Object<'_, Gateway>, out: &mut Output) -> bool {
    let (resource, body) = gateway;
    let place = Place::new(resource, body.class.at, "spec.gatewayClassName");
    match objects.classes.get(&*body.class.value) {
        Some((_, class)) if *class.controller == *CONTROLLER => true,
        Some((_, class)) => {
            let message = format!(
                "not served here: the class `{}` belongs to the controller `{}`",
                body.class.value, class.controller
            );
            place.note(out, message);
            out.verdict(&resource.key, crate::report::Verdict::Ignored);
            false
        }
        None => {
            let message = format!(
                "the GatewayClass `{}` is not in these files; the Gateway is served all the same",
                body.class.value
            );
            place.note(out, message);
            true
        }
    }
}

/// Whether a ListenerSet belongs to a Gateway, which must allow it.
fn is_attached(
    objects: &Objects<'_>,
    (gateway, body): Object<'_, Gateway>,
    (set, set_body): Object<'_, ListenerSet>,
    out: &mut Output,
) -> bool {
    let parent = &set_body.parent;
    if !parent.is(GROUP, "Gateway")
        || *parent.name != *gateway.name()
        || parent.namespace_or(set.namespace()) != gateway.namespace()
    {
        return false;
    }
    let allowed = objects.is_allowed(&body.allowed_listeners, gateway.namespace(), set.namespace());
    if !allowed {
        let message = format!("{} does not allow ListenerSets of this namespace", gateway.key);
        Place::new(set, parent.at, "spec.parentRef").error_with(
            out,
            message,
            "set `allowedListeners` of the Gateway",
        );
    }
    allowed
}

/// ListenerSets without their Gateway.
fn orphans(objects: &Objects<'_>, out: &mut Output) {
    for (set, body) in &objects.sets {
        let namespace = body.parent.namespace_or(set.namespace());
        let known = body.parent.is(GROUP, "Gateway")
            && objects.gateways.iter().any(|(gateway, _)| {
                gateway.namespace() == namespace && gateway.name() == &*body.parent.name
            });
        if !known {
            let (message, fix) = objects.absent("Gateway", namespace, &body.parent.name);
            let place = Place::new(set, body.parent.at, "spec.parentRef");
            place.error_fixed_by(out, message, Some(fix));
        }
    }
}

/// What protocol and kinds of route a listener may have.
fn accept(site: &mut Site<'_>, out: &mut Output) {
    let protocol = &site.listener.protocol;
    let supported: &[&'static str] = match &protocol.value {
        Protocol::Http | Protocol::Https => &["HTTPRoute", "GRPCRoute"],
        Protocol::Tls if site.is_passthrough() => &["TLSRoute"],
        Protocol::Tls => &["TLSRoute", "TCPRoute"],
        Protocol::Tcp => &["TCPRoute"],
        Protocol::Udp | Protocol::Other(_) => {
            let message = format!("the protocol {} is not supported", protocol.value);
            site.error(out, protocol.at, "protocol", message);
            site.fate = Fate::Absent;
            return;
        }
    };
    let asked = &site.listener.allowed.kinds;
    if asked.is_empty() {
        site.kinds = supported.to_vec();
        return;
    }
    let mut kinds = Vec::new();
    for (index, asked) in asked.iter().enumerate() {
        let (group, kind) = &asked.value;
        match supported.iter().find(|known| **known == &**kind && **group == *GROUP) {
            Some(known) => kinds.push(*known),
            None => {
                let message =
                    format!("routes of kind {kind} do not fit the protocol {}", protocol.value);
                let field = format!("allowedRoutes.kinds[{index}]");
                site.error(out, asked.at, &field, message);
            }
        }
    }
    site.kinds = kinds;
}
