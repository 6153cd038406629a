//! One request along the straight line.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_message::Scheme;
use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoints};
use weft_model::id::{BackendId, ServiceName};
use weft_model::listener::{Destination, Direction, Intake, Listener, Served};
use weft_model::mesh::{AddressRange, Mtls};
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step, StepKind};
use weft_model::route::{Route, Target};
use weft_route::{Candidate, HttpTable, Verdict};

use crate::question::{Question, Standpoint};
use crate::words::{self, Said};

/// Targets nest; what is deeper is not told.
const DEPTH_MAX: usize = 16;

/// What would become of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Where it arrives: the listener, or the destination that stands for its service.
    pub arrives: Arrives,
    /// The rule that takes it, those that it outranks and those that nearly took it.
    pub candidates: Vec<Considered>,
    /// What is done to it, in order, with where each comes from.
    pub policies: Vec<Said>,
    /// Where it may go.
    pub leads: Vec<Lead>,
    /// Why it is answered by the proxy itself, where it is.
    pub refused: Option<Refusal>,
}

/// Where a request arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrives {
    /// At a listener that is bound.
    Listener(Box<str>),
    /// At what stands for a service of the mesh.
    Service(Box<str>),
    /// At the workload itself, from others.
    Workload(Box<str>),
    /// The mesh knows no such service; it goes where it was dialled, or nowhere.
    Unknown(Box<str>),
    /// Nothing listens there.
    Nowhere,
}

/// A rule, and the line at which it stands in its file; 0 when unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Considered {
    /// The rule and its verdict.
    pub candidate: Candidate,
    /// The line.
    pub line: u32,
}

/// A backend that a request may go to.
#[derive(Debug, Clone, PartialEq)]
pub struct Lead {
    /// Its share of the requests, in percent; `None` where it is a mirror or a fallback.
    pub percent: Option<f64>,
    /// `mirror`, `fallback`, or empty.
    pub role: &'static str,
    /// The backend.
    pub backend: BackendId,
    /// Its settings, if the snapshot has it.
    pub settings: Option<Arc<Backend>>,
    /// How it is called, with where each setting comes from.
    pub calling: Vec<Said>,
}

/// Takes the request of `question` along the line.
pub fn explain(snapshot: &Snapshot, standpoint: &Standpoint, question: &Question) -> Explanation {
    let found = match (standpoint, came_to(snapshot, standpoint, question)) {
        (_, Some(listener)) => at(listener, question),
        (Standpoint::Gateway, None) => at_gateway(snapshot, question),
        // What has come from others is no call of the workload.
        (Standpoint::Workload { .. }, None) if question.listener.is_some() => {
            Found { arrives: Arrives::Nowhere, served: None, closed: None }
        }
        (Standpoint::Workload { namespace, domain }, None) => {
            in_workload(snapshot, question, namespace, domain)
        }
    };
    let mut explanation = Explanation {
        arrives: found.arrives,
        candidates: Vec::new(),
        policies: Vec::new(),
        leads: Vec::new(),
        refused: found.closed,
    };
    let Some(served) = found.served.filter(|_| explanation.refused.is_none()) else {
        return explanation;
    };
    let table = HttpTable::new(&served.http.routes);
    let candidates = table.explain(&question.head, question.client);
    let considered = |candidate: Candidate| {
        let line = snapshot.line(&candidate.route.id);
        Considered { candidate, line }
    };
    explanation.candidates = candidates.into_iter().map(considered).collect();
    let taken = table.find(&question.head, question.client).map(|matched| matched.route().clone());
    if let Some(route) = taken {
        Walk { snapshot, route: &route, explanation: &mut explanation }.run();
    }
    explanation
}

/// The service of the mesh that a request is meant for, where its proxy knows no more of it than its
/// name: it asks for the rest at the first call. What has come from others is not sent on.
pub fn unlearned(
    snapshot: &Snapshot,
    standpoint: &Standpoint,
    question: &Question,
) -> Option<ServiceName> {
    let Standpoint::Workload { namespace, domain } = standpoint else { return None };
    if question.listener.is_some() {
        return None;
    }
    let name = meant(snapshot, question, namespace, domain)?;
    if snapshot.services.get(&name).is_some_and(|one| one.entry().is_found_by_host()) {
        // Proxies know of these at all times.
        return None;
    }
    let is_learned = snapshot.listeners.iter().any(|listener| match &listener.intake {
        Intake::Destination(one) => one.direction == Direction::Outbound && *one.name == *name,
        _ => false,
    });
    (!is_learned).then(|| ServiceName::new(name))
}

/// The service of the mesh that a request is meant for: by its name, by one of its addresses, or a
/// workload by its own.
fn meant(
    snapshot: &Snapshot,
    question: &Question,
    namespace: &str,
    domain: &str,
) -> Option<Box<str>> {
    let host = question.head.host();
    let Some(ip) = address(host) else {
        let named = snapshot.services.resolve(host, namespace, domain)?;
        return Some(named.service.name().into());
    };
    match snapshot.services.holder(SocketAddr::new(ip, question.port())) {
        Some(service) => Some(service.name().into()),
        None => Some(snapshot.neighbours.unlearned(ip)?.as_str().into()),
    }
}

