//! Rules. Each is read in any case: one with something in it that cannot be read refuses all that
//! it may have been meant for.

use std::sync::Arc;

use weft_message::{FieldName, Method, Scheme};
use weft_model::id::{BackendId, RouteId};
use weft_model::route::{
    Bound, Choice, HostMatch, Matcher, Origin, PathMatch, Rank, Route, Target, TcpMatcher,
    TcpRoute, TcpTls, Timeouts, Weighted,
};
use weft_model::text::TextMatch;

use super::calling::sticky;
use super::step::{retry, steps, unreadable};
use super::traffic::source;
use super::{InvalidResource, fitting, network, pattern, refusal, time};
use crate::resource::route as wire;

/// What was read of a rule so far, and the first thing that could not be.
#[derive(Default)]
struct Reading {
    wrong: Option<InvalidResource>,
}

/// A condition that may have others in it.
trait Condition: Sized {
    type Message;

    /// The condition that every request fulfils, or none.
    fn constant(fits: bool) -> Self;

    /// `fits` is what becomes of parts that cannot be read.
    fn read(
        message: &Self::Message,
        fits: bool,
        reading: &mut Reading,
    ) -> Result<Self, InvalidResource>;
}

// === impl Reading ===

impl Reading {
    /// What was read, or this in its place.
    fn or<T>(&mut self, read: Result<T, InvalidResource>, otherwise: T) -> T {
        read.unwrap_or_else(|error| {
            self.wrong.get_or_insert(error);
            otherwise
        })
    }

    /// The condition of a rule. Where it cannot be read it takes too much rather than too little.
    fn matcher<C: Condition>(&mut self, message: Option<&C::Message>) -> C {
        message.map_or_else(|| C::constant(true), |message| self.condition(message, true))
    }

    fn condition<C: Condition>(&mut self, message: &C::Message, fits: bool) -> C {
        let read = C::read(message, fits, self);
        self.or(read, C::constant(fits))
    }

    fn conditions<C: Condition>(&mut self, messages: &[C::Message], fits: bool) -> Vec<C> {
        messages.iter().map(|message| self.condition(message, fits)).collect()
    }

    /// The target, unless something was wrong.
    fn target(&self, message: Option<&wire::Target>) -> Target {
        match &self.wrong {
            None => target(message),
            Some(error) => Target::Refuse(unreadable(error)),
        }
    }
}

// === rules ===

pub(super) fn http(message: &wire::Route) -> Route {
    let mut reading = Reading::default();
    let rank = rank(message.rank.as_ref(), &mut reading);
    let matcher = reading.matcher(message.matcher.as_ref());
    let timeouts = message.timeouts.as_ref().map_or_else(|| Ok(Timeouts::default()), timeouts);
    let timeouts = reading.or(timeouts, Timeouts::default());
    Route {
        id: RouteId::new(message.id.as_str()),
        origin: origin(message.origin.as_ref()),
        rank,
        matcher,
        steps: match reading.wrong {
            None => steps(&message.steps),
            // One of them may answer.
            Some(_) => Arc::default(),
        },
        target: reading.target(message.target.as_ref()),
        timeouts,
    }
}

pub(super) fn tcp(message: &wire::TcpRoute) -> TcpRoute {
    let mut reading = Reading::default();
    let rank = rank(message.rank.as_ref(), &mut reading);
    let matcher = reading.matcher(message.matcher.as_ref());
    let tls = match message.tls {
        0 => Ok(TcpTls::Plain),
        1 => Ok(TcpTls::Passthrough),
        value => Err(InvalidResource::Unknown { field: "tls", value }),
    };
    // Which takes any connection, with a hello or without.
    let tls = reading.or(tls, TcpTls::Plain);
    let allow = message.allow.iter().map(network).collect::<Result<_, _>>();
    let allow = reading.or(allow, Vec::new());
    TcpRoute {
        id: RouteId::new(message.id.as_str()),
        origin: origin(message.origin.as_ref()),
        rank,
        matcher,
        tls,
        in_flight_max: message.in_flight_max,
        allow,
        target: reading.target(message.target.as_ref()),
    }
}

