//! What a link is told by whoever starts it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use weft_model::id::WorkloadName;
use weft_model::identity::Identity;
use weft_tls::Clock;

use crate::endpoint::Endpoint;

/// What a link is told by whoever starts it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The workload beside the proxy.
    pub workload: WorkloadName,
    /// Its identity: who the proxy asks to be.
    pub identity: Identity,
    /// Where the control plane is.
    pub endpoint: Endpoint,
    /// Whether the rules that services have hold for what is dialled here: then what they lead to is
    /// asked for, too. True; a gateway has rules of its own.
    pub follows_rules: bool,
    /// The product's version, for people.
    pub product_version: String,
    /// Where the last good state is kept; nowhere by default.
    pub state_path: Option<PathBuf>,
    /// Where the certificate and its key are kept, readable for the owner alone; nowhere by default.
    pub credentials_path: Option<PathBuf>,
    /// How long things take.
    pub times: Times,
    /// What time it is, for certificates.
    pub clock: Clock,
    /// What waits are drawn from; differs from process to process.
    pub seed: u64,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A service that was not used for so long is forgotten. 10 min.
    pub idle: Duration,
    /// The longest wait between attempts to connect. 10 s.
    pub reconnect_max: Duration,
    /// Time for a connection, its handshakes included, and for one request. 10 s.
    pub connect: Duration,
    /// How long a proxy that has a certificate on disk waits for a fresh one before it is ready
    /// with what it has. 2 s.
    pub fresh: Duration,
    /// The shortest time between two writes of the state. 1 s.
    pub save: Duration,
    /// When the authority asks all proxies to renew, each does so at its own time within this. 5 s.
    pub renew_spread: Duration,
    /// The longest wait between attempts to renew. 60 s.
    pub renew_retry_max: Duration,
}

// === impl Settings ===

impl Settings {
    /// With defaults for the rest.
    pub fn new(workload: WorkloadName, identity: Identity, endpoint: Endpoint) -> Self {
        Self {
            workload,
            identity,
            endpoint,
            follows_rules: true,
            product_version: env!("CARGO_PKG_VERSION").into(),
            state_path: None,
            credentials_path: None,
            times: Times::DEFAULT,
            clock: Clock::wall(),
            seed: RandomState::new().build_hasher().finish(),
        }
    }
}

// === impl Times ===

impl Times {
    /// As said at each.
    pub const DEFAULT: Self = Self {
        idle: Duration::from_secs(600),
        reconnect_max: Duration::from_secs(10),
        connect: Duration::from_secs(10),
        fresh: Duration::from_secs(2),
        save: Duration::from_secs(1),
        renew_spread: Duration::from_secs(5),
        renew_retry_max: Duration::from_secs(60),
    };
}
