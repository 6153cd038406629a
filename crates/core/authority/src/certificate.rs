//! Certificates of authorities.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey as Parsed;

use crate::der::Reader;
use crate::fingerprint::Fingerprint;
use crate::signature::{OF_AUTHORITIES, PublicKey, Refused, Signed};
use crate::validity::{Validity, at_secs};

/// The fewest bits of an RSA key (NIST SP 800-131A).
const RSA_BITS_MIN: usize = 2048;

/// The certificate of an authority, of whatever origin. Cheap to clone; equal when every byte is.
#[derive(Clone)]
pub struct CaCertificate(Arc<Parts>);

struct Parts {
    der: CertificateDer<'static>,
    fingerprint: Fingerprint,
    subject: Box<str>,
    subject_name: Box<[u8]>,
    issuer_name: Box<[u8]>,
    key_id: Box<[u8]>,
    public_key_info: Box<[u8]>,
    validity: Validity,
    path_length: Option<u32>,
    anchor: TrustAnchor<'static>,
}

/// A certificate that no authority may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitCa {
    /// It is not X.509.
    #[error("it is not an X.509 certificate")]
    Malformed,
    /// It has no `CA:TRUE` (RFC 5280, section 4.2.1.9).
    #[error(
        "it is not a certificate authority's: issue it again with basicConstraints=critical,CA:TRUE"
    )]
    NotCa,
    /// Its key usage leaves out the signing of certificates (RFC 5280, section 4.2.1.3).
    #[error(
        "it may not sign certificates: issue it again with keyUsage=critical,keyCertSign,cRLSign"
    )]
    MayNotSign,
    /// Its key is of a kind or size that is not safe or not verified everywhere.
    #[error(
        "its key is too weak or of an unknown kind: take ECDSA P-256, P-384 or P-521, Ed25519, or \
         RSA from 2048 bits"
    )]
    WeakKey,
}

// === impl CaCertificate ===

impl CaCertificate {
    /// Reads and checks one. Its time and its issuer are not looked at.
    ///
    /// # Errors
    ///
    /// [`UnfitCa`], when no authority may have such a certificate.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, UnfitCa> {
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| UnfitCa::Malformed)?;
        if !rest.is_empty() {
            return Err(UnfitCa::Malformed);
        }
        let path_length = path_length(&parsed)?;
        if !is_strong(&parsed) {
            return Err(UnfitCa::WeakKey);
        }
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| UnfitCa::Malformed)?;
        let moment = |time: x509_parser::time::ASN1Time| {
            at_secs(u64::try_from(time.timestamp()).unwrap_or(0))
        };
        let validity = parsed.validity();
        let parts = Parts {
            fingerprint: Fingerprint::of(&der),
            subject: parsed.subject().to_string().into(),
            subject_name: parsed.subject().as_raw().into(),
            issuer_name: parsed.issuer().as_raw().into(),
            key_id: subject_key_id(&parsed).into(),
            public_key_info: parsed.public_key().raw.into(),
            validity: Validity::new(moment(validity.not_before), moment(validity.not_after)),
            path_length,
            anchor: anchor.to_owned(),
            der: der.clone(),
        };
        Ok(Self(Arc::new(parts)))
    }

    /// The certificate itself.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0.der
    }

    /// Its name in reports, logs and on the wire.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// Its subject, for people: `O=Weftway, CN=Weftway root 4f2a91c0`.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// From when until when it is valid.
    pub fn validity(&self) -> Validity {
        self.0.validity
    }

    /// Its subject as it was written, which is how certificates under it must write their issuer.
    pub(crate) fn subject_name(&self) -> &[u8] {
        &self.0.subject_name
    }

    /// What certificates under it say of its key (RFC 5280, section 4.2.1.1).
    pub(crate) fn key_id(&self) -> &[u8] {
        &self.0.key_id
    }

    /// How many authorities may stand between it and a leaf; `None` is without limit.
    pub(crate) fn path_length(&self) -> Option<u32> {
        self.0.path_length
    }

    /// As webpki trusts it.
    pub(crate) fn anchor(&self) -> &TrustAnchor<'static> {
        &self.0.anchor
    }

    /// Whether it names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.0.subject_name == self.0.issuer_name
    }

    /// Whether it names that one as its issuer.
    pub(crate) fn names_as_issuer(&self, issuer: &Self) -> bool {
        self.0.issuer_name == issuer.0.subject_name
    }

    /// Whether that one's key signed it.
    pub(crate) fn verify_signed_by(&self, issuer: &Self) -> Result<(), Refused> {
        let signed = Signed::parse(&self.0.der).map_err(|_| Refused::Signature)?;
        signed.verify(&issuer.public_key(), OF_AUTHORITIES)
    }

    /// Its public key.
    pub(crate) fn public_key(&self) -> PublicKey<'_> {
        PublicKey::read(&mut Reader::new(&self.0.public_key_info))
            .expect("checked when it was read")
    }
}

impl PartialEq for CaCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for CaCertificate {}

impl fmt::Debug for CaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaCertificate({} {})", self.subject(), self.fingerprint().short())
    }
}

/// How a key is named: a truncated SHA-256 (RFC 7093, method 1).
pub(crate) fn key_id(public_key: &[u8]) -> [u8; 20] {
    let digest = digest(&SHA256, public_key);
    digest.as_ref()[..20].try_into().expect("SHA-256 has 32 bytes")
}

/// Whether it may sign certificates, and how many authorities may follow.
fn path_length(parsed: &X509Certificate<'_>) -> Result<Option<u32>, UnfitCa> {
    let constraints = parsed.basic_constraints().map_err(|_| UnfitCa::Malformed)?;
    let constraints = constraints.filter(|found| found.value.ca).ok_or(UnfitCa::NotCa)?;
    let usage = parsed.key_usage().map_err(|_| UnfitCa::Malformed)?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(UnfitCa::MayNotSign);
    }
    Ok(constraints.value.path_len_constraint)
}

/// Whether some good algorithm verifies signatures of its key.
fn is_strong(parsed: &X509Certificate<'_>) -> bool {
    let raw = PublicKey::read(&mut Reader::new(parsed.public_key().raw));
    let Ok(raw) = raw else { return false };
    let is_known = OF_AUTHORITIES
        .iter()
        .any(|algorithm| algorithm.public_key_alg_id().as_ref() == raw.algorithm);
    is_known
        && match parsed.public_key().parsed() {
            Ok(Parsed::RSA(rsa)) => rsa.key_size() >= RSA_BITS_MIN,
            Ok(_) => true,
            Err(_) => false,
        }
}

fn subject_key_id(parsed: &X509Certificate<'_>) -> Vec<u8> {
    let written =
        parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
    written.unwrap_or_else(|| key_id(&parsed.public_key().subject_public_key.data).to_vec())
}
