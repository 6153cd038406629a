//! Cross-origin rules (Fetch standard, section "CORS protocol"), as Traefik and Gateway API have
//! them.
//!
//! Nothing here keeps a request from the upstream: browsers enforce the rules by what the answer
//! says. So an origin that does not fit gets an answer without the headers.

#[cfg(test)]
mod tests;

use smallvec::SmallVec;
use weft_message::{Fields, InvalidFieldValue, Known, Method, RequestHead, ResponseHead, Scheme};
use weft_model::policy::Cors;

use crate::answer::DirectResponse;
use crate::media;
use crate::step::{RequestContext, ResponseFacts, Verdict};

/// The `Origin` of a request. Usual ones need no memory of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(SmallVec<[u8; 64]>);

/// Longest origin looked at, bytes: a scheme, a host name of 255 and a port.
const ORIGIN_BYTES_MAX: usize = 512;

/// How an origin is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allow {
    /// `*`
    Any,
    /// The origin itself.
    This,
}

/// Notes the origin, and answers preflights.
pub(crate) fn on_request(cors: &Cors, ctx: &mut RequestContext<'_>) -> Verdict {
    if ctx.facts.origin.is_none() {
        ctx.facts.origin = Origin::of(ctx.head);
    }
    let is_preflight = *ctx.head.method() == Method::Options
        && ctx.head.fields.contains(Known::Origin)
        && ctx.head.fields.get(Known::AccessControlRequestMethod).is_some_and(|m| !m.is_empty());
    if !is_preflight {
        return Verdict::Continue;
    }
    let allowed = ctx.facts.origin.as_ref().and_then(|origin| allow(cors, origin));
    if allowed.is_none() && !cors.answer_all_preflights {
        return Verdict::Continue;
    }
    let mut answer = DirectResponse::direct(200);
    match preflight(cors, allowed, ctx, &mut answer.head) {
        Ok(()) => Verdict::respond(answer),
        Err(error) => ctx.refuse_field("access-control-*", error),
    }
}

/// Says whether scripts of the request's origin may read the response. What an upstream says
/// about an origin that fits is replaced; about others it is left to the upstream.
pub(crate) fn on_response(
    cors: &Cors,
    facts: &ResponseFacts,
    head: &mut ResponseHead,
    scratch: &mut String,
) -> Result<(), InvalidFieldValue> {
    let allowed = match &facts.origin {
        Some(origin) => allow(cors, origin),
        // Not a cross-origin request. What holds for all is said, so that caches may keep it.
        None => is_for_all(cors).then_some(Allow::Any),
    };
    if let Some(allowed) = allowed {
        set_origin(cors, allowed, facts.origin.as_ref(), head)?;
        set_exposed(cors, head, scratch)?;
    }
    add_vary(cors, head)
}

/// The answer to a preflight; without `allowed`, one that allows nothing.
fn preflight(
    cors: &Cors,
    allowed: Option<Allow>,
    ctx: &mut RequestContext<'_>,
    head: &mut ResponseHead,
) -> Result<(), InvalidFieldValue> {
    let Cors {
        allow_origins: _,
        allow_origin_patterns: _,
        allow_methods,
        allow_headers,
        expose_headers: _,
        allow_credentials,
        max_age_secs,
        always_vary: _,
        answer_all_preflights: _,
    } = cors;
    add_vary(cors, head)?;
    let Some(allowed) = allowed else { return Ok(()) };
    set_origin(cors, allowed, ctx.facts.origin.as_ref(), head)?;
    let asked = &ctx.head.fields;
    for (list, name, asked_by) in [
        (allow_methods, Known::AccessControlAllowMethods, Known::AccessControlRequestMethod),
        (allow_headers, Known::AccessControlAllowHeaders, Known::AccessControlRequestHeaders),
    ] {
        if *allow_credentials && is_wildcard(list) {
            // With credentials a `*` would mean a method or header of that name.
            if let Some(value) = asked.get(asked_by) {
                head.fields.set(name, value)?;
                head.fields.append(Known::Vary, asked_by.as_str().as_bytes())?;
            }
        } else {
            set_list(name, list, head, ctx.scratch)?;
        }
    }
    set_exposed(cors, head, ctx.scratch)?;
    if let Some(seconds) = max_age_secs {
        head.fields.set(Known::AccessControlMaxAge, seconds.to_string().as_bytes())?;
    }
    Ok(())
}

