//! Routes of the Gateway API's shape whose parent is the service: those of the Gateway API (GAMMA)
//! and Linkerd's own. The parent may be a network outside of the mesh as well.
//!
//! A route in the namespace of the service is for all callers (a producer route), any other for the
//! callers of its own namespace (a consumer route), which come first.

mod conflict;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weft_model::calling::Audience;
use weft_model::id::{BackendId, RouteId};
use weft_model::mesh::{Protocol, ServicePort};
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step};
use weft_model::route::{
    Affinity, HostMatch, Matcher, Rank, Route, RouteSet, Routed, TcpMatcher, TcpRoute, Timeouts,
};
use weft_resources::gateway_api::l4::L4Route;
use weft_resources::gateway_api::{BackendRef, ObjectRef, ParentRef};
use weft_resources::linkerd::CallAnnotations;
use weft_resources::{Kind, Resource, Spanned};

use super::precedence::Table;
use super::table::{Draft, Places, Subject, origin, routed, tcp_route, union};
use super::{outside, policy, profile};
use crate::calling::own::rules::About;
use crate::context::Output;
use crate::dialect;
use crate::gateway_api;
use crate::gateway_api::host::Host;
use crate::gateway_api::referrer::{Referrer, Speaks};
use crate::gateway_api::rule::{self, Match, Rule, Rules};
use crate::remark::Place;
use crate::rule_name::label;

/// A route for some ports of the service.
struct Attached<'a> {
    resource: &'a Arc<Resource>,
    parents: &'a [ParentRef],
    ports: Vec<u16>,
}

/// A route beside the service that it is for.
struct Caller<'a> {
    route: &'a Resource,
    parents: &'a [ParentRef],
    speaks: Speaks,
    subject: Subject<'a>,
    /// The port to which rules lead that name no backend.
    otherwise: Option<&'a ServicePort>,
}

/// The tables of routes that are of one dialect: first those of callers, each for its namespace, then
/// that of the service's own namespace.
pub(super) fn tables<'a>(
    subject: Subject<'_>,
    documents: &[&'a Arc<Resource>],
    dialect: u8,
    places: &mut Places,
    out: &mut Output,
) -> Vec<Table<'a>> {
    let mut consumers: BTreeMap<&str, Vec<Attached<'a>>> = BTreeMap::new();
    let mut producers: Vec<Attached<'a>> = Vec::new();
    for resource in documents.iter().copied() {
        let Some((of, parents)) = parents(&resource.body) else { continue };
        let Some(ports) = (of == dialect).then(|| ports(subject, resource, parents, out)).flatten()
        else {
            continue;
        };
        let attached = Attached { resource, parents, ports };
        match resource.namespace() == subject.namespace {
            true => producers.push(attached),
            false => consumers.entry(resource.namespace()).or_default().push(attached),
        }
    }
    let mut tables = Vec::new();
    let consumers = consumers.into_iter().map(|(namespace, routes)| {
        (Audience { namespaces: [namespace.into()].into(), ..Audience::default() }, routes)
    });
    for (audience, routes) in consumers.chain([(Audience::default(), producers)]) {
        for routes in conflict::settle(subject, routes, out) {
            tables.extend(table(subject, dialect, audience.clone(), &routes, places, out));
        }
    }
    tables
}

/// The dialect and the parents of a route.
fn parents(body: &Kind) -> Option<(u8, &[ParentRef])> {
    match body {
        Kind::LinkerdHttpRoute(route) if !route.is_broken => {
            Some((dialect::LINKERD, &*route.route.parents))
        }
        _ => gateway_api::parents(body).map(|parents| (dialect::GATEWAY_API, parents)),
    }
}

/// The ports of the service that a route is for, empty for all of them; `None` when it is for none.
fn ports(
    subject: Subject<'_>,
    resource: &Resource,
    parents: &[ParentRef],
    out: &mut Output,
) -> Option<Vec<u16>> {
    let mut found: Option<Vec<u16>> = None;
    for (index, parent) in parents.iter().enumerate() {
        let object = &parent.object;
        if !subject.is(object, resource.namespace()) {
            continue;
        }
        // Every port is one of a network.
        if let (Some(number), None, Some(_)) = (parent.port, &parent.section, subject.network()) {
            found.get_or_insert_default().push(number);
            continue;
        }
        let is_port = |port: &&ServicePort| {
            parent.port.is_none_or(|number| number == port.number)
                && parent.section.as_deref().is_none_or(|name| *name == *port.name)
        };
        match (parent.port, &parent.section) {
            (None, None) => return Some(Vec::new()),
            _ => match subject.ports.iter().find(is_port) {
                Some(port) => found.get_or_insert_default().push(port.number),
                None => {
                    let wanted = match (&parent.section, parent.port) {
                        (Some(name), _) => format!("`{name}`"),
                        (None, number) => number.unwrap_or_default().to_string(),
                    };
                    let path = format!("spec.parentRefs[{index}]");
                    let message = format!("{object} has no port {wanted}");
                    Place::new(resource, object.at, &path).error(out, message);
                }
            },
        }
    }
    found
}

