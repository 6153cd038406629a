//! From references to services to targets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_model::backend::{Endpoint, Endpoints};
use weft_model::policy::Step;
use weft_model::route::{Choice, Failover, Mirror, Mirrors, Target, Weighted};
use weft_resilience::settings::SlowStartSettings;
use weft_resources::kubernetes::service::PortRef;
use weft_resources::traefik::ObjectRef;
use weft_resources::traefik::file;
use weft_resources::traefik::service::{
    BackendSettings, FailoverErrors, Scheme, ServiceKind, ServiceRef, Sticky, TraefikService,
};
use weft_resources::{Kind, Pos, Resource, Severity};

use super::link::{Link, refusing};
use super::locate::{Home, Missing, label, locate, namespace};
use super::server::{self, PortHints, cookie, suffix};
use crate::calling::gateway::Ask;
use crate::services::{Resolved, Unresolved};

/// Parts per million in one percent.
const PERCENT: u32 = 10_000;

/// The target of a router's services, and the steps of a single one.
pub(super) fn targets(
    link: &mut Link<'_, '_>,
    services: &[ServiceRef],
    home: Home<'_>,
    at: Pos,
    path: &str,
    place: &str,
) -> (Target, Arc<[Arc<Step>]>) {
    match services {
        [] => {
            let missing = Missing {
                message: "the route has no service".into(),
                fix: Some("name one in `services`".into()),
            };
            (link.no_target(at, path, missing), Arc::default())
        }
        [single] => {
            let path = format!("{path}[0]");
            let steps = own_steps(link, single, home, &path, place);
            (target(link, single, home, &path), steps)
        }
        several => {
            let choices = choices(link, several, home, path, place);
            (Target::Weighted(Arc::new(Weighted { choices, sticky: None })), Arc::default())
        }
    }
}

/// The target of one reference.
pub(super) fn target(
    link: &mut Link<'_, '_>,
    service: &ServiceRef,
    home: Home<'_>,
    path: &str,
) -> Target {
    let is_service = service.kind == ServiceKind::Service && !service.target.name.contains('@');
    if !is_service {
        return named(link, &service.target, home, path);
    }
    match of_service(link, service, home, path) {
        Ok(target) => target,
        Err(missing) => link.no_target(service.target.at, path, missing),
    }
}

/// The target of a reference behind the service's own middlewares.
fn guarded(
    link: &mut Link<'_, '_>,
    service: &ServiceRef,
    home: Home<'_>,
    path: &str,
    place: &str,
) -> Target {
    let steps = own_steps(link, service, home, path, place);
    let target = target(link, service, home, path);
    if steps.is_empty() {
        return target;
    }
    let choices = vec![Choice { name: choice_name(service, home), weight: 1, steps, target }];
    Target::Weighted(Arc::new(Weighted { choices, sticky: None }))
}

/// The target of a reference that is asked on the side ([`aside`]).
pub(super) fn unguarded(
    link: &mut Link<'_, '_>,
    service: &ServiceRef,
    home: Home<'_>,
    path: &str,
) -> Target {
    if let Some(first) = service.middlewares.first() {
        return link.no_target(first.at, &format!("{path}.middlewares"), guarded_aside());
    }
    let target = target(link, service, home, path);
    aside(link, target, service.target.at, path)
}

/// A target for copies of requests and for questions for error pages, on which no middleware acts:
/// one with services that ask for some is not called.
pub(super) fn aside(link: &mut Link<'_, '_>, target: Target, at: Pos, path: &str) -> Target {
    if has_steps(&target) { link.no_target(at, path, guarded_aside()) } else { target }
}

fn guarded_aside() -> Missing {
    Missing {
        message: "middlewares do not act on copies of requests and on questions for error pages, \
                  so this service is not called"
            .into(),
        fix: Some("name a service without `middlewares`".into()),
    }
}

