//! Whether a process is ready.

use serde::{Deserialize, Serialize};

/// Answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessView {
    /// Whether nothing blocks.
    pub ready: bool,
    /// Names of what still blocks, in alphabetical order.
    pub blockers: Vec<String>,
    /// The process that says so: two answer while one is upgraded in place. 0 if it does not say.
    #[serde(default)]
    pub process: u32,
}

// === impl ReadinessView ===

impl ReadinessView {
    /// From the names of what still blocks, for that process; ready when there are none.
    pub fn new(blockers: Vec<String>, process: u32) -> Self {
        Self { ready: blockers.is_empty(), blockers, process }
    }
}
