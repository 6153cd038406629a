//! Opens connections.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::options::Protocol;
use crate::tally::{Failure, FailureKind};
use crate::target::{Plan, TlsTarget};
use crate::worker::Addrs;

/// A connection to the target.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects, and shakes hands where the target speaks TLS. Cancel safe: a cancelled call closes
/// what it opened.
pub(crate) async fn dial(plan: &Plan, addrs: &Addrs) -> Result<Stream, Failure> {
    let tcp =
        connect(plan, addrs).await.map_err(|error| Failure::new(FailureKind::Connect, error))?;
    // Requests are written whole; waiting to merge them would only add latency.
    let _ = tcp.set_nodelay(true);
    match &plan.tls {
        None => Ok(Stream::Plain(tcp)),
        Some(target) => handshake(tcp, target, plan.protocol).await,
    }
}

/// Tries the address that worked last, then the others in turn.
async fn connect(plan: &Plan, addrs: &Addrs) -> io::Result<TcpStream> {
    let count = plan.addrs.len();
    let first = addrs.last_good.get();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for step in 0..count {
        let index = (first + step) % count;
        match TcpStream::connect(plan.addrs[index]).await {
            Ok(tcp) => {
                addrs.last_good.set(index);
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn handshake(
    tcp: TcpStream,
    target: &TlsTarget,
    protocol: Protocol,
) -> Result<Stream, Failure> {
    let connector = TlsConnector::from(target.config.clone());
    let tls = connector
        .connect(target.server_name.clone(), tcp)
        .await
        .map_err(|error| Failure::new(FailureKind::Tls, error))?;
    if protocol == Protocol::Http2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(Failure::new(FailureKind::Tls, "the server does not speak HTTP/2"));
    }
    Ok(Stream::Tls(Box::new(tls)))
}
