//! Addresses of hosts that somebody asks for by name, request by request.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use weft_runtime::time;

use super::names::{STALE_MAX, TTL_MAX, TTL_MIN, literal};
use super::{Answer, LOOKUP_TIMEOUT, Lookup, LookupError, SystemLookup};

/// So many are remembered; the one whose answer ends first makes room.
const REMEMBERED_MAX: usize = 1024;

/// The addresses of hosts, of one worker. An answer holds for its TTL, and where no newer one is to
/// be had, for an hour more.
#[derive(Debug, Default)]
pub struct Hosts<L = SystemLookup> {
    lookup: L,
    known: RefCell<HashMap<Box<str>, Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    addr: IpAddr,
    /// When it has to be asked for again.
    ends: Instant,
}

// === impl Hosts ===

impl<L: Lookup> Hosts<L> {
    /// The address of a host; of several, the first that is told.
    ///
    /// Cancel safe: dropping it has no effect.
    ///
    /// # Errors
    ///
    /// [`LookupError`] when nobody tells, and nobody has told for an hour.
    pub async fn addr(&self, host: &str) -> Result<IpAddr, LookupError> {
        if let Some(addr) = literal(host) {
            return Ok(addr);
        }
        let known = self.known.borrow().get(host).copied();
        if let Some(known) = known.filter(|known| known.ends > time::now()) {
            return Ok(known.addr);
        }
        let answer = time::timeout(LOOKUP_TIMEOUT, self.lookup.lookup(host)).await;
        let answer =
            answer.unwrap_or(Err(LookupError::Timeout)).and_then(|Answer { addrs, ttl }| {
                let none = || LookupError::Failed("it has no address".to_owned());
                Ok((*addrs.first().ok_or_else(none)?, ttl))
            });
        let now = time::now();
        match (answer, known.filter(|known| known.ends + STALE_MAX > now)) {
            (Ok((addr, ttl)), _) => {
                let ends = now + ttl.clamp(TTL_MIN, TTL_MAX);
                self.remember(host, Known { addr, ends });
                Ok(addr)
            }
            // Not asked for again at once, lest every request waits.
            (Err(_), Some(stale)) => {
                self.remember(host, Known { ends: now + TTL_MIN, ..stale });
                Ok(stale.addr)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn remember(&self, host: &str, answer: Known) {
        let mut known = self.known.borrow_mut();
        if known.len() >= REMEMBERED_MAX && !known.contains_key(host) {
            let first = known.iter().min_by_key(|(_, known)| known.ends);
            let first = first.map(|(host, _)| host.clone());
            first.map(|host| known.remove(&host));
        }
        known.insert(host.into(), answer);
    }
}
