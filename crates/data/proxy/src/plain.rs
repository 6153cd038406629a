//! Bytes from a client that speaks no HTTP, as far as was found out, to an application to which the
//! header fields of requests are vouched for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weft_http::io::Io;
use weft_net::Stream;
use weft_net::detect::FirstLine;

/// A stream that breaks before its reader gets the end of a first line that is a request's: fields
/// of a request that nobody has looked at could name any caller.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) io: Io,
    /// `None` when anything may pass.
    line: Option<FirstLine>,
}

/// The first line is that of a request.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error(
    "a request in a form that is not accepted, among bytes that were taken for another protocol"
)]
pub(crate) struct Disguised;

// === impl Plain ===

impl Plain {
    /// Lets everything pass.
    pub(crate) fn open(io: Io) -> Self {
        Self { io, line: None }
    }

    /// Lets everything pass but a request.
    pub(crate) fn guarded(io: Io) -> Self {
        Self { io, line: Some(FirstLine::default()) }
    }

    /// Looks at bytes of the stream that are passed on by somebody else. All there are have to be
    /// shown, in order.
    ///
    /// # Errors
    ///
    /// When they are not to be passed on.
    pub(crate) fn note(&mut self, bytes: &[u8]) -> Result<(), Disguised> {
        let Some(line) = &mut self.line else { return Ok(()) };
        if line.scan(bytes).is_some() {
            return Err(Disguised);
        }
        if line.has_ended() {
            self.line = None;
        }
        Ok(())
    }
}

// === impl Disguised ===

impl Disguised {
    /// What broke a stream, if it was this.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Disguised> for io::Error {
    fn from(disguised: Disguised) -> Self {
        Self::new(io::ErrorKind::InvalidData, disguised)
    }
}

impl Stream for Plain {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_read_ready(cx)
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        if let Err(disguised) = self.note(&buffer.filled()[before..]) {
            buffer.set_filled(before);
            return Poll::Ready(Err(disguised.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
