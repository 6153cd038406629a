//! VirtualServices for sidecars, and what DestinationRules say of routes.
//!
//! Of several for one host the rules are put behind each other, those of the oldest first. One that
//! names the host comes before one that names it by a pattern, which then has no part in it.

use std::collections::HashSet;
use std::sync::Arc;

use weft_model::calling::Audience;
use weft_model::id::{BackendId, RouteId, ServiceName};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{Rank, Route, RouteSet, Routed};
use weft_resources::istio::NETWORKING;
use weft_resources::istio::destination::Destination;
use weft_resources::istio::destination_rule::DestinationRule;
use weft_resources::istio::virtual_service::{
    Delegate, GatewayRef, HttpAction, HttpRoute, RedirectPort, VirtualService,
};
use weft_resources::{Key, Kind, Pos, Resource, Spanned};

use super::policy;
use super::precedence::{Table, is_within};
use super::profile::rest;
use super::table::{Draft, Places, Subject, origin, tcp_route};
use crate::context::Output;
use crate::dialect;
use crate::istio::export;
use crate::istio::virtual_service::{
    Defaults, Document, Rule, Surroundings, TcpRule, connections, requests, retry,
};
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// What sidecars are for a VirtualService.
struct Sidecars<'s> {
    subject: Subject<'s>,
    /// The port that rules are made for, where they are not the same for all.
    port: Option<u16>,
    defaults: Defaults<'s>,
}

/// The tables of VirtualServices for the service.
pub(super) fn tables<'a>(
    subject: Subject<'a>,
    documents: &[&'a Arc<Resource>],
    places: &mut Places,
    out: &mut Output,
) -> Vec<Table<'a>> {
    let services = holding(subject, documents, out);
    let rule = extension(subject, documents);
    let defaults = defaults(subject, rule);
    let mut draft = Draft::default();
    for (order, (document, service)) in services.iter().enumerate() {
        let ports: Vec<Option<u16>> = match needs_port(subject, document, service) {
            true => subject.ports.iter().map(|port| Some(port.number)).collect(),
            false => vec![None],
        };
        let callers = audience(subject, document, service);
        for port in ports {
            let around = Sidecars { subject, port, defaults };
            let mut adder = Adder { subject, order, callers: &callers, places, draft: &mut draft };
            for (index, rule) in requests(&around, (document, service), out).iter().enumerate() {
                adder.http(index, rule, port, out);
            }
            for (index, rule) in
                connections(&around, (document, service), out).into_iter().enumerate()
            {
                adder.tcp(index, rule, port);
            }
        }
    }
    let documents: Vec<&Resource> = services.iter().map(|(document, _)| *document).collect();
    let mut tables = Vec::new();
    let http = split(draft.http, |ports, audience, http| RouteSet {
        ports,
        audience,
        http: Some(http),
        tcp: None,
    });
    let tcp = split(draft.tcp, |ports, audience, tcp| RouteSet {
        ports,
        audience,
        http: None,
        tcp: Some(tcp),
    });
    for set in http.into_iter().chain(tcp) {
        let documents = documents.clone();
        tables.push(Table { dialect: dialect::ISTIO, set, documents, words: "" });
    }
    tables.extend(extended(subject, rule, places, out));
    tables
}

/// The VirtualServices whose rules hold for the service, oldest first.
fn holding<'a>(
    subject: Subject<'_>,
    documents: &[&'a Arc<Resource>],
    out: &mut Output,
) -> Vec<Document<'a>> {
    let mut exact: Vec<Document<'a>> = Vec::new();
    let mut patterns: Vec<(usize, Document<'a>)> = Vec::new();
    for resource in documents {
        let Kind::VirtualService(service) = &resource.body else { continue };
        let document: Document<'a> = (resource, service);
        let scene = subject.view.scene();
        let is_name = |host: &&Spanned<Box<str>>| {
            !host.starts_with('*') && scene.host(host, resource.namespace()) == *subject.name
        };
        if service.hosts.iter().any(|host| is_name(&host)) {
            exact.push(document);
            continue;
        }
        let fitting = service.hosts.iter().filter_map(|host| {
            let suffix = host.strip_prefix('*')?;
            subject.name.as_str().ends_with(suffix).then_some(suffix.len())
        });
        if let Some(length) = fitting.max() {
            patterns.push((length, document));
        }
    }
    let longest = patterns.iter().map(|(length, _)| *length).max();
    let (near, far): (Vec<_>, Vec<_>) =
        patterns.into_iter().partition(|(length, _)| exact.is_empty() && Some(*length) == longest);
    let kept = if exact.is_empty() {
        near.into_iter().map(|(_, document)| document).collect()
    } else {
        exact
    };
    for (_, (loser, _)) in far {
        if let Some((winner, _)) = kept.first() {
            let winner = subject.view.place(winner, Pos::default());
            let message =
                format!("for `{}` the rules of {winner} hold, which is nearer", subject.name);
            Place::whole(loser).note(out, message);
        }
    }
    tell_of_merge(subject, &kept, out);
    kept
}

