//! An HTTP/2 origin: echoes requests as JSON and serves a gRPC service of all four kinds.

mod serve;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::background::Background;
use crate::certificates::Leaf;
use crate::echo::Echo;
use crate::raw_origin::{Gate, lock};
use crate::wait;

/// A running origin.
///
/// Paths: `/weft.test.Echo/Unary`, `/ServerStream` (three answers to one message), `/ClientStream`
/// (one answer that joins all messages), `/Bidi` (one answer to each message at once), `/Fail`
/// (status 7 without a message), `/Hang` (never answers). `/reset` resets the stream, `/status/NNN`
/// answers that status, `/slow` answers when [`H2Origin::gate`] opens. Everything else is echoed.
#[derive(Debug)]
pub struct H2Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

/// What one stream saw.
#[derive(Debug, Clone)]
pub struct H2Recorded {
    /// The request; its body only when the stream was read to its end.
    pub echo: Echo,
    /// Whether the client reset the stream before it was answered.
    pub is_reset: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    tls: Option<Arc<rustls::ServerConfig>>,
    streams: Mutex<Vec<H2Recorded>>,
    connections: Mutex<usize>,
    gate: Gate,
    /// Counts the times that all connections were to end.
    rounds: watch::Sender<u64>,
}

// === impl H2Origin ===

impl H2Origin {
    /// HTTP/2 in the clear, with prior knowledge.
    pub fn start(name: &str) -> Self {
        Self::listen(name, None)
    }

    /// HTTP/2 over TLS, agreed on by ALPN.
    pub fn start_tls(name: &str, leaf: &Leaf) -> Self {
        Self::listen(name, Some(leaf.server_config(&["h2"], None)))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The streams so far.
    pub fn streams(&self) -> Vec<H2Recorded> {
        lock(&self.shared.streams).clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        *lock(&self.shared.connections)
    }

    /// Holds back answers to `/slow`.
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Ends every connection in order: GOAWAY, and the end when its streams are done.
    pub fn shut_down_connections(&self) {
        self.shared.rounds.send_modify(|round| *round += 1);
    }

    /// Waits until the streams satisfy `condition`.
    ///
    /// # Panics
    ///
    /// When they do not within the deadline.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&[H2Recorded]) -> bool) {
        wait::until_true(what, || condition(&self.streams()));
    }

    fn listen(name: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let background = Background::start();
        let listener =
            background.wait("a port", TcpListener::bind("127.0.0.1:0")).expect("a loopback port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            name: name.into(),
            tls,
            streams: Mutex::default(),
            connections: Mutex::default(),
            gate: Gate::new(),
            rounds: watch::channel(0).0,
        });
        background.spawn(serve::accept_all(listener, shared.clone()));
        Self { addr, shared, _background: background }
    }
}
