//! Client certificates, in Traefik's five modes.

use std::sync::Arc;

use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DistinguishedName, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use weft_model::listener::ClientAuth;

use super::InvalidEntry;
use crate::certificate;
use crate::signatures::verify_signatures;

/// The verifier of a mode; `None` when no certificate is asked for.
pub(super) fn verifier(
    mode: &ClientAuth,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, InvalidEntry> {
    match mode {
        ClientAuth::None => Ok(None),
        ClientAuth::Request => Ok(Some(Arc::new(AnyCertificate::new(false)))),
        ClientAuth::RequireAny => Ok(Some(Arc::new(AnyCertificate::new(true)))),
        ClientAuth::VerifyIfGiven(authorities) => against(authorities, false).map(Some),
        ClientAuth::RequireAndVerify(authorities) => against(authorities, true).map(Some),
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