/// Says to those whose rules are put behind each other that they are.
fn tell_of_merge(subject: Subject<'_>, kept: &[Document<'_>], out: &mut Output) {
    for pair in kept.windows(2) {
        let [(older, _), (younger, _)] = pair else { continue };
        let (first, second) = (
            subject.view.place(older, Pos::default()),
            subject.view.place(younger, Pos::default()),
        );
        let name = subject.name;
        let message =
            format!("for `{name}` its rules come behind those of {first}, which is older");
        Place::whole(younger).note(out, message);
        let message = format!("for `{name}` the rules of {second} come behind its own");
        Place::whole(older).note(out, message);
    }
}

/// Who sees a document.
fn audience(subject: Subject<'_>, document: &Resource, service: &VirtualService) -> Audience {
    let by_default = subject.view.default_export();
    let export = service.export_to.as_ref().map(|export| &export.value).or(by_default);
    let namespaces = export::namespaces(export, document.namespace()).into();
    Audience { namespaces, ..Audience::default() }
}

/// Whether rules differ from port to port: destinations that name none have that of the call where
/// there are several.
fn needs_port(subject: Subject<'_>, document: &Resource, service: &VirtualService) -> bool {
    if subject.ports.len() < 2 {
        return false;
    }
    // Rules that delegate are not looked into.
    let http = service.http.iter().any(|rule| {
        let has_several = |found: &Destination| is_open(subject, document, found);
        rule.mirrors.iter().any(|mirror| has_several(&mirror.destination))
            || match &rule.action {
                HttpAction::Route(all) => all.iter().any(|one| has_several(&one.destination)),
                HttpAction::Redirect(redirect) => {
                    redirect.port.is_some_and(|port| port.value == RedirectPort::OfRequest)
                }
                HttpAction::Delegate(_) => true,
                HttpAction::Respond(_) => false,
            }
    });
    let tls = service.tls.iter().flat_map(|rule| &rule.destinations);
    let tcp = service.tcp.iter().flat_map(|rule| &rule.destinations);
    http || tls.chain(tcp).any(|one| is_open(subject, document, &one.destination))
}

/// Whether a destination leaves the port open where there are several.
fn is_open(subject: Subject<'_>, document: &Resource, found: &Destination) -> bool {
    let name = subject.view.scene().host(&found.host, document.namespace());
    found.port.is_none() && subject.view.ports(&name).is_some_and(|ports| ports.len() > 1)
}

/// What rules are added with.
struct Adder<'d> {
    subject: Subject<'d>,
    /// The place of the document among those of the service.
    order: usize,
    /// Who sees the document.
    callers: &'d Audience,
    places: &'d mut Places,
    draft: &'d mut Draft,
}

// === impl Adder ===

impl Adder<'_> {
    fn http(&mut self, index: usize, rule: &Rule<'_>, port: Option<u16>, out: &mut Output) {
        let Some((audience, ports)) = self.scope(&rule.audience, rule.port, port) else { return };
        let id = self.id(&rule.id, port, rule.document, rule.at);
        let mut route = Route {
            id,
            origin: origin(rule.document, rule.words.clone()),
            rank: self.rank(index),
            matcher: rule.matcher.clone(),
            steps: Arc::clone(&rule.steps),
            target: rule.target.clone(),
            timeouts: rule.timeouts.clone(),
        };
        let added = policy::of_rule(self.subject.view, &rule.about, out);
        added.apply(&mut route);
        self.draft.http.push(Routed { audience, ports, route: Arc::new(route) });
    }

    fn tcp(&mut self, index: usize, rule: TcpRule<'_>, port: Option<u16>) {
        let Some((audience, ports)) = self.scope(&rule.audience, rule.port, port) else { return };
        let id = self.id(&rule.id, port, rule.document, rule.at);
        let origin = origin(rule.document, rule.words);
        let takes = (rule.matcher, rule.is_tls);
        let route = Arc::new(tcp_route((id, origin), self.rank(index), takes, rule.target));
        self.draft.tcp.push(Routed { audience, ports, route });
    }

    /// The first rule of the first document comes first.
    fn rank(&self, index: usize) -> Rank {
        Rank {
            dialect: dialect::ISTIO,
            major: -i64::try_from(self.order).unwrap_or(i64::MAX),
            minor: u64::MAX - index as u64,
            ..Rank::default()
        }
    }

    fn id(&mut self, id: &str, port: Option<u16>, document: &Resource, at: Pos) -> RouteId {
        let id = match port {
            Some(port) => RouteId::new(format!("{id}:{port}")),
            None => RouteId::new(id),
        };
        self.places.insert(id.clone(), (document.key.clone(), at));
        id
    }

    /// Who a rule is for, and on which ports; `None` when that is nobody and nowhere.
    fn scope(
        &self,
        rule: &Audience,
        own: Option<u16>,
        port: Option<u16>,
    ) -> Option<(Audience, Box<[u16]>)> {
        let ports: Box<[u16]> = match (own, port) {
            (Some(own), Some(port)) if own != port => return None,
            (own, port) => own.or(port).into_iter().collect(),
        };
        let seen = &self.callers.namespaces;
        let namespaces: Box<[Box<str>]> = match (&*rule.namespaces, &**seen) {
            ([], _) => seen.clone(),
            (own, []) => own.into(),
            (own, seen) => own.iter().filter(|name| seen.contains(name)).cloned().collect(),
        };
        if namespaces.is_empty() && !(rule.namespaces.is_empty() && seen.is_empty()) {
            return None;
        }
        let labels = rule.labels.clone();
        Some((Audience { namespaces, labels }, ports))
    }
}

