//! One endpoint as one worker sees it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use weft_http::h2::Client;
use weft_resilience::load::PeakEwma;

use crate::pool::Pool;
use crate::shared::SharedEndpoint;

/// One address of a backend, with this worker's connections and load estimates.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) addr: SocketAddr,
    pub(crate) weight: f64,
    pub(crate) hash: u64,
    pub(crate) shared: Arc<SharedEndpoint>,
    pub(crate) pool: Pool,
    pub(crate) h2: RefCell<Vec<Client>>,
    pub(crate) latency: PeakEwma,
}

// === impl Endpoint ===

impl Endpoint {
    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Idle connections of this worker.
    pub fn idle_connections(&self) -> usize {
        self.pool.len()
    }
}
