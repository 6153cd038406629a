//! Authorities that an operator supplies as PEM.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use weft_model::identity::{Identity, TrustDomain};

use super::{Intermediate, Issuer, NoRootKey, Root, Unusable, check_usable};
use crate::bundle::TrustBundle;
use crate::certificate::{CaCertificate, UnfitCa};
use crate::csr::{KeyRequest, prove_possession};
use crate::key::CaKey;
use crate::lifetimes::Lifetimes;
use crate::pem::{self, BadPem, Pem};
use crate::signature::Refused;
use crate::validity::Validity;

/// What an operator supplies for an authority.
#[derive(Debug, Clone, Copy)]
pub struct Supply<'a> {
    /// The certificate of the root.
    pub root: Pem<'a>,
    /// Its key. Without it there must be an intermediate.
    pub root_key: Option<Pem<'a>>,
    /// An intermediate, with what leads from it to the root, and its key. Without it one is made.
    pub intermediate: Option<(Pem<'a>, Pem<'a>)>,
}

/// A supplied authority that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be used: {problem}")]
pub struct InvalidSupply {
    /// Which of the texts, as the caller calls it.
    pub name: Box<str>,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Pem(#[from] BadPem),
    #[error("certificate {number} in it, {}", .unfit)]
    Unfit { number: usize, unfit: UnfitCa },
    #[error(transparent)]
    NoRootKey(#[from] NoRootKey),
    #[error("{0}; supply one that is valid now")]
    Unusable(#[from] Unusable),
    #[error("its root certificate must be alone in it, but there are {0}")]
    ManyRoots(usize),
    #[error("`{subject}` in it is not self-signed: supply the root, which ends the chain")]
    NotSelfSigned { subject: Box<str> },
    #[error(
        "its key is of a kind that does not sign here: take ECDSA P-256 or P-384, Ed25519, or RSA"
    )]
    Key,
    #[error("its key does not belong to `{subject}`: supply the two that were made together")]
    Mismatch { subject: Box<str> },
    #[error(
        "its chain is not complete: `{lower}` was not issued by `{upper}`, which follows it; give \
         the intermediate first, then whatever leads from it to the root"
    )]
    Gap { lower: Box<str>, upper: Box<str> },
    #[error("`{lower}` in it names `{upper}` as its issuer, but was not signed by its key")]
    Forged { lower: Box<str>, upper: Box<str> },
    #[error("`{lower}` in it is signed by an algorithm that is too weak: issue it again")]
    WeakSignature { lower: Box<str> },
    #[error(
        "`{upper}` allows {allowed} authorities under it, but {found} are there: issue it again \
         with a longer pathlen"
    )]
    PathLength { upper: Box<str>, allowed: u32, found: usize },
    #[error("`{subject}` in it is the root itself: supply an intermediate under it")]
    IsRoot { subject: Box<str> },
    #[error(
        "no peer would accept a certificate that it signs ({0}); look at its name constraints, \
         policies and extended key usage"
    )]
    Refused(webpki::Error),
}

// === impl Issuer ===

impl Issuer {
    /// A root of the operator's, and an intermediate under it: the operator's as well, or one that
    /// is made here.
    ///
    /// # Errors
    ///
    /// As [`Root::from_pem`] and [`Intermediate::from_pem`]; and that there is neither a key of the
    /// root nor an intermediate.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn from_pem(
        supply: &Supply<'_>,
        trust_domain: &TrustDomain,
        lifetimes: &Lifetimes,
        now: SystemTime,
    ) -> Result<Self, InvalidSupply> {
        let root = Root::from_pem(supply.root, supply.root_key, now)?;
        let intermediate = match supply.intermediate {
            Some((chain, key)) => Intermediate::from_pem(chain, key, &root, trust_domain, now)?,
            None => Intermediate::generate(&root, trust_domain, lifetimes, now)
                .map_err(Problem::from)
                .and_then(|made| made.try_out(&root, trust_domain, now).map(|()| made))
                .map_err(|problem| at(supply.root, problem))?,
        };
        Ok(Self { root, intermediate })
    }
}

// === impl Root ===

impl Root {
    /// A root of the operator's. Without its key, intermediates must be supplied as well.
    ///
    /// # Errors
    ///
    /// [`InvalidSupply`], which names the text and says what to do: it is not PEM, not an
    /// authority's, not self-signed, not valid now, or the key is not its own.
    pub fn from_pem(
        certificate: Pem<'_>,
        key: Option<Pem<'_>>,
        now: SystemTime,
    ) -> Result<Self, InvalidSupply> {
        let root = read_root(certificate.text, now).map_err(|problem| at(certificate, problem))?;
        let key = key.map(|key| read_key(key.text, &root).map_err(|problem| at(key, problem)));
        Ok(Self::from_parts(root, key.transpose()?))
    }
}

