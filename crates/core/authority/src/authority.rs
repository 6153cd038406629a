//! Signing for workloads.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use weft_model::identity::{Identity, TrustDomain};

use crate::bundle::TrustBundle;
use crate::csr::{InvalidCsr, prove_possession};
use crate::fingerprint::Fingerprint;
use crate::fleet::ProxyReport;
use crate::forecast::Forecast;
use crate::issuer::{Intermediate, Issuer, Unusable};
use crate::lifetimes::{InvalidLifetimes, Lifetimes};
use crate::pem;
use crate::rotation::{RefusedRotation, Rotation};
use crate::validity::Validity;

/// Signs for the workloads of one trust domain.
///
/// Cheap to clone: who changes it, by a rotation, changes a copy, keeps the copy on disk and then
/// puts it in the place of the other, while the other goes on signing.
#[derive(Debug, Clone)]
pub struct Authority {
    trust_domain: TrustDomain,
    lifetimes: Lifetimes,
    rotation: Rotation,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf, then the intermediates; without the root. What the holder presents.
    pub chain: Vec<CertificateDer<'static>>,
    /// What the holder accepts from others.
    pub bundle: TrustBundle,
    /// The root that the leaf chains to.
    pub root: Fingerprint,
    /// From when until when the leaf is valid.
    pub validity: Validity,
}

/// A certificate that is not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotIssue {
    /// The request is at fault.
    #[error("the signing request for {identity} is refused")]
    Csr {
        /// For whom.
        identity: Identity,
        /// Why.
        source: InvalidCsr,
    },
    /// The identity belongs to another authority.
    #[error("{identity} is not of the trust domain {ours}")]
    TrustDomain {
        /// For whom.
        identity: Identity,
        /// The trust domain of this authority.
        ours: TrustDomain,
    },
    /// The authority itself is not valid now: every proxy is without a way to renew.
    #[error("the authority cannot sign")]
    Unusable(#[from] Unusable),
}

// === impl Authority ===

impl Authority {
    /// An authority that signs with `issuer`.
    ///
    /// # Errors
    ///
    /// [`InvalidLifetimes`].
    pub fn new(
        trust_domain: TrustDomain,
        lifetimes: Lifetimes,
        issuer: Issuer,
    ) -> Result<Self, InvalidLifetimes> {
        lifetimes.check()?;
        Ok(Self { trust_domain, lifetimes, rotation: Rotation::new(issuer) })
    }

    /// An authority with a new root and a new intermediate.
    ///
    /// # Errors
    ///
    /// [`InvalidLifetimes`].
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn generate(
        trust_domain: TrustDomain,
        lifetimes: Lifetimes,
        now: SystemTime,
    ) -> Result<Self, InvalidLifetimes> {
        let issuer = Issuer::generate(&trust_domain, &lifetimes, now);
        Self::new(trust_domain, lifetimes, issuer)
    }

    pub(crate) fn from_parts(
        trust_domain: TrustDomain,
        lifetimes: Lifetimes,
        rotation: Rotation,
    ) -> Self {
        Self { trust_domain, lifetimes, rotation }
    }

    /// For whom it signs.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// How long its certificates live.
    pub fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Certificates that it makes from now on live so long.
    ///
    /// # Errors
    ///
    /// [`InvalidLifetimes`]; then nothing has changed.
    pub fn set_lifetimes(&mut self, lifetimes: Lifetimes) -> Result<(), InvalidLifetimes> {
        lifetimes.check()?;
        self.lifetimes = lifetimes;
        Ok(())
    }

    /// What signs, and what takes its place.
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// The same, to take a step of it.
    pub fn rotation_mut(&mut self) -> &mut Rotation {
        &mut self.rotation
    }

    /// What every proxy must accept now.
    pub fn bundle(&self) -> &TrustBundle {
        self.rotation.bundle()
    }

    /// Signs a request, DER or PEM, for an identity that the caller has attested. Names in the
    /// request are ignored.
    ///
    /// The certificate begins a minute before `now`, for clocks differ, and ends after the
    /// lifetime of leaves, or with the authority's own certificates if that is earlier.
    ///
    /// # Errors
    ///
    /// [`CannotIssue`].
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn sign(
        &self,
        csr: &[u8],
        identity: &Identity,
        now: SystemTime,
    ) -> Result<Issued, CannotIssue> {
        if identity.trust_domain() != self.trust_domain.as_str() {
            let (identity, ours) = (identity.clone(), self.trust_domain.clone());
            return Err(CannotIssue::TrustDomain { identity, ours });
        }
        let issuer = self.rotation.signing();
        issuer.check_usable(now)?;
        let key = prove_possession(csr)
            .map_err(|source| CannotIssue::Csr { identity: identity.clone(), source })?;
        let validity = self.lifetimes.of_leaf(now, issuer.not_after());
        let leaf = issuer.intermediate().sign(&key, identity, validity);
        let above = issuer.intermediate().chain().iter().map(|found| found.der().clone());
        Ok(Issued {
            chain: [leaf].into_iter().chain(above).collect(),
            bundle: self.bundle().clone(),
            root: issuer.root().certificate().fingerprint(),
            validity,
        })
    }

    /// A new root with a new intermediate, as [`Rotation::prepare`] takes them.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn new_issuer(&self, now: SystemTime) -> Issuer {
        Issuer::generate(&self.trust_domain, &self.lifetimes, now)
    }

    /// Makes a new intermediate under the same root, and lets it sign. To be done at
    /// [`Rotation::renew_intermediate_at`].
    ///
    /// # Errors
    ///
    /// [`RefusedRotation::NoRootKey`], [`RefusedRotation::NothingGained`] when the root leaves the
    /// new one no longer life, and as [`Rotation::replace_intermediate`].
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn renew_intermediate(
        &mut self,
        fleet: &[ProxyReport],
        now: SystemTime,
    ) -> Result<(), RefusedRotation> {
        let signing = self.rotation.signing();
        let new = Intermediate::generate(signing.root(), &self.trust_domain, &self.lifetimes, now)?;
        let end = |found: &Intermediate| found.certificate().validity().not_after;
        if end(&new) <= end(signing.intermediate()) {
            return Err(RefusedRotation::NothingGained);
        }
        self.rotation.replace_intermediate(new, fleet, now)
    }

    /// Which certificate ends when, and what breaks then.
    pub fn forecast(&self, fleet: &[ProxyReport], now: SystemTime) -> Forecast {
        Forecast::new(&self.rotation, &self.lifetimes, fleet, now)
    }
}

// === impl Issued ===

impl Issued {
    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|found| pem::block("CERTIFICATE", found)).collect()
    }
}
