//! Traefik's `forwardAuth`: the question to the authorizer, and what its answer changes.
//!
//! Nothing here sends anything. A question that cannot be built or answered closes the way; it never
//! opens it.

#[cfg(test)]
mod tests;

use thiserror::Error;
use weft_message::{
    Fields, InvalidFieldValue, InvalidHost, InvalidTarget, Known, Method, PathRules, RequestHead,
    ResponseHead, Scheme, canonical_path, forwarded,
};
use weft_model::outcome::Reason;
use weft_model::policy::ForwardAuth;
use weft_model::text::Pattern;

use crate::fields::{is_framing, is_settable};
use crate::step::ClientFacts;

/// The question cannot be built. Answer [`Reason::AuthorizerFailed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidQuestion {
    /// The authorizer's path or query is not acceptable.
    #[error("the path of the authorizer is not acceptable")]
    Path(#[from] InvalidTarget),
    /// The authorizer's host is not acceptable.
    #[error("the host of the authorizer is not acceptable")]
    Host(#[from] InvalidHost),
    /// A field does not fit.
    #[error("a field of the question does not fit")]
    Field(#[from] InvalidFieldValue),
}

/// What an authorizer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthVerdict {
    /// The request goes on; its identity headers are the authorizer's now.
    Pass {
        /// For the response.
        cookies: AuthCookies,
    },
    /// The authorizer's answer goes to the client: [`denial`].
    Deny,
}

/// Cookies of the authorizer that go to the client with the response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthCookies {
    /// The authorizer set a cookie, listed or not.
    any: bool,
    /// Values of `Set-Cookie` for listed names.
    listed: Vec<Box<[u8]>>,
}

/// The question about a request: `GET` (or the request's method) to the authorizer, with the
/// request's headers, or those listed, and `X-Forwarded-*` about the request.
///
/// With `trust_forward_header`, what the request says in `X-Forwarded-*` is kept and the peer added;
/// else all of it is made anew. A body, if `forward_body` asks for one, is the path's to add.
///
/// # Errors
///
/// When the settings make no acceptable request, or a field does not fit.
pub fn question(
    settings: &ForwardAuth,
    head: &RequestHead,
    client: ClientFacts,
) -> Result<RequestHead, InvalidQuestion> {
    let scheme = if client.tls { Scheme::Https } else { Scheme::Http };
    let (path, query) = match settings.path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*settings.path, None),
    };
    let mut question = RequestHead::new();
    // CONNECT would make the rest of the connection a tunnel.
    if settings.preserve_method && *head.method() != Method::Connect {
        question.set_method(head.method().clone());
    }
    let path = if path.is_empty() { "/" } else { path };
    question.set_path(&canonical_path(path, &PathRules::default())?)?;
    question.set_query(query)?;
    question.set_authority(&settings.host)?;
    question.fields = copied_fields(settings, &head.fields)?;
    let fields = &mut question.fields;
    forwarded::append_for(fields, client.peer);
    if !fields.contains(Known::XForwardedProto) {
        forwarded::set_proto(fields, scheme, false);
    }
    if !fields.contains(Known::XForwardedPort) {
        let said = fields.get(Known::XForwardedProto).and_then(Scheme::parse).unwrap_or(scheme);
        forwarded::set_port(fields, head.port().unwrap_or(said.default_port()));
    }
    for (name, value) in [
        (Known::XForwardedMethod, head.method().as_str()),
        (Known::XForwardedHost, head.authority()),
        (Known::XForwardedUri, head.path_and_query()),
    ] {
        if !fields.contains(name) {
            fields.set(name, value.as_bytes())?;
        }
    }
    Ok(question)
}

/// Reads the answer of an authorizer: 2xx passes, and the request's identity headers become the
/// authorizer's.
///
/// Every header that the settings take from the authorizer is removed from the request first, under
/// every spelling that an upstream may read as the same name (`X_Auth.User`), whether the authorizer
/// sent one or not.
///
/// # Errors
///
/// When the request has no room for them; it must not go on then.
pub fn apply_answer(
    settings: &ForwardAuth,
    answer: &ResponseHead,
    head: &mut RequestHead,
) -> Result<AuthVerdict, InvalidFieldValue> {
    if !(200..300).contains(&answer.status()) {
        return Ok(AuthVerdict::Deny);
    }
    for name in settings.response_headers.iter().filter(|name| is_settable(name)) {
        head.fields.remove_folded(name);
        for value in answer.fields.get_all(name) {
            head.fields.append(name, value)?;
        }
    }
    if let Some(pattern) = &settings.response_headers_pattern {
        take_by_pattern(pattern, &answer.fields, &mut head.fields)?;
    }
    let mut cookies = AuthCookies::default();
    for cookie in answer.fields.get_all(Known::SetCookie) {
        cookies.any = true;
        if is_listed(settings, cookie) {
            cookies.listed.push(cookie.into());
        }
    }
    Ok(AuthVerdict::Pass { cookies })
}

/// Puts the authorizer's cookies into the response; they replace the upstream's of listed names.
///
/// # Errors
///
/// When the response has no room.
pub fn add_cookies(
    settings: &ForwardAuth,
    cookies: &AuthCookies,
    head: &mut ResponseHead,
) -> Result<(), InvalidFieldValue> {
    if !cookies.any || settings.add_cookies.is_empty() {
        return Ok(());
    }
    head.fields
        .retain(|name, value| name != Known::SetCookie.as_str() || !is_listed(settings, value));
    for cookie in &cookies.listed {
        head.fields.append(Known::SetCookie, cookie)?;
    }
    Ok(())
}