/// Whether steps stand before any of the services that a target leads to.
fn has_steps(target: &Target) -> bool {
    let chosen = |choice: &Choice| !choice.steps.is_empty() || has_steps(&choice.target);
    match target {
        Target::Backend(_) | Target::Refuse(_) => false,
        Target::Weighted(weighted) => weighted.choices.iter().any(chosen),
        Target::HighestRandomWeight(choices) => choices.iter().any(chosen),
        Target::Mirror(mirrors) => has_steps(&mirrors.main),
        Target::Failover(failover) => has_steps(&failover.main) || has_steps(&failover.fallback),
    }
}

/// The target of a `TraefikService` or a service of the file provider.
pub(super) fn named(
    link: &mut Link<'_, '_>,
    reference: &ObjectRef,
    home: Home<'_>,
    path: &str,
) -> Target {
    let result = find_named(link, reference, home, path);
    result.unwrap_or_else(|missing| link.no_target(reference.at, path, missing))
}

fn find_named(
    link: &mut Link<'_, '_>,
    reference: &ObjectRef,
    home: Home<'_>,
    path: &str,
) -> Result<Target, Missing> {
    if reference.name.ends_with("@internal") {
        let message = format!("`{}` is a part of Traefik that does not exist here", reference.name);
        return Err(Missing::because(message));
    }
    let provider = reference.name.rsplit_once('@').map(|(_, provider)| provider);
    let is_file = match provider {
        None => home == Home::File,
        Some(provider) => provider == "file",
    };
    let kind = if is_file { "Service" } else { "TraefikService" };
    let found = match locate(link.scope, kind, home, reference) {
        Err(missing) if provider == Some("kubernetescrd") => {
            return service_by_joined_name(link, reference, path).ok_or(missing);
        }
        other => other?,
    };
    link.enter(found, reference.at, path, |link| of_resource(link, found))
}

/// The target of a resource that is a service of services, or servers.
pub(super) fn of_resource(link: &mut Link<'_, '_>, resource: &Resource) -> Target {
    match &resource.body {
        Kind::TraefikService(service) => of_traefik_service(link, resource, service),
        Kind::FileService(service) => of_file_service(link, resource, service),
        _ => {
            let missing = Missing::because(format!("{} is no service", resource.key));
            link.no_target(Pos::FIRST, &path_of(resource), missing)
        }
    }
}

/// The path of a service itself, for messages.
fn path_of(resource: &Resource) -> String {
    match Home::of(resource) {
        Home::Namespace(_) => "spec".into(),
        Home::File => format!("http.services.{}", resource.name()),
    }
}

/// `shop-checkout-8080@kubernetescrd` is the port 8080 of `checkout` in `shop`.
fn service_by_joined_name(
    link: &mut Link<'_, '_>,
    reference: &ObjectRef,
    path: &str,
) -> Option<Target> {
    let (name, _) = reference.name.rsplit_once('@')?;
    let (name, port) = name.rsplit_once('-')?;
    let port = port.parse().map_or_else(|_| PortRef::Name(port.into()), PortRef::Number);
    for (at, _) in name.match_indices('-') {
        let (namespace, service) = (&name[..at], &name[at + 1..]);
        let Ok(resolved) = link.scope.resolve(namespace, service, &port) else { continue };
        let settings = BackendSettings::default();
        let home = Home::Namespace(namespace);
        return of_resolved(link, home, service, resolved, &settings, reference.at, path).ok();
    }
    None
}

fn choices(
    link: &mut Link<'_, '_>,
    services: &[ServiceRef],
    home: Home<'_>,
    path: &str,
    place: &str,
) -> Vec<Choice> {
    let mut choices = Vec::with_capacity(services.len());
    for (index, service) in services.iter().enumerate() {
        let path = format!("{path}[{index}]");
        choices.push(Choice {
            name: choice_name(service, home),
            weight: service.weight.unwrap_or(1),
            steps: own_steps(link, service, home, &path, place),
            target: target(link, service, home, &path),
        });
    }
    choices
}

