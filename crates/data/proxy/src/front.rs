//! Connections whose requests and tunnels are for destinations of their own: those of other proxies
//! of the mesh, and those of applications to which we are a forward proxy.

mod explicit;
mod peers;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use smallvec::SmallVec;
use weft_model::id::ListenerId;
use weft_model::listener::Direction;
use weft_model::outcome::Reason;

use crate::captured::{self, Denied};
use crate::connection::{Connection, Meant, Peer, Via};
use crate::exchange::Exchange;
use crate::metrics::Refused;
use crate::serve_tcp::{self, Upstream};

pub(crate) use explicit::{lead, serve as serve_explicit};
pub(crate) use peers::serve as serve_mesh;

/// Destinations that a connection remembers: a proxy calls a few ports of a workload, an
/// application goes through the hosts it needs.
const INNER_MAX: usize = 16;

/// What such a connection knows.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// Who is at its other end, if it is a proxy of the mesh.
    peer: Option<Rc<Peer>>,
    /// Those that carry its requests, by destination; the one that was made last comes last.
    inner: RefCell<SmallVec<[Rc<Connection>; 1]>>,
}

/// What a connection inside of another is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Any number of requests.
    Requests,
    /// The bytes of one connection.
    Tunnel,
}

/// A tunnel that was asked for and may be opened.
pub(crate) struct Passage {
    pub(crate) conn: Rc<Connection>,
    /// Where its bytes go unless they are HTTP.
    pub(crate) upstream: Option<Upstream>,
}

// === impl Front ===

impl Front {
    /// Where the request in `x` is to go.
    pub(crate) async fn destination(
        &self,
        conn: &Connection,
        x: &mut Exchange,
    ) -> Result<SocketAddr, Denied> {
        match &self.peer {
            Some(_) => peers::destination(x),
            None => explicit::destination(conn, x).await,
        }
    }

    /// The connection to `addr` that is inside of `conn`, for requests or for a tunnel. It may be one
    /// that is refused, as whoever looks at it will see.
    ///
    /// # Errors
    ///
    /// When nobody may be led there.
    pub(crate) async fn inner(
        &self,
        conn: &Connection,
        addr: SocketAddr,
        inside: Inside,
    ) -> Result<Rc<Connection>, Denied> {
        let worker = &conn.worker;
        let plan = worker.plan();
        let destinations = plan.shared.destinations();
        let direction = match self.peer {
            Some(_) => Direction::Inbound,
            None => Direction::Outbound,
        };
        if direction == Direction::Inbound && !destinations.is_own(addr.ip()) {
            let detail = format!("{addr} is no address of this workload");
            return Err(Denied::new(Refused::NotOurs, Reason::Misdirected, detail));
        }
        if destinations.is_proxy(addr, conn.local) {
            let detail = format!("{addr} is the proxy itself");
            return Err(Denied::new(Refused::Loop, Reason::Misdirected, detail));
        }
        let carried = self.peer.is_some() && inside == Inside::Requests;
        let found = captured::standing(worker, direction, addr).await;
        let is_found = found.is_ok();
        if inside == Inside::Requests
            && let Ok(listener) = &found
            && let Some(known) = self.known(addr, &listener.shared.settings.id)
        {
            return Ok(known);
        }
        let mut inner = Connection {
            worker: worker.clone(),
            listener: conn.listener.clone(),
            place: Cell::new(0),
            client: conn.client,
            local: addr,
            trusted: false,
            tls: None,
            via: Via::Bound,
            _count: None,
            _listener_count: None,
        };
        let meant = Meant { carried, ..Meant::new(direction, self.peer.clone()) };
        captured::enter(&mut inner, meant, found);
        let is_refused = inner.meant().is_none_or(|meant| meant.refusal.is_some());
        let inner = Rc::new(inner);
        if is_found && !is_refused && inside == Inside::Requests {
            self.remember(&inner);
        }
        Ok(inner)
    }

    /// Makes ready the tunnel that the CONNECT in `x` asks for.
    pub(crate) async fn tunnel(
        &self,
        conn: &Connection,
        x: &mut Exchange,
    ) -> Result<Passage, Denied> {
        let addr = self.destination(conn, x).await?;
        let inner = self.inner(conn, addr, Inside::Tunnel).await?;
        let plan = inner.worker.plan();
        let listener = inner.listener_in(&plan);
        let destination = listener.and_then(|listener| listener.shared.destination());
        captured::ask_for(&inner, &plan, x.req.host());
        if let Some(denied) = captured::denied(&inner, &plan, destination) {
            return Err(denied);
        }
        let upstream = match captured::tcp_route(&inner) {
            Some(route) => Some(serve_tcp::connect(&inner, &route).await.map_err(|why| {
                let detail = format!("no connection to {addr} could be made: {}", why.detail);
                Denied::new(Refused::Closed, why.reason, detail)
            })?),
            None => None,
        };
        Ok(Passage { conn: inner, upstream })
    }

    fn known(&self, addr: SocketAddr, id: &ListenerId) -> Option<Rc<Connection>> {
        let is_it = |known: &&Rc<Connection>| known.local == addr && known.listener == *id;
        self.inner.borrow().iter().find(is_it).cloned()
    }

    fn remember(&self, inner: &Rc<Connection>) {
        let mut known = self.inner.borrow_mut();
        // One for an address that another listener stands for now is of no more use.
        known.retain(|known| known.local != inner.local);
        if known.len() == INNER_MAX {
            known.remove(0);
        }
        known.push(inner.clone());
    }
}
