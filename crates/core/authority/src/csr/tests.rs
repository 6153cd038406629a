use proptest::prelude::{any, proptest};
use proptest::sample::Index;
use rcgen::{DnType, ExtendedKeyUsagePurpose, IsCa, PublicKeyData, SanType};

use super::*;
use crate::der::{element, sequence};
use crate::pem::block;

/// A request for a key of that kind.
fn request(kind: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(kind).unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

#[test]
fn keys_of_three_kinds_are_taken() {
    let kinds =
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    for kind in kinds {
        let key = KeyPair::generate_for(kind).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let proven = prove_possession(csr.der());
        let public_key_info = key.subject_public_key_info();
        assert_eq!(proven, Ok(ProvenKey { public_key_info }), "{kind:?}");
    }
}

#[test]
fn keys_of_other_kinds_are_not() {
    for kind in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ECDSA_P521_SHA512] {
        assert_eq!(prove_possession(&request(kind)), Err(InvalidCsr::Key), "{kind:?}");
    }
}

#[test]
fn pem_is_taken_too() {
    let csr = KeyRequest::generate().csr;
    let text = format!("my request\n{}", block("CERTIFICATE REQUEST", &csr));
    assert_eq!(prove_possession(text.as_bytes()), prove_possession(&csr));
    assert!(prove_possession(text.as_bytes()).is_ok());
    let other = block("CERTIFICATE", &csr);
    assert_eq!(prove_possession(other.as_bytes()), Err(InvalidCsr::Malformed));
}

#[test]
fn what_is_asked_for_beside_the_key_is_passed_over() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "admins");
    params.subject_alt_names = vec![SanType::URI("spiffe://x/ns/y/sa/z".try_into().unwrap())];
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let csr = params.serialize_request(&key).unwrap();
    let proven = prove_possession(csr.der()).unwrap();
    assert_eq!(proven.public_key_info, key.subject_public_key_info());
}

#[test]
fn a_key_of_somebody_else_is_not_certified() {
    let (mine, theirs) = (KeyRequest::generate().csr, KeyRequest::generate().csr);
    let parts = |csr: &[u8]| -> Vec<Vec<u8>> {
        let mut parts = der::only(csr, der::SEQUENCE).unwrap().parts();
        (0..3).map(|_| parts.next().unwrap().whole.to_vec()).collect()
    };
    let (mine, theirs) = (parts(&mine), parts(&theirs));
    let forged = sequence(&[&theirs[0], &mine[1], &mine[2]]);
    assert_eq!(prove_possession(&forged), Err(InvalidCsr::NoPossession));
    let whole = sequence(&[&mine[0], &mine[1], &mine[2]]);
    assert!(prove_possession(&whole).is_ok());
    let with_more = sequence(&[&mine[0], &mine[1], &mine[2], &[5, 0]]);
    assert_eq!(prove_possession(&with_more), Err(InvalidCsr::Malformed));
    assert_eq!(prove_possession(&[whole.as_slice(), &[0]].concat()), Err(InvalidCsr::Malformed));
}

/// A request that is written in another way, signed rightly.
fn signed_with(
    algorithm: &[u8],
    key_bytes: &[u8],
    version: u8,
    rest: &[u8],
    by: &KeyPair,
) -> Vec<u8> {
    let key = sequence(&[&sequence(&[algorithm]), &der::bit_string(key_bytes)]);
    let info = sequence(&[
        &[der::INTEGER, 1, version],
        &sequence(&[]),
        &key,
        &element(der::context_parts(0), &[]),
        rest,
    ]);
    let signature = rcgen::SigningKey::sign(by, &info).unwrap();
    let algorithm = sequence(&[alg_id::ECDSA_SHA256.as_ref()]);
    sequence(&[&info, &algorithm, &der::bit_string(&signature)])
}

fn signed(algorithm: &[u8], key_bytes: &[u8], by: &KeyPair) -> Vec<u8> {
    signed_with(algorithm, key_bytes, 0, &[], by)
}

#[test]
fn points_are_written_in_full() {
    let key = KeyPair::generate().unwrap();
    let point = key.public_key_raw();
    let compressed = [&[2 | (point[64] & 1)], &point[1..33]].concat();
    let p256 = alg_id::ECDSA_P256;
    assert!(prove_possession(&signed(&p256, point, &key)).is_ok());
    assert_eq!(prove_possession(&signed(&p256, &compressed, &key)), Err(InvalidCsr::Key));
    assert_eq!(prove_possession(&signed(&p256, &[], &key)), Err(InvalidCsr::Key));
    // Not on the curve.
    let mut off = point.to_vec();
    off[64] ^= 1;
    assert_eq!(prove_possession(&signed(&p256, &off, &key)), Err(InvalidCsr::NoPossession));
    // Of another curve than it says.
    let p384 = alg_id::ECDSA_P384;
    assert_eq!(prove_possession(&signed(&p384, point, &key)), Err(InvalidCsr::NoPossession));
}

#[test]
fn a_request_has_its_form_and_nothing_more() {
    let key = KeyPair::generate().unwrap();
    let check = |version, rest, expected: Result<(), InvalidCsr>| {
        let csr = signed_with(&alg_id::ECDSA_P256, key.public_key_raw(), version, rest, &key);
        assert_eq!(prove_possession(&csr).map(drop), expected, "{version} {rest:?}");
    };
    check(0, &[], Ok(()));
    check(1, &[], Err(InvalidCsr::Malformed));
    check(0, &[5, 0], Err(InvalidCsr::Malformed));
}

#[test]
fn long_requests_are_not_read() {
    let long = vec![der::SEQUENCE; CSR_BYTES_MAX + 1];
    assert_eq!(prove_possession(&long), Err(InvalidCsr::TooLong(CSR_BYTES_MAX + 1)));
    assert_eq!(prove_possession(&long[1..]), Err(InvalidCsr::Malformed));
    assert_eq!(prove_possession(&[]), Err(InvalidCsr::Malformed));
}

#[test]
fn the_private_key_is_not_shown() {
    let made = KeyRequest::generate();
    let shown = format!("{made:?}");
    let key = format!("{:?}", &made.key.secret_pkcs8_der()[40..60]);
    assert!(!shown.contains(key.trim_matches(['[', ']'])), "{shown}");
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        assert!(prove_possession(&bytes).is_err());
    }

    #[test]
    fn any_change_is_noticed(at in any::<Index>(), bit in 0..8_u8) {
        let mut csr = KeyRequest::generate().csr.to_vec();
        let at = at.index(csr.len());
        csr[at] ^= 1 << bit;
        assert!(prove_possession(&csr).is_err(), "bit {bit} of byte {at}");
    }

    #[test]
    fn any_part_is_refused(end in any::<Index>()) {
        let csr = KeyRequest::generate().csr;
        assert!(prove_possession(&csr[..end.index(csr.len())]).is_err());
    }
}
