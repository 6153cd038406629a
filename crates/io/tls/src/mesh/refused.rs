//! Why an identity is refused.

use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error, OtherError};
use rustls_pki_types::UnixTime;
use weft_model::identity::{Identity, InvalidIdentity};

use crate::handshake;

/// Why an identity is refused: the peer's by us, or ours by the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefused {
    /// The peer has shown no certificate.
    #[error("the peer has shown no certificate")]
    NoCertificate,
    /// The certificate is not X.509.
    #[error("the certificate is malformed")]
    Malformed,
    /// It does not chain to any root of the bundle.
    #[error("the certificate is from an unknown authority; is it of the same mesh?")]
    UnknownAuthority,
    /// It is past its end.
    #[error("the certificate expired {} s ago", ago.as_secs())]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// It is not valid yet.
    #[error("the certificate is valid only in {} s; compare the clocks", ahead.as_secs())]
    NotYetValid {
        /// How long until then.
        ahead: Duration,
    },
    /// It may not be used for this side of TLS.
    #[error("the certificate is not for this end of a TLS connection")]
    Purpose,
    /// It is an authority's, or may sign certificates (X509-SVID specification, sections 4.1, 4.3).
    #[error("the certificate is an authority's, not a workload's")]
    Authority,
    /// Its chain breaks a rule of X.509.
    #[error("the certificate chain is not acceptable: {0}")]
    Chain(Box<str>),
    /// It does not have exactly one URI (X509-SVID specification, section 2).
    #[error("the certificate has no SPIFFE id: it has {0} URIs, not one")]
    NoSpiffeId(usize),
    /// Its URI is not the SPIFFE id of a workload.
    #[error("the certificate has no SPIFFE id of a workload: {0}")]
    InvalidSpiffeId(InvalidIdentity),
    /// It is of another trust domain.
    #[error("wrong trust domain: expected {expected}, got {got}")]
    TrustDomain {
        /// Ours.
        expected: Box<str>,
        /// Who the peer is.
        got: Identity,
    },
    /// It is somebody else.
    #[error("wrong identity: expected {}, got {got}", any(expected))]
    Unexpected {
        /// Who would be accepted.
        expected: Box<[Identity]>,
        /// Who the peer is.
        got: Identity,
    },
    /// The peer has refused our certificate.
    #[error("{}", handshake::received(*.0))]
    ByPeer(AlertDescription),
}

// === impl IdentityRefused ===

impl IdentityRefused {
    /// What a failure of TLS says about identities; `None` when it is about something else.
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::NoCertificatesPresented => Some(Self::NoCertificate),
            Error::InvalidCertificate(reason) => Some(Self::of_certificate(reason)),
            Error::AlertReceived(
                alert @ (AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::AccessDenied),
            ) => Some(Self::ByPeer(*alert)),
            _ => None,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<Self>() {
                Some(refused) => refused.clone(),
                None => Self::Chain(inner.to_string().into()),
            },
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::BadEncoding => Self::Malformed,
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { ago: between(*not_after, *time) }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { ahead: between(*time, *not_before) }
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            error => Self::Chain(error.to_string().into()),
        }
    }

    /// As the TLS library wants it: with the alert that tells the peer most.
    pub(super) fn into_tls(self, now: UnixTime) -> Error {
        let moment = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let now_secs = now.as_secs();
        Error::InvalidCertificate(match self {
            Self::NoCertificate => return Error::NoCertificatesPresented,
            Self::ByPeer(alert) => return Error::AlertReceived(alert),
            Self::UnknownAuthority => CertificateError::UnknownIssuer,
            Self::Malformed => CertificateError::BadEncoding,
            Self::Expired { ago } => CertificateError::ExpiredContext {
                time: now,
                not_after: moment(now_secs.saturating_sub(ago.as_secs())),
            },
            Self::NotYetValid { ahead } => CertificateError::NotValidYetContext {
                time: now,
                not_before: moment(now_secs.saturating_add(ahead.as_secs())),
            },
            Self::Purpose => CertificateError::InvalidPurpose,
            other @ (Self::Authority
            | Self::Chain(_)
            | Self::NoSpiffeId(_)
            | Self::InvalidSpiffeId(_)
            | Self::TrustDomain { .. }
            | Self::Unexpected { .. }) => CertificateError::Other(OtherError(Arc::new(other))),
        })
    }
}

impl From<webpki::Error> for IdentityRefused {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::CertExpired { time, not_after } => {
                Self::Expired { ago: between(not_after, time) }
            }
            webpki::Error::CertNotValidYet { time, not_before } => {
                Self::NotYetValid { ahead: between(time, not_before) }
            }
            // A root of the same name with another key is unknown, too.
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                Self::UnknownAuthority
            }
            webpki::Error::RequiredEkuNotFoundContext(_) => Self::Purpose,
            webpki::Error::CaUsedAsEndEntity => Self::Authority,
            error => Self::Chain(error.to_string().into()),
        }
    }
}

fn between(from: UnixTime, to: UnixTime) -> Duration {
    Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()))
}

/// The identities, for people.
fn any(expected: &[Identity]) -> String {
    let expected: Vec<&str> = expected.iter().map(Identity::as_str).collect();
    if expected.is_empty() { "nobody".into() } else { expected.join(" or ") }
}
