//! How many connections there are, and whose.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::attest::Peer;

/// The part of all connections that one user of this machine may have: the sockets are open to all
/// users, and proxies are one of several.
const SHARES: usize = 4;

/// The connections that there may be. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places(Rc<Shared>);

/// A connection; counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    uid: Option<u32>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    taken: RefCell<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: BTreeMap<u32, usize>,
}

// === impl Places ===

impl Places {
    pub(crate) fn new(max: usize) -> Self {
        Self(Rc::new(Shared { max, taken: RefCell::default() }))
    }

    /// A place for a peer, unless there are too many.
    pub(crate) fn take(&self, peer: &Peer) -> Option<Place> {
        let uid = match peer {
            Peer::Process(process) | Peer::Application(process) => Some(process.uid),
            Peer::Certified { .. }
            | Peer::Returning { .. }
            | Peer::Unknown { .. }
            | Peer::Own(_) => None,
        };
        let mut taken = self.0.taken.borrow_mut();
        let own = uid.and_then(|uid| taken.by_user.get(&uid)).copied().unwrap_or_default();
        if taken.all >= self.0.max || own >= self.0.max.div_ceil(SHARES) {
            tracing::warn!(%peer, "too many connections: this one is closed");
            return None;
        }
        taken.all += 1;
        if let Some(uid) = uid {
            *taken.by_user.entry(uid).or_default() += 1;
        }
        Some(Place { places: self.clone(), uid })
    }

    /// How many there are.
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.borrow().all
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.borrow_mut();
        taken.all -= 1;
        if let Some(uid) = self.uid
            && let Some(own) = taken.by_user.get_mut(&uid)
        {
            *own -= 1;
            if *own == 0 {
                taken.by_user.remove(&uid);
            }
        }
    }
}