fn choice_name(service: &ServiceRef, home: Home<'_>) -> Box<str> {
    let namespace = service.target.namespace.as_deref().unwrap_or_else(|| home.namespace());
    let name = &service.target.name;
    match &service.port {
        Some(port) => format!("{namespace}-{name}-{}", port.value).into(),
        None => format!("{namespace}-{name}").into(),
    }
}

/// The steps of a service's own middlewares.
fn own_steps(
    link: &mut Link<'_, '_>,
    service: &ServiceRef,
    home: Home<'_>,
    path: &str,
    place: &str,
) -> Arc<[Arc<Step>]> {
    if service.middlewares.is_empty() {
        return Arc::default();
    }
    let path = format!("{path}.middlewares");
    match link.steps(&service.middlewares, home, &path, place) {
        Ok(steps) => steps.into(),
        Err(refusal) => refusing(format!("{place}:{path}"), refusal),
    }
}

fn of_service(
    link: &mut Link<'_, '_>,
    service: &ServiceRef,
    home: Home<'_>,
    path: &str,
) -> Result<Target, Missing> {
    let namespace = namespace(link.scope, home, &service.target)?;
    let name = &*service.target.name;
    let port = match &service.port {
        Some(port) => port.value.clone(),
        None => only_port(link, namespace, name)?,
    };
    let resolved = link.scope.resolve(namespace, name, &port).map_err(missing)?;
    let (at, home) = (service.target.at, Home::Namespace(namespace));
    of_resolved(link, home, name, resolved, &service.settings, at, path)
}

/// The port of a service that has one only.
fn only_port(link: &Link<'_, '_>, namespace: &str, name: &str) -> Result<PortRef, Missing> {
    let mut ports = link.scope.ports(namespace, name);
    match (ports.pop(), ports.pop()) {
        (Some(port), None) => Ok(port),
        (None, _) => Err(missing(Unresolved::NotFound {
            namespace: namespace.into(),
            name: name.into(),
            port: None,
        })),
        (Some(_), Some(_)) => Err(Missing {
            message: format!("service `{namespace}/{name}` has several ports"),
            fix: Some("name one of them in `port`".into()),
        }),
    }
}

fn of_resolved(
    link: &mut Link<'_, '_>,
    home: Home<'_>,
    name: &str,
    resolved: Resolved,
    settings: &BackendSettings,
    at: Pos,
    path: &str,
) -> Result<Target, Missing> {
    let namespace = home.namespace();
    let port = resolved.port;
    let is_empty = matches!(&resolved.endpoints, Endpoints::Static(list) if list.is_empty());
    if is_empty && !link.scope.options().allow_empty_services {
        let message =
            format!("service `{namespace}/{name}:{port}` has no endpoint; it is answered 503");
        let fix = format!("add an EndpointSlice, or start with --backend {name}:{port}=ADDR");
        link.say(Severity::Warning, at, path, &message, Some(fix));
    }
    let hints = PortHints {
        number: port,
        name: &resolved.port_name,
        app_protocol: resolved.app_protocol.as_deref(),
    };
    let id = format!("{namespace}/{name}:{port}{}", suffix(settings));
    let slow_start = resolved.slow_start;
    let mut backend = server::backend(link, home, id, settings, &hints, resolved.endpoints, path)?;
    let sticky = settings.sticky.as_ref();
    let calling = Arc::make_mut(&mut backend.calling);
    calling.slow_start = SlowStartSettings::linear(slow_start);
    calling.sticky =
        sticky.map(|sticky| cookie(sticky, &format!("{namespace}-{name}-{port}@kubernetescrd")));
    let ask = Ask {
        caller: link.namespace(),
        namespace,
        name,
        port,
        port_name: &resolved.port_name,
        subset: None,
        is_tls_through: false,
    };
    link.call(ask, backend, &server::parts(settings), at).map(Target::Backend)
}

fn missing(unresolved: Unresolved) -> Missing {
    Missing { message: unresolved.to_string(), fix: Some(unresolved.fix().into()) }
}