// === impl Intermediate ===

impl Intermediate {
    /// An intermediate of the operator's: its certificate, then whatever leads from it to the root,
    /// which itself may follow or not.
    ///
    /// It is tried out: a certificate that it signs for a workload of the trust domain is verified
    /// as peers will do it.
    ///
    /// # Errors
    ///
    /// [`InvalidSupply`], which names the text and says what to do: it is not PEM, not an
    /// authority's, not valid now, the chain has a gap, the key is not its own, or peers would
    /// refuse what it signs.
    pub fn from_pem(
        chain: Pem<'_>,
        key: Pem<'_>,
        root: &Root,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, InvalidSupply> {
        let certificates =
            read_chain(chain.text, root, now).map_err(|problem| at(chain, problem))?;
        let key = read_key(key.text, &certificates[0]).map_err(|problem| at(key, problem))?;
        let found = Self::from_parts(certificates.into(), key, root.certificate().fingerprint());
        found.try_out(root, trust_domain, now).map_err(|problem| at(chain, problem))?;
        Ok(found)
    }

    fn try_out(
        &self,
        root: &Root,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<(), Problem> {
        let identity = Identity::new(trust_domain, "weftway", "trial")
            .expect("short names under a valid trust domain");
        let key = prove_possession(&KeyRequest::generate().csr).expect("our own request is valid");
        let leaf = self.sign(&key, &identity, Validity::new(now, now));
        let chain: Vec<CertificateDer<'_>> =
            [leaf].into_iter().chain(self.chain().iter().map(|ca| ca.der().clone())).collect();
        let bundle: TrustBundle = [root.certificate().clone()].into_iter().collect();
        match bundle.verify(&chain, now) {
            Ok(_) => Ok(()),
            Err(crate::bundle::Untrusted::Chain(error)) => Err(Problem::Refused(error)),
            Err(_) => Err(Problem::Refused(webpki::Error::BadDer)),
        }
    }
}

fn at(pem: Pem<'_>, problem: Problem) -> InvalidSupply {
    InvalidSupply { name: pem.name.into(), problem }
}

fn read_root(text: &[u8], now: SystemTime) -> Result<CaCertificate, Problem> {
    let mut found = read_certificates(text)?;
    if found.len() > 1 {
        return Err(Problem::ManyRoots(found.len()));
    }
    let root = found.pop().expect("there is at least one");
    if !root.is_self_issued() {
        return Err(Problem::NotSelfSigned { subject: root.subject().into() });
    }
    check_link(&root, &root)?;
    check_usable(&root, now)?;
    Ok(root)
}

/// The chain without the root.
fn read_chain(text: &[u8], root: &Root, now: SystemTime) -> Result<Vec<CaCertificate>, Problem> {
    let root = root.certificate();
    let mut chain = read_certificates(text)?;
    if chain[0] == *root {
        return Err(Problem::IsRoot { subject: root.subject().into() });
    }
    if chain.last() == Some(root) {
        chain.pop();
    }
    for (index, lower) in chain.iter().enumerate() {
        let upper = chain.get(index + 1).unwrap_or(root);
        check_link(lower, upper)?;
        check_usable(lower, now)?;
        // As many authorities stand under it as came before.
        if let Some(allowed) = upper.path_length()
            && (allowed as usize) < index + 1
        {
            let upper = upper.subject().into();
            return Err(Problem::PathLength { upper, allowed, found: index + 1 });
        }
    }
    Ok(chain)
}

fn read_certificates(text: &[u8]) -> Result<Vec<CaCertificate>, Problem> {
    let read = |(index, der)| {
        CaCertificate::from_der(der).map_err(|unfit| Problem::Unfit { number: index + 1, unfit })
    };
    pem::certificates(text)?.into_iter().enumerate().map(read).collect()
}

fn read_key(text: &[u8], certificate: &CaCertificate) -> Result<CaKey, Problem> {
    let key = pem::private_key(text)?;
    let key = CaKey::from_der(&key).map_err(|_| Problem::Key)?;
    if certificate.public_key().bytes == key.public_key() {
        Ok(key)
    } else {
        Err(Problem::Mismatch { subject: certificate.subject().into() })
    }
}

fn check_link(lower: &CaCertificate, upper: &CaCertificate) -> Result<(), Problem> {
    let names = || (Box::from(lower.subject()), Box::from(upper.subject()));
    if !lower.names_as_issuer(upper) {
        let (lower, upper) = names();
        return Err(Problem::Gap { lower, upper });
    }
    lower.verify_signed_by(upper).map_err(|refused| {
        let (lower, upper) = names();
        match refused {
            Refused::Algorithm => Problem::WeakSignature { lower },
            Refused::Signature => Problem::Forged { lower, upper },
        }
    })
}
