//! What is known of a connection, for every request on it.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use weft_message::Scheme;
use weft_model::id::ListenerId;
use weft_model::identity::Identity;
use weft_model::listener::Direction;
use weft_model::policy::Refusal;
use weft_resilience::hash;
use weft_route::TcpAsk;
use weft_tls::PeerIdentity;

use crate::captured;
use crate::front::Front;
use crate::metrics::{ConnectionCount, ListenerCount};
use crate::plan::{ListenerPlan, Plan};
use crate::worker::Worker;

/// A connection from downstream.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: ListenerId,
    /// Where the listener was found in the plan last.
    pub(crate) place: Cell<usize>,
    /// The client: from the PROXY header of a trusted peer, else the peer itself.
    pub(crate) client: SocketAddr,
    /// The address it connected to, whoever has taken the connection then.
    pub(crate) local: SocketAddr,
    /// Whether forwarding headers on it are believed.
    pub(crate) trusted: bool,
    /// There when TLS was terminated.
    pub(crate) tls: Option<Box<TlsFacts>>,
    /// How it came to its listener.
    pub(crate) via: Via,
    /// Counts as open until dropped; `None` for one that is inside of another.
    pub(crate) _count: Option<ConnectionCount>,
    /// Counts as open on its listener until dropped; `None` while it has none.
    pub(crate) _listener_count: Option<ListenerCount>,
}

/// How a connection came to its listener.
#[derive(Debug)]
pub(crate) enum Via {
    /// It was made to the listener's address.
    Bound,
    /// It was meant for a destination for which the listener stands.
    Destination(Rc<Meant>),
    /// It is a proxy's of the mesh, whose requests and tunnels are for destinations of their own.
    Mesh(Rc<Front>),
    /// The same of an application, to which we are a forward proxy.
    Explicit(Rc<Front>),
}

/// A connection that was meant for a destination.
#[derive(Debug)]
pub(crate) struct Meant {
    /// Which way it goes, seen from the workload.
    pub(crate) direction: Direction,
    /// The service or workload, as people call it.
    pub(crate) name: Box<str>,
    /// Whether it leaves the mesh.
    pub(crate) external: bool,
    /// Who has made it, if that was proved.
    pub(crate) peer: Option<Rc<Peer>>,
    /// Whether it carries requests whose applications speak some other version of HTTP than it does.
    pub(crate) carried: bool,
    /// Why it is not served, whatever the plan says.
    pub(crate) refusal: Option<Refusal>,
    /// The host outside of the mesh that it asks for, if the mesh knows that one by its name alone.
    pub(crate) host: RefCell<Option<Box<str>>>,
    /// Under which policies of the worker it was last looked at, and whether they refuse it.
    pub(crate) judged: Cell<(u64, bool)>,
}

/// The two ends of a connection of the mesh. Whoever has one has seen the proof.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Who has connected.
    pub(crate) caller: PeerIdentity,
    /// Who we are.
    pub(crate) own: Identity,
}

/// What a handshake told.
#[derive(Debug, Clone)]
pub(crate) struct TlsFacts {
    /// The site (certificates and options) that the handshake was for.
    pub(crate) site: Arc<str>,
    /// Who the client has proved to be.
    pub(crate) client: Option<Box<str>>,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// What TCP routes are asked, as long as the client has sent nothing.
    pub(crate) fn tcp_ask(&self) -> TcpAsk<'static> {
        let (client_ip, local_ip) = (self.client.ip(), self.local.ip());
        TcpAsk { sni: None, alpn: &[], client_ip, local_ip, tls: false }
    }

    /// What keeps a client on its endpoint: the same in every process.
    pub(crate) fn client_key(&self) -> u64 {
        match self.client.ip() {
            IpAddr::V4(ip) => hash::stable(&ip.octets()),
            IpAddr::V6(ip) => hash::stable(&ip.octets()),
        }
    }

    /// Whether it is to end as soon as nothing runs on it: the process drains, the listener left
    /// the configuration, or nothing will ever be served on it.
    pub(crate) fn is_ending(&self) -> bool {
        self.worker.is_draining()
            || self.listener_in(&self.worker.plan()).is_none()
            || self.meant().is_some_and(|meant| meant.refusal.is_some())
    }

    /// The listener in a plan; gone when the plan has it no more.
    pub(crate) fn listener_in<'a>(&self, plan: &'a Plan) -> Option<&'a Rc<ListenerPlan>> {
        plan.listener_near(&self.listener, &self.place)
    }

    /// What it was meant for, if it is not the listener's own.
    pub(crate) fn meant(&self) -> Option<&Meant> {
        match &self.via {
            Via::Destination(meant) => Some(meant),
            Via::Bound | Via::Mesh(_) | Via::Explicit(_) => None,
        }
    }

    /// Whether what it was meant for has been closed to it since it came. What runs on it is to end:
    /// a policy holds for those who are there, too.
    pub(crate) fn is_refused(&self) -> bool {
        let Some(meant) = self.meant() else { return false };
        let policies = self.worker.policies();
        if meant.judged.get().0 != policies {
            let plan = self.worker.plan();
            let listener = self.listener_in(&plan);
            let destination = listener.and_then(|listener| listener.shared.destination());
            let is_refused = captured::denied(self, &plan, destination).is_some();
            meant.judged.set((policies, is_refused));
        }
        meant.judged.get().1
    }

    /// The service that a client calls by it, to be named in errors; empty outside of the mesh.
    pub(crate) fn service(&self) -> &str {
        self.meant().map_or("", |meant| &meant.name)
    }
}

// === impl Meant ===

impl Meant {
    /// Of which nothing is known yet but which way it goes and who has made it.
    pub(crate) fn new(direction: Direction, peer: Option<Rc<Peer>>) -> Self {
        let (external, carried) = (false, false);
        let (host, judged) = (RefCell::default(), Cell::default());
        Self { direction, name: "".into(), external, peer, carried, refusal: None, host, judged }
    }
}
