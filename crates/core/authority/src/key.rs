//! The private keys of authorities.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls_pki_types::{AlgorithmIdentifier, PrivateKeyDer, alg_id};
use zeroize::Zeroizing;

use crate::der;

/// The private key of an authority. Never shown, and wiped from memory when dropped.
pub(crate) struct CaKey {
    pair: Zeroizing<KeyPair>,
    /// The AlgorithmIdentifier of its signatures, DER.
    algorithm: Vec<u8>,
}

/// A private key is of a kind that authorities here do not sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnusableKey;

// === impl CaKey ===

impl CaKey {
    /// A fresh ECDSA P-256 key.
    pub(crate) fn generate() -> Self {
        let pair = KeyPair::generate().expect("the system has randomness");
        Self::new(pair).expect("P-256 is usable")
    }

    /// From PKCS#8, SEC1 or PKCS#1.
    pub(crate) fn from_der(key: &PrivateKeyDer<'_>) -> Result<Self, UnusableKey> {
        Self::new(KeyPair::try_from(key).map_err(|_| UnusableKey)?)
    }

    fn new(pair: KeyPair) -> Result<Self, UnusableKey> {
        let algorithm = algorithm(pair.algorithm()).ok_or(UnusableKey)?;
        Ok(Self { pair: Zeroizing::new(pair), algorithm: der::sequence(&[algorithm.as_ref()]) })
    }

    /// The private key as [`Self::from_der`] takes it.
    pub(crate) fn der(&self) -> &[u8] {
        self.pair.serialized_der()
    }

    /// The SubjectPublicKeyInfo, DER.
    pub(crate) fn public_key_info(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// The public key itself.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.pair.public_key_raw()
    }

    /// The AlgorithmIdentifier of its signatures, DER.
    pub(crate) fn algorithm(&self) -> &[u8] {
        &self.algorithm
    }

    /// A signature over `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).expect("a usable key signs whatever it is given")
    }
}

impl fmt::Debug for CaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaKey").finish_non_exhaustive()
    }
}

/// Those that every TLS peer verifies. P-521 is not among them: TLS 1.3 stacks may leave it out.
fn algorithm(known: &SignatureAlgorithm) -> Option<AlgorithmIdentifier> {
    let usable = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, alg_id::ECDSA_SHA256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, alg_id::ECDSA_SHA384),
        (&rcgen::PKCS_ED25519, alg_id::ED25519),
        (&rcgen::PKCS_RSA_SHA256, alg_id::RSA_PKCS1_SHA256),
    ];
    usable.into_iter().find(|(usable, _)| *usable == known).map(|(_, algorithm)| algorithm)
}
