//! Identities of a mesh: an authority and its X.509-SVIDs.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// How long an SVID of [`MeshAuthority::svid`] is valid, as in a mesh.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Clocks differ.
const BACKDATE: Duration = Duration::from_secs(60);

/// An authority that vouches for workloads.
#[derive(Debug)]
pub struct MeshAuthority {
    root: CertificateDer<'static>,
    /// What a leaf is shown with: the authorities between it and the root, lowest first.
    chain: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that names a workload, with its key.
#[derive(Debug)]
pub struct Svid {
    /// The leaf, then its issuers without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivatePkcs8KeyDer<'static>,
    /// The root it chains to.
    pub root: CertificateDer<'static>,
    /// Until when the leaf is valid.
    pub not_after: SystemTime,
}

// === impl MeshAuthority ===

impl MeshAuthority {
    /// A new root of that common name.
    pub fn new(name: &str) -> Self {
        let (params, key) = (ca_params(name), KeyPair::generate().unwrap());
        let root = params.self_signed(&key).unwrap().into();
        Self { root, chain: Vec::new(), issuer: Issuer::new(params, key) }
    }

    /// An intermediate under this authority.
    #[must_use]
    pub fn under(&self, name: &str) -> Self {
        let (params, key) = (ca_params(name), KeyPair::generate().unwrap());
        let own = params.signed_by(&key, &self.issuer).unwrap().into();
        let mut chain = vec![own];
        chain.extend_from_slice(&self.chain);
        Self { root: self.root.clone(), chain, issuer: Issuer::new(params, key) }
    }

    /// The root, DER.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// A leaf with that one URI, valid now and for a day.
    pub fn svid(&self, id: &str) -> Svid {
        self.svid_with(id, |_| {})
    }

    /// The same after `change`: other times, names or usages.
    pub fn svid_with(&self, id: &str, change: impl FnOnce(&mut CertificateParams)) -> Svid {
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        (params.not_before, params.not_after) = ((now - BACKDATE).into(), (now + LIFETIME).into());
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![leaf.into()];
        chain.extend_from_slice(&self.chain);
        Svid {
            chain,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
            root: self.root.clone(),
            not_after: params.not_after.into(),
        }
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
