//! Coarse deadlines for connections: arming one is a store, not a timer.
//!
//! A request touches its deadline several times (head, upstream, idle), and a tokio timer costs 1
//! to 13 % of a request. So each connection owns a slot in a table of tick numbers of its worker;
//! one task looks over the table every tick (a tenth of a second) and wakes the connections whose
//! tick has come. The price is precision: a deadline fires between 0 and two ticks late.
//!
//! Deadlines that a user sets in milliseconds have a timer, one for each connection, which is set
//! again only when it would fire too late, or has fired. That of a request that has ended in time is
//! left as it is: it fires for one of those that have followed, if at all, and is set for that then.
//!
//! The same table wakes every connection when a worker drains.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::time;

/// Precision of a coarse deadline. A scan of 100,000 connections takes some 40 µs, so at ten scans
/// a second the table costs less than a thousandth of a core.
const TICK: Duration = Duration::from_millis(100);

/// A tick that never comes.
const DISARMED: u32 = u32::MAX;

/// A tick that has come and was told; the first one to come is 1.
const EXPIRED: u32 = 0;

/// The table of one worker.
#[derive(Debug, Clone)]
pub struct Deadlines(Rc<Table>);

#[derive(Debug)]
struct Table {
    started: Instant,
    /// The present tick.
    now: Cell<u32>,
    /// The tick of each slot's deadline.
    ticks: RefCell<Vec<u32>>,
    /// Whom to wake, by slot.
    wakers: RefCell<Vec<Option<Waker>>>,
    /// What fires in time, by slot; of those that have needed it so far.
    timers: RefCell<Vec<Option<Pin<Box<tokio::time::Sleep>>>>>,
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
            timers: RefCell::default(),
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
                self.0.timers.borrow_mut().push(None);
                self.0.wakers.borrow().len() as u32 - 1
            }
        };
        Watchdog { table: self.0.clone(), slot }
    }

    /// The number of the present tick: ten more each second, as the last scan saw the clock.
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
    /// Sets the deadline `after` from now, in place of any earlier one. It never fires early.
    pub fn arm(&self, after: Duration) {
        // Rounded up, and one more: the present tick has begun before now.
        let ticks = after.as_millis().div_ceil(TICK.as_millis());
        let ticks = ticks.min(u128::from(u32::MAX / 2)) as u32;
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

    /// Ready when this instant has come, within a millisecond. It is the task of the slot that has to
    /// poll it; of several instants, it wakes for the earliest.
    pub fn poll_until(&self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = tokio::time::Instant::from_std(at);
        // Taken out: what is polled may drop a waker, and with it a task that owns another slot.
        let timer = self.table.timers.borrow_mut()[self.slot as usize].take();
        let mut timer = timer.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(at)));
        if at < timer.deadline() {
            timer.as_mut().reset(at);
        }
        let mut polled = timer.as_mut().poll(cx);
        if polled.is_ready() && timer.deadline() < at {
            // It was for another instant, which has passed.
            timer.as_mut().reset(at);
            polled = timer.as_mut().poll(cx);
        }
        self.table.timers.borrow_mut()[self.slot as usize] = Some(timer);
        polled
    }

    fn set(&self, tick: u32) {
        self.table.ticks.borrow_mut()[self.slot as usize] = tick;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.set(DISARMED);
        // Dropped after the borrow has ended: a waker may be what keeps its task, and so other
        // slots, alive.
        let _waker = self.table.wakers.borrow_mut()[self.slot as usize].take();
        let _timer = self.table.timers.borrow_mut()[self.slot as usize].take();
        self.table.free.borrow_mut().push(self.slot);
    }
}

#[cfg(test)]
mod tests;
