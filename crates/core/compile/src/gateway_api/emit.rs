//! From attached rules to routes of listeners.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::id::{ListenerId, RouteId};
use weft_model::listener::TlsEntry;
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{
    HostMatch, Matcher, Origin, Rank, Route, Target, TcpMatcher, TcpRoute, TcpTls,
};
use weft_resources::gateway_api::gateway::Protocol;
use weft_resources::{Pos, Resource};

use super::attach::Attachment;
use super::backend::Compiler;
use super::host::Host;
use super::referrer::Speaks;
use super::rule::{self, Match, Rule, Rules};
use super::site::{Fate, Side, Site};
use crate::calling::own::rules::{About, Added};
use crate::context::{Context, Output};
use crate::dialect;

/// Collects routes by address.
pub(super) struct Emitter<'s, 'a> {
    pub(super) sites: &'s [Site<'a>],
    context: &'s Context<'a>,
    /// Where rules stand.
    lines: HashMap<RouteId, u32>,
    /// By address and whether on the TLS side, in the order of precedence.
    http: BTreeMap<Door, Vec<Route>>,
    tcp: BTreeMap<Door, Vec<TcpRoute>>,
    /// What is there already: Gateways that are served together may lead the same way twice.
    seen: HashSet<(Door, RouteId, i64)>,
}

/// An address and whether on the TLS side.
type Door = (SocketAddr, bool);

/// A rule with what policies add to it.
type Ruled = (Rule, Added);

// === impl Emitter ===

