use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

use super::*;
use crate::fixtures::{DAY, Foreign, now};
use crate::pem;

#[track_caller]
fn check(change: impl FnOnce(&mut CertificateParams), expected: Result<(), UnfitCa>) {
    let made = Foreign::root_with("Example", KeyPair::generate().unwrap(), change);
    assert_eq!(CaCertificate::from_der(made.certificate).map(drop), expected);
}

#[test]
fn an_authority_says_so() {
    check(|_| {}, Ok(()));
    check(|params| params.is_ca = IsCa::NoCa, Err(UnfitCa::NotCa));
    check(|params| params.is_ca = IsCa::ExplicitNoCa, Err(UnfitCa::NotCa));
    check(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign], Ok(()));
    check(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign], Err(UnfitCa::MayNotSign));
}

#[test]
fn what_is_not_a_certificate_is_refused() {
    let made = Foreign::root("Example").certificate.to_vec();
    let with_more = [made.as_slice(), &[0]].concat();
    for bytes in [&[][..], b"text", &made[..made.len() - 1], &with_more] {
        let found = CaCertificate::from_der(CertificateDer::from(bytes.to_vec()));
        assert_eq!(found, Err(UnfitCa::Malformed), "{} bytes", bytes.len());
    }
}

#[test]
fn keys_of_every_good_kind_are_taken() {
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ];
    for kind in kinds {
        let made = Foreign::root_with("Example", KeyPair::generate_for(kind).unwrap(), |_| {});
        let found = CaCertificate::from_der(made.certificate);
        assert_eq!(
            found.as_ref().map(|found| found.verify_signed_by(found)),
            Ok(Ok(())),
            "{kind:?}"
        );
    }
}

#[test]
fn weak_and_unknown_keys_are_refused() {
    let texts: [&[u8]; 2] =
        [include_bytes!("testdata/rsa1024.pem"), include_bytes!("testdata/secp256k1.pem")];
    for text in texts {
        let der = pem::certificates(text).unwrap().remove(0);
        assert_eq!(CaCertificate::from_der(der), Err(UnfitCa::WeakKey));
    }
}

#[test]
fn what_it_says_is_read() {
    let made = Foreign::root_with("Example", KeyPair::generate().unwrap(), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(3));
    });
    let found = CaCertificate::from_der(made.certificate.clone()).unwrap();
    assert_eq!(found.subject(), "CN=Example");
    assert_eq!(found.validity(), Validity::new(now() - DAY, now() + 365 * DAY));
    assert_eq!(found.path_length(), Some(3));
    assert_eq!(found.fingerprint(), Fingerprint::of(&made.certificate));
    assert!(found.is_self_issued());
}

#[test]
fn only_the_issuer_has_signed_it() {
    let (root, other) = (Foreign::root("Root"), Foreign::root("Root"));
    let lower = root.under("Lower", |_| {}).certificate;
    let read = |der: &CertificateDer<'static>| CaCertificate::from_der(der.clone()).unwrap();
    let (root, other, lower) = (read(&root.certificate), read(&other.certificate), read(&lower));
    assert!(lower.names_as_issuer(&root) && lower.names_as_issuer(&other));
    assert_eq!(lower.verify_signed_by(&root), Ok(()));
    assert_eq!(lower.verify_signed_by(&other), Err(Refused::Signature));
}
