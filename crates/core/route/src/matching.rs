//! Whether a condition holds, without any table.

use std::net::IpAddr;

use weft_message::{FieldName, Known, RequestHead};
use weft_model::route::{HostMatch, Matcher, PathMatch, TcpMatcher};
use weft_model::text::TextMatch;

use crate::query::query_holds;

/// What is asked about one request. Made once per request, so that each part is looked up once.
pub(crate) struct Ask<'a> {
    /// The whole head.
    pub(crate) head: &'a RequestHead,
    /// Its canonical host.
    pub(crate) host: &'a str,
    /// Its canonical path.
    pub(crate) path: &'a str,
    /// The peer.
    pub(crate) client_ip: IpAddr,
}

/// What is asked about one connection, as far as it is known before it is served.
#[derive(Debug, Clone, Copy)]
pub struct TcpAsk<'a> {
    /// The server name of the TLS hello.
    pub sni: Option<&'a str>,
    /// The application protocols that it offers.
    pub alpn: &'a [&'a [u8]],
    /// The peer's address.
    pub client_ip: IpAddr,
    /// The address that the connection was made to.
    pub local_ip: IpAddr,
    /// Whether there is a hello at all.
    pub tls: bool,
}

// === impl Ask ===

impl<'a> Ask<'a> {
    pub(crate) fn new(head: &'a RequestHead, client_ip: IpAddr) -> Self {
        Self { head, host: head.host(), path: head.path(), client_ip }
    }
}

// === functions ===

/// Whether a request satisfies a condition.
///
/// A condition on a header holds when one of its values satisfies it; values are never joined. The
/// header `Host` is the authority as sent upstream. A value that is not UTF-8 is read with
/// replacement characters, as Go does. The peer's address counts as IPv4 when it is an IPv4
/// address in IPv6 form.
pub(crate) fn holds(matcher: &Matcher, ask: &Ask<'_>) -> bool {
    match matcher {
        Matcher::All(list) => list.iter().all(|one| holds(one, ask)),
        Matcher::Any(list) => list.iter().any(|one| holds(one, ask)),
        Matcher::Not(inner) => !holds(inner, ask),
        Matcher::Host(host) => host_holds(host, ask.host),
        Matcher::Path(path) => path_holds(path, ask.path),
        Matcher::Method(method) => ask.head.method() == method,
        Matcher::Header(name, text) => header_holds(name, text, ask.head),
        Matcher::Query(name, text) => query_holds(ask.head.query(), name, text),
        Matcher::ClientIp(net) => net.contains(&ask.client_ip.to_canonical()),
        Matcher::Authority(text) => {
            !ask.head.authority().is_empty() && text.is_match(ask.head.authority())
        }
        Matcher::Scheme(scheme) => ask.head.scheme() == *scheme,
    }
}

/// Whether a connection satisfies a condition. Its server name is in lower case.
pub(crate) fn tcp_holds(matcher: &TcpMatcher, ask: &TcpAsk<'_>) -> bool {
    match matcher {
        TcpMatcher::All(list) => list.iter().all(|one| tcp_holds(one, ask)),
        TcpMatcher::Any(list) => list.iter().any(|one| tcp_holds(one, ask)),
        TcpMatcher::Not(inner) => !tcp_holds(inner, ask),
        TcpMatcher::Sni(HostMatch::Any) => true,
        TcpMatcher::Sni(host) => ask.sni.is_some_and(|name| host_holds(host, name)),
        TcpMatcher::ClientIp(net) => net.contains(&ask.client_ip.to_canonical()),
        TcpMatcher::Alpn(protocol) => ask.alpn.contains(&protocol.as_bytes()),
        TcpMatcher::Destination(net) => net.contains(&ask.local_ip.to_canonical()),
    }
}

pub(crate) fn host_holds(host: &HostMatch, name: &str) -> bool {
    match host {
        HostMatch::Exact(exact) => **exact == *name,
        HostMatch::OneLabel(suffix) => {
            in_front(name, suffix).is_some_and(|label| !label.contains('.'))
        }
        HostMatch::AnyLabels(suffix) => in_front(name, suffix).is_some(),
        HostMatch::Regex(pattern) => pattern.is_match(name),
        HostMatch::Any => true,
    }
}

pub(crate) fn path_holds(path: &PathMatch, text: &str) -> bool {
    match path {
        PathMatch::Exact(exact) => **exact == *text,
        PathMatch::Prefix(prefix) => text.starts_with(&**prefix),
        PathMatch::Segments(prefix) => text
            .strip_prefix(without_slash(prefix))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        PathMatch::Regex(pattern) => pattern.is_match(text),
    }
}

/// The literal of a segment-wise prefix as it is compared: `/` becomes empty.
pub(crate) fn without_slash(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

/// The labels of `name` in front of `suffix`, at least one character.
fn in_front<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    name.strip_suffix(suffix)?.strip_suffix('.').filter(|front| !front.is_empty())
}

fn header_holds(name: &FieldName, text: &TextMatch, head: &RequestHead) -> bool {
    if name.id() == Some(Known::Host) {
        return !head.authority().is_empty() && text.is_match(head.authority());
    }
    head.fields.get_all(name).any(|value| match text {
        TextMatch::Exact(exact) => exact.as_bytes() == value,
        TextMatch::Present => true,
        TextMatch::Regex(pattern) => match std::str::from_utf8(value) {
            Ok(value) => pattern.is_match(value),
            Err(_) => pattern.is_match(&String::from_utf8_lossy(value)),
        },
    })
}

#[cfg(test)]
mod tests;
