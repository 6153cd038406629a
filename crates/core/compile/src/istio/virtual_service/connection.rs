//! Rules for connections.

use std::sync::Arc;

use weft_model::calling::Audience;
use weft_model::route::{Choice, HostMatch, Target, TcpMatcher, Weighted};
use weft_resources::istio::virtual_service::{L4Match, RouteDestination};
use weft_resources::{Pos, Resource};

use super::condition::caller;
use super::{Document, Surroundings, TcpRule, action};
use crate::context::Output;
use crate::remark::Place;

/// The rules for connections, in order: the first that takes a connection holds. Those for TLS come
/// first.
pub(crate) fn connections<'a>(
    around: &dyn Surroundings,
    (document, service): Document<'a>,
    out: &mut Output,
) -> Vec<TcpRule<'a>> {
    let mut rules = Vec::new();
    for (index, route) in service.tls.iter().enumerate() {
        let written = Written { document, at: route.at, field: "tls", index };
        let target = written.target(around, &route.destinations, out);
        let matches = route.matches.iter().map(|found| {
            let names = found.sni_hosts.iter().map(|name| TcpMatcher::Sni(host(name)));
            (Some(any(names.collect())), &found.l4)
        });
        written.add(around, matches.collect(), &target, &mut rules);
    }
    for (index, route) in service.tcp.iter().enumerate() {
        let written = Written { document, at: route.at, field: "tcp", index };
        let target = written.target(around, &route.destinations, out);
        if route.matches.is_empty() {
            rules.push(written.rule(String::new(), Unmatched::default(), &target));
            continue;
        }
        let matches = route.matches.iter().map(|found| (None, found)).collect();
        written.add(around, matches, &target, &mut rules);
    }
    rules
}

/// A rule as it is written.
struct Written<'a> {
    document: &'a Resource,
    at: Pos,
    field: &'static str,
    index: usize,
}

/// The parts of a condition.
#[derive(Default)]
struct Unmatched {
    matchers: Vec<TcpMatcher>,
    words: Vec<String>,
    audience: Audience,
    port: Option<u16>,
}

// === impl Written ===

impl<'a> Written<'a> {
    fn target(
        &self,
        around: &dyn Surroundings,
        destinations: &[RouteDestination],
        out: &mut Output,
    ) -> Target {
        let mut choices: Vec<Choice> = Vec::new();
        for (index, destination) in destinations.iter().enumerate() {
            let path = format!("spec.{}[{}].route[{index}].destination", self.field, self.index);
            let place = Place::new(self.document, destination.destination.host.at, &path);
            let (name, target) = action::target(around, self.document, destination, place, out);
            let weight = destination.weight;
            choices.push(Choice { name, weight, steps: Arc::default(), target });
        }
        match choices.as_slice() {
            [single] => single.target.clone(),
            _ => Target::Weighted(Arc::new(Weighted { choices, sticky: None })),
        }
    }

    /// Adds the rule once for each condition that is for whom the rules are made for.
    fn add(
        &self,
        around: &dyn Surroundings,
        matches: Vec<(Option<TcpMatcher>, &L4Match)>,
        target: &Target,
        rules: &mut Vec<TcpRule<'a>>,
    ) {
        let is_single = matches.len() == 1;
        for (index, (names, found)) in matches.into_iter().enumerate() {
            let gateways = &found.call.gateways;
            if !gateways.is_empty() && !around.is_meant(self.document, gateways) {
                continue;
            }
            let (audience, port) = caller(&found.call);
            let mut condition = Unmatched { audience, port, ..Unmatched::default() };
            condition.words.extend(names.as_ref().map(|_| "server name".to_owned()));
            condition.matchers.extend(names);
            let subnets = found.destination_subnets.iter();
            if !found.destination_subnets.is_empty() {
                let nets = subnets.map(|net| TcpMatcher::Destination(net.value));
                condition.matchers.push(any(nets.collect()));
                condition.words.push("destination".into());
            }
            if let Some(net) = found.source_subnet {
                condition.matchers.push(TcpMatcher::ClientIp(net.value));
                condition.words.push(format!("source {}", net.value));
            }
            let suffix = if is_single { String::new() } else { format!("/{index}") };
            rules.push(self.rule(suffix, condition, target));
        }
    }

    fn rule(&self, suffix: String, condition: Unmatched, target: &Target) -> TcpRule<'a> {
        let (namespace, name) = (self.document.namespace(), self.document.name());
        let (field, index) = (self.field, self.index);
        let words = match condition.words.is_empty() {
            true => "every connection".into(),
            false => condition.words.join(", "),
        };
        TcpRule {
            id: format!("virtualservice/{namespace}/{name}/{field}-{index}{suffix}"),
            document: self.document,
            at: self.at,
            audience: condition.audience,
            port: condition.port,
            matcher: match <[TcpMatcher; 1]>::try_from(condition.matchers) {
                Ok([single]) => single,
                Err(matchers) => TcpMatcher::All(matchers),
            },
            is_tls: field == "tls",
            words,
            target: target.clone(),
        }
    }
}

/// One of these, without a pair of parentheses too many.
fn any(matchers: Vec<TcpMatcher>) -> TcpMatcher {
    match <[TcpMatcher; 1]>::try_from(matchers) {
        Ok([single]) => single,
        Err(matchers) => TcpMatcher::Any(matchers),
    }
}

/// A name, or all below one.
fn host(text: &str) -> HostMatch {
    match text.strip_prefix("*.") {
        Some(suffix) => HostMatch::AnyLabels(suffix.into()),
        None if text == "*" => HostMatch::Any,
        None => HostMatch::Exact(text.into()),
    }
}