fn set_origin(
    cors: &Cors,
    allowed: Allow,
    origin: Option<&Origin>,
    head: &mut ResponseHead,
) -> Result<(), InvalidFieldValue> {
    let value = match (allowed, origin) {
        (Allow::This, Some(origin)) => &origin.0[..],
        (Allow::This, None) | (Allow::Any, _) => b"*",
    };
    head.fields.set(Known::AccessControlAllowOrigin, value)?;
    if cors.allow_credentials {
        head.fields.set(Known::AccessControlAllowCredentials, b"true")?;
    }
    Ok(())
}

/// With credentials a `*` would mean a header of that name, so it is left out.
fn set_exposed(
    cors: &Cors,
    head: &mut ResponseHead,
    scratch: &mut String,
) -> Result<(), InvalidFieldValue> {
    if cors.allow_credentials && is_wildcard(&cors.expose_headers) {
        return Ok(());
    }
    set_list(Known::AccessControlExposeHeaders, &cors.expose_headers, head, scratch)
}

fn set_list(
    name: Known,
    list: &[Box<str>],
    head: &mut ResponseHead,
    scratch: &mut String,
) -> Result<(), InvalidFieldValue> {
    if list.is_empty() {
        return Ok(());
    }
    scratch.clear();
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            scratch.push(',');
        }
        scratch.push_str(item);
    }
    head.fields.set(name, scratch.as_bytes())
}

/// The answer depends on the origin unless it is the same for all, and caches must know.
fn add_vary(cors: &Cors, head: &mut ResponseHead) -> Result<(), InvalidFieldValue> {
    let has_rules = !cors.allow_origins.is_empty() || !cors.allow_origin_patterns.is_empty();
    if (cors.always_vary || (has_rules && !is_for_all(cors))) && !varies(&head.fields, b"origin") {
        head.fields.append(Known::Vary, b"Origin")?;
    }
    Ok(())
}

/// Whether `Vary` names the field already.
pub(crate) fn varies(fields: &Fields, name: &[u8]) -> bool {
    fields
        .get_all(Known::Vary)
        .flat_map(media::list)
        .any(|element| element == b"*" || element.eq_ignore_ascii_case(name))
}

/// Whether every origin gets the same answer, `*`.
fn is_for_all(cors: &Cors) -> bool {
    !cors.allow_credentials && is_wildcard(&cors.allow_origins)
}

fn is_wildcard(list: &[Box<str>]) -> bool {
    list.iter().any(|item| &**item == "*")
}

fn allow(cors: &Cors, origin: &Origin) -> Option<Allow> {
    if is_for_all(cors) {
        return Some(Allow::Any);
    }
    let origin = std::str::from_utf8(&origin.0).ok()?;
    let fits = cors.allow_origins.iter().any(|allowed| is_allowed(allowed, origin))
        || cors.allow_origin_patterns.iter().any(|pattern| pattern.is_match(origin));
    fits.then_some(Allow::This)
}

/// Compares scheme, host and port; case does not matter, and neither does a port that the scheme
/// means anyway. Every sandboxed document and local file has the origin `null`, so only its own
/// name allows it.
fn is_allowed(allowed: &str, origin: &str) -> bool {
    if allowed == "*" {
        return !origin.eq_ignore_ascii_case("null");
    }
    let (allowed, origin) = (without_default_port(allowed), without_default_port(origin));
    match allowed.split_once("://*") {
        None => allowed.eq_ignore_ascii_case(origin),
        Some((scheme, suffix)) => {
            let Some((origin_scheme, rest)) = origin.split_once("://") else { return false };
            scheme.eq_ignore_ascii_case(origin_scheme) && ends_in(rest, suffix)
        }
    }
}

/// Whether `host` is one or more characters of a host name and then `suffix`. Without a suffix,
/// any port goes with any host.
fn ends_in(host: &str, suffix: &str) -> bool {
    let name = if suffix.is_empty() { host.split(':').next() } else { strip_suffix(host, suffix) };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(letters))
}

/// Strips `suffix` in any case.
fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (start, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(start)
}

fn without_default_port(origin: &str) -> &str {
    let Some((scheme, _)) = origin.split_once("://") else { return origin };
    let suffix = match Scheme::parse(scheme.as_bytes()) {
        Some(Scheme::Http) => ":80",
        Some(Scheme::Https) => ":443",
        None => return origin,
    };
    origin.strip_suffix(suffix).unwrap_or(origin)
}

// === impl Origin ===

impl Origin {
    /// The one `Origin` of a request. Of several, none can be trusted.
    fn of(head: &RequestHead) -> Option<Self> {
        let mut values = head.fields.get_all(Known::Origin);
        let first = values.next()?;
        let sound = !first.is_empty() && first.len() <= ORIGIN_BYTES_MAX && values.next().is_none();
        sound.then(|| Self(SmallVec::from_slice(first)))
    }
}
