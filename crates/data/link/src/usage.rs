//! Which services are in use.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use weft_model::id::ServiceName;

/// The services that are in use here: dialled, or led to by rules of those that are.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// When each was last dialled.
    dialled: BTreeMap<ServiceName, Instant>,
    /// What rules of those lead to.
    led: BTreeSet<ServiceName>,
    /// Neither any more, and nobody was told so far.
    unused: BTreeSet<ServiceName>,
}

// === impl Usage ===

impl Usage {
    /// A service is dialled. Whether it was not before.
    pub(crate) fn touch(&mut self, name: ServiceName, now: Instant) -> bool {
        self.unused.remove(&name);
        self.dialled.insert(name, now).is_none()
    }

    /// Those that are dialled.
    pub(crate) fn dialled(&self) -> impl Iterator<Item = &ServiceName> {
        self.dialled.keys()
    }

    /// Those that rules lead to.
    pub(crate) fn led(&self) -> &BTreeSet<ServiceName> {
        &self.led
    }

    /// Rules lead to these, and no longer to others.
    pub(crate) fn lead(&mut self, led: BTreeSet<ServiceName>) {
        let before = std::mem::replace(&mut self.led, led);
        self.unused.extend(before);
        let (dialled, led) = (&self.dialled, &self.led);
        self.unused.retain(|name| !dialled.contains_key(name) && !led.contains(name));
    }

    /// Those that nobody has dialled for so long count as dialled no more.
    pub(crate) fn drop_idle(&mut self, idle: Duration, now: Instant) {
        let is_idle = |_: &ServiceName, last: &mut Instant| now.duration_since(*last) >= idle;
        let gone = self.dialled.extract_if(.., is_idle).map(|(name, _)| name);
        self.unused.extend(gone.filter(|name| !self.led.contains(name)));
    }

    /// Takes out what is in use no more.
    pub(crate) fn take_unused(&mut self) -> BTreeSet<ServiceName> {
        std::mem::take(&mut self.unused)
    }
}
