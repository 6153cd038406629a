//! Middlewares that need other resources: basic authentication, forward authentication, error
//! pages.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use weft_message::FieldName;
use weft_model::backend::{
    Backend, Endpoint, Endpoints, HostHeader, UpstreamProtocol, UpstreamTls,
};
use weft_model::calling::{Calling, PoolSettings};
use weft_model::id::{BackendId, PolicyId};
use weft_model::outcome::Reason;
use weft_model::policy::{BasicAuth, ErrorPages, ForwardAuth, Refusal, Step, StepKind};
use weft_model::text::Pattern;
use weft_policy::basic::htpasswd::PasswordHash;
use weft_resilience::settings::SlowStartSettings;
use weft_resources::kubernetes::service::PortRef;
use weft_resources::traefik::file::split_url;
use weft_resources::traefik::middleware as written;
use weft_resources::traefik::middleware::{ErrorService, MiddlewareKind};
use weft_resources::traefik::service::Scheme;
use weft_resources::{Key, Kind, Pos, Resource, Spanned};

use super::link::Link;
use super::locate::{Home, Missing, label};
use super::middleware::{header_name_fix, id, path};
use super::{server, service};

/// The step of such a middleware.
pub(super) fn step(
    link: &mut Link<'_, '_>,
    middleware: &Arc<Resource>,
    kind: &MiddlewareKind,
) -> Result<Arc<Step>, Refusal> {
    let kind = match kind {
        MiddlewareKind::BasicAuth(auth) => basic_auth(link, middleware, auth)?,
        MiddlewareKind::ForwardAuth(auth) => forward_auth(link, middleware, auth)?,
        MiddlewareKind::Errors(errors) => error_pages(link, middleware, errors)?,
        _ => {
            let missing = Missing::because("it is not valid");
            let at = Pos::FIRST;
            return Err(link.refuse(Reason::PolicyUnenforceable, at, "", missing));
        }
    };
    Ok(Arc::new(Step { id: PolicyId::new(id(middleware)), kind }))
}

/// The same about a line that holds the hash of a password.
fn refuse_secret(link: &mut Link<'_, '_>, at: Pos, path: &str, message: String) -> Refusal {
    let refusal = refuse(link, at, path, message);
    if let Some(problem) = link.problems.last_mut() {
        problem.is_secret = true;
    }
    refusal
}

/// Says why a middleware cannot be enforced.
fn refuse(link: &mut Link<'_, '_>, at: Pos, path: &str, message: String) -> Refusal {
    let missing = Missing::because(message);
    link.refuse(Reason::PolicyUnenforceable, at, path, missing)
}

fn header_name(
    link: &mut Link<'_, '_>,
    name: &Spanned<Box<str>>,
    path: &str,
) -> Result<FieldName, Refusal> {
    FieldName::new(name).map_err(|_| {
        let missing = Missing {
            message: format!("`{}` is not the name of a header", name.value),
            fix: Some(header_name_fix(name).into()),
        };
        link.refuse(Reason::PolicyUnenforceable, name.at, path, missing)
    })
}

fn header_names(
    link: &mut Link<'_, '_>,
    names: &[Spanned<Box<str>>],
    path: &str,
) -> Result<Vec<FieldName>, Refusal> {
    names.iter().map(|name| header_name(link, name, path)).collect()
}

fn basic_auth(
    link: &mut Link<'_, '_>,
    middleware: &Resource,
    auth: &written::BasicAuth,
) -> Result<StepKind, Refusal> {
    let mut users = Vec::new();
    for line in &auth.users {
        let path = path(middleware, "basicAuth.users");
        users.extend(
            parse_user(&line.value).map_err(|why| refuse_secret(link, line.at, &path, why))?,
        );
    }
    if let Some(file) = &auth.users_file {
        let path = path(middleware, "basicAuth.usersFile");
        let Some(text) = link.scope.options().files.get(&file.value) else {
            let message = format!("file `{}` cannot be read", file.value);
            return Err(refuse(link, file.at, &path, message));
        };
        let parsed = parse_users(text).map_err(|why| refuse(link, file.at, &path, why))?;
        users.extend(parsed);
    }
    if let Some(secret) = &auth.secret {
        let path = path(middleware, "basicAuth.secret");
        users.extend(secret_users(link, middleware, secret, &path)?);
    }
    if users.is_empty() {
        let at = Pos::FIRST;
        let path = path(middleware, "basicAuth");
        return Err(refuse(link, at, &path, "there is no user".into()));
    }
    let header_path = path(middleware, "basicAuth.headerField");
    let header = auth.header_field.as_ref();
    let header = header.map(|name| header_name(link, name, &header_path)).transpose()?;
    Ok(StepKind::BasicAuth(BasicAuth {
        users,
        realm: auth.realm.clone(),
        header,
        remove_header: auth.remove_header,
    }))
}