/// The head that a client gets when the authorizer denied: the authorizer's, without what belongs
/// to its connection. The body goes with it.
///
/// A relative `Location` was meant relative to the authorizer and is made absolute, unless
/// `preserve_location`; `tls` says how the authorizer is reached.
///
/// # Errors
///
/// When the location does not fit.
pub fn denial(
    settings: &ForwardAuth,
    answer: &ResponseHead,
    tls: bool,
) -> Result<ResponseHead, InvalidFieldValue> {
    let mut head = ResponseHead::new();
    head.set_status(answer.status());
    head.fields = answer.fields.clone();
    head.fields.strip_hop_by_hop();
    if settings.preserve_location {
        return Ok(head);
    }
    let scheme = if tls { Scheme::Https } else { Scheme::Http };
    if let Some(location) = head.fields.get_str(Known::Location)
        && let Some(absolute) = absolute(location, scheme, settings)
    {
        head.fields.set(Known::Location, absolute.as_bytes())?;
    }
    Ok(head)
}

/// The reason of a denial with this status.
pub fn denial_reason(status: u16) -> Reason {
    match status {
        401 => Reason::Unauthorized,
        // To a page to sign in at.
        300..=399 => Reason::Direct,
        _ => Reason::Forbidden,
    }
}

/// The user that the authorizer names, for logs.
pub fn user<'a>(settings: &ForwardAuth, answer: &'a ResponseHead) -> Option<&'a str> {
    answer.fields.get_str(settings.header.as_ref()?)
}

fn copied_fields(settings: &ForwardAuth, from: &Fields) -> Result<Fields, InvalidFieldValue> {
    let mut all = from.clone();
    all.strip_hop_by_hop();
    all.remove(Known::Expect);
    if !settings.trust_forward_header {
        forwarded::remove_all(&mut all);
    }
    if settings.request_headers.is_empty() {
        return Ok(all);
    }
    let mut listed = Fields::new();
    for (name, value) in &all {
        let is_listed = settings
            .request_headers
            .iter()
            .any(|listed| listed.as_str().eq_ignore_ascii_case(name));
        let is_trusted = settings.trust_forward_header
            && Known::from_bytes(name.as_bytes()).is_some_and(is_about_request);
        if is_listed || is_trusted {
            listed.append(name, value)?;
        }
    }
    Ok(listed)
}

/// What a trusted hop says about the request.
fn is_about_request(name: Known) -> bool {
    matches!(
        name,
        Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedMethod
            | Known::XForwardedPort
            | Known::XForwardedPrefix
            | Known::XForwardedProto
            | Known::XForwardedServer
            | Known::XForwardedTlsClientCert
            | Known::XForwardedTlsClientCertInfo
            | Known::XForwardedUri
            | Known::XRealIp
    )
}

fn take_by_pattern(
    pattern: &Pattern,
    answer: &Fields,
    fields: &mut Fields,
) -> Result<(), InvalidFieldValue> {
    let mut scratch = String::new();
    fields.retain(|name, _| {
        !(pattern.is_match(canonical_name(name, false, &mut scratch))
            || pattern.is_match(canonical_name(name, true, &mut scratch)))
    });
    for (name, value) in answer {
        let is_ours = !is_framing(Known::from_bytes(name.as_bytes()));
        if is_ours && pattern.is_match(canonical_name(name, false, &mut scratch)) {
            fields.append(name, value)?;
        }
    }
    Ok(())
}

/// The name as Go writes it (`X-Auth-User`), which is what users write patterns for; with `fold`,
/// every byte that is neither letter nor digit as a hyphen.
fn canonical_name<'a>(name: &str, fold: bool, scratch: &'a mut String) -> &'a str {
    scratch.clear();
    let mut at_start = true;
    for c in name.chars() {
        let c = if fold && !c.is_ascii_alphanumeric() { '-' } else { c };
        scratch.push(if at_start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
        at_start = c == '-';
    }
    scratch
}

fn is_listed(settings: &ForwardAuth, set_cookie: &[u8]) -> bool {
    let end = set_cookie.iter().position(|byte| b"=;".contains(byte)).unwrap_or(set_cookie.len());
    let name = set_cookie[..end].trim_ascii();
    settings.add_cookies.iter().any(|listed| listed.as_bytes() == name)
}

/// A relative reference resolved against the authorizer's address (RFC 3986 section 5.2), short of
/// removing dot segments, which is the client's; `None` when it is absolute already.
fn absolute(location: &str, scheme: Scheme, settings: &ForwardAuth) -> Option<String> {
    let ForwardAuth { host, path, .. } = settings;
    let end = location.find(['/', '?', '#', ':']).unwrap_or(location.len());
    if location[end..].starts_with(':') && end > 0 {
        return None;
    }
    let base = path.split(['?', '#']).next().unwrap_or_default();
    Some(match location.as_bytes() {
        [b'/', b'/', ..] => format!("{scheme}:{location}"),
        [b'/', ..] => format!("{scheme}://{host}{location}"),
        [] | [b'#', ..] => format!("{scheme}://{host}{path}{location}"),
        [b'?', ..] => format!("{scheme}://{host}{base}{location}"),
        _ => {
            let directory = base.rfind('/').map_or("/", |at| &base[..=at]);
            format!("{scheme}://{host}{directory}{location}")
        }
    })
}