fn table<'a>(
    subject: Subject<'_>,
    dialect: u8,
    audience: Audience,
    routes: &[Attached<'a>],
    places: &mut Places,
    out: &mut Output,
) -> Option<Table<'a>> {
    let mut draft = Draft::default();
    for attached in routes {
        add(subject, dialect, attached, &mut draft, places, out);
    }
    if routes.is_empty() {
        return None;
    }
    break_ties(&mut draft.http, |route| &mut route.rank);
    break_ties(&mut draft.tcp, |route| &mut route.rank);
    if draft.http.is_empty() {
        draft.http = requests(&draft.tcp, subject);
    }
    let ports = |of: &[&[u16]]| union(of.iter().copied());
    let http_ports: Vec<&[u16]> = draft.http.iter().map(|routed| &*routed.ports).collect();
    let tcp_ports: Vec<&[u16]> = draft.tcp.iter().map(|routed| &*routed.ports).collect();
    let all: Vec<&[u16]> = http_ports.iter().chain(&tcp_ports).copied().collect();
    let set = RouteSet {
        audience,
        ports: ports(&all),
        // A route whose matches are all invalid takes nothing, and is there all the same.
        http: (!draft.http.is_empty() || draft.tcp.is_empty()).then(|| draft.http.into()),
        tcp: (!draft.tcp.is_empty()).then(|| draft.tcp.into()),
    };
    let documents = routes.iter().map(|attached| &**attached.resource).collect();
    Some(Table { dialect, set, documents, words: "" })
}

/// Adds the rules of a route.
fn add(
    subject: Subject<'_>,
    dialect: u8,
    attached: &Attached<'_>,
    draft: &mut Draft,
    places: &mut Places,
    out: &mut Output,
) {
    let Attached { resource, parents, ports } = attached;
    let caller =
        |speaks, otherwise| Caller { route: resource, parents, speaks, subject, otherwise };
    let (rules, calls, hosts, speaks) = match &resource.body {
        Kind::HttpRoute(route) => {
            (Rules::Http(&route.rules), &route.calls, &route.hostnames, Speaks::Http)
        }
        Kind::LinkerdHttpRoute(route) => {
            let route = &route.route;
            (Rules::Http(&route.rules), &route.calls, &route.hostnames, Speaks::Http)
        }
        Kind::GrpcRoute(route) => {
            (Rules::Grpc(&route.rules), &route.calls, &route.hostnames, Speaks::Grpc)
        }
        Kind::TlsRoute(route) | Kind::TcpRoute(route) => {
            let caller = caller(Speaks::Passthrough, None);
            connections(&caller, dialect, route, ports, draft, places, out);
            return;
        }
        _ => return,
    };
    let hosts = hosts_of(subject, resource, hosts, out);
    for (ports, otherwise) in parts(subject, dialect, ports, rules) {
        for mut rule in rule::compile(&caller(speaks, otherwise), rules, out) {
            annotate(subject, resource, calls, &mut rule.timeouts, out);
            let about = About::rule(resource, rule.name.as_deref());
            let added = policy::of_rule(subject.view, &[about], out);
            if let Some(port) = otherwise {
                rule.id.push_str(&format!(":{}", port.number));
            }
            for (index, host) in matches_and_hosts(&rule, &hosts) {
                let mut route = http_route(resource, dialect, (&rule, hosts.len()), index, host);
                added.apply(&mut route);
                places.insert(route.id.clone(), (resource.key.clone(), rule.at));
                draft.http.push(routed(&ports, route));
            }
        }
    }
}

fn matches_and_hosts<'h>(rule: &Rule, hosts: &'h [Host]) -> Vec<(usize, &'h Host)> {
    let indexes = 0..rule.matches.len();
    indexes.flat_map(|index| hosts.iter().map(move |host| (index, host))).collect()
}

/// The hosts that a route is for. Inside of a mesh these are all of the service's own (GEP-1294); a
/// network has many.
fn hosts_of(
    subject: Subject<'_>,
    resource: &Resource,
    hosts: &[Spanned<Box<str>>],
    out: &mut Output,
) -> Vec<Host> {
    let Some(first) = hosts.first() else { return vec![Host::Any] };
    if subject.network().is_some() {
        return hosts.iter().map(|host| Host::new(Some(host))).collect();
    }
    let message = "`hostnames` have no effect where the parent is a Service: the route is for all \
                   hosts of it";
    Place::new(resource, first.at, "spec.hostnames").note(out, message);
    vec![Host::Any]
}