/// Name and hash.
type User = (Box<str>, Box<str>);

type Users = Vec<User>;

fn secret_users(
    link: &mut Link<'_, '_>,
    middleware: &Resource,
    secret: &Spanned<Box<str>>,
    path: &str,
) -> Result<Users, Refusal> {
    let namespace = Home::of(middleware).namespace();
    let key = Key::new("", "Secret", namespace, secret.value.clone());
    let Some(Kind::Secret(body)) = link.scope.get(key).map(|resource| &resource.body) else {
        let key = Key::new("", "Secret", namespace, secret.value.clone());
        let name = format!("secret `{namespace}/{}`", secret.value);
        let missing = Missing::resource(link.scope, key, &name);
        return Err(link.refuse(Reason::PolicyUnenforceable, secret.at, path, missing));
    };
    if &*body.kind == "kubernetes.io/basic-auth" {
        let text = |name| body.value(name).and_then(|value| std::str::from_utf8(value).ok());
        let (Some(user), Some(password)) = (text("username"), text("password")) else {
            let message = format!("secret `{}` needs `username` and `password`", secret.value);
            return Err(refuse(link, secret.at, path, message));
        };
        // Traefik hashes such a password the same way.
        let hash = format!("{{SHA}}{}", STANDARD.encode(Sha1::digest(password)));
        return Ok(vec![(user.into(), hash.into())]);
    }
    let mut values = body.data.values();
    let (Some(lines), None) = (values.next(), values.next()) else {
        let message = format!("secret `{}` must hold exactly one value", secret.value);
        return Err(refuse(link, secret.at, path, message));
    };
    parse_users(lines).map_err(|why| refuse(link, secret.at, path, why))
}

/// Reads `htpasswd` lines.
fn parse_users(lines: &[u8]) -> Result<Users, String> {
    let text = std::str::from_utf8(lines).map_err(|_| "the users are not text".to_owned())?;
    let mut users = Vec::new();
    for line in text.lines() {
        users.extend(parse_user(line)?);
    }
    Ok(users)
}

/// Reads one line; comments and empty lines name nobody. Never shows the line: it holds a hash.
fn parse_user(line: &str) -> Result<Option<User>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let wrong = || "a user is not written as `name:hash`".to_owned();
    let (user, hash) = line.split_once(':').ok_or_else(wrong)?;
    if user.is_empty() {
        return Err(wrong());
    }
    PasswordHash::parse(hash).map_err(|error| {
        format!("user `{user}` cannot be checked: {error}; `htpasswd -nB {user}` makes a line")
    })?;
    Ok(Some((user.into(), hash.into())))
}

fn forward_auth(
    link: &mut Link<'_, '_>,
    middleware: &Resource,
    auth: &written::ForwardAuth,
) -> Result<StepKind, Refusal> {
    let field = |name: &str| path(middleware, &format!("forwardAuth.{name}"));
    let (scheme, host, port, rest) = match split_url(&auth.address) {
        Some((Scheme::H2c, ..)) | None => {
            let message = format!("`{}` is not an http or https URL", auth.address.value);
            return Err(refuse(link, auth.address.at, &field("address"), message));
        }
        Some(parts) => parts,
    };
    let backend = authorizer(link, middleware, auth, (scheme, host, port))?;
    let pattern = match &auth.auth_response_headers_regex {
        None => None,
        Some(text) => Some(Pattern::new(text).map_err(|error| {
            refuse(link, text.at, &field("authResponseHeadersRegex"), error.to_string())
        })?),
    };
    let request_headers =
        header_names(link, &auth.auth_request_headers, &field("authRequestHeaders"))?;
    let response_headers =
        header_names(link, &auth.auth_response_headers, &field("authResponseHeaders"))?;
    let header = auth.header_field.as_ref();
    let header = header.map(|name| header_name(link, name, &field("headerField"))).transpose()?;
    let default_port = if scheme == Scheme::Https { 443 } else { 80 };
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let authority = if port == default_port { bracketed } else { format!("{bracketed}:{port}") };
    Ok(StepKind::ForwardAuth(Box::new(ForwardAuth {
        backend,
        host: authority.into(),
        path: if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() },
        trust_forward_header: auth.trust_forward_header,
        request_headers,
        response_headers,
        response_headers_pattern: pattern,
        add_cookies: auth.add_auth_cookies_to_response.clone(),
        forward_body: auth.forward_body,
        body_bytes_max: auth.max_body_size,
        answer_bytes_max: auth.max_response_body_size,
        header,
        preserve_location: auth.preserve_location_header,
        preserve_method: auth.preserve_request_method,
    })))
}

