//! Linkerd: ServiceProfiles, and annotations of Services about calls.

use std::sync::Arc;
use std::time::Duration;

use weft_message::Method;
use weft_model::calling::{Audience, Source};
use weft_model::id::{RouteId, ServiceName};
use weft_model::mesh::ServicePort;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, RetryPolicy};
use weft_model::route::{
    Bound, Choice, Matcher, PathMatch, Rank, Route, RouteSet, Routed, Target, TcpMatcher, TcpRoute,
    Timeouts, Weighted,
};
use weft_model::text::Pattern;
use weft_resilience::settings::{BackoffSettings, StatusSet};
use weft_resources::linkerd::CallAnnotations;
use weft_resources::linkerd::annotations::{self, CallRetry, CallTimeouts};
use weft_resources::linkerd::profile::{
    self, ProfileRoute, RequestCondition, ResponseClass, ResponseCondition, ServiceProfile,
};
use weft_resources::{Kind, Pos, Resource};

use super::precedence::Table;
use super::table::{Places, Subject, origin, routed, tcp_route};
use crate::calling::From;
use crate::context::Output;
use crate::dialect;
use crate::remark::Place;

/// What annotations are called where others speak of the same.
pub(super) const ANNOTATIONS: &str = "annotations of the Service";

/// Bodies up to this are kept to be sent again (Linkerd's own bound).
const RETRY_BODY_BYTES_MAX: u64 = 64 << 10;

/// The first wait between tries. Linkerd does not wait; waiting a little hits another moment.
const RETRY_BACKOFF: Duration = Duration::from_millis(25);

/// Tries in all of a route whose retries nothing bounds but the budget and the timeout.
const PROFILE_ATTEMPTS: u32 = 100;

/// The statuses of gRPC that are failures of the server: unknown, deadline exceeded, internal,
/// unavailable and data loss.
const GRPC_FAILURES: [u32; 5] = [2, 4, 13, 14, 15];

/// What annotations of the service's own document say of its calls.
pub(super) fn service_calls(subject: Subject<'_>) -> Option<(&Resource, &CallAnnotations)> {
    let resource = subject.view.get(subject.key())?;
    match &resource.body {
        Kind::Service(service) => Some((resource, &service.calls)),
        Kind::EgressNetwork(network) => Some((resource, &network.calls)),
        _ => None,
    }
}

/// Puts what annotations say in the place of what a rule says.
pub(super) fn apply(
    retry: Option<(&Resource, &CallRetry)>,
    bounds: CallTimeouts,
    timeouts: &mut Timeouts,
    out: &mut Output,
) {
    let CallTimeouts { request, response, idle } = bounds;
    timeouts.request = request.or(timeouts.request);
    timeouts.response = response.or(timeouts.response);
    timeouts.idle = idle.or(timeouts.idle);
    let Some((resource, retry)) = retry else { return };
    if !says_failures(retry) {
        let message = "nothing is sent again: no annotation says what has failed";
        let place = Place::new(resource, retry.at, "metadata.annotations");
        place.warn_with(out, message, "add retry.linkerd.io/http or retry.linkerd.io/grpc");
        return;
    }
    timeouts.retry = Some(RetryPolicy {
        attempts: retry.limit.saturating_add(1),
        backoff: BackoffSettings::envoy(RETRY_BACKOFF),
        attempt_timeout: retry.timeout,
        statuses: retry.http.clone(),
        grpc_statuses: retry.grpc.iter().map(|code| u32::from(*code)).collect(),
        body_bytes_max: RETRY_BODY_BYTES_MAX,
        on_unreached: true,
        on_timeout: retry.timeout.is_some(),
        non_idempotent: true,
        ..RetryPolicy::NEVER
    });
}

