//! Tunnels that a proxy at the endpoint leads on: Istio's `tunnel`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weft_http::BodyEvent;
use weft_http::buffers::Buffers;
use weft_http::error::{HeadError, ReadError, WriteError};
use weft_http::h1::Conn;
use weft_http::h2::{OpenError, Tunnel};
use weft_http::io::{Io, Rewind};
use weft_message::h1::{BodyFraming, write_request};
use weft_message::{HeadLimits, Method, RequestHead, ResponseHead};
use weft_model::backend::UpstreamProtocol;
use weft_model::calling;
use weft_net::Inbox;

use crate::dial::{self, Spoken};
use crate::error::ConnectError;

/// Limits of the proxy's answer.
const ANSWER: HeadLimits =
    HeadLimits { head_bytes_max: 16 << 10, fields_max: 64, target_bytes_max: 0 };

/// Interim responses before the answer; more is a proxy that floods.
const INTERIM_MAX: u32 = 16;

/// A proxy gave no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// What it is to lead to cannot be asked for.
    #[error("the target of the tunnel is not a host and a port")]
    Target,
    /// The request could not be sent.
    #[error("the tunnel could not be asked for")]
    Send(#[source] WriteError),
    /// There was no valid answer.
    #[error("the tunnel was not answered")]
    Answer(#[source] HeadError),
    /// The answer was another than 2xx.
    #[error("the tunnel was refused with status {0}")]
    Refused(u16),
    /// Interim responses without end.
    #[error("too many interim responses")]
    Interim,
}

/// Bytes as the bodies of a request and of its answer, over HTTP/1.1.
#[derive(Debug)]
struct Posted(Box<Conn>);

/// Asks the proxy at the other end for a tunnel; what is given back leads through it. `agreed_h2` is
/// what ALPN said.
///
/// Not cancel safe: dropping it closes the connection.
pub(crate) async fn open(
    (io, agreed_h2): (Io, bool),
    wanted: &calling::Tunnel,
    protocol: UpstreamProtocol,
    buffers: &Buffers,
) -> Result<Io, ConnectError> {
    let request = request(wanted).map_err(ConnectError::Proxy)?;
    match dial::speak(io, agreed_h2, protocol, buffers).await? {
        Spoken::H1(conn) => ask(conn, &request, buffers).await.map_err(ConnectError::Proxy),
        Spoken::H2(mut client, connection) => {
            dial::drive(*connection, None, ());
            let opened = Tunnel::open_by(&mut client, &request, &ANSWER).await;
            let tunnel = opened.map_err(|error| ConnectError::Proxy(error.into()))?;
            Ok(Io::Other(Box::new(tunnel)))
        }
    }
}

fn request(wanted: &calling::Tunnel) -> Result<RequestHead, ProxyError> {
    let calling::Tunnel { post, host, port } = wanted;
    let mut request = RequestHead::new();
    request.set_method(if *post { Method::Post } else { Method::Connect });
    request.set_authority(&format!("{host}:{port}")).map_err(|_| ProxyError::Target)?;
    if *post {
        request.set_path("/").map_err(|_| ProxyError::Target)?;
    }
    Ok(request)
}

/// The same over HTTP/1.1.
async fn ask(
    mut conn: Box<Conn>,
    request: &RequestHead,
    buffers: &Buffers,
) -> Result<Io, ProxyError> {
    let is_post = *request.method() == Method::Post;
    let framing = if is_post { BodyFraming::Chunked } else { BodyFraming::None };
    conn.begin_message(framing, |out| write_request(request, framing, out));
    poll_fn(|cx| conn.poll_flush(cx)).await.map_err(ProxyError::Send)?;
    let mut answer = ResponseHead::default();
    for _ in 0..=INTERIM_MAX {
        let read =
            |cx: &mut Context<'_>| conn.poll_response(cx, &ANSWER, request.method(), &mut answer);
        if poll_fn(read).await.map_err(ProxyError::Answer)?.interim {
            continue;
        }
        return match (answer.status(), is_post) {
            (200..300, true) => Ok(Io::Other(Box::new(Posted(conn)))),
            (200..300, false) => Ok(rewound(&mut conn, buffers)),
            (status, _) => Err(ProxyError::Refused(status)),
        };
    }
    Err(ProxyError::Interim)
}

/// The bytes behind the answer.
fn rewound(conn: &mut Conn, buffers: &Buffers) -> Io {
    let (io, early) = conn.take_parts();
    if early.is_empty() {
        return io;
    }
    let mut inbox = Inbox::new(buffers.pool());
    let kept = inbox.append(&early);
    debug_assert_eq!(kept, early.len(), "they fitted in one before");
    Io::Other(Box::new(Rewind::new(io, inbox)))
}

// === impl ProxyError ===

impl From<OpenError> for ProxyError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Send(error) => Self::Send(error),
            OpenError::Answer(error) => Self::Answer(error),
            OpenError::Refused(answer) => Self::Refused(answer.status()),
        }
    }
}

// === impl Posted ===

impl Posted {
    /// Waits until bytes are here; false at the end.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let event = ready!(self.0.poll_body(cx)).map_err(|error| match error {
            ReadError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
        Poll::Ready(Ok(event == BodyEvent::Data))
    }
}

impl weft_net::Stream for Posted {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_bytes(cx).map_ok(drop)
    }
}

impl AsyncRead for Posted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_bytes(cx))? {
            let chunk = self.0.chunk();
            let count = chunk.len().min(target.remaining());
            target.put_slice(&chunk[..count]);
            self.0.consume_body(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Posted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, bytes).map_err(write_failed)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx).map_err(write_failed)
    }

    /// The end of the request's body: the other direction goes on.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_finish(cx, None).map_err(write_failed)
    }
}

// === functions ===

fn write_failed(error: WriteError) -> io::Error {
    match error {
        WriteError::Io(error) => error,
        error => io::Error::new(io::ErrorKind::BrokenPipe, error),
    }
}

#[cfg(test)]
mod tests;
