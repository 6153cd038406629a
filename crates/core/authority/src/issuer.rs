//! Roots, intermediates under them, and the pair that signs.

mod supply;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use weft_model::identity::{Identity, TrustDomain};

use crate::certificate::{CaCertificate, key_id};
use crate::csr::ProvenKey;
use crate::encode::{self, Certificate, Signer};
use crate::fingerprint::Fingerprint;
use crate::key::CaKey;
use crate::lifetimes::Lifetimes;
use crate::span::Span;
use crate::validity::{Validity, since};

pub use supply::{InvalidSupply, Supply};

/// What proxies trust. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Root {
    certificate: CaCertificate,
    key: Option<Arc<CaKey>>,
}

/// What signs leaves, and the certificates that lead from it to its root. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intermediate {
    /// Its own first; never empty, without the root.
    chain: Arc<[CaCertificate]>,
    key: Arc<CaKey>,
    root: Fingerprint,
}

/// A root and the intermediate under it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Issuer {
    root: Root,
    intermediate: Intermediate,
}

/// A root whose key is kept elsewhere signs nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key of root `{subject}` is not here: supply an intermediate that was signed where it is kept"
)]
pub struct NoRootKey {
    /// The root's subject.
    pub subject: Box<str>,
}

/// An authority whose time is not now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It has ended.
    #[error("`{subject}` ended {} ago", Span(*.ago))]
    Ended {
        /// Its subject.
        subject: Box<str>,
        /// How long ago.
        ago: Duration,
    },
    /// It has not begun, or the clock is wrong.
    #[error("`{subject}` is valid only in {}; is the clock right?", Span(*.ahead))]
    NotYet {
        /// Its subject.
        subject: Box<str>,
        /// How far ahead.
        ahead: Duration,
    },
}

// === impl Root ===

impl Root {
    /// A new root, ECDSA P-256. One intermediate may stand between it and a leaf.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn generate(trust_domain: &TrustDomain, lifetimes: &Lifetimes, now: SystemTime) -> Self {
        let key = CaKey::generate();
        let subject = subject("root", &key);
        let own = Signer { name: &subject, key_id: &key_id(key.public_key()), key: &key };
        let certificate = Certificate {
            subject: &subject,
            validity: lifetimes.of_root(now),
            public_key_info: &key.public_key_info(),
            extensions: &encode::ca_extensions(trust_domain, key.public_key(), 1),
        };
        let certificate = readable(certificate.sign(&own));
        Self { certificate, key: Some(Arc::new(key)) }
    }

    pub(crate) fn from_parts(certificate: CaCertificate, key: Option<CaKey>) -> Self {
        Self { certificate, key: key.map(Arc::new) }
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Whether it can sign intermediates.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub(crate) fn key(&self) -> Option<&CaKey> {
        self.key.as_deref()
    }
}

// === impl Intermediate ===

impl Intermediate {
    /// A new intermediate, ECDSA P-256, that ends with its root at the latest. Nothing but leaves
    /// may stand under it, and none of them for a host name or an address.
    ///
    /// # Errors
    ///
    /// [`NoRootKey`].
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn generate(
        root: &Root,
        trust_domain: &TrustDomain,
        lifetimes: &Lifetimes,
        now: SystemTime,
    ) -> Result<Self, NoRootKey> {
        let above = &root.certificate;
        let root_key = root.key().ok_or_else(|| NoRootKey { subject: above.subject().into() })?;
        let key = CaKey::generate();
        let mut extensions = encode::ca_extensions(trust_domain, key.public_key(), 0);
        extensions.extend(encode::no_hosts());
        let certificate = Certificate {
            subject: &subject("intermediate", &key),
            validity: lifetimes.of_intermediate(now, above.validity().not_after),
            public_key_info: &key.public_key_info(),
            extensions: &extensions,
        };
        let by = Signer { name: above.subject_name(), key_id: above.key_id(), key: root_key };
        let certificate = readable(certificate.sign(&by));
        Ok(Self::from_parts([certificate].into(), key, above.fingerprint()))
    }

