//! Rules.

use weft_model::calling::Source;
use weft_model::policy::Refusal;
use weft_model::route::{
    Bound, Choice, HostMatch, Matcher, Origin, PathMatch, Rank, Route, Target, TcpMatcher,
    TcpRoute, TcpTls, Timeouts, Weighted,
};
use weft_model::text::TextMatch;

use super::calling::sticky;
use super::step::{not_carried, retry, steps};
use super::traffic::source;
use super::{nanos, network, refusal};
use crate::resource::route as wire;

pub(super) fn http(route: &Route) -> wire::Route {
    let Route {
        id,
        origin: place,
        rank: position,
        matcher: taken,
        steps: done,
        target: to,
        timeouts: bounds,
    } = route;
    wire::Route {
        id: id.to_string(),
        origin: origin(place),
        rank: rank(position),
        matcher: (*taken != Matcher::All(Vec::new())).then(|| matcher(taken)),
        steps: steps(done),
        target: Some(target(to)),
        timeouts: (*bounds != Timeouts::default()).then(|| timeouts(bounds)),
    }
}

pub(super) fn tcp(route: &TcpRoute) -> wire::TcpRoute {
    let TcpRoute {
        id,
        origin: place,
        rank: position,
        matcher: taken,
        tls,
        in_flight_max,
        allow,
        target: to,
    } = route;
    let (tls, target) = match tls {
        TcpTls::Plain => (0, target(to)),
        TcpTls::Passthrough => (1, target(to)),
        // A sidecar has no certificates to show to its workload.
        TcpTls::Terminate(_) => (1, refused(&not_carried("a TLS connection that ends here"))),
    };
    wire::TcpRoute {
        id: id.to_string(),
        origin: origin(place),
        rank: rank(position),
        matcher: (*taken != TcpMatcher::All(Vec::new())).then(|| tcp_matcher(taken)),
        tls,
        in_flight_max: *in_flight_max,
        allow: allow.iter().map(network).collect(),
        target: Some(target),
    }
}

fn origin(origin: &Origin) -> Option<wire::Origin> {
    let Origin { kind, name, file, rule } = origin;
    (*origin != Origin::default()).then(|| wire::Origin {
        kind: kind.to_string(),
        name: name.to_string(),
        file: file.to_string(),
        rule: rule.to_string(),
    })
}

fn rank(rank: &Rank) -> Option<wire::Rank> {
    let Rank { dialect, major, minor, detail, tie } = *rank;
    (*rank != Rank::default()).then(|| wire::Rank {
        dialect: dialect.into(),
        major,
        minor,
        detail,
        tie,
    })
}

fn matcher(taken: &Matcher) -> wire::Matcher {
    let list =
        |all: &[Matcher]| wire::Matchers { all: all.iter().map(matcher).collect::<Vec<_>>() };
    let kind = match taken {
        Matcher::All(all) => wire::MatcherKind::All(list(all)),
        Matcher::Any(any) => wire::MatcherKind::Any(list(any)),
        Matcher::Not(not) => wire::MatcherKind::Not(Box::new(matcher(not))),
        Matcher::Host(host) => wire::MatcherKind::Host(host_match(host)),
        Matcher::Path(path) => wire::MatcherKind::Path(path_match(path)),
        Matcher::Method(method) => wire::MatcherKind::Method(method.as_str().into()),
        Matcher::Header(name, text) => wire::MatcherKind::Header(named(name.as_str(), text)),
        Matcher::Query(name, text) => wire::MatcherKind::Query(named(name, text)),
        Matcher::ClientIp(range) => wire::MatcherKind::ClientIp(network(range)),
        Matcher::Authority(text) => wire::MatcherKind::Authority(text_match(text)),
        Matcher::Scheme(weft_message::Scheme::Http) => wire::MatcherKind::Scheme(0),
        Matcher::Scheme(weft_message::Scheme::Https) => wire::MatcherKind::Scheme(1),
    };
    wire::Matcher { kind: Some(kind) }
}

