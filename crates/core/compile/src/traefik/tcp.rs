//! TCP routers and their services.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use weft_model::backend::{
    Backend, Endpoint, Endpoints, HostHeader, UpstreamProtocol, UpstreamTls,
};
use weft_model::calling::{Calling, PoolSettings, ProxyVersion};
use weft_model::id::{BackendId, RouteId};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{Choice, HostMatch, Target, TcpMatcher, TcpRoute, TcpTls, Weighted};
use weft_resilience::settings::SlowStartSettings;
use weft_resources::traefik::file::{RouterTcp, ServerTcp, ServiceTcp};
use weft_resources::traefik::route::RouterTls;
use weft_resources::traefik::service::{TcpServiceRef, TerminationDelay};
use weft_resources::traefik::transport::{ServersTransportTcp, TERMINATION_DELAY};
use weft_resources::traefik::{IngressRouteTcp, MiddlewareTcp, ObjectRef};
use weft_resources::{Kind, Pos, Resource, Severity, Spanned};
use weft_route::rule;

use super::link::Link;
use super::locate::{Home, Missing, label, locate, namespace};
use super::prepare::tcp_matcher;
use super::router::{origin, placement, ranked};
use super::{Piece, server, tls};
use crate::calling::gateway::Ask;
use crate::calling::layers::Part;

/// The bounds that TCP middlewares set.
#[derive(Default)]
struct Bounds {
    in_flight_max: Option<u32>,
    allow: Option<Vec<ipnet::IpNet>>,
    refusal: Option<Refusal>,
}

/// The routes of an `IngressRouteTCP`.
pub(super) fn ingress_route(
    link: &mut Link<'_, '_>,
    resource: &Arc<Resource>,
    route: &IngressRouteTcp,
    piece: &mut Piece,
) {
    let home = Home::of(resource);
    let (tcp_tls, refusal) = common(link, home, &route.tls, "spec.tls", piece);
    piece.placement = placement(link, &route.entry_points, route.tls.is_some(), "spec.entryPoints");
    for (index, rule) in route.routes.iter().enumerate() {
        let Ok(matcher) = tcp_matcher(&rule.rule, rule.syntax) else { continue };
        let path = format!("spec.routes[{index}]");
        check_matcher(link, &matcher, route.tls.is_some(), &rule.rule, &format!("{path}.match"));
        let bounds = bounds(link, &rule.middlewares, home, &format!("{path}.middlewares"));
        let target = targets(link, &rule.services, home, rule.at, &format!("{path}.services"));
        let id = RouteId::new(format!("ingressroutetcp/{}/{index}", label(resource)));
        piece.places.push((id.clone(), rule.at));
        let origin = origin(resource, &rule.rule);
        let rank = ranked(priority(rule.priority, &rule.rule, &matcher), resource, index);
        let refusal = refusal.clone();
        add(piece, id, origin, rank, matcher, tcp_tls.clone(), bounds, target, refusal);
    }
}

/// The route of a TCP router of the file provider.
pub(super) fn file_router(
    link: &mut Link<'_, '_>,
    resource: &Arc<Resource>,
    router: &RouterTcp,
    piece: &mut Piece,
) {
    let path = format!("tcp.routers.{}", resource.name());
    let (tcp_tls, refusal) = common(link, Home::File, &router.tls, &format!("{path}.tls"), piece);
    let entry_points = format!("{path}.entryPoints");
    piece.placement = placement(link, &router.entry_points, router.tls.is_some(), &entry_points);
    let Ok(matcher) = tcp_matcher(&router.rule, router.syntax) else { return };
    let rule_path = format!("{path}.rule");
    check_matcher(link, &matcher, router.tls.is_some(), &router.rule, &rule_path);
    let bounds = bounds(link, &router.middlewares, Home::File, &format!("{path}.middlewares"));
    let target = named(link, &router.service, &format!("{path}.service"));
    let id = RouteId::new(format!("routertcp/{}", label(resource)));
    piece.places.push((id.clone(), Pos::FIRST));
    let origin = origin(resource, &router.rule);
    let rank = ranked(priority(router.priority, &router.rule, &matcher), resource, 0);
    add(piece, id, origin, rank, matcher, tcp_tls, bounds, target, refusal);
}

#[expect(clippy::too_many_arguments, reason = "the parts of one route, used twice")]
fn add(
    piece: &mut Piece,
    id: RouteId,
    origin: weft_model::route::Origin,
    rank: weft_model::route::Rank,
    matcher: TcpMatcher,
    tls: TcpTls,
    bounds: Bounds,
    target: Target,
    refusal: Option<Refusal>,
) {
    if let Some(tls) = &mut piece.tls {
        tls.add_hosts(rule::sni_matches(&matcher));
    }
    let target = match refusal.or(bounds.refusal) {
        Some(refusal) => Target::Refuse(refusal),
        None => target,
    };
    piece.tcp.push(Arc::new(TcpRoute {
        id,
        origin,
        rank,
        matcher,
        tls,
        in_flight_max: bounds.in_flight_max,
        allow: bounds.allow.unwrap_or_default(),
        target,
    }));
}

