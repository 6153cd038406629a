//! Routers: from a rule and its references to routes.

use std::sync::Arc;

use weft_model::id::RouteId;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step};
use weft_model::route::{Matcher, Origin, Rank, Route, Target, Timeouts};
use weft_resources::traefik::IngressRoute;
use weft_resources::traefik::file::Router;
use weft_resources::traefik::route::{HttpRule, RouterTls, Syntax};
use weft_resources::{Kind, Pos, Resource, Severity, Spanned};
use weft_route::rule;

use super::link::{Link, refusing};
use super::locate::{Home, Missing, label};
use super::prepare::http_matcher;
use super::server::fnv1a;
use super::{Memo, Piece, service, tcp, tls};
use crate::context::Context;
use crate::dialect;

type Steps = Arc<[Arc<Step>]>;

/// What a resource adds. For one without routers this is only what is wrong with its references.
pub(super) fn piece(context: &Context<'_>, memo: &Memo, resource: &Arc<Resource>) -> Piece {
    let scope = context.scope();
    let mut link = Link::new(&scope, memo, resource);
    let mut piece = Piece::default();
    match &resource.body {
        Kind::IngressRoute(route) => ingress_route(&mut link, resource, route, &mut piece),
        Kind::Router(router) => file_router(&mut link, resource, router, &mut piece),
        Kind::IngressRouteTcp(route) => tcp::ingress_route(&mut link, resource, route, &mut piece),
        Kind::RouterTcp(router) => tcp::file_router(&mut link, resource, router, &mut piece),
        Kind::Middleware(_) => {
            // Only to say what is wrong; routers make their own.
            let _ = link.steps_of(resource, "");
        }
        Kind::TraefikService(_) | Kind::FileService(_) => {
            service::of_resource(&mut link, resource);
        }
        Kind::FileServiceTcp(_) => {
            tcp::of_file_service(&mut link, resource);
        }
        _ => {}
    }
    let is_router = super::has_routers(&resource.body);
    piece.problems = std::mem::take(&mut link.problems);
    piece.told = std::mem::take(&mut link.told);
    if is_router {
        piece.backends = std::mem::take(&mut link.backends);
        piece.said = std::mem::take(&mut link.said);
    }
    drop(link);
    piece.dependencies = scope.into_dependencies();
    piece.places.shrink_to_fit();
    piece.http.shrink_to_fit();
    piece.tcp.shrink_to_fit();
    piece.backends.shrink_to_fit();
    piece.placement.shrink_to_fit();
    piece
}

fn ingress_route(
    link: &mut Link<'_, '_>,
    resource: &Arc<Resource>,
    route: &IngressRoute,
    piece: &mut Piece,
) {
    let home = Home::of(resource);
    let (refusal, tls) = common(link, home, &route.tls, &route.parent_refs, "spec");
    piece.placement = placement(link, &route.entry_points, route.tls.is_some(), "spec.entryPoints");
    piece.tls = tls.map(Box::new);
    for (index, rule) in route.routes.iter().enumerate() {
        let place = format!("ingressroute/{}/{index}", label(resource));
        let path = format!("spec.routes[{index}]");
        let match_path = format!("{path}.match");
        let condition = Condition::new(&rule.rule, rule.syntax);
        let refusal = condition.secure(link, piece, &rule.rule, &match_path, refusal.as_ref());
        let others = link.backends.len();
        let (steps, target) = steps_and_target(link, rule, home, &path, &place, refusal.as_ref());
        if !condition.is_whole() {
            link.backends.truncate(others);
        }
        let served = condition.close(link, &rule.rule, &match_path, steps, target);
        let Some((matcher, steps, target)) = served else { continue };
        let id = RouteId::new(place);
        piece.places.push((id.clone(), rule.at));
        piece.http.push(Arc::new(Route {
            id,
            origin: origin(resource, &rule.rule),
            rank: rank(rule.priority, &rule.rule, resource, index),
            matcher,
            steps,
            target,
            timeouts: Timeouts::default(),
        }));
    }
}

fn steps_and_target(
    link: &mut Link<'_, '_>,
    rule: &HttpRule,
    home: Home<'_>,
    path: &str,
    place: &str,
    refusal: Option<&Refusal>,
) -> (Steps, Target) {
    let services = format!("{path}.services");
    let middlewares = format!("{path}.middlewares");
    let steps = link.steps(&rule.middlewares, home, &middlewares, place);
    let (target, own) = service::targets(link, &rule.services, home, rule.at, &services, place);
    (join(steps, own, place, refusal), target)
}