fn origin(message: Option<&wire::Origin>) -> Origin {
    let read = |message: &wire::Origin| Origin {
        kind: message.kind.as_str().into(),
        name: message.name.as_str().into(),
        file: message.file.as_str().into(),
        rule: message.rule.as_str().into(),
    };
    message.map(read).unwrap_or_default()
}

/// One that cannot be read comes first.
fn rank(message: Option<&wire::Rank>, reading: &mut Reading) -> Rank {
    let wire::Rank { dialect, major, minor, detail, tie } = message.copied().unwrap_or_default();
    Rank { dialect: reading.or(fitting("dialect", dialect), u8::MAX), major, minor, detail, tie }
}

fn timeouts(message: &wire::Timeouts) -> Result<Timeouts, InvalidResource> {
    // One that is not known is of a bound that is not known either.
    let from = |one: &wire::Inherited| {
        let bound = match one.bound {
            1 => Bound::Request,
            2 => Bound::Response,
            3 => Bound::Idle,
            4 => Bound::Retry,
            _ => return None,
        };
        Some((bound, source(one.source.as_ref()?)))
    };
    Ok(Timeouts {
        request: message.request.map(time),
        attempt: message.attempt.map(time),
        response: message.response.map(time),
        idle: message.idle.map(time),
        retry: message.retry.as_ref().map(retry).transpose()?,
        inherited: message.inherited.iter().filter_map(from).collect(),
    })
}

// === conditions ===

impl Condition for Matcher {
    type Message = wire::Matcher;

    fn constant(fits: bool) -> Self {
        if fits { Self::All(Vec::new()) } else { Self::Any(Vec::new()) }
    }

    fn read(
        message: &wire::Matcher,
        fits: bool,
        reading: &mut Reading,
    ) -> Result<Self, InvalidResource> {
        let kind = message.kind.as_ref().ok_or(InvalidResource::Kind("matcher"))?;
        Ok(match kind {
            wire::MatcherKind::All(all) => Self::All(reading.conditions(&all.all, fits)),
            wire::MatcherKind::Any(any) => Self::Any(reading.conditions(&any.all, fits)),
            wire::MatcherKind::Not(not) => Self::Not(Box::new(reading.condition(&**not, !fits))),
            wire::MatcherKind::Host(host) => Self::Host(host_match(host)?),
            wire::MatcherKind::Path(path) => Self::Path(path_match(path)?),
            wire::MatcherKind::Method(method) => {
                let method = method.parse::<Method>();
                Self::Method(method.map_err(|_| InvalidResource::Name("method"))?)
            }
            wire::MatcherKind::Header(header) => {
                let name = FieldName::new(&header.name);
                let name = name.map_err(|_| InvalidResource::Name("header"))?;
                Self::Header(name, text_match(header.text.as_ref())?)
            }
            wire::MatcherKind::Query(query) => {
                Self::Query(query.name.as_str().into(), text_match(query.text.as_ref())?)
            }
            wire::MatcherKind::ClientIp(range) => Self::ClientIp(network(range)?),
            wire::MatcherKind::Authority(text) => Self::Authority(text_match(Some(text))?),
            wire::MatcherKind::Scheme(0) => Self::Scheme(Scheme::Http),
            wire::MatcherKind::Scheme(1) => Self::Scheme(Scheme::Https),
            wire::MatcherKind::Scheme(value) => {
                return Err(InvalidResource::Unknown { field: "scheme", value: *value });
            }
        })
    }
}

impl Condition for TcpMatcher {
    type Message = wire::TcpMatcher;

    fn constant(fits: bool) -> Self {
        if fits { Self::All(Vec::new()) } else { Self::Any(Vec::new()) }
    }

