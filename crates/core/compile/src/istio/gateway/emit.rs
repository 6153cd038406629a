//! From bound rules to routes of listeners.

mod connections;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::id::{ListenerId, PolicyId, RouteId};
use weft_model::listener::TlsEntry;
use weft_model::outcome::Reason;
use weft_model::policy::{Redirect, Refusal, Step, StepKind};
use weft_model::route::{Matcher, Origin, Rank, Route, Target, Timeouts};
use weft_resources::{Key, Pos, Resource};

use super::around::AtServer;
use super::bind::Bound;
use super::site::{Serves, Site};
use crate::context::{Context, Output};
use crate::dialect;
use crate::gateway_api::host::Host;
use crate::istio::virtual_service::{Rule, requests};
use crate::listeners::Draft;
use crate::remark::Place;
use crate::shadow::is_always;

/// How many bits of a rank tell the rules of one document apart.
const INDEX_BITS: u32 = 24;

/// What stands above every rule of a VirtualService.
const ABOVE: u64 = u64::MAX;

/// Adds routes and certificates to the listeners.
pub(super) fn emit(
    context: &Context<'_>,
    sites: &[Site<'_>],
    bound: &[Bound<'_>],
    out: &mut Output,
) {
    let around: Vec<AtServer<'_, '_>> =
        sites.iter().map(|site| AtServer { context, site }).collect();
    let mut emitter = Emitter { context, sites, around: &around, rules: HashMap::new() };
    for site in sites {
        emitter.open(site, out);
    }
    let mut used: HashMap<&Key, Used> = HashMap::new();
    let mut doors: BTreeMap<Door, BTreeMap<&Host, Vec<&Bound<'_>>>> = BTreeMap::new();
    for one in bound {
        let used = used.entry(&one.document.0.key).or_default();
        let site = &sites[one.site];
        if !site.is_http() {
            emitter.connections(one, bound, used, out);
            continue;
        }
        if one.document.1.http.is_empty() {
            continue;
        }
        used.http = true;
        let key = (one.site, std::ptr::from_ref(one.document.0));
        let around = &around[one.site];
        emitter.rules.entry(key).or_insert_with(|| requests(around, one.document, out));
        let door = doors.entry((site.addr, site.is_tls())).or_default();
        for host in &one.hosts {
            let here = door.entry(host).or_default();
            // Gateways that are served together may lead the same way twice.
            if !here.iter().any(|other| std::ptr::eq(other.document.0, one.document.0)) {
                here.push(one);
            }
        }
    }
    for (door, hosts) in &doors {
        for (host, here) in hosts {
            emitter.host(*door, host, here, out);
            if hosts.keys().any(|other| other != host && other.contains(host)) {
                emitter.close(*door, host, here, out);
            }
        }
    }
    tell_of_unused(bound, &used, out);
}

/// An address and whether on the TLS side.
type Door = (SocketAddr, bool);

/// Which kinds of rules of a document are served somewhere.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    http: bool,
    tls: bool,
    tcp: bool,
}

/// Makes routes.
struct Emitter<'e, 'a> {
    context: &'e Context<'a>,
    sites: &'e [Site<'a>],
    /// Each site with the world around it.
    around: &'e [AtServer<'e, 'a>],
    /// The rules of a document at a site.
    rules: HashMap<(usize, *const Resource), Vec<Rule<'e>>>,
}

// === impl Emitter ===

impl<'e, 'a> Emitter<'e, 'a> {
    /// Opens a server: what it speaks, its certificates, and what holds for all of its hosts.
    fn open(&self, site: &Site<'_>, out: &mut Output) {
        if matches!(site.serves, Serves::Nothing) {
            return;
        }
        let draft = draft(site, out);
        draft.plain.http_enabled |= matches!(site.serves, Serves::Http { .. });
        draft.tls.http_enabled |= matches!(site.serves, Serves::Https(_));
        if let Some(terminate) = site.terminate() {
            for (_, host) in &site.hosts {
                let entry = TlsEntry {
                    host: if *host == Host::Any { "".into() } else { host.to_string().into() },
                    deep: true,
                    certificates: terminate.certificates.clone(),
                    options: Arc::clone(&terminate.options),
                    site: format!("istio/{}/{host}", site.addr.port()).into(),
                };
                match &*entry.host {
                    "" => draft.default = draft.default.take().or(Some(entry)),
                    _ => draft.entries.push(entry),
                }
            }
        }
        let hosts: Vec<&Host> = site.hosts.iter().map(|(_, host)| host).collect();
        for host in hosts {
            self.cover(site, host, out);
        }
    }

