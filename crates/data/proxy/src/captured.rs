//! Connections that were meant for a destination: those that the kernel brings, whatever address
//! they were made to, and those inside of another connection.
//!
//! What stands for the destination in the plan serves them, as it would serve connections made to
//! its own address: with its routes, limits, metrics and logs.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use weft_http::io::Io;
use weft_model::listener::{Destination, Direction};
use weft_model::mesh::{Mtls, Protocol};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::TcpRoute;
use weft_net::Inbox;
use weft_net::detect::FirstBytes;
use weft_net::original::OriginalDst;
use weft_tls::handshake;

use crate::accept::{self, NotOpened, Opened};
use crate::connection::{Connection, Meant, Via};
use crate::detect::{self, Server, Spoken};
use crate::exchange::Exchange;
use crate::interception::learn;
use crate::metrics::{Limit, Refused};
use crate::plan::{ListenerPlan, Standing};
use crate::request::Stop;
use crate::serve_tcp::{self, Stream, Upstream};
use crate::worker::Worker;

/// What a connection cannot be served for.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) why: Refused,
    pub(crate) refusal: Refusal,
}

/// How a destination is served to one connection.
struct Terms {
    protocol: Protocol,
    /// Whether HTTP is spoken at all, if only to say why it is not served.
    http: bool,
    /// Where bytes go that are not HTTP.
    tcp: Option<Arc<TcpRoute>>,
    denied: Option<Denied>,
}

/// Serves a connection that the kernel has brought.
pub(crate) async fn serve(conn: Connection, direction: Direction, stream: TcpStream) {
    let worker = conn.worker.clone();
    let mut io = Io::Tcp(stream);
    match Box::pin(destine(conn, direction, &io)).await {
        Ok(conn) => at(Rc::new(conn), io, None).await,
        Err(why) => {
            worker.metrics.mesh.refused(why);
            serve_tcp::reset(&mut io);
        }
    }
}

/// Finds out what a captured connection was meant for. One that was meant for the proxy itself
/// would be captured for ever.
async fn destine(
    mut conn: Connection,
    direction: Direction,
    io: &Io,
) -> Result<Connection, Refused> {
    let client = conn.client;
    let original = match io {
        Io::Tcp(stream) => conn.worker.original.of(stream),
        Io::Other(_) | Io::Taken => Err(std::io::ErrorKind::Unsupported.into()),
    };
    let OriginalDst { addr, is_redirected } = original.map_err(|error| {
        tracing::warn!(%client, %error, "where a connection was to go is not known");
        Refused::NoDestination
    })?;
    let plan = conn.worker.plan();
    if !is_redirected || plan.shared.destinations().is_proxy(addr, conn.local) {
        tracing::warn!(%client, %addr, "a connection to the proxy itself was closed");
        return Err(Refused::Loop);
    }
    conn.local = addr;
    let found = standing(&conn.worker, direction, addr).await;
    enter(&mut conn, Meant::new(direction, None), found);
    Ok(conn)
}

/// The listener that stands for an address.
///
/// # Errors
///
/// When there is none, or none was learned of in time.
pub(crate) async fn standing(
    worker: &Rc<Worker>,
    direction: Direction,
    addr: SocketAddr,
) -> Result<Rc<ListenerPlan>, (Box<str>, Denied)> {
    let plan = worker.plan();
    let destinations = plan.shared.destinations();
    let standing = match direction {
        Direction::Outbound => destinations.outbound(addr),
        Direction::Inbound => destinations.inbound(addr),
    };
    let found = match &standing {
        Standing::Listener(place) => plan.listener_at(*place).cloned(),
        Standing::Unlearned(entry) => match Box::pin(learn(worker, addr, entry)).await {
            Some(listener) => Some(listener),
            None => {
                let detail = format!("nothing was learned of {} in time", entry.name);
                let name = entry.name.as_str().into();
                let denied = Denied::new(Refused::Unlearned, Reason::ServiceUnlearned, detail);
                return Err((name, denied));
            }
        },
        Standing::Nothing => None,
    };
    found.ok_or_else(|| {
        let detail = format!("nothing stands for {addr}");
        let denied = Denied::new(Refused::NoDestination, Reason::UnknownDestination, detail);
        (addr.to_string().into(), denied)
    })
}