    fn read(
        message: &wire::TcpMatcher,
        fits: bool,
        reading: &mut Reading,
    ) -> Result<Self, InvalidResource> {
        let kind = message.kind.as_ref().ok_or(InvalidResource::Kind("matcher"))?;
        Ok(match kind {
            wire::TcpMatcherKind::All(all) => Self::All(reading.conditions(&all.all, fits)),
            wire::TcpMatcherKind::Any(any) => Self::Any(reading.conditions(&any.all, fits)),
            wire::TcpMatcherKind::Not(not) => Self::Not(Box::new(reading.condition(&**not, !fits))),
            wire::TcpMatcherKind::Sni(host) => Self::Sni(host_match(host)?),
            wire::TcpMatcherKind::ClientIp(range) => Self::ClientIp(network(range)?),
            wire::TcpMatcherKind::Alpn(protocol) => Self::Alpn(protocol.as_str().into()),
            wire::TcpMatcherKind::Destination(range) => Self::Destination(network(range)?),
        })
    }
}

fn host_match(message: &wire::HostMatch) -> Result<HostMatch, InvalidResource> {
    let kind = message.kind.as_ref().ok_or(InvalidResource::Kind("host"))?;
    Ok(match kind {
        wire::HostMatchKind::Exact(host) => HostMatch::Exact(host.as_str().into()),
        wire::HostMatchKind::OneLabel(suffix) => HostMatch::OneLabel(suffix.as_str().into()),
        wire::HostMatchKind::AnyLabels(suffix) => HostMatch::AnyLabels(suffix.as_str().into()),
        wire::HostMatchKind::Regex(text) => HostMatch::Regex(pattern(text)?),
        wire::HostMatchKind::Any(_) => HostMatch::Any,
    })
}

fn path_match(message: &wire::PathMatch) -> Result<PathMatch, InvalidResource> {
    let kind = message.kind.as_ref().ok_or(InvalidResource::Kind("path"))?;
    Ok(match kind {
        wire::PathMatchKind::Exact(path) => PathMatch::Exact(path.as_str().into()),
        wire::PathMatchKind::Prefix(prefix) => PathMatch::Prefix(prefix.as_str().into()),
        wire::PathMatchKind::Segments(prefix) => PathMatch::Segments(prefix.as_str().into()),
        wire::PathMatchKind::Regex(text) => PathMatch::Regex(pattern(text)?),
    })
}

fn text_match(message: Option<&wire::TextMatch>) -> Result<TextMatch, InvalidResource> {
    let kind = message.and_then(|message| message.kind.as_ref());
    Ok(match kind.ok_or(InvalidResource::Kind("text"))? {
        wire::TextMatchKind::Exact(text) => TextMatch::Exact(text.as_str().into()),
        wire::TextMatchKind::Regex(text) => TextMatch::Regex(pattern(text)?),
        wire::TextMatchKind::Present(_) => TextMatch::Present,
    })
}

// === targets ===

fn target(message: Option<&wire::Target>) -> Target {
    match message.and_then(|message| message.kind.as_ref()) {
        None => Target::Refuse(unreadable(&InvalidResource::Kind("target"))),
        Some(wire::TargetKind::Backend(id)) => Target::Backend(BackendId::new(id.as_str())),
        Some(wire::TargetKind::Weighted(weighted)) => Target::Weighted(Arc::new(Weighted {
            choices: weighted.choices.iter().map(choice).collect(),
            sticky: weighted.sticky.as_ref().map(sticky),
        })),
        Some(wire::TargetKind::Refuse(why)) => Target::Refuse(refusal(why)),
    }
}

fn choice(message: &wire::Choice) -> Choice {
    Choice {
        name: message.name.as_str().into(),
        weight: message.weight,
        steps: steps(&message.steps),
        target: target(message.target.as_ref()),
    }
}
