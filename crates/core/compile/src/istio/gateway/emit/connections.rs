//! Rules for connections.

use std::sync::Arc;

use weft_model::id::RouteId;
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{HostMatch, Rank, Target, TcpMatcher, TcpRoute, TcpTls};

use super::{Emitter, INDEX_BITS, Used, draft, origin, rank};
use crate::context::Output;
use crate::gateway_api::host::Host;
use crate::istio::gateway::bind::Bound;
use crate::istio::gateway::site::{Serves, Site};
use crate::istio::virtual_service::{TcpRule, connections};
use crate::remark::Place;

// === impl Emitter ===

impl<'e> Emitter<'e, '_> {
    /// Adds the rules of a document for connections at a server, and says which kinds there are.
    pub(super) fn connections(
        &self,
        one: &Bound<'e>,
        bound: &[Bound<'e>],
        used: &mut Used,
        out: &mut Output,
    ) {
        let site = &self.sites[one.site];
        let rules = connections(&self.around[one.site], one.document, out);
        // Of documents at one address the oldest comes first.
        let at_once = bound.iter().filter(|other| self.sites[other.site].addr == site.addr);
        let order = at_once.take_while(|other| !std::ptr::eq(*other, one)).count();
        let is_through = matches!(site.serves, Serves::Through);
        for (index, rule) in rules.iter().enumerate() {
            let is_elsewhere = rule.port.is_some_and(|port| port != site.port());
            if rule.is_tls != is_through || is_elsewhere {
                continue;
            }
            if rule.audience != weft_model::calling::Audience::default() {
                let message = "a gateway has no labels and no namespace of its own: rules for \
                               `sourceLabels` and `sourceNamespace` take nothing here";
                let path = if rule.is_tls { "spec.tls" } else { "spec.tcp" };
                Place::new(rule.document, rule.at, path).warn(out, message);
                continue;
            }
            used.tls |= is_through;
            used.tcp |= !is_through;
            let below = u64::MAX - ((order as u64) << INDEX_BITS | index as u64);
            self.connection(site, one, rule, below, out);
        }
    }

    fn connection(
        &self,
        site: &Site<'_>,
        one: &Bound<'_>,
        rule: &TcpRule<'_>,
        minor: u64,
        out: &mut Output,
    ) {
        let (plain, tls) = self.routes(site, one, rule, minor);
        if plain.is_empty() && tls.is_empty() {
            let message = format!(
                "{} is for none of the names in `sniHosts`: the rule takes nothing",
                site.words()
            );
            Place::new(rule.document, rule.at, "spec.tls").warn(out, message);
        }
        for made in plain.iter().chain(&tls) {
            let line = self.context.line(rule.document, rule.at);
            out.lines.insert(made.id.clone(), line);
        }
        let draft = draft(site, out);
        for (side, made) in [(&mut draft.plain, plain), (&mut draft.tls, tls)] {
            for route in made {
                if !side.tcp.iter().any(|known| known.id == route.id) {
                    side.tcp.push(Arc::new(route));
                }
            }
        }
    }

    /// What a rule is for plain connections, and for those that begin with TLS.
    fn routes(
        &self,
        site: &Site<'_>,
        one: &Bound<'_>,
        rule: &TcpRule<'_>,
        minor: u64,
    ) -> (Vec<TcpRoute>, Vec<TcpRoute>) {
        let target = || rule.target.clone();
        let route =
            |host: &Host, matcher, tls, target| route(rule, host, minor, (matcher, tls, target));
        let mut tls = Vec::new();
        match &site.serves {
            Serves::Bytes => {
                // Bytes are bytes: a client that speaks TLS to its own server goes through as well.
                let both = [TcpTls::Plain, TcpTls::Passthrough];
                let [plain, tls] =
                    both.map(|tls| vec![route(&Host::Any, any(&rule.matcher), tls, target())]);
                return (plain, tls);
            }
            Serves::TlsBytes(terminate) => {
                let refused = terminate.refusal.as_deref().map(|why| {
                    let reason = Reason::PolicyUnenforceable;
                    Target::Refuse(Refusal { reason, detail: why.into() })
                });
                for host in &one.hosts {
                    let matcher = both(&self.sni(site, host), &rule.matcher);
                    let ends = TcpTls::Terminate(Arc::clone(&terminate.options));
                    tls.push(route(host, matcher, ends, refused.clone().unwrap_or_else(target)));
                }
            }
            Serves::Through => {
                for name in names(&rule.matcher) {
                    for host in one.hosts.iter().filter_map(|own| own.intersection(&name)) {
                        let matcher = both(&self.sni(site, &host), &rule.matcher);
                        tls.push(route(&host, matcher, TcpTls::Passthrough, target()));
                    }
                }
            }
            Serves::Http { .. } | Serves::Https(_) | Serves::Broken(_) | Serves::Nothing => {}
        }
        (Vec::new(), tls)
    }

    /// The condition on the server name: the host, without those of more specific hosts for which
    /// HTTP is spoken. Routes of bytes are tried before any of HTTP.
    fn sni(&self, site: &Site<'_>, host: &Host) -> TcpMatcher {
        let mut all = vec![TcpMatcher::Sni(host.to_match())];
        let beside = self.sites.iter().filter(|other| {
            other.addr == site.addr && matches!(other.serves, Serves::Https(_) | Serves::Broken(_))
        });
        for (_, other) in beside.flat_map(|other| &other.hosts) {
            if other != host && host.contains(other) {
                all.push(TcpMatcher::Not(Box::new(TcpMatcher::Sni(other.to_match()))));
            }
        }
        match <[TcpMatcher; 1]>::try_from(all) {
            Ok([single]) => single,
            Err(all) => TcpMatcher::All(all),
        }
    }
}

// === functions ===

fn route(
    rule: &TcpRule<'_>,
    host: &Host,
    minor: u64,
    (matcher, tls, target): (TcpMatcher, TcpTls, Target),
) -> TcpRoute {
    let id = match host {
        Host::Any => RouteId::new(&*rule.id),
        host => RouteId::new(format!("{}@{host}", rule.id)),
    };
    TcpRoute {
        id,
        origin: origin(rule.document, rule.words.clone()),
        rank: Rank { minor, ..rank(host) },
        matcher,
        tls,
        in_flight_max: None,
        allow: Vec::new(),
        target,
    }
}

/// The condition; one that holds for every connection has to say so.
fn any(matcher: &TcpMatcher) -> TcpMatcher {
    match matcher {
        TcpMatcher::All(all) if all.is_empty() => TcpMatcher::Sni(HostMatch::Any),
        matcher => matcher.clone(),
    }
}

fn both(one: &TcpMatcher, other: &TcpMatcher) -> TcpMatcher {
    let mut all = Vec::new();
    for matcher in [one, other] {
        match matcher {
            TcpMatcher::All(inner) => all.extend(inner.iter().cloned()),
            single => all.push(single.clone()),
        }
    }
    match <[TcpMatcher; 1]>::try_from(all) {
        Ok([single]) => single,
        Err(all) => TcpMatcher::All(all),
    }
}

/// The server names that a rule asks for.
fn names(matcher: &TcpMatcher) -> Vec<Host> {
    match matcher {
        TcpMatcher::Sni(HostMatch::Exact(name)) => vec![Host::Exact(name.clone())],
        TcpMatcher::Sni(HostMatch::AnyLabels(suffix)) => vec![Host::Wildcard(suffix.clone())],
        TcpMatcher::Sni(HostMatch::Any) => vec![Host::Any],
        TcpMatcher::Any(inner) | TcpMatcher::All(inner) => inner.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}
