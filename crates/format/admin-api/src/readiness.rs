//! Whether a process is ready.

use serde::{Deserialize, Serialize};

/// Answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessView {
    /// Whether nothing blocks.
    pub ready: bool,
    /// Names of what still blocks, in alphabetical order.
    pub blockers: Vec<String>,
}

// === impl ReadinessView ===

impl ReadinessView {
    /// From the names of what still blocks; ready when there are none.
    pub fn new(blockers: Vec<String>) -> Self {
        Self { ready: blockers.is_empty(), blockers }
    }
}
