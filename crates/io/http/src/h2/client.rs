//! The calling side.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use h2::client::SendRequest;
use weft_message::RequestHead;

use crate::error::WriteError;
use crate::h2::budget::{Budget, Payload};
use crate::h2::convert;
use crate::h2::stream::Stream;
use crate::io::Io;

/// Window of one response stream: one bulk buffer, as on HTTP/1.1.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// Window of all response streams of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// What DATA frames that nobody has read may take besides their data: one stream may fill its window
/// with single bytes, or a slow reader would end the connection for all of its streams.
const FRAME_OVERHEAD_BYTES_MAX: usize = 256 * STREAM_WINDOW_BYTES as usize;

/// Request data queued for one stream: enough to keep the socket busy while others take their turn.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Request data queued for all streams of a connection together.
const QUEUED_BYTES_MAX: usize = 1 << 20;

/// A handle for sending requests on one connection.
#[derive(Clone, Debug)]
pub struct Client {
    send: SendRequest<Payload>,
    open: Rc<Cell<usize>>,
    budget: Budget,
}

/// A stream that is open; counts until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream(Rc<Cell<usize>>);

/// The connection itself, a future that ends with it. Has to be polled (spawned) for anything to
/// move.
pub struct ClientConnection(h2::client::Connection<Io, Payload>);

// === impl Client ===

impl Client {
    /// Exchanges settings. `head_bytes_max` bounds response heads.
    ///
    /// # Errors
    ///
    /// When the connection breaks or the peer does not speak HTTP/2.
    pub async fn handshake(
        io: Io,
        head_bytes_max: u32,
    ) -> Result<(Self, ClientConnection), h2::Error> {
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(head_bytes_max)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .data_frame_budget(FRAME_OVERHEAD_BYTES_MAX)
            .handshake(io)
            .await?;
        let budget = Budget::new(QUEUED_BYTES_MAX);
        Ok((Self { send, open: Rc::default(), budget }, ClientConnection(connection)))
    }

    /// Whether the connection has ended or refuses new streams.
    pub fn is_closed(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        matches!(self.send.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Whether one more stream may be opened at once.
    pub fn has_room(&self) -> bool {
        self.open.get() < self.send.current_max_send_streams()
    }

    /// Streams that are open.
    pub fn open_streams(&self) -> usize {
        self.open.get()
    }

    /// Waits until one more stream may be opened.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.send.poll_ready(cx)
    }

    /// Opens a stream. With `end`, there is no body. Call only when [`Client::poll_ready`] said so.
    ///
    /// # Errors
    ///
    /// When the connection is gone or a field cannot be sent.
    pub fn begin_request(
        &mut self,
        head: &RequestHead,
        end: bool,
    ) -> Result<Box<Stream>, WriteError> {
        let request = convert::to_request(head)?;
        let (response, send) = self.send.send_request(request, end).map_err(WriteError::H2)?;
        let send = if end { None } else { Some(send) };
        let open = OpenStream::new(&self.open);
        Ok(Box::new(Stream::client(response, send, open, self.budget.clone())))
    }
}

// === impl OpenStream ===

impl OpenStream {
    fn new(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(open.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
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
    /// When the connection ends instead.
    pub async fn confirm(&mut self) -> Result<(), h2::Error> {
        let Some(mut pings) = self.0.ping_pong() else { return Ok(()) };
        pings.send_ping(h2::Ping::opaque())?;
        poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut self.0).poll(cx) {
                return Poll::Ready(ended.and(Err(h2::Reason::NO_ERROR.into())));
            }
            pings.poll_pong(cx).map_ok(drop)
        })
        .await
    }
}

impl Future for ClientConnection {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl std::fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConnection").finish_non_exhaustive()
    }
}
