//! Handshakes between proxies.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use weft_model::identity::Identity;
use weft_model::outcome::Reason;
use weft_net::buffer::Inbox;
use weft_net::{BufferPool, Stream};

use super::verifier::Verifier;
use super::{Alpn, IdentityRefused, MeshTls, Offer, PeerIdentity};
use crate::client_hello::Hello;
use crate::handshake::{HandshakeError, finish};
use crate::stream::{Session, TlsStream};

/// A connection whose two ends know each other.
#[derive(Debug)]
pub struct Established<S> {
    /// The connection.
    pub stream: TlsStream<S>,
    /// Who is at the other end.
    pub peer: PeerIdentity,
    /// What is spoken.
    pub alpn: Alpn,
    /// What becomes of our own identity at the other end.
    pub refusal: Refusal,
}

/// Tells later whether the peer has refused us. A server says so only after the client's side of
/// the handshake has ended (TLS 1.3), where it shows as a read that fails, perhaps deep inside
/// whatever reads.
#[derive(Debug, Clone, Default)]
pub struct Refusal(Rc<OnceCell<rustls::Error>>);

/// Who is called, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Where the connection leads; sessions are remembered by it.
    pub ip: IpAddr,
    /// Who may answer.
    pub expected: &'a [Identity],
    /// What is to be spoken.
    pub offer: Offer,
}

/// A handshake between proxies that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum MeshHandshakeError {
    /// One of the two does not accept who the other is.
    #[error("identity refused: {0}")]
    Identity(IdentityRefused),
    /// It failed for another reason.
    #[error(transparent)]
    Handshake(HandshakeError),
}

/// Does the server's side; `inbox` may hold the first bytes. The caller bounds the time.
///
/// Not cancel safe: dropping it closes the connection.
///
/// # Errors
///
/// [`MeshHandshakeError`]; the peer was sent the alert.
pub async fn accept<S: Stream>(
    io: S,
    inbox: Inbox,
    tls: &MeshTls,
) -> Result<Established<S>, MeshHandshakeError> {
    let config = Arc::new(tls.server_config());
    let session = Session::server(config).map_err(HandshakeError::Tls)?;
    establish(TlsStream::new(io, session, inbox, None, true), tls, &tls.server.callers).await
}

/// The same for a client that is no proxy, and is to speak one of `alpn`, whatever where there is
/// none. Its hello is still in the inbox.
///
/// Not cancel safe: dropping it closes the connection.
///
/// # Errors
///
/// [`MeshHandshakeError`]; the client was sent the alert.
pub async fn accept_client<S: Stream>(
    io: S,
    inbox: Inbox,
    hello: Hello,
    tls: &MeshTls,
    alpn: &[Box<str>],
) -> Result<TlsStream<S>, MeshHandshakeError> {
    let mut config = tls.server_config();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let session = Session::server(Arc::new(config)).map_err(HandshakeError::Tls)?;
    let stream = finish(TlsStream::new(io, session, inbox, hello.server_name, true)).await?;
    check(&stream, tls, &tls.server.callers)?;
    Ok(stream)
}

/// Does the client's side. The caller bounds the time.
///
/// Not cancel safe: dropping it closes the connection.
///
/// # Errors
///
/// [`MeshHandshakeError`]. That the peer refuses us shows later, in [`Established::refusal`].
pub async fn connect<S: Stream>(
    io: S,
    tls: &MeshTls,
    target: &Target<'_>,
    pool: &BufferPool,
) -> Result<Established<S>, MeshHandshakeError> {
    let callee = tls.callee(target.expected);
    let name = ServerName::IpAddress(target.ip.into());
    let config = callee.config(target.offer).clone();
    let session = Session::client(config, name).map_err(HandshakeError::Tls)?;
    let stream = TlsStream::new(io, session, Inbox::new(pool), None, true);
    establish(stream, tls, &callee.verifier).await
}

async fn establish<S: Stream>(
    mut stream: TlsStream<S>,
    tls: &MeshTls,
    verifier: &Verifier,
) -> Result<Established<S>, MeshHandshakeError> {
    let refusal = Refusal::default();
    stream.note_failure(refusal.0.clone());
    let stream = finish(stream).await?;
    let peer = check(&stream, tls, verifier)?;
    let alpn = stream.facts().alpn.and_then(Alpn::from_bytes);
    let alpn = alpn.ok_or(HandshakeError::Tls(rustls::Error::NoApplicationProtocol))?;
    Ok(Established { stream, peer, alpn, refusal })
}

/// Who is at the other end. Looked at once more: a resumed session was verified when it began. Only
/// a client may find something wrong here; where a server would, the session is not resumed, and the
/// handshake says what is wrong.
fn check<S: Stream>(
    stream: &TlsStream<S>,
    tls: &MeshTls,
    verifier: &Verifier,
) -> Result<PeerIdentity, MeshHandshakeError> {
    let facts = stream.facts();
    let leaf = facts.certificates.first().ok_or(IdentityRefused::NoCertificate);
    let peer = leaf.and_then(|leaf| verifier.check(leaf, tls.now()));
    peer.map(PeerIdentity).map_err(MeshHandshakeError::Identity)
}

// === impl Refusal ===

impl Refusal {
    /// Why the peer has refused us, once it has.
    pub fn reason(&self) -> Option<IdentityRefused> {
        self.0.get().and_then(IdentityRefused::of)
    }
}

// === impl MeshHandshakeError ===

impl MeshHandshakeError {
    /// The reason a request ends with because of it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Identity(_) => Reason::IdentityRefused,
            Self::Handshake(_) => Reason::UpstreamTls,
        }
    }
}

impl From<HandshakeError> for MeshHandshakeError {
    fn from(error: HandshakeError) -> Self {
        let refused = match &error {
            HandshakeError::Tls(error) => IdentityRefused::of(error),
            HandshakeError::Io(_)
            | HandshakeError::Closed
            | HandshakeError::Hello(_)
            | HandshakeError::NotSelected(_)
            | HandshakeError::Host(_) => None,
        };
        refused.map_or(Self::Handshake(error), Self::Identity)
    }
}
