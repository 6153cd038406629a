//! What a change of configuration would change.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use weft_message::{Method, RequestHead};
use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoint, Endpoints};
use weft_model::id::RouteId;
use weft_model::listener::{Direction, Intake, Listener};
use weft_model::mesh::Mtls;
use weft_model::policy::Refusal;
use weft_model::route::{HostMatch, Matcher, PathMatch, Route};
use weft_model::text::TextMatch;

use crate::answer::{Explanation, Lead, explain};
use crate::question::{Question, Standpoint};
use crate::words;

/// Something that would behave differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// How much it matters.
    pub weight: Weight,
    /// What it is about: a rule with its place, a destination, a request.
    pub subject: String,
    /// What would be different.
    pub what: String,
}

/// How much a difference matters, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Something comes, or changes.
    Changed,
    /// A rule goes.
    Gone,
    /// A request that was served would not be, or a connection would lose its protection.
    Lost,
}

/// What differs between two snapshots of one proxy, the gravest first: their rules, what protects
/// connections, and what becomes of requests. These are `recorded` ones, and one for each rule of
/// either, made so that the rule takes it.
///
/// Pure; the cost follows the size of the snapshots times the number of requests that differ in
/// host and port.
pub fn plan(
    before: &Snapshot,
    after: &Snapshot,
    standpoint: &Standpoint,
    recorded: &[Question],
) -> Vec<Difference> {
    let mut found = Vec::new();
    rules(before, after, &mut found);
    protection(before, after, &mut found);
    let asked = |question| call(before, after, standpoint, question);
    let mut seen: BTreeMap<Difference, u32> = BTreeMap::new();
    for difference in recorded.iter().filter_map(asked) {
        *seen.entry(difference).or_default() += 1;
    }
    found.extend(seen.into_iter().map(|(difference, times)| difference.seen(times)));
    found.extend(made_up(before, after).iter().filter_map(asked));
    found.sort_by(|a, b| (b.weight, &a.subject, &a.what).cmp(&(a.weight, &b.subject, &b.what)));
    found.dedup();
    found
}

/// Rules that come, go, or do something else.
fn rules(before: &Snapshot, after: &Snapshot, found: &mut Vec<Difference>) {
    let (old, new) = (by_id(before), by_id(after));
    for (id, route) in &old {
        match new.get(id) {
            None => found.push(Difference::new(Weight::Gone, shown(before, route), "vanishes")),
            Some(now) => {
                let what = changes(before, route, after, now);
                if !what.is_empty() {
                    let subject = shown(after, now);
                    found.push(Difference::new(Weight::Changed, subject, &what.join("; ")));
                }
            }
        }
    }
    for (_, route) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
        found.push(Difference::new(Weight::Changed, shown(after, route), "appears"));
    }
}

fn by_id(snapshot: &Snapshot) -> BTreeMap<&RouteId, &Arc<Route>> {
    snapshot.routes().map(|route| (&route.id, route)).collect()
}

fn shown(snapshot: &Snapshot, route: &Route) -> String {
    let place = words::place(&route.origin, snapshot.line(&route.id));
    match &*route.origin.rule {
        "" => place,
        rule => format!("{place}, {rule}"),
    }
}

/// What a rule does differently.
fn changes(before: &Snapshot, old: &Route, after: &Snapshot, new: &Route) -> Vec<String> {
    let mut what = Vec::new();
    if old.matcher != new.matcher {
        what.push(format!(
            "takes other requests: {} instead of {}",
            new.origin.rule, old.origin.rule
        ));
    }
    if old.rank != new.rank {
        what.push("has another rank".into());
    }
    if old.target != new.target {
        let (is, was) = (words::target(&new.target), words::target(&old.target));
        what.push(match is == was {
            true => "leads elsewhere".into(),
            false => format!("leads to {is} instead of {was}"),
        });
    }
    let said = |snapshot: &Snapshot, route: &Route| {
        let place = words::place(&route.origin, snapshot.line(&route.id));
        let steps = route.steps.iter().map(|step| words::step(step, &place));
        let all = steps.chain(words::timeouts(&route.timeouts, &place));
        all.map(|said| (said.name, said.value)).collect::<Vec<_>>()
    };
    let (was, is) = (said(before, old), said(after, new));
    for (name, value) in is.iter().filter(|one| !was.contains(one)) {
        what.push(format!("{name}: {value}"));
    }
    let is_named = |name: &str| is.iter().any(|(other, _)| **other == *name);
    for (name, _) in was.iter().filter(|one| !is.contains(one) && !is_named(&one.0)) {
        what.push(format!("no {name} any more"));
    }
    if what.is_empty() && (old.steps != new.steps || old.timeouts != new.timeouts) {
        what.push("its policies differ in detail".into());
    }
    what
}

