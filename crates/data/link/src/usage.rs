//! Which services are in use.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weft_model::id::ServiceName;

/// When each service was last used.
#[derive(Debug, Default)]
pub(crate) struct Usage(BTreeMap<ServiceName, Instant>);

// === impl Usage ===

impl Usage {
    /// A service is used.
    pub(crate) fn touch(&mut self, name: ServiceName, now: Instant) {
        self.0.insert(name, now);
    }

    /// Takes out what has not been used for so long.
    pub(crate) fn take_idle(&mut self, idle: Duration, now: Instant) -> Vec<ServiceName> {
        let is_idle = |_: &ServiceName, last: &mut Instant| now.duration_since(*last) >= idle;
        self.0.extract_if(.., is_idle).map(|(name, _)| name).collect()
    }
}
