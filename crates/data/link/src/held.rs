//! A certificate with its key, as it is held in memory and on disk.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use prost::Message as _;
use rustls_pki_types::CertificateDer;
use weft_authority::{Fingerprint, InvalidBundle, TrustBundle, Untrusted, Validity, Verified};
use weft_model::identity::Identity;
use weft_tls::mesh::{Credentials, Pkcs8Key};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"weftway credentials 1\n";

/// A certificate that was verified, with its key.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) credentials: Arc<Credentials>,
    /// The root that it chains to.
    pub(crate) root: Fingerprint,
    pub(crate) validity: Validity,
    pub(crate) bundle: TrustBundle,
}

/// A certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// The file is something else.
    #[error("the file is not one of ours, or damaged")]
    Format,
    /// The roots beside it are none.
    #[error("the roots that came with it cannot be used")]
    Bundle(#[from] InvalidBundle),
    /// It does not chain to them, or is not valid now.
    #[error("the certificate is not acceptable")]
    Untrusted(#[from] Untrusted),
    /// It is somebody else's.
    #[error("the certificate is that of {0}")]
    Identity(Identity),
}

/// The content of the file.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Kept {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    chain: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    roots: Vec<Vec<u8>>,
}

// === impl Held ===

impl Held {
    /// Verifies a certificate that came with those roots.
    pub(crate) fn new(
        key: Pkcs8Key,
        chain: Vec<Vec<u8>>,
        roots: Vec<Vec<u8>>,
        identity: &Identity,
        now: SystemTime,
    ) -> Result<Self, Unusable> {
        let (chain, bundle) = (ders(chain), bundle(roots)?);
        let verified = bundle.verify(&chain, now)?;
        Self::from_parts(key, chain, bundle, verified, identity)
    }

    fn from_parts(
        key: Pkcs8Key,
        chain: Vec<CertificateDer<'static>>,
        bundle: TrustBundle,
        verified: Verified,
        identity: &Identity,
    ) -> Result<Self, Unusable> {
        if verified.identity != *identity {
            return Err(Unusable::Identity(verified.identity));
        }
        let credentials = Credentials {
            chain,
            key,
            bundle: bundle.certificates().map(|root| root.der().clone()).collect(),
            identity: verified.identity,
            not_after: verified.validity.not_after,
        };
        let credentials = Arc::new(credentials);
        Ok(Self { credentials, root: verified.root, validity: verified.validity, bundle })
    }

    /// The same certificate, with other roots to trust.
    pub(crate) fn with_roots(&self, roots: Vec<Vec<u8>>) -> Result<Self, Unusable> {
        let bundle = bundle(roots)?;
        let mut credentials = Credentials::clone(&self.credentials);
        credentials.bundle = bundle.certificates().map(|root| root.der().clone()).collect();
        Ok(Self { credentials: Arc::new(credentials), bundle, ..self.clone() })
    }

    /// The bytes to keep.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Credentials { chain, key, bundle, identity: _, not_after: _ } = &*self.credentials;
        let mut kept = Kept {
            key: key.secret_der().to_vec(),
            chain: chain.iter().map(|found| found.to_vec()).collect(),
            roots: bundle.iter().map(|found| found.to_vec()).collect(),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAGIC.len() + kept.encoded_len()));
        bytes.extend_from_slice(MAGIC);
        kept.encode_raw(&mut *bytes);
        drop(Zeroizing::new(std::mem::take(&mut kept.key)));
        bytes
    }

    /// What was kept. It may have ended; then it is of use for another one alone.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        identity: &Identity,
        now: SystemTime,
    ) -> Result<Self, Unusable> {
        let kept = bytes.strip_prefix(MAGIC).ok_or(Unusable::Format)?;
        let Kept { key, chain, roots } = Kept::decode(kept).map_err(|_| Unusable::Format)?;
        let (key, chain, bundle) = (Pkcs8Key::new(key), ders(chain), bundle(roots)?);
        let verified = bundle.verify_even_ended(&chain, now)?;
        Self::from_parts(key, chain, bundle, verified, identity)
    }
}

fn ders(all: Vec<Vec<u8>>) -> Vec<CertificateDer<'static>> {
    all.into_iter().map(Into::into).collect()
}

fn bundle(roots: Vec<Vec<u8>>) -> Result<TrustBundle, Unusable> {
    Ok(TrustBundle::from_der(ders(roots))?)
}