fn file_router(
    link: &mut Link<'_, '_>,
    resource: &Arc<Resource>,
    router: &Router,
    piece: &mut Piece,
) {
    let path = format!("http.routers.{}", resource.name());
    let (refusal, tls) = common(link, Home::File, &router.tls, &router.parent_refs, &path);
    let entry_points = format!("{path}.entryPoints");
    piece.placement = placement(link, &router.entry_points, router.tls.is_some(), &entry_points);
    piece.tls = tls.map(Box::new);
    let rule_path = format!("{path}.rule");
    let condition = Condition::new(&router.rule, router.syntax);
    let refusal = condition.secure(link, piece, &router.rule, &rule_path, refusal.as_ref());
    let place = format!("router/{}", label(resource));
    let steps = link.steps(&router.middlewares, Home::File, &format!("{path}.middlewares"), &place);
    let target = match &router.service {
        Some(service) => service::named(link, service, Home::File, &format!("{path}.service")),
        None => {
            let at = Pos::FIRST;
            let message = "the router has no service".into();
            let fix = Some("name one in `service`".into());
            link.no_target(at, &path, Missing { message, fix })
        }
    };
    let steps = join(steps, Arc::default(), &place, refusal.as_ref());
    if !condition.is_whole() {
        link.backends.clear();
    }
    let served = condition.close(link, &router.rule, &rule_path, steps, target);
    let Some((matcher, steps, target)) = served else { return };
    let id = RouteId::new(place);
    piece.places.push((id.clone(), Pos::FIRST));
    piece.http.push(Arc::new(Route {
        id,
        origin: origin(resource, &router.rule),
        rank: rank(router.priority, &router.rule, resource, 0),
        matcher,
        steps,
        target,
        timeouts: Timeouts::default(),
    }));
}

/// The requests that a router takes.
enum Condition {
    /// As its rule says.
    Whole(Matcher),
    /// Its rule cannot be read, but this is true of all that it was meant for.
    Part(Matcher),
    /// Its rule cannot be read.
    Unknown,
}

// === impl Condition ===

impl Condition {
    fn new(rule: &str, syntax: Syntax) -> Self {
        if let Ok(matcher) = http_matcher(rule, syntax) {
            return Self::Whole(matcher);
        }
        // Without a host it would be true of requests that have nothing to do with the router.
        rule::readable_part(rule, |part| http_matcher(part, syntax))
            .filter(tls::names_hosts)
            .map_or(Self::Unknown, Self::Part)
    }

    /// Whether the router is served as written; if not, nothing is sent to its backends.
    fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Has the router's TLS hold for its hosts; a refusal when TLS protects and cannot.
    fn secure(
        &self,
        link: &mut Link<'_, '_>,
        piece: &mut Piece,
        rule: &Spanned<Box<str>>,
        path: &str,
        refusal: Option<&Refusal>,
    ) -> Option<Refusal> {
        let refusal = refusal.cloned();
        let (Some(tls), Self::Whole(matcher) | Self::Part(matcher)) = (&mut piece.tls, self) else {
            return refusal;
        };
        tls.add_hosts(rule::host_matches(matcher));
        refusal.or_else(|| tls.unprotected(link, matcher, rule.at, path))
    }

    /// What is served. A router with a broken rule is not; but where its steps protect, what is
    /// known to be its own is closed, so that no wider router serves it without them.
    fn close(
        self,
        link: &mut Link<'_, '_>,
        rule: &Spanned<Box<str>>,
        path: &str,
        steps: Steps,
        target: Target,
    ) -> Option<(Matcher, Steps, Target)> {
        let matcher = match self {
            Self::Whole(matcher) => return Some((matcher, steps, target)),
            Self::Part(matcher) => Some(matcher),
            Self::Unknown => None,
        };
        let protecting = steps.iter().find(|step| step.kind.protects())?;
        let Some(matcher) = matcher else {
            let message = format!(
                "the rule cannot be read, and names no host to close: other routers may take its \
                 requests, and serve them without `{}`",
                protecting.id
            );
            link.say(Severity::Error, rule.at, path, &message, Some("correct the rule".into()));
            return None;
        };
        let hosts: Vec<String> =
            rule::host_matches(&matcher).into_iter().filter_map(tls::host_name).collect();
        let message = format!(
            "the rule cannot be read, and `{}` protects what it takes: requests for {} that the \
             readable parts of the rule take are refused",
            protecting.id,
            hosts.join(", ")
        );
        let missing = Missing { message, fix: Some("correct the rule".into()) };
        let refusal = link.refuse(Reason::PolicyUnenforceable, rule.at, path, missing);
        Some((
            matcher,
            refusing(protecting.id.to_string(), refusal.clone()),
            Target::Refuse(refusal),
        ))
    }
}

