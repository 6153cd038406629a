//! Where the control plane is, and how one gets there.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use weft_model::identity::Identity;
use weft_tls::Clock;
use weft_tls::mesh::{InvalidCredentials, MeshTls, Offer, joining_config};

/// Where the control plane is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    connect: Rc<dyn Connect>,
    /// `None` where the other end knows us by the connection itself.
    tls: Option<Rc<ControlPeer>>,
}

/// Who the control plane is to be, and how one gets a first certificate of it.
#[derive(Clone)]
pub struct ControlPeer {
    /// Its identity.
    pub identity: Identity,
    /// The roots that it may chain to, for as long as there is no certificate; later the bundle
    /// that comes with the certificate counts.
    pub roots: Vec<CertificateDer<'static>>,
    /// A join token, for the first certificate.
    pub token: Option<String>,
}

/// A way to the control plane.
pub trait Connect: fmt::Debug {
    /// A new connection. Cancel safe.
    fn connect(&self) -> Connecting<'_>;
}

/// A connection under way.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + 'a>>;

/// What carries bytes.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotConnect {
    /// Nobody answers, or not as expected.
    #[error("the control plane cannot be reached")]
    Io(#[from] io::Error),
    /// The roots that were given for the first connection cannot be used.
    #[error("the roots to know the control plane by cannot be used")]
    Roots(#[from] InvalidCredentials),
    /// Neither is there.
    #[error("there is neither a certificate nor a join token")]
    Nothing,
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) io: Box<dyn Transport>,
    /// How we are known.
    pub(crate) pass: Pass,
}

/// By what the control plane knows us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    /// By the connection itself, or by a valid certificate.
    Known,
    /// By a token: a certificate is to be had, and nothing else.
    Token(String),
    /// By a certificate that has ended: another one is to be had, and nothing else.
    Ended,
}

/// A certificate to prove oneself with.
#[derive(Clone, Copy)]
pub(crate) struct Proof<'a> {
    pub(crate) tls: &'a MeshTls,
    /// It is valid.
    pub(crate) is_valid: bool,
}

#[derive(Debug)]
struct Unix(PathBuf);

#[derive(Debug)]
struct Tcp(String);

// === impl Endpoint ===

impl Endpoint {
    /// A Unix socket, where the kernel says who we are.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self { connect: Rc::new(Unix(path.into())), tls: None }
    }

    /// A host and its port, such as `control.example:15010`, with TLS.
    pub fn tcp(host_and_port: impl Into<String>, peer: ControlPeer) -> Self {
        Self { connect: Rc::new(Tcp(host_and_port.into())), tls: Some(Rc::new(peer)) }
    }

    /// Another way; with a peer given, TLS is spoken on it.
    pub fn other(connect: Rc<dyn Connect>, peer: Option<ControlPeer>) -> Self {
        Self { connect, tls: peer.map(Rc::new) }
    }

    /// A connection, with the certificate that there is. Where one that has ended and a token are all
    /// there is, attempts take turns with them: the token may be used up, the certificate forgotten.
    ///
    /// Cancel safe.
    pub(crate) async fn connect(
        &self,
        proof: Option<Proof<'_>>,
        attempt: u64,
        clock: &Clock,
    ) -> Result<Connection, CannotConnect> {
        let Some(peer) = &self.tls else {
            return Ok(Connection { io: self.connect.connect().await?, pass: Pass::Known });
        };
        let with_certificate = |tls: &MeshTls| {
            let expected = [peer.identity.clone()];
            tls.client_config(&expected, Offer::Tunnels)
        };
        let (config, pass) = match (proof, &peer.token) {
            (Some(proof), _) if proof.is_valid => (with_certificate(proof.tls), Pass::Known),
            (Some(proof), token) if token.is_none() || attempt.is_multiple_of(2) => {
                (with_certificate(proof.tls), Pass::Ended)
            }
            (_, Some(token)) => {
                let config = joining_config(&peer.roots, &peer.identity, clock.provider())?;
                (config, Pass::Token(token.clone()))
            }
            (_, None) => return Err(CannotConnect::Nothing),
        };
        let io = self.connect.connect().await?;
        // Names play no part: the peer is known by its identity.
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])));
        let io = TlsConnector::from(Arc::clone(&config)).connect(name, io).await?;
        Ok(Connection { io: Box::new(io), pass })
    }
}

impl fmt::Debug for ControlPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPeer").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Connect for Unix {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async { Ok(Box::new(UnixStream::connect(&self.0).await?) as Box<dyn Transport>) })
    }
}

impl Connect for Tcp {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let stream = TcpStream::connect(self.0.as_str()).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}
