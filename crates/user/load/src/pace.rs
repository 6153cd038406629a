//! When the next request may start.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The schedule of one worker, shared by its lanes.
pub(crate) struct Pacer {
    start: Instant,
    deadline: Option<Instant>,
    remaining: Cell<Option<u64>>,
    open: Option<OpenLoop>,
    issued: Cell<u64>,
}

/// This worker's share of a fixed-rate schedule: slot `k` starts at
/// `offset + k * interval` after the common start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenLoop {
    pub(crate) offset: Duration,
    pub(crate) interval_nanos: f64,
}

/// A timer with the kernel's own resolution. tokio's rounds up to a millisecond, which would show
/// as latency of the server.
pub(crate) struct Timer {
    fd: AsyncFd<OwnedFd>,
}

// === impl Pacer ===

impl Pacer {
    pub(crate) fn new(
        start: Instant,
        duration: Option<Duration>,
        requests: Option<u64>,
        open: Option<OpenLoop>,
    ) -> Self {
        Self {
            start,
            deadline: duration.map(|duration| start + duration),
            remaining: Cell::new(requests),
            open,
            issued: Cell::new(0),
        }
    }

    /// Waits for the next slot and returns its intended start, or `None` when the run is over.
    pub(crate) async fn next(&self, timer: Option<&Timer>) -> Option<Instant> {
        if self.remaining.get() == Some(0) {
            return None;
        }
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return None;
        }
        let Some(open) = self.open else {
            self.take();
            return Some(now);
        };
        let intended = self.start + open.slot(self.issued.get());
        if self.deadline.is_some_and(|deadline| intended >= deadline) {
            return None;
        }
        self.take();
        if let Some(wait) = intended.checked_duration_since(now)
            && !wait.is_zero()
        {
            match timer {
                Some(timer) => timer.wait(wait).await,
                None => tokio::time::sleep(wait).await,
            }
        }
        Some(intended)
    }

    /// Slots that were due before the deadline and never started.
    pub(crate) fn missed(&self) -> u64 {
        let (Some(open), Some(deadline)) = (self.open, self.deadline) else { return 0 };
        let span = deadline.saturating_duration_since(self.start);
        let due = open.slots_before(span);
        let due = self.remaining.get().map_or(due, |left| due.min(self.issued.get() + left));
        due.saturating_sub(self.issued.get())
    }

    fn take(&self) {
        self.issued.set(self.issued.get() + 1);
        self.remaining.set(self.remaining.get().map(|left| left - 1));
    }
}

// === impl OpenLoop ===

impl OpenLoop {
    fn slot(self, index: u64) -> Duration {
        self.offset + Duration::from_nanos((index as f64 * self.interval_nanos) as u64)
    }

    fn slots_before(self, span: Duration) -> u64 {
        match span.checked_sub(self.offset) {
            None => 0,
            Some(span) => (span.as_nanos() as f64 / self.interval_nanos).ceil() as u64,
        }
    }
}

// === impl Timer ===

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[allow(
            deprecated,
            reason = "the successor is unsafe to call; the unsoundness needs a descriptor that \
                      changes behind its owner, and an OwnedFd does not"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { fd })
    }

    /// Waits for `wait`, at least a nanosecond (zero would disarm the timer). Cancel safe: the
    /// next call arms the timer anew.
    async fn wait(&self, wait: Duration) {
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos().max(u32::from(wait.as_secs() == 0))),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        if timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::empty(), &once).is_err() {
            return tokio::time::sleep(wait).await;
        }
        let mut expirations = [0_u8; 8];
        while let Ok(mut guard) = self.fd.readable().await {
            let read = guard.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations)?));
            if read.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
