//! Why no connection to an upstream could be had.

use std::io;
use std::time::Duration;

use weft_http::h2::OpenError;
use weft_model::outcome::Reason;
use weft_tls::mesh::{IdentityRefused, MeshHandshakeError};

pub use crate::bound::Overflow;
pub use crate::tunnel::ProxyError;

/// No endpoint can be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The backend has none.
    #[error("the backend has no endpoint")]
    NoEndpoint,
    /// All are unhealthy, set aside, or were tried.
    #[error("the backend has no healthy endpoint left to try")]
    NoHealthyEndpoint,
    /// As many requests as may be are under way.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// An endpoint could not be connected to. Nothing of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP failed.
    #[error("connecting failed")]
    Tcp(#[source] io::Error),
    /// It took too long.
    #[error("connecting timed out")]
    Timeout,
    /// No connection may be made, and none was to be had; or as many requests wait for one as may.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// The proxy that stands at the endpoint gave no tunnel.
    #[error("the proxy at the endpoint does not lead on")]
    Proxy(#[source] ProxyError),
    /// TLS failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] weft_tls::HandshakeError),
    /// The HTTP/2 connection could not be set up.
    #[error("the HTTP/2 handshake failed")]
    H2(#[source] weft_http::h2::Error),
    /// The endpoint is reached by proving who one is, and this process cannot yet.
    #[error("this proxy has no certificate of the mesh yet")]
    NoCertificate,
    /// This process cannot prove any more who it is.
    #[error("this proxy's certificate expired {} s ago, and it was given no other", .0.as_secs())]
    CertificateExpired(Duration),
    /// The proxy beside the endpoint did not prove to be who it has to be, or does not take us for
    /// who we are.
    #[error("identity refused")]
    Identity(#[source] IdentityRefused),
    /// The proxy beside the endpoint would not, or could not, lead on to it.
    #[error("the proxy beside the endpoint does not lead to it")]
    Tunnel(#[source] OpenError),
}

// === impl PickError ===

impl PickError {
    /// What the request ends with.
    pub fn reason(self) -> Reason {
        match self {
            Self::NoEndpoint => Reason::NoEndpoint,
            Self::NoHealthyEndpoint => Reason::NoHealthyEndpoint,
            Self::Overflow(overflow) => overflow.reason(),
        }
    }
}

// === impl ConnectError ===

impl ConnectError {
    /// What the request ends with, if it is not tried again.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Tcp(_) => Reason::ConnectFailed,
            Self::Timeout => Reason::ConnectTimeout,
            Self::Overflow(overflow) => overflow.reason(),
            Self::Proxy(_) => Reason::ConnectFailed,
            Self::Tls(_) => Reason::UpstreamTls,
            Self::H2(_) => Reason::UpstreamProtocol,
            Self::NoCertificate | Self::CertificateExpired(_) => Reason::NoCertificate,
            Self::Identity(_) => Reason::IdentityRefused,
            Self::Tunnel(OpenError::Refused(answer)) => match answer.status() {
                // It knows who we are, and that we may not.
                401 | 403 => Reason::IdentityRefused,
                504 => Reason::ConnectTimeout,
                _ => Reason::ConnectFailed,
            },
            Self::Tunnel(OpenError::Send(_) | OpenError::Answer(_)) => Reason::ConnectFailed,
        }
    }

    /// Whether the other side has ended a new connection in order, before it has taken anything.
    pub fn is_goodbye(&self) -> bool {
        matches!(self, Self::H2(error) if error.is_goodbye())
    }

    /// Whether it is the same at every endpoint of the backend: a bound on them all.
    pub fn is_backends(&self) -> bool {
        matches!(self, Self::Overflow(Overflow::Backend(_) | Overflow::Adaptive(_)))
    }
}

impl From<MeshHandshakeError> for ConnectError {
    fn from(error: MeshHandshakeError) -> Self {
        match error {
            MeshHandshakeError::Identity(refused) => Self::Identity(refused),
            MeshHandshakeError::Handshake(error) => Self::Tls(error),
        }
    }
}
