//! Those who wait for a connection to one endpoint, in one worker.

use std::cell::Cell;
use std::pin::Pin;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Who waits, in order. Whoever comes later does not take what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: Cell<u32>,
    /// Those who were called, each for a connection, and have not looked yet.
    called: Cell<u32>,
    freed: Notify,
}

/// A turn in the line, until it is dropped.
pub(crate) struct Turn<'a> {
    line: &'a Line,
    freed: Pin<Box<Notified<'a>>>,
}

// === impl Line ===

impl Line {
    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.get() == 0
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.get()
    }

    /// Tells the first who waits to look whether it finds a connection.
    pub(crate) fn call(&self) {
        if !self.is_empty() {
            self.called.set(self.called.get() + 1);
            self.freed.notify_one();
        }
    }

    /// How many connections are kept for those who were called.
    pub(crate) fn called(&self) -> usize {
        self.called.get() as usize
    }

    /// The same for all who wait.
    pub(crate) fn call_all(&self) {
        self.freed.notify_waiters();
    }

    /// Joins the end of the line.
    pub(crate) fn join(&self) -> Turn<'_> {
        self.waiting.set(self.waiting.get() + 1);
        let mut freed = Box::pin(self.freed.notified());
        freed.as_mut().enable();
        Turn { line: self, freed }
    }
}

// === impl Turn ===

impl Turn<'_> {
    /// Waits to be called. Who was called and found nothing is at the end of the line again.
    ///
    /// Cancel safe: the call of somebody who has left goes to the next.
    pub(crate) async fn called(&mut self) {
        self.freed.as_mut().await;
        self.line.called.set(self.line.called.get().saturating_sub(1));
        self.freed.set(self.line.freed.notified());
        self.freed.as_mut().enable();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.line.waiting.set(self.line.waiting.get() - 1);
        if self.line.is_empty() {
            self.line.called.set(0);
        }
    }
}
