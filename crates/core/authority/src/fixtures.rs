//! What the tests of this crate share.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls_pki_types::CertificateDer;
use weft_model::id::WorkloadName;
use weft_model::identity::{Identity, TrustDomain};

use crate::authority::{Authority, Issued};
use crate::csr::KeyRequest;
use crate::fingerprint::Fingerprint;
use crate::fleet::{LeafReport, ProxyReport};
use crate::lifetimes::Lifetimes;
use crate::pem;
use crate::validity::{Validity, at_secs};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A moment in 2027.
pub(crate) fn now() -> SystemTime {
    at_secs(1_800_000_000)
}

pub(crate) fn identity(service_account: &str) -> Identity {
    Identity::new(&TrustDomain::default(), "shop", service_account).unwrap()
}

pub(crate) fn authority() -> Authority {
    Authority::generate(TrustDomain::default(), Lifetimes::default(), now()).unwrap()
}

pub(crate) fn issue(authority: &Authority, at: SystemTime) -> Issued {
    authority.sign(&KeyRequest::generate().csr, &identity("payments"), at).unwrap()
}

/// A live proxy with a certificate under `root` that has 12 hours left, heard of 3 s ago.
pub(crate) fn report(name: &str, trusts: &[Fingerprint], root: Fingerprint) -> ProxyReport {
    let leaf = LeafReport {
        identity: identity(name),
        root,
        validity: Validity::new(now() - 12 * HOUR, now() + 12 * HOUR),
    };
    ProxyReport {
        proxy: WorkloadName::new(format!("shop/{name}")),
        trusts: trusts.iter().copied().collect(),
        leaf: Some(leaf),
        reported_at: now() - Duration::from_secs(3),
    }
}

/// An authority of the operator's, made by something else than this crate.
pub(crate) struct Foreign {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

// === impl Foreign ===

impl Foreign {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, KeyPair::generate().unwrap(), |_| {})
    }

    pub(crate) fn root_with(
        name: &str,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = ca_params(name);
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap().into();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Another authority under this one.
    pub(crate) fn under(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        self.under_with(name, KeyPair::generate().unwrap(), change)
    }

    pub(crate) fn under_with(
        &self,
        name: &str,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = ca_params(name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().into();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A leaf under this one that names these URIs.
    pub(crate) fn leaf(
        &self,
        uris: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (now().into(), (now() + DAY).into());
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names = uris.collect();
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().into()
    }

    pub(crate) fn pem(&self) -> String {
        pem::block("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = ((now() - DAY).into(), (now() + 365 * DAY).into());
    params
}