/// The ports for which the rules of a route are made together. In Linkerd's own, a rule that names no
/// backend leads to the port that was dialled: then it is made for each.
fn parts<'s>(
    subject: Subject<'s>,
    dialect: u8,
    ports: &[u16],
    rules: Rules<'_>,
) -> Vec<(Vec<u16>, Option<&'s ServicePort>)> {
    let is_open = match rules {
        Rules::Http(rules) => rules.iter().any(|rule| rule.backends.is_empty()),
        Rules::Grpc(rules) => rules.iter().any(|rule| rule.backends.is_empty()),
    };
    if dialect != dialect::LINKERD || !is_open || subject.network().is_some() {
        return vec![(ports.to_vec(), None)];
    }
    let wanted = subject.ports.iter().filter(|port| {
        subject.speaks_http(port) && (ports.is_empty() || ports.contains(&port.number))
    });
    wanted.map(|port| (vec![port.number], Some(port))).collect()
}

/// Puts in what Linkerd's annotations say. Those of a route replace those of the service, retries and
/// timeouts each by themselves, and come before what the rule says.
fn annotate(
    subject: Subject<'_>,
    resource: &Resource,
    own: &CallAnnotations,
    timeouts: &mut Timeouts,
    out: &mut Output,
) {
    let service = profile::service_calls(subject);
    if let Some((service, calls)) = service {
        timeouts.inherited = profile::inherited(subject, (service, calls), own);
    }
    let retry = own.retry.as_ref().map(|retry| (resource, retry));
    let retry = retry.or_else(|| {
        let (service, calls) = service?;
        Some((service, calls.retry.as_ref()?))
    });
    let bounds = match own.timeouts.is_empty() {
        true => service.map(|(_, calls)| calls.timeouts).unwrap_or_default(),
        false => own.timeouts,
    };
    profile::apply(retry, bounds, timeouts, out);
}

/// One match of a rule, for one of the so many hosts.
fn http_route(
    resource: &Resource,
    dialect: u8,
    (rule, hosts): (&Rule, usize),
    index: usize,
    host: &Host,
) -> Route {
    let Match { condition, steps, target } = &rule.matches[index];
    let mut matchers = condition.matchers.clone();
    if *host != Host::Any {
        matchers.push(Matcher::Host(host.to_match()));
    }
    let matcher = match &*matchers {
        [single] => single.clone(),
        _ => Matcher::All(matchers),
    };
    let mut id = rule.id.clone();
    if rule.matches.len() > 1 {
        id.push_str(&format!("/{index}"));
    }
    if hosts > 1 {
        id.push_str(&format!("@{host}"));
    }
    let rank = Rank {
        dialect,
        major: host.specificity().into(),
        minor: condition.minor,
        detail: condition.detail,
        tie: 0,
    };
    Route {
        id: RouteId::new(id),
        origin: origin(resource, condition.words.clone()),
        rank,
        matcher,
        steps: Arc::clone(steps),
        target: target.clone(),
        timeouts: rule.timeouts.clone(),
    }
}

/// Adds the rule of a TLSRoute or TCPRoute.
fn connections(
    caller: &Caller<'_>,
    dialect: u8,
    route: &L4Route,
    ports: &[u16],
    draft: &mut Draft,
    places: &mut Places,
    out: &mut Output,
) {
    let resource = caller.route;
    let Some(rule) = route.rules.first() else {
        let message = "the route has no rule, so it takes nothing";
        Place::whole(resource).error_with(out, message, "write a rule with `backendRefs`");
        return;
    };
    let target = rule::connections(caller, rule, out);
    let kind = resource.key.kind.to_ascii_lowercase();
    let label = label(&[rule.name.as_deref()], 0);
    let id = RouteId::new(format!("{kind}/{}/{}/{label}", resource.namespace(), resource.name()));
    places.insert(id.clone(), (resource.key.clone(), rule.at));
    let is_tls = matches!(resource.body, Kind::TlsRoute(_));
    let names: Vec<Host> = route.hostnames.iter().map(|name| Host::new(Some(name))).collect();
    let matcher = match (is_tls, &*names) {
        (false, _) => TcpMatcher::All(Vec::new()),
        (true, []) => TcpMatcher::Sni(HostMatch::Any),
        (true, names) => {
            TcpMatcher::Any(names.iter().map(|name| TcpMatcher::Sni(name.to_match())).collect())
        }
    };
    // Names come before none, and TLS before all else.
    let rank = Rank {
        dialect,
        major: i64::from(names.iter().map(Host::specificity).max().unwrap_or(0)),
        minor: u64::from(is_tls),
        ..Rank::default()
    };
    let words = match is_tls {
        true => "every connection with TLS".to_owned(),
        false => "every connection".to_owned(),
    };
    let route = tcp_route((id, origin(resource, words)), rank, (matcher, is_tls), target);
    draft.tcp.push(routed(ports, route));
}

