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

/// Serves a connection that the kernel has brought, from its first byte to its last. What is large
/// of it on the way to its protocol is short-lived.
pub(crate) async fn serve(conn: Connection, direction: Direction, stream: TcpStream) {
    let client = conn.client;
    match Box::pin(arrive(conn, direction, stream)).await {
        Ok(opened) => accept::serve(opened).await,
        Err(error) => accept::note_not_opened(client, &error),
    }
}

async fn arrive(
    conn: Connection,
    direction: Direction,
    stream: TcpStream,
) -> Result<Opened, NotOpened> {
    let worker = conn.worker.clone();
    let mut io = Io::Tcp(stream);
    match destine(conn, direction, &io).await {
        Ok(conn) => open(Rc::new(conn), io, None).await,
        Err(why) => {
            worker.metrics.mesh.refused(why);
            serve_tcp::reset(&mut io);
            Err(NotOpened::Refused)
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

/// Serves a connection inside of another at its destination. `upstream` is there if where its bytes
/// go was found out already.
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
    Terms::of(conn, conn.listener_in(&plan)?).tcp
}

async fn open(
    conn: Rc<Connection>,
    mut io: Io,
    upstream: Option<Upstream>,
) -> Result<Opened, NotOpened> {
    let mut inbox = Inbox::new(conn.worker.buffers.pool());
    let spoken = match listen(&conn, &mut io, &mut inbox, upstream).await {
        Ok(spoken) => spoken,
        Err(error) => {
            if matches!(error, NotOpened::Refused | NotOpened::NoServer) {
                serve_tcp::reset(&mut io);
            }
            return Err(error);
        }
    };
    // The client may have taken its time: what holds is the plan of its first byte.
    let plan = conn.worker.plan();
    let listener = conn.listener_in(&plan).ok_or(NotOpened::NotServed)?;
    let terms = Terms::of(&conn, listener);
    if terms.serves_http(&conn, &spoken, &inbox) {
        return Ok(match spoken.first {
            Some(FirstBytes::Http2) => accept::opened_h2(conn, io, inbox),
            _ => accept::opened_h1(conn, io, inbox),
        });
    }
    let mut host = None;
    let mut route = terms.route(&conn).inspect_err(|_| serve_tcp::reset(&mut io))?;
    if spoken.first == Some(FirstBytes::Tls) {
        let (named, better) = by_name(&conn, listener, &mut io, &mut inbox).await;
        host = named;
        route = better.or(route);
    }
    let Some(route) = route else {
        serve_tcp::reset(&mut io);
        return Err(NotOpened::NotServed);
    };
    if conn.meant().is_some_and(|meant| meant.external) {
        let ip = || conn.local.ip().to_string().into();
        conn.worker.metrics.mesh.external_connection(&host.unwrap_or_else(ip));
    }
    let Spoken { first: _, upstream, from_upstream } = spoken;
    let from_upstream = from_upstream.unwrap_or_else(|| Inbox::new(inbox.pool()));
    Ok(accept::opened_tcp(conn, Stream { route, io, inbox, upstream, from_upstream }))
}

/// Waits until it is known who speaks what, as far as that is to be known.
async fn listen(
    conn: &Rc<Connection>,
    io: &mut Io,
    inbox: &mut Inbox,
    upstream: Option<Upstream>,
) -> Result<Spoken, NotOpened> {
    let terms = {
        let plan = conn.worker.plan();
        Terms::of(conn, conn.listener_in(&plan).ok_or(NotOpened::NotServed)?)
    };
    if terms.is_silent() {
        return terms.route(conn).and(Err(NotOpened::Refused));
    }
    match terms.protocol {
        Protocol::Tcp => Ok(Spoken { first: None, upstream, from_upstream: None }),
        Protocol::Http | Protocol::Http2 | Protocol::Tls => {
            let first = detect::client(conn, io, inbox).await?;
            Ok(Spoken { first: Some(first), upstream, from_upstream: None })
        }
        Protocol::Detect => {
            let race = detect::Race::new(conn, terms.server(), upstream);
            match race.run(io, inbox).await {
                // Nobody is left to be told why, but the log.
                Err(NotOpened::NoServer) => terms.route(conn).and(Err(NotOpened::NoServer)),
                spoken => spoken,
            }
        }
    }
}

/// Whether a request is for another forward proxy, outside of the mesh: what it says to that one is
/// not ours to serve, nor to put into another form.
fn is_for_proxy(conn: &Connection, bytes: &[u8]) -> bool {
    let is_external = conn.meant().is_some_and(|meant| meant.external && meant.refusal.is_none());
    let mut words = bytes.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_absolute = !target.starts_with(b"/") && target != b"*";
    is_external && (method == b"CONNECT" || is_absolute)
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

    /// Whether what a client has said goes to the routes of HTTP.
    fn serves_http(&self, conn: &Connection, spoken: &Spoken, inbox: &Inbox) -> bool {
        let is_http = match (self.protocol, spoken.first) {
            (Protocol::Http | Protocol::Http2, _) => true,
            (Protocol::Detect, Some(FirstBytes::Http2)) => true,
            (Protocol::Detect, Some(FirstBytes::Http1)) => !is_for_proxy(conn, inbox.bytes()),
            (Protocol::Detect | Protocol::Tcp | Protocol::Tls, _) => false,
        };
        is_http && self.http && !self.is_silent()
    }

    /// Where bytes go that are not HTTP and name no host.
    fn route(&self, conn: &Connection) -> Result<Option<Arc<TcpRoute>>, NotOpened> {
        let Some(Denied { why, refusal }) = &self.denied else { return Ok(self.tcp.clone()) };
        count(conn, *why);
        let (client, destination) = (conn.client, conn.service());
        tracing::warn!(%client, destination, why = %refusal.detail, "a connection was reset");
        Err(NotOpened::Refused)
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