/// Where a route has bounds from that its own annotations leave to the Service.
pub(super) fn inherited(
    subject: Subject<'_>,
    (service, calls): (&Resource, &CallAnnotations),
    own: &CallAnnotations,
) -> Box<[(Bound, Source)]> {
    let retry = calls.retry.as_ref().filter(|retry| own.retry.is_none() && says_failures(retry));
    let CallTimeouts { request, response, idle } = match own.timeouts.is_empty() {
        true => calls.timeouts,
        false => CallTimeouts::default(),
    };
    let at = retry.map_or(Pos::FIRST, |retry| retry.at);
    let all = [
        (Bound::Request, request.is_some(), annotations::TIMEOUT_REQUEST, Pos::FIRST),
        (Bound::Response, response.is_some(), annotations::TIMEOUT_RESPONSE, Pos::FIRST),
        (Bound::Idle, idle.is_some(), annotations::TIMEOUT_IDLE, Pos::FIRST),
        (Bound::Retry, retry.is_some(), "retry.linkerd.io", at),
    ];
    let source = |(bound, is_said, field, at): (Bound, bool, &'static str, Pos)| {
        let from = |first_line| From { resource: service, field, at, first_line };
        is_said.then(|| (bound, from(subject.view.first_line(service)).source()))
    };
    all.into_iter().filter_map(source).collect()
}

/// Whether annotations say what has failed.
fn says_failures(retry: &CallRetry) -> bool {
    !retry.http.is_empty() || !retry.grpc.is_empty()
}

/// The table that annotations of the service make where it has no routes.
pub(super) fn annotated<'a>(
    subject: Subject<'_>,
    documents: &[&'a Arc<Resource>],
    places: &mut Places,
    out: &mut Output,
) -> Option<Table<'a>> {
    let is_own = |resource: &&&'a Arc<Resource>| matches!(resource.body, Kind::Service(_));
    let resource = documents.iter().find(is_own)?;
    let Kind::Service(service) = &resource.body else { return None };
    let mut timeouts = Timeouts::default();
    let retry = service.calls.retry.as_ref().map(|retry| (&***resource, retry));
    apply(retry, service.calls.timeouts, &mut timeouts, out);
    let id = format!("service/{}/{}", resource.namespace(), resource.name());
    let at = retry.map_or_else(Pos::default, |(_, retry)| retry.at);
    let rules = rest(subject, dialect::LINKERD, resource, &id, at, places, out);
    let rules = rules.into_iter().map(|mut routed| {
        if let Some(route) = Arc::get_mut(&mut routed.route) {
            route.timeouts = timeouts.clone();
        }
        routed
    });
    let set = RouteSet { http: Some(rules.collect()), ..RouteSet::default() };
    let documents = vec![&***resource];
    Some(Table { dialect: dialect::LINKERD, set, documents, words: ANNOTATIONS })
}

/// Rules that lead every request to the service itself, one for each of its ports: where others leave
/// requests alone, they go on.
pub(super) fn rest(
    subject: Subject<'_>,
    dialect: u8,
    resource: &Resource,
    id: &str,
    at: Pos,
    places: &mut Places,
    out: &mut Output,
) -> Vec<Routed<Route>> {
    let rule = |port: &ServicePort| {
        let id = RouteId::new(format!("{id}/rest:{}", port.number));
        places.insert(id.clone(), (resource.key.clone(), at));
        let route = Route {
            id,
            origin: origin(resource, format!("port {}", port.number)),
            rank: Rank { dialect, ..Rank::default() },
            matcher: Matcher::All(Vec::new()),
            steps: Arc::default(),
            target: Target::Backend(subject.backend(subject.name, port, None, None, out)),
            timeouts: Timeouts::default(),
        };
        routed(&[port.number], route)
    };
    subject.http_ports().map(rule).collect()
}