/// What closes, and what loses mutual TLS.
fn protection(before: &Snapshot, after: &Snapshot, found: &mut Vec<Difference>) {
    let old: BTreeMap<&str, &Arc<Listener>> =
        before.listeners.iter().map(|one| (one.id.as_str(), one)).collect();
    for listener in &after.listeners {
        let Intake::Destination(now) = &listener.intake else { continue };
        let Some(was) = old.get(listener.id.as_str()) else { continue };
        let Intake::Destination(was) = &was.intake else { continue };
        let port = now.port.map(|port| format!(":{port}")).unwrap_or_default();
        let subject = match now.direction {
            Direction::Outbound => format!("calls to {}{port}", now.name),
            Direction::Inbound => format!("calls of {}{port}", now.name),
        };
        match (&was.closed, &now.closed) {
            (None, Some(why)) => found.push(Difference::new(
                Weight::Lost,
                subject.clone(),
                &format!("would be denied: {}", why.detail),
            )),
            (Some(_), None) => {
                found.push(Difference::new(Weight::Changed, subject.clone(), "would be allowed"));
            }
            _ => {}
        }
        if was.mtls != now.mtls {
            let weight = if now.mtls == Mtls::Strict { Weight::Changed } else { Weight::Lost };
            let words = match now.mtls {
                Mtls::Strict => "would be refused without mutual TLS",
                Mtls::Permissive => "would be taken without mutual TLS",
                Mtls::Disable => "would be made without mutual TLS",
            };
            found.push(Difference::new(weight, subject, words));
        }
    }
    for (id, now) in &after.backends {
        let Some(was) = before.backends.get(id) else { continue };
        let subject = || format!("backend {id}");
        let lost = unprotected(was, now);
        found.extend(lost.map(|what| Difference::new(Weight::Lost, subject(), &what)));
    }
}

/// What would be called in plain text from now on, or without the mesh's mutual TLS.
fn unprotected(was: &Backend, now: &Backend) -> Option<String> {
    let is_peers = |one: &Endpoint| one.peer.is_some();
    let lost = match (&was.endpoints, &now.endpoints) {
        (Endpoints::Static(was), Endpoints::Static(now)) => {
            let had = |one: &Endpoint| was.iter().any(|old| old.addr == one.addr && is_peers(old));
            now.iter().filter(|one| !is_peers(one) && had(one)).count()
        }
        _ => 0,
    };
    let is_meshed = |backend: &Backend| match &backend.endpoints {
        Endpoints::Static(all) => !all.is_empty() && all.iter().all(is_peers),
        Endpoints::DialledThrough(_) | Endpoints::Service { .. } => true,
        Endpoints::Dialled | Endpoints::Dns { .. } => false,
    };
    let is_dialled = matches!(now.endpoints, Endpoints::Dialled);
    if lost > 0 {
        let endpoints = if lost == 1 { "endpoint" } else { "endpoints" };
        Some(format!("{lost} {endpoints} would be called without mutual TLS"))
    } else if is_dialled && is_meshed(was) {
        Some("would be called without mutual TLS".into())
    } else if was.calling.tls.is_some() && now.calling.tls.is_none() && !is_meshed(now) {
        Some("would be called without TLS".into())
    } else {
        None
    }
}