/// What stands where a request arrives.
struct Found<'a> {
    arrives: Arrives,
    served: Option<&'a Served>,
    closed: Option<Refusal>,
}

/// The listener that a request is known to have come to. What others send to a workload on a port
/// that has no listener of its own comes to the one for the rest.
fn came_to<'a>(
    snapshot: &'a Snapshot,
    standpoint: &Standpoint,
    question: &Question,
) -> Option<&'a Listener> {
    let wanted = question.listener.as_ref()?;
    let listeners = || snapshot.listeners.iter().map(|listener| &**listener);
    let is_rest = |listener: &&Listener| match &listener.intake {
        Intake::Destination(one) => one.direction == Direction::Inbound && one.port.is_none(),
        _ => false,
    };
    let rest = || match standpoint {
        Standpoint::Gateway => None,
        Standpoint::Workload { .. } => listeners().find(is_rest),
    };
    listeners().find(|listener| listener.id == *wanted).or_else(rest)
}

fn at<'a>(listener: &'a Listener, question: &Question) -> Found<'a> {
    let served = side(listener, question);
    let Intake::Destination(destination) = &listener.intake else {
        let arrives = Arrives::Listener(listener.id.as_str().into());
        return Found { arrives, served, closed: None };
    };
    let Destination { direction, name, port, mtls, closed, .. } = destination;
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let name = format!("{name}{port}").into();
    let unproved = || {
        let is_plain = *mtls == Mtls::Strict && question.peer.is_none();
        let detail = "plain text is refused: mutual TLS is STRICT".into();
        is_plain.then_some(Refusal { reason: Reason::Forbidden, detail })
    };
    let closed = closed.clone();
    match direction {
        Direction::Outbound => Found { arrives: Arrives::Service(name), served, closed },
        Direction::Inbound => {
            Found { arrives: Arrives::Workload(name), served, closed: closed.or_else(unproved) }
        }
    }
}

/// What is served on the side of a listener, plain or TLS, that a request comes to.
fn side<'a>(listener: &'a Listener, question: &Question) -> Option<&'a Served> {
    match question.head.scheme() {
        Scheme::Https => listener.tls.as_ref().map(|tls| &tls.served),
        Scheme::Http => listener.plain.as_ref(),
    }
}

fn at_gateway<'a>(snapshot: &'a Snapshot, question: &Question) -> Found<'a> {
    let port = question.port();
    let is_meant = |listener: &&Arc<Listener>| listener.addr.port() == port;
    let takes = |listener: &&'a Arc<Listener>| {
        side(listener, question).is_some_and(|served| {
            HttpTable::new(&served.http.routes).find(&question.head, question.client).is_some()
        })
    };
    let speaks = |listener: &&'a Arc<Listener>| {
        side(listener, question).is_some_and(|served| served.http.enabled)
    };
    let listeners = || snapshot.listeners.iter().filter(|one| one.intake == Intake::Bound);
    // A port is often moved (`--port-map`, containers): then what takes the request stands for it.
    let listener = listeners()
        .find(is_meant)
        .or_else(|| listeners().find(takes))
        .or_else(|| listeners().find(speaks));
    match listener {
        None => Found { arrives: Arrives::Nowhere, served: None, closed: None },
        Some(listener) => Found {
            arrives: Arrives::Listener(listener.id.as_str().into()),
            served: side(listener, question),
            closed: None,
        },
    }
}

fn in_workload<'a>(
    snapshot: &'a Snapshot,
    question: &Question,
    namespace: &str,
    domain: &str,
) -> Found<'a> {
    let (host, port) = (question.head.host(), question.port());
    let name = meant(snapshot, question, namespace, domain);
    let destinations = || {
        snapshot.listeners.iter().filter_map(|listener| {
            let Intake::Destination(destination) = &listener.intake else { return None };
            (destination.direction == Direction::Outbound).then_some((listener, destination))
        })
    };
    let is_service = |destination: &Destination, port: Option<u16>| {
        name.as_ref().is_some_and(|name| destination.name == *name) && destination.port == port
    };
    let service = name.as_ref().and_then(|name| snapshot.services.get(name));
    let entry = service.map(|service| service.entry());
    let is_elsewhere =
        name.is_none() || entry.as_ref().is_some_and(|entry| entry.is_found_by_host());
    let is_outside = |destination: &Destination| {
        is_elsewhere
            && destination.addrs.is_empty()
            && destination.range.as_ref().is_none_or(|range| has_host(range, host))
            && destination.port.is_none_or(|only| only == port)
    };
    let found = destinations().find(|(_, meant)| is_service(meant, Some(port)));
    // A workload that is called by its address takes other ports, too.
    let found = found.or_else(|| destinations().find(|(_, meant)| is_service(meant, None)));
    let found = found.or_else(|| destinations().find(|(_, meant)| is_outside(meant)));
    let arrives = match name {
        Some(name) => Arrives::Service(format!("{name}:{port}").into()),
        None => Arrives::Unknown(host.into()),
    };
    let (served, closed) = match found {
        Some((listener, destination)) => (listener.plain.as_ref(), destination.closed.clone()),
        None => (None, None),
    };
    // What an application encrypts by itself is a connection to its proxy, and no request.
    let served = served.filter(|_| question.head.scheme() == Scheme::Http);
    // What the mesh knows by its host is open where all else is closed.
    let is_known = entry.is_some_and(|entry| entry.port(port).is_some());
    let closed = closed.filter(|refusal| !is_known || refusal.reason != Reason::UnknownDestination);
    Found { arrives, served, closed }
}

