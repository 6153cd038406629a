//! Connections of other proxies of the mesh, with mutual TLS.
//!
//! Over `weftway/1` they carry requests, each with the address of the workload that it is for; over
//! `h2` tunnels (HBONE), inside of which is what a captured connection would be. Either way the
//! caller is known, and what it asks for has to be ours.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;
use weft_http::io::Io;
use weft_message::{Method, peer};
use weft_model::outcome::Reason;
use weft_net::Inbox;
use weft_runtime::time;
use weft_tls::handshake::{self, NoHandshake};
use weft_tls::mesh::{self, Established};

use super::Front;
use crate::captured::Denied;
use crate::connection::{Connection, Peer, Via};
use crate::exchange::Exchange;
use crate::metrics::{Limit, Refused};
use crate::{attempt, serve_h1, serve_h2};

/// Serves the connection of a peer, once it has proved who it is.
pub(crate) async fn serve(mut conn: Connection, stream: TcpStream) {
    let Some((io, peer)) = Box::pin(identify(&conn, stream)).await else { return };
    conn.via = Via::Mesh(Rc::new(Front { peer: Some(Rc::new(peer)), ..Front::default() }));
    Box::pin(serve_h2::serve(Rc::new(conn), io)).await;
}

async fn identify(conn: &Connection, stream: TcpStream) -> Option<(Io, Peer)> {
    let worker = &conn.worker;
    let client = conn.client;
    let limit = serve_h1::limits(conn).handshake_timeout;
    let (mut io, mut inbox) = (Io::Tcp(stream), Inbox::new(worker.buffers.pool()));
    let Some(tls) = worker.mesh.current() else {
        worker.metrics.mesh.refused(Refused::NoCredentials);
        tracing::warn!(%client, "a peer was refused: there are no credentials yet");
        let _ = time::timeout(limit, refuse(&mut io, &mut inbox)).await;
        return None;
    };
    match time::timeout(limit, mesh::accept(io, inbox, &tls)).await {
        Ok(Ok(Established { stream, peer, alpn: _, refusal: _ })) => {
            let peer = Peer { caller: peer, own: tls.identity().clone() };
            Some((Io::Other(Box::new(stream)), peer))
        }
        Ok(Err(error)) => {
            worker.metrics.mesh.refused(Refused::Handshake);
            let error = attempt::describe(&error);
            tracing::warn!(%client, error, "a peer was refused");
            None
        }
        Err(time::Elapsed) => {
            worker.metrics.limit(Limit::HandshakeTimeout);
            None
        }
    }
}

/// Says that it is through no fault of the peer's, once that has said something: it would not see it
/// in a connection that is closed on its bytes.
async fn refuse(io: &mut Io, inbox: &mut Inbox) {
    if handshake::read_hello(io, inbox).await.is_ok() {
        handshake::refuse(io, NoHandshake::NoCredentials).await;
    }
}

/// Where a peer wants a request or tunnel to go.
pub(super) fn destination(x: &mut Exchange) -> Result<SocketAddr, Denied> {
    let bad = |detail: String| Denied::new(Refused::NotOurs, Reason::BadRequest, detail);
    let named =
        peer::take_destination(&mut x.req.fields).map_err(|error| bad(error.to_string()))?;
    if *x.req.method() == Method::Connect {
        let authority = x.req.authority();
        let addr = authority.parse::<SocketAddr>().ok().filter(|addr| addr.port() != 0);
        return addr.ok_or_else(|| bad(format!("`{authority}` is not an address and port")));
    }
    named.ok_or_else(|| bad("it does not say where it is to go".into()))
}
