//! One endpoint as one worker sees it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use weft_model::mesh::Peer;
use weft_resilience::hash;
use weft_resilience::load::PeakEwma;

use crate::line::Line;
use crate::peer::PeerPool;
use crate::pool::{Pool, Reuse, SharedPool};
use crate::shared::SharedEndpoint;

/// One address of a backend, with this worker's connections and load estimates.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) addr: SocketAddr,
    pub(crate) hash: u64,
    pub(crate) shared: Arc<SharedEndpoint>,
    /// The proxy through which it is reached. Then `pool` and `h2` hold what is in tunnels.
    pub(crate) peer: Option<Rc<PeerPool>>,
    pub(crate) pool: Pool,
    pub(crate) h2: SharedPool,
    /// Who waits for one of those connections.
    pub(crate) line: Line,
    pub(crate) latency: PeakEwma,
}

// === impl Endpoint ===

impl Endpoint {
    /// An endpoint without connections.
    pub(crate) fn new(
        shared: Arc<SharedEndpoint>,
        peer: Option<Rc<PeerPool>>,
        now: Instant,
    ) -> Self {
        Self {
            addr: shared.addr,
            hash: hash::stable(shared.addr.to_string().as_bytes()),
            shared,
            peer,
            pool: Pool::default(),
            h2: SharedPool::default(),
            line: Line::default(),
            latency: PeakEwma::new(PeakEwma::DECAY, now),
        }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The proxy through which it is reached; `None` when it is reached as it is.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.as_ref().map(|peer| peer.peer())
    }

    /// Drops connections that are idle for too long, too old or were closed by the peer; how many
    /// idle ones are left.
    pub(crate) fn sweep(&self, now: Instant, reuse: &Reuse) -> usize {
        self.pool.sweep(now, reuse);
        self.pool.len() + self.h2.sweep(now, reuse)
    }

    /// Lets the connection go that has been idle for the longest time, for another one to be made
    /// in its place. False when none is idle but what somebody in line is about to take.
    pub(crate) fn give_way(&self) -> bool {
        self.pool.give_way(self.line.called()) || self.h2.give_way()
    }

    /// Lets go all connections; those in use close when their use ends.
    pub(crate) fn clear(&self) {
        self.pool.clear();
        self.h2.clear();
    }

    /// Idle HTTP/1.1 connections of this worker.
    pub fn idle_connections(&self) -> usize {
        self.pool.len()
    }

    /// Open HTTP/2 connections of this worker.
    pub fn shared_connections(&self) -> usize {
        self.h2.len()
    }

    /// Requests of this worker that are under way.
    pub fn in_flight(&self) -> u32 {
        self.latency.in_flight()
    }
}