/// Makes a connection one of the listener that was found for it.
pub(crate) fn enter(
    conn: &mut Connection,
    mut meant: Meant,
    found: Result<Rc<ListenerPlan>, (Box<str>, Denied)>,
) {
    match found {
        Ok(listener) => {
            let settings = &listener.shared.settings;
            conn.listener = settings.id.clone();
            if let Some(destination) = listener.shared.destination() {
                meant.external =
                    meant.direction == Direction::Outbound && destination.addrs.is_empty();
                meant.name = match meant.external {
                    true => conn.local.to_string().into(),
                    false => destination.name.clone(),
                };
            }
            let open = listener.open(&conn.worker);
            match open.enter(settings.limits.connections_max) {
                Some(count) => conn._listener_count = Some(count),
                None => {
                    conn.worker.metrics.limit(Limit::Connections);
                    let detail = "the destination has its full number of connections";
                    let denied = Denied::new(Refused::Closed, Reason::NoRoom, detail);
                    meant.refusal = Some(denied.refusal);
                }
            }
        }
        Err((name, denied)) => {
            let client = conn.client;
            let Denied { why, refusal } = denied;
            tracing::warn!(%client, destination = %conn.local, why = %refusal.detail, "refused");
            conn.worker.metrics.mesh.refused(why);
            meant.name = name;
            meant.refusal = Some(refusal);
        }
    }
    conn.via = Via::Destination(Rc::new(meant));
}

/// Serves a connection at its destination, from its first byte to its last. `upstream` is there if
/// where its bytes go was found out already.
pub(crate) async fn at(conn: Rc<Connection>, io: Io, upstream: Option<Upstream>) {
    let client = conn.client;
    match Box::pin(open(conn, io, upstream)).await {
        Ok(opened) => accept::serve(opened).await,
        Err(error) => accept::note_not_opened(client, &error),
    }
}

/// Takes a request only if its destination may be called by this connection.
pub(crate) fn admit(conn: &Connection, x: &mut Exchange) -> Result<(), Stop> {
    let Some(meant) = conn.meant() else { return Ok(()) };
    let plan = x.plan.as_ref().and_then(|plan| conn.listener_in(plan));
    let destination = plan.and_then(|listener| listener.shared.destination());
    let Some(denied) = denied(meant, destination) else { return Ok(()) };
    count(conn, denied.why);
    x.facts.keep_alive = false;
    Err(Stop::refuse(denied.refusal))
}

/// Why a destination does not serve a connection, if it does not.
pub(crate) fn denied(meant: &Meant, destination: Option<&Destination>) -> Option<Denied> {
    if let Some(refusal) = &meant.refusal {
        return Some(Denied { why: Refused::Closed, refusal: refusal.clone() });
    }
    let destination = destination?;
    if let Some(refusal) = &destination.closed {
        return Some(Denied { why: Refused::Closed, refusal: refusal.clone() });
    }
    if meant.direction == Direction::Outbound {
        return None;
    }
    match (destination.mtls, &meant.peer) {
        (Mtls::Strict, None) => {
            let detail = "plain text is refused: mutual TLS is STRICT";
            Some(Denied::new(Refused::Plaintext, Reason::Forbidden, detail))
        }
        (Mtls::Disable, Some(_)) => {
            let detail = "mutual TLS is switched off (DISABLE)";
            Some(Denied::new(Refused::MutualTls, Reason::Forbidden, detail))
        }
        _ => None,
    }
}

/// The TCP route of a destination for a connection of which nothing was read, if it has one that
/// the connection may use.
pub(crate) fn tcp_route(conn: &Connection) -> Option<Arc<TcpRoute>> {
    let plan = conn.worker.plan();
    let terms = Terms::of(conn, conn.listener_in(&plan)?);
    terms.tcp.filter(|_| terms.denied.is_none())
}

async fn open(
    conn: Rc<Connection>,
    mut io: Io,
    upstream: Option<Upstream>,
) -> Result<Opened, NotOpened> {
    let worker = conn.worker.clone();
    let plan = worker.plan();
    let listener = conn.listener_in(&plan).ok_or(NotOpened::NotServed)?.clone();
    let terms = Terms::of(&conn, &listener);
    let mut inbox = Inbox::new(worker.buffers.pool());
    if terms.is_silent() {
        return refuse(&conn, io, terms.denied);
    }
    let spoken = match (terms.protocol, &terms.tcp) {
        (Protocol::Tcp, Some(route)) => {
            return Ok(opened(conn, route.clone(), io, inbox, upstream));
        }
        (Protocol::Http | Protocol::Http2 | Protocol::Tls, _) => {
            Spoken::client(detect::client(&conn, &mut io, &mut inbox).await?)
        }
        (Protocol::Detect | Protocol::Tcp, _) => {
            let race = detect::Race::new(&conn, terms.server(), upstream);
            match race.run(&mut io, &mut inbox).await {
                Err(error @ NotOpened::NoServer) => {
                    let _ = refuse(&conn, io, terms.denied);
                    return Err(error);
                }
                spoken => spoken?,
            }
        }
    };
    let Spoken { first, upstream, from_upstream } = spoken;
    let first = first.map(|first| match is_for_proxy(&conn, first, inbox.bytes()) {
        true => FirstBytes::Other,
        false => first,
    });
    let is_http = match terms.protocol {
        Protocol::Http | Protocol::Http2 => true,
        Protocol::Detect => matches!(first, Some(FirstBytes::Http1 | FirstBytes::Http2)),
        Protocol::Tcp | Protocol::Tls => false,
    };
    if is_http && terms.http {
        return Ok(match first {
            Some(FirstBytes::Http2) => accept::opened_h2(conn, io, inbox),
            _ => accept::opened_h1(conn, io, inbox),
        });
    }
    let (mut route, mut host) = (terms.tcp, None);
    if first == Some(FirstBytes::Tls) && terms.denied.is_none() {
        let (named, better) = by_name(&conn, &listener, &mut io, &mut inbox).await;
        host = named;
        route = better.or(route);
    }
    let Some(route) = route else { return refuse(&conn, io, terms.denied) };
    if conn.meant().is_some_and(|meant| meant.external) {
        let ip = || conn.local.ip().to_string().into();
        worker.metrics.mesh.external_connection(&host.unwrap_or_else(ip));
    }
    let from_upstream = from_upstream.unwrap_or_else(|| Inbox::new(worker.buffers.pool()));
    let stream = Stream { route, io, inbox, upstream, from_upstream };
    Ok(accept::opened_tcp(conn, stream))
}

