//! TLS between the proxies of a mesh: both sides prove who they are by X.509-SVIDs.
//!
//! TLS 1.3 only, the hybrid post-quantum key exchange preferred. A peer is known by the SPIFFE id in
//! its certificate; DNS names, addresses and the server name play no part. A session may be resumed
//! as long as neither side has new credentials and the peer's certificate is still valid.
//!
//! Credentials live hours. [`MeshTlsCell`] holds the newest; connections that are established keep
//! theirs.

mod cell;
mod credentials;
mod handshake;
mod joining;
mod refused;
#[cfg(test)]
mod tests;
mod tickets;
mod verifier;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use weft_model::identity::Identity;

pub use cell::MeshTlsCell;
pub use credentials::{Credentials, Pkcs8Key};
pub use handshake::{
    Established, MeshHandshakeError, Refusal, Target, accept, accept_client, connect,
};
pub use joining::{AuthorityTls, Caller, joining_config};
pub use refused::IdentityRefused;
use tickets::{OneCaller, Tickets};
use verifier::{Expected, Roots, Verifier};

/// Sessions remembered for resumption, of all peers together; each costs 1 to 2 KB.
const SESSIONS_MAX: usize = 256;

/// Sets of expected identities whose configuration is remembered, some 500 bytes each. A proxy that
/// calls more begins anew, at the price of full handshakes.
const CALLEES_MAX: usize = 1024;

/// TLS with one set of credentials, ready for handshakes on both sides.
pub struct MeshTls {
    identity: Identity,
    not_after: SystemTime,
    server: ServerParts,
    client: ClientParts,
    clock: Arc<dyn TimeProvider>,
    /// By whom one expects. Locked for a look-up, or for making two configurations from parts.
    callees: Mutex<HashMap<Box<[Identity]>, Callee>>,
}

/// Who a peer has proved to be. Only a handshake that ended well makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerIdentity(Identity);

/// What is spoken inside, agreed on by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// `weftway/1`: HTTP/2 whose requests are the application's.
    Weftway1,
    /// `h2`: HTTP/2 whose streams are tunnels (HBONE).
    H2,
}

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offer {
    /// Both; the server prefers [`Alpn::Weftway1`].
    Requests,
    /// [`Alpn::H2`] alone, for bytes that are not HTTP.
    Tunnels,
}

/// Credentials that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// There is no certificate.
    #[error("the chain has no certificate")]
    NoCertificate,
    /// The leaf's own identity is not acceptable.
    #[error("the certificate cannot serve as an identity: {0}")]
    Identity(IdentityRefused),
    /// The leaf names somebody else.
    #[error("the certificate is that of {got}, not of {expected}")]
    WrongIdentity {
        /// Who it should be.
        expected: Identity,
        /// Whom it names.
        got: Identity,
    },
    /// The key cannot be used.
    #[error("the private key cannot be used; it has to be PKCS#8")]
    Key,
    /// The key is not the leaf's.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// The bundle is empty.
    #[error("the trust bundle is empty")]
    NoRoot,
    /// One of the bundle cannot serve as an authority.
    #[error("certificate {number} of the trust bundle cannot be used")]
    Root {
        /// Which one, counted from 1.
        number: usize,
    },
    /// The TLS library refuses.
    #[error("the TLS library refuses the credentials: {0}")]
    Refused(Box<str>),
}

/// What the configurations for callers are made from.
struct ServerParts {
    provider: Arc<CryptoProvider>,
    certificate: Arc<dyn ResolvesServerCert>,
    callers: Arc<Verifier>,
    tickets: Arc<Tickets>,
}

/// What all configurations towards others are made from.
struct ClientParts {
    provider: Arc<CryptoProvider>,
    roots: Arc<Roots>,
    certificate: Arc<dyn ResolvesClientCert>,
    sessions: Arc<dyn ClientSessionStore>,
}

/// The configurations towards one set of expected identities.
#[derive(Debug, Clone)]
struct Callee {
    verifier: Arc<Verifier>,
    requests: Arc<ClientConfig>,
    tunnels: Arc<ClientConfig>,
}

// === impl MeshTls ===

impl MeshTls {
    /// Makes the configurations.
    ///
    /// # Errors
    ///
    /// [`InvalidCredentials`]. A leaf that has expired is none: the handshake says so to the peer.
    pub fn build(credentials: &Credentials) -> Result<Self, InvalidCredentials> {
        Self::build_with_clock(credentials, Arc::new(DefaultTimeProvider))
    }

