//! Why no connection to an upstream could be had.

use std::io;

use weft_model::outcome::Reason;

/// No endpoint can be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The backend has none.
    #[error("the backend has no endpoint")]
    NoEndpoint,
    /// All are unhealthy, set aside, or were tried.
    #[error("the backend has no healthy endpoint left to try")]
    NoHealthyEndpoint,
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
    /// TLS failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] weft_tls::HandshakeError),
    /// The HTTP/2 connection could not be set up.
    #[error("the HTTP/2 handshake failed")]
    H2(#[source] h2::Error),
}

// === impl PickError ===

impl PickError {
    /// What the request ends with.
    pub fn reason(self) -> Reason {
        match self {
            Self::NoEndpoint => Reason::NoEndpoint,
            Self::NoHealthyEndpoint => Reason::NoHealthyEndpoint,
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
            Self::Tls(_) => Reason::UpstreamTls,
            Self::H2(_) => Reason::UpstreamProtocol,
        }
    }
}
