//! Open connections, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use weft_runtime::time;

use super::WorkerMetrics;

/// Connections of one listener that are open, over all workers. Touched once when a connection
/// begins and once when it ends, never by a request.
#[derive(Debug)]
pub(crate) struct OpenConnections {
    open: AtomicU32,
    epoch: Instant,
    /// When one was last seen to end, seconds since the epoch.
    last_secs: AtomicU32,
}

/// Counts a connection as open in its worker until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionCount(Arc<WorkerMetrics>);

/// Counts a connection as open on its listener until it is dropped.
#[derive(Debug)]
pub(crate) struct ListenerCount(Arc<OpenConnections>);

// === impl OpenConnections ===

impl OpenConnections {
    /// None. `epoch` is not later than the first.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { open: AtomicU32::new(0), epoch, last_secs: AtomicU32::new(0) }
    }

    /// Counts one more, unless there are `max` already.
    pub(crate) fn enter(self: &Arc<Self>, max: u32) -> Option<ListenerCount> {
        let room = |open| (open < max).then_some(open + 1);
        self.open.fetch_update(Relaxed, Relaxed, room).ok()?;
        Some(ListenerCount(self.clone()))
    }

    /// For how long there has been none: since the epoch if there never was one.
    pub(crate) fn idle(&self, now: Instant) -> Duration {
        if self.open.load(Relaxed) > 0 {
            return Duration::ZERO;
        }
        let last = self.epoch + Duration::from_secs(self.last_secs.load(Relaxed).into());
        now.saturating_duration_since(last)
    }
}

impl Drop for ListenerCount {
    fn drop(&mut self) {
        let since = time::now().saturating_duration_since(self.0.epoch).as_secs();
        self.0.last_secs.store(u32::try_from(since).unwrap_or(u32::MAX), Relaxed);
        self.0.open.fetch_sub(1, Relaxed);
    }
}

// === impl ConnectionCount ===

impl ConnectionCount {
    pub(super) fn new(metrics: Arc<WorkerMetrics>) -> Self {
        metrics.connections.inc();
        metrics.open.inc();
        Self(metrics)
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}
