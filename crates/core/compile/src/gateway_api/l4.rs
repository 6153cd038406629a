//! TLSRoute and TCPRoute.

use std::sync::Arc;

use weft_model::id::RouteId;
use weft_model::route::{Rank, Target, TcpMatcher, TcpRoute, TcpTls};
use weft_resources::Resource;
use weft_resources::gateway_api::l4::{L4Route, L4Rule};

use super::attach::Attachment;
use super::backend::Compiler;
use super::emit::{Emitter, anything, major, origin, sni};
use super::host::Host;
use super::referrer::Speaks;
use super::rule;
use super::site::{Fate, Side, Site};
use crate::context::Output;
use crate::dialect;
use crate::remark::Place;
use crate::rule_name::label;

// === impl Emitter ===

impl<'a> Emitter<'_, 'a> {
    /// Adds a route of connections. Routes must come in the order of precedence.
    pub(super) fn l4(
        &mut self,
        compiler: &Compiler<'a>,
        resource: &'a Arc<Resource>,
        route: &L4Route,
        attached: &[Attachment],
        out: &mut Output,
    ) {
        let Some(rule) = route.rules.first() else {
            Place::whole(resource).error_with(
                out,
                "the route has no rule, so it takes nothing",
                "write a rule with `backendRefs`",
            );
            return;
        };
        let sites = self.sites;
        for attachment in attached {
            let site = &sites[attachment.site];
            let target = target(compiler, resource, rule, site, out);
            if site.fate != Fate::Open {
                continue;
            }
            for (host, own) in &attachment.hosts {
                self.add_connection(resource, rule, site, (host, *own), &target);
            }
        }
    }

    fn add_connection(
        &mut self,
        resource: &Resource,
        rule: &L4Rule,
        site: &Site<'a>,
        (host, own): (&Host, u16),
        target: &Target,
    ) {
        let kind = resource.key.kind.to_ascii_lowercase();
        let label = label(&[rule.name.as_deref()], 0);
        let mut id = format!("{kind}/{}/{}/{label}", resource.namespace(), resource.name());
        if *host != Host::Any {
            id.push_str(&format!("@{host}"));
        }
        let id = RouteId::new(id);
        self.locate(&id, resource, rule.at);
        let route = |matcher: TcpMatcher, tls: TcpTls| TcpRoute {
            id: id.clone(),
            origin: origin(resource, format!("server name {host}")),
            rank: Rank {
                dialect: dialect::GATEWAY_API,
                major: major(&site.host, own),
                minor: 1,
                ..Rank::default()
            },
            matcher,
            tls,
            in_flight_max: None,
            allow: Vec::new(),
            target: target.clone(),
        };
        match (site.side(), &site.tls) {
            // Bytes are bytes: a client that speaks TLS to its own server goes through as well.
            (Side::Raw | Side::Plain, _) => {
                self.add_tcp(site.addr, false, route(anything(), TcpTls::Plain));
                self.add_tcp(site.addr, true, route(anything(), TcpTls::Passthrough));
            }
            (Side::Tls, Some(tls)) => {
                let tls = TcpTls::Terminate(Arc::clone(&tls.options));
                let matcher = sni(self.sites, site, host);
                self.add_tcp(site.addr, true, route(matcher, tls));
            }
            (Side::Tls, None) => {
                let matcher = sni(self.sites, site, host);
                self.add_tcp(site.addr, true, route(matcher, TcpTls::Passthrough));
            }
        }
    }
}

fn target<'a>(
    compiler: &Compiler<'a>,
    resource: &'a Arc<Resource>,
    rule: &L4Rule,
    site: &Site<'a>,
    out: &mut Output,
) -> Target {
    let is_passthrough = site.side() == Side::Tls && site.is_passthrough();
    let speaks = if is_passthrough { Speaks::Passthrough } else { Speaks::Bytes };
    let gateway = Some(site.gateway).filter(|(_, body)| body.client_certificate.is_some());
    rule::connections(&compiler.caller(resource, speaks, gateway), rule, out)
}