    /// Adds what a server does with every request for a host, whatever rules say.
    fn cover(&self, site: &Site<'_>, host: &Host, out: &mut Output) {
        let (steps, target): (Arc<[Arc<Step>]>, Target) = match &site.serves {
            Serves::Http { redirects: true } => {
                let id = PolicyId::new(format!("{}/https", name(site, host)));
                let scheme = Some("https".into());
                let redirect = Redirect { scheme, host: None, port: None, path: None, status: 301 };
                let step = Step { id, kind: StepKind::Redirect(redirect) };
                let detail = "it is sent to https".into();
                let refusal = Refusal { reason: Reason::NoEndpoint, detail };
                ([Arc::new(step)].into(), Target::Refuse(refusal))
            }
            Serves::Broken(reason) if site.is_http() => (Arc::default(), refuse(site, reason)),
            Serves::Https(terminate) => match &terminate.refusal {
                Some(reason) => (Arc::default(), refuse(site, reason)),
                None => return,
            },
            _ => return,
        };
        let id = RouteId::new(name(site, host));
        out.lines.insert(id.clone(), self.context.line(site.gateway, site.server.at));
        let route = Route {
            id,
            origin: origin(site.gateway, format!("host {host}")),
            rank: Rank { minor: ABOVE, ..rank(host) },
            matcher: of_host(host, None),
            steps,
            target,
            timeouts: Timeouts::default(),
        };
        let is_tls = site.is_tls();
        let draft = draft(site, out);
        let side = if is_tls { &mut draft.tls } else { &mut draft.plain };
        if !side.http.iter().any(|known| known.id == route.id) {
            side.http.push(Arc::new(route));
        }
    }

