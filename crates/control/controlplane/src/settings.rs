//! What a control plane is told by whoever starts it.

use std::path::PathBuf;
use std::time::Duration;

use weft_model::identity::Identity;
use weft_tls::Clock;

/// What a control plane is told by whoever starts it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who it is itself; proxies that connect by TCP expect it.
    pub identity: Identity,
    /// What it bears with.
    pub limits: Limits,
    /// What time it is, for certificates.
    pub clock: Clock,
    /// Where is kept which proxies have been given what certificates, so that a rotation of the
    /// root knows of them after a restart, too. `None`: only in memory.
    pub fleet_path: Option<PathBuf>,
}

/// Bounds for what peers may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time, over all listeners, those in the handshake of TLS among them; a
    /// quarter of them for one user of this machine. 20,000: several for each proxy of a large mesh.
    pub connections: usize,
    /// Streams at one time on one connection. 16: a proxy has two for good, and one now and then.
    pub streams: u32,
    /// Size of one message that is received. 4 MiB, as everywhere in gRPC.
    pub message_bytes: usize,
    /// Time for each of: the TLS handshake, the first request of a connection, the first message of
    /// a stream. 10 s.
    pub handshake: Duration,
    /// How often the peer is asked whether it is still there, and how long it may take to answer.
    /// 20 s.
    pub keep_alive: Duration,
    /// Time to take one message off our hands; who is slower is cut off. 60 s.
    pub send: Duration,
    /// Time that a connection without a certificate may last, in which it gets one. 60 s.
    pub joining: Duration,
    /// How long an end of the control plane lets streams end by themselves. 5 s.
    pub drain: Duration,
}

// === impl Limits ===

impl Limits {
    /// As said at each.
    pub const DEFAULT: Self = Self {
        connections: 20_000,
        streams: 16,
        message_bytes: 4 << 20,
        handshake: Duration::from_secs(10),
        keep_alive: Duration::from_secs(20),
        send: Duration::from_secs(60),
        joining: Duration::from_secs(60),
        drain: Duration::from_secs(5),
    };
}
