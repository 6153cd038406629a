//! Rules for TLS that is not terminated, and for all that is no HTTP.

use ipnet::IpNet;

use super::condition::CallMatch;
use super::http::RouteDestination;
use crate::istio::value::{has_items, host, spanned};
use crate::problem::Pos;
use crate::read::Reader;
use crate::resource::Spanned;

/// A rule for TLS that is not terminated.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsRoute {
    /// Takes a connection when one of them does.
    pub matches: Vec<TlsMatch>,
    /// Where connections go.
    pub destinations: Vec<RouteDestination>,
    /// Where it is written.
    pub at: Pos,
}

/// A rule for what is no HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpRoute {
    /// Takes a connection when one of them does; every connection when empty.
    pub matches: Vec<L4Match>,
    /// Where connections go.
    pub destinations: Vec<RouteDestination>,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on a connection with TLS: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsMatch {
    /// Names that the caller may ask for, lower case; a first label `*` stands for any names.
    pub sni_hosts: Vec<Spanned<Box<str>>>,
    /// What does not depend on TLS.
    pub l4: L4Match,
}

/// A condition on a connection: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct L4Match {
    /// Addresses that the caller may have dialled; no condition when empty.
    pub destination_subnets: Vec<Spanned<IpNet>>,
    /// Addresses that the caller may have. Of rules for TCP alone.
    pub source_subnet: Option<Spanned<IpNet>>,
    /// What does not depend on the protocol.
    pub call: CallMatch,
    /// Where it is written.
    pub at: Pos,
}

// === impl TlsRoute ===

impl TlsRoute {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let matches = reader.list("match", |item| item.nested(TlsMatch::read));
        if !has_items(reader, "match") {
            reader.error("a rule for TLS needs `match` with `sniHosts`", None);
        }
        Some(Self { matches, destinations: RouteDestination::take_l4(reader), at: reader.at() })
    }
}

// === impl TcpRoute ===

impl TcpRoute {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        Some(Self {
            matches: reader.list("match", |item| item.nested(L4Match::read_tcp)),
            destinations: RouteDestination::take_l4(reader),
            at: reader.at(),
        })
    }
}

// === impl TlsMatch ===

impl TlsMatch {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let sni_hosts = reader.list("sniHosts", |item| Some(item.spanned(host(item)?)));
        if !has_items(reader, "sniHosts") {
            let fix = Some("write `sniHosts` with the names that callers ask for".into());
            reader.error("a condition on TLS needs at least one name", fix);
        }
        Some(Self { sni_hosts, l4: L4Match::read(reader, None) })
    }
}

// === impl L4Match ===

impl L4Match {
    fn read_tcp(reader: &Reader<'_, '_>) -> Option<Self> {
        let source_subnet = spanned(reader, "sourceSubnet", |field| field.ip_net());
        Some(Self::read(reader, source_subnet))
    }

    fn read(reader: &Reader<'_, '_>, source_subnet: Option<Spanned<IpNet>>) -> Self {
        Self {
            destination_subnets: reader
                .list("destinationSubnets", |item| Some(item.spanned(item.ip_net()?))),
            source_subnet,
            call: CallMatch::read(reader),
            at: reader.at(),
        }
    }
}