/// The tables of ServiceProfiles: those of callers, each for its namespace, then that of the service's
/// own namespace.
pub(super) fn tables<'a>(
    subject: Subject<'_>,
    documents: &[&'a Arc<Resource>],
    places: &mut Places,
    out: &mut Output,
) -> Vec<Table<'a>> {
    let mut tables: Vec<(bool, Table<'a>)> = Vec::new();
    for resource in documents.iter().copied() {
        let Kind::ServiceProfile(profile) = &resource.body else { continue };
        let is_producer = resource.namespace() == subject.namespace;
        let audience = match is_producer {
            true => Audience::default(),
            false => {
                Audience { namespaces: [resource.namespace().into()].into(), ..Audience::default() }
            }
        };
        let http = Some(rules(subject, resource, profile, places, out).into());
        let tcp = connections(subject, resource, profile, places, out);
        let tcp = (!tcp.is_empty()).then(|| tcp.into());
        let set = RouteSet { audience, http, tcp, ..RouteSet::default() };
        let (documents, words) = (vec![&**resource], "ServiceProfile");
        tables.push((is_producer, Table { dialect: dialect::LINKERD, set, documents, words }));
    }
    tables.sort_by_key(|(is_producer, _)| *is_producer);
    tables.into_iter().map(|(_, table)| table).collect()
}

fn rules(
    subject: Subject<'_>,
    resource: &Resource,
    profile: &ServiceProfile,
    places: &mut Places,
    out: &mut Output,
) -> Vec<Routed<Route>> {
    let id = format!("serviceprofile/{}/{}", resource.namespace(), resource.name());
    let mut rules = Vec::new();
    let conditions: Vec<(usize, &ProfileRoute, Matcher)> = profile
        .routes
        .iter()
        .enumerate()
        .filter_map(|(index, route)| match matcher(&route.condition) {
            Ok(matcher) => Some((index, route, matcher)),
            Err(message) => {
                let path = format!("spec.routes[{index}].condition");
                Place::new(resource, route.at, &path).error(out, message);
                None
            }
        })
        .collect();
    let last = rest(subject, dialect::LINKERD, resource, &id, Pos::default(), places, out);
    for mut own in last {
        let port = own.ports.first().copied().unwrap_or_default();
        let target = overridden(subject, resource, profile, port, out);
        let target = target.unwrap_or_else(|| own.route.target.clone());
        for (index, route, matcher) in &conditions {
            let id = RouteId::new(format!("{id}/{index}:{port}"));
            places.insert(id.clone(), (resource.key.clone(), route.at));
            let rule = Route {
                id,
                origin: origin(resource, route.name.to_string()),
                rank: Rank {
                    dialect: dialect::LINKERD,
                    major: 1,
                    tie: u32::MAX - *index as u32,
                    ..Rank::default()
                },
                matcher: matcher.clone(),
                steps: Arc::default(),
                target: target.clone(),
                timeouts: timeouts(route),
            };
            rules.push(routed(&[port], rule));
        }
        if let Some(route) = Arc::get_mut(&mut own.route) {
            route.target = target;
        }
        rules.push(own);
    }
    rules
}

/// Rules for connections, which go elsewhere as requests do.
fn connections(
    subject: Subject<'_>,
    resource: &Resource,
    profile: &ServiceProfile,
    places: &mut Places,
    out: &mut Output,
) -> Vec<Routed<TcpRoute>> {
    let rule = |port: &ServicePort| {
        let target = overridden(subject, resource, profile, port.number, out)?;
        let (namespace, name) = (resource.namespace(), resource.name());
        let id = format!("serviceprofile/{namespace}/{name}/connections:{}", port.number);
        let id = RouteId::new(id);
        places.insert(id.clone(), (resource.key.clone(), Pos::default()));
        let origin = origin(resource, format!("port {}", port.number));
        let rank = Rank { dialect: dialect::LINKERD, ..Rank::default() };
        let all = (TcpMatcher::All(Vec::new()), false);
        Some(routed(&[port.number], tcp_route((id, origin), rank, all, target)))
    };
    subject.tcp_ports().filter_map(rule).collect()
}

