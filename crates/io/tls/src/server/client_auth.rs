//! Client certificates: Traefik's five modes, and those that are pinned.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use weft_model::backend::SubjectAltName;
use weft_model::listener::{ClientAuth, PinnedClients};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::InvalidEntry;
use crate::certificate::{self, Name, alternative_names, sha256};
use crate::signatures::verify_signatures;

/// The verifier of a mode; `None` when no certificate is asked for.
pub(super) fn verifier(
    mode: &ClientAuth,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, InvalidEntry> {
    match mode {
        // Credentials of the mesh come and go, so that its handshakes have a configuration of their
        // own; this one shows no certificate, and fails.
        ClientAuth::None | ClientAuth::Mesh => Ok(None),
        ClientAuth::Request => Ok(Some(Arc::new(AnyCertificate::new(false)))),
        ClientAuth::RequireAny => Ok(Some(Arc::new(AnyCertificate::new(true)))),
        ClientAuth::VerifyIfGiven(authorities) => against(authorities, false).map(Some),
        ClientAuth::RequireAndVerify(authorities) => against(authorities, true).map(Some),
        ClientAuth::Pinned(pinned) => {
            let inner = against(&pinned.authorities, pinned.is_required)?;
            let names = pinned.names.iter().map(|name| match name {
                SubjectAltName::Dns(name) => Name::Dns(name.to_ascii_lowercase().into()),
                SubjectAltName::Uri(uri) => Name::Uri(uri.clone()),
            });
            let (names, pinned) = (names.collect(), Arc::clone(pinned));
            Ok(Some(Arc::new(PinnedCertificate { inner, names, pinned })))
        }
    }
}

fn against(
    authorities: &[u8],
    required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, InvalidEntry> {
    let mut roots = RootCertStore::empty();
    for der in certificate::chain(authorities).map_err(InvalidEntry::ClientAuthorities)? {
        roots.add(der).map_err(|error| InvalidEntry::ClientVerifier(error.to_string().into()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build();
    verifier.map_err(|error| InvalidEntry::ClientVerifier(error.to_string().into()))
}

/// Accepts any certificate, but the client must own its key: the signature over the handshake is
/// verified.
#[derive(Debug)]
struct AnyCertificate {
    required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyCertificate {
    fn new(required: bool) -> Self {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { required, algorithms }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    verify_signatures!(self, &self.algorithms);
}

/// Accepts what another verifier accepts, if it is one of a few.
#[derive(Debug)]
struct PinnedCertificate {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<Name>,
    pinned: Arc<PinnedClients>,
}

impl PinnedCertificate {
    fn has_name(&self, parsed: &X509Certificate<'_>) -> bool {
        self.names.is_empty() || alternative_names(parsed).any(|name| self.names.contains(&name))
    }

    fn has_hash(&self, leaf: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> bool {
        let PinnedClients { certificate_hashes, key_hashes, .. } = &*self.pinned;
        let is_one = |hashes: &[[u8; 32]], bytes: &[u8]| {
            !hashes.is_empty() && hashes.iter().any(|hash| sha256(bytes).as_ref() == hash)
        };
        certificate_hashes.is_empty() && key_hashes.is_empty()
            || is_one(certificate_hashes, leaf)
            || is_one(key_hashes, parsed.public_key().raw)
    }
}

impl ClientCertVerifier for PinnedCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(leaf, intermediates, now)?;
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if !self.has_name(&parsed) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        match self.has_hash(leaf, &parsed) {
            true => Ok(verified),
            false => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
