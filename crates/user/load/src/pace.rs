//! When the next request may start.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// The schedule of one worker, shared by its lanes.
pub(crate) struct Pacer {
    start: Instant,
    deadline: Option<Instant>,
    remaining: Cell<Option<u64>>,
    open: Option<OpenLoop>,
    issued: Cell<u64>,
    /// Lanes that wait for a slot of their own, the earliest slot first.
    waiting: RefCell<VecDeque<Waiting>>,
    /// A lane has begun to wait.
    arrived: Notify,
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

struct Waiting {
    due: Instant,
    lane: Waker,
}

/// The last stretch before a slot is spent looking at the clock and the sockets: being woken from
/// idle takes the kernel as long, and would count as latency.
const SPIN: Duration = Duration::from_micros(50);

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
            // A deadline out of the clock's range never comes.
            deadline: duration.and_then(|duration| start.checked_add(duration)),
            remaining: Cell::new(requests),
            open,
            issued: Cell::new(0),
            waiting: RefCell::new(VecDeque::new()),
            arrived: Notify::new(),
        }
    }

    /// Waits for the next slot and returns its intended start, or `None` when the run is over.
    /// Not cancel safe: a slot is taken at once. In an open loop, [`Pacer::drive`] must run.
    pub(crate) async fn next(&self) -> Option<Instant> {
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
        if intended > now {
            self.wait(intended).await;
        }
        Some(intended)
    }

    /// Wakes the lanes when their slots are due; never ends.
    pub(crate) async fn drive(&self, timer: &Timer) {
        loop {
            let earliest = self.waiting.borrow().front().map(|waiting| waiting.due);
            let Some(due) = earliest else {
                self.arrived.notified().await;
                continue;
            };
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                self.release(Instant::now());
            } else if wait > SPIN {
                timer.wait(wait - SPIN).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Slots that were due before the deadline and never started.
    pub(crate) fn missed(&self) -> u64 {
        let (Some(open), Some(deadline)) = (self.open, self.deadline) else { return 0 };
        let span = deadline.saturating_duration_since(self.start);
        let due = open.slots_before(span);
        let due = self.remaining.get().map_or(due, |left| due.min(self.issued.get() + left));
        due.saturating_sub(self.issued.get())
    }

    async fn wait(&self, due: Instant) {
        let mut is_queued = false;
        std::future::poll_fn(|cx| {
            if is_queued {
                return Poll::Ready(());
            }
            is_queued = true;
            // Slots are given out in order, so the queue is in order.
            let lane = cx.waker().clone();
            self.waiting.borrow_mut().push_back(Waiting { due, lane });
            self.arrived.notify_one();
            Poll::Pending
        })
        .await;
    }

    fn release(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.front().is_some_and(|waiting| waiting.due <= now) {
            if let Some(released) = waiting.pop_front() {
                released.lane.wake();
            }
        }
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
        // Arming it anew forgets this expiration, so there is no need to read it.
        if let Ok(mut guard) = self.fd.readable().await {
            guard.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests;
