//! Whether a private key belongs to a certificate, as far as that shows without cryptography.
//!
//! RSA keys carry their modulus and elliptic-curve keys usually their public point, which must be
//! those of the certificate. A key that carries neither passes here; the handshake would fail
//! loudly when the listener is prepared.

use x509_parser::der_parser::asn1_rs::{Any, FromDer, Integer, OctetString, Sequence, Tag};
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

/// `None` when there is no key at all.
pub(super) fn matches(certificate: &X509Certificate<'_>, pem: &[u8]) -> Option<bool> {
    let key = Pem::iter_from_buffer(pem)
        .filter_map(Result::ok)
        .find(|pem| pem.label.ends_with("PRIVATE KEY"))?;
    let inner = match key.label.as_str() {
        "PRIVATE KEY" => pkcs8_inner(&key.contents)?,
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" => key.contents.clone(),
        // Encrypted keys cannot be used.
        _ => return None,
    };
    let public = certificate.public_key();
    Some(match public.parsed().ok()? {
        PublicKey::RSA(rsa) => rsa_modulus(&inner).is_some_and(|n| n == trimmed(rsa.modulus)),
        PublicKey::EC(point) => ec_point(&inner).is_none_or(|own| own == point.data()),
        _ => true,
    })
}

/// The algorithm's own structure inside PKCS#8 (RFC 5958).
fn pkcs8_inner(der: &[u8]) -> Option<Vec<u8>> {
    let (_, outer) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&outer.content).ok()?;
    let (rest, _algorithm) = Sequence::from_der(rest).ok()?;
    let (_, key) = OctetString::from_der(rest).ok()?;
    Some(key.as_ref().to_vec())
}

/// The modulus of an RSA key (RFC 8017, A.1.2).
fn rsa_modulus(der: &[u8]) -> Option<Vec<u8>> {
    let (_, outer) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&outer.content).ok()?;
    let (_, modulus) = Any::from_der(rest).ok()?;
    (modulus.tag() == Tag::Integer).then(|| trimmed(modulus.data).to_vec())
}

/// The public point of an elliptic-curve key (RFC 5915), if it carries one.
fn ec_point(der: &[u8]) -> Option<Vec<u8>> {
    let (_, outer) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&outer.content).ok()?;
    let (mut rest, _key) = OctetString::from_der(rest).ok()?;
    while !rest.is_empty() {
        let (after, field) = Any::from_der(rest).ok()?;
        // [1] BIT STRING: one byte of unused bits, then the point.
        if field.tag().0 == 1 {
            let (_, bits) = Any::from_der(field.data).ok()?;
            return bits.data.get(1..).map(<[u8]>::to_vec);
        }
        rest = after;
    }
    None
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
