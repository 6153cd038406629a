//! TCP matchers of v3.

use weft_model::route::TcpMatcher;

use crate::rule::catalogue::{Call, Entry, Hints, Text, call};
use crate::rule::value;
use crate::syntax::{Fault, Grammar, Tokens};

/// The language.
pub(super) struct Tcp;

#[derive(Clone, Copy)]
enum Kind {
    HostSni,
    HostSniRegexp,
    ClientIp,
    Alpn,
}

const ENTRIES: &[Entry<Kind>] = &[
    Entry { name: "HostSNI", kind: Kind::HostSni, least: 1, most: 1 },
    Entry { name: "HostSNIRegexp", kind: Kind::HostSniRegexp, least: 1, most: 1 },
    Entry { name: "ClientIP", kind: Kind::ClientIp, least: 1, most: 1 },
    Entry { name: "ALPN", kind: Kind::Alpn, least: 1, most: 1 },
];

/// Names of HTTP matchers in a TCP rule.
pub(super) const HINTS: Hints = &[
    ("Host", "that is for HTTP routes; TCP routes use `HostSNI`"),
    ("HostRegexp", "that is for HTTP routes; TCP routes use `HostSNIRegexp`"),
    ("Path", "TCP routes see no requests, hence no paths"),
    ("PathPrefix", "TCP routes see no requests, hence no paths"),
    ("PathRegexp", "TCP routes see no requests, hence no paths"),
    ("Header", "TCP routes see no requests, hence no headers"),
    ("HeaderRegexp", "TCP routes see no requests, hence no headers"),
    ("Query", "TCP routes see no requests, hence no queries"),
    ("Method", "TCP routes see no requests, hence no methods"),
];

// === impl Tcp ===

impl Grammar for Tcp {
    type Node = TcpMatcher;

    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<TcpMatcher, Fault> {
        let Call { kind, values } = call(tokens, ENTRIES, HINTS)?;
        let [first, ..] = &*values else { return Ok(TcpMatcher::All(Vec::new())) };
        Ok(match kind {
            Kind::HostSni => TcpMatcher::Sni(value::host(first)?),
            Kind::HostSniRegexp => TcpMatcher::Sni(value::host_pattern(first)?),
            Kind::ClientIp => TcpMatcher::ClientIp(value::network(first)?),
            Kind::Alpn => alpn(first)?,
        })
    }

    fn all(&mut self, nodes: Vec<TcpMatcher>) -> TcpMatcher {
        TcpMatcher::All(nodes)
    }

    fn any(&mut self, nodes: Vec<TcpMatcher>) -> TcpMatcher {
        TcpMatcher::Any(nodes)
    }

    fn not(&mut self, node: TcpMatcher) -> TcpMatcher {
        TcpMatcher::Not(Box::new(node))
    }
}

/// An application protocol. `acme-tls/1` belongs to whoever answers certificate challenges.
pub(super) fn alpn(protocol: &Text<'_>) -> Result<TcpMatcher, Fault> {
    if protocol.text == "acme-tls/1" {
        let fault = protocol.fault("`acme-tls/1` is reserved for certificate challenges");
        return Err(fault.remedy("leave the condition out"));
    }
    if protocol.text.len() > 255 {
        return Err(protocol.fault("the name of a protocol is at most 255 bytes long"));
    }
    Ok(TcpMatcher::Alpn(protocol.text.as_ref().into()))
}
