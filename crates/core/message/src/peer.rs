//! What proxies of the mesh tell each other, and the application, about the two ends of a call.
//!
//! Between two proxies a request carries `weftway-destination`: the address of the workload that it
//! is for. It is believed only from a peer that has proved its identity, and never reaches an
//! application. Towards the application the proxy says who called, in the fields of Envoy
//! (`x-forwarded-client-cert`) and Linkerd (`l5d-client-id`), so that programs written for either
//! mesh need no change.
//!
//! So that retries do not multiply from hop to hop, a request says how often it was sent
//! (`x-envoy-attempt-count`, which an application may pass on), and the proxy beside an application
//! says of a failure that it comes from further down, where retries were spent already
//! (`weftway-retried`, between proxies, and from an application that retries by itself to the proxy
//! beside it).

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;

use crate::bytes::{folded_eq, push_decimal};
use crate::fields::Fields;
use crate::known::{Known, UNKNOWN, ids_of};

#[cfg(test)]
mod tests;

/// Where a request between two proxies goes: `IP:PORT`, IPv6 in brackets.
pub const DESTINATION: Known = Known::WeftwayDestination;

/// Says of an answer that it fails because of a call further down, for which that call's own retries
/// were spent.
pub const RETRIED: Known = Known::WeftwayRetried;

/// How often a request was sent, this time included.
pub const ATTEMPT: Known = Known::XEnvoyAttemptCount;

/// How often a client of gRPC has sent a request before (gRFC A6).
const GRPC_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// Who is at the other end of a connection of the mesh, for the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller<'a> {
    /// The SPIFFE id of the workload that is called.
    pub own_id: &'a str,
    /// The SPIFFE id of the caller.
    pub id: &'a str,
    /// The caller's service account.
    pub service_account: &'a str,
    /// The caller's namespace.
    pub namespace: &'a str,
    /// The caller's trust domain.
    pub trust_domain: &'a str,
}

/// The destination that a peer of the mesh sent cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// It is not `IP:PORT`, or the port is 0.
    #[error("weftway-destination is not an address and port")]
    Malformed,
    /// There is more than one.
    #[error("weftway-destination is given more than once")]
    Repeated,
}

/// What only a proxy of the mesh may say about a caller.
const CALLER: &[Known] = &[Known::XForwardedClientCert, Known::L5dClientId];

/// Membership of [`CALLER`] by id.
const IS_CALLER: [bool; 256] = ids_of(CALLER);

/// Takes the destination out. Nothing of it stays in `fields`, also when it cannot be used; names
/// that fold to it (`weftway_destination`) go too and do not count.
///
/// `Ok(None)` when there is none. Call it for peers of the mesh only; from anybody else it is
/// removed unread ([`remove_destination`]).
///
/// # Errors
///
/// [`InvalidDestination`].
pub fn take_destination(fields: &mut Fields) -> Result<Option<SocketAddr>, InvalidDestination> {
    let mut values = fields.get_all(DESTINATION);
    let read = match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value).map(Some),
        (Some(_), Some(_)) => Err(InvalidDestination::Repeated),
    };
    remove_destination(fields);
    read
}

/// Removes the destination, and every name that folds to it; how many there were.
pub fn remove_destination(fields: &mut Fields) -> usize {
    let before = fields.len();
    fields
        .retain_entries(|id, name, _| id != DESTINATION as u8 && !is_alias(id, name, DESTINATION));
    before - fields.len()
}

/// Says where a request goes; what was there is replaced.
pub fn set_destination(fields: &mut Fields, addr: SocketAddr) {
    fields.set_with(DESTINATION, |out| push(addr, out));
}

/// Removes what claims to tell who calls, and every name that folds to it; how many there were.
pub fn remove_caller(fields: &mut Fields) -> usize {
    let before = fields.len();
    fields.retain_entries(|id, name, _| {
        !IS_CALLER[usize::from(id)] && !CALLER.iter().any(|known| is_alias(id, name, *known))
    });
    before - fields.len()
}

/// Tells the application who calls, in place of whatever claimed to.
///
/// Call it after [`crate::forwarded::apply`], which takes such fields from a hop that is not trusted.
pub fn set_caller(fields: &mut Fields, caller: &Caller<'_>) {
    let Caller { own_id, id, service_account, namespace, trust_domain } = *caller;
    remove_caller(fields);
    // A SPIFFE id has no byte that would have to be quoted.
    fields.append_with(Known::XForwardedClientCert, |out| {
        push(format_args!("By={own_id};URI={id}"), out);
    });
    fields.append_with(Known::L5dClientId, |out| {
        let kind = "serviceaccount.identity.linkerd";
        push(format_args!("{service_account}.{namespace}.{kind}.{trust_domain}"), out);
    });
}

/// Says of an answer that retries were spent on it further down.
pub fn set_retried(fields: &mut Fields) {
    fields.set_with(RETRIED, |out| out.push(b'1'));
}

/// Takes out what says that retries were spent; whether it was there. Call it for each answer, and
/// believe it of peers of the mesh and of the own application only.
pub fn take_retried(fields: &mut Fields) -> bool {
    fields.remove(RETRIED) > 0
}

/// How often a request was sent already, before it came here: 0 for a first try. Clients of gRPC
/// that try again by themselves have a field of their own for it (gRFC A6).
pub fn attempts_before(fields: &Fields) -> u32 {
    let said = |count: Option<&str>| count.and_then(|count| count.parse::<u32>().ok());
    let tries = said(fields.get_str(ATTEMPT)).unwrap_or(1).saturating_sub(1);
    tries.max(said(fields.get_str(GRPC_ATTEMPTS)).unwrap_or(0))
}

/// Says how often a request was sent.
pub fn set_attempt(fields: &mut Fields, count: u32) {
    fields.set_with(ATTEMPT, |out| push_decimal(count.into(), out));
}

/// Removes what claims to tell how often a request was sent, and every name that folds to it; how
/// many there were.
pub fn remove_attempt(fields: &mut Fields) -> usize {
    let before = fields.len();
    fields.retain_entries(|id, name, _| id != ATTEMPT as u8 && !is_alias(id, name, ATTEMPT));
    before - fields.len()
}

fn parse(value: &[u8]) -> Result<SocketAddr, InvalidDestination> {
    let text = std::str::from_utf8(value).ok();
    let addr = text.and_then(|text| text.parse::<SocketAddr>().ok());
    addr.filter(|addr| addr.port() != 0).ok_or(InvalidDestination::Malformed)
}

fn push(value: impl fmt::Display, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    drop(write!(out, "{value}"));
}

/// Whether the name is not well known but folds to `known`.
#[inline]
fn is_alias(id: u8, name: &[u8], known: Known) -> bool {
    id == UNKNOWN && folded_eq(known.as_str().as_bytes(), name)
}
