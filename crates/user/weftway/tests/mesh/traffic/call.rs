//! How an application calls the other.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::body::Bytes;
use axum::http::Request;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use weft_runtime::task::{self, Task};
use weft_runtime::time;

use super::count::Counts;
use super::serve::GREETING;
use super::{Load, PORTS};

/// Between two calls on a connection.
const PAUSE: Duration = Duration::from_millis(40);

/// What takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many messages a stream has: with their pauses it lives for some seconds.
const STREAM_MESSAGES: u32 = 100;

/// Calls per connection: 1 to this.
const CALLS_MAX: u32 = 20;

/// What is sent, and has to come back.
const MESSAGE: &[u8] = b"\0\0\0\0\x04ping";

/// Calls over all protocols.
#[derive(Clone)]
pub(super) struct Caller {
    other: Rc<str>,
    proxy: Option<Rc<str>>,
    counts: Counts,
    is_stopping: Rc<Cell<bool>>,
}

/// Calls that go on.
pub(super) struct Calling {
    is_stopping: Rc<Cell<bool>>,
    tasks: Vec<Task<()>>,
}

/// A connection of HTTP/2.
struct Http2 {
    send: SendRequest<Bytes>,
    _driver: Driver,
}

/// Ends the task that drives a connection.
struct Driver(Task<()>);

// === impl Caller ===

impl Caller {
    pub(super) fn new(other: &str, proxy: Option<String>, counts: Counts) -> Self {
        let proxy = proxy.map(Into::into);
        Self { other: other.into(), proxy, counts, is_stopping: Rc::default() }
    }

    pub(super) fn start(&self, load: Load) -> Calling {
        let mut tasks = Vec::new();
        let Load { http, grpc, tcp, streams } = load;
        let mut spawn = |count: u32, call: fn(Self, u32) -> Task<()>| {
            tasks.extend((0..count).map(|number| call(self.clone(), number)));
        };
        spawn(http, |caller, number| caller.again("http", number, Self::http));
        spawn(grpc, |caller, number| caller.again("grpc", number, Self::grpc));
        spawn(tcp, |caller, number| caller.again("tcp", number, Self::tcp));
        spawn(streams, |caller, number| caller.again("stream", number, Self::stream));
        Calling { is_stopping: self.is_stopping.clone(), tasks }
    }

