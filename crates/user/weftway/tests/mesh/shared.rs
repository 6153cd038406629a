//! A mesh that several tests use one after the other, because each start costs seconds.

use std::ops::Deref;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::mesh::Mesh;

/// A mesh that starts when the first test asks for it, and ends with the program.
pub(crate) struct Shared(LazyLock<Mutex<Mesh>, fn() -> Mutex<Mesh>>);

/// The mesh, as long as a test has it.
pub(crate) struct Borrowed(MutexGuard<'static, Mesh>);

// === impl Shared ===

impl Shared {
    pub(crate) const fn new(start: fn() -> Mutex<Mesh>) -> Self {
        Self(LazyLock::new(start))
    }

    /// The mesh with these documents in force.
    pub(crate) fn with(&'static self, documents: &str) -> Borrowed {
        let mesh = Borrowed(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        mesh.apply(documents);
        mesh
    }
}

// === impl Borrowed ===

impl Deref for Borrowed {
    type Target = Mesh;

    fn deref(&self) -> &Mesh {
        &self.0
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.machine.show_logs();
        }
    }
}
