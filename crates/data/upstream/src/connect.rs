//! Connections to endpoints: pooled, or made.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::net::TcpStream;
use weft_http::buffers::Buffers;
use weft_http::h1::Conn;
use weft_http::h2::Client;
use weft_http::io::Io;
use weft_model::backend::UpstreamProtocol;
use weft_runtime::{task, time};

use crate::backend::Backend;
use crate::endpoint::Endpoint;
use crate::error::ConnectError;
use crate::lease::Lease;

/// A response head larger than this is not accepted over HTTP/2.
const H2_HEAD_BYTES_MAX: u32 = 64 << 10;

/// A connection on which a request may be sent.
#[derive(Debug)]
pub enum Connection {
    /// HTTP/1.1, to itself.
    H1(Box<Conn>),
    /// A stream may be opened on this HTTP/2 connection.
    H2(Client),
}

/// A connection, and whether it had been used before.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub connection: Connection,
    /// How long it had been idle, if it was pooled.
    pub reused: bool,
}

// === impl Lease ===

impl Lease {
    /// A pooled connection, without waiting. `replayable` says whether the request could be sent
    /// again if the connection turns out to be closed.
    pub fn pooled(&self, now: Instant, replayable: bool) -> Option<Dialled> {
        let connection = self.pooled_h2().map(Connection::H2).or_else(|| {
            let idle_timeout = self.backend.settings.pool.idle_timeout;
            self.endpoint.pool.take(now, replayable, idle_timeout).map(Connection::H1)
        })?;
        self.backend.cells.reuses.inc();
        Some(Dialled { connection, reused: true })
    }

    /// Makes a connection.
    ///
    /// Cancel safe: dropping it closes what was begun.
    ///
    /// # Errors
    ///
    /// When it cannot be made within the backend's connect timeout. Nothing was sent.
    pub async fn dial(&self, buffers: &Buffers, host: &str) -> Result<Dialled, ConnectError> {
        let limit = self.backend.settings.pool.connect_timeout;
        let dialling = dial(&self.backend, &self.endpoint, buffers, host);
        let result = match time::timeout(limit, dialling).await {
            Ok(result) => result,
            Err(time::Elapsed) => Err(ConnectError::Timeout),
        };
        match &result {
            Ok(_) => self.backend.cells.connects.inc(),
            Err(_) => self.backend.cells.connect_failures.inc(),
        }
        result.map(|connection| Dialled { connection, reused: false })
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
        let result = match time::timeout(limit, stream(&self.backend, self.endpoint.addr, buffers, host, first)).await {
            Ok(result) => result.map(|(io, _)| io),
            Err(time::Elapsed) => Err(ConnectError::Timeout),
        };
        match &result {
            Ok(_) => self.backend.cells.connects.inc(),
            Err(_) => self.backend.cells.connect_failures.inc(),
        }
        result
    }

    fn pooled_h2(&self) -> Option<Client> {
        if self.backend.settings.protocol == UpstreamProtocol::Http1 {
            return None;
        }
        let mut clients = self.endpoint.h2.borrow_mut();
        clients.retain_mut(|client| !client.is_closed());
        clients.iter_mut().find(|client| client.has_room()).map(|client| client.clone())
    }
}

async fn dial(
    backend: &Rc<Backend>,
    endpoint: &Rc<Endpoint>,
    buffers: &Buffers,
    host: &str,
) -> Result<Connection, ConnectError> {
    let (io, agreed_h2) = stream(backend, endpoint.addr, buffers, host, &[]).await?;
    let is_h2 = match backend.settings.protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Auto => agreed_h2,
    };
    if !is_h2 {
        return Ok(Connection::H1(Box::new(Conn::new(io, buffers.clone()))));
    }
    let (client, connection) =
        Client::handshake(io, H2_HEAD_BYTES_MAX).await.map_err(ConnectError::H2)?;
    endpoint.h2.borrow_mut().push(client.clone());
    task::spawn("upstream-h2", async move {
        // Its end is seen by every stream on it, and by the next look at the pool.
        let _ = connection.await;
    });
    Ok(Connection::H2(client))
}

/// A byte stream, and whether HTTP/2 was agreed on. `first` is written in front of all else (a
/// PROXY header).
async fn stream(
    backend: &Backend,
    addr: SocketAddr,
    buffers: &Buffers,
    host: &str,
    first: &[u8],
) -> Result<(Io, bool), ConnectError> {
    let mut tcp = TcpStream::connect(addr).await.map_err(ConnectError::Tcp)?;
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    if !first.is_empty() {
        use tokio::io::AsyncWriteExt as _;
        tcp.write_all(first).await.map_err(ConnectError::Tcp)?;
    }
    let Some(tls) = &backend.tls else {
        return Ok((Io::Tcp(tcp), false));
    };
    let stream = weft_tls::connect(tcp, tls, host, buffers.pool()).await.map_err(ConnectError::Tls)?;
    let agreed_h2 = stream.facts().alpn == Some(b"h2");
    Ok((Io::Other(Box::new(stream)), agreed_h2))
}