/// Whether a request is for another forward proxy, outside of the mesh: what it says to that one is
/// not ours to serve, nor to put into another form.
fn is_for_proxy(conn: &Connection, first: FirstBytes, bytes: &[u8]) -> bool {
    let is_external = conn.meant().is_some_and(|meant| meant.external && meant.refusal.is_none());
    let mut words = bytes.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_absolute = !target.starts_with(b"/") && target != b"*";
    is_external && first == FirstBytes::Http1 && (method == b"CONNECT" || is_absolute)
}

/// The server name that TLS asks for, and the route that is for it. TLS that cannot be read passes
/// like any other bytes: it is not ours to judge.
async fn by_name(
    conn: &Connection,
    listener: &ListenerPlan,
    io: &mut Io,
    inbox: &mut Inbox,
) -> (Option<Box<str>>, Option<Arc<TcpRoute>>) {
    let limit = listener.shared.settings.limits.handshake_timeout;
    let reading = handshake::read_hello(io, inbox);
    let Ok(Ok(hello)) = weft_runtime::time::timeout(limit, reading).await else {
        return (None, None);
    };
    let alpn: Vec<&[u8]> = hello.alpn.iter().map(|name| &**name).collect();
    let route = listener.side(false).and_then(|side| {
        side.tcp.find(hello.server_name.as_deref(), &alpn, conn.client.ip(), true).cloned()
    });
    (hello.server_name, route)
}

fn opened(
    conn: Rc<Connection>,
    route: Arc<TcpRoute>,
    io: Io,
    inbox: Inbox,
    upstream: Option<Upstream>,
) -> Opened {
    accept::opened_tcp(conn, Stream { upstream, ..Stream::new(route, io, inbox) })
}

/// Ends a connection that cannot be told why.
fn refuse(conn: &Connection, mut io: Io, denied: Option<Denied>) -> Result<Opened, NotOpened> {
    let client = conn.client;
    let destination = conn.service();
    match denied {
        Some(Denied { why, refusal }) => {
            count(conn, why);
            tracing::warn!(%client, destination, why = %refusal.detail, "a connection was reset");
        }
        None => tracing::warn!(%client, destination, "a connection was reset: nothing serves it"),
    }
    serve_tcp::reset(&mut io);
    Err(NotOpened::Refused)
}

/// Counts a refusal, unless it was when the connection came.
fn count(conn: &Connection, why: Refused) {
    if conn.meant().is_some_and(|meant| meant.refusal.is_none()) {
        conn.worker.metrics.mesh.refused(why);
    }
}

// === impl Terms ===

impl Terms {
    fn of(conn: &Connection, listener: &ListenerPlan) -> Self {
        let destination = listener.shared.destination();
        let denied = conn.meant().and_then(|meant| denied(meant, destination));
        let side = listener.side(false);
        let tcp = side.and_then(|side| side.tcp.find(None, &[], conn.client.ip(), false).cloned());
        Self {
            protocol: destination.map_or(Protocol::Detect, |destination| destination.protocol),
            http: denied.is_some() || side.is_some_and(|side| side.http.is_some()),
            tcp: tcp.filter(|_| denied.is_none()),
            denied,
        }
    }

    /// Where a server could be listened to.
    fn server(&self) -> Server {
        match (&self.denied, &self.tcp) {
            (Some(_), _) => Server::Refused,
            (None, Some(route)) => Server::At(route.clone()),
            (None, None) => Server::None,
        }
    }

    /// Whether nothing can be said to the client, whatever it speaks. Callers without a proxy are
    /// reset as by other meshes: what they are told must not look like the application's answer.
    fn is_silent(&self) -> bool {
        let Some(denied) = &self.denied else { return false };
        denied.why == Refused::Plaintext || matches!(self.protocol, Protocol::Tcp | Protocol::Tls)
    }
}

// === impl Denied ===

impl Denied {
    pub(crate) fn new(why: Refused, reason: Reason, detail: impl Into<Arc<str>>) -> Self {
        Self { why, refusal: Refusal { reason, detail: detail.into() } }
    }
}
