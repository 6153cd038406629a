//! Copies of requests that are under way to a backend, of all workers. Nobody waits for one, so no
//! caller slows down when the backend does: without a bound of their own they would pile up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::shared::SharedBackend;

/// So many are under way to one backend at a time. As many requests as Envoy lets go to a cluster by
/// default.
pub const COPIES_MAX: u32 = 1024;

/// And they hold so many bytes of bodies in memory: sixteen of the largest that are copied.
pub const COPIES_BYTES_MAX: u64 = 64 << 20;

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    count: AtomicU32,
    bytes: AtomicU64,
}

/// One copy under way, until it is dropped.
#[derive(Debug)]
pub struct Copied {
    backend: Arc<SharedBackend>,
    bytes: u64,
}

// === impl Copied ===

impl Copied {
    /// One more, with a body of so many bytes in memory, unless that is too many.
    pub(crate) fn begin(backend: &Arc<SharedBackend>, bytes: u64) -> Option<Self> {
        let Copies { count, bytes: held } = &backend.copies;
        let one_more = |count: u32| (count < COPIES_MAX).then_some(count + 1);
        count.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        let more = |held: u64| held.checked_add(bytes).filter(|held| *held <= COPIES_BYTES_MAX);
        if held.fetch_update(Relaxed, Relaxed, more).is_err() {
            count.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Self { backend: Arc::clone(backend), bytes })
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.backend.copies.count.fetch_sub(1, Relaxed);
        self.backend.copies.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests;