fn of_traefik_service(
    link: &mut Link<'_, '_>,
    resource: &Resource,
    service: &TraefikService,
) -> Target {
    let home = Home::of(resource);
    let place = format!("traefikservice/{}", label(resource));
    match service {
        TraefikService::Weighted { services, sticky } => {
            let choices = choices(link, services, home, "spec.weighted.services", &place);
            weighted(link, resource, choices, sticky.as_deref())
        }
        TraefikService::HighestRandomWeight { services } => {
            let path = "spec.highestRandomWeight.services";
            Target::HighestRandomWeight(choices(link, services, home, path, &place).into())
        }
        TraefikService::Mirroring { main, mirrors, mirror_body, max_body_size } => {
            let main = guarded(link, main, home, "spec.mirroring", &place);
            let mut copies = Vec::new();
            for (index, (mirror, percent)) in mirrors.iter().enumerate() {
                let path = format!("spec.mirroring.mirrors[{index}]");
                let target = unguarded(link, mirror, home, &path);
                copies.push(Mirror { parts_per_million: percent * PERCENT, target });
            }
            mirrored(main, copies, *mirror_body, *max_body_size)
        }
        TraefikService::Failover { service, fallback, errors } => {
            let main = guarded(link, service, home, "spec.failover.service", &place);
            let fallback = guarded(link, fallback, home, "spec.failover.fallback", &place);
            failover(main, fallback, errors.as_ref())
        }
    }
}

fn of_file_service(
    link: &mut Link<'_, '_>,
    resource: &Resource,
    service: &file::Service,
) -> Target {
    let base = format!("http.services.{}", resource.name());
    match service {
        file::Service::LoadBalancer { servers, settings } => {
            match servers_target(link, resource, servers, settings, &base) {
                Ok(target) => target,
                Err(missing) => {
                    let at = Pos::FIRST;
                    link.no_target(at, &base, missing)
                }
            }
        }
        file::Service::Weighted { services, sticky } => {
            let choices = named_choices(link, services, &format!("{base}.weighted.services"));
            weighted(link, resource, choices, sticky.as_deref())
        }
        file::Service::HighestRandomWeight { services } => {
            let path = format!("{base}.highestRandomWeight.services");
            Target::HighestRandomWeight(named_choices(link, services, &path).into())
        }
        file::Service::Mirroring { service, mirrors, mirror_body, max_body_size } => {
            let path = format!("{base}.mirroring");
            let main = named(link, service, Home::File, &format!("{path}.service"));
            let mut copies = Vec::new();
            for (index, (mirror, percent)) in mirrors.iter().enumerate() {
                let path = format!("{path}.mirrors[{index}]");
                let target = named(link, mirror, Home::File, &path);
                let target = aside(link, target, mirror.at, &path);
                copies.push(Mirror { parts_per_million: percent * PERCENT, target });
            }
            mirrored(main, copies, *mirror_body, *max_body_size)
        }
        file::Service::Failover { service, fallback, errors } => {
            let path = format!("{base}.failover");
            let main = named(link, service, Home::File, &format!("{path}.service"));
            let fallback = named(link, fallback, Home::File, &format!("{path}.fallback"));
            failover(main, fallback, errors.as_ref())
        }
    }
}

fn named_choices(
    link: &mut Link<'_, '_>,
    services: &[(ObjectRef, u32)],
    path: &str,
) -> Vec<Choice> {
    let mut choices = Vec::with_capacity(services.len());
    for (index, (reference, weight)) in services.iter().enumerate() {
        choices.push(Choice {
            name: reference.name.clone(),
            weight: *weight,
            steps: Arc::default(),
            target: named(link, reference, Home::File, &format!("{path}[{index}]")),
        });
    }
    choices
}

fn weighted(
    link: &mut Link<'_, '_>,
    resource: &Resource,
    choices: Vec<Choice>,
    sticky: Option<&Sticky>,
) -> Target {
    if choices.is_empty() {
        let missing = Missing {
            message: format!("{} has no service", resource.key),
            fix: Some("name one in `services`".into()),
        };
        return link.no_target(Pos::FIRST, &path_of(resource), missing);
    }
    let sticky = sticky.map(|sticky| cookie(sticky, &qualified(resource)));
    Target::Weighted(Arc::new(Weighted { choices, sticky }))
}

