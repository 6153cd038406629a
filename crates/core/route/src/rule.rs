//! Traefik's rule language.
//!
//! A rule is a condition on requests or connections: matchers such as ``Host(`shop.example`)``
//! joined by `&&` and `||`, negated by `!`, grouped by parentheses. Values are Go strings. Names
//! of matchers are taken as documented, in lower case, in upper case, or with only the first
//! letter large. Two generations of the language are in use: v3 takes one value a call, v2 took
//! lists and `{name:pattern}` templates and is chosen per router.
//!
//! What differs from Traefik, and why:
//!
//! - A value that could never match is refused with the reason (a port in `Host`, `//` or a query
//!   in `Path`) instead of being accepted as a router that serves nothing.
//! - Literals of paths are put into the form that the request's path is compared in: escapes in
//!   upper case, unreserved characters decoded, all else encoded. ``Path(`/a b`)`` takes `/a%20b`.
//! - [`Pattern`](weft_model::text::Pattern)s have a ceiling on their compiled size.

mod catalogue;
mod http;
mod part;
mod regexp;
mod tcp;
mod template;
mod v2;
mod value;

use weft_model::route::{HostMatch, Matcher, TcpMatcher};

use crate::syntax::{self, Fault};

/// The longest rule, in bytes: two thousand hosts fit.
pub const RULE_BYTES_MAX: usize = 64 << 10;

/// The rule is none, or none that could match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct InvalidRule {
    fault: Fault,
}

/// Reads an HTTP rule of the v3 language.
///
/// # Errors
///
/// [`InvalidRule`] names the first thing that is wrong.
pub fn parse_http(rule: &str) -> Result<Matcher, InvalidRule> {
    Ok(syntax::parse(&mut http::Http, rule, RULE_BYTES_MAX)?)
}

/// Reads a TCP rule of the v3 language.
///
/// # Errors
///
/// [`InvalidRule`] names the first thing that is wrong.
pub fn parse_tcp(rule: &str) -> Result<TcpMatcher, InvalidRule> {
    Ok(syntax::parse(&mut tcp::Tcp, rule, RULE_BYTES_MAX)?)
}

/// Reads an HTTP rule of the v2 language.
///
/// # Errors
///
/// [`InvalidRule`] names the first thing that is wrong.
pub fn parse_http_v2(rule: &str) -> Result<Matcher, InvalidRule> {
    Ok(syntax::parse(&mut v2::Http, rule, RULE_BYTES_MAX)?)
}

/// Reads a TCP rule of the v2 language.
///
/// # Errors
///
/// [`InvalidRule`] names the first thing that is wrong.
pub fn parse_tcp_v2(rule: &str) -> Result<TcpMatcher, InvalidRule> {
    Ok(syntax::parse(&mut v2::Tcp, rule, RULE_BYTES_MAX)?)
}

/// What can be read of a rule that `parse` refuses: the parts of its outermost `&&` that are rules
/// by themselves. Every request that the rule was meant for fulfils them. `None` when there is no
/// such part, or when the rule has alternatives (an outermost `||`), so that no part holds for all.
pub fn readable_part(
    rule: &str,
    parse: impl Fn(&str) -> Result<Matcher, InvalidRule>,
) -> Option<Matcher> {
    let mut parts: Vec<Matcher> =
        part::conjuncts(rule)?.into_iter().filter_map(|part| parse(part).ok()).collect();
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Matcher::All(parts)),
    }
}

/// The priority of a router that states none: the length of its rule in bytes, as written.
pub fn default_priority(rule: &str) -> i64 {
    i64::try_from(rule.len()).unwrap_or(i64::MAX)
}

/// The exact hosts that a matcher names and does not exclude, each once, in order.
pub fn hosts(matcher: &Matcher) -> Vec<&str> {
    exact(host_matches(matcher))
}

/// The conditions on the host that a matcher names and does not exclude, in order.
pub fn host_matches(matcher: &Matcher) -> Vec<&HostMatch> {
    let mut found = Vec::new();
    collect_http(matcher, true, &mut found);
    found
}

/// The exact server names that a matcher names and does not exclude, each once, in order.
pub fn sni_names(matcher: &TcpMatcher) -> Vec<&str> {
    exact(sni_matches(matcher))
}

/// The conditions on the server name that a matcher names and does not exclude, in order.
pub fn sni_matches(matcher: &TcpMatcher) -> Vec<&HostMatch> {
    let mut found = Vec::new();
    collect_tcp(matcher, true, &mut found);
    found
}

// === impl InvalidRule ===

impl InvalidRule {
    /// The first byte of what is wrong.
    pub fn offset(&self) -> usize {
        self.fault.span.offset
    }

    /// Its length in bytes; 0 when something is missing at the end.
    pub fn length(&self) -> usize {
        self.fault.span.length
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.fault.problem
    }

    /// What would be right, when that is known.
    pub fn remedy(&self) -> Option<&str> {
        self.fault.remedy.as_deref()
    }
}

impl From<Fault> for InvalidRule {
    fn from(fault: Fault) -> Self {
        Self { fault }
    }
}

fn exact(matches: Vec<&HostMatch>) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for host in matches {
        if let HostMatch::Exact(name) = host
            && seen.insert(&**name)
        {
            names.push(name);
        }
    }
    names
}

fn collect_http<'a>(matcher: &'a Matcher, positive: bool, found: &mut Vec<&'a HostMatch>) {
    match matcher {
        Matcher::All(list) | Matcher::Any(list) => {
            list.iter().for_each(|inner| collect_http(inner, positive, found));
        }
        Matcher::Not(inner) => collect_http(inner, !positive, found),
        Matcher::Host(host) if positive => found.push(host),
        Matcher::Host(_)
        | Matcher::Path(_)
        | Matcher::Method(_)
        | Matcher::Header(..)
        | Matcher::Query(..)
        | Matcher::ClientIp(_)
        | Matcher::Authority(_)
        | Matcher::Scheme(_) => {}
    }
}

fn collect_tcp<'a>(matcher: &'a TcpMatcher, positive: bool, found: &mut Vec<&'a HostMatch>) {
    match matcher {
        TcpMatcher::All(list) | TcpMatcher::Any(list) => {
            list.iter().for_each(|inner| collect_tcp(inner, positive, found));
        }
        TcpMatcher::Not(inner) => collect_tcp(inner, !positive, found),
        TcpMatcher::Sni(host) if positive => found.push(host),
        TcpMatcher::Sni(_)
        | TcpMatcher::ClientIp(_)
        | TcpMatcher::Alpn(_)
        | TcpMatcher::Destination(_) => {}
    }
}

#[cfg(test)]
mod tests;
