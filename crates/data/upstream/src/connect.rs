//! Connections to endpoints: pooled, or made.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use weft_http::buffers::Buffers;
use weft_http::h1::Conn;
use weft_http::h2::{Client, ClientConnection};
use weft_http::io::Io;
use weft_model::backend::UpstreamProtocol;
use weft_net::listen::{ConnectionOptions, tune};
use weft_runtime::{task, time};
use weft_tls::ClientTls;

use crate::backend::Backend;
use crate::endpoint::Endpoint;
use crate::error::ConnectError;
use crate::lease::Lease;

/// A response head larger than this is not accepted over HTTP/2.
const H2_HEAD_BYTES_MAX: u32 = 64 << 10;

/// Upstream connections are probed when they are silent, and given up when what was sent is not
/// acknowledged for this long: a host that vanished without a word must not hold requests for the
/// kernel's quarter of an hour.
const OPTIONS: ConnectionOptions =
    ConnectionOptions { user_timeout: Some(Duration::from_secs(30)), ..ConnectionOptions::DEFAULT };

/// A connection on which a request may be sent.
#[derive(Debug)]
pub enum Connection {
    /// HTTP/1.1, to itself.
    H1(Box<Conn>),
    /// A stream may be opened on this HTTP/2 connection.
    H2(Client),
}

/// What a connection for a request has to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Whatever the backend's settings allow.
    Any,
    /// HTTP/1.1 where the settings leave a choice: for requests to upgrade.
    Http1,
}

/// A connection, and whether it had been used before.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub connection: Connection,
    /// How long it had been idle, if it was pooled; zero for one of HTTP/2 with other streams.
    pub idle: Option<Duration>,
}

// === impl Lease ===

impl Lease {
    /// A pooled connection, without waiting. `replayable` says whether the request could be sent
    /// again if the connection turns out to be closed.
    pub fn pooled(&self, now: Instant, replayable: bool, speaks: Speaks) -> Option<Dialled> {
        let shared = match self.protocol(speaks) {
            UpstreamProtocol::Http1 => None,
            UpstreamProtocol::Http2 | UpstreamProtocol::Auto => self.endpoint.h2.take(now),
        };
        let (connection, idle) = match shared {
            Some((client, idle)) => (Connection::H2(client), idle),
            None => {
                let idle_timeout = self.backend.settings.pool.idle_timeout;
                let (conn, idle) = self.endpoint.pool.take(now, replayable, idle_timeout)?;
                (Connection::H1(conn), idle)
            }
        };
        self.backend.cells.reuses.inc();
        Some(Dialled { connection, idle: Some(idle) })
    }

    /// Makes a connection.
    ///
    /// Cancel safe: dropping it closes what was begun.
    ///
    /// # Errors
    ///
    /// When it cannot be made within the backend's connect timeout. Nothing was sent.
    pub async fn dial(
        &self,
        buffers: &Buffers,
        host: &str,
        speaks: Speaks,
    ) -> Result<Dialled, ConnectError> {
        let limit = self.backend.settings.pool.connect_timeout;
        let dialling = self.dial_or_share(buffers, host, self.protocol(speaks));
        let result = match time::timeout(limit, dialling).await {
            Ok(result) => result,
            Err(time::Elapsed) => Err(ConnectError::Timeout),
        };
        let cells = &self.backend.cells;
        match &result {
            Ok(Dialled { idle: Some(_), .. }) => cells.reuses.inc(),
            Ok(Dialled { idle: None, .. }) => cells.connects.inc(),
            Err(_) => cells.connect_failures.inc(),
        }
        result
    }

    /// Makes a connection, unless somebody else has just made one that can be shared.
    async fn dial_or_share(
        &self,
        buffers: &Buffers,
        host: &str,
        protocol: UpstreamProtocol,
    ) -> Result<Dialled, ConnectError> {
        let turn = match protocol {
            UpstreamProtocol::Http2 => self.endpoint.h2.turn().await,
            UpstreamProtocol::Http1 | UpstreamProtocol::Auto => None,
        };
        if turn.is_some()
            && let Some((client, idle)) = self.endpoint.h2.take(self.started)
        {
            return Ok(Dialled { connection: Connection::H2(client), idle: Some(idle) });
        }
        let connection = dial(&self.backend, &self.endpoint, buffers, host, protocol).await?;
        Ok(Dialled { connection, idle: None })
    }

