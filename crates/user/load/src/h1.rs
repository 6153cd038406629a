//! HTTP/1.1: one request at a time over one connection.

mod reader;

use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::dial::{self, Stream};
use crate::tally::{Answer, Failure, FailureKind};
use crate::target::Plan;
use crate::worker::Addrs;
use reader::{Feed, Reader};

/// One connection of a run, opened when it is needed.
pub(crate) struct Client {
    stream: Option<Stream>,
    buffer: Box<[u8]>,
}

/// Bytes read at once: a head and a small body in one read, a large body in few.
const BUFFER_BYTES: usize = 64 * 1024;

// === impl Client ===

impl Client {
    pub(crate) fn new() -> Self {
        Self { stream: None, buffer: vec![0; BUFFER_BYTES].into_boxed_slice() }
    }

    /// Opens the connection ahead of the first request.
    pub(crate) async fn connect(&mut self, plan: &Plan, addrs: &Addrs) -> Result<(), Failure> {
        self.stream = Some(dial::dial(plan, addrs).await?);
        Ok(())
    }

    /// Sends the request of `plan` and reads the whole answer. Not cancel safe: after a
    /// cancelled call, [`Client::abandon`] must come first.
    pub(crate) async fn request(&mut self, plan: &Plan, addrs: &Addrs) -> Result<Answer, Failure> {
        let mut stream = match self.idle_stream().await {
            Some(stream) => stream,
            None => dial::dial(plan, addrs).await?,
        };
        let (answer, reuse) = match &mut stream {
            Stream::Plain(tcp) => exchange(tcp, plan, &mut self.buffer).await?,
            Stream::Tls(tls) => exchange(tls.as_mut(), plan, &mut self.buffer).await?,
        };
        if reuse && plan.keep_alive {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    /// The open connection, unless the server has closed it meanwhile.
    async fn idle_stream(&mut self) -> Option<Stream> {
        let mut stream = self.stream.take()?;
        is_idle(&mut stream).await.then_some(stream)
    }

    /// Closes the connection: its state is unknown.
    pub(crate) fn abandon(&mut self) {
        self.stream = None;
    }
}

/// Whether nothing has arrived on a connection that owes nothing. A server may close an idle
/// connection at any time; that costs a reconnect, not a failed request.
async fn is_idle(stream: &mut Stream) -> bool {
    let mut byte = [0_u8; 1];
    std::future::poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut byte);
        let polled = match stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, &mut buffer),
        };
        Poll::Ready(polled.is_pending())
    })
    .await
}

async fn exchange<S>(
    stream: &mut S,
    plan: &Plan,
    buffer: &mut [u8],
) -> Result<(Answer, bool), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&plan.h1_request).await.map_err(|error| io_failure(&error))?;
    stream.flush().await.map_err(|error| io_failure(&error))?;
    let mut reader = Reader::new(plan.is_head);
    loop {
        let length = stream.read(buffer).await.map_err(|error| io_failure(&error))?;
        let fed = if length == 0 {
            reader.end_of_stream().map(|()| Feed::Done { reuse: false })
        } else {
            reader.feed(&buffer[..length])
        };
        match fed {
            Ok(Feed::More) => {}
            Ok(Feed::Done { reuse }) => return Ok((reader.answer(), reuse)),
            Err(error) => return Err(Failure::new(error.kind(), error)),
        }
    }
}

fn io_failure(error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let kind = match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            FailureKind::Closed
        }
        _ => FailureKind::Io,
    };
    Failure::new(kind, error)
}
