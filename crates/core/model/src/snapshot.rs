//! One generation of configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::backend::Backend;
use crate::id::BackendId;
use crate::listener::Listener;

/// A number that grows with each published snapshot; the same in logs, metrics and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All a proxy needs to serve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Its generation.
    pub generation: Generation,
    /// Addresses and what is served on them.
    pub listeners: Vec<Arc<Listener>>,
    /// Every destination that a route names.
    pub backends: BTreeMap<BackendId, Arc<Backend>>,
}
