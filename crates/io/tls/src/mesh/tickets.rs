//! Session tickets that end with the credentials they were issued under.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::Error;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

/// How long a client may use a ticket at most. Proxies keep their connections open, so resumption
/// serves short interruptions; and a resumed session is older evidence of who the peer is.
const LIFETIME_MAX: Duration = Duration::from_secs(3600);

/// Tickets under keys of their own, which nobody has once the credentials are replaced.
#[derive(Debug)]
pub(super) struct Tickets {
    keys: Arc<dyn ProducesTickets>,
    not_after: UnixTime,
    clock: Arc<dyn TimeProvider>,
}

// === impl Tickets ===

impl Tickets {
    pub(super) fn new(not_after: SystemTime, clock: Arc<dyn TimeProvider>) -> Result<Self, Error> {
        let not_after = not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
        let not_after = UnixTime::since_unix_epoch(not_after);
        Ok(Self { keys: Ticketer::new()?, not_after, clock })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    /// Never beyond our own certificate, which the client does not look at when it resumes.
    fn lifetime(&self) -> u32 {
        let now = self.clock.current_time().map_or(u64::MAX, |now| now.as_secs());
        let left = self.not_after.as_secs().saturating_sub(now);
        left.min(LIFETIME_MAX.as_secs()) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.keys.decrypt(cipher)
    }
}