    /// Adds the rules for a host.
    fn host(&self, door: Door, host: &Host, here: &[&Bound<'e>], out: &mut Output) {
        for (order, one) in here.iter().enumerate() {
            let site = &self.sites[one.site];
            self.cover(site, host, out);
            let key = (one.site, std::ptr::from_ref(one.document.0));
            let rules = self.rules.get(&key).map_or(&[][..], Vec::as_slice);
            let mut last: Option<&Rule<'_>> = None;
            let mut routes = Vec::new();
            for (index, rule) in rules.iter().enumerate() {
                if rule.port.is_some_and(|port| port != site.port()) {
                    continue;
                }
                let place = Place::new(rule.document, rule.at, "spec.http");
                if rule.audience != weft_model::calling::Audience::default() {
                    let message = "a gateway has no labels and no namespace of its own: rules for \
                                   `sourceLabels` and `sourceNamespace` take nothing here";
                    place.warn(out, message);
                    continue;
                }
                if let Some(last) = last {
                    let line = self.context.line(last.document, last.at);
                    let message = format!(
                        "never reached: a rule before it takes every request ({}:{line})",
                        last.document.file
                    );
                    place.warn_with(out, message, "put it before that rule");
                    continue;
                }
                routes.push(self.route(host, rule, (order, index), out));
                last = Some(rule).filter(|rule| is_always(&rule.matcher));
            }
            let draft = draft_at(door.0, site, out);
            let side = if door.1 { &mut draft.tls } else { &mut draft.plain };
            side.http.extend(routes);
        }
        tell_of_merge(host, here, out);
    }

    fn route(
        &self,
        host: &Host,
        rule: &Rule<'_>,
        (order, index): (usize, usize),
        out: &mut Output,
    ) -> Arc<Route> {
        let id = match host {
            Host::Any => RouteId::new(&*rule.id),
            host => RouteId::new(format!("{}@{host}", rule.id)),
        };
        out.lines.insert(id.clone(), self.context.line(rule.document, rule.at));
        let words = match host {
            Host::Any => rule.words.clone(),
            host => format!("host {host}, {}", rule.words),
        };
        let mut route = Route {
            id,
            origin: origin(rule.document, words),
            rank: Rank { minor: minor(&rule.matcher, order, index), ..rank(host) },
            matcher: of_host(host, Some(&rule.matcher)),
            steps: Arc::clone(&rule.steps),
            target: rule.target.clone(),
            timeouts: rule.timeouts.clone(),
        };
        self.context.added(&rule.about, out).apply(&mut route);
        Arc::new(route)
    }

    /// Keeps the requests for a host from rules for wider hosts.
    fn close(&self, door: Door, host: &Host, here: &[&Bound<'_>], out: &mut Output) {
        let Some(first) = here.first() else { return };
        let site = &self.sites[first.site];
        let id = RouteId::new(format!("{}/rest", name(site, host)));
        out.lines.insert(id.clone(), self.context.line(site.gateway, site.server.at));
        let detail = format!("no rule for {host} takes the request").into();
        let route = Route {
            id,
            origin: origin(site.gateway, format!("host {host}")),
            rank: rank(host),
            matcher: of_host(host, None),
            steps: Arc::default(),
            target: Target::Refuse(Refusal { reason: Reason::NoRoute, detail }),
            timeouts: Timeouts::default(),
        };
        let draft = draft_at(door.0, site, out);
        let side = if door.1 { &mut draft.tls } else { &mut draft.plain };
        side.http.push(Arc::new(route));
    }
}

// === functions ===

fn draft<'o>(site: &Site<'_>, out: &'o mut Output) -> &'o mut Draft {
    draft_at(site.addr, site, out)
}

fn draft_at<'o>(addr: SocketAddr, site: &Site<'_>, out: &'o mut Output) -> &'o mut Draft {
    let (namespace, name) = (site.gateway.namespace(), site.gateway.name());
    let port = site.port();
    out.drafts.at(addr, || ListenerId::new(format!("gateway/{namespace}/{name}:{port}")))
}

/// A name for what a server does with a host.
fn name(site: &Site<'_>, host: &Host) -> String {
    let (namespace, name) = (site.gateway.namespace(), site.gateway.name());
    format!("gateway/{namespace}/{name}/{}@{host}", site.position)
}

fn refuse(site: &Site<'_>, reason: &str) -> Target {
    let detail = format!("{} is not served: {reason}", site.words()).into();
    Target::Refuse(Refusal { reason: Reason::PolicyUnenforceable, detail })
}

fn origin(resource: &Resource, rule: String) -> Origin {
    Origin {
        kind: resource.key.kind.as_ref().into(),
        name: format!("{}/{}", resource.namespace(), resource.name()).into(),
        file: (&*resource.file).into(),
        rule: rule.into(),
    }
}

fn of_host(host: &Host, matcher: Option<&Matcher>) -> Matcher {
    let mut all = Vec::new();
    if *host != Host::Any {
        all.push(Matcher::Host(host.to_match()));
    }
    match matcher {
        Some(Matcher::All(inner)) => all.extend(inner.iter().cloned()),
        Some(matcher) => all.push(matcher.clone()),
        None => {}
    }
    match <[Matcher; 1]>::try_from(all) {
        Ok([single]) => single,
        Err(all) => Matcher::All(all),
    }
}

/// Below every rule for a host.
fn rank(host: &Host) -> Rank {
    let major = i64::from(host.specificity());
    Rank { dialect: dialect::ISTIO, major, ..Rank::default() }
}

/// The order of the rules for one host. It follows from documents for that host alone, so that
/// others change nothing.
fn minor(matcher: &Matcher, order: usize, index: usize) -> u64 {
    let behind = (order as u64) << INDEX_BITS | index as u64;
    let group = if is_always(matcher) { 1 } else { 2 };
    (group << (u64::BITS - 3)) + ((1 << (u64::BITS - 4)) - behind)
}

/// Says to those whose rules for one host stand behind each other that they do.
fn tell_of_merge(host: &Host, here: &[&Bound<'_>], out: &mut Output) {
    for pair in here.windows(2) {
        let [older, younger] = pair else { continue };
        let ((older, _), (younger, _)) = (older.document, younger.document);
        let message = format!("for {host} its rules stand behind those of {}", older.key);
        Place::whole(younger).note(out, message);
        let message = format!("for {host} the rules of {} stand behind its own", younger.key);
        Place::whole(older).note(out, message);
    }
}

/// Rules of a kind that no server of the document's Gateways has a use for.
fn tell_of_unused(bound: &[Bound<'_>], used: &HashMap<&Key, Used>, out: &mut Output) {
    for one in bound {
        let (resource, service) = one.document;
        let Some(used) = used.get(&resource.key) else { continue };
        let kinds = [
            (service.http.is_empty() || used.http, "http", "HTTP, or HTTPS where TLS ends"),
            (service.tls.is_empty() || used.tls, "tls", "TLS or HTTPS with mode: PASSTHROUGH"),
            (service.tcp.is_empty() || used.tcp, "tcp", "TCP, or TLS where TLS ends"),
        ];
        for (_, kind, wanted) in kinds.iter().filter(|(is_fine, ..)| !is_fine) {
            let path = format!("spec.{kind}");
            let message =
                format!("its `{kind}` rules take nothing: they need a server of {wanted}");
            Place::new(resource, Pos::default(), &path).warn(out, message);
        }
    }
}
