//! Redirects.
//!
//! A location is built from the canonical request: its host is the one that chose the route, its
//! path starts with exactly one slash and holds no backslash. Where users build locations by
//! pattern, the host may come from the template and from the host of the request, never from the
//! path or the query alone, because then any link could lead anywhere under the name of the site.

mod location;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use weft_message::{Known, Method, Scheme, reason_phrase};
use weft_model::outcome::Reason;
use weft_model::policy::Redirect;
use weft_model::text::Pattern;

use crate::answer::{DirectResponse, put};
use crate::expand::{Template, replace_all};
use crate::path;
use crate::step::{RequestContext, Verdict};

use location::Location;

/// Redirects to another scheme or port, unless the request is there already.
///
/// The scheme that the client used is that of a trusted `X-Forwarded-Proto`, else the
/// connection's.
pub(crate) fn by_scheme(
    scheme: &str,
    port: &str,
    permanent: bool,
    ctx: &RequestContext<'_>,
) -> Verdict {
    let from = client_scheme(ctx);
    let from_port = ctx.head.port().filter(|port| *port != from.default_port());
    let default = default_port(scheme);
    let port = port.parse().ok().filter(|port| Some(*port) != default);
    if from.as_str().eq_ignore_ascii_case(scheme) && from_port == port {
        return Verdict::Continue;
    }
    let host = ctx.head.host();
    let mut location = match start(scheme, host, port, ctx) {
        Ok(location) => location,
        Err(refused) => return refused,
    };
    push_path_and_query(ctx, &mut location);
    respond(status(permanent, ctx), location, ctx)
}

/// Redirects when the whole URL (`scheme://host[:port]/path?query`) matches and changes.
pub(crate) fn by_regex(
    pattern: &Pattern,
    replacement: &str,
    permanent: bool,
    ctx: &mut RequestContext<'_>,
) -> Verdict {
    let scheme = connection_scheme(ctx);
    let url = &mut *ctx.scratch;
    url.clear();
    url.push_str(scheme.as_str());
    url.push_str("://");
    url.push_str(ctx.head.authority());
    let authority_end = url.len();
    url.push_str(ctx.head.path_and_query());
    if !pattern.is_match(url) {
        return Verdict::Continue;
    }
    let mut location = Location::new(authority_end);
    replace_all(pattern.regex(), Template::parse(replacement), url, &mut location);
    if location.as_str() == url {
        return Verdict::Continue;
    }
    match location.into_safe() {
        Ok(location) => respond(status(permanent, ctx), location, ctx),
        Err(error) => ctx.refuse(Reason::BadRequest, format!("redirect: {error}")),
    }
}

/// Gateway API `RequestRedirect`.
pub(crate) fn by_parts(redirect: &Redirect, ctx: &mut RequestContext<'_>) -> Verdict {
    let Redirect { scheme, host, port, path: rewrite, status } = redirect;
    let own = connection_scheme(ctx);
    let to = scheme.as_deref().unwrap_or(own.as_str());
    let default = default_port(to);
    // The port of the redirect, else that of its scheme, else the listener's.
    let of_scheme = scheme.as_ref().and(default);
    let port = port.or(of_scheme).unwrap_or(ctx.client.listener_port);
    let port = Some(port).filter(|port| *port != 0 && Some(*port) != default);
    let host = host.as_deref().unwrap_or(ctx.head.host());
    let mut location = match start(to, host, port, ctx) {
        Ok(location) => location,
        Err(refused) => return refused,
    };
    match rewrite {
        None => push_path_and_query(ctx, &mut location),
        Some(rewrite) => {
            path::push_rewritten(rewrite, ctx.head.path(), &mut location);
            push_query(ctx, &mut location);
        }
    }
    respond(*status, location, ctx)
}

fn connection_scheme(ctx: &RequestContext<'_>) -> Scheme {
    if ctx.client.tls { Scheme::Https } else { Scheme::Http }
}

/// A hop before us may have upgraded the connection, so `ws` and `wss` count as the schemes they
/// started from.
fn client_scheme(ctx: &RequestContext<'_>) -> Scheme {
    let said = ctx.head.fields.get(Known::XForwardedProto).unwrap_or_default();
    if said.eq_ignore_ascii_case(b"https") || said.eq_ignore_ascii_case(b"wss") {
        Scheme::Https
    } else if said.eq_ignore_ascii_case(b"http") || said.eq_ignore_ascii_case(b"ws") {
        Scheme::Http
    } else {
        connection_scheme(ctx)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    Scheme::parse(scheme.as_bytes()).map(Scheme::default_port)
}

/// `scheme://host[:port]`.
fn start(
    scheme: &str,
    host: &str,
    port: Option<u16>,
    ctx: &RequestContext<'_>,
) -> Result<String, Verdict> {
    if host.is_empty() {
        return Err(ctx.refuse(Reason::BadRequest, "redirect: the request names no host"));
    }
    let mut out = String::with_capacity(64 + ctx.head.path_and_query().len());
    out.push_str(scheme);
    out.push_str("://");
    out.push_str(host);
    if let Some(port) = port {
        out.push(':');
        out.push_str(&port.to_string());
    }
    Ok(out)
}

fn push_path_and_query(ctx: &RequestContext<'_>, out: &mut String) {
    let path = ctx.head.path();
    // `OPTIONS *` has no path.
    out.push_str(if path.starts_with('/') { path } else { "/" });
    push_query(ctx, out);
}

fn push_query(ctx: &RequestContext<'_>, out: &mut String) {
    if let Some(query) = ctx.head.query() {
        out.push('?');
        out.push_str(query);
    }
}

/// 301 and 302 let clients turn any method into GET, so they are for GET alone.
fn status(permanent: bool, ctx: &RequestContext<'_>) -> u16 {
    match (permanent, *ctx.head.method() == Method::Get) {
        (true, true) => 301,
        (true, false) => 308,
        (false, true) => 302,
        (false, false) => 307,
    }
}

fn respond(status: u16, location: String, ctx: &RequestContext<'_>) -> Verdict {
    let mut answer = DirectResponse::direct(status);
    if let Err(error) = answer.head.fields.set(Known::Location, location.as_bytes()) {
        return ctx.refuse_field(Known::Location.as_str(), error);
    }
    put(&mut answer.head, Known::ContentType, "text/plain; charset=utf-8");
    answer.body = Cow::Borrowed(reason_phrase(status).as_bytes());
    Verdict::respond(answer)
}
