//! Certificate signing requests (PKCS #10, RFC 2986).
//!
//! All that a request is used for is the key, and the proof that the sender holds its other half.
//! Names and extensions in it are not even read: who the sender is, something else must say.

#[cfg(test)]
mod tests;

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    CertificateSigningRequestDer, PrivatePkcs8KeyDer, SignatureVerificationAlgorithm, alg_id,
};
use webpki::aws_lc_rs as verify;
use zeroize::Zeroizing;

use crate::der::{self, Malformed};
use crate::signature::{PublicKey, Refused, Signed};

/// The longest request that is looked at, bytes. One for a P-256 key without names has about 200.
pub const CSR_BYTES_MAX: usize = 16 * 1024;

/// What may sign a request, and so what keys are certified. RSA is left out: its signatures cost
/// the handshake of a proxy ten times as much.
static OF_WORKLOADS: &[&dyn SignatureVerificationAlgorithm] = &[
    verify::ECDSA_P256_SHA256,
    verify::ECDSA_P256_SHA384,
    verify::ECDSA_P384_SHA256,
    verify::ECDSA_P384_SHA384,
    verify::ED25519,
];

/// A fresh private key, and the request for its certificate. The key never leaves the process, and
/// is wiped from memory when this is dropped.
pub struct KeyRequest {
    key: Zeroizing<PrivatePkcs8KeyDer<'static>>,
    /// The request, without any name.
    pub csr: CertificateSigningRequestDer<'static>,
}

/// A public key whose other half the sender of a request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenKey {
    /// SubjectPublicKeyInfo, DER, written anew.
    pub(crate) public_key_info: Vec<u8>,
}

/// A request that is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCsr {
    /// It is longer than [`CSR_BYTES_MAX`].
    #[error("the signing request has {0} bytes: at most {CSR_BYTES_MAX} are read")]
    TooLong(usize),
    /// It is neither DER nor PEM of a request.
    #[error("the signing request is not PKCS #10, DER or PEM (`BEGIN CERTIFICATE REQUEST`)")]
    Malformed,
    /// Its key is not of a kind that is certified.
    #[error(
        "the key of the signing request is not certified here: take ECDSA P-256 or P-384 with \
         SHA-256 or SHA-384, or Ed25519"
    )]
    Key,
    /// It was not signed by its own key, so the sender may not hold it (RFC 2986, section 3).
    #[error("the signing request was not signed by the key that it asks a certificate for")]
    NoPossession,
}

/// Verifies that the sender of a request, DER or PEM, holds the key that is in it.
///
/// # Errors
///
/// [`InvalidCsr`].
pub fn prove_possession(csr: &[u8]) -> Result<ProvenKey, InvalidCsr> {
    if csr.len() > CSR_BYTES_MAX {
        return Err(InvalidCsr::TooLong(csr.len()));
    }
    if csr.first() == Some(&der::SEQUENCE) {
        return of_der(csr);
    }
    let csr = CertificateSigningRequestDer::from_pem_slice(csr);
    of_der(&csr.map_err(|_| InvalidCsr::Malformed)?)
}

fn of_der(csr: &[u8]) -> Result<ProvenKey, InvalidCsr> {
    let (signed, key) = parse(csr).map_err(|Malformed| InvalidCsr::Malformed)?;
    // An elliptic-curve point has other forms too, which not every peer reads (RFC 5480, 2.2).
    let is_ec =
        [alg_id::ECDSA_P256, alg_id::ECDSA_P384].iter().any(|ec| ec.as_ref() == key.algorithm);
    if is_ec && key.bytes.first() != Some(&4) {
        return Err(InvalidCsr::Key);
    }
    signed.verify(&key, OF_WORKLOADS).map_err(|refused| match refused {
        Refused::Algorithm => InvalidCsr::Key,
        Refused::Signature => InvalidCsr::NoPossession,
    })?;
    let algorithm = der::sequence(&[key.algorithm]);
    let public_key_info = der::sequence(&[&algorithm, &der::bit_string(key.bytes)]);
    Ok(ProvenKey { public_key_info })
}

fn parse(csr: &[u8]) -> Result<(Signed<'_>, PublicKey<'_>), Malformed> {
    let signed = Signed::parse(csr)?;
    let mut info = der::only(signed.message, der::SEQUENCE)?.parts();
    let version = info.expect(der::INTEGER)?;
    if version.content != [0] {
        return Err(Malformed);
    }
    let _subject = info.expect(der::SEQUENCE)?;
    let key = PublicKey::read(&mut info)?;
    let _attributes = info.expect(der::context_parts(0))?;
    info.end()?;
    Ok((signed, key))
}

// === impl KeyRequest ===

impl KeyRequest {
    /// A fresh key and its request.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn generate() -> Self {
        let made = || -> Result<Self, rcgen::Error> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            let csr = params.serialize_request(&key)?.into();
            Ok(Self { key: Zeroizing::new(key.into()), csr })
        };
        made().expect("the system has randomness, and there are no names that could be wrong")
    }

    /// The key: ECDSA P-256, PKCS#8.
    pub fn key(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.key
    }
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest").field("csr", &self.csr).finish_non_exhaustive()
    }
}
