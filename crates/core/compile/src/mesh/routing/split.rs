//! TrafficSplits of the Service Mesh Interface.

use std::sync::Arc;

use weft_message::{FieldName, Method};
use weft_model::id::RouteId;
use weft_model::mesh::ServicePort;
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{
    Choice, Matcher, PathMatch, Rank, Route, RouteSet, Routed, Target, TcpMatcher, TcpRoute,
    Timeouts, Weighted,
};
use weft_model::text::{Pattern, TextMatch};
use weft_resources::smi::{GroupMatch, SPECS_GROUP, SplitBackend, TrafficSplit};
use weft_resources::{Key, Kind, Pos, Resource};

use super::precedence::Table;
use super::profile::rest;
use super::table::{Places, Subject, origin, routed, tcp_route};
use crate::context::Output;
use crate::dialect;
use crate::remark::Place;

type Document<'a> = (&'a Arc<Resource>, &'a TrafficSplit);

/// The table of TrafficSplits: those for some requests first, then the oldest for all, and what none
/// takes goes to the service itself.
pub(super) fn tables<'a>(
    subject: Subject<'_>,
    documents: &[&'a Arc<Resource>],
    places: &mut Places,
    out: &mut Output,
) -> Option<Table<'a>> {
    let splits = documents.iter().filter_map(|resource| match &resource.body {
        Kind::TrafficSplit(split) => Some((*resource, &**split)),
        _ => None,
    });
    let (narrow, wide): (Vec<Document<'a>>, Vec<Document<'a>>) =
        splits.partition(|(_, split)| !split.matches.is_empty());
    let mut wide = wide.into_iter();
    let oldest = wide.next();
    for (younger, _) in wide {
        let Some((oldest, _)) = oldest else { break };
        let holder = subject.view.place(oldest, Pos::default());
        let message = format!("{holder} is older and splits the same calls instead");
        Place::whole(younger).warn_with(out, message, "remove one of the two");
        let loser = subject.view.place(younger, Pos::default());
        Place::whole(oldest).note(out, format!("it holds instead of {loser}"));
    }
    let held: Vec<Document<'a>> = narrow.iter().copied().chain(oldest).collect();
    let (first, _) = *held.first()?;
    let (mut http, mut tcp) = (Vec::new(), Vec::new());
    for (index, (resource, split)) in held.iter().enumerate() {
        let order = u32::MAX - index as u32;
        let matcher = match matcher(subject, resource, split, out) {
            Ok(matcher) => matcher,
            Err(()) => continue,
        };
        let is_whole = split.matches.is_empty();
        for port in subject.ports {
            let Some(target) = target(subject, resource, split, port, out) else { continue };
            let rule = Ruled { resource, order, port };
            if subject.http_ports().any(|known| known == port) {
                http.push(rule.http(matcher.clone(), target.clone(), places));
            }
            if is_whole && subject.tcp_ports().any(|known| known == port) {
                tcp.push(rule.tcp(target, places));
            }
        }
    }
    let id = format!("trafficsplit/{}/{}", first.namespace(), first.name());
    http.extend(rest(subject, dialect::SMI, first, &id, Pos::default(), places, out));
    tcp.extend(rest_of_connections(subject, first, &id, places, out));
    let http = Some(http.into());
    let tcp = (!tcp.is_empty()).then(|| tcp.into());
    let set = RouteSet { http, tcp, ..RouteSet::default() };
    let documents = held.iter().map(|(resource, _)| &***resource).collect();
    Some(Table { dialect: dialect::SMI, set, documents, words: "" })
}

/// Rules that lead every connection to the service itself.
fn rest_of_connections(
    subject: Subject<'_>,
    resource: &Resource,
    id: &str,
    places: &mut Places,
    out: &mut Output,
) -> Vec<Routed<TcpRoute>> {
    let rule = |port: &ServicePort| {
        let id = RouteId::new(format!("{id}/rest:{}", port.number));
        places.insert(id.clone(), (resource.key.clone(), Pos::default()));
        let origin = origin(resource, format!("port {}", port.number));
        let rank = Rank { dialect: dialect::SMI, ..Rank::default() };
        let target = Target::Backend(subject.backend(subject.name, port, None, None, out));
        let all = TcpMatcher::All(Vec::new());
        routed(&[port.number], tcp_route((id, origin), rank, (all, false), target))
    };
    subject.tcp_ports().map(rule).collect()
}

/// A rule of a split for a port.
struct Ruled<'r> {
    resource: &'r Resource,
    order: u32,
    port: &'r ServicePort,
}

// === impl Ruled ===