/// TLS of the routers of a resource, and a refusal that holds for all of them.
fn common(
    link: &mut Link<'_, '_>,
    home: Home<'_>,
    written: &Option<RouterTls>,
    path: &str,
    piece: &mut Piece,
) -> (TcpTls, Option<Refusal>) {
    let Some(written) = written else { return (TcpTls::Plain, None) };
    if written.passthrough {
        return (TcpTls::Passthrough, None);
    }
    match tls::Use::new(link, home, written, path) {
        Ok(used) => {
            let options = used.options();
            piece.tls = Some(Box::new(used));
            (TcpTls::Terminate(options), None)
        }
        Err(refusal) => (TcpTls::Terminate(Arc::new(tls::default_options())), Some(refusal)),
    }
}

/// Without TLS there is no server name.
fn check_matcher(
    link: &mut Link<'_, '_>,
    matcher: &TcpMatcher,
    is_tls: bool,
    rule: &Spanned<Box<str>>,
    path: &str,
) {
    let names = rule::sni_matches(matcher);
    if !is_tls && names.iter().any(|name| **name != HostMatch::Any) {
        let message = "a router without `tls` never sees a server name, so this matches nothing";
        let fix = "add `tls: {}`, `tls: {passthrough: true}`, or write HostSNI(`*`)".into();
        link.say(Severity::Error, rule.at, path, message, Some(fix));
    }
}

/// As Traefik: a router that takes everything comes last unless it says otherwise.
fn priority(own: i64, rule: &str, matcher: &TcpMatcher) -> i64 {
    match own {
        0 if *matcher == TcpMatcher::Sni(HostMatch::Any) => -1,
        0 => rule::default_priority(rule),
        own => own,
    }
}

fn bounds(link: &mut Link<'_, '_>, references: &[ObjectRef], home: Home<'_>, path: &str) -> Bounds {
    let mut bounds = Bounds::default();
    for (index, reference) in references.iter().enumerate() {
        let found = locate(link.scope, "MiddlewareTCP", home, reference);
        let body = found.map(|found| &found.body);
        match body {
            Ok(Kind::MiddlewareTcp(middleware)) => match &**middleware {
                MiddlewareTcp::InFlightConn(amount) => {
                    let least = bounds.in_flight_max.map_or(*amount, |other| other.min(*amount));
                    bounds.in_flight_max = Some(least);
                }
                MiddlewareTcp::IpAllowList(ranges) => {
                    bounds.allow = Some(match bounds.allow.take() {
                        None => ranges.clone(),
                        Some(others) => intersect(&others, ranges),
                    });
                    if bounds.allow.as_ref().is_some_and(Vec::is_empty) {
                        let missing = Missing::because("together these lists allow nobody");
                        let path = format!("{path}[{index}]");
                        let reason = Reason::PolicyUnenforceable;
                        bounds.refusal = Some(link.refuse(reason, reference.at, &path, missing));
                    }
                }
            },
            Ok(_) => {}
            Err(missing) => {
                let path = format!("{path}[{index}]");
                let reason = Reason::PolicyUnenforceable;
                let refusal = link.refuse(reason, reference.at, &path, missing);
                bounds.refusal.get_or_insert(refusal);
            }
        }
    }
    bounds
}

/// Ranges that both allow: of two that overlap, the smaller.
fn intersect(left: &[ipnet::IpNet], right: &[ipnet::IpNet]) -> Vec<ipnet::IpNet> {
    let mut both = Vec::new();
    for a in left {
        for b in right {
            if a.contains(b) {
                both.push(*b);
            } else if b.contains(a) {
                both.push(*a);
            }
        }
    }
    both.sort();
    both.dedup();
    both
}

fn targets(
    link: &mut Link<'_, '_>,
    services: &[TcpServiceRef],
    home: Home<'_>,
    at: Pos,
    path: &str,
) -> Target {
    match services {
        [] => {
            let missing = Missing {
                message: "the route has no service".into(),
                fix: Some("name one in `services`".into()),
            };
            link.no_target(at, path, missing)
        }
        [single] => target(link, single, home, &format!("{path}[0]")),
        several => {
            let mut choices = Vec::new();
            for (index, service) in several.iter().enumerate() {
                let target = target(link, service, home, &format!("{path}[{index}]"));
                choices.push(Choice {
                    name: format!("{}-{}", service.target.name, service.port.value).into(),
                    weight: service.weight.unwrap_or(1),
                    steps: Arc::default(),
                    target,
                });
            }
            Target::Weighted(Arc::new(Weighted { choices, sticky: None }))
        }
    }
}