/// What Traefik calls a service in all: its default names of cookies are made from it.
fn qualified(resource: &Resource) -> String {
    match Home::of(resource) {
        Home::Namespace(namespace) => format!("{namespace}-{}@kubernetescrd", resource.name()),
        Home::File => format!("{}@file", resource.name()),
    }
}

fn mirrored(main: Target, mirrors: Vec<Mirror>, body: bool, body_bytes_max: Option<u64>) -> Target {
    Target::Mirror(Arc::new(Mirrors { main, mirrors, body, body_bytes_max, compared: None }))
}

fn failover(main: Target, fallback: Target, errors: Option<&FailoverErrors>) -> Target {
    Target::Failover(Arc::new(Failover {
        main,
        fallback,
        statuses: errors.map(|errors| errors.statuses.clone()).unwrap_or_default(),
        body_bytes_max: errors
            .map_or(0, |errors| errors.max_request_body_bytes.unwrap_or(u64::MAX)),
    }))
}

/// Servers by URL. Addresses of one scheme are one backend; each name to be resolved is one of its
/// own, weighted among the others.
fn servers_target(
    link: &mut Link<'_, '_>,
    resource: &Resource,
    servers: &[file::Server],
    settings: &BackendSettings,
    path: &str,
) -> Result<Target, Missing> {
    let mut groups: Vec<(Scheme, u32, Endpoints, u16)> = Vec::new();
    for scheme in [Scheme::Http, Scheme::Https, Scheme::H2c] {
        let same = servers.iter().filter(|server| server.scheme == scheme && server.weight > 0);
        let (addresses, names): (Vec<_>, Vec<_>) =
            same.partition(|server| server.host.parse::<IpAddr>().is_ok());
        let endpoints: Vec<Endpoint> = addresses
            .iter()
            .filter_map(|server| {
                let ip = server.host.parse().ok()?;
                let addr = SocketAddr::new(ip, server.port);
                Some(Endpoint { weight: server.weight, ..Endpoint::new(addr) })
            })
            .collect();
        if let Some(first) = addresses.first() {
            let weight =
                addresses.iter().fold(0u32, |sum, server| sum.saturating_add(server.weight));
            groups.push((scheme, weight, Endpoints::Static(endpoints.into()), first.port));
        }
        for server in names {
            let name = server.host.to_ascii_lowercase().into();
            let endpoints = Endpoints::Dns { name, port: server.port };
            groups.push((scheme, server.weight, endpoints, server.port));
        }
    }
    let name = label(resource);
    if groups.is_empty() {
        let message = format!("service `{name}` has no server");
        return Err(Missing::because(message));
    }
    let is_single = groups.len() == 1;
    let mut choices = Vec::new();
    for (index, (scheme, weight, endpoints, port)) in groups.into_iter().enumerate() {
        let part = if is_single { String::new() } else { format!("/{index}") };
        let settings = BackendSettings { scheme: Some(scheme), ..settings.clone() };
        let hints = PortHints { number: port, name: "", app_protocol: None };
        let id = format!("{name}{part}");
        let path = format!("{path}.loadBalancer");
        let mut backend =
            server::backend(link, Home::of(resource), id, &settings, &hints, endpoints, &path)?;
        Arc::make_mut(&mut backend.calling).sticky =
            settings.sticky.as_ref().map(|sticky| cookie(sticky, &name));
        let target = Target::Backend(link.backend(backend));
        let name = format!("{name}{part}").into();
        choices.push(Choice { name, weight, steps: Arc::default(), target });
    }
    if is_single {
        return Ok(choices.pop().expect("there is one group").target);
    }
    let sticky = settings.sticky.as_ref().map(|sticky| cookie(sticky, &name));
    Ok(Target::Weighted(Arc::new(Weighted { choices, sticky })))
}