impl Ruled<'_> {
    fn id(&self, places: &mut Places) -> RouteId {
        let (namespace, name) = (self.resource.namespace(), self.resource.name());
        let id = format!("trafficsplit/{namespace}/{name}:{}", self.port.number);
        let id = RouteId::new(id);
        places.insert(id.clone(), (self.resource.key.clone(), Pos::default()));
        id
    }

    fn rank(&self) -> Rank {
        Rank { dialect: dialect::SMI, major: 1, tie: self.order, ..Rank::default() }
    }

    fn http(&self, matcher: Matcher, target: Target, places: &mut Places) -> Routed<Route> {
        let route = Route {
            id: self.id(places),
            origin: origin(self.resource, format!("port {}", self.port.number)),
            rank: self.rank(),
            matcher,
            steps: Arc::default(),
            target,
            timeouts: Timeouts::default(),
        };
        routed(&[self.port.number], route)
    }

    fn tcp(&self, target: Target, places: &mut Places) -> Routed<TcpRoute> {
        let origin = origin(self.resource, format!("port {}", self.port.number));
        let all = TcpMatcher::All(Vec::new());
        let route = tcp_route((self.id(places), origin), self.rank(), (all, false), target);
        routed(&[self.port.number], route)
    }
}

/// Where a port's calls go; `None` where no backend has the port.
fn target(
    subject: Subject<'_>,
    resource: &Resource,
    split: &TrafficSplit,
    port: &ServicePort,
    out: &mut Output,
) -> Option<Target> {
    let mut choices = Vec::new();
    for (index, backend) in split.backends.iter().enumerate() {
        let path = format!("spec.backends[{index}]");
        let place = Place::new(resource, backend.at, &path);
        let SplitBackend { service, weight, at: _ } = backend;
        let name = subject.view.scene().host(service, resource.namespace());
        let target = match subject.view.ports(&name) {
            None => {
                let detail = format!("there is no Service `{name}`");
                place.error(out, detail.as_str());
                Target::Refuse(Refusal { reason: Reason::NoEndpoint, detail: detail.into() })
            }
            Some(ports) => match ports.iter().find(|known| known.number == port.number) {
                Some(port) => Target::Backend(subject.backend(&name, port, None, None, out)),
                None => {
                    let number = port.number;
                    let message =
                        format!("`{name}` has no port {number}, and gets no calls of that port");
                    place.warn(out, message);
                    continue;
                }
            },
        };
        let weight = u32::try_from(*weight).unwrap_or(u32::MAX);
        let name = service.clone();
        choices.push(Choice { name, weight, steps: Arc::default(), target });
    }
    (!choices.is_empty()).then(|| Target::Weighted(Arc::new(Weighted { choices, sticky: None })))
}

/// The requests that a split is for. One whose classes are not to be found takes nothing.
fn matcher(
    subject: Subject<'_>,
    resource: &Resource,
    split: &TrafficSplit,
    out: &mut Output,
) -> Result<Matcher, ()> {
    if split.matches.is_empty() {
        return Ok(Matcher::All(Vec::new()));
    }
    let mut any = Vec::new();
    let mut is_lost = false;
    for (index, reference) in split.matches.iter().enumerate() {
        let path = format!("spec.matches[{index}]");
        let place = Place::new(resource, reference.at, &path);
        let key = Key::new(SPECS_GROUP, "HTTPRouteGroup", resource.namespace(), &*reference.name);
        let Some(Kind::RouteGroup(group)) = subject.view.get(key).map(|found| &found.body) else {
            let message = format!("there is no {reference}: nothing is split by it");
            place.error(out, message);
            is_lost = true;
            continue;
        };
        for found in &group.matches {
            match class(found) {
                Ok(matcher) => any.push(matcher),
                Err(message) => place.error(out, message),
            }
        }
    }
    if any.is_empty() && is_lost { Err(()) } else { Ok(Matcher::Any(any)) }
}

/// One class of requests.
fn class(found: &GroupMatch) -> Result<Matcher, String> {
    let mut all = Vec::new();
    if let Some(pattern) = &found.path_regex {
        Pattern::new(pattern).map_err(|error| error.to_string())?;
        // It has to fit from the beginning, and may end anywhere.
        let pattern =
            Pattern::new(&format!("^(?:{pattern})")).map_err(|error| error.to_string())?;
        all.push(Matcher::Path(PathMatch::Regex(pattern)));
    }
    if !found.methods.is_empty() {
        let method = |name: &str| {
            Method::parse(name.as_bytes()).map(Matcher::Method).map_err(|error| error.to_string())
        };
        let methods = found.methods.iter().map(|name| method(name));
        all.push(Matcher::Any(methods.collect::<Result<_, _>>()?));
    }
    for (name, pattern) in &found.headers {
        let field = FieldName::new(name).map_err(|error| error.to_string())?;
        let pattern = Pattern::anchored(pattern).map_err(|error| error.to_string())?;
        all.push(Matcher::Header(field, TextMatch::Regex(pattern)));
    }
    Ok(Matcher::All(all))
}