/// What becomes of one request under each.
fn call(
    before: &Snapshot,
    after: &Snapshot,
    standpoint: &Standpoint,
    question: &Question,
) -> Option<Difference> {
    let was = explain(before, standpoint, question);
    let is = explain(after, standpoint, question);
    let subject = question.words();
    let (old, new) = (Outcome::of(&was), Outcome::of(&is));
    if old == new {
        return None;
    }
    let loses = new.is_served() && !old.is_plain && new.is_plain;
    let weight = match (old.is_served(), new.is_served()) {
        (true, false) => Weight::Lost,
        _ if loses => Weight::Lost,
        _ => Weight::Changed,
    };
    let what = match (old.is_plain, new.is_plain) {
        // Nothing else is different.
        (false, true) if old == (Outcome { is_plain: false, ..new.clone() }) => {
            "would be sent without TLS".into()
        }
        (true, false) if old == (Outcome { is_plain: true, ..new.clone() }) => {
            "would be sent with TLS".into()
        }
        (false, true) if loses => format!("{new}, without TLS, until now {old}"),
        _ => format!("{new}, until now {old}"),
    };
    Some(Difference::new(weight, subject, &what))
}

/// What a request meets, as far as it tells two snapshots apart.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    rule: Option<RouteId>,
    leads: Vec<(String, Option<i64>)>,
    refused: Option<Refusal>,
    /// The mesh does not know where it goes: it passes, unless it is refused.
    passes: bool,
    /// It may be sent somewhere without TLS, the mesh's or another.
    is_plain: bool,
}

// === impl Difference ===

impl Difference {
    fn new(weight: Weight, subject: String, what: &str) -> Self {
        Self { weight, subject, what: what.into() }
    }

    /// The same of a request that was seen so often.
    fn seen(self, times: u32) -> Self {
        let often = match times {
            1 => "once".into(),
            2 => "twice".into(),
            more => format!("{more} times"),
        };
        Self { subject: format!("{}, seen {often}", self.subject), ..self }
    }
}

// === impl Outcome ===

impl Outcome {
    fn of(explanation: &Explanation) -> Self {
        let share = |lead: &Lead| {
            let role = if lead.role.is_empty() { String::new() } else { format!("{} ", lead.role) };
            let percent = lead.percent.map(|percent| (percent * 100.0).round() as i64);
            (format!("{role}{}", lead.backend), percent)
        };
        Self {
            rule: explanation.taken().map(|route| route.id.clone()),
            leads: explanation.leads.iter().map(share).collect(),
            refused: explanation.refused.clone(),
            passes: matches!(explanation.arrives, crate::answer::Arrives::Unknown(_)),
            is_plain: explanation.leads.iter().any(is_plain),
        }
    }

    fn is_served(&self) -> bool {
        self.refused.is_none() && (self.rule.is_some() || self.passes)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(refusal) = &self.refused {
            return write!(f, "answered {}: {}", refusal.reason.status(), refusal.detail);
        }
        let Some(rule) = &self.rule else {
            return f.write_str(if self.passes {
                "passed on as it is"
            } else {
                "no rule takes it"
            });
        };
        write!(f, "taken by {rule}")?;
        let mut to = String::new();
        for (backend, percent) in &self.leads {
            let share = percent.filter(|percent| *percent != 10_000);
            let share = share.map(|percent| format!(" ({} %)", percent as f64 / 100.0));
            let comma = if to.is_empty() { "" } else { ", " };
            let _ = write!(to, "{comma}{backend}{}", share.unwrap_or_default());
        }
        if to.is_empty() { Ok(()) } else { write!(f, ", to {to}") }
    }
}

// === functions ===

/// Whether something may be sent without TLS.
fn is_plain(lead: &Lead) -> bool {
    let Some(backend) = lead.settings.as_deref() else { return false };
    backend.calling.tls.is_none()
        && match &backend.endpoints {
            Endpoints::Static(all) => all.iter().any(|one| one.peer.is_none()),
            Endpoints::Dns { .. } | Endpoints::Dialled => true,
            Endpoints::DialledThrough(_) | Endpoints::Service { .. } => false,
        }
}

