//! A byte stream through one stream of HTTP/2 (CONNECT, RFC 9113 section 8.5), as HBONE uses it.
//!
//! DATA frames carry the bytes. The end of one direction is END_STREAM, and the other goes on; a
//! connection that breaks is RST_STREAM. Whoever does not read keeps the peer from sending, by the
//! stream's window; what is written and not sent counts against the connection's budget.

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weft_message::h2::Reason;
use weft_message::{Fields, HeadLimits, Method, RequestHead, ResponseHead};

use crate::error::{HeadError, ReadError, WriteError};
use crate::h2::client::Client;
use crate::h2::error::Error;
use crate::h2::stream::Stream;
use crate::leg::BodyEvent;

/// Either end of a tunnel. Owns no buffer: bytes that arrived wait within the window, bytes to be
/// sent within the budget.
///
/// Dropping it before both directions have ended resets the stream.
#[derive(Debug)]
pub struct Tunnel(Box<Stream>);

/// A tunnel that was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The request could not be sent.
    #[error("the tunnel could not be asked for")]
    Send(#[source] WriteError),
    /// There was no answer.
    #[error("the tunnel was not answered")]
    Answer(#[source] HeadError),
    /// The answer was another than 2xx.
    #[error("the tunnel was refused with status {}", .0.status())]
    Refused(Box<ResponseHead>),
}

// === impl Tunnel ===

impl Tunnel {
    /// Asks for a tunnel to `destination` and waits until it is open. `fields` go with the request;
    /// `limits` bound the answer's head.
    ///
    /// Cancel safe: dropping it resets the stream.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(
        client: &mut Client,
        destination: SocketAddr,
        fields: Fields,
        limits: &HeadLimits,
    ) -> Result<Self, OpenError> {
        let mut request = RequestHead::new();
        request.set_method(Method::Connect);
        let named = request.set_authority(&destination.to_string());
        debug_assert!(named.is_ok(), "an address is an authority");
        request.fields = fields;
        Self::open_by(client, &request, limits).await
    }

    /// The same by a request of any kind, whose body and whose answer's body carry the bytes: some
    /// proxies take POST instead of CONNECT.
    ///
    /// Cancel safe: dropping it resets the stream.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_by(
        client: &mut Client,
        request: &RequestHead,
        limits: &HeadLimits,
    ) -> Result<Self, OpenError> {
        let room = poll_fn(|cx| client.poll_ready(cx)).await;
        room.map_err(|error| OpenError::Send(WriteError::H2(error)))?;
        let mut stream = client.begin_request(request, false).map_err(OpenError::Send)?;
        let mut answer = ResponseHead::default();
        let answered = poll_fn(|cx| stream.poll_response(cx, limits, &mut answer)).await;
        answered.map_err(OpenError::Answer)?;
        if (200..300).contains(&answer.status()) {
            Ok(Self(stream))
        } else {
            Err(OpenError::Refused(Box::new(answer)))
        }
    }

    /// Opens the tunnel that a CONNECT request has asked for, with status 200 and these `fields`.
    ///
    /// # Errors
    ///
    /// When the stream is gone, was answered before, or a field cannot be sent.
    pub fn accept(mut stream: Box<Stream>, fields: Fields) -> Result<Self, WriteError> {
        let mut answer = ResponseHead::default();
        answer.set_status(200);
        answer.fields = fields;
        stream.begin_response(&answer, false)?;
        Ok(Self(stream))
    }

    /// Resets the stream, so that the peer sees a connection that broke.
    pub fn reset(&mut self, code: Reason) {
        self.0.reset(code);
    }

    /// Waits until bytes are here; false at the end.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match ready!(self.0.poll_body(cx)) {
            Ok(BodyEvent::Data) => Poll::Ready(Ok(true)),
            Ok(BodyEvent::End) => Poll::Ready(Ok(false)),
            Err(error) => Poll::Ready(Err(read_failed(error))),
        }
    }
}

impl weft_net::Stream for Tunnel {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_bytes(cx).map_ok(drop)
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled_before = target.filled().len();
        // Frames are smaller than buffers: all that is here comes with this read.
        while target.remaining() > 0 {
            match self.poll_bytes(cx) {
                Poll::Ready(Ok(true)) => {
                    let chunk = self.0.chunk();
                    let count = chunk.len().min(target.remaining());
                    target.put_slice(&chunk[..count]);
                    self.0.consume(count);
                }
                // The bytes count; the end or the failure shows at the next read, again.
                _ if target.filled().len() > filled_before => break,
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, bytes).map_err(write_failed)
    }

    /// The connection sends by itself what was taken.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_finish(None).map_err(write_failed)
    }
}

// === functions ===

fn read_failed(error: ReadError) -> io::Error {
    match error {
        ReadError::H2(error) => failed(error),
        ReadError::Io(error) => error,
        ReadError::Truncated => io::ErrorKind::ConnectionReset.into(),
        error @ ReadError::Malformed(_) => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

fn write_failed(error: WriteError) -> io::Error {
    match error {
        WriteError::H2(error) => failed(error),
        WriteError::Io(error) => error,
        // Our direction has ended.
        WriteError::Length => io::ErrorKind::BrokenPipe.into(),
    }
}

/// A reset, of the stream or of all of the connection, or the connection's own failure.
fn failed(error: Error) -> io::Error {
    io::Error::new(error.io_kind(), error)
}