/// What the routers of a resource share: a refusal that holds for all, and TLS.
fn common(
    link: &mut Link<'_, '_>,
    home: Home<'_>,
    tls: &Option<RouterTls>,
    parents: &[weft_resources::traefik::ObjectRef],
    path: &str,
) -> (Option<Refusal>, Option<tls::Use>) {
    let mut refusal = parents.first().map(|parent| {
        let message = "routers with parents (`parentRefs`) are not supported".into();
        let fix = Some("write the whole rule into one router, with a chain of middlewares".into());
        let path = format!("{path}.parentRefs");
        let missing = Missing { message, fix };
        link.refuse(Reason::PolicyUnenforceable, parent.at, &path, missing)
    });
    let used = tls.as_ref().and_then(|tls| {
        let used = tls::Use::new(link, home, tls, &format!("{path}.tls"));
        used.map_err(|why| refusal.get_or_insert(why).clone()).ok()
    });
    (refusal, used)
}

/// The steps of a router; a refusal takes the place of all.
fn join(
    steps: Result<Vec<Arc<Step>>, Refusal>,
    own: Steps,
    place: &str,
    refusal: Option<&Refusal>,
) -> Steps {
    match (refusal, steps) {
        (Some(refusal), _) => refusing(place.into(), refusal.clone()),
        (None, Err(refusal)) => refusing(place.into(), refusal),
        (None, Ok(steps)) if steps.is_empty() => own,
        (None, Ok(mut steps)) => {
            steps.extend(own.iter().map(Arc::clone));
            steps.into()
        }
    }
}

/// The entry points of a resource, each with its side.
pub(super) fn placement(
    link: &mut Link<'_, '_>,
    names: &[Spanned<Box<str>>],
    is_tls: bool,
    path: &str,
) -> Vec<(usize, bool)> {
    let known = &link.scope.options().entry_points;
    if names.is_empty() {
        let all = known.iter().enumerate();
        return all.map(|(index, entry_point)| (index, is_tls || entry_point.tls)).collect();
    }
    let mut placement: Vec<(usize, bool)> = Vec::new();
    for (position, name) in names.iter().enumerate() {
        match known.iter().position(|entry_point| entry_point.name == name.value) {
            Some(index) => {
                let place = (index, is_tls || known[index].tls);
                if !placement.contains(&place) {
                    placement.push(place);
                }
            }
            None => {
                let message = format!("there is no entry point `{}`", name.value);
                let known: Vec<&str> = known.iter().map(|entry_point| &*entry_point.name).collect();
                let fix = format!(
                    "use one of {}, or start with --entry-point {}=ADDR",
                    known.join(", "),
                    name.value
                );
                let path = format!("{path}[{position}]");
                link.say(Severity::Error, name.at, &path, &message, Some(fix));
            }
        }
    }
    placement
}

/// Where a route comes from.
pub(super) fn origin(resource: &Resource, rule: &str) -> Origin {
    Origin {
        kind: resource.key.kind.as_ref().into(),
        name: label(resource).into(),
        file: resource.file.as_ref().into(),
        rule: rule.into(),
    }
}

fn rank(priority: i64, rule: &str, resource: &Resource, index: usize) -> Rank {
    let major = if priority == 0 { rule::default_priority(rule) } else { priority };
    ranked(major, resource, index)
}

/// Traefik leaves the order of routers of one priority open. Here the smaller name comes first (as
/// far as its first fourteen bytes tell), then the earlier rule of a document, and then a number
/// that is arbitrary and always the same. Adding a router changes the rank of no other.
pub(super) fn ranked(major: i64, resource: &Resource, index: usize) -> Rank {
    let mut name = [0; 16];
    for (byte, letter) in name.iter_mut().zip(resource.name().bytes().take(14)) {
        *byte = letter;
    }
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    name[14..].copy_from_slice(&index.to_be_bytes());
    let key = u128::MAX - u128::from_be_bytes(name);
    Rank {
        dialect: dialect::TRAEFIK,
        major,
        minor: (key >> 64) as u64,
        detail: key as u64,
        tie: fnv1a(resource.key.to_string().as_bytes()),
    }
}