/// Rules as sets, so that a caller and port that none of them is for has none: for these the service
/// is called as if there were no document.
fn split<T>(
    rules: Vec<Routed<T>>,
    set: impl Fn(Box<[u16]>, Audience, Box<[Routed<T>]>) -> RouteSet,
) -> Vec<RouteSet> {
    let mut scopes: Vec<(Audience, Box<[u16]>)> = Vec::new();
    for rule in &rules {
        let covers = |(audience, ports): &(Audience, Box<[u16]>)| {
            let has_ports = ports.is_empty()
                || !rule.ports.is_empty() && rule.ports.iter().all(|port| ports.contains(port));
            has_ports && is_within(&rule.audience, audience)
        };
        if scopes.iter().any(covers) {
            continue;
        }
        // Those that this one covers have no need to be there.
        scopes.retain(|(audience, ports)| {
            let has_ports = rule.ports.is_empty()
                || !ports.is_empty() && ports.iter().all(|port| rule.ports.contains(port));
            !(has_ports && is_within(audience, &rule.audience))
        });
        // The same callers on other ports are one set.
        match scopes.iter_mut().find(|(audience, _)| *audience == rule.audience) {
            Some((_, ports)) => {
                let mut all = ports.to_vec();
                all.extend(&*rule.ports);
                all.sort_unstable();
                all.dedup();
                *ports = all.into();
            }
            None => scopes.push((rule.audience.clone(), rule.ports.clone())),
        }
    }
    // The narrowest first: who has labels and namespace before who has one of them.
    scopes.sort_by_key(|(audience, ports)| {
        let namespaces = usize::from(!audience.namespaces.is_empty());
        std::cmp::Reverse((audience.labels.len() + namespaces, usize::from(!ports.is_empty())))
    });
    let clone = |rule: &Routed<T>| Routed {
        audience: rule.audience.clone(),
        ports: rule.ports.clone(),
        route: Arc::clone(&rule.route),
    };
    let all = |(audience, ports)| set(ports, audience, rules.iter().map(clone).collect());
    scopes.into_iter().map(all).collect()
}

// === impl Sidecars ===

impl Surroundings for Sidecars<'_> {
    fn backend(
        &self,
        document: &Resource,
        destination: &Destination,
        place: Place<'_>,
        out: &mut Output,
    ) -> Result<BackendId, Refusal> {
        let refuse = |detail: String| Refusal { reason: Reason::NoEndpoint, detail: detail.into() };
        let name = self.subject.view.scene().host(&destination.host, document.namespace());
        let ports = self.subject.view.ports(&name);
        let ports = ports.ok_or_else(|| refuse(format!("the mesh has no service `{name}`")))?;
        let number = match (destination.port, ports, self.port) {
            (Some(port), _, _) => port.value,
            (None, [only], _) => only.number,
            (None, _, Some(port)) => port,
            (None, _, None) => match self.subject.ports {
                [only] => only.number,
                _ => {
                    let message = format!("`{name}` has several ports; name one of them");
                    return Err(refuse(message));
                }
            },
        };
        let port = ports.iter().find(|port| port.number == number);
        let port = port.ok_or_else(|| refuse(format!("`{name}` has no port {number}")))?;
        let subset = destination.subset.as_ref().map(|subset| &*subset.value);
        if let Some(subset) = subset {
            self.check_subset(&name, subset, place, out);
        }
        Ok(self.subject.backend(&name, port, subset, None, out))
    }

    fn delegate(&self, document: &Resource, delegate: &Delegate) -> Result<Document<'_>, String> {
        let namespace = delegate.namespace.as_deref().unwrap_or(document.namespace());
        let key = Key::new(NETWORKING, "VirtualService", namespace, &*delegate.name);
        let words = format!("VirtualService {namespace}/{}", delegate.name);
        match self.subject.view.get(key).map(|found| (found, &found.body)) {
            Some((resource, Kind::VirtualService(service))) if service.is_delegate() => {
                Ok((resource, service))
            }
            Some(_) => Err(format!("{words} has hosts of its own, and cannot be delegated to")),
            None => Err(format!("there is no {words}")),
        }
    }

    fn is_meant(&self, _document: &Resource, gateways: &[Spanned<GatewayRef>]) -> bool {
        gateways.iter().any(|one| one.value == GatewayRef::Mesh)
    }

    fn port(&self) -> Option<u16> {
        self.port.or(match self.subject.ports {
            [only] => Some(only.number),
            _ => None,
        })
    }

    fn is_tls(&self) -> bool {
        false
    }

    fn defaults(&self, _document: &Resource, _route: &HttpRoute) -> Defaults<'_> {
        self.defaults
    }

    fn first_line(&self, document: &Resource) -> u32 {
        self.subject.view.first_line(document)
    }
}

