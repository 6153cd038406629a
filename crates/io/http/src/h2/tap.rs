//! The byte stream under an accepting connection, watched from outside.
//!
//! The `h2` crate gives no account of the frames that a peer sends, so they are counted where bytes
//! enter and leave. When they are too many nothing more is read, and whoever drives the connection
//! is told, to end it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weft_runtime::time;

use crate::h2::excess::Excess;
use crate::h2::frames::{FrameKind, PREFACE_BYTES, Scanner};
use crate::h2::meter::Meter;
use crate::io::Io;

/// How much is thrown away of what a peer goes on sending after it was told to stop, so that the
/// kernel does not take back what it was told. More than this is not worth the time.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// How much is thrown away at a time.
const DISCARDED_BYTES: usize = 4 << 10;

/// A byte stream whose frames are counted.
pub(super) struct Tap {
    io: Io,
    received: Scanner,
    sent: Scanner,
    watch: Rc<Watch>,
    /// Our side is shut.
    shut: bool,
    discarded: usize,
}

/// What is known of the frames; the connection looks at it from outside.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) meter: RefCell<Meter>,
    /// What there were too many of. Nothing more is read.
    pub(super) flooded: Cell<Option<FrameKind>>,
    /// What the library found to be too much, if it has told the peer so.
    pub(super) complaint: Cell<Option<Excess>>,
    /// The last frames are out or on their way.
    pub(super) closing: Cell<bool>,
    /// Whether the peer is waited for before the connection is closed, because it may be sending.
    pub(super) lingers: Cell<bool>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(meter: Meter) -> Rc<Self> {
        Rc::new(Self {
            meter: RefCell::new(meter),
            flooded: Cell::new(None),
            complaint: Cell::new(None),
            closing: Cell::new(false),
            lingers: Cell::new(true),
        })
    }
}

// === impl Tap ===

impl Tap {
    pub(super) fn new(io: Io, watch: Rc<Watch>) -> Self {
        Self {
            io,
            received: Scanner::new(PREFACE_BYTES),
            sent: Scanner::new(0),
            watch,
            shut: false,
            discarded: 0,
        }
    }

    fn note_received(&mut self, bytes: &[u8]) {
        let mut meter = self.watch.meter.borrow_mut();
        self.received.scan(bytes, |head| meter.received(head));
        if let Some(kind) = meter.overdrawn(time::now) {
            self.watch.flooded.set(Some(kind));
        }
    }

    fn note_sent(&mut self, bytes: &[u8]) {
        let mut meter = self.watch.meter.borrow_mut();
        let mut says_goodbye = false;
        self.sent.scan(bytes, |head| {
            meter.sent(head);
            says_goodbye |= head.kind == FrameKind::GoAway;
        });
        if says_goodbye {
            self.watch.complaint.set(Excess::of_goaway(bytes));
        }
    }

    /// Reads on for nothing until the peer has closed.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; DISCARDED_BYTES];
        while self.watch.lingers.get() && self.discarded < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.discarded += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.flooded.get().is_some() {
            // Whoever polls the connection looks at the watch next, and ends it.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        self.note_received(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.note_sent(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let count = left.min(slice.len());
            self.note_sent(&slice[..count]);
            left -= count;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch.closing.set(true);
        if !self.shut {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.shut = true;
        }
        self.poll_linger(cx).map(Ok)
    }
}
