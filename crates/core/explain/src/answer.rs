//! One request along the straight line.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weft_message::Scheme;
use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoints};
use weft_model::id::BackendId;
use weft_model::listener::{Direction, Intake, Listener, Served};
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
    let found = match standpoint {
        Standpoint::Gateway => at_gateway(snapshot, question),
        Standpoint::Workload { namespace, domain } => {
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

/// What stands where a request arrives.
struct Found<'a> {
    arrives: Arrives,
    served: Option<&'a Served>,
    closed: Option<Refusal>,
}

fn at_gateway<'a>(snapshot: &'a Snapshot, question: &Question) -> Found<'a> {
    let port = question.port();
    let is_meant = |listener: &&Arc<Listener>| listener.addr.port() == port;
    let is_tls = question.head.scheme() == Scheme::Https;
    let side = |listener: &&'a Arc<Listener>| match is_tls {
        true => listener.tls.as_ref().map(|tls| &tls.served),
        false => listener.plain.as_ref(),
    };
    let takes = |listener: &&'a Arc<Listener>| {
        side(listener).is_some_and(|served| {
            HttpTable::new(&served.http.routes).find(&question.head, question.client).is_some()
        })
    };
    let speaks =
        |listener: &&'a Arc<Listener>| side(listener).is_some_and(|served| served.http.enabled);
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
            served: side(&listener),
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
    let named = snapshot.services.resolve(host, namespace, domain);
    let name = named.as_ref().map(|named| named.service.name());
    let mut destinations = snapshot.listeners.iter().filter_map(|listener| {
        let Intake::Destination(destination) = &listener.intake else { return None };
        (destination.direction == Direction::Outbound).then_some((listener, destination))
    });
    let wanted = name.unwrap_or("unknown");
    let found = destinations.find(|(_, destination)| match name {
        Some(_) => *destination.name == *wanted && destination.port == Some(port),
        None => destination.addrs.is_empty() && destination.port.is_none(),
    });
    let arrives = match name {
        Some(name) => Arrives::Service(format!("{name}:{port}").into()),
        None => Arrives::Unknown(host.into()),
    };
    let (served, closed) = match found {
        Some((listener, destination)) => (listener.plain.as_ref(), destination.closed.clone()),
        None => (None, None),
    };
    Found { arrives, served, closed }
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
                    self.steps(&choice.steps, &format!("destination {}", choice.name));
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
