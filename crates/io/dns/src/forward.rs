//! Asking upstream resolvers.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use weft_runtime::time;

use crate::metrics::{DnsMetrics, Failure};
use crate::question::{Question, Transport, random_id, set_id};
use crate::server::Limits;
use crate::upstreams::Upstreams;

/// Asks upstream resolvers, one after the other.
#[derive(Debug)]
pub(crate) struct Forwarder {
    upstreams: Upstreams,
    /// Where we listen ourselves: a resolver that is not asked.
    own: Vec<SocketAddr>,
    /// The one that answered last, which is asked first.
    preferred: Cell<Option<SocketAddr>>,
    limits: Limits,
    metrics: Arc<DnsMetrics>,
}

// === impl Forwarder ===

impl Forwarder {
    /// Addresses in `own` are never asked.
    pub(crate) fn new(
        upstreams: Upstreams,
        own: Vec<SocketAddr>,
        limits: Limits,
        metrics: Arc<DnsMetrics>,
    ) -> Self {
        Self { upstreams, own, preferred: Cell::new(None), limits, metrics }
    }

    /// The reply to `query`, over the transport by which it came, so that what does not fit is cut
    /// by those who know it. `None` if nobody replies. One that refuses or fails is not asked again,
    /// and its reply counts if there is no better.
    ///
    /// Cancel safe: dropping it closes its socket.
    pub(crate) async fn ask(&self, question: &Question, query: &[u8]) -> Option<Vec<u8>> {
        let mut servers = self.servers();
        let mut second_best = None;
        for _ in 0..self.limits.tries {
            let Some(server) = servers.pop_front() else { break };
            let exchange = async {
                match question.transport() {
                    Transport::Udp => over_udp(server, question, query).await,
                    Transport::Tcp => over_tcp(server, question, query).await,
                }
            };
            let failure = match time::timeout(self.limits.try_timeout, exchange).await {
                Ok(Ok((reply, code))) if is_answer(code) => {
                    self.preferred.set(Some(server));
                    return Some(reply);
                }
                Ok(Ok((reply, _))) => {
                    self.metrics.upstream_failed(Failure::Refused);
                    second_best = Some(reply);
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%server, %error, "an upstream resolver is not reached");
                    Failure::Unreachable
                }
                Err(time::Elapsed) => Failure::Timeout,
            };
            self.metrics.upstream_failed(failure);
            servers.push_back(server);
        }
        second_best
    }

    /// In the order in which they are asked.
    fn servers(&self) -> VecDeque<SocketAddr> {
        let servers = self.upstreams.servers();
        let mut servers: VecDeque<SocketAddr> =
            servers.iter().copied().filter(|server| !self.own.contains(server)).collect();
        let preferred = servers.iter().position(|server| Some(*server) == self.preferred.get());
        servers.rotate_left(preferred.unwrap_or(0));
        servers
    }
}

/// Whether a reply settles the question. Others might know more than one that fails or refuses.
fn is_answer(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// From a port that the system draws, under a number that we draw, so that nobody who does not see
/// the question can answer it (RFC 5452 section 9.2). What is no reply to it is passed over.
async fn over_udp(
    server: SocketAddr,
    question: &Question,
    query: &[u8],
) -> io::Result<(Vec<u8>, ResponseCode)> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let id = random_id();
    let mut message = query.to_vec();
    set_id(&mut message, id);
    socket.send(&message).await?;
    // One byte more than the client takes shows what is too long.
    let mut reply = vec![0; question.reply_bytes_max() + 1];
    loop {
        let len = socket.recv(&mut reply).await?;
        let is_whole = len < reply.len();
        if let Some(code) = question.result(id, &reply[..len]).filter(|_| is_whole) {
            reply.truncate(len);
            set_id(&mut reply, question.id());
            return Ok((reply, code));
        }
    }
}

async fn over_tcp(
    server: SocketAddr,
    question: &Question,
    query: &[u8],
) -> io::Result<(Vec<u8>, ResponseCode)> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id();
    let mut message = query.to_vec();
    set_id(&mut message, id);
    write_message(&mut stream, &message).await?;
    let mut reply = read_message(&mut stream, usize::from(u16::MAX)).await?;
    let code = question
        .result(id, &reply)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no reply to the question"))?;
    set_id(&mut reply, question.id());
    Ok((reply, code))
}

/// Reads one message with its length before it (RFC 1035 section 4.2.2).
///
/// # Errors
///
/// When the stream ends or fails, or the message is longer than `bytes_max`.
///
/// Not cancel safe: what has been read is lost.
pub(crate) async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let len = usize::from(stream.read_u16().await?);
    if len > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut message = vec![0; len];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes one message with its length before it, in one piece.
///
/// # Errors
///
/// When the stream fails, or the message is longer than the length can say.
///
/// Not cancel safe: a part may have been written.
pub(crate) async fn write_message(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
) -> io::Result<()> {
    let len = u16::try_from(message.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"))?;
    let mut bytes = Vec::with_capacity(message.len() + 2);
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await
}

#[cfg(test)]
mod tests;
