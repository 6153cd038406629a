//! A byte stream that says it has bytes before a buffer is given to it.

use std::io;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpStream, UnixStream};

/// A connection: bytes both ways, and readiness.
///
/// Code that waits for bytes calls [`Stream::poll_read_ready`] first and takes a buffer only when
/// that is ready, so that an idle connection owns none.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Ready when a read is likely to give bytes, the end or an error; a read may still turn out
    /// to have to wait. Registers the same waker as a read does.
    ///
    /// # Errors
    ///
    /// The stream's own.
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Stream for TcpStream {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }
}

impl Stream for UnixStream {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }
}

/// In-memory streams, as tests use them, have no readiness: they say "likely" always, and the read
/// that follows waits.
impl Stream for DuplexStream {
    fn poll_read_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream + ?Sized> Stream for Box<S> {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_read_ready(cx)
    }
}

impl<S: Stream + ?Sized> Stream for &mut S {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_read_ready(cx)
    }
}
