//! Connections of applications to which we are a forward proxy, where nothing can be captured.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::net::TcpStream;
use weft_http::Leg;
use weft_http::io::{Io, Rewind};
use weft_message::Method;
use weft_message::h1::BodyFraming;
use weft_model::outcome::Reason;
use weft_net::Inbox;
use weft_net::detect::FirstBytes;

use super::{Front, Inside, Passage};
use crate::accept::{self, Opened};
use crate::captured::{self, Denied};
use crate::connection::{Connection, Via};
use crate::detect;
use crate::exchange::Exchange;
use crate::metrics::Refused;
use crate::request::{After, Scope};
use crate::serve_h1;

/// Port of a target that names none.
const PORT_DEFAULT: u16 = 80;

/// What a client reads whose tunnel is open (RFC 9110 section 9.3.6).
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Serves the connection of an application.
pub(crate) async fn serve(mut conn: Connection, stream: TcpStream) {
    conn.via = Via::Explicit(Rc::default());
    let conn = Rc::new(conn);
    if !accept::until_spoken(&conn, &stream).await {
        return;
    }
    match Box::pin(open(conn.clone(), stream)).await {
        Ok(opened) => accept::serve(opened).await,
        Err(error) => accept::note_not_opened(conn.client, &error),
    }
}

async fn open(conn: Rc<Connection>, stream: TcpStream) -> Result<Opened, accept::NotOpened> {
    let mut io = Io::Tcp(stream);
    let mut inbox = Inbox::new(conn.worker.buffers.pool());
    Ok(match detect::client(&conn, &mut io, &mut inbox).await? {
        FirstBytes::Http2 => accept::opened_h2(conn, io, inbox),
        _ => accept::opened_h1(conn, io, inbox),
    })
}

/// The connection that carries the request over HTTP/1.1 whose head has been decoded into `x`. What
/// becomes of the client's, if there is none: the request was for a tunnel, or was refused.
pub(crate) async fn lead(
    scope: &Scope<'_>,
    front: &Front,
    x: &mut Exchange,
    leg: &mut Leg,
) -> Result<Rc<Connection>, After> {
    if *x.req.method() == Method::Connect {
        return Err(Box::pin(tunnel(scope, front, x, leg)).await);
    }
    let inner = match front.destination(scope.conn, x).await {
        Ok(addr) => front.inner(scope.conn, addr, Inside::Requests).await,
        Err(denied) => Err(denied),
    };
    match inner {
        Ok(inner) => Ok(inner),
        Err(denied) => Err(Box::pin(refuse(scope, x, leg, denied)).await),
    }
}

async fn tunnel(scope: &Scope<'_>, front: &Front, x: &mut Exchange, leg: &mut Leg) -> After {
    let Passage { conn, upstream } = match front.tunnel(scope.conn, x).await {
        Ok(passage) => passage,
        Err(denied) => return refuse(scope, x, leg, denied).await,
    };
    let Leg::H1(h1) = leg else { return After::Drop };
    h1.begin_message(BodyFraming::None, |out| out.extend_from_slice(ESTABLISHED));
    if std::future::poll_fn(|cx| h1.poll_flush(cx)).await.is_err() {
        return After::Drop;
    }
    let (io, early) = h1.take_parts();
    captured::at(conn, after(io, &early, scope), upstream).await;
    After::Drop
}

/// A stream of which some bytes were read already.
fn after(io: Io, early: &[u8], scope: &Scope<'_>) -> Io {
    if early.is_empty() {
        return io;
    }
    let mut inbox = Inbox::new(scope.conn.worker.buffers.pool());
    let kept = inbox.append(early);
    debug_assert_eq!(kept, early.len(), "they were in one buffer before");
    Io::Other(Box::new(Rewind::new(io, inbox)))
}

async fn refuse(scope: &Scope<'_>, x: &mut Exchange, leg: &mut Leg, denied: Denied) -> After {
    let Denied { why, refusal } = denied;
    scope.conn.worker.metrics.mesh.refused(why);
    serve_h1::finish(scope, x, leg, refusal.reason, Some(refusal.detail)).await
}

/// Where an application wants a request or tunnel to go.
pub(super) async fn destination(conn: &Connection, x: &Exchange) -> Result<SocketAddr, Denied> {
    let host = x.req.host();
    let port = match (x.req.port(), x.req.method()) {
        (Some(port), _) => port,
        (None, Method::Connect) => {
            let detail = "CONNECT without a port";
            return Err(Denied::new(Refused::NoDestination, Reason::BadRequest, detail));
        }
        (None, _) => PORT_DEFAULT,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let known = bare.parse::<IpAddr>().ok().or_else(|| conn.worker.resolve.addr(bare));
    if let Some(ip) = known {
        return Ok(SocketAddr::new(ip, port));
    }
    let unknown = |detail| Denied::new(Refused::NoDestination, Reason::UnknownDestination, detail);
    if bare.is_empty() {
        return Err(unknown("no host is named".to_owned()));
    }
    // A name of the mesh needs no wait, and no room for one.
    match Box::pin(conn.worker.hosts.addr(bare)).await {
        Ok(ip) => Ok(SocketAddr::new(ip, port)),
        Err(error) => Err(unknown(format!("`{bare}` cannot be resolved: {error}"))),
    }
}
