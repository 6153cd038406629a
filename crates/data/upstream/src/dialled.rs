//! Endpoints that nobody has listed: the addresses that captured connections were made to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use weft_resilience::settings::LimitSettings;

use crate::endpoint::Endpoint;
use crate::pool::Reuse;

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
    pub(crate) fn sweep(&self, now: Instant, reuse: &Reuse) -> usize {
        let mut idle = 0;
        self.known.borrow_mut().retain(|_, known| {
            idle += known.endpoint.sweep(now, reuse);
            let unused = now.saturating_duration_since(known.used) >= reuse.idle_timeout;
            let empty =
                known.endpoint.idle_connections() + known.endpoint.shared_connections() == 0;
            !(unused && empty && known.endpoint.in_flight() == 0)
        });
        idle
    }

    /// Lets one idle connection go, to make another one in its place. False when there is none.
    pub(crate) fn give_way(&self) -> bool {
        self.known.borrow().values().any(|known| known.endpoint.give_way())
    }

    /// Lets an idle connection go at each address where somebody waits for a place.
    pub(crate) fn make_room(&self) {
        let known = self.known.borrow();
        let endpoints = known.values().map(|known| &known.endpoint);
        for endpoint in endpoints.filter(|one| one.shared.under_way.connections.is_wanted()) {
            endpoint.give_way();
        }
    }

    /// Takes what another has remembered.
    pub(crate) fn adopt(&self, before: &Self) {
        self.known.replace(before.known.take());
    }

    /// From now on these are the bounds of each.
    pub(crate) fn set_limits(&self, limits: LimitSettings) {
        for known in self.known.borrow().values() {
            known.endpoint.shared.under_way.set_limits(limits);
        }
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
