//! Endpoints that nobody has listed: the addresses that captured connections were made to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;

/// So many are remembered for their idle connections, in each worker and for each backend; the one
/// that was used longest ago makes room.
const REMEMBERED_MAX: usize = 1024;

/// The addresses that were dialled of late.
#[derive(Debug, Default)]
pub(crate) struct DialledEndpoints {
    known: RefCell<HashMap<SocketAddr, Known>>,
}

#[derive(Debug)]
struct Known {
    endpoint: Rc<Endpoint>,
    used: Instant,
}

// === impl DialledEndpoints ===

impl DialledEndpoints {
    /// The endpoint at that address, made when it is not remembered.
    pub(crate) fn get(
        &self,
        addr: SocketAddr,
        now: Instant,
        make: impl FnOnce() -> Endpoint,
    ) -> Rc<Endpoint> {
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.get_mut(&addr) {
            known.used = known.used.max(now);
            return Rc::clone(&known.endpoint);
        }
        if known.len() >= REMEMBERED_MAX {
            let eldest = known.iter().min_by_key(|(_, known)| known.used).map(|(addr, _)| *addr);
            eldest.map(|addr| known.remove(&addr));
        }
        let endpoint = Rc::new(make());
        known.insert(addr, Known { endpoint: Rc::clone(&endpoint), used: now });
        endpoint
    }

    /// Drops idle connections, and endpoints without any that nobody has used for as long; how many
    /// idle connections are left.
    pub(crate) fn sweep(&self, now: Instant, idle_timeout: Duration) -> usize {
        let mut idle = 0;
        self.known.borrow_mut().retain(|_, known| {
            idle += known.endpoint.sweep(now, idle_timeout);
            let unused = now.saturating_duration_since(known.used) >= idle_timeout;
            let empty =
                known.endpoint.idle_connections() + known.endpoint.shared_connections() == 0;
            !(unused && empty && known.endpoint.in_flight() == 0)
        });
        idle
    }

    /// Takes what another has remembered.
    pub(crate) fn adopt(&self, before: &Self) {
        self.known.replace(before.known.take());
    }

    /// Lets go all; what runs may finish.
    pub(crate) fn clear(&self) {
        for (_, known) in self.known.borrow_mut().drain() {
            known.endpoint.clear();
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.borrow().len()
    }
}

#[cfg(test)]
mod tests;
