//! One endpoint as one worker sees it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use weft_resilience::load::PeakEwma;

use crate::pool::{Pool, SharedPool};
use crate::shared::SharedEndpoint;

/// One address of a backend, with this worker's connections and load estimates.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) addr: SocketAddr,
    pub(crate) weight: Cell<f64>,
    pub(crate) hash: u64,
    pub(crate) shared: Arc<SharedEndpoint>,
    pub(crate) pool: Pool,
    pub(crate) h2: SharedPool,
    pub(crate) latency: PeakEwma,
}

// === impl Endpoint ===

impl Endpoint {
    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
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