/// Where only connections have rules, requests are led the same way: who writes a TCPRoute may not
/// know that HTTP is spoken.
fn requests(tcp: &[Routed<TcpRoute>], subject: Subject<'_>) -> Vec<Routed<Route>> {
    let speaks_http = |ports: &[u16]| {
        subject.network().is_some()
            || subject.http_ports().any(|port| ports.is_empty() || ports.contains(&port.number))
    };
    let is_meant = |routed: &&Routed<TcpRoute>| {
        routed.route.matcher == TcpMatcher::All(Vec::new()) && speaks_http(&routed.ports)
    };
    tcp.iter()
        .filter(is_meant)
        .map(|Routed { audience, ports, route }| {
            let TcpRoute { id, origin, rank, target, .. } = &**route;
            let route = Route {
                id: id.clone(),
                origin: origin.clone(),
                rank: *rank,
                matcher: Matcher::All(Vec::new()),
                steps: Arc::default(),
                target: target.clone(),
                timeouts: Timeouts::default(),
            };
            Routed { audience: audience.clone(), ports: ports.clone(), route: Arc::new(route) }
        })
        .collect()
}

/// Makes ranks differ: among equals the earlier wins.
fn break_ties<T>(routes: &mut [Routed<T>], rank: impl Fn(&mut T) -> &mut Rank) {
    let mut seen: HashMap<(i64, u64, u64), u32> = HashMap::new();
    for routed in routes {
        // They were made just now, and nobody else has them.
        let Some(route) = Arc::get_mut(&mut routed.route) else { continue };
        let rank = rank(route);
        let count = seen.entry((rank.major, rank.minor, rank.detail)).or_insert(0);
        rank.tie = u32::MAX - *count;
        *count += 1;
    }
}

// === impl Caller ===

impl Referrer for Caller<'_> {
    fn route(&self) -> &Resource {
        self.route
    }

    fn speaks(&self) -> Speaks {
        self.speaks
    }

    fn backend(
        &self,
        reference: &BackendRef,
        sticky: Option<Affinity>,
        place: Place<'_>,
        out: &mut Output,
    ) -> Result<BackendId, Refusal> {
        let object = &reference.object;
        if self.subject.network().is_some() && self.subject.is(object, self.route.namespace()) {
            return Ok(outside::dialled(self.subject, out));
        }
        let view = self.subject.view;
        let Some(name) = view.scene().referred(object, self.route.namespace()) else {
            let group = if object.group.is_empty() { "core" } else { &*object.group };
            let message = format!("requests cannot be sent to a {} ({group})", object.kind);
            return Err(self.invalid(message));
        };
        let namespace = object.namespace_or(self.route.namespace());
        // The service that it is attached to has nothing to fear from being called.
        if !self.is_parent(object) && !view.permits(self.route, object) {
            return Err(self.invalid(format!(
                "no ReferenceGrant in the namespace `{namespace}` allows {} to refer to {object}",
                self.route.key
            )));
        }
        let number = reference.port;
        let shown = format!("{} {namespace}/{}", object.kind, object.name);
        let number = number
            .ok_or_else(|| self.invalid(format!("`port` is required for a {}", object.kind)))?;
        let ports =
            view.ports(&name).ok_or_else(|| self.invalid(format!("there is no {shown}")))?;
        let port = ports.iter().find(|port| port.number == number);
        let port = port.ok_or_else(|| self.invalid(format!("the {shown} has no port {number}")))?;
        if self.speaks == Speaks::Grpc && matches!(port.protocol, Protocol::Tcp | Protocol::Tls) {
            place.warn(out, format!("port {number} of {object} does not speak HTTP"));
        }
        Ok(self.subject.backend(&name, port, None, sticky, out))
    }

    fn otherwise(&self, out: &mut Output) -> Option<BackendId> {
        if self.subject.network().is_some() {
            return Some(outside::dialled(self.subject, out));
        }
        let port = self.otherwise?;
        Some(self.subject.backend(self.subject.name, port, None, None, out))
    }

    /// None: middlewares are for gateways.
    fn extension(
        &self,
        reference: &ObjectRef,
        _path: &str,
        _id: &str,
        _out: &mut Output,
    ) -> Result<Vec<Arc<Step>>, Refusal> {
        let detail = format!("a {} is not applied to calls of a mesh", reference.kind);
        Err(Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() })
    }
}

impl Caller<'_> {
    /// Whether the route is attached to that Service.
    fn is_parent(&self, object: &ObjectRef) -> bool {
        let home = self.route.namespace();
        self.parents.iter().any(|parent| {
            let scene = self.subject.view.scene();
            let parent = scene.referred(&parent.object, home);
            parent.is_some() && parent == scene.referred(object, home)
        })
    }
}