impl<'s, 'a> Emitter<'s, 'a> {
    /// Nothing yet.
    pub(super) fn new(context: &'s Context<'a>, sites: &'s [Site<'a>]) -> Self {
        Self {
            sites,
            context,
            lines: HashMap::new(),
            http: BTreeMap::new(),
            tcp: BTreeMap::new(),
            seen: HashSet::new(),
        }
    }

    /// Notes where the rule of a route stands.
    pub(super) fn locate(&mut self, id: &RouteId, resource: &Resource, at: Pos) {
        self.lines.insert(id.clone(), self.context.line(resource, at));
    }

    /// Adds the rules of a route of HTTP. Routes must come in the order of precedence.
    pub(super) fn http(
        &mut self,
        compiler: &Compiler<'a>,
        resource: &'a Arc<Resource>,
        rules: Rules<'a>,
        attached: &[Attachment],
        out: &mut Output,
    ) {
        let speaks = match rules {
            Rules::Http(_) => Speaks::Http,
            Rules::Grpc(_) => Speaks::Grpc,
        };
        let context = self.context;
        let compile = |gateway, out: &mut Output| {
            let rules = rule::compile(&compiler.caller(resource, speaks, gateway), rules, out);
            let ruled = |rule: Rule| -> Ruled {
                let added = context.added(&[About::rule(resource, rule.name.as_deref())], out);
                (rule, added)
            };
            rules.into_iter().map(ruled).collect::<Vec<_>>()
        };
        // Rules differ between Gateways only where a Gateway shows certificates of its own.
        let mut compiled: Vec<(Option<usize>, Vec<Ruled>)> = Vec::new();
        for attachment in attached {
            let site = &self.sites[attachment.site];
            let gateway = Some(site.gateway).filter(|(_, body)| body.client_certificate.is_some());
            let key = gateway.map(|(resource, _)| Arc::as_ptr(resource) as usize);
            if !compiled.iter().any(|(known, _)| *known == key) {
                compiled.push((key, compile(gateway, out)));
            }
            let rules = compiled.iter().find(|(known, _)| *known == key).map(|(_, rules)| rules);
            for (rule, added) in rules.into_iter().flatten() {
                self.add_rule(resource, rule, added, attachment);
            }
        }
        if attached.is_empty() {
            // What is wrong in it is worth knowing even before it is attached.
            compile(None, out);
        }
    }

    fn add_rule(
        &mut self,
        resource: &Resource,
        rule: &Rule,
        added: &Added,
        attachment: &Attachment,
    ) {
        let site = &self.sites[attachment.site];
        if site.fate != Fate::Open {
            return;
        }
        let door = (site.addr, site.side() == Side::Tls);
        let routes = self.http.entry(door).or_default();
        for (index, found) in rule.matches.iter().enumerate() {
            for (host, own) in &attachment.hosts {
                let id = RouteId::new(route_id(rule, index, host));
                let major = major(&site.host, *own);
                if self.seen.insert((door, id.clone(), major)) {
                    self.lines.insert(id.clone(), self.context.line(resource, rule.at));
                    let mut route = http_route(resource, rule, found, host, id, major);
                    added.apply(&mut route);
                    routes.push(route);
                }
            }
        }
    }

    /// Adds a TCP route.
    pub(super) fn add_tcp(&mut self, addr: SocketAddr, is_tls: bool, route: TcpRoute) {
        let door = (addr, is_tls);
        if self.seen.insert((door, route.id.clone(), route.rank.major)) {
            self.tcp.entry(door).or_default().push(route);
        }
    }

    /// Puts everything where it belongs.
    pub(super) fn finish(mut self, out: &mut Output) {
        for index in 0..self.sites.len() {
            self.close(index);
        }
        out.lines.extend(self.lines);
        for site in self.sites.iter().filter(|site| site.owns_host()) {
            let draft = out.drafts.at(site.addr, || listener_id(site));
            let is_open = site.fate == Fate::Open;
            draft.plain.http_enabled |= is_open && site.side() == Side::Plain;
            draft.tls.http_enabled |= is_open && site.listener.protocol.value == Protocol::Https;
            for entry in tls_entries(self.sites, site) {
                match &*entry.host {
                    "" => draft.default = draft.default.take().or(Some(entry)),
                    _ => draft.entries.push(entry),
                }
            }
        }
        for ((addr, is_tls), mut routes) in self.http {
            break_ties(&mut routes, |route| &mut route.rank);
            let draft = out.drafts.at(addr, || ListenerId::new(addr.to_string()));
            let side = if is_tls { &mut draft.tls } else { &mut draft.plain };
            side.http.extend(routes.into_iter().map(Arc::new));
        }
        for ((addr, is_tls), mut routes) in self.tcp {
            break_ties(&mut routes, |route| &mut route.rank);
            let draft = out.drafts.at(addr, || ListenerId::new(addr.to_string()));
            let side = if is_tls { &mut draft.tls } else { &mut draft.plain };
            side.tcp.extend(routes.into_iter().map(Arc::new));
        }
    }

    /// Keeps the hosts of a listener from less specific ones: what no route of its own takes is
    /// answered here. Where there is no other listener, other dialects may take it.
    fn close(&mut self, index: usize) {
        let site = &self.sites[index];
        let is_wider = |other: &Site<'_>| {
            other.owns_host()
                && other.addr == site.addr
                && other.side() == site.side()
                && other.host != site.host
                && other.host.contains(&site.host)
        };
        let is_contested = self.sites.iter().any(is_wider);
        let is_broken = matches!(site.fate, Fate::Broken(_));
        if site.host == Host::Any || !site.owns_host() || !(is_contested || is_broken) {
            return;
        }
        let refusal = match &site.fate {
            Fate::Broken(reason) => Refusal {
                reason: Reason::PolicyUnenforceable,
                detail: format!("{} is not served: {reason}", site.name()).into(),
            },
            Fate::Open | Fate::Absent => Refusal {
                reason: Reason::NoRoute,
                detail: format!("no route of {} takes the request", site.name()).into(),
            },
        };
        let is_tls = site.side() == Side::Tls;
        let rank =
            Rank { dialect: dialect::GATEWAY_API, major: major(&site.host, 0), ..Rank::default() };
        let origin = origin(site.owner, format!("host {}", site.host));
        let id = RouteId::new(site.name());
        let line = self.context.line(site.owner, site.listener.at);
        self.lines.insert(id.clone(), line);
        if !site.is_http() {
            self.add_tcp(
                site.addr,
                is_tls,
                TcpRoute {
                    id,
                    origin,
                    rank,
                    matcher: sni(self.sites, site, &site.host),
                    tls: TcpTls::Passthrough,
                    in_flight_max: None,
                    allow: Vec::new(),
                    target: Target::Refuse(refusal),
                },
            );
            return;
        }
        // Listeners that are served together are kept from others once.
        let name = RouteId::new(format!("listener {}", site.host));
        if !self.seen.insert(((site.addr, is_tls), name, rank.major)) {
            return;
        }
        let routes = self.http.entry((site.addr, is_tls)).or_default();
        routes.push(Route {
            id,
            origin,
            rank,
            matcher: Matcher::Host(site.host.to_match()),
            steps: Arc::default(),
            target: Target::Refuse(refusal),
            timeouts: weft_model::route::Timeouts::default(),
        });
    }
}

fn http_route(
    resource: &Resource,
    rule: &Rule,
    found: &Match,
    host: &Host,
    id: RouteId,
    major: i64,
) -> Route {
    let condition = &found.condition;
    let mut matchers = Vec::with_capacity(condition.matchers.len() + 1);
    if *host != Host::Any {
        matchers.push(Matcher::Host(host.to_match()));
    }
    matchers.extend(condition.matchers.iter().cloned());
    let matcher = match <[Matcher; 1]>::try_from(matchers) {
        Ok([single]) => single,
        Err(matchers) => Matcher::All(matchers),
    };
    let words = match host {
        Host::Any => condition.words.clone(),
        host => format!("host {host}, {}", condition.words),
    };
    Route {
        id,
        origin: origin(resource, words),
        rank: Rank {
            dialect: dialect::GATEWAY_API,
            major,
            minor: condition.minor,
            detail: condition.detail,
            tie: 0,
        },
        matcher,
        steps: Arc::clone(&found.steps),
        target: found.target.clone(),
        timeouts: rule.timeouts.clone(),
    }
}

