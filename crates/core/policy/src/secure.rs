//! Traefik's checks of host and scheme, and its fixed response headers.

#[cfg(test)]
mod tests;

use weft_message::{InvalidFieldValue, Known, ResponseHead};
use weft_model::outcome::Reason;
use weft_model::policy::SecureHeaders;

use crate::fields::is_settable;
use crate::step::{RequestContext, ResponseFacts, Verdict};

/// Status of a request for a host that is not served, as Traefik answers it.
const BAD_HOST_STATUS: u16 = 500;

/// Refuses other hosts, and notes whether the request came by TLS.
pub(crate) fn on_request(settings: &SecureHeaders, ctx: &mut RequestContext<'_>) -> Verdict {
    let SecureHeaders {
        allowed_hosts,
        hosts_proxy_headers,
        sts: _,
        force_sts: _,
        ssl_proxy_headers,
        response: _,
    } = settings;
    let fields = &ctx.head.fields;
    ctx.facts.secure |= ctx.client.tls
        || ssl_proxy_headers.iter().any(|(name, value)| fields.get(name) == Some(value.as_bytes()));
    if allowed_hosts.is_empty() {
        return Verdict::Continue;
    }
    let named = hosts_proxy_headers
        .iter()
        .filter_map(|name| fields.get_str(name))
        .find(|value| !value.is_empty());
    let (host, authority) = match named {
        Some(value) => (without_port(value), value),
        None => (ctx.head.host(), ctx.head.authority()),
    };
    let is_allowed = allowed_hosts.iter().any(|allowed| {
        allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(authority)
    });
    if is_allowed {
        Verdict::Continue
    } else {
        let detail = format!("host `{authority}` is not among the allowed hosts");
        ctx.refuse_with_status(Reason::Forbidden, BAD_HOST_STATUS, detail)
    }
}

/// Sets the fixed headers, and `Strict-Transport-Security` where it means something: browsers
/// ignore it on plain connections (RFC 6797 section 8.1), so it is sent there only when forced.
pub(crate) fn on_response(
    settings: &SecureHeaders,
    facts: &ResponseFacts,
    head: &mut ResponseHead,
) -> Result<(), InvalidFieldValue> {
    let SecureHeaders {
        allowed_hosts: _,
        hosts_proxy_headers: _,
        sts,
        force_sts,
        ssl_proxy_headers: _,
        response,
    } = settings;
    if let Some(sts) = sts
        && (facts.secure || *force_sts)
    {
        head.fields.set(Known::StrictTransportSecurity, sts.as_bytes())?;
    }
    for (name, value) in response.iter().filter(|(name, _)| is_settable(name)) {
        head.fields.set(name, value.as_bytes())?;
    }
    Ok(())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
