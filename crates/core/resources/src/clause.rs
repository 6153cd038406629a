//! Which calls a document that protects workloads is about.

/// A part of what a document says of calls, such as an operation in a rule of an
/// AuthorizationPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The ports of the workload that it is about; `None` for all.
    pub ports: Option<Box<[u16]>>,
    /// Whether every call to these ports fits.
    pub is_unconditional: bool,
}

// === impl Clause ===

impl Clause {
    /// Whether it is about a port; without one, about all ports that no clause names.
    pub fn covers(&self, port: Option<u16>) -> bool {
        match (&self.ports, port) {
            (None, _) => true,
            (Some(ports), Some(port)) => ports.contains(&port),
            (Some(_), None) => false,
        }
    }
}
