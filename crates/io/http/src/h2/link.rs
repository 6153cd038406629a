//! What a connection's task and its streams share.

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::task::{Context, Waker};

use weft_message::h2::{Failure, Key, Session};

use crate::h2::error::Error;

/// Places for streams that are kept while there are none.
const PLACES_KEPT: usize = 4;

/// A connection, as its task and its streams see it.
#[derive(Debug, Clone)]
pub(super) struct Link(Rc<RefCell<Inner>>);

/// The state of a connection, and who waits for what of it.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) session: Session,
    /// Who waits for a stream, by its place.
    streams: Vec<Waiting>,
    /// The connection's task.
    task: Option<Waker>,
    /// It was woken and has not run.
    is_woken: bool,
    /// Who waits until one more stream may be opened.
    openers: Vec<Waker>,
    /// Handles that may open streams; one for the accepting side, whose end is not up to them.
    pub(super) clients: u32,
    /// How the connection broke, if it did.
    pub(super) broken: Option<io::ErrorKind>,
}

/// Who waits for one stream.
#[derive(Debug, Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
}

// === impl Link ===

impl Link {
    pub(super) fn new(session: Session) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            session,
            streams: Vec::new(),
            task: None,
            is_woken: false,
            openers: Vec::new(),
            clients: 0,
            broken: None,
        })))
    }

    /// Nobody keeps it: what it gives is used at once, and nothing that it calls comes back here.
    #[inline]
    pub(super) fn get(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }
}

// === impl Inner ===

impl Inner {
    /// What a failure is, given how the connection broke.
    pub(super) fn error(&self, failure: Failure) -> Error {
        match (failure, self.broken) {
            (Failure::Closed, Some(kind)) => Error::Io(kind),
            (failure, _) => Error::Failed(failure),
        }
    }

    /// The connection's task begins to run.
    pub(super) fn begin_turn(&mut self, cx: &Context<'_>) {
        self.is_woken = false;
        keep(&mut self.task, cx);
    }

    /// Wakes whoever has waited for what has happened, and the connection's task if it has to write.
    #[inline]
    pub(super) fn spread(&mut self) {
        self.wake_streams();
        if !self.is_woken && (self.session.has_output() || self.session.over().is_some()) {
            self.wake_task();
        }
    }

    /// The same without the connection's task, which is running.
    pub(super) fn wake_streams(&mut self) {
        while let Some(change) = self.session.next_change() {
            let Some(waiting) = self.streams.get_mut(change.key.index()) else { continue };
            if change.is_readable
                && let Some(waker) = waiting.read.take()
            {
                waker.wake();
            }
            if change.is_writable
                && let Some(waker) = waiting.write.take()
            {
                waker.wake();
            }
        }
        if !self.openers.is_empty() && (self.session.has_room() || self.session.is_closing()) {
            self.openers.drain(..).for_each(Waker::wake);
        }
    }

    pub(super) fn wake_task(&mut self) {
        self.is_woken = true;
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// The task wants to know when there is something to be read on the stream, or it fails.
    pub(super) fn wait_to_read(&mut self, key: Key, cx: &Context<'_>) {
        keep(&mut self.waiting(key).read, cx);
    }

    /// The task wants to know when there may be room for data on the stream, or it fails.
    pub(super) fn wait_to_write(&mut self, key: Key, cx: &Context<'_>) {
        keep(&mut self.waiting(key).write, cx);
    }

    /// The task wants to know when a stream may be opened, or never will be.
    pub(super) fn wait_to_open(&mut self, cx: &Context<'_>) {
        if !self.openers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.openers.push(cx.waker().clone());
        }
    }

    /// Nobody waits for the stream any more.
    pub(super) fn forget(&mut self, key: Key) {
        if let Some(waiting) = self.streams.get_mut(key.index()) {
            *waiting = Waiting::default();
        }
    }

    /// Lets memory go that a connection without streams does not need.
    pub(super) fn rest(&mut self) {
        if self.session.open_streams() == 0 {
            self.session.rest();
            if self.streams.len() > PLACES_KEPT
                && self.streams.iter().all(|place| place.read.is_none() && place.write.is_none())
            {
                self.streams = Vec::new();
            }
        }
    }

    fn waiting(&mut self, key: Key) -> &mut Waiting {
        if self.streams.len() <= key.index() {
            self.streams.resize_with(key.index() + 1, Waiting::default);
        }
        &mut self.streams[key.index()]
    }
}

// === functions ===

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}
