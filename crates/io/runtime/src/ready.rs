//! Readiness as a set of named blockers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What still keeps a process from being ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<String>>>);

/// One reason not to be ready. Only [`Blocker::clear`] takes it away; dropping it without keeps
/// the process unready, because whoever was to clear it has failed.
#[derive(Debug)]
#[must_use = "a blocker blocks until it is cleared"]
pub struct Blocker {
    readiness: Readiness,
    name: String,
}

// === impl Readiness ===

impl Readiness {
    /// No blockers: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a blocker. Names tell blockers apart: of two with one name, the first to be cleared
    /// takes both away.
    pub fn block(&self, name: impl Into<String>) -> Blocker {
        let name = name.into();
        self.with(|names| names.insert(name.clone()));
        Blocker { readiness: self.clone(), name }
    }

    /// The names of what still blocks, in order; empty means ready.
    pub fn pending(&self) -> Vec<String> {
        self.with(|names| names.iter().cloned().collect())
    }

    /// Whether nothing blocks.
    pub fn is_ready(&self) -> bool {
        self.with(|names| names.is_empty())
    }

    // The lock is held for one set operation and never across an await.
    fn with<T>(&self, work: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Blocker ===

impl Blocker {
    /// Takes the blocker away.
    pub fn clear(self) {
        tracing::info!(blocker = %self.name, "no longer blocks readiness");
        self.readiness.with(|names| names.remove(&self.name));
    }
}

#[cfg(test)]
mod tests;