    pub(crate) fn from_parts(chain: Arc<[CaCertificate]>, key: CaKey, root: Fingerprint) -> Self {
        Self { chain, key: Arc::new(key), root }
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &CaCertificate {
        &self.chain[0]
    }

    /// Its own certificate, and those that lead from it to its root, without the root.
    pub fn chain(&self) -> &[CaCertificate] {
        &self.chain
    }

    /// The root that it leads to.
    pub fn root(&self) -> Fingerprint {
        self.root
    }

    pub(crate) fn key(&self) -> &CaKey {
        &self.key
    }

    /// A certificate for a workload.
    pub(crate) fn sign(
        &self,
        key: &ProvenKey,
        identity: &Identity,
        validity: Validity,
    ) -> CertificateDer<'static> {
        let own = self.certificate();
        let by = Signer { name: own.subject_name(), key_id: own.key_id(), key: &self.key };
        let leaf = Certificate {
            subject: &encode::no_name(),
            validity,
            public_key_info: &key.public_key_info,
            extensions: &encode::leaf_extensions(identity),
        };
        leaf.sign(&by)
    }
}

// === impl Issuer ===

impl Issuer {
    /// A new root and a new intermediate.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn generate(trust_domain: &TrustDomain, lifetimes: &Lifetimes, now: SystemTime) -> Self {
        let root = Root::generate(trust_domain, lifetimes, now);
        Self::under(root, trust_domain, lifetimes, now).expect("a new root has its key")
    }

    /// A new intermediate under a root.
    ///
    /// # Errors
    ///
    /// [`NoRootKey`].
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn under(
        root: Root,
        trust_domain: &TrustDomain,
        lifetimes: &Lifetimes,
        now: SystemTime,
    ) -> Result<Self, NoRootKey> {
        let intermediate = Intermediate::generate(&root, trust_domain, lifetimes, now)?;
        Ok(Self { root, intermediate })
    }

    /// A root and an intermediate that was made for it; `None` when it was not.
    pub fn new(root: Root, intermediate: Intermediate) -> Option<Self> {
        let fits = intermediate.root == root.certificate.fingerprint();
        fits.then_some(Self { root, intermediate })
    }

    /// What is trusted.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What signs.
    pub fn intermediate(&self) -> &Intermediate {
        &self.intermediate
    }

    /// All certificates: the intermediate's, what lies between, the root's.
    pub fn certificates(&self) -> impl Iterator<Item = &CaCertificate> {
        self.intermediate.chain.iter().chain([&self.root.certificate])
    }

    /// When the first of its certificates ends; leaves end by then.
    pub fn not_after(&self) -> SystemTime {
        let ends = self.certificates().map(|found| found.validity().not_after);
        ends.min().expect("the root is one of them")
    }

    /// Whether all of it is valid now.
    pub(crate) fn check_usable(&self, now: SystemTime) -> Result<(), Unusable> {
        self.certificates().try_for_each(|found| check_usable(found, now))
    }
}

pub(crate) fn check_usable(found: &CaCertificate, now: SystemTime) -> Result<(), Unusable> {
    let (subject, validity) = (Box::from(found.subject()), found.validity());
    if validity.has_ended(now) {
        return Err(Unusable::Ended { subject, ago: since(validity.not_after, now) });
    }
    if !validity.contains(now) {
        return Err(Unusable::NotYet { subject, ahead: since(now, validity.not_before) });
    }
    Ok(())
}

/// A subject that no other authority has: it names the key.
fn subject(what: &str, key: &CaKey) -> Vec<u8> {
    let id = Fingerprint::of(key.public_key()).short();
    encode::name(&format!("Weftway {what} {id}"))
}

fn readable(der: CertificateDer<'static>) -> CaCertificate {
    CaCertificate::from_der(der).expect("what we write is an authority's certificate")
}
