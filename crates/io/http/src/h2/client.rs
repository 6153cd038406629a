//! The calling side.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use weft_message::RequestHead;
use weft_message::h2::{Config, Failure, Reason, Session};
use weft_runtime::time;

use crate::buffers::Buffers;
use crate::error::WriteError;
use crate::h2::conn::Conn;
use crate::h2::error::Error;
use crate::h2::link::Link;
use crate::h2::stream::Stream;
use crate::io::Io;

/// Window of one response stream: one bulk buffer, as on HTTP/1.1.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// Window of all response streams of a connection together: of 256 that nobody reads. With less, some
/// that pause would keep all others of their connection from going on.
const CONNECTION_WINDOW_BYTES: u32 = 256 * STREAM_WINDOW_BYTES;

/// Control frames that an upstream may send within ten seconds, besides those that its answers and
/// our requests account for. It was chosen by whoever runs this, so only madness is caught.
const CONTROL_FRAMES_MAX: u32 = 100_000;

/// A handle for sending requests on one connection.
#[derive(Debug)]
pub struct Client {
    link: Link,
}

/// The connection itself, a future that ends with it. Has to be polled (spawned) for anything to
/// move. It ends when all handles and streams are gone, too.
#[derive(Debug)]
pub struct ClientConnection(Conn);

// === impl Client ===

impl Client {
    /// Sends our settings. `head_bytes_max` bounds response heads.
    ///
    /// Not cancel safe: dropping it closes the connection.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn handshake(
        io: Io,
        head_bytes_max: u32,
        buffers: &Buffers,
    ) -> Result<(Self, ClientConnection), Error> {
        let config = Config {
            streams_max: 0,
            head_bytes_max,
            connection_window_bytes: CONNECTION_WINDOW_BYTES,
            stream_window_bytes: STREAM_WINDOW_BYTES,
            resets_max: u32::MAX,
            control_frames_max: CONTROL_FRAMES_MAX,
        };
        let session = Session::client(config, buffers.spares().clone(), time::now());
        let mut conn = Conn::new(io, session, buffers, false);
        let client = Self::new(&conn.link);
        poll_fn(|cx| match conn.poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.and(Err(ended_unused(&conn)))),
            Poll::Pending if conn.link.get().session.has_output() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        Ok((client, ClientConnection(conn)))
    }

    fn new(link: &Link) -> Self {
        link.get().clients += 1;
        Self { link: link.clone() }
    }

    /// Whether the connection has ended or refuses new streams.
    pub fn is_closed(&self) -> bool {
        self.link.get().session.is_closing()
    }

    /// Whether one more stream may be opened at once.
    pub fn has_room(&self) -> bool {
        self.link.get().session.has_room()
    }

    /// Streams that are open.
    pub fn open_streams(&self) -> usize {
        self.link.get().session.open_streams() as usize
    }

    /// Waits until one more stream may be opened.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut inner = self.link.get();
        if inner.session.has_room() {
            return Poll::Ready(Ok(()));
        }
        if inner.session.is_closing() {
            return Poll::Ready(Err(inner.error(Failure::Closed)));
        }
        inner.wait_to_open(cx);
        Poll::Pending
    }

    /// Opens a stream. With `end`, there is no body. Call only when [`Client::poll_ready`] said so.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn begin_request(
        &mut self,
        head: &RequestHead,
        end: bool,
    ) -> Result<Box<Stream>, WriteError> {
        let mut inner = self.link.get();
        let opened = inner.session.open(head, end);
        let key = opened.map_err(|failure| WriteError::H2(inner.error(failure)))?;
        inner.spread();
        Ok(Box::new(Stream::client(self.link.clone(), key, end)))
    }
}

impl Clone for Client {
    fn clone(&self) -> Self {
        Self::new(&self.link)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut inner = self.link.get();
        inner.clients -= 1;
        if inner.clients == 0 {
            inner.wake_task();
        }
    }
}

// === impl ClientConnection ===

impl ClientConnection {
    /// Waits until the peer has answered: only then is it known that it takes the connection, for
    /// in TLS 1.3 a server refuses a client after the client's handshake has ended. Call it once,
    /// before the connection is spawned.
    ///
    /// Not cancel safe: dropping it leaves a question under way, which does no harm.
    ///
    /// # Errors
    ///
    /// When the connection ends instead; with [`Error::is_goodbye`] when the peer takes no more.
    pub async fn confirm(&mut self) -> Result<(), Error> {
        self.0.link.get().session.ping();
        poll_fn(|cx| {
            if let Poll::Ready(ended) = self.0.poll(cx) {
                return Poll::Ready(ended.and(Err(ended_unused(&self.0))));
            }
            let inner = self.0.link.get();
            match inner.session.goodbye() {
                Some(reason) => Poll::Ready(Err(Error::Failed(Failure::Unprocessed(reason)))),
                None if inner.session.pongs() > 0 => Poll::Ready(Ok(())),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl ClientConnection {
    /// Drives the connection, and asks the peer after each such time whether it is still there. A
    /// peer that does not answer in time ends the connection, and with it every stream.
    ///
    /// Cancel safe: dropping it closes the connection.
    ///
    /// # Errors
    ///
    /// As the connection itself, and when an answer did not come.
    pub async fn with_pings(mut self, every: Duration, patience: Duration) -> Result<(), Error> {
        loop {
            if let Ok(ended) = time::timeout(every, &mut self).await {
                return ended;
            }
            let before = self.0.link.get().session.pongs();
            self.0.link.get().session.ping();
            let answer = poll_fn(|cx| {
                if let Poll::Ready(ended) = Pin::new(&mut self).poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                let is_answered = self.0.link.get().session.pongs() != before;
                if is_answered { Poll::Ready(None) } else { Poll::Pending }
            });
            match time::timeout(patience, answer).await {
                Ok(Some(ended)) => return ended,
                Ok(None) => {}
                Err(time::Elapsed) => {
                    // What is dropped here tells the streams.
                    self.0.link.get().broken = Some(io::ErrorKind::TimedOut);
                    return Err(Error::Io(io::ErrorKind::TimedOut));
                }
            }
        }
    }
}

impl Future for ClientConnection {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        {
            let mut inner = self.0.link.get();
            if inner.clients == 0 && inner.session.open_streams() == 0 {
                inner.session.close(Reason::NO_ERROR);
            }
        }
        self.0.poll(cx)
    }
}

// === functions ===

/// Why a connection on which nothing was asked yet has ended in order.
fn ended_unused(conn: &Conn) -> Error {
    let goodbye = conn.link.get().session.goodbye();
    Error::Failed(goodbye.map_or(Failure::Closed, Failure::Unprocessed))
}
