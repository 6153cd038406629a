//! Accept, detect, handshake: from a socket to a protocol.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use weft_http::h1::Conn;
use weft_http::io::{Io, Rewind};
use weft_model::id::ListenerId;
use weft_model::route::{TcpRoute, TcpTls};
use weft_net::Inbox;
use weft_net::detect::{Detected, FirstBytes, detect};
use weft_net::listen::{AcceptError, Accepted, ConnectionOptions, EXHAUSTED_BACKOFF, Listening};
use weft_net::proxy_protocol;
use weft_runtime::task::Task;
use weft_runtime::{task, time};
use weft_tls::handshake;

use crate::connection::{Connection, TlsFacts};
use crate::metrics::{ConnectionCount, Limit};
use crate::plan::ListenerPlan;
use crate::worker::Worker;
use crate::{serve_h1, serve_h2, serve_tcp};

/// The accept loops of one worker.
#[derive(Debug, Default)]
pub(crate) struct Acceptors(Vec<(ListenerId, Task<()>)>);

/// A connection whose protocol is known.
enum Opened {
    H1(Connection, Io, Inbox),
    H2(Connection, Io, Inbox),
    Tcp(Connection, Arc<TcpRoute>, Io, Inbox),
}

/// Why a connection was given up before its protocol was known. The client gets no answer: it has
/// not asked anything yet that could be answered.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error("the client closed it")]
    Closed,
    #[error("it broke")]
    Io(#[source] std::io::Error),
    #[error("the PROXY header is not acceptable")]
    Proxy(#[source] proxy_protocol::InvalidProxyHeader),
    #[error("the peer is not trusted to send a PROXY header")]
    UntrustedProxy,
    #[error("the TLS handshake failed")]
    Tls(#[source] handshake::HandshakeError),
    #[error("nothing is served for that server name")]
    NoName,
    #[error("nothing of that protocol is served here")]
    NotServed,
}

// === impl Acceptors ===

impl Acceptors {
    pub(crate) fn listen(
        &mut self,
        worker: &Rc<Worker>,
        id: ListenerId,
        socket: std::net::TcpListener,
    ) {
        match Listening::from_std(socket, &ConnectionOptions::DEFAULT) {
            Ok(listening) => {
                let accepting = accept(worker.clone(), id.clone(), listening);
                self.0.push((id, task::spawn("accept", accepting)));
            }
            Err(error) => tracing::error!(listener = %id, %error, "cannot accept"),
        }
    }

    pub(crate) fn unlisten(&mut self, id: &ListenerId) {
        self.0.retain(|(have, task)| {
            if have == id {
                task.abort();
            }
            have != id
        });
    }

    pub(crate) fn stop(&mut self) {
        for (_, task) in self.0.drain(..) {
            task.abort();
        }
    }
}

async fn accept(worker: Rc<Worker>, id: ListenerId, listening: Listening) {
    loop {
        match listening.accept().await {
            Ok(accepted) => {
                let plan = worker.plan();
                let max = plan.listener(&id).map_or(u32::MAX, |listener| {
                    listener.shared.settings.limits.connections_max
                });
                if worker.metrics.connections_open() >= u64::from(max) {
                    worker.metrics.limit(Limit::Connections);
                    continue;
                }
                let count = worker.metrics.connection();
                task::spawn("connection", connection(worker.clone(), id.clone(), accepted, count));
            }
            Err(AcceptError::Transient(error)) => {
                tracing::debug!(listener = %id, %error, "a connection was lost");
            }
            Err(AcceptError::Exhausted(error)) => {
                tracing::warn!(listener = %id, %error, "cannot accept for the moment");
                time::sleep(EXHAUSTED_BACKOFF).await;
            }
            Err(AcceptError::Fatal(error)) => {
                tracing::error!(listener = %id, %error, "stopped accepting");
                return;
            }
        }
    }
}

async fn connection(worker: Rc<Worker>, id: ListenerId, accepted: Accepted, count: ConnectionCount) {
    let client = accepted.peer;
    // Large and short: boxed, so that it does not make every open connection larger.
    let opened = Box::pin(open(worker, id, accepted, count)).await;
    match opened {
        Ok(Opened::H1(conn, io, inbox)) => {
            let h1 = Conn::with_inbox(io, conn.worker.buffers.clone(), inbox);
            serve_h1::serve(Rc::new(conn), h1).await;
        }
        Ok(Opened::H2(conn, io, inbox)) => {
            let io = Io::Other(Box::new(Rewind::new(io, inbox)));
            Box::pin(serve_h2::serve(Rc::new(conn), io)).await;
        }
        Ok(Opened::Tcp(conn, route, io, inbox)) => {
            Box::pin(serve_tcp::serve(Rc::new(conn), route, io, inbox)).await;
        }
        Err(error) => {
            let error = crate::attempt::describe(&error);
            tracing::debug!(%client, error, "a connection was given up");
        }
    }
}

async fn open(
    worker: Rc<Worker>,
    id: ListenerId,
    accepted: Accepted,
    count: ConnectionCount,
) -> Result<Opened, NotOpened> {
    let plan = worker.plan();
    let listener = plan.listener(&id).ok_or(NotOpened::NotServed)?.clone();
    let settings = &listener.shared.settings;
    let Accepted { stream, peer, local } = accepted;
    let mut conn = Connection {
        client: peer,
        place: Cell::new(0),
        local,
        trusted: contains(&settings.forwarded_from, peer.ip()),
        tls: None,
        listener: id,
        _count: count,
        worker: worker.clone(),
    };
    let mut io = Io::Tcp(stream);
    let mut inbox = Inbox::new(worker.buffers.pool());
    let deadline = time::now() + settings.limits.handshake_timeout;
    if contains(&settings.proxy_protocol_from, peer.ip()) {
        within(&worker, deadline, read_proxy(&mut conn, &mut io, &mut inbox)).await?;
    }
    if listener.side(true).is_none() && is_plain_tcp_only(&listener, &conn) {
        return open_plain(conn, &listener, io, inbox, FirstBytes::Other);
    }
    let first_limit = time::now() + settings.limits.idle_timeout;
    let first = within(&worker, first_limit, first_bytes(&mut io, &mut inbox)).await?;
    match first {
        FirstBytes::ProxyV1 | FirstBytes::ProxyV2 => Err(NotOpened::UntrustedProxy),
        FirstBytes::Tls if listener.side(true).is_some() => {
            let deadline = time::now() + settings.limits.handshake_timeout;
            within(&worker, deadline, open_tls(conn, &listener, io, inbox)).await
        }
        first => open_plain(conn, &listener, io, inbox, first),
    }
}

async fn within<T>(
    worker: &Worker,
    deadline: std::time::Instant,
    work: impl Future<Output = Result<T, NotOpened>>,
) -> Result<T, NotOpened> {
    let limit = deadline.saturating_duration_since(time::now()).max(Duration::from_millis(1));
    match time::timeout(limit, work).await {
        Ok(result) => result,
        Err(time::Elapsed) => {
            worker.metrics.limit(Limit::HandshakeTimeout);
            Err(NotOpened::Closed)
        }
    }
}

async fn read_proxy(
    conn: &mut Connection,
    io: &mut Io,
    inbox: &mut Inbox,
) -> Result<(), NotOpened> {
    loop {
        let parsed = proxy_protocol::parse(inbox.bytes()).map_err(NotOpened::Proxy)?;
        if let proxy_protocol::Parsed::Complete { consumed, header } = parsed {
            if let Some(relayed) = header.relayed {
                conn.client = relayed.source;
                conn.local = relayed.destination;
            }
            inbox.consume(consumed);
            return Ok(());
        }
        fill(io, inbox).await?;
    }
}

async fn first_bytes(io: &mut Io, inbox: &mut Inbox) -> Result<FirstBytes, NotOpened> {
    loop {
        if let Detected::Decided(first) = detect(inbox.bytes()) {
            return Ok(first);
        }
        fill(io, inbox).await?;
    }
}

async fn fill(io: &mut Io, inbox: &mut Inbox) -> Result<(), NotOpened> {
    match poll_fn(|cx| inbox.poll_fill(cx, io)).await {
        Ok(0) => Err(NotOpened::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(NotOpened::Io(error)),
    }
}

/// Whether a plain connection goes to a TCP route whatever it sends, so that nothing has to be
/// read first: the server may be the one to speak first.
fn is_plain_tcp_only(listener: &ListenerPlan, conn: &Connection) -> bool {
    listener
        .side(false)
        .is_some_and(|side| side.tcp.find(None, &[], conn.client.ip(), false).is_some())
}

fn open_plain(
    conn: Connection,
    listener: &ListenerPlan,
    io: Io,
    inbox: Inbox,
    first: FirstBytes,
) -> Result<Opened, NotOpened> {
    let side = listener.side(false).ok_or(NotOpened::NotServed)?;
    if let Some(route) = side.tcp.find(None, &[], conn.client.ip(), false) {
        return Ok(Opened::Tcp(conn, route.clone(), io, inbox));
    }
    match first {
        _ if side.http.is_none() => Err(NotOpened::NotServed),
        FirstBytes::Http2 => Ok(Opened::H2(conn, io, inbox)),
        // Whatever else it is, the HTTP/1.1 codec says what is wrong with it.
        _ => Ok(Opened::H1(conn, io, inbox)),
    }
}

async fn open_tls(
    mut conn: Connection,
    listener: &ListenerPlan,
    mut io: Io,
    mut inbox: Inbox,
) -> Result<Opened, NotOpened> {
    let side = listener.side(true).ok_or(NotOpened::NotServed)?;
    let server_tls = listener.shared.server_tls.as_ref();
    let hello = handshake::read_hello(&mut io, &mut inbox).await.map_err(NotOpened::Tls)?;
    let alpn: Vec<&[u8]> = hello.alpn.iter().map(|name| &**name).collect();
    let sni = hello.server_name.as_deref();
    let route = side.tcp.find(sni, &alpn, conn.client.ip(), true).cloned();
    if let Some(route) = &route
        && route.tls != TcpTls::Plain
        && !matches!(route.tls, TcpTls::Terminate(_))
    {
        return Ok(Opened::Tcp(conn, route.clone(), io, inbox));
    }
    let selected = match server_tls.map(|tls| tls.select(sni)) {
        Some(Ok(selected)) => selected,
        Some(Err(_)) | None => {
            handshake::refuse_name(&mut io).await;
            return Err(NotOpened::NoName);
        }
    };
    let stream =
        handshake::accept(io, inbox, hello, &selected).await.map_err(NotOpened::Tls)?;
    let is_h2 = stream.facts().alpn == Some(b"h2");
    conn.tls = Some(TlsFacts { site: selected.site().into() });
    let inbox = Inbox::new(conn.worker.buffers.pool());
    let io = Io::Other(Box::new(stream));
    match route {
        Some(route) => Ok(Opened::Tcp(conn, route, io, inbox)),
        None if side.http.is_none() => Err(NotOpened::NotServed),
        None if is_h2 => Ok(Opened::H2(conn, io, inbox)),
        None => Ok(Opened::H1(conn, io, inbox)),
    }
}

fn contains(nets: &[IpNet], ip: std::net::IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}
