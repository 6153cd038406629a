//! Forwarding fields: what clients may not claim, and what a gateway says (as Traefik does).
//!
//! The functions change `fields` only; who is trusted is the caller's to know.

use std::io::Write;
use std::net::IpAddr;

use crate::bytes::{folded_eq, push_decimal};
use crate::fields::Fields;
use crate::known::{Known, UNKNOWN, ids_of};
use crate::request::RequestHead;
use crate::version::Scheme;

/// The hop that a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop<'a> {
    /// Address of the peer that sent the request.
    pub peer: IpAddr,
    /// Whether there was TLS.
    pub scheme: Scheme,
    /// The peer's own forwarding fields are believed.
    pub trusted: bool,
    /// The request asks for a WebSocket: the scheme is then told as `ws` or `wss`.
    pub websocket: bool,
    /// Name of this gateway for `X-Forwarded-Server`; left out when empty.
    pub server: &'a str,
}

/// Which forwarding fields a trusted hop sent.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    real_ip: bool,
    proto: bool,
    port: bool,
    host: bool,
    /// The hop before says that the client used TLS.
    secure: bool,
}

/// What only a trusted hop may send: who the client is, and what it asked for.
const FORWARDING: &[Known] = &[
    Known::Forwarded,
    Known::L5dClientId,
    Known::Via,
    Known::WeftwayDestination,
    Known::XEnvoyAttemptCount,
    Known::XForwardedClientCert,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedMethod,
    Known::XForwardedPort,
    Known::XForwardedPrefix,
    Known::XForwardedProto,
    Known::XForwardedServer,
    Known::XForwardedTlsClientCert,
    Known::XForwardedTlsClientCertInfo,
    Known::XForwardedUri,
    Known::XHttpMethodOverride,
    Known::XOriginalUrl,
    Known::XRealIp,
    Known::XRewriteUrl,
];

/// Membership of [`FORWARDING`] by id.
const IS_FORWARDING: [bool; 256] = ids_of(FORWARDING);

// === impl Found ===

impl Found {
    fn look(&mut self, fields: &Fields) {
        for entry in fields.entries() {
            match Known::from_id(entry.id) {
                Some(Known::XRealIp) => self.real_ip = true,
                Some(Known::XForwardedPort) => self.port = true,
                Some(Known::XForwardedHost) => self.host = true,
                Some(Known::XForwardedProto) => {
                    let proto = fields.value(entry);
                    self.proto = true;
                    self.secure |= proto.eq_ignore_ascii_case(b"https") || proto == b"wss";
                }
                _ => {}
            }
        }
    }
}

// === functions ===

/// Removes every forwarding field, and every name that folds to one (`X_Forwarded.For`), for a
/// hop that is not trusted. How many there were.
pub fn remove_all(fields: &mut Fields) -> usize {
    let before = fields.len();
    fields.retain_entries(|id, name, _| !IS_FORWARDING[usize::from(id)] && !is_alias(id, name));
    before - fields.len()
}

/// Makes the forwarding fields of a request right: what an untrusted hop sent goes, and what is
/// missing is set. `X-Forwarded-For` keeps what a trusted hop said: [`append_for`] adds the peer
/// once nobody looks at the list any more, just before the request goes upstream.
///
/// Call it after [`Fields::strip_hop_by_hop`].
pub fn apply(head: &mut RequestHead, hop: &Hop<'_>) {
    let Hop { peer, scheme, trusted, websocket, server } = *hop;
    let mut found = Found::default();
    if trusted {
        // Even it has no reason to send an alias, which the origin may read as the real one.
        // And only a proxy of the mesh may say where a request goes.
        head.fields.retain_entries(|id, name, _| {
            id != Known::WeftwayDestination as u8 && !is_alias(id, name)
        });
        found.look(&head.fields);
    } else {
        remove_all(&mut head.fields);
    }
    if !found.real_ip {
        head.fields.append_with(Known::XRealIp, |out| push_ip(peer, out));
    }
    if !found.proto {
        let text = proto(scheme, websocket);
        head.fields.append_with(Known::XForwardedProto, |out| out.extend_from_slice(text));
    }
    if !found.port {
        let port = match head.port() {
            Some(port) => port,
            None if found.secure => Scheme::Https.default_port(),
            None => scheme.default_port(),
        };
        let write = |out: &mut Vec<u8>| push_decimal(u64::from(port), out);
        head.fields.append_with(Known::XForwardedPort, write);
    }
    let (authority, fields) = head.authority_and_fields();
    if !found.host && !authority.is_empty() {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(authority.as_bytes());
        fields.append_with(Known::XForwardedHost, write);
    }
    if !server.is_empty() {
        set_server(fields, server);
    }
}

/// Appends `peer` to `X-Forwarded-For`; several fields become one.
pub fn append_for(fields: &mut Fields, peer: IpAddr) {
    fields.join_with(Known::XForwardedFor, b", ", Some(|out: &mut Vec<u8>| push_ip(peer, out)));
}

/// Sets `X-Forwarded-Proto`.
pub fn set_proto(fields: &mut Fields, scheme: Scheme, websocket: bool) {
    let text = proto(scheme, websocket);
    fields.set_with(Known::XForwardedProto, |out| out.extend_from_slice(text));
}

/// Sets `X-Forwarded-Port`.
pub fn set_port(fields: &mut Fields, port: u16) {
    fields.set_with(Known::XForwardedPort, |out| push_decimal(u64::from(port), out));
}

/// Sets `X-Forwarded-Host` to the request's authority.
pub fn set_host(head: &mut RequestHead) {
    let (authority, fields) = head.authority_and_fields();
    fields.set_with(Known::XForwardedHost, |out| out.extend_from_slice(authority.as_bytes()));
}

/// Sets `X-Forwarded-Server`. A name with control bytes is not set.
fn set_server(fields: &mut Fields, server: &str) {
    // The only errors are a name that is no value, and a message that is full.
    let _ = fields.set(Known::XForwardedServer, server.as_bytes());
}

fn proto(scheme: Scheme, websocket: bool) -> &'static [u8] {
    match (scheme, websocket) {
        (Scheme::Http, false) => b"http",
        (Scheme::Https, false) => b"https",
        (Scheme::Http, true) => b"ws",
        (Scheme::Https, true) => b"wss",
    }
}

/// Appends an address; an IPv4 address in IPv6 form as IPv4.
fn push_ip(addr: IpAddr, out: &mut Vec<u8>) {
    match addr.to_canonical() {
        IpAddr::V4(addr) => {
            for (index, octet) in addr.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                push_decimal(u64::from(octet), out);
            }
        }
        // Writing to a vector does not fail.
        addr => drop(write!(out, "{addr}")),
    }
}

/// Whether the name is not well known but folds to a forwarding field.
#[inline]
fn is_alias(id: u8, name: &[u8]) -> bool {
    id == UNKNOWN
        && matches!(name.first(), Some(b'l' | b'L' | b'w' | b'W' | b'x' | b'X'))
        && FORWARDING.iter().any(|known| folded_eq(known.as_str().as_bytes(), name))
}

#[cfg(test)]
mod tests;
