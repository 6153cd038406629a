//! As much of an HTTP/1.1 client as the tour needs.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weft_runtime::time;

/// Everything is on this machine: what takes longer is broken.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

/// Sends a GET and reads to the end of the connection.
pub(super) async fn get(
    addr: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let exchange = async {
        let stream = TcpStream::connect(addr).await?;
        exchange(stream, path, "localhost", headers).await
    };
    time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|time::Elapsed| anyhow::anyhow!("{addr} did not answer in time"))?
        .with_context(|| format!("{addr} cannot be asked"))
}

/// Sends a GET on this connection and reads to its end.
pub(super) async fn exchange(
    mut stream: TcpStream,
    target: &str,
    host: &str,
    headers: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.context("the answer has no status")?,
        head: head.to_ascii_lowercase(),
        body: body.into(),
    })
}
