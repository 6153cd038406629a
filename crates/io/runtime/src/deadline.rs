//! Coarse deadlines for connections: arming one is a store, not a timer.
//!
//! A request touches its deadline several times (head, upstream, idle), and a tokio timer costs 1
//! to 13 % of a request. So each connection owns a slot in a table of tick numbers of its worker;
//! one task looks over the table every [`TICK`] and wakes the connections whose tick has come. The
//! price is precision: a deadline fires between 0 and two ticks late. Deadlines that a user sets
//! in milliseconds use a real timer instead.
//!
//! The same table wakes every connection when a worker drains.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::time;

/// Precision of a coarse deadline. A scan of 100,000 connections takes some 40 µs, so at ten scans
/// a second the table costs less than a thousandth of a core.
pub const TICK: Duration = Duration::from_millis(100);

const DISARMED: u32 = u32::MAX;
const EXPIRED: u32 = 0;

/// The table of one worker.
#[derive(Debug, Clone)]
pub struct Deadlines(Rc<Table>);

#[derive(Debug)]
struct Table {
    started: Instant,
    now: Cell<u32>,
    ticks: RefCell<Vec<u32>>,
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<u32>>,
}

/// One connection's slot. Dropping it frees the slot.
#[derive(Debug)]
pub struct Watchdog {
    table: Rc<Table>,
    slot: u32,
}

// === impl Deadlines ===

impl Deadlines {
    /// An empty table. [`Deadlines::run`] has to run for it to fire.
    pub fn new() -> Self {
        Self(Rc::new(Table {
            started: time::now(),
            now: Cell::new(1),
            ticks: RefCell::default(),
            wakers: RefCell::default(),
            free: RefCell::default(),
        }))
    }

    /// A slot for the task that polls with `cx`. A slot belongs to one task: it wakes the waker
    /// given here.
    pub fn watchdog(&self, cx: &Context<'_>) -> Watchdog {
        let waker = Some(cx.waker().clone());
        let slot = match self.0.free.borrow_mut().pop() {
            Some(slot) => {
                self.0.ticks.borrow_mut()[slot as usize] = DISARMED;
                self.0.wakers.borrow_mut()[slot as usize] = waker;
                slot
            }
            None => {
                self.0.ticks.borrow_mut().push(DISARMED);
                self.0.wakers.borrow_mut().push(waker);
                self.0.wakers.borrow().len() as u32 - 1
            }
        };
        Watchdog { table: self.0.clone(), slot }
    }

    /// Time as the last scan saw it: at most one [`TICK`] behind.
    pub fn coarse_now(&self) -> Instant {
        self.0.started + TICK * (self.0.now.get() - 1)
    }

    /// The number of the present tick.
    pub fn tick(&self) -> u32 {
        self.0.now.get()
    }

    /// Wakes every task that owns a slot, so that it looks at the worker's drain phase.
    pub fn wake_all(&self) {
        for waker in self.0.wakers.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Scans for ever. The worker spawns it once.
    pub async fn run(self) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            let elapsed = time::now().saturating_duration_since(self.0.started);
            self.0.now.set((elapsed.as_millis() / TICK.as_millis()) as u32 + 1);
            self.scan();
        }
    }

    fn scan(&self) {
        let now = self.0.now.get();
        let wakers = self.0.wakers.borrow();
        for (tick, waker) in self.0.ticks.borrow_mut().iter_mut().zip(wakers.iter()) {
            if *tick <= now && *tick != EXPIRED {
                *tick = EXPIRED;
                if let Some(waker) = waker {
                    waker.wake_by_ref();
                }
            }
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Watchdog ===

impl Watchdog {
    /// Sets the deadline `after` from now, in place of any earlier one.
    pub fn arm(&self, after: Duration) {
        let ticks = (after.as_millis() / TICK.as_millis()).min(u128::from(u32::MAX / 2)) as u32;
        self.set(self.table.now.get() + ticks + 1);
    }

    /// Takes the deadline away.
    pub fn disarm(&self) {
        self.set(DISARMED);
    }

    /// Whether the deadline has passed. Stays so until armed or disarmed.
    pub fn expired(&self) -> bool {
        self.table.ticks.borrow()[self.slot as usize] == EXPIRED
    }

    fn set(&self, tick: u32) {
        self.table.ticks.borrow_mut()[self.slot as usize] = tick;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.set(DISARMED);
        self.table.wakers.borrow_mut()[self.slot as usize] = None;
        self.table.free.borrow_mut().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    async fn fires(watchdog: &Watchdog) {
        poll_fn(|_| if watchdog.expired() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn local<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build_local(tokio::runtime::LocalOptions::default())
            .expect("a runtime can be built")
            .block_on(future)
    }

    #[test]
    fn fires_within_two_ticks() {
        local(async {
            let deadlines = Deadlines::new();
            crate::task::spawn("deadlines", deadlines.clone().run());
            let watchdog = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
            for wanted in [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(10)] {
                let start = time::now();
                watchdog.arm(wanted);
                fires(&watchdog).await;
                let took = time::now() - start;
                assert!(took >= wanted && took <= wanted + 2 * TICK, "{wanted:?} took {took:?}");
            }
        });
    }

    #[test]
    fn disarmed_does_not_fire_and_slots_are_reused() {
        local(async {
            let deadlines = Deadlines::new();
            crate::task::spawn("deadlines", deadlines.clone().run());
            let watchdog = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
            watchdog.arm(Duration::from_millis(300));
            watchdog.disarm();
            time::sleep(Duration::from_secs(5)).await;
            assert!(!watchdog.expired());
            let slot = watchdog.slot;
            drop(watchdog);
            let next = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
            assert_eq!(next.slot, slot);
        });
    }
}
