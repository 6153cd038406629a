//! HTTP/2: several requests at a time over one connection.

use std::cell::RefCell;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use tokio::sync::Mutex;

use crate::dial::{self, Stream};
use crate::tally::{Answer, Failure, FailureKind};
use crate::target::Plan;
use crate::worker::Addrs;

/// One connection of a run, shared by its lanes and opened anew when it ends.
pub(crate) struct Client {
    sender: RefCell<Option<SendRequest<Bytes>>>,
    /// One lane connects, the others wait for it.
    connecting: Mutex<()>,
}

/// Large enough that the window never bounds a benchmark.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 26;

/// A request that the server did not process may be sent again (RFC 9113 section 8.7). More than
/// a few times means that it will not take it at all.
const MAX_UNPROCESSED: usize = 3;

/// What went wrong with one try.
enum Attempt {
    /// The server did not process the request.
    Unprocessed(h2::Error),
    Failed(Failure),
}

// === impl Client ===

impl Client {
    pub(crate) fn new() -> Self {
        Self { sender: RefCell::new(None), connecting: Mutex::new(()) }
    }

    /// Opens the connection ahead of the first request.
    pub(crate) async fn connect(&self, plan: &Plan, addrs: &Addrs) -> Result<(), Failure> {
        self.sender(plan, addrs).await.map(drop)
    }

    /// Sends the request of `plan` and reads the whole answer. Cancel safe: a cancelled call
    /// resets its stream.
    pub(crate) async fn request(&self, plan: &Plan, addrs: &Addrs) -> Result<Answer, Failure> {
        let mut last = None;
        for _ in 0..MAX_UNPROCESSED {
            let sender = self.sender(plan, addrs).await?;
            match exchange(sender, plan).await {
                Ok(answer) => {
                    if !plan.keep_alive {
                        self.abandon();
                    }
                    return Ok(answer);
                }
                Err(Attempt::Failed(failure)) => {
                    if failure.kind != FailureKind::Reset {
                        self.abandon();
                    }
                    return Err(failure);
                }
                Err(Attempt::Unprocessed(error)) => {
                    if error.reason() != Some(Reason::REFUSED_STREAM) {
                        self.abandon();
                    }
                    last = Some(error);
                }
            }
        }
        let detail = last.map_or_else(String::new, |error| error.to_string());
        Err(Failure::new(FailureKind::Reset, detail))
    }

    /// Leaves the connection to the requests that are on it; the next one opens another.
    pub(crate) fn abandon(&self) {
        self.sender.borrow_mut().take();
    }

    async fn sender(&self, plan: &Plan, addrs: &Addrs) -> Result<SendRequest<Bytes>, Failure> {
        if let Some(sender) = self.sender.borrow().as_ref() {
            return Ok(sender.clone());
        }
        let _turn = self.connecting.lock().await;
        if let Some(sender) = self.sender.borrow().as_ref() {
            return Ok(sender.clone());
        }
        let sender = match dial::dial(plan, addrs).await? {
            Stream::Plain(tcp) => open(tcp).await?,
            Stream::Tls(tls) => open(*tls).await?,
        };
        *self.sender.borrow_mut() = Some(sender.clone());
        Ok(sender)
    }
}

async fn open<S>(stream: S) -> Result<SendRequest<Bytes>, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(|error| failure(&error))?;
    // The connection moves the frames of all its streams. It ends with its last handle; what went
    // wrong is seen by the requests on it.
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

async fn exchange(sender: SendRequest<Bytes>, plan: &Plan) -> Result<Answer, Attempt> {
    // Nothing was sent yet when the connection is not ready: it ended while idle.
    let mut sender = sender.ready().await.map_err(Attempt::Unprocessed)?;
    let is_bodiless = plan.body.is_empty();
    let (response, body) =
        sender.send_request(plan.h2_request.clone(), is_bodiless).map_err(attempt)?;
    drop(sender);
    if !is_bodiless {
        send_body(body, plan.body.clone()).await.map_err(attempt)?;
    }
    let response = response.await.map_err(attempt)?;
    let status = response.status().as_u16();
    let body_bytes = receive_body(response.into_body())
        .await
        .map_err(|error| Attempt::Failed(failure(&error)))?;
    Ok(Answer { status, body_bytes })
}

async fn send_body(mut stream: SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let granted = match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(granted) => granted?,
            // The server ended the stream early; its answer says why.
            None => return Ok(()),
        };
        let piece = body.split_to(granted.min(body.len()));
        stream.send_data(piece, body.is_empty())?;
    }
    Ok(())
}

async fn receive_body(mut body: RecvStream) -> Result<u64, h2::Error> {
    let mut total = 0;
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
        total += length as u64;
    }
    body.trailers().await?;
    Ok(total)
}

fn attempt(error: h2::Error) -> Attempt {
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let is_graceful =
        error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
    if is_refused || is_graceful {
        Attempt::Unprocessed(error)
    } else {
        Attempt::Failed(failure(&error))
    }
}

fn failure(error: &h2::Error) -> Failure {
    let kind = if error.is_io() {
        FailureKind::Closed
    } else if error.is_reset() && error.is_remote() {
        FailureKind::Reset
    } else {
        FailureKind::Protocol
    };
    Failure::new(kind, error)
}
