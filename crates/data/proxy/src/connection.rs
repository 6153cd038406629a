//! What is known of a connection, for every request on it.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use weft_message::Scheme;
use weft_model::id::ListenerId;
use weft_resilience::hash;

use crate::metrics::ConnectionCount;
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
    /// The address it connected to.
    pub(crate) local: SocketAddr,
    /// Whether forwarding headers on it are believed.
    pub(crate) trusted: bool,
    /// There when TLS was terminated.
    pub(crate) tls: Option<TlsFacts>,
    /// Counts as open until dropped.
    pub(crate) _count: ConnectionCount,
}

/// What a handshake told.
#[derive(Debug, Clone)]
pub(crate) struct TlsFacts {
    /// The site (certificates and options) that the handshake was for.
    pub(crate) site: Arc<str>,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// What keeps a client on its endpoint: the same in every process.
    pub(crate) fn client_key(&self) -> u64 {
        match self.client.ip() {
            IpAddr::V4(ip) => hash::stable(&ip.octets()),
            IpAddr::V6(ip) => hash::stable(&ip.octets()),
        }
    }

    /// Whether it is to end as soon as nothing runs on it: the process drains, or the listener left
    /// the configuration.
    pub(crate) fn is_ending(&self) -> bool {
        self.worker.is_draining() || self.listener_in(&self.worker.plan()).is_none()
    }

    /// The listener in a plan; gone when the plan has it no more.
    pub(crate) fn listener_in<'a>(&self, plan: &'a Plan) -> Option<&'a Rc<ListenerPlan>> {
        plan.listener_near(&self.listener, &self.place)
    }
}