/// One request for each rule of either snapshot, for what calls may be made from here.
fn made_up(before: &Snapshot, after: &Snapshot) -> Vec<Question> {
    let mut made: BTreeMap<String, Question> = BTreeMap::new();
    for listener in before.listeners.iter().chain(&after.listeners) {
        let (host, port) = match &listener.intake {
            Intake::Bound => (None, listener.addr.port()),
            Intake::Destination(one) if one.direction == Direction::Outbound => {
                let Some(port) = one.port else { continue };
                (Some(&*one.name), port)
            }
            _ => continue,
        };
        let sides = [
            (listener.plain.as_ref(), "http"),
            (listener.tls.as_ref().map(|tls| &tls.served), "https"),
        ];
        for (served, scheme) in sides {
            for route in served.iter().flat_map(|served| &served.http.routes) {
                let question = example(&route.matcher, host, port, scheme);
                made.extend(question.map(|question| (question.words(), question)));
            }
        }
    }
    made.into_values().collect()
}

/// A request that satisfies a condition, where one is easily made: patterns are not turned into
/// text.
fn example(matcher: &Matcher, host: Option<&str>, port: u16, scheme: &str) -> Option<Question> {
    let mut example = Example { host: host.map(Into::into), ..Example::default() };
    example.satisfy(matcher)?;
    let host = example.host.as_deref().unwrap_or("weftway.example");
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = if port == usual { String::new() } else { format!(":{port}") };
    let path = example.path.as_deref().unwrap_or("/");
    let text = format!("GET {scheme}://{host}{port}{path}");
    let mut question = Question::parse(&text, []).ok()?;
    example.complete(&mut question.head)?;
    Some(question)
}

/// The parts of a request that satisfies a condition.
#[derive(Default)]
struct Example {
    host: Option<Box<str>>,
    path: Option<Box<str>>,
    method: Option<Method>,
    headers: Vec<(Box<str>, Box<str>)>,
    query: Vec<(Box<str>, Box<str>)>,
}

// === impl Example ===

impl Example {
    /// `None` where no example is made.
    fn satisfy(&mut self, matcher: &Matcher) -> Option<()> {
        match matcher {
            Matcher::All(list) => list.iter().try_for_each(|one| self.satisfy(one).ok_or(())).ok(),
            Matcher::Any(list) => self.satisfy(list.first()?),
            // Most requests are not what a rule wants not.
            Matcher::Not(_) | Matcher::ClientIp(_) | Matcher::Scheme(_) | Matcher::Authority(_) => {
                Some(())
            }
            Matcher::Host(host) => self.host(host),
            Matcher::Path(path) => self.path(path),
            Matcher::Method(method) => {
                self.method = Some(method.clone());
                Some(())
            }
            Matcher::Header(name, text) => {
                self.headers.push((name.as_str().into(), value(text)?));
                Some(())
            }
            Matcher::Query(name, text) => {
                self.query.push((name.clone(), value(text)?));
                Some(())
            }
        }
    }

    fn host(&mut self, host: &HostMatch) -> Option<()> {
        let host = match host {
            HostMatch::Exact(host) => host.clone(),
            HostMatch::OneLabel(suffix) | HostMatch::AnyLabels(suffix) => {
                format!("any.{suffix}").into()
            }
            HostMatch::Any => return Some(()),
            HostMatch::Regex(_) => return None,
        };
        self.host = Some(host);
        Some(())
    }

    fn path(&mut self, path: &PathMatch) -> Option<()> {
        self.path = Some(match path {
            PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::Segments(path) => {
                path.clone()
            }
            PathMatch::Regex(_) => return None,
        });
        Some(())
    }

    /// Puts the rest into a head that has its host and path.
    fn complete(self, head: &mut RequestHead) -> Option<()> {
        if let Some(method) = self.method {
            head.set_method(method);
        }
        for (name, value) in &self.headers {
            head.fields.append(&**name, value.as_bytes()).ok()?;
        }
        let pairs = self.query.iter().map(|(name, value)| format!("{name}={value}"));
        let query = pairs.collect::<Vec<_>>().join("&");
        head.set_query(Some(&*query).filter(|query| !query.is_empty())).ok()
    }
}

fn value(text: &TextMatch) -> Option<Box<str>> {
    match text {
        TextMatch::Exact(value) => Some(value.clone()),
        TextMatch::Present => Some("any".into()),
        TextMatch::Regex(_) => None,
    }
}