    /// The same, with a clock of the caller's for what is valid when.
    ///
    /// # Errors
    ///
    /// As [`MeshTls::build`].
    pub fn build_with_clock(
        credentials: &Credentials,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, InvalidCredentials> {
        let Credentials { chain, key: _, bundle, identity, not_after } = credentials;
        let provider = Arc::new(provider());
        let roots = Arc::new(Roots::new(bundle, identity.trust_domain(), &provider)?);
        let leaf = chain.first().ok_or(InvalidCredentials::NoCertificate)?;
        let got = roots.identify(leaf).map_err(InvalidCredentials::Identity)?;
        if got != *identity {
            return Err(InvalidCredentials::WrongIdentity { expected: identity.clone(), got });
        }
        let key = Arc::new(certified_key(credentials)?);
        let tickets = Tickets::new(*not_after, clock.clone()).map_err(refused)?;
        let server = ServerParts {
            provider: provider.clone(),
            certificate: Arc::new(SingleCertAndKey::from(key.clone())),
            callers: Arc::new(Verifier::new(roots.clone(), Expected::Anybody)),
            tickets: Arc::new(tickets),
        };
        // Fails for no caller if it does not fail for this one.
        server.for_one(&clock).map_err(refused)?;
        let client = ClientParts {
            provider,
            roots,
            certificate: Arc::new(SingleCertAndKey::from(key)),
            sessions: Arc::new(ClientSessionMemoryCache::new(SESSIONS_MAX)),
        };
        // Fails for no set of identities if it does not fail for this one.
        client.towards(&[], &clock).map_err(refused)?;
        Ok(Self {
            identity: identity.clone(),
            not_after: *not_after,
            server,
            client,
            clock,
            callees: Mutex::default(),
        })
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Until when our certificate is valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The server's side of one connection, for libraries that do the handshake themselves. The
    /// caller is then known by [`MeshTls::caller`].
    pub fn server_config(&self) -> ServerConfig {
        self.server.for_one(&self.clock).expect("it was made once with the same provider")
    }

    /// The client's side towards a peer that has to be one of `expected`, for libraries that do the
    /// handshake themselves. The server name they are given is not looked at.
    pub fn client_config(&self, expected: &[Identity], offer: Offer) -> Arc<ClientConfig> {
        self.callee(expected).config(offer).clone()
    }

    /// Who has connected, of a connection made with [`MeshTls::server_config`].
    ///
    /// # Errors
    ///
    /// [`IdentityRefused`], also when the handshake has not ended.
    pub fn caller(&self, conn: &ServerConnection) -> Result<PeerIdentity, IdentityRefused> {
        let leaf = conn.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.filter(|_| !conn.is_handshaking()).ok_or(IdentityRefused::NoCertificate)?;
        self.server.callers.check(leaf, self.now()).map(PeerIdentity)
    }

    fn now(&self) -> UnixTime {
        // A clock that cannot be read makes nothing valid: no certificate begins at the epoch.
        self.clock.current_time().unwrap_or(UnixTime::since_unix_epoch(Duration::ZERO))
    }

    fn callee(&self, expected: &[Identity]) -> Callee {
        let mut callees = self.callees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(callee) = callees.get(expected) {
            return callee.clone();
        }
        if callees.len() >= CALLEES_MAX {
            callees.clear();
        }
        let made = self.client.towards(expected, &self.clock);
        let callee = made.expect("it was made once with the same provider");
        callees.insert(expected.into(), callee.clone());
        callee
    }
}

impl fmt::Debug for MeshTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshTls").field("identity", &self.identity).finish_non_exhaustive()
    }
}

// === impl ServerParts ===

impl ServerParts {
    /// For one connection: its tickets say until when its caller's certificate is valid.
    fn for_one(&self, clock: &Arc<dyn TimeProvider>) -> Result<ServerConfig, rustls::Error> {
        let caller = Arc::new(OneCaller::new(self.callers.clone(), self.tickets.clone()));
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), clock.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(caller.clone())
            .with_cert_resolver(self.certificate.clone());
        config.alpn_protocols = Offer::Requests.names();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        config.ticketer = caller;
        Ok(config)
    }
}

// === impl ClientParts ===

impl ClientParts {
    fn towards(
        &self,
        expected: &[Identity],
        clock: &Arc<dyn TimeProvider>,
    ) -> Result<Callee, rustls::Error> {
        let verifier = Verifier::new(self.roots.clone(), Expected::OneOf(expected.into()));
        let verifier = Arc::new(verifier);
        let mut config = ClientConfig::builder_with_details(self.provider.clone(), clock.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(self.certificate.clone());
        config.enable_sni = false;
        // Sessions are shared: one counts only for the same verifier, so for the same identities.
        config.resumption = Resumption::store(self.sessions.clone());
        config.alpn_protocols = Offer::Tunnels.names();
        let tunnels = Arc::new(config.clone());
        config.alpn_protocols = Offer::Requests.names();
        Ok(Callee { verifier, requests: Arc::new(config), tunnels })
    }
}

// === impl Callee ===

impl Callee {
    fn config(&self, offer: Offer) -> &Arc<ClientConfig> {
        match offer {
            Offer::Requests => &self.requests,
            Offer::Tunnels => &self.tunnels,
        }
    }
}

// === impl PeerIdentity ===

impl PeerIdentity {
    /// The identity.
    pub fn identity(&self) -> &Identity {
        &self.0
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Alpn ===

impl Alpn {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weftway1 => "weftway/1",
            Self::H2 => "h2",
        }
    }

    fn from_bytes(name: &[u8]) -> Option<Self> {
        [Self::Weftway1, Self::H2].into_iter().find(|alpn| alpn.as_str().as_bytes() == name)
    }
}

// === impl Offer ===

impl Offer {
    fn names(self) -> Vec<Vec<u8>> {
        let offered: &[Alpn] = match self {
            Self::Requests => &[Alpn::Weftway1, Alpn::H2],
            Self::Tunnels => &[Alpn::H2],
        };
        offered.iter().map(|alpn| alpn.as_str().as_bytes().to_vec()).collect()
    }
}

// === functions ===

/// AES-128 first: as safe as the P-256 of the certificates, and a quarter cheaper than AES-256.
fn provider() -> CryptoProvider {
    use aws_lc_rs::{cipher_suite, kx_group};
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    }
}

fn certified_key(credentials: &Credentials) -> Result<CertifiedKey, InvalidCredentials> {
    // Borrowed, so that no copy of the key stays behind.
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(credentials.key.secret_der()));
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| InvalidCredentials::Key)?;
    let key = CertifiedKey::new(credentials.chain.clone(), key);
    key.keys_match().map_err(|_| InvalidCredentials::Mismatch)?;
    Ok(key)
}

fn refused(error: rustls::Error) -> InvalidCredentials {
    InvalidCredentials::Refused(error.to_string().into())
}
