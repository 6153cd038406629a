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
use weft_model::mesh::{IndexEntry, Mtls, Protocol, ServicePort};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::TcpRoute;
use weft_net::Inbox;
use weft_net::detect::FirstBytes;
use weft_net::original::OriginalDst;
use weft_route::TcpAsk;
use weft_tls::handshake;

use crate::accept::{self, NotOpened, Opened};
use crate::connection::{Connection, Meant, Via};
use crate::detect::{self, Server, Spoken};
use crate::exchange::Exchange;
use crate::interception::learn;
use crate::metrics::{Limit, Refused};
use crate::plan::{ListenerPlan, Plan, Standing};
use crate::request::Stop;
use crate::serve_tcp::{self, Stream, Upstream};
use crate::tcp_record::TcpRecord;
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
    mut conn: Connection,
    direction: Direction,
    stream: TcpStream,
) -> Result<Opened, NotOpened> {
    let mut io = Io::Tcp(stream);
    if let Err(Denied { why, refusal }) = destine(&mut conn, direction, &io).await {
        conn.worker.metrics.mesh.refused(why);
        serve_tcp::reset(&mut io);
        let error = NotOpened::Refused(refusal);
        TcpRecord::new(conn.worker.now()).end_unopened(&conn, &error);
        return Err(error);
    }
    open(Rc::new(conn), io, None).await
}

/// Finds out what a captured connection was meant for. One that was meant for the proxy itself
/// would be captured for ever.
async fn destine(conn: &mut Connection, direction: Direction, io: &Io) -> Result<(), Denied> {
    let client = conn.client;
    let original = match io {
        Io::Tcp(stream) => conn.worker.original.of(stream),
        Io::Other(_) | Io::Taken => Err(std::io::ErrorKind::Unsupported.into()),
    };
    let OriginalDst { addr, is_redirected } = original.map_err(|error| {
        tracing::warn!(%client, %error, "where a connection was to go is not known");
        let detail = format!("the kernel does not say where it was to go: {error}");
        Denied::new(Refused::NoDestination, Reason::UnknownDestination, detail)
    })?;
    let plan = conn.worker.plan();
    if !is_redirected || plan.shared.destinations().is_proxy(addr, conn.local) {
        tracing::warn!(%client, %addr, "a connection to the proxy itself was closed");
        let detail = format!("{addr} is the proxy itself");
        return Err(Denied::new(Refused::Loop, Reason::Misdirected, detail));
    }
    conn.local = addr;
    let found = standing(&conn.worker, direction, addr).await;
    enter(conn, Meant::new(direction, None), found);
    Ok(())
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
        Standing::Unlearned(service) => match Box::pin(learn(worker, addr, service)).await {
            Some(listener) => Some(listener),
            None => {
                let detail = format!("nothing was learned of {service} in time");
                let name = service.as_str().into();
                let denied = Denied::new(Refused::Unlearned, Reason::ServiceUnlearned, detail);
                return Err((name, denied));
            }
        },
        Standing::NoPort(service) => return Err(no_port(service, addr.port())),
        Standing::Nothing => None,
    };
    found.ok_or_else(|| {
        let detail = format!("nothing stands for {addr}");
        let denied = Denied::new(Refused::NoDestination, Reason::UnknownDestination, detail);
        (addr.to_string().into(), denied)
    })
}

/// Why a service is not reached at a port that it does not have.
fn no_port(service: &IndexEntry, port: u16) -> (Box<str>, Denied) {
    let label = |known: &ServicePort| match &*known.name {
        "" => known.number.to_string(),
        name => format!("{} ({name})", known.number),
    };
    let known: Vec<String> = service.ports.iter().map(label).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let detail = format!("{} has no port {port}; it has {known}", service.name);
    (service.name.as_str().into(), Denied::new(Refused::Closed, Reason::ConnectFailed, detail))
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
    if conn.meant().is_none() {
        return Ok(());
    }
    let plan = x.plan.clone().unwrap_or_else(|| conn.worker.plan());
    let listener = conn.listener_in(&plan);
    let destination = listener.and_then(|listener| listener.shared.destination());
    if let Some(refusal) = destination.and_then(closed_but_to_hosts)
        && !ask_for(conn, &plan, x.req.host())
    {
        // What an earlier request on it was for does not help this one.
        return refuse(conn, x, Denied { why: Refused::Closed, refusal: refusal.clone() });
    }
    match denied(conn, &plan, destination) {
        Some(denied) => refuse(conn, x, denied),
        None => Ok(()),
    }
}

fn refuse(conn: &Connection, x: &mut Exchange, denied: Denied) -> Result<(), Stop> {
    count(conn, denied.why);
    x.facts.keep_alive = false;
    Err(Stop::refuse(denied.refusal))
}

/// Notes the host that a connection out of the mesh asks for, if the mesh knows it. Otherwise it is
/// none of the hosts that are open where others are not.
pub(crate) fn ask_for(conn: &Connection, plan: &Plan, host: &str) -> bool {
    let Some(meant) = conn.meant().filter(|meant| meant.external) else { return false };
    if meant.host.borrow().as_deref() == Some(host) {
        return true;
    }
    let is_known = plan.shared.destinations().knows_host(host, conn.local.port());
    if is_known {
        meant.host.replace(Some(host.into()));
    }
    is_known
}

/// Why a destination is closed but to those who ask for a host that the mesh knows, if it is.
fn closed_but_to_hosts(destination: &Destination) -> Option<&Refusal> {
    destination.closed.as_ref().filter(|refusal| refusal.reason == Reason::UnknownDestination)
}

