//! Verification of a peer by its SPIFFE id, the same for either side (X509-SVID specification,
//! section 5).

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DistinguishedName, Error};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use weft_model::identity::Identity;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{IdentityRefused, InvalidCredentials};
use crate::certificate::{Name, alternative_names};
use crate::signatures::verify_tls13_signatures;

/// Whom we trust to say who is who.
#[derive(Debug)]
pub(super) struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    trust_domain: Box<str>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Who is accepted.
#[derive(Debug)]
pub(super) enum Expected {
    /// Everybody of the trust domain.
    Anybody,
    /// These alone.
    OneOf(Box<[Identity]>),
}

/// Accepts peers of the trust domain whom one expects.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<Roots>,
    expected: Expected,
}

// === impl Roots ===

impl Roots {
    pub(super) fn new(
        bundle: &[CertificateDer<'static>],
        trust_domain: &str,
        provider: &CryptoProvider,
    ) -> Result<Self, InvalidCredentials> {
        if bundle.is_empty() {
            return Err(InvalidCredentials::NoRoot);
        }
        let anchor = |(index, der)| match webpki::anchor_from_trusted_cert(der) {
            Ok(anchor) => Ok(anchor.to_owned()),
            Err(_) => Err(InvalidCredentials::Root { number: index + 1 }),
        };
        Ok(Self {
            anchors: bundle.iter().enumerate().map(anchor).collect::<Result<_, _>>()?,
            trust_domain: trust_domain.into(),
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Whom a leaf names. Signatures and times are not looked at.
    pub(super) fn identify(&self, leaf: &CertificateDer<'_>) -> Result<Identity, IdentityRefused> {
        self.identify_parsed(&parse(leaf)?)
    }

    fn identify_parsed(&self, leaf: &X509Certificate<'_>) -> Result<Identity, IdentityRefused> {
        let usage = leaf.key_usage().map_err(|_| IdentityRefused::Malformed)?;
        if usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign()) {
            return Err(IdentityRefused::Authority);
        }
        let mut uris = alternative_names(leaf).filter_map(|name| match name {
            Name::Uri(uri) => Some(uri),
            Name::Dns(_) | Name::Ip(_) => None,
        });
        let uri = match (uris.next(), uris.count()) {
            (Some(uri), 0) => uri,
            (first, more) => {
                return Err(IdentityRefused::NoSpiffeId(usize::from(first.is_some()) + more));
            }
        };
        let got: Identity = uri.parse().map_err(IdentityRefused::InvalidSpiffeId)?;
        if got.trust_domain() == &*self.trust_domain {
            Ok(got)
        } else {
            Err(IdentityRefused::TrustDomain { expected: self.trust_domain.clone(), got })
        }
    }
}

// === impl Verifier ===

impl Verifier {
    pub(super) fn new(roots: Arc<Roots>, expected: Expected) -> Self {
        Self { roots, expected }
    }

    /// Who the owner of a leaf is, if it is valid now and one whom we expect. That the chain was
    /// verified is the caller's to know: the handshake did it, perhaps that of an earlier session.
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<Identity, IdentityRefused> {
        let leaf = parse(leaf)?;
        in_time(&leaf, now)?;
        let got = self.roots.identify_parsed(&leaf)?;
        match &self.expected {
            Expected::OneOf(expected) if !expected.contains(&got) => {
                Err(IdentityRefused::Unexpected { expected: expected.clone(), got })
            }
            Expected::OneOf(_) | Expected::Anybody => Ok(got),
        }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let verified = || -> Result<(), IdentityRefused> {
            let cert = EndEntityCert::try_from(leaf).map_err(|_| IdentityRefused::Malformed)?;
            let Roots { anchors, algorithms, .. } = &*self.roots;
            cert.verify_for_usage(algorithms.all, anchors, intermediates, now, usage, None, None)?;
            self.check(leaf, now).map(drop)
        };
        verified().map_err(|refused| refused.into_tls(now))
    }

    /// By which a peer may prove that it owns its key.
    pub(super) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.roots.algorithms
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(leaf, intermediates, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    verify_tls13_signatures!(self, self.algorithms());
}

impl ClientCertVerifier for Verifier {
    /// None: while a root takes over from another, the client is not to guess.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(leaf, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    verify_tls13_signatures!(self, self.algorithms());
}

// === functions ===

/// Until when a leaf is valid, seconds since 1970.
pub(super) fn not_after_secs(leaf: &CertificateDer<'_>) -> Result<u64, IdentityRefused> {
    let until = parse(leaf)?.validity().not_after.timestamp();
    Ok(u64::try_from(until).unwrap_or(0))
}

fn parse<'a>(leaf: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IdentityRefused> {
    let parsed = X509Certificate::from_der(leaf);
    parsed.map(|(_, parsed)| parsed).map_err(|_| IdentityRefused::Malformed)
}

fn in_time(leaf: &X509Certificate<'_>, now: UnixTime) -> Result<(), IdentityRefused> {
    let now = now.as_secs();
    let secs = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let (from, until) = (secs(leaf.validity().not_before), secs(leaf.validity().not_after));
    if now > until {
        Err(IdentityRefused::Expired { ago: Duration::from_secs(now - until) })
    } else if now < from {
        Err(IdentityRefused::NotYetValid { ahead: Duration::from_secs(from - now) })
    } else {
        Ok(())
    }
}
