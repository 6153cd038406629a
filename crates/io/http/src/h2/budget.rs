//! A bound on what one connection has queued to be written.
//!
//! HTTP/2 lets a peer open its windows wide and then not read. What was sent into the windows waits
//! in memory, stream by stream; so all streams of a connection share one budget, and one that finds
//! it used up waits until the peer has read.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Buf;

/// Below this nothing could move: one frame of each of four streams.
const BYTES_MIN: usize = 64 << 10;

/// What a queued frame takes at least, bytes: a little data is a frame of its own, with an entry in
/// the library's queue and an allocation.
const FRAME_COST_BYTES_MIN: usize = 256;

/// The budget of one connection, shared by its streams.
#[derive(Debug, Clone)]
pub(super) struct Budget(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    used: Cell<usize>,
    exhausted: Cell<u32>,
    waiting: RefCell<Vec<Waker>>,
}

/// Body data on its way out; counts against the budget until it has been written.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Box<[u8]>,
    start: usize,
    budget: Option<Rc<Inner>>,
}

// === impl Budget ===

impl Budget {
    /// So many bytes may be queued.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self(Rc::new(Inner {
            max: bytes_max.max(BYTES_MIN),
            used: Cell::new(0),
            exhausted: Cell::new(0),
            waiting: RefCell::default(),
        }))
    }

    /// Waits until something may be queued; says how much.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<usize> {
        let room = self.0.max.saturating_sub(self.0.used.get());
        if room > 0 {
            return Poll::Ready(room);
        }
        self.0.exhausted.set(self.0.exhausted.get().saturating_add(1));
        let mut waiting = self.0.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Copies data so that it can be queued. At most what [`Budget::poll_room`] allowed.
    pub(super) fn payload(&self, data: &[u8]) -> Payload {
        self.0.used.set(self.0.used.get() + cost(data));
        Payload { bytes: data.into(), start: 0, budget: Some(self.0.clone()) }
    }

    /// How often somebody had to wait, since this was last asked.
    pub(super) fn take_exhausted(&self) -> u32 {
        self.0.exhausted.take()
    }
}

// === impl Payload ===

impl Payload {
    /// No data: for the frame that ends a stream.
    pub(super) fn empty() -> Self {
        Self { bytes: Box::default(), start: 0, budget: None }
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn advance(&mut self, count: usize) {
        self.start += count.min(self.remaining());
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let Some(budget) = &self.budget else { return };
        budget.used.set(budget.used.get() - cost(&self.bytes));
        for waker in budget.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }
}

/// What data counts while it is queued.
fn cost(data: &[u8]) -> usize {
    data.len().max(FRAME_COST_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn what_is_queued_counts_until_it_is_written() {
        let budget = Budget::new(BYTES_MIN);
        let waker = Waker::from(Arc::new(Task));
        let cx = Context::from_waker(&waker);
        assert_eq!(budget.poll_room(&cx), Poll::Ready(BYTES_MIN));
        let mut half = budget.payload(&vec![0; BYTES_MIN / 2]);
        let rest = budget.payload(&vec![0; BYTES_MIN / 2]);
        assert!(budget.poll_room(&cx).is_pending());
        half.advance(BYTES_MIN / 4);
        assert!(budget.poll_room(&cx).is_pending(), "a frame is freed as a whole");
        assert_eq!(budget.0.waiting.borrow().len(), 1, "the same task waits once");
        drop(half);
        assert_eq!(budget.poll_room(&cx), Poll::Ready(BYTES_MIN / 2));
        assert!(budget.0.waiting.borrow().is_empty(), "who waited was woken");
        drop(rest);
        assert_eq!(budget.poll_room(&cx), Poll::Ready(BYTES_MIN));
        assert_eq!(budget.take_exhausted(), 2);
        assert_eq!(budget.take_exhausted(), 0);
    }
}
