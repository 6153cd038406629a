//! Signatures on certificates and requests, and the algorithms that are good enough.

use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::der::{self, Malformed, Reader};

/// What signs: anything that TLS peers of today verify. No SHA-1, no RSA below 2048 bits.
pub(crate) static OF_AUTHORITIES: &[&dyn SignatureVerificationAlgorithm] =
    webpki::ALL_VERIFICATION_ALGS;

/// Something signed, as X.509 and PKCS #10 write it: what is signed, by which algorithm, the
/// signature (RFC 5280, section 4.1; RFC 2986, section 4.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// The signed value, with tag and length.
    pub(crate) message: &'a [u8],
    /// The content of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

/// A public key, as X.509 writes it (RFC 5280, section 4.1.2.7).
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicKey<'a> {
    /// The content of the AlgorithmIdentifier.
    pub(crate) algorithm: &'a [u8],
    /// The key itself.
    pub(crate) bytes: &'a [u8],
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The algorithm is not among the good ones, or not one for that key.
    Algorithm,
    /// It was not made by that key over that value.
    Signature,
}

// === impl Signed ===

impl<'a> Signed<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = der::only(der, der::SEQUENCE)?.parts();
        let message = parts.expect(der::SEQUENCE)?.whole;
        let algorithm = parts.expect(der::SEQUENCE)?.content;
        let signature = parts.expect(der::BIT_STRING)?.whole_bytes()?;
        parts.end()?;
        Ok(Self { message, algorithm, signature })
    }

    /// Whether that key made the signature, by one of these algorithms.
    pub(crate) fn verify(
        &self,
        key: &PublicKey<'_>,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), Refused> {
        let fits = |known: &&&dyn SignatureVerificationAlgorithm| {
            known.signature_alg_id().as_ref() == self.algorithm
                && known.public_key_alg_id().as_ref() == key.algorithm
        };
        let algorithm = algorithms.iter().find(fits).ok_or(Refused::Algorithm)?;
        algorithm
            .verify_signature(key.bytes, self.message, self.signature)
            .map_err(|_| Refused::Signature)
    }
}

// === impl PublicKey ===

impl<'a> PublicKey<'a> {
    /// Takes a SubjectPublicKeyInfo from the front.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut parts = reader.expect(der::SEQUENCE)?.parts();
        let algorithm = parts.expect(der::SEQUENCE)?.content;
        let bytes = parts.expect(der::BIT_STRING)?.whole_bytes()?;
        parts.end()?;
        Ok(Self { algorithm, bytes })
    }
}