/// Whether a host may be one of a range: the addresses of a name are not known here.
fn has_host(range: &AddressRange, host: &str) -> bool {
    match address(host) {
        Some(ip) => range.contains(ip),
        None => range.within.prefix_len() == 0 && range.except.is_empty(),
    }
}

/// The address that a host is, those of IPv6 in brackets.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// What a route does, step by step.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    route: &'a Route,
    explanation: &'a mut Explanation,
}

// === impl Walk ===

impl Walk<'_> {
    fn run(mut self) {
        let route = self.route;
        let place = words::place(&route.origin, self.snapshot.line(&route.id));
        self.steps(&route.steps, &place);
        if route.steps.iter().any(|step| answers(&step.kind)) {
            // Nothing is sent anywhere.
            return;
        }
        self.explanation.policies.extend(words::timeouts(&route.timeouts, &place));
        self.target(&route.target, Some(100.0), "", DEPTH_MAX);
    }

    fn steps(&mut self, steps: &[Arc<Step>], place: &str) {
        for step in steps {
            self.explanation.policies.push(words::step(step, place));
            match &step.kind {
                StepKind::Mirror { backend, .. } => self.lead(backend, None, "mirror"),
                StepKind::Refuse(refusal) if self.explanation.refused.is_none() => {
                    self.explanation.refused = Some(refusal.clone());
                }
                _ => {}
            }
        }
    }

    fn target(&mut self, target: &Target, percent: Option<f64>, role: &'static str, depth: usize) {
        if depth == 0 {
            return;
        }
        match target {
            Target::Backend(id) => self.lead(id, percent, role),
            Target::Weighted(weighted) => {
                let total: f64 = weighted.choices.iter().map(|one| f64::from(one.weight)).sum();
                for choice in &weighted.choices {
                    let share = f64::from(choice.weight) / total.max(1.0);
                    let percent = percent.map(|percent| percent * share);
                    let rule = words::place(&self.route.origin, self.snapshot.line(&self.route.id));
                    self.steps(&choice.steps, &format!("{rule}, destination {}", choice.name));
                    self.target(&choice.target, percent, role, depth - 1);
                }
            }
            Target::HighestRandomWeight(choices) => {
                for choice in choices.iter() {
                    self.target(&choice.target, None, "by client address", depth - 1);
                }
            }
            Target::Mirror(mirrors) => {
                self.target(&mirrors.main, percent, role, depth - 1);
                for mirror in &mirrors.mirrors {
                    self.target(&mirror.target, None, "mirror", depth - 1);
                }
            }
            Target::Failover(failover) => {
                self.target(&failover.main, percent, role, depth - 1);
                self.target(&failover.fallback, None, "fallback", depth - 1);
            }
            Target::Refuse(refusal) if self.explanation.refused.is_none() && role.is_empty() => {
                // One of several: the others are served.
                if percent == Some(100.0) {
                    self.explanation.refused = Some(refusal.clone());
                }
                let place = words::place(&self.route.origin, 0);
                self.explanation.policies.push(words::refused(refusal, percent, &place));
            }
            Target::Refuse(_) => {}
        }
    }

    fn lead(&mut self, id: &BackendId, percent: Option<f64>, role: &'static str) {
        let settings = self.snapshot.backends.get(id).cloned();
        let sources = self.snapshot.sources.get(id).map_or(&[][..], |sources| sources);
        let calling = settings.iter().flat_map(|one| words::calling(&one.calling, sources));
        let calling = calling.collect();
        let lead = Lead { percent, role, backend: id.clone(), settings, calling };
        self.explanation.leads.push(lead);
    }
}

/// Whether a step answers every request.
fn answers(kind: &StepKind) -> bool {
    matches!(kind, StepKind::Respond(_) | StepKind::Redirect(_))
}

// === impl Explanation ===

impl Explanation {
    /// The rule that takes the request.
    pub fn taken(&self) -> Option<&Arc<Route>> {
        let first = self.candidates.first().map(|first| &first.candidate)?;
        (first.verdict == Verdict::Taken).then_some(&first.route)
    }
}

// === impl Lead ===

impl Lead {
    /// The endpoints, as far as the snapshot knows them.
    pub fn endpoints(&self) -> &[weft_model::backend::Endpoint] {
        match self.settings.as_ref().map(|settings| &settings.endpoints) {
            Some(Endpoints::Static(list)) => list,
            _ => &[],
        }
    }
}