    /// One connection after the other, each for another number of calls.
    fn again<F>(self, kind: &'static str, number: u32, one: fn(Self, u32) -> F) -> Task<()>
    where
        F: Future<Output = anyhow::Result<()>> + 'static,
    {
        task::spawn(kind, async move {
            let mut calls = number;
            while !self.is_stopping.get() {
                calls = (calls * 7 + 3) % CALLS_MAX;
                self.counts.connected(kind);
                if let Err(error) = one(self.clone(), calls + 1).await {
                    self.counts.failed(kind, format!("{error:#}"));
                }
                time::sleep(PAUSE).await;
            }
        })
    }

    async fn http(self, calls: u32) -> anyhow::Result<()> {
        let mut stream = BufStream::new(self.connect(PORTS[0]).await?);
        for number in 0..calls {
            // As clients do that keep connections, before they use one again.
            if number > 0 && is_closed(stream.get_ref()) {
                self.counts.ended("http");
                return Ok(());
            }
            let is_last = within(exchange(&mut stream, &self.other)).await?;
            self.counts.answered("http");
            if is_last {
                self.counts.ended("http");
                return Ok(());
            }
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn grpc(self, calls: u32) -> anyhow::Result<()> {
        let connection = self.http2().await?;
        for _ in 0..calls {
            let Some((answer, mut body)) = within(connection.open(&self.other)).await? else {
                self.counts.ended("grpc");
                return Ok(());
            };
            body.send_data(Bytes::from_static(MESSAGE), true)?;
            let Some(mut answer) = within(head(answer)).await? else {
                self.counts.ended("grpc");
                return Ok(());
            };
            within(message(&mut answer)).await?;
            within(status(&mut answer)).await?;
            self.counts.answered("grpc");
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// One stream, on which messages go both ways; it ends by itself.
    async fn stream(self, _: u32) -> anyhow::Result<()> {
        let connection = self.http2().await?;
        let opened = within(connection.open(&self.other)).await?;
        let Some((answer, mut body)) = opened else {
            self.counts.ended("stream");
            return Ok(());
        };
        body.send_data(Bytes::from_static(MESSAGE), false)?;
        let Some(mut answer) = within(head(answer)).await? else {
            self.counts.ended("stream");
            return Ok(());
        };
        for number in 0..STREAM_MESSAGES {
            within(message(&mut answer)).await.with_context(|| format!("message {number}"))?;
            self.counts.answered("stream");
            if self.is_stopping.get() {
                break;
            }
            time::sleep(PAUSE).await;
            body.send_data(Bytes::from_static(MESSAGE), false)?;
        }
        body.send_data(Bytes::new(), true)?;
        // The answer to the last one may be on its way.
        within(async {
            while let Some(data) = answer.data().await {
                answer.flow_control().release_capacity(data?.len())?;
            }
            Ok(())
        })
        .await?;
        within(status(&mut answer)).await
    }

    async fn tcp(self, calls: u32) -> anyhow::Result<()> {
        let mut stream = self.connect(PORTS[2]).await?;
        let mut greeting = [0; GREETING.len()];
        within(async { Ok(stream.read_exact(&mut greeting).await?) }).await.context("greeting")?;
        ensure!(greeting == GREETING, "it greets with {greeting:?}");
        for number in 0..calls {
            let mut back = [0; MESSAGE.len()];
            let call = async {
                stream.write_all(MESSAGE).await?;
                Ok(stream.read_exact(&mut back).await?)
            };
            within(call).await.with_context(|| format!("line {number}"))?;
            ensure!(back == MESSAGE, "{back:?} came back");
            self.counts.answered("tcp");
            time::sleep(PAUSE).await;
        }
        stream.shutdown().await?;
        let rest = within(async { Ok(stream.read(&mut greeting).await?) }).await;
        ensure!(rest.context("the end")? == 0, "there is more than was asked for");
        Ok(())
    }

    async fn http2(&self) -> anyhow::Result<Http2> {
        let stream = self.connect(PORTS[1]).await?;
        let (send, connection) = within(async { Ok(h2::client::handshake(stream).await?) })
            .await
            .context("handshake")?;
        // How it ends is seen by its streams.
        let driver = task::spawn("driver", async move {
            let _ = connection.await;
        });
        Ok(Http2 { send, _driver: Driver(driver) })
    }

    /// A connection that leads there.
    async fn connect(&self, port: &str) -> anyhow::Result<TcpStream> {
        let authority = format!("{}:{port}", self.other);
        let to = self.proxy.as_deref().unwrap_or(&authority);
        let connect = async {
            let mut stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            if self.proxy.is_some() {
                tunnel(&mut stream, &authority).await?;
            }
            Ok(stream)
        };
        within(connect).await.with_context(|| format!("connect to {to}"))
    }
}

// === impl Calling ===

impl Calling {
    /// Waits until the calls under way have ended.
    pub(super) async fn end(self) {
        self.is_stopping.set(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

// === impl Http2 ===

impl Http2 {
    /// A new stream; `None` when the other side takes no more on this connection.
    async fn open(
        &self,
        authority: &str,
    ) -> anyhow::Result<Option<(ResponseFuture, SendStream<Bytes>)>> {
        let request = Request::post(format!("http://{authority}/test.Echo/Echo"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let opened = match self.send.clone().ready().await {
            Ok(mut ready) => ready.send_request(request, false),
            Err(error) => Err(error),
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if is_in_order(&error) => Ok(None),
            Err(error) => Err(error).context("a new stream"),
        }
    }
}

// === impl Driver ===

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The head of an answer; `None` when the stream came after the last one that the other side takes,
/// which clients of gRPC send again by themselves.
async fn head(answer: ResponseFuture) -> anyhow::Result<Option<RecvStream>> {
    match answer.await {
        Ok(answer) => {
            let (status, fields) = (answer.status(), answer.headers());
            let is_begun = status == 200 && !fields.contains_key("grpc-status");
            ensure!(is_begun, "{status} {fields:?}");
            Ok(Some(answer.into_body()))
        }
        Err(error) if is_in_order(&error) => Ok(None),
        Err(error) => Err(error).context("head"),
    }
}

async fn message(answer: &mut RecvStream) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    while bytes.len() < MESSAGE.len() {
        let Some(data) = answer.data().await else { bail!("the stream ends with {bytes:?}") };
        let data = data?;
        answer.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    ensure!(bytes == MESSAGE, "{bytes:?} came back");
    Ok(())
}

async fn status(answer: &mut RecvStream) -> anyhow::Result<()> {
    ensure!(answer.data().await.is_none(), "there is more than was asked for");
    let trailers = answer.trailers().await?.context("there are no trailers")?;
    ensure!(trailers.get("grpc-status").is_some_and(|code| code == "0"), "{trailers:?}");
    Ok(())
}

/// GOAWAY without an error, or a stream that was refused.
fn is_in_order(error: &h2::Error) -> bool {
    let is_last = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    is_last || error.reason() == Some(Reason::REFUSED_STREAM)
}

/// Whether the other side has closed a connection on which nothing is to come.
fn is_closed(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 1]), Ok(0))
}

/// A request and its answer; whether the connection ends with it.
async fn exchange(stream: &mut BufStream<TcpStream>, host: &str) -> anyhow::Result<bool> {
    let request = format!("POST /echo HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\n\r\nping");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (mut head, mut length, mut is_last) = (Vec::new(), 0, false);
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line).await? > 0, "the connection ends in {head:?}");
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        is_last |= line == "connection: close";
        head.push(line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let is_answered = head.first().is_some_and(|status| status.starts_with("http/1.1 200"));
    ensure!(is_answered && body == b"ping", "{head:?} {}", String::from_utf8_lossy(&body));
    Ok(is_last)
}

/// Asks a proxy for a tunnel.
async fn tunnel(stream: &mut TcpStream, authority: &str) -> anyhow::Result<()> {
    let request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // Byte by byte: what comes behind the head is the other side's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 200"), "the tunnel is refused: {}", head.trim());
    Ok(())
}

async fn within<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let done = time::timeout(TIMEOUT, work).await;
    done.map_err(|time::Elapsed| anyhow::anyhow!("nothing happened for {TIMEOUT:?}"))?
}
