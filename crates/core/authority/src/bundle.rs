//! The certificates that a proxy accepts as roots of others.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use weft_model::identity::{Identity, InvalidIdentity};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::{CaCertificate, UnfitCa};
use crate::fingerprint::Fingerprint;
use crate::pem;
use crate::signature::OF_AUTHORITIES;
use crate::validity::{Validity, at_secs, since};

/// The certificates that a proxy accepts as roots of others, each once, in the order of their
/// fingerprints. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustBundle(Arc<BTreeMap<Fingerprint, CaCertificate>>);

/// A chain that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whom the leaf names.
    pub identity: Identity,
    /// The certificate of the bundle that the leaf chains to.
    pub root: Fingerprint,
    /// From when until when the leaf is valid.
    pub validity: Validity,
}

/// Bytes are not a trust bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBundle {
    /// They are not PEM, or hold no certificate.
    #[error("the trust bundle cannot be read: {0}")]
    Pem(String),
    /// One of them is not an authority's.
    #[error("certificate {number} of the trust bundle cannot be trusted")]
    Certificate {
        /// Which one, counted from 1.
        number: usize,
        /// Why not.
        source: UnfitCa,
    },
}

/// A chain that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It holds no certificate.
    #[error("no certificate was presented")]
    Empty,
    /// The leaf is not X.509.
    #[error("the certificate that was presented is not X.509")]
    Malformed,
    /// It does not lead to any root of the bundle, or is not valid now.
    #[error("the certificate that was presented is not accepted")]
    Chain(#[source] webpki::Error),
    /// It does not name exactly one URI (X509-SVID specification, section 2).
    #[error("the certificate that was presented names {0} URIs, not one")]
    Uris(usize),
    /// The URI is not an identity of a mesh.
    #[error("the certificate that was presented does not name a workload")]
    Identity(#[source] InvalidIdentity),
}

// === impl TrustBundle ===

impl TrustBundle {
    /// From PEM; whatever is not a certificate is passed over.
    ///
    /// # Errors
    ///
    /// [`InvalidBundle`], also when there is no certificate.
    pub fn from_pem(text: &[u8]) -> Result<Self, InvalidBundle> {
        let found =
            pem::certificates(text).map_err(|error| InvalidBundle::Pem(error.to_string()))?;
        Self::from_der(found)
    }

    /// From certificates, which may be none.
    ///
    /// # Errors
    ///
    /// [`InvalidBundle::Certificate`].
    pub fn from_der(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, InvalidBundle> {
        let read = |(index, der)| {
            CaCertificate::from_der(der)
                .map_err(|source| InvalidBundle::Certificate { number: index + 1, source })
        };
        certificates.into_iter().enumerate().map(read).collect()
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        self.certificates().map(|found| pem::block("CERTIFICATE", found.der())).collect()
    }

    /// What is in it.
    pub fn certificates(&self) -> impl Iterator<Item = &CaCertificate> {
        self.0.values()
    }

    /// The names of what is in it.
    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        self.0.keys().copied()
    }

    /// Whether that one is in it.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.contains_key(fingerprint)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What either of the two trusts.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.certificates().chain(other.certificates()).cloned().collect()
    }

    /// Verifies a chain, leaf first, as proxies do: signatures, times and constraints up to a root
    /// of this bundle, both ends of TLS allowed, and exactly one URI, which is an identity.
    ///
    /// # Errors
    ///
    /// [`Untrusted`].
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Verified, Untrusted> {
        let (leaf, intermediates) = chain.split_first().ok_or(Untrusted::Empty)?;
        let root = self.root_of(leaf, intermediates, now)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| Untrusted::Malformed)?;
        let identity = identity(&parsed)?;
        let validity = parsed.validity();
        let moment = |secs: i64| at_secs(u64::try_from(secs).unwrap_or(0));
        let validity = Validity::new(
            moment(validity.not_before.timestamp()),
            moment(validity.not_after.timestamp()),
        );
        Ok(Verified { identity, root, validity })
    }

    /// The same for a chain that may have ended: as of the last moment at which its leaf was valid.
    ///
    /// # Errors
    ///
    /// [`Untrusted`].
    pub fn verify_even_ended(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Verified, Untrusted> {
        match self.verify(chain, now) {
            // No leaf outlives its authorities, so it is the leaf that has.
            Err(Untrusted::Chain(webpki::Error::CertExpired { not_after, .. })) => {
                self.verify(chain, at_secs(not_after.as_secs()))
            }
            verified => verified,
        }
    }

    fn root_of(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Fingerprint, Untrusted> {
        let leaf = EndEntityCert::try_from(leaf).map_err(|_| Untrusted::Malformed)?;
        let anchors: Vec<TrustAnchor<'_>> =
            self.certificates().map(|root| root.anchor().clone()).collect();
        let now = UnixTime::since_unix_epoch(since(SystemTime::UNIX_EPOCH, now));
        let verify = |usage| {
            leaf.verify_for_usage(OF_AUTHORITIES, &anchors, intermediates, now, usage, None, None)
                .map_err(Untrusted::Chain)
        };
        verify(KeyUsage::client_auth())?;
        let path = verify(KeyUsage::server_auth())?;
        let root = self.certificates().find(|root| root.anchor() == path.anchor());
        Ok(root.expect("the anchors are those of the bundle").fingerprint())
    }
}

impl FromIterator<CaCertificate> for TrustBundle {
    fn from_iter<T: IntoIterator<Item = CaCertificate>>(certificates: T) -> Self {
        let keyed = certificates.into_iter().map(|found| (found.fingerprint(), found));
        Self(Arc::new(keyed.collect()))
    }
}

fn identity(leaf: &X509Certificate<'_>) -> Result<Identity, Untrusted> {
    let names = leaf.subject_alternative_name().map_err(|_| Untrusted::Malformed)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    match uris.as_slice() {
        [uri] => uri.parse().map_err(Untrusted::Identity),
        other => Err(Untrusted::Uris(other.len())),
    }
}
