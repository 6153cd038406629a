//! Verification of an upstream's certificate.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use weft_model::backend::SubjectAltName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::roots::Roots;
use crate::certificate::{Name, alternative_names};
use crate::signatures::verify_signatures;

/// Verifies the chain against authorities, then the server name or, if any are configured, that
/// one of the expected alternative names is there.
#[derive(Debug)]
pub(super) struct UpstreamVerifier {
    roots: Arc<Roots>,
    expected: Vec<SubjectAltName>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Accepts any certificate whose key the server owns.
#[derive(Debug)]
pub(super) struct AnyServer(WebPkiSupportedAlgorithms);

// === impl UpstreamVerifier ===

impl UpstreamVerifier {
    pub(super) fn new(
        roots: Arc<Roots>,
        expected: &[SubjectAltName],
        provider: &CryptoProvider,
    ) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { roots, expected: expected.to_vec(), algorithms }
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let verified = verify_server_cert_signed_by_trust_anchor(
            parsed,
            &self.roots.store,
            intermediates,
            now,
            self.algorithms.all,
        );
        // A self-signed certificate as `openssl req -x509` makes it is its own authority, which
        // webpki does not take as a leaf. Whoever configured this very certificate as authority
        // trusts it; Go's clients accept it too.
        match verified {
            Err(Error::InvalidCertificate(reason)) if self.roots.given.contains(leaf) => {
                match reason {
                    CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. } => {
                        Err(Error::InvalidCertificate(reason))
                    }
                    _ => in_time(leaf, now),
                }
            }
            verified => verified,
        }
    }

    fn verify_names(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        server_name: &ServerName<'_>,
    ) -> Result<(), Error> {
        if self.expected.is_empty() {
            return verify_server_name(parsed, server_name);
        }
        let (_, certificate) = X509Certificate::from_der(leaf)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let names: Vec<Name> = alternative_names(&certificate).collect();
        let fits = |expected: &SubjectAltName| match expected {
            SubjectAltName::Uri(uri) => names.contains(&Name::Uri(uri.clone())),
            SubjectAltName::Dns(name) => {
                names.contains(&Name::Dns(name.to_ascii_lowercase().into()))
                    || ServerName::try_from(&**name)
                        .is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
            }
        };
        if self.expected.iter().any(fits) {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }
}

fn in_time(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, certificate) = X509Certificate::from_der(leaf)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let now = now.as_secs() as i64;
    let validity = certificate.validity();
    if now < validity.not_before.timestamp() {
        Err(Error::InvalidCertificate(CertificateError::NotValidYet))
    } else if now > validity.not_after.timestamp() {
        Err(Error::InvalidCertificate(CertificateError::Expired))
    } else {
        Ok(())
    }
}

impl ServerCertVerifier for UpstreamVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        self.verify_chain(leaf, &parsed, intermediates, now)?;
        self.verify_names(leaf, &parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!(self, &self.algorithms);
}

// === impl AnyServer ===

impl AnyServer {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!(self, &self.0);
}
