//! TLS towards an authority: clients that have no certificate yet come in, too, and those whose
//! certificate has ended not long ago.
//!
//! Who shows none has to prove itself by other means, inside. Everything else is as between proxies.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DistinguishedName, Error, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, UnixTime};
use weft_model::identity::Identity;

use super::verifier::{self, Expected, Roots, Verifier};
use super::{
    Credentials, IdentityRefused, InvalidCredentials, Offer, PeerIdentity, certified_key, provider,
    refused,
};
use crate::signatures::verify_tls13_signatures;

/// The server's side of TLS for an authority, with one set of credentials.
pub struct AuthorityTls {
    server: Arc<ServerConfig>,
    callers: Arc<Callers>,
    clock: Arc<dyn TimeProvider>,
}

/// A client that has shown a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub identity: PeerIdentity,
    /// Until when its certificate is valid.
    pub not_after: SystemTime,
    /// That is in the past. It has proved who it was.
    pub has_ended: bool,
}

/// Takes clients with a certificate that is valid or has ended not long ago, and those without any.
#[derive(Debug)]
struct Callers {
    verifier: Verifier,
    /// How long a certificate may have ended ago.
    returning: Duration,
}

/// The client's side for who has no certificate yet, and knows by other means whom to trust.
///
/// # Errors
///
/// [`InvalidCredentials`] when `bundle` cannot be used.
pub fn joining_config(
    bundle: &[CertificateDer<'static>],
    expected: &Identity,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, InvalidCredentials> {
    let provider = Arc::new(provider());
    let roots = Arc::new(Roots::new(bundle, expected.trust_domain(), &provider)?);
    let verifier = Verifier::new(roots, Expected::OneOf([expected.clone()].into()));
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.enable_sni = false;
    config.alpn_protocols = Offer::Tunnels.names();
    Ok(Arc::new(config))
}

// === impl AuthorityTls ===

impl AuthorityTls {
    /// Makes the configuration. `clock` says what is valid when; a certificate may have ended as long
    /// ago as `returning`, see [`Caller::has_ended`].
    ///
    /// # Errors
    ///
    /// [`InvalidCredentials`].
    pub fn build(
        credentials: &Credentials,
        clock: Arc<dyn TimeProvider>,
        returning: Duration,
    ) -> Result<Self, InvalidCredentials> {
        let provider = Arc::new(provider());
        let trust_domain = credentials.identity.trust_domain();
        let roots = Arc::new(Roots::new(&credentials.bundle, trust_domain, &provider)?);
        let verifier = Verifier::new(roots, Expected::Anybody);
        let callers = Arc::new(Callers { verifier, returning });
        let key = Arc::new(certified_key(credentials)?);
        let mut server = ServerConfig::builder_with_details(provider, clock.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(refused)?
            .with_client_cert_verifier(callers.clone())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        server.alpn_protocols = Offer::Tunnels.names();
        // A proxy connects once in hours: there is nothing to resume.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self { server: Arc::new(server), callers, clock })
    }

    /// The server's side.
    pub fn server_config(&self) -> &Arc<ServerConfig> {
        &self.server
    }

    /// Who has connected; `None` for one that has shown no certificate.
    ///
    /// # Errors
    ///
    /// [`IdentityRefused`], also when the handshake has not ended.
    pub fn caller(&self, conn: &ServerConnection) -> Result<Option<Caller>, IdentityRefused> {
        // Before the end of the handshake nobody has proved to own the certificate's key.
        if conn.is_handshaking() {
            return Err(IdentityRefused::NoCertificate);
        }
        let Some(leaf) = conn.peer_certificates().and_then(<[_]>::first) else {
            return Ok(None);
        };
        let now = self.clock.current_time();
        let now = now.unwrap_or(UnixTime::since_unix_epoch(Duration::ZERO));
        let then = self.callers.moment(leaf, now);
        let identity = PeerIdentity(self.callers.verifier.check(leaf, then)?);
        let not_after = UNIX_EPOCH + Duration::from_secs(verifier::not_after_secs(leaf)?);
        Ok(Some(Caller { identity, not_after, has_ended: then != now }))
    }
}

impl fmt::Debug for AuthorityTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityTls").finish_non_exhaustive()
    }
}

// === impl Callers ===

impl Callers {
    /// The moment for which a certificate is verified: now, or the last one at which it was valid.
    fn moment(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
        let ended = verifier::not_after_secs(leaf).ok().filter(|end| *end < now.as_secs());
        let recently = ended.filter(|end| now.as_secs() - end <= self.returning.as_secs());
        recently.map_or(now, |end| UnixTime::since_unix_epoch(Duration::from_secs(end)))
    }
}

impl ClientCertVerifier for Callers {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifier.verify_client_cert(leaf, intermediates, self.moment(leaf, now))
    }

    verify_tls13_signatures!(self, self.verifier.algorithms());
}