fn matcher(condition: &RequestCondition) -> Result<Matcher, String> {
    let all = |of: &[RequestCondition]| of.iter().map(matcher).collect::<Result<Vec<_>, _>>();
    Ok(match condition {
        RequestCondition::All(of) => Matcher::All(all(of)?),
        RequestCondition::Any(of) => Matcher::Any(all(of)?),
        RequestCondition::Not(of) => Matcher::Not(Box::new(matcher(of)?)),
        RequestCondition::Path(pattern) => {
            let pattern = Pattern::anchored(pattern).map_err(|error| error.to_string())?;
            Matcher::Path(PathMatch::Regex(pattern))
        }
        RequestCondition::Method(name) => {
            Matcher::Method(Method::parse(name.as_bytes()).map_err(|error| error.to_string())?)
        }
    })
}

fn timeouts(route: &ProfileRoute) -> Timeouts {
    let request = Some(route.timeout.unwrap_or(profile::TIMEOUT));
    let failures: StatusSet =
        (100..600).filter(|status| is_failure(&route.response_classes, *status)).collect();
    let retry = route.is_retryable.then(|| RetryPolicy {
        attempts: PROFILE_ATTEMPTS,
        backoff: BackoffSettings::envoy(RETRY_BACKOFF),
        statuses: failures.ranges().collect(),
        grpc_statuses: GRPC_FAILURES.to_vec(),
        body_bytes_max: RETRY_BODY_BYTES_MAX,
        on_unreached: true,
        on_network_error: true,
        non_idempotent: true,
        ..RetryPolicy::NEVER
    });
    Timeouts { request, retry, ..Timeouts::default() }
}

/// Whether answers of a status are failures: the first class that fits says so, and without one those
/// of the server are.
fn is_failure(classes: &[ResponseClass], status: u16) -> bool {
    let class = classes.iter().find(|class| fits(&class.condition, status));
    class.map_or(status >= 500, |class| class.is_failure)
}

fn fits(condition: &ResponseCondition, status: u16) -> bool {
    match condition {
        ResponseCondition::All(all) => all.iter().all(|one| fits(one, status)),
        ResponseCondition::Any(any) => any.iter().any(|one| fits(one, status)),
        ResponseCondition::Not(one) => !fits(one, status),
        ResponseCondition::Status { min, max } => (*min..=*max).contains(&status),
    }
}

/// Where calls of a port go instead (`dstOverrides`).
fn overridden(
    subject: Subject<'_>,
    resource: &Resource,
    profile: &ServiceProfile,
    port: u16,
    out: &mut Output,
) -> Option<Target> {
    let mut choices = Vec::new();
    for (index, destination) in profile.destinations.iter().enumerate() {
        let path = format!("spec.dstOverrides[{index}].authority");
        let place = Place::new(resource, destination.at, &path);
        let authority = &*destination.authority;
        let (host, number) = match authority.rsplit_once(':') {
            Some((host, number)) => (host, number.parse().ok()),
            None => (authority, Some(port)),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let name: ServiceName = subject.view.scene().host(&host, resource.namespace());
        let found = subject.view.ports(&name).zip(number);
        let found =
            found.and_then(|(ports, number)| ports.iter().find(|found| found.number == number));
        let target = match found {
            Some(port) => Target::Backend(subject.backend(&name, port, None, None, out)),
            None => {
                let detail = format!("there is no service and port `{authority}`");
                place.error(out, detail.as_str());
                Target::Refuse(Refusal { reason: Reason::NoEndpoint, detail: detail.into() })
            }
        };
        choices.push(Choice {
            name: destination.authority.clone(),
            weight: u32::try_from(destination.weight).unwrap_or(u32::MAX),
            steps: Arc::default(),
            target,
        });
    }
    (!choices.is_empty()).then(|| Target::Weighted(Arc::new(Weighted { choices, sticky: None })))
}