fn tcp_matcher(taken: &TcpMatcher) -> wire::TcpMatcher {
    let list = |all: &[TcpMatcher]| wire::TcpMatchers {
        all: all.iter().map(tcp_matcher).collect::<Vec<_>>(),
    };
    let kind = match taken {
        TcpMatcher::All(all) => wire::TcpMatcherKind::All(list(all)),
        TcpMatcher::Any(any) => wire::TcpMatcherKind::Any(list(any)),
        TcpMatcher::Not(not) => wire::TcpMatcherKind::Not(Box::new(tcp_matcher(not))),
        TcpMatcher::Sni(host) => wire::TcpMatcherKind::Sni(host_match(host)),
        TcpMatcher::ClientIp(range) => wire::TcpMatcherKind::ClientIp(network(range)),
        TcpMatcher::Alpn(protocol) => wire::TcpMatcherKind::Alpn(protocol.to_string()),
        TcpMatcher::Destination(range) => wire::TcpMatcherKind::Destination(network(range)),
    };
    wire::TcpMatcher { kind: Some(kind) }
}

fn host_match(host: &HostMatch) -> wire::HostMatch {
    let kind = match host {
        HostMatch::Exact(host) => wire::HostMatchKind::Exact(host.to_string()),
        HostMatch::OneLabel(suffix) => wire::HostMatchKind::OneLabel(suffix.to_string()),
        HostMatch::AnyLabels(suffix) => wire::HostMatchKind::AnyLabels(suffix.to_string()),
        HostMatch::Regex(pattern) => wire::HostMatchKind::Regex(pattern.as_str().into()),
        HostMatch::Any => wire::HostMatchKind::Any(true),
    };
    wire::HostMatch { kind: Some(kind) }
}

fn path_match(path: &PathMatch) -> wire::PathMatch {
    let kind = match path {
        PathMatch::Exact(path) => wire::PathMatchKind::Exact(path.to_string()),
        PathMatch::Prefix(prefix) => wire::PathMatchKind::Prefix(prefix.to_string()),
        PathMatch::Segments(prefix) => wire::PathMatchKind::Segments(prefix.to_string()),
        PathMatch::Regex(pattern) => wire::PathMatchKind::Regex(pattern.as_str().into()),
    };
    wire::PathMatch { kind: Some(kind) }
}

fn named(name: &str, text: &TextMatch) -> wire::NamedMatch {
    wire::NamedMatch { name: name.into(), text: Some(text_match(text)) }
}

fn text_match(text: &TextMatch) -> wire::TextMatch {
    let kind = match text {
        TextMatch::Exact(text) => wire::TextMatchKind::Exact(text.to_string()),
        TextMatch::Regex(pattern) => wire::TextMatchKind::Regex(pattern.as_str().into()),
        TextMatch::Present => wire::TextMatchKind::Present(true),
    };
    wire::TextMatch { kind: Some(kind) }
}

/// Kinds that no document of the mesh leads to are refused.
fn target(to: &Target) -> wire::Target {
    let kind = match to {
        Target::Backend(id) => wire::TargetKind::Backend(id.to_string()),
        Target::Weighted(weighted) => {
            let Weighted { choices, sticky: cookie } = &**weighted;
            wire::TargetKind::Weighted(wire::Weighted {
                choices: choices.iter().map(choice).collect(),
                sticky: cookie.as_ref().map(sticky),
            })
        }
        Target::Refuse(why) => wire::TargetKind::Refuse(refusal(why)),
        Target::HighestRandomWeight(_) => return refused(&not_carried("a highest random weight")),
        Target::Mirror(_) => return refused(&not_carried("a mirroring service")),
        Target::Failover(_) => return refused(&not_carried("a failover service")),
    };
    wire::Target { kind: Some(kind) }
}

fn refused(why: &Refusal) -> wire::Target {
    wire::Target { kind: Some(wire::TargetKind::Refuse(refusal(why))) }
}

fn choice(choice: &Choice) -> wire::Choice {
    let Choice { name, weight, steps: done, target: to } = choice;
    wire::Choice {
        name: name.to_string(),
        weight: *weight,
        steps: steps(done),
        target: Some(target(to)),
    }
}

fn timeouts(timeouts: &Timeouts) -> wire::Timeouts {
    let Timeouts { request, attempt, response, idle, retry: again, inherited } = timeouts;
    let from = |(bound, from): &(Bound, Source)| wire::Inherited {
        bound: match bound {
            Bound::Request => 1,
            Bound::Response => 2,
            Bound::Idle => 3,
            Bound::Retry => 4,
        },
        source: Some(source(from)),
    };
    wire::Timeouts {
        request: request.map(nanos),
        attempt: attempt.map(nanos),
        response: response.map(nanos),
        idle: idle.map(nanos),
        retry: again.as_ref().map(retry),
        inherited: inherited.iter().map(from).collect(),
    }
}