/// Why a destination does not serve a connection, if it does not.
pub(crate) fn denied(
    conn: &Connection,
    plan: &Plan,
    destination: Option<&Destination>,
) -> Option<Denied> {
    let meant = conn.meant()?;
    if let Some(refusal) = &meant.refusal {
        return Some(Denied { why: Refused::Closed, refusal: refusal.clone() });
    }
    let destination = destination?;
    if let Some(refusal) = &destination.closed {
        let host = meant.host.borrow();
        let hosts = plan.shared.destinations();
        let is_open = closed_but_to_hosts(destination).is_some()
            && host.as_deref().is_some_and(|host| hosts.knows_host(host, conn.local.port()));
        return (!is_open).then(|| Denied { why: Refused::Closed, refusal: refusal.clone() });
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
    Terms::of(conn, &plan, conn.listener_in(&plan)?).tcp
}

/// What was found to serve a connection.
enum Found {
    H1,
    H2,
    Tcp(Box<Bytes>),
}

/// A connection that a TCP route takes.
struct Bytes {
    route: Arc<TcpRoute>,
    spoken: Spoken,
    /// The server name that TLS asks for.
    host: Option<Box<str>>,
    is_guarded: bool,
}

async fn open(
    conn: Rc<Connection>,
    mut io: Io,
    upstream: Option<Upstream>,
) -> Result<Opened, NotOpened> {
    let mut record = TcpRecord::new(conn.worker.now());
    let mut inbox = Inbox::new(conn.worker.buffers.pool());
    match find(&conn, &mut io, &mut inbox, upstream).await {
        Ok(Found::H1) => Ok(accept::opened_h1(conn, io, inbox)),
        Ok(Found::H2) => Ok(accept::opened_h2(conn, io, inbox)),
        Ok(Found::Tcp(bytes)) => {
            let Bytes { route, spoken, host, is_guarded } = *bytes;
            let Spoken { first: _, upstream, from_upstream, heard } = spoken;
            (record.host, record.heard) = (host, heard);
            let from_upstream = from_upstream.unwrap_or_else(|| Inbox::new(inbox.pool()));
            let stream = Stream { route, io, inbox, upstream, from_upstream, is_guarded, record };
            Ok(accept::opened_tcp(conn, stream))
        }
        Err(error) => {
            if matches!(
                error,
                NotOpened::Refused(_) | NotOpened::NoServer(_) | NotOpened::NotServed
            ) {
                serve_tcp::reset(&mut io);
            }
            record.end_unopened(&conn, &error);
            Err(error)
        }
    }
}

async fn find(
    conn: &Rc<Connection>,
    io: &mut Io,
    inbox: &mut Inbox,
    upstream: Option<Upstream>,
) -> Result<Found, NotOpened> {
    let spoken = listen(conn, io, inbox, upstream).await?;
    // The client may have taken its time: what holds is the plan of its first byte.
    let plan = conn.worker.plan();
    let listener = conn.listener_in(&plan).ok_or(NotOpened::NotServed)?;
    let mut terms = Terms::of(conn, &plan, listener);
    if terms.serves_http(conn, &spoken, inbox) {
        return Ok(match spoken.first {
            Some(FirstBytes::Http2) => Found::H2,
            _ => Found::H1,
        });
    }
    let (mut host, mut better) = (None, None);
    if spoken.first == Some(FirstBytes::Tls) {
        (host, better) = by_name(conn, listener, io, inbox).await;
        if host.as_deref().is_some_and(|host| ask_for(conn, &plan, host)) {
            terms = Terms::of(conn, &plan, listener);
        }
    }
    let route = terms.route(conn)?;
    let route = better.or(route).ok_or(NotOpened::NotServed)?;
    if conn.meant().is_some_and(|meant| meant.external) {
        let ip = conn.local.ip().to_string();
        conn.worker.metrics.mesh.external_connection(host.as_deref().unwrap_or(&ip));
    }
    // Of a server that begins, and of TLS, no request's fields come in plain text.
    let is_guarded = terms.protocol == Protocol::Detect
        && spoken.first == Some(FirstBytes::Other)
        && conn.meant().is_some_and(|meant| meant.direction == Direction::Inbound);
    Ok(Found::Tcp(Box::new(Bytes { route, spoken, host, is_guarded })))
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
        Terms::of(conn, &plan, conn.listener_in(&plan).ok_or(NotOpened::NotServed)?)
    };
    if terms.is_silent() {
        terms.route(conn)?;
    }
    match terms.protocol {
        Protocol::Tcp => Ok(Spoken { first: None, upstream, from_upstream: None, heard: None }),
        Protocol::Http | Protocol::Http2 | Protocol::Tls => {
            let first = detect::client(conn, io, inbox).await?;
            Ok(Spoken { first: Some(first), upstream, from_upstream: None, heard: None })
        }
        Protocol::Detect => {
            let race = detect::Race::new(conn, terms.server(), upstream);
            match race.run(io, inbox).await {
                // Nobody is left to be told why, but the log.
                Err(NotOpened::NoServer(why)) => {
                    terms.route(conn)?;
                    Err(NotOpened::NoServer(why))
                }
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
        let sni = hello.server_name.as_deref();
        side.tcp.find(&TcpAsk { sni, alpn: &alpn, tls: true, ..conn.tcp_ask() }).cloned()
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
    fn of(conn: &Connection, plan: &Plan, listener: &ListenerPlan) -> Self {
        let destination = listener.shared.destination();
        let denied = denied(conn, plan, destination);
        let side = listener.side(false);
        let tcp = side.and_then(|side| side.tcp.find(&conn.tcp_ask()).cloned());
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
        Err(NotOpened::Refused(refusal.clone()))
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