fn target(link: &mut Link<'_, '_>, service: &TcpServiceRef, home: Home<'_>, path: &str) -> Target {
    of_service(link, service, home, path)
        .unwrap_or_else(|missing| link.no_target(service.target.at, path, missing))
}

fn of_service(
    link: &mut Link<'_, '_>,
    service: &TcpServiceRef,
    home: Home<'_>,
    path: &str,
) -> Result<Target, Missing> {
    let namespace = namespace(link.scope, home, &service.target)?;
    let name = &service.target.name;
    let resolved = link
        .scope
        .resolve(namespace, name, &service.port.value)
        .map_err(|error| Missing { message: error.to_string(), fix: Some(error.fix().into()) })?;
    let is_empty = matches!(&resolved.endpoints, Endpoints::Static(list) if list.is_empty());
    if is_empty && !link.scope.options().allow_empty_services {
        let port = resolved.port;
        let message = format!(
            "service `{namespace}/{name}:{port}` has no endpoint; connections to it are closed"
        );
        let fix = format!("add an EndpointSlice, or start with --backend {name}:{port}=ADDR");
        link.say(Severity::Warning, service.target.at, path, &message, Some(fix));
    }
    let transport = service.servers_transport.as_ref();
    let settings = Settings {
        tls: service.tls,
        proxy_protocol: service.proxy_protocol,
        termination_delay: service.termination_delay,
        transport,
        slow_start: resolved.slow_start,
    };
    let id = format!("tcp/{namespace}/{name}:{}{}", resolved.port, settings.suffix());
    let home = Home::Namespace(namespace);
    let backend = backend(link, home, id, &settings, resolved.endpoints, path)?;
    let ask = Ask {
        caller: link.namespace(),
        namespace,
        name,
        port: resolved.port,
        port_name: &resolved.port_name,
        subset: None,
        is_tls_through: false,
    };
    link.call(ask, backend, &settings.parts(), service.target.at).map(Target::Backend)
}

/// How a TCP service is called.
struct Settings<'a> {
    tls: bool,
    proxy_protocol: Option<u8>,
    termination_delay: Option<TerminationDelay>,
    transport: Option<&'a Spanned<Box<str>>>,
    slow_start: Duration,
}

impl Settings<'_> {
    /// The parts of calls that they speak of, each with the field that does.
    fn parts(&self) -> Vec<(Part, &'static str)> {
        let parts = [
            (self.tls, Part::Tls, "tls"),
            (self.transport.is_some(), Part::Pool, "serversTransport"),
            (self.proxy_protocol.is_some(), Part::Wrapping, "proxyProtocol"),
        ];
        let said = parts.into_iter().filter(|(is_said, ..)| *is_said);
        said.map(|(_, part, field)| (part, field)).collect()
    }

    /// Tells apart the uses of one service with different settings.
    fn suffix(&self) -> String {
        let mut text = String::new();
        if self.tls {
            text.push_str("#tls");
        }
        if let Some(version) = self.proxy_protocol {
            text.push_str(&format!("#proxy{version}"));
        }
        match self.termination_delay {
            Some(TerminationDelay::After(delay)) => {
                text.push_str(&format!("#{}ms", delay.as_millis()));
            }
            Some(TerminationDelay::Never) => text.push_str("#never"),
            None => {}
        }
        if let Some(transport) = self.transport {
            text.push_str(&format!("#{}", transport.value));
        }
        text
    }
}

fn backend(
    link: &mut Link<'_, '_>,
    home: Home<'_>,
    id: String,
    settings: &Settings<'_>,
    endpoints: Endpoints,
    path: &str,
) -> Result<Backend, Missing> {
    let mut pool = PoolSettings::DEFAULT;
    let mut delay = TerminationDelay::After(TERMINATION_DELAY);
    let mut proxy_protocol = None;
    let mut tls = settings.tls.then(UpstreamTls::default);
    if let Some(name) = settings.transport {
        let reference = ObjectRef { name: name.value.clone(), namespace: None, at: name.at };
        let found = locate(link.scope, "ServersTransportTCP", home, &reference)?;
        if let Kind::ServersTransportTcp(transport) = &found.body {
            let transport: &ServersTransportTcp = transport;
            pool.connect_timeout = transport.dial_timeout;
            delay = transport.termination_delay;
            proxy_protocol = transport.proxy_protocol;
            if let Some(written) = &transport.tls {
                let entered = link.enter(found, name.at, path, |link| {
                    server::client_tls(link, Home::of(found), written, "spec.tls")
                });
                tls = Some(entered.and_then(|tls| tls)?);
            }
        }
    }
    if let (Some(tls), Endpoints::Dns { name, .. }) = (&mut tls, &endpoints) {
        tls.server_name.get_or_insert_with(|| name.clone());
    }
    let delay = settings.termination_delay.unwrap_or(delay);
    let version = settings.proxy_protocol.or(proxy_protocol);
    Ok(Backend {
        id: BackendId::new(id),
        endpoints,
        protocol: UpstreamProtocol::Auto,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: match delay {
            TerminationDelay::After(delay) => Some(delay),
            TerminationDelay::Never => None,
        },
        calling: Arc::new(Calling {
            tls: tls.map(Arc::new),
            slow_start: SlowStartSettings::linear(settings.slow_start),
            pool,
            proxy_protocol: version.map(|version| match version {
                1 => ProxyVersion::V1,
                _ => ProxyVersion::V2,
            }),
            ..Calling::default()
        }),
    })
}

