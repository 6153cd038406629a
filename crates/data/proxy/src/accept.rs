//! Accept, detect, handshake: from a socket to a protocol.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use weft_http::h1::Conn;
use weft_http::io::{Io, Rewind};
use weft_model::id::ListenerId;
use weft_model::listener::{ClientAuth, Intake};
use weft_model::policy::Refusal;
use weft_model::route::TcpTls;
use weft_net::Inbox;
use weft_net::detect::{Detected, FirstBytes, detect};
use weft_net::listen::{AcceptError, Accepted, ConnectionOptions, EXHAUSTED_BACKOFF, Listening};
use weft_net::proxy_protocol;
use weft_route::TcpAsk;
use weft_runtime::drain::Phase;
use weft_runtime::task::Task;
use weft_runtime::{task, time};
use weft_tls::handshake::NoHandshake;
use weft_tls::{handshake, mesh};

use crate::connection::{Connection, TlsFacts, Via};
use crate::metrics::{Limit, OpenConnections};
use crate::plan::{ListenerPlan, Side};
use crate::serve_tcp::{Stream, Unreached};
use crate::worker::Worker;
use crate::{captured, front, serve_h1, serve_h2, serve_tcp};

/// The accept loops of one worker.
#[derive(Debug, Default)]
pub(crate) struct Acceptors(Vec<(ListenerId, Task<()>)>);

/// A connection whose protocol is known.
pub(crate) enum Opened {
    H1(Rc<Connection>, Box<Conn>),
    H2(Rc<Connection>, Box<Io>),
    Tcp(Rc<Connection>, Box<Stream>),
}