    /// Makes a plain byte stream (TLS included, if the backend wants it) for TCP routes and
    /// upgrades.
    ///
    /// # Errors
    ///
    /// As [`Lease::dial`].
    pub async fn dial_stream(
        &self,
        buffers: &Buffers,
        host: &str,
        first: &[u8],
    ) -> Result<Io, ConnectError> {
        let limit = self.backend.settings.pool.connect_timeout;
        let (addr, tls) = (self.endpoint.addr, self.backend.tls.as_deref());
        let to = Destination { addr, tls, host, first };
        let result = match time::timeout(limit, stream(&to, buffers)).await {
            Ok(result) => result.map(|(io, _)| io),
            Err(time::Elapsed) => Err(ConnectError::Timeout),
        };
        match &result {
            Ok(_) => self.backend.cells.connects.inc(),
            Err(_) => self.backend.cells.connect_failures.inc(),
        }
        result
    }

    fn protocol(&self, speaks: Speaks) -> UpstreamProtocol {
        match (self.backend.settings.protocol, speaks) {
            (UpstreamProtocol::Auto, Speaks::Http1) => UpstreamProtocol::Http1,
            (protocol, _) => protocol,
        }
    }
}

/// Where a byte stream is to lead.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// Address.
    pub(crate) addr: SocketAddr,
    /// TLS, if it is spoken there.
    pub(crate) tls: Option<&'a ClientTls>,
    /// Name that TLS verifies when the configuration has none of its own.
    pub(crate) host: &'a str,
    /// Written in front of all else: a PROXY header.
    pub(crate) first: &'a [u8],
}

/// A connection that speaks HTTP now.
pub(crate) enum Spoken {
    H1(Box<Conn>),
    /// The connection has to be polled for the client to get anywhere.
    H2(Client, Box<ClientConnection>),
}

async fn dial(
    backend: &Rc<Backend>,
    endpoint: &Rc<Endpoint>,
    buffers: &Buffers,
    host: &str,
    protocol: UpstreamProtocol,
) -> Result<Connection, ConnectError> {
    let narrowed = match protocol == backend.settings.protocol {
        true => None,
        false => backend.tls.as_ref().map(|tls| tls.http1()),
    };
    let tls = narrowed.as_ref().or(backend.tls.as_deref());
    let to = Destination { addr: endpoint.addr, tls, host, first: &[] };
    let (io, agreed_h2) = stream(&to, buffers).await?;
    match speak(io, agreed_h2, protocol, buffers).await? {
        Spoken::H1(conn) => Ok(Connection::H1(conn)),
        Spoken::H2(client, connection) => {
            endpoint.h2.add(client.clone());
            task::spawn("upstream-h2", async move {
                // Its end is seen by every stream on it, and by the next look at the pool.
                let _ = connection.await;
            });
            Ok(Connection::H2(client))
        }
    }
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
        UpstreamProtocol::Auto => agreed_h2,
    };
    if !is_h2 {
        return Ok(Spoken::H1(Box::new(Conn::new(io, buffers.clone()))));
    }
    let (client, connection) =
        Client::handshake(io, H2_HEAD_BYTES_MAX).await.map_err(ConnectError::H2)?;
    Ok(Spoken::H2(client, Box::new(connection)))
}

/// A byte stream, and whether HTTP/2 was agreed on.
///
/// Not cancel safe: dropping it closes the connection.
pub(crate) async fn stream(
    to: &Destination<'_>,
    buffers: &Buffers,
) -> Result<(Io, bool), ConnectError> {
    let mut tcp = TcpStream::connect(to.addr).await.map_err(ConnectError::Tcp)?;
    tune(&tcp, &OPTIONS).map_err(ConnectError::Tcp)?;
    if !to.first.is_empty() {
        tcp.write_all(to.first).await.map_err(ConnectError::Tcp)?;
    }
    let Some(tls) = to.tls else {
        return Ok((Io::Tcp(tcp), false));
    };
    let stream =
        weft_tls::connect(tcp, tls, to.host, buffers.pool()).await.map_err(ConnectError::Tls)?;
    let agreed_h2 = stream.facts().alpn == Some(b"h2");
    Ok((Io::Other(Box::new(stream)), agreed_h2))
}