/// The target of a TCP service of the file provider.
fn named(link: &mut Link<'_, '_>, reference: &ObjectRef, path: &str) -> Target {
    let result = locate(link.scope, "ServiceTCP", Home::File, reference).and_then(|found| {
        link.enter(found, reference.at, path, |link| of_file_service(link, found))
    });
    result.unwrap_or_else(|missing| link.no_target(reference.at, path, missing))
}

/// The target of a TCP service of the file provider, standing on it.
pub(super) fn of_file_service(link: &mut Link<'_, '_>, resource: &Resource) -> Target {
    let base = format!("tcp.services.{}", resource.name());
    let at = Pos::FIRST;
    let Kind::FileServiceTcp(service) = &resource.body else {
        let message = format!("{} is no service", resource.key);
        return link.no_target(at, &base, Missing::because(message));
    };
    match &**service {
        ServiceTcp::Weighted { services } => {
            let mut choices = Vec::new();
            for (index, (reference, weight)) in services.iter().enumerate() {
                let path = format!("{base}.weighted.services[{index}]");
                choices.push(Choice {
                    name: reference.name.clone(),
                    weight: *weight,
                    steps: Arc::default(),
                    target: named(link, reference, &path),
                });
            }
            Target::Weighted(Arc::new(Weighted { choices, sticky: None }))
        }
        ServiceTcp::LoadBalancer {
            servers,
            servers_transport,
            proxy_protocol,
            termination_delay,
        } => {
            let settings = Settings {
                tls: false,
                proxy_protocol: *proxy_protocol,
                termination_delay: *termination_delay,
                transport: servers_transport.as_ref(),
                slow_start: link.scope.options().slow_start,
            };
            servers_target(link, resource, servers, settings, &base)
                .unwrap_or_else(|missing| link.no_target(at, &base, missing))
        }
    }
}

/// Addresses with the same TLS are one backend; each name to be resolved is one of its own.
fn servers_target(
    link: &mut Link<'_, '_>,
    resource: &Resource,
    servers: &[ServerTcp],
    settings: Settings<'_>,
    path: &str,
) -> Result<Target, Missing> {
    let mut groups: Vec<(bool, u32, Endpoints)> = Vec::new();
    for tls in [false, true] {
        let same = servers.iter().filter(|server| server.tls == tls);
        let mut addresses = Vec::new();
        for server in same {
            match server.host.parse::<IpAddr>() {
                Ok(ip) => {
                    let addr = SocketAddr::new(ip, server.port);
                    addresses.push(Endpoint::new(addr));
                }
                Err(_) => {
                    let name = server.host.to_ascii_lowercase().into();
                    groups.push((tls, 1, Endpoints::Dns { name, port: server.port }));
                }
            }
        }
        if !addresses.is_empty() {
            let weight = addresses.len() as u32;
            groups.push((tls, weight, Endpoints::Static(addresses.into())));
        }
    }
    let is_single = groups.len() == 1;
    let mut choices = Vec::new();
    for (index, (tls, weight, endpoints)) in groups.into_iter().enumerate() {
        let part = if is_single { String::new() } else { format!("/{index}") };
        let name = format!("tcp/{}{part}", label(resource));
        let settings = Settings { tls, ..settings };
        let path = format!("{path}.loadBalancer.serversTransport");
        let backend = backend(link, Home::File, name.clone(), &settings, endpoints, &path)?;
        let target = Target::Backend(link.backend(backend));
        choices.push(Choice { name: name.into(), weight, steps: Arc::default(), target });
    }
    match choices.len() {
        0 => {
            let message = format!("service `{}` has no server", label(resource));
            Err(Missing::because(message))
        }
        1 => Ok(choices.pop().expect("there is one").target),
        _ => Ok(Target::Weighted(Arc::new(Weighted { choices, sticky: None }))),
    }
}