/// Unique on one side of an address, and the same in every generation.
fn route_id(rule: &Rule, index: usize, host: &Host) -> String {
    let mut id = rule.id.clone();
    if rule.matches.len() > 1 {
        id.push_str(&format!("/{index}"));
    }
    if *host != Host::Any {
        id.push_str(&format!("@{host}"));
    }
    id
}

/// The place of a resource that a route comes from.
pub(super) fn origin(resource: &Resource, rule: String) -> Origin {
    Origin {
        kind: resource.key.kind.as_ref().into(),
        name: format!("{}/{}", resource.namespace(), resource.name()).into(),
        file: (&*resource.file).into(),
        rule: rule.into(),
    }
}

/// The listener's host first, then the route's own.
pub(super) fn major(site: &Host, own: u16) -> i64 {
    i64::from(site.specificity()) << 16 | i64::from(own)
}

/// Makes ranks differ: among equals the earlier wins. Counted downwards, so that a route that comes
/// last changes no other.
fn break_ties<T>(routes: &mut [T], rank: impl Fn(&mut T) -> &mut Rank) {
    let mut seen: HashMap<(i64, u64, u64), u32> = HashMap::new();
    for route in routes {
        let rank = rank(route);
        let count = seen.entry((rank.major, rank.minor, rank.detail)).or_insert(0);
        rank.tie = u32::MAX - *count;
        *count += 1;
    }
}

fn listener_id(site: &Site<'_>) -> ListenerId {
    let (gateway, _) = site.gateway;
    ListenerId::new(format!(
        "gateway/{}/{}:{}",
        gateway.namespace(),
        gateway.name(),
        site.listener.port
    ))
}

/// Certificates of a listener by server name.
///
/// With several certificates, each name among them leads to its own; names that belong to a more
/// specific listener do not.
fn tls_entries(sites: &[Site<'_>], site: &Site<'_>) -> Vec<TlsEntry> {
    let Some(tls) = &site.tls else { return Vec::new() };
    let entry = |host: &str, deep: bool, certificates| TlsEntry {
        host: host.into(),
        deep,
        certificates,
        options: Arc::clone(&tls.options),
        site: listener_site(site).into(),
    };
    let whole = match &site.host {
        Host::Any => entry("", true, tls.certificates.clone()),
        host => {
            let mut certificates = tls.certificates.clone();
            // Those for this very host come first.
            certificates.sort_by_key(|certificate| {
                !certificate.names.iter().any(|name| Host::new(Some(name)) == *host)
            });
            entry(&host.to_string(), true, certificates)
        }
    };
    let mut entries = vec![whole];
    if tls.certificates.len() < 2 || matches!(site.host, Host::Exact(_)) {
        return entries;
    }
    let mut names: Vec<&str> =
        tls.certificates.iter().flat_map(|found| &found.names).map(|name| &**name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let host = Host::new(Some(name));
        let is_other = |other: &Site<'_>| {
            other.owns_host()
                && other.addr == site.addr
                && other.side() == Side::Tls
                && other.host != site.host
                && site.host.contains(&other.host)
                && other.host.contains(&host)
        };
        if host == site.host || !site.host.contains(&host) || sites.iter().any(is_other) {
            continue;
        }
        let own =
            tls.certificates.iter().filter(|found| found.names.iter().any(|own| **own == *name));
        entries.push(entry(name, false, own.map(Arc::clone).collect()));
    }
    entries
}

/// Listeners that are served together share connections.
fn listener_site(site: &Site<'_>) -> String {
    format!("gateway/{}/{}", site.listener.port, site.host)
}

/// The condition on the server name: the host, without those of more specific listeners where
/// HTTP is spoken. Routes of bytes are tried before any of HTTP.
pub(super) fn sni(sites: &[Site<'_>], site: &Site<'_>, host: &Host) -> TcpMatcher {
    let mut all = vec![TcpMatcher::Sni(host.to_match())];
    for other in sites {
        if other.is_http()
            && other.owns_host()
            && other.addr == site.addr
            && other.side() == Side::Tls
            && other.host != site.host
            && site.host.contains(&other.host)
            && (host.contains(&other.host) || other.host.contains(host))
        {
            all.push(TcpMatcher::Not(Box::new(TcpMatcher::Sni(other.host.to_match()))));
        }
    }
    match <[TcpMatcher; 1]>::try_from(all) {
        Ok([single]) => single,
        Err(all) => TcpMatcher::All(all),
    }
}

/// Any connection, plain or TLS.
pub(super) fn anything() -> TcpMatcher {
    TcpMatcher::Sni(HostMatch::Any)
}
