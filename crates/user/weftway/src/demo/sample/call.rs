//! How a sample service calls others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::body::Bytes;
use axum::http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use weft_runtime::{task, time};

use crate::args::SampleProtocol;
use crate::demo::client::{self, TIMEOUT};

/// Calls others, by name and through a proxy if there is one to be used.
pub(super) struct Caller {
    /// `HOST:PORT`.
    proxy: Option<String>,
}

/// Calls that are made one after the other, until it is stopped.
pub(super) struct Load {
    counts: Rc<RefCell<Counts>>,
    stop: watch::Sender<bool>,
    task: Option<task::Task<()>>,
}

#[derive(Default)]
struct Counts {
    failed: u64,
    first_error: Option<String>,
    /// Answers, by who has given them.
    by_workload: BTreeMap<String, u64>,
}

/// Between two calls of a load.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes before a message of gRPC: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

// === impl Caller ===

impl Caller {
    /// Through the proxy at this URL, if there is one.
    pub(super) fn new(proxy: Option<&str>) -> anyhow::Result<Self> {
        let proxy = match proxy {
            Some(url) => Some(url.strip_prefix("http://").context("HTTP_PROXY is no http://")?),
            None => None,
        };
        Ok(Self { proxy: proxy.map(|proxy| proxy.trim_end_matches('/').to_owned()) })
    }

    /// Makes one call on a connection of its own, and gives what the other side said.
    pub(super) async fn call(
        &self,
        protocol: SampleProtocol,
        authority: &str,
    ) -> anyhow::Result<Value> {
        let call = async {
            match protocol {
                SampleProtocol::Http => self.http(authority).await,
                SampleProtocol::Grpc => grpc(self.connect(authority).await?, authority).await,
                SampleProtocol::Tcp => lines(self.connect(authority).await?).await,
            }
        };
        let answer = time::timeout(TIMEOUT, call).await;
        answer.map_err(|time::Elapsed| anyhow::anyhow!("{authority} did not answer in time"))?
    }

    async fn http(&self, authority: &str) -> anyhow::Result<Value> {
        let (to, target) = match &self.proxy {
            Some(proxy) => (proxy.as_str(), format!("http://{authority}/")),
            None => (authority, "/".to_owned()),
        };
        let stream = TcpStream::connect(to).await.with_context(|| format!("no way to {to}"))?;
        let answer = client::exchange(stream, &target, authority, &[]).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body.trim());
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// A connection that leads there; through a proxy it is a tunnel.
    async fn connect(&self, authority: &str) -> anyhow::Result<TcpStream> {
        let to = self.proxy.as_deref().unwrap_or(authority);
        let mut stream = TcpStream::connect(to).await.with_context(|| format!("no way to {to}"))?;
        if self.proxy.is_some() {
            let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            // Byte by byte: what comes behind the head is the other side's.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head);
            ensure!(head.starts_with("HTTP/1.1 200"), "the tunnel is refused: {}", head.trim());
        }
        Ok(stream)
    }
}

async fn grpc(stream: TcpStream, authority: &str) -> anyhow::Result<Value> {
    let (mut client, connection) = h2::client::handshake(stream).await?;
    let running = task::spawn("sample-connection", connection);
    let request = Request::post(format!("http://{authority}/demo.Ledger/Look"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut body) = client.send_request(request, false)?;
    body.send_data(framed(&json!({})), true)?;
    let answer = answer.await?;
    // An answer without a message has its status in the head.
    let (status, head) = (answer.status(), answer.headers().clone());
    let mut stream = answer.into_body();
    let mut message = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?.unwrap_or(head);
    running.abort();
    let field = |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let (code, text) = (field("grpc-status"), field("grpc-message"));
    ensure!(code == "0", "HTTP status {status}, gRPC status {code}: {text}");
    let message = message.get(FRAME_HEAD..).context("the message has no head")?;
    Ok(serde_json::from_slice(message)?)
}

async fn lines(stream: TcpStream) -> anyhow::Result<Value> {
    let mut stream = BufStream::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if !line.starts_with("220 ") {
        bail!("the other side greets with {line:?}");
    }
    stream.write_all(b"look\r\n").await?;
    stream.flush().await?;
    line.clear();
    stream.read_line(&mut line).await?;
    Ok(serde_json::from_str(line.trim())?)
}

/// A message as gRPC sends it.
pub(super) fn framed(message: &Value) -> Bytes {
    let message = message.to_string();
    let length = u32::try_from(message.len()).expect("a sample's message is short");
    [&[0], &length.to_be_bytes()[..], message.as_bytes()].concat().into()
}

// === impl Load ===

impl Load {
    pub(super) fn start(caller: Rc<Caller>, protocol: SampleProtocol, authority: &str) -> Self {
        let counts = Rc::new(RefCell::new(Counts::default()));
        let (stop, mut stopped) = watch::channel(false);
        let (counted, authority) = (counts.clone(), authority.to_owned());
        let task = task::spawn("sample-load", async move {
            while !*stopped.borrow_and_update() {
                let answer = caller.call(protocol, &authority).await;
                counted.borrow_mut().note(answer);
                time::sleep(PAUSE).await;
            }
        });
        Self { counts, stop, task: Some(task) }
    }

    /// Waits for the call that is on its way.
    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }

    pub(super) fn counts(&self) -> Value {
        let Counts { failed, first_error, by_workload } = &*self.counts.borrow();
        json!({ "failed": failed, "error": first_error, "by": by_workload })
    }
}

// === impl Counts ===

impl Counts {
    fn note(&mut self, answer: anyhow::Result<Value>) {
        match answer {
            Ok(answer) => {
                let workload = answer["workload"].as_str().unwrap_or("nobody");
                *self.by_workload.entry(workload.to_owned()).or_default() += 1;
            }
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}
