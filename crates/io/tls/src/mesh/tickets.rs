//! Session tickets that end with the credentials they were issued under, and with the certificate
//! of whom they were issued to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{DistinguishedName, Error};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::verifier::{Verifier, not_after_secs};
use crate::signatures::verify_tls13_signatures;

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

/// The caller of one connection, who is verified there and is given a ticket for later.
///
/// The library takes up a session again without a look at the certificate that began it, and has no
/// alert to send once the handshake has ended. So a ticket is worth nothing any more when that
/// certificate has ended: the handshake is then a full one, and says to the caller what is wrong.
#[derive(Debug)]
pub(super) struct OneCaller {
    verifier: Arc<Verifier>,
    tickets: Arc<Tickets>,
    /// Until when its certificate is valid, seconds since 1970. Zero before it has shown one.
    until: AtomicU64,
}

// === impl Tickets ===

impl Tickets {
    pub(super) fn new(not_after: SystemTime, clock: Arc<dyn TimeProvider>) -> Result<Self, Error> {
        let not_after = not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
        let not_after = UnixTime::since_unix_epoch(not_after);
        Ok(Self { keys: Ticketer::new()?, not_after, clock })
    }
}

impl Tickets {
    /// Never beyond our own certificate, which the client does not look at when it resumes.
    pub(super) fn lifetime(&self) -> u32 {
        let left = self.not_after.as_secs().saturating_sub(self.now());
        left.min(LIFETIME_MAX.as_secs()) as u32
    }

    /// A ticket that is good until then.
    fn seal(&self, until: u64, session: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(&[&until.to_be_bytes(), session].concat())
    }

    /// The session in a ticket that is still good, and until when it is.
    fn open(&self, ticket: &[u8]) -> Option<(u64, Vec<u8>)> {
        let mut session = self.keys.decrypt(ticket)?;
        let until = u64::from_be_bytes(*session.first_chunk()?);
        session.drain(..size_of::<u64>());
        (self.now() <= until).then_some((until, session))
    }

    /// Seconds since 1970. A clock that cannot be read makes no ticket good.
    fn now(&self) -> u64 {
        self.clock.current_time().map_or(u64::MAX, |now| now.as_secs())
    }
}

// === impl OneCaller ===

impl OneCaller {
    pub(super) fn new(verifier: Arc<Verifier>, tickets: Arc<Tickets>) -> Self {
        Self { verifier, tickets, until: AtomicU64::new(0) }
    }
}

impl ProducesTickets for OneCaller {
    fn enabled(&self) -> bool {
        self.tickets.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.seal(self.until.load(Ordering::Relaxed), plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (until, session) = self.tickets.open(cipher)?;
        // The next ticket is no better than this one.
        self.until.store(until, Ordering::Relaxed);
        Some(session)
    }
}

impl ClientCertVerifier for OneCaller {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(leaf, intermediates, now)?;
        let until = not_after_secs(leaf).map_err(|refused| refused.into_tls(now))?;
        self.until.store(until, Ordering::Relaxed);
        Ok(verified)
    }

    verify_tls13_signatures!(self, self.verifier.algorithms());
}
