//! Making connections: directly, or through the proxy beside the endpoint.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use weft_http::buffers::Buffers;
use weft_http::h1::Conn;
use weft_http::h2::{Client, ClientConnection};
use weft_http::io::Io;
use weft_model::backend::UpstreamProtocol;
use weft_model::calling;
use weft_net::Stream;
use weft_net::listen::{ConnectionOptions, KeepAlive, tune};
use weft_runtime::task;
use weft_tls::ClientTls;

use crate::error::ConnectError;
use crate::peer::PeerPool;

/// A response head larger than this is not accepted over HTTP/2.
pub(crate) const H2_HEAD_BYTES_MAX: u32 = 64 << 10;

/// Upstream connections are given up when what was sent is not acknowledged for this long: a host
/// that vanished without a word must not hold requests for the kernel's quarter of an hour.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a byte stream is to lead.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// Address.
    pub(crate) addr: SocketAddr,
    /// The proxy that leads there, and the present moment.
    pub(crate) through: Option<(&'a PeerPool, Instant)>,
    /// TLS, if it is spoken there.
    pub(crate) tls: Option<&'a ClientTls>,
    /// Name that TLS verifies when the configuration has none of its own.
    pub(crate) host: &'a str,
    /// Written in front of all else: a PROXY header.
    pub(crate) first: &'a [u8],
    /// How it is probed when it is silent, where not as usual.
    pub(crate) keep_alive: Option<calling::KeepAlive>,
}

/// A connection that speaks HTTP now.
pub(crate) enum Spoken {
    H1(Box<Conn>),
    /// The connection has to be polled for the client to get anywhere.
    H2(Client, Box<ClientConnection>),
}

/// Begins HTTP on a fresh byte stream; `agreed_h2` is what ALPN said.
///
/// Not cancel safe: dropping it closes the connection.
pub(crate) async fn speak(
    io: Io,
    agreed_h2: bool,
    protocol: UpstreamProtocol,
    buffers: &Buffers,
) -> Result<Spoken, ConnectError> {
    let is_h2 = match protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Auto | UpstreamProtocol::AsClient => agreed_h2,
    };
    if !is_h2 {
        return Ok(Spoken::H1(Box::new(Conn::new(io, buffers.clone()))));
    }
    let (client, connection) =
        Client::handshake(io, H2_HEAD_BYTES_MAX, buffers).await.map_err(ConnectError::H2)?;
    Ok(Spoken::H2(client, Box::new(connection)))
}

/// Runs an HTTP/2 connection until it ends, which every stream on it sees, and the next look at the
/// pool. `pings` are how often the peer is asked whether it is there, and how long it may take to
/// answer; `held` is dropped in the end.
pub(crate) fn drive<T: 'static>(
    connection: ClientConnection,
    pings: Option<(Duration, Duration)>,
    held: T,
) {
    task::spawn("upstream-h2", async move {
        let _ = match pings {
            Some((every, patience)) => connection.with_pings(every, patience).await,
            None => connection.await,
        };
        drop(held);
    });
}

/// A byte stream, and whether HTTP/2 was agreed on.
///
/// Not cancel safe: dropping it closes the connection.
pub(crate) async fn stream(
    to: &Destination<'_>,
    buffers: &Buffers,
) -> Result<(Io, bool), ConnectError> {
    match to.through {
        None => secure(connect_tcp(to.addr, to.keep_alive).await?, Io::Tcp, to, buffers).await,
        Some((peer, now)) => {
            let tunnel = peer.tunnel(now, to.addr, buffers).await?;
            secure(tunnel, |tunnel| Io::Other(Box::new(tunnel)), to, buffers).await
        }
    }
}

/// A socket that leads there.
///
/// Cancel safe: dropping it closes what was begun.
pub(crate) async fn connect_tcp(
    addr: SocketAddr,
    keep_alive: Option<calling::KeepAlive>,
) -> Result<TcpStream, ConnectError> {
    let tcp = TcpStream::connect(addr).await.map_err(ConnectError::Tcp)?;
    tune(&tcp, &options(keep_alive)).map_err(ConnectError::Tcp)?;
    Ok(tcp)
}

fn options(keep_alive: Option<calling::KeepAlive>) -> ConnectionOptions {
    let usual =
        ConnectionOptions { user_timeout: Some(USER_TIMEOUT), ..ConnectionOptions::DEFAULT };
    match keep_alive {
        None => usual,
        Some(calling::KeepAlive { idle, interval, probes }) => {
            let probes = Some(probes);
            // With both, Linux gives up by the user timeout, whatever the probes say (tcp(7)).
            let user_timeout = None;
            let keepalive = Some(KeepAlive { idle, interval, probes });
            ConnectionOptions { keepalive, user_timeout }
        }
    }
}

/// Writes what comes first, and begins TLS if it is spoken there.
async fn secure<S: Stream + 'static>(
    mut io: S,
    plain: impl FnOnce(S) -> Io,
    to: &Destination<'_>,
    buffers: &Buffers,
) -> Result<(Io, bool), ConnectError> {
    if !to.first.is_empty() {
        io.write_all(to.first).await.map_err(ConnectError::Tcp)?;
    }
    let Some(tls) = to.tls else {
        return Ok((plain(io), false));
    };
    let stream =
        weft_tls::connect(io, tls, to.host, buffers.pool()).await.map_err(ConnectError::Tls)?;
    let agreed_h2 = stream.facts().alpn == Some(b"h2");
    Ok((Io::Other(Box::new(stream)), agreed_h2))
}
