//! Certificates and keys: whether they parse and belong together, and for which names.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use weft_model::listener::Certificate;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How long a certificate of [`self_signed`] is valid: browsers refuse more than 398 days.
const SELF_SIGNED_VALIDITY: Duration = Duration::from_secs(397 * 24 * 3600);

/// Clocks differ; a fresh certificate must not look as if it came from the future.
const SELF_SIGNED_BACKDATE: Duration = Duration::from_secs(24 * 3600);

/// A chain and key that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// The chain's PEM is malformed.
    #[error("the certificate chain is not valid PEM: {0}")]
    ChainPem(Box<str>),
    /// The chain holds no certificate.
    #[error("the chain has no `BEGIN CERTIFICATE` block; give the leaf first, then its issuers")]
    NoCertificate,
    /// The leaf is not X.509.
    #[error("the leaf is not a valid X.509 certificate")]
    Leaf,
    /// The key's PEM is malformed.
    #[error("the private key is not valid PEM: {0}")]
    KeyPem(Box<str>),
    /// There is no key.
    #[error("there is no `BEGIN PRIVATE KEY` block (PKCS#8, PKCS#1 or SEC1; not encrypted)")]
    NoKey,
    /// The key is of a kind that we cannot sign with.
    #[error(
        "the private key cannot be used; RSA from 2048 bits, ECDSA P-256 to P-521 and Ed25519 can"
    )]
    Key,
    /// The key is not the leaf's.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
}

/// A name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Dns(Box<str>),
    Uri(Box<str>),
    Ip(std::net::IpAddr),
}

/// A fresh self-signed certificate for the default entry: PEM of the chain and of its key (ECDSA
/// P-256), valid from a day before `now` for a year and a month.
///
/// # Panics
///
/// When the system has no randomness, or a name is no ASCII text.
pub fn self_signed(names: &[&str], now: SystemTime) -> (String, String) {
    let made = || -> Result<(String, String), rcgen::Error> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Weftway default certificate");
        params.not_before = (now - SELF_SIGNED_BACKDATE).into();
        params.not_after = (now + SELF_SIGNED_VALIDITY).into();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = rcgen::KeyPair::generate()?;
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    };
    made().expect("the system has randomness and the names are ASCII")
}

/// Parses a chain and key and checks that they belong together.
///
/// An expired certificate is not an error here: it is still better served than nothing.
pub(crate) fn load(certificate: &Certificate) -> Result<Arc<CertifiedKey>, InvalidCertificate> {
    let chain = chain(&certificate.chain_pem)?;
    X509Certificate::from_der(&chain[0]).map_err(|_| InvalidCertificate::Leaf)?;
    let key = PrivateKeyDer::from_pem_slice(&certificate.key_pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => InvalidCertificate::NoKey,
        error => InvalidCertificate::KeyPem(error.to_string().into()),
    })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map(Arc::new).map_err(
        |error| match error {
            rustls::Error::InconsistentKeys(_) => InvalidCertificate::Mismatch,
            rustls::Error::InvalidCertificate(_) => InvalidCertificate::Leaf,
            _ => InvalidCertificate::Key,
        },
    )
}

/// Parses the certificates of a PEM text; at least one.
pub(crate) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| InvalidCertificate::ChainPem(error.to_string().into()))?;
    if chain.is_empty() { Err(InvalidCertificate::NoCertificate) } else { Ok(chain) }
}

/// The names of the subject alternative name that a TLS peer can be known by.
pub(crate) fn alternative_names(parsed: &X509Certificate<'_>) -> impl Iterator<Item = Name> {
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map_or_else(Vec::new, |extension| {
        extension.value.general_names.iter().filter_map(name).collect()
    });
    names.into_iter()
}

/// What the owner of a certificate is told apart by: its first URI (a SPIFFE ID, say), else its first
/// DNS name, else the hash of the whole.
pub(crate) fn owner(leaf: &CertificateDer<'_>) -> Box<str> {
    let parsed = X509Certificate::from_der(leaf).map(|(_, parsed)| parsed);
    let names: Vec<Name> = parsed.iter().flat_map(alternative_names).collect();
    let uri = names.iter().find_map(|name| match name {
        Name::Uri(uri) => Some(uri),
        Name::Dns(_) | Name::Ip(_) => None,
    });
    let host = || {
        names.iter().find_map(|name| match name {
            Name::Dns(host) => Some(host),
            Name::Uri(_) | Name::Ip(_) => None,
        })
    };
    match uri.or_else(host) {
        Some(name) => name.clone(),
        None => sha256(leaf).as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The hash that TLS itself uses.
pub(crate) fn sha256(bytes: &[u8]) -> rustls::crypto::hash::Output {
    use rustls::SupportedCipherSuite::{Tls12, Tls13};
    let suite = match aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 {
        Tls13(suite) => &suite.common,
        Tls12(suite) => &suite.common,
    };
    suite.hash_provider.hash(bytes)
}

fn name(general: &GeneralName<'_>) -> Option<Name> {
    match general {
        GeneralName::DNSName(name) => Some(Name::Dns(name.to_ascii_lowercase().into())),
        GeneralName::URI(uri) => Some(Name::Uri((*uri).into())),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(Name::Ip([*a, *b, *c, *d].into())),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Name::Ip(bytes.into())),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
