//! Which address of a request counts as the client's, and what requests are counted by.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use weft_message::{Known, RequestHead};
use weft_model::outcome::Reason;
use weft_model::policy::{IpAllowList, IpStrategy, SourceCriterion};

use crate::step::{RequestContext, Verdict};

/// Longest source kept as it is; longer ones are kept as a digest of 32 bytes.
const PLAIN_BYTES_MAX: usize = 38;

/// What a request is counted by: a small value that needs no memory of its own.
///
/// Sources of different kinds never share a key. Compare or hash [`SourceKey::as_bytes`]; strangers
/// choose the content, so the hash must be a keyed one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceKey {
    len: u8,
    bytes: [u8; PLAIN_BYTES_MAX + 1],
}

/// The address that counts, by `strategy`.
///
/// `None` when there is none: the list in `X-Forwarded-For` is shorter than the depth, everything
/// in it is excluded, or the place holds no address. That is never allowed anywhere.
pub fn source_ip(strategy: &IpStrategy, head: &RequestHead, peer: IpAddr) -> Option<IpAddr> {
    let IpStrategy { depth, excluded, ipv6_subnet } = strategy;
    let addr = if *depth > 0 {
        let count = forwarded(head).count();
        let place = count.checked_sub(*depth as usize)?;
        parse_addr(forwarded(head).nth(place)?)?
    } else if !excluded.is_empty() {
        last_not_excluded(excluded, head)?
    } else {
        peer.to_canonical()
    };
    Some(match (addr, ipv6_subnet) {
        (IpAddr::V6(addr), Some(length)) => IpAddr::V6(network(addr, *length)),
        _ => addr,
    })
}

/// What the request is counted by. Requests without an address, or without the header, share one
/// key.
pub fn source_key(criterion: &SourceCriterion, head: &RequestHead, peer: IpAddr) -> SourceKey {
    match criterion {
        SourceCriterion::Ip(strategy) => match source_ip(strategy, head, peer) {
            Some(IpAddr::V4(addr)) => SourceKey::new(b'4', &addr.octets()),
            Some(IpAddr::V6(addr)) => SourceKey::new(b'6', &addr.octets()),
            None => SourceKey::new(b'-', b""),
        },
        SourceCriterion::Header(name) => match head.fields.get(name) {
            Some(value) => SourceKey::new(b'h', value),
            None => SourceKey::new(b'-', b""),
        },
        SourceCriterion::Host => SourceKey::new(b'o', head.host().as_bytes()),
        SourceCriterion::All => SourceKey::ALL,
    }
}

/// Refuses clients whose address is in none of the ranges.
pub(crate) fn allow(list: &IpAllowList, ctx: &RequestContext<'_>) -> Verdict {
    let IpAllowList { ranges, strategy, reject_status } = list;
    let addr = source_ip(strategy, ctx.head, ctx.client.peer);
    if addr.is_some_and(|addr| ranges.iter().any(|range| range.contains(&addr))) {
        return Verdict::Continue;
    }
    let detail = match addr {
        Some(addr) => format!("client address {addr} is in none of the ranges"),
        None => "the request has no client address by the strategy".into(),
    };
    ctx.refuse_with_status(Reason::Forbidden, *reject_status, detail)
}

/// The elements of `X-Forwarded-For`, all lines in order, the nearest hop last. Empty elements
/// keep their place, or a client could shift the others.
fn forwarded(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    head.fields
        .get_all(Known::XForwardedFor)
        .flat_map(|line| line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
}

/// The last address that is in none of the ranges. What is no address ends the search: nobody can
/// tell who wrote what stands before it.
fn last_not_excluded(excluded: &[IpNet], head: &RequestHead) -> Option<IpAddr> {
    let mut found = None;
    for element in forwarded(head).filter(|element| !element.is_empty()) {
        match parse_addr(element) {
            Some(addr) if excluded.iter().any(|range| range.contains(&addr)) => {}
            other => found = other,
        }
    }
    found
}

/// An address, with or without a port.
fn parse_addr(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let addr = match text.parse::<IpAddr>() {
        Ok(addr) => addr,
        Err(_) => match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => IpAddr::V6(inner.parse().ok()?),
            None => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(addr.to_canonical())
}

fn network(addr: Ipv6Addr, length: u8) -> Ipv6Addr {
    let host_bits = 128u32.saturating_sub(u32::from(length));
    Ipv6Addr::from_bits(addr.to_bits() & u128::MAX.checked_shl(host_bits).unwrap_or(0))
}

// === impl SourceKey ===

impl SourceKey {
    /// All requests together.
    const ALL: Self = {
        let mut bytes = [0; PLAIN_BYTES_MAX + 1];
        bytes[0] = b'*';
        Self { len: 1, bytes }
    };

    fn new(kind: u8, source: &[u8]) -> Self {
        let mut bytes = [0; PLAIN_BYTES_MAX + 1];
        let digest;
        let (kind, source) = if source.len() <= PLAIN_BYTES_MAX {
            (kind, source)
        } else {
            digest = Sha256::digest(source);
            (kind.to_ascii_uppercase(), digest.as_slice())
        };
        bytes[0] = kind;
        bytes[1..=source.len()].copy_from_slice(source);
        Self { len: source.len() as u8 + 1, bytes }
    }

    /// The key: one byte for the kind, then the source or its digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for SourceKey {
    /// Header values may be credentials, so only the kind is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceKey({}, {} bytes)", char::from(self.bytes[0]), self.len)
    }
}