/// The backend made for the address of an authorizer.
fn authorizer(
    link: &mut Link<'_, '_>,
    middleware: &Resource,
    auth: &written::ForwardAuth,
    (scheme, host, port): (Scheme, &str, u16),
) -> Result<BackendId, Refusal> {
    let path = path(middleware, "forwardAuth.tls");
    let home = Home::of(middleware);
    let mut tls = match &auth.tls {
        Some(tls) => server::client_tls(link, home, tls, &path)
            .map_err(|missing| link.refuse(Reason::PolicyUnenforceable, tls.at, &path, missing))?,
        None => UpstreamTls::default(),
    };
    if tls.server_name.is_none() {
        tls.server_name = Some(host.into());
    }
    let (endpoints, slow_start) = address(link, home, host, port);
    // An authorizer answers quickly or not at all; the request waits for it.
    let pool = PoolSettings {
        response_head_timeout: Some(Duration::from_secs(30)), // Traefik's client timeout
        ..PoolSettings::DEFAULT
    };
    Ok(link.backend(Backend {
        id: BackendId::new(format!("forwardauth/{}", label(middleware))),
        endpoints,
        protocol: UpstreamProtocol::Auto,
        health_check: None,
        host: HostHeader::Endpoint,
        termination_delay: None,
        calling: Arc::new(Calling {
            tls: (scheme == Scheme::Https).then(|| Arc::new(tls)),
            slow_start: SlowStartSettings::linear(slow_start),
            retry_budget: link.scope.options().retry_budget,
            pool,
            ..Calling::default()
        }),
    }))
}

/// The addresses of a host in a URL (an address, a service of the same documents, or a DNS name),
/// and how long the share of a new one grows.
fn address(link: &Link<'_, '_>, home: Home<'_>, host: &str, port: u16) -> (Endpoints, Duration) {
    let slow_start = link.scope.options().slow_start;
    if let Ok(ip) = host.parse::<IpAddr>() {
        let addr = SocketAddr::new(ip, port);
        return (Endpoints::Static([Endpoint::new(addr)].into()), slow_start);
    }
    let (name, namespace) = crate::services::service_of_host(host, home.namespace());
    match link.scope.resolve(&namespace, &name, &PortRef::Number(port)) {
        Ok(resolved) => (resolved.endpoints, resolved.slow_start),
        Err(_) => (Endpoints::Dns { name: host.into(), port }, slow_start),
    }
}

fn error_pages(
    link: &mut Link<'_, '_>,
    middleware: &Arc<Resource>,
    errors: &written::Errors,
) -> Result<StepKind, Refusal> {
    let path_of = |name: &str| path(middleware, &format!("errors.{name}"));
    let home = Home::of(middleware);
    let target = match &errors.service {
        ErrorService::Ref(reference) => {
            service::unguarded(link, reference, home, &path_of("service"))
        }
        ErrorService::Name(name) => {
            let path = path_of("service");
            let target = service::named(link, name, home, &path);
            service::aside(link, target, name.at, &path)
        }
    };
    let request_headers = match &errors.request_headers {
        None => None,
        Some(names) => Some(header_names(link, names, &path_of("errorRequestHeaders"))?),
    };
    Ok(StepKind::Errors(Box::new(ErrorPages {
        statuses: errors.statuses.clone(),
        rewrites: errors.rewrites.clone(),
        target,
        query: errors.query.clone(),
        request_headers,
    })))
}