impl Sidecars<'_> {
    /// A subset that no DestinationRule of the host has leads nowhere, which is said here and not
    /// first by the 503.
    fn check_subset(&self, name: &ServiceName, subset: &str, place: Place<'_>, out: &mut Output) {
        if !self.subject.view.has_subset(name, subset) {
            let message = format!(
                "no DestinationRule of `{name}` has a subset `{subset}`: requests are answered 503"
            );
            place.warn_with(out, message, "add it to `subsets` of a DestinationRule");
        }
    }
}

/// Says of documents that others delegate to whether any does, and the like.
pub(super) fn report_unused(scene: &Scene<'_>, out: &mut Output) {
    let mut delegated: HashSet<(&str, &str)> = HashSet::new();
    for resource in &scene.resources {
        let Kind::VirtualService(service) = &resource.body else { continue };
        for rule in &service.http {
            if let HttpAction::Delegate(found) = &rule.action {
                let namespace = found.namespace.as_deref().unwrap_or(resource.namespace());
                delegated.insert((namespace, &found.name));
            }
        }
    }
    for resource in &scene.resources {
        let Kind::VirtualService(service) = &resource.body else { continue };
        let name = (resource.namespace(), resource.name());
        if service.is_delegate() && !delegated.contains(&name) {
            let message = "it has no hosts, and no other VirtualService delegates to it";
            Place::whole(resource).warn(out, message);
        }
    }
}

/// The DestinationRule of the service that says of routes what Istio says in VirtualServices.
fn extension<'a>(
    subject: Subject<'_>,
    documents: &[&'a Arc<Resource>],
) -> Option<(&'a Resource, &'a DestinationRule)> {
    documents.iter().find_map(|resource| match &resource.body {
        Kind::DestinationRule(rule)
            if subject.view.scene().host(&rule.host, resource.namespace()) == *subject.name =>
        {
            Some((&***resource, &**rule))
        }
        _ => None,
    })
}

/// What holds for rules that do not say it themselves.
fn defaults<'a>(
    subject: Subject<'a>,
    rule: Option<(&'a Resource, &'a DestinationRule)>,
) -> Defaults<'a> {
    let said = rule.map(|(document, rule)| Defaults::of_rule(document, &rule.policy));
    said.unwrap_or_default().or_retries(subject.view.default_retries())
}

/// The table that a DestinationRule makes where no VirtualService does.
fn extended<'a>(
    subject: Subject<'_>,
    rule: Option<(&'a Resource, &'a DestinationRule)>,
    places: &mut Places,
    out: &mut Output,
) -> Option<Table<'a>> {
    let (resource, rule) = rule?;
    let policy = &rule.policy;
    let at = policy.timeout.map(|timeout| timeout.at);
    let at = at.or_else(|| policy.retries.as_ref().map(|retries| retries.at))?;
    let id = format!("destinationrule/{}/{}", resource.namespace(), resource.name());
    let mut http = rest(subject, dialect::ISTIO, resource, &id, at, places, out);
    for routed in &mut http {
        if let Some(route) = Arc::get_mut(&mut routed.route) {
            route.timeouts.request = policy.timeout.map(|timeout| timeout.value);
            // It says nothing of retries unless it says something.
            let own = policy.retries.as_ref().map(|retries| &retries.value);
            route.timeouts.retry = own.and_then(|own| retry(Some(own)));
        }
    }
    let set = RouteSet { http: Some(http.into()), ..RouteSet::default() };
    let documents = vec![resource];
    let words = "DestinationRule's `timeout` and `retries`";
    Some(Table { dialect: dialect::ISTIO, set, documents, words })
}