/// Why a connection was given up before its protocol was known. The client gets no answer: it has
/// not asked anything yet that could be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpened {
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
    #[error("the client has not proved to be of the mesh")]
    Mesh(#[source] mesh::MeshHandshakeError),
    #[error("there are no credentials of the mesh yet")]
    NoCredentials,
    #[error("nothing is served for that server name")]
    NoName,
    #[error("nothing of that protocol is served here")]
    NotServed,
    #[error("nobody said anything in time")]
    TimedOut,
    #[error("it was refused: {}", .0.detail)]
    Refused(Refusal),
    #[error("neither the client nor the server had anything to say")]
    NoServer(Option<Unreached>),
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
    let open = worker.live.connections(&id);
    loop {
        match listening.accept().await {
            Ok(accepted) => begin(&worker, &id, &open, accepted),
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

/// Serves a connection in a task of its own, if there may be one more.
fn begin(worker: &Rc<Worker>, id: &ListenerId, open: &Arc<OpenConnections>, accepted: Accepted) {
    let plan = worker.plan();
    let Some(listener) = plan.listener(id) else { return };
    let settings = &listener.shared.settings;
    let Some(listener_count) = open.enter(settings.limits.connections_max) else {
        worker.metrics.limit(Limit::Connections);
        return;
    };
    let Accepted { stream, peer, local } = accepted;
    let conn = Connection {
        client: peer,
        place: Cell::new(0),
        local,
        trusted: contains(&settings.forwarded_from, peer.ip()),
        tls: None,
        via: Via::Bound,
        listener: id.clone(),
        _count: Some(worker.metrics.connection()),
        _listener_count: Some(listener_count),
        worker: worker.clone(),
    };
    match settings.intake {
        Intake::Bound | Intake::Destination(_) => {
            task::spawn("connection", connection(Rc::new(conn), stream));
        }
        Intake::Captured(direction) => {
            task::spawn("connection", captured::serve(conn, direction, stream));
        }
        Intake::Mesh => {
            task::spawn("connection", front::serve_mesh(conn, stream));
        }
        Intake::Explicit => {
            task::spawn("connection", front::serve_explicit(conn, stream));
        }
    }
}

/// A connection, from its first byte to its last. This future is what an idle connection consists
/// of, so whatever is large in it is boxed and short-lived.
pub(crate) async fn connection(conn: Rc<Connection>, stream: TcpStream) {
    if !speaks_late(&conn) && !until_spoken(&conn, &stream).await {
        return;
    }
    let client = conn.client;
    match Box::pin(open(conn, stream)).await {
        Ok(opened) => serve(opened).await,
        Err(error) => note_not_opened(client, &error),
    }
}

/// Serves a connection whose protocol is known.
pub(crate) async fn serve(opened: Opened) {
    match opened {
        Opened::H1(conn, h1) => serve_h1::serve(conn, h1).await,
        Opened::H2(conn, io) => Box::pin(serve_h2::serve(conn, *io)).await,
        Opened::Tcp(conn, stream) => Box::pin(serve_tcp::serve(conn, *stream)).await,
    }
}

pub(crate) fn note_not_opened(client: SocketAddr, error: &NotOpened) {
    let error = crate::attempt::describe(error);
    tracing::debug!(%client, error, "a connection was given up");
}

/// Whether there is something to do before the client has said anything: it has to identify itself,
/// or the server is the one to speak first.
fn speaks_late(conn: &Connection) -> bool {
    let plan = conn.worker.plan();
    conn.listener_in(&plan).is_none_or(|listener| {
        contains(&listener.shared.settings.proxy_protocol_from, conn.client.ip())
            || is_tcp_whatever_comes(listener, conn)
    })
}

/// Waits, owning next to nothing, for the client's first byte. False when it does not come.
pub(crate) async fn until_spoken(conn: &Connection, stream: &TcpStream) -> bool {
    let worker = &conn.worker;
    let limit = serve_h1::limits(conn).idle_timeout;
    let watchdog = poll_fn(|cx| Poll::Ready(worker.deadlines.watchdog(cx))).await;
    watchdog.arm(limit);
    let mut hurries = false;
    poll_fn(|cx| {
        // Readiness alone says nothing here: a new stream counts as ready until it was read from.
        let mut byte = [0; 1];
        if let Poll::Ready(peeked) = stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            return Poll::Ready(peeked.is_ok_and(|count| count > 0));
        }
        // Who has connected just before the end most likely has a request under way.
        if conn.is_ending() && !hurries {
            hurries = true;
            watchdog.arm(limit.min(serve_h1::DRAIN_GRACE));
        }
        let over = watchdog.expired() || worker.phase() == Phase::Forced;
        if over && !conn.is_ending() {
            worker.metrics.limit(Limit::IdleTimeout);
        }
        if over { Poll::Ready(false) } else { Poll::Pending }
    })
    .await
}

async fn open(mut conn: Rc<Connection>, stream: TcpStream) -> Result<Opened, NotOpened> {
    let worker = conn.worker.clone();
    let plan = worker.plan();
    let listener = conn.listener_in(&plan).ok_or(NotOpened::NotServed)?.clone();
    let limits = &listener.shared.settings.limits;
    let handshake = (limits.handshake_timeout, Limit::HandshakeTimeout);
    let mut io = Io::Tcp(stream);
    let mut inbox = Inbox::new(worker.buffers.pool());
    if contains(&listener.shared.settings.proxy_protocol_from, conn.client.ip()) {
        let reading = read_proxy(&mut conn, &mut io, &mut inbox);
        within(&worker, handshake, reading).await?;
    }
    if is_tcp_whatever_comes(&listener, &conn) {
        return open_plain(conn, &listener, io, inbox, FirstBytes::Other);
    }
    if inbox.is_empty() {
        // Behind a PROXY header the client may still be silent.
        let waiting = fill(&mut io, &mut inbox);
        within(&worker, (limits.idle_timeout, Limit::IdleTimeout), waiting).await?;
    }
    let first = match inbox.bytes() {
        // Perhaps HTTP: what begins like several protocols and stops is a head that does not end.
        [b'A'..=b'Z', ..] => {
            let detecting = first_bytes(&mut io, &mut inbox);
            let detected = time::timeout(limits.head_timeout, detecting).await;
            detected.unwrap_or(Ok(FirstBytes::Other))?
        }
        _ => {
            let detecting = first_bytes(&mut io, &mut inbox);
            within(&worker, handshake, detecting).await?
        }
    };
    match first {
        FirstBytes::ProxyV1 | FirstBytes::ProxyV2 => Err(NotOpened::UntrustedProxy),
        FirstBytes::Tls if listener.side(true).is_some() => {
            let opening = open_tls(conn, &listener, io, inbox);
            within(&worker, handshake, opening).await
        }
        first => open_plain(conn, &listener, io, inbox, first),
    }
}

pub(crate) async fn within<T>(
    worker: &Worker,
    (time_max, limit): (Duration, Limit),
    work: impl Future<Output = Result<T, NotOpened>>,
) -> Result<T, NotOpened> {
    match time::timeout(time_max, work).await {
        Ok(result) => result,
        Err(time::Elapsed) => {
            worker.metrics.limit(limit);
            Err(NotOpened::Closed)
        }
    }
}

async fn read_proxy(
    conn: &mut Rc<Connection>,
    io: &mut Io,
    inbox: &mut Inbox,
) -> Result<(), NotOpened> {
    loop {
        let parsed = proxy_protocol::parse(inbox.bytes()).map_err(NotOpened::Proxy)?;
        if let proxy_protocol::Parsed::Complete { consumed, header } = parsed {
            if let (Some(relayed), Some(conn)) = (header.relayed, Rc::get_mut(conn)) {
                conn.client = relayed.source;
                conn.local = relayed.destination;
            }
            inbox.consume(consumed);
            return Ok(());
        }
        fill(io, inbox).await?;
    }
}

pub(crate) async fn first_bytes(io: &mut Io, inbox: &mut Inbox) -> Result<FirstBytes, NotOpened> {
    loop {
        if let Detected::Decided(first) = detect(inbox.bytes()) {
            return Ok(first);
        }
        fill(io, inbox).await?;
    }
}

pub(crate) async fn fill(io: &mut Io, inbox: &mut Inbox) -> Result<(), NotOpened> {
    match poll_fn(|cx| inbox.poll_fill(cx, io)).await {
        Ok(0) => Err(NotOpened::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(NotOpened::Io(error)),
    }
}

/// Whether a connection goes to one TCP route whatever it sends, TLS or not, so that nothing has to
/// be read first: the server may be the one to speak first.
fn is_tcp_whatever_comes(listener: &ListenerPlan, conn: &Connection) -> bool {
    let find = |side: &Side, tls| side.tcp.find(&TcpAsk { tls, ..conn.tcp_ask() }).cloned();
    let Some(plain) = listener.side(false).and_then(|side| find(side, false)) else {
        return false;
    };
    let Some(tls) = listener.side(true) else { return true };
    // With other routes beside it, the server name would decide.
    tls.http.is_none()
        && tls.tcp.routes().len() == 1
        && find(tls, true)
            .is_some_and(|route| route.tls == TcpTls::Passthrough && route.target == plain.target)
}

fn open_plain(
    conn: Rc<Connection>,
    listener: &ListenerPlan,
    io: Io,
    inbox: Inbox,
    first: FirstBytes,
) -> Result<Opened, NotOpened> {
    let side = listener.side(false).ok_or(NotOpened::NotServed)?;
    if let Some(route) = side.tcp.find(&conn.tcp_ask()) {
        let stream = Stream::new(&conn, route.clone(), io, inbox);
        return Ok(opened_tcp(conn, stream));
    }
    match first {
        _ if side.http.is_none() => Err(NotOpened::NotServed),
        FirstBytes::Http2 => Ok(opened_h2(conn, io, inbox)),
        // Whatever else it is, the HTTP/1.1 codec says what is wrong with it.
        _ => Ok(opened_h1(conn, io, inbox)),
    }
}

pub(crate) fn opened_h1(conn: Rc<Connection>, io: Io, inbox: Inbox) -> Opened {
    let buffers = conn.worker.buffers.clone();
    Opened::H1(conn, Box::new(Conn::with_inbox(io, buffers, inbox)))
}

pub(crate) fn opened_h2(conn: Rc<Connection>, io: Io, inbox: Inbox) -> Opened {
    let io = if inbox.is_empty() { io } else { Io::Other(Box::new(Rewind::new(io, inbox))) };
    Opened::H2(conn, Box::new(io))
}

pub(crate) fn opened_tcp(conn: Rc<Connection>, stream: Stream) -> Opened {
    Opened::Tcp(conn, Box::new(stream))
}

async fn open_tls(
    mut conn: Rc<Connection>,
    listener: &ListenerPlan,
    mut io: Io,
    mut inbox: Inbox,
) -> Result<Opened, NotOpened> {
    let side = listener.side(true).ok_or(NotOpened::NotServed)?;
    let server_tls = listener.shared.server_tls.as_ref();
    let hello = handshake::read_hello(&mut io, &mut inbox).await.map_err(NotOpened::Tls)?;
    let alpn: Vec<&[u8]> = hello.alpn.iter().map(|name| &**name).collect();
    let sni = hello.server_name.as_deref();
    let ask = TcpAsk { sni, alpn: &alpn, tls: true, ..conn.tcp_ask() };
    let route = side.tcp.find(&ask).cloned();
    if let Some(route) = &route
        && route.tls != TcpTls::Plain
        && !matches!(route.tls, TcpTls::Terminate(_))
    {
        let mut stream = Stream::new(&conn, route.clone(), io, inbox);
        stream.record.host = hello.server_name;
        return Ok(opened_tcp(conn, stream));
    }
    let selected = match server_tls.map(|tls| tls.select(sni)) {
        Some(Ok(selected)) => selected,
        Some(Err(_)) | None => {
            handshake::refuse(&mut io, NoHandshake::UnknownName).await;
            return Err(NotOpened::NoName);
        }
    };
    let stream = match &selected.options().client_auth {
        ClientAuth::Mesh => {
            let Some(tls) = conn.worker.mesh.current() else {
                handshake::refuse(&mut io, NoHandshake::NoCredentials).await;
                return Err(NotOpened::NoCredentials);
            };
            let alpn = &selected.options().alpn;
            let accepting = mesh::accept_client(io, inbox, hello, &tls, alpn);
            Box::pin(accepting).await.map_err(NotOpened::Mesh)?
        }
        _ => handshake::accept(io, inbox, hello, &selected).await.map_err(NotOpened::Tls)?,
    };
    let facts = stream.facts();
    let (is_h2, client) = (facts.alpn == Some(b"h2"), facts.peer_name());
    if let Some(conn) = Rc::get_mut(&mut conn) {
        // Nobody else has it before it is open.
        conn.tls = Some(Box::new(TlsFacts { site: selected.site().into(), client }));
    }
    let inbox = Inbox::new(conn.worker.buffers.pool());
    let io = Io::Other(Box::new(stream));
    match route {
        Some(route) => {
            let stream = Stream::new(&conn, route, io, inbox);
            Ok(opened_tcp(conn, stream))
        }
        None if side.http.is_none() => Err(NotOpened::NotServed),
        None if is_h2 => Ok(opened_h2(conn, io, inbox)),
        None => Ok(opened_h1(conn, io, inbox)),
    }
}

fn contains(nets: &[IpNet], ip: std::net::IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}
