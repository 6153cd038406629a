//! Connections to endpoints: pooled, or made; directly, or through the proxy beside them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use weft_http::buffers::Buffers;
use weft_http::h1::Conn;
use weft_http::h2::{Client, ClientConnection};
use weft_http::io::Io;
use weft_model::backend::UpstreamProtocol;
use weft_net::Stream;
use weft_net::listen::{ConnectionOptions, tune};
use weft_resilience::outlier::Signal;
use weft_runtime::{task, time};
use weft_tls::ClientTls;

use crate::error::ConnectError;
use crate::lease::Lease;
use crate::peer::{PeerPool, Way};

/// A response head larger than this is not accepted over HTTP/2.
pub(crate) const H2_HEAD_BYTES_MAX: u32 = 64 << 10;

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
    /// The same to the proxy beside the endpoint. The request has to say for which address it is, in
    /// [`weft_message::peer::DESTINATION`].
    Mesh(Client, SocketAddr),
}

/// What a connection for a request has to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Whatever the backend's settings allow.
    Any,
    /// HTTP/1.1 where the settings leave a choice: for requests to upgrade.
    Http1,
    /// HTTP/2 where the settings say [`UpstreamProtocol::AsClient`]: for requests that came so on a
    /// connection that is to be passed on as it is.
    Http2,
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
        let way = self.carrier(speaks).map(|peer| peer.way(now));
        let (connection, idle) = match way {
            Some(Some(Way::Requests(client, idle))) => {
                (Connection::Mesh(client, self.endpoint.addr), idle.unwrap_or_default())
            }
            // How to get there has to be found out first.
            Some(None) => return None,
            Some(Some(Way::Tunnels)) | None => self.pooled_here(now, replayable, speaks)?,
        };
        self.backend.cells.reuses.inc();
        Some(Dialled { connection, idle: Some(idle) })
    }

    /// A connection that leads to the endpoint and nowhere else.
    fn pooled_here(
        &self,
        now: Instant,
        replayable: bool,
        speaks: Speaks,
    ) -> Option<(Connection, Duration)> {
        let protocol = self.protocol(speaks);
        if protocol != UpstreamProtocol::Http1
            && let Some((client, idle)) = self.endpoint.h2.take(now, |()| true)
        {
            return Some((Connection::H2(client), idle));
        }
        if protocol == UpstreamProtocol::Http2 {
            return None;
        }
        let idle_timeout = self.backend.settings.pool.idle_timeout;
        let (conn, idle) = self.endpoint.pool.take(now, replayable, idle_timeout)?;
        Some((Connection::H1(conn), idle))
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
        let dialling = self.dial_or_share(buffers, host, speaks);
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
        speaks: Speaks,
    ) -> Result<Dialled, ConnectError> {
        if let Some(peer) = self.carrier(speaks)
            && let Way::Requests(client, idle) = peer.find_way(self.started, buffers).await?
        {
            let connection = Connection::Mesh(client, self.endpoint.addr);
            return Ok(Dialled { connection, idle });
        }
        let protocol = self.protocol(speaks);
        let turn = match protocol {
            UpstreamProtocol::Http2 => self.endpoint.h2.turn().await,
            UpstreamProtocol::Http1 | UpstreamProtocol::Auto | UpstreamProtocol::AsClient => None,
        };
        if turn.is_some()
            && let Some((client, idle)) = self.endpoint.h2.take(self.started, |()| true)
        {
            return Ok(Dialled { connection: Connection::H2(client), idle: Some(idle) });
        }
        let connection = self.dial_here(buffers, host, protocol).await?;
        Ok(Dialled { connection, idle: None })
    }

    /// Makes a connection that leads to the endpoint and nowhere else.
    async fn dial_here(
        &self,
        buffers: &Buffers,
        host: &str,
        protocol: UpstreamProtocol,
    ) -> Result<Connection, ConnectError> {
        let settings = &self.backend.settings;
        let is_narrowed =
            protocol == UpstreamProtocol::Http1 && settings.protocol != UpstreamProtocol::Http1;
        let narrowed = match &self.backend.tls {
            Some(tls) if is_narrowed => Some(tls.http1()),
            _ => None,
        };
        let tls = narrowed.as_ref().or(self.backend.tls.as_deref());
        let (io, agreed_h2) = stream(&self.destination(tls, host, &[]), buffers).await?;
        match speak(io, agreed_h2, protocol, buffers).await? {
            Spoken::H1(conn) => Ok(Connection::H1(conn)),
            Spoken::H2(client, connection) => {
                self.endpoint.h2.add(client.clone(), ());
                task::spawn("upstream-h2", async move {
                    // Its end is seen by every stream on it, and by the next look at the pool.
                    let _ = connection.await;
                });
                Ok(Connection::H2(client))
            }
        }
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
        let to = self.destination(self.backend.tls.as_deref(), host, first);
        let result = match time::timeout(limit, stream(&to, buffers)).await {
            Ok(result) => result.map(|(io, _)| io),
            Err(time::Elapsed) => Err(ConnectError::Timeout),
        };
        match &result {
            Ok(_) => {
                self.backend.cells.connects.inc();
                // Nobody judges the bytes that follow; that it takes connections counts for it.
                self.signal(self.started, Signal::Success);
            }
            Err(_) => self.backend.cells.connect_failures.inc(),
        }
        result
    }

    /// What is spoken on a connection that leads to the endpoint and nowhere else.
    fn protocol(&self, speaks: Speaks) -> UpstreamProtocol {
        match (self.backend.settings.protocol, speaks) {
            (UpstreamProtocol::Auto | UpstreamProtocol::AsClient, Speaks::Http1) => {
                UpstreamProtocol::Http1
            }
            (UpstreamProtocol::AsClient, _) if self.backend.tls.is_some() => UpstreamProtocol::Auto,
            (UpstreamProtocol::AsClient, Speaks::Http2) => UpstreamProtocol::Http2,
            (UpstreamProtocol::AsClient, Speaks::Any) => UpstreamProtocol::Http1,
            (protocol, _) => protocol,
        }
    }

    /// The proxy that may take the request as it is and speak to the application itself: it does not
    /// have to pass on anything but a request, and speaks what the application is known to.
    fn carrier(&self, speaks: Speaks) -> Option<&PeerPool> {
        let as_client = self.backend.settings.protocol == UpstreamProtocol::AsClient;
        let fits = match speaks {
            Speaks::Any => true,
            Speaks::Http1 => false,
            Speaks::Http2 => !as_client,
        };
        let peer = self.endpoint.peer.as_deref()?;
        (fits && self.backend.tls.is_none()).then_some(peer)
    }

    fn destination<'a>(
        &'a self,
        tls: Option<&'a ClientTls>,
        host: &'a str,
        first: &'a [u8],
    ) -> Destination<'a> {
        let through = self.endpoint.peer.as_deref().map(|peer| (peer, self.started));
        Destination { addr: self.endpoint.addr, through, tls, host, first }
    }
}

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

/// A byte stream, and whether HTTP/2 was agreed on.
///
/// Not cancel safe: dropping it closes the connection.
pub(crate) async fn stream(
    to: &Destination<'_>,
    buffers: &Buffers,
) -> Result<(Io, bool), ConnectError> {
    match to.through {
        None => secure(connect_tcp(to.addr).await?, Io::Tcp, to, buffers).await,
        Some((peer, now)) => {
            let tunnel = peer.tunnel(now, to.addr, buffers).await?;
            secure(tunnel, |tunnel| Io::Other(Box::new(tunnel)), to, buffers).await
        }
    }
}

/// A socket that leads there.
///
/// Cancel safe: dropping it closes what was begun.
pub(crate) async fn connect_tcp(addr: SocketAddr) -> Result<TcpStream, ConnectError> {
    let tcp = TcpStream::connect(addr).await.map_err(ConnectError::Tcp)?;
    tune(&tcp, &OPTIONS).map_err(ConnectError::Tcp)?;
    Ok(tcp)
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
