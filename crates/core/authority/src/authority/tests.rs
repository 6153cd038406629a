use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::{any, proptest};
use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;
use crate::certificate::CaCertificate;
use crate::csr::KeyRequest;
use crate::fixtures::{DAY, Foreign, HOUR, authority, identity, issue, now};
use crate::issuer::{Intermediate, NoRootKey, Root};
use crate::pem::Pem;

#[test]
fn a_leaf_is_verified_by_the_bundle_it_comes_with() {
    let authority = authority();
    let issued = issue(&authority, now());
    assert_eq!(issued.chain.len(), 2);
    assert_eq!(&issued.bundle, authority.bundle());
    let verified = issued.bundle.verify(&issued.chain, now()).unwrap();
    assert_eq!(verified.identity, identity("payments"));
    assert_eq!((verified.root, verified.validity), (issued.root, issued.validity));
    assert!(authority.bundle().contains(&issued.root));
}

#[test]
fn names_in_the_request_are_ignored() {
    let authority = authority();
    let mut params = CertificateParams::new(["bank.example".to_owned()]).unwrap();
    let admin = "spiffe://cluster.local/ns/shop/sa/admin".try_into().unwrap();
    params.subject_alt_names.push(SanType::URI(admin));
    let csr = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let issued = authority.sign(csr.der(), &identity("payments"), now()).unwrap();
    let verified = issued.bundle.verify(&issued.chain, now()).unwrap();
    assert_eq!(verified.identity, identity("payments"));
    let leaf = String::from_utf8_lossy(&issued.chain[0]);
    assert!(!leaf.contains("bank.example") && !leaf.contains("admin"));
}

#[test]
fn requests_come_as_der_or_pem() {
    let authority = authority();
    let csr = KeyRequest::generate().csr;
    let text = pem::block("CERTIFICATE REQUEST", &csr);
    for csr in [&csr[..], text.as_bytes()] {
        authority.sign(csr, &identity("payments"), now()).unwrap();
    }
    let refused = authority.sign(b"text", &identity("payments"), now());
    let source = InvalidCsr::Malformed;
    assert_eq!(refused, Err(CannotIssue::Csr { identity: identity("payments"), source }));
}

#[test]
fn other_trust_domains_are_not_served() {
    let foreign: Identity = "spiffe://elsewhere/ns/shop/sa/payments".parse().unwrap();
    let refused = authority().sign(&KeyRequest::generate().csr, &foreign, now()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "spiffe://elsewhere/ns/shop/sa/payments is not of the trust domain cluster.local"
    );
}

#[test]
fn a_leaf_never_outlives_its_authorities() {
    let authority = authority();
    let end = authority.rotation().signing().not_after();
    assert_eq!(end, now() + 365 * DAY);
    let issued = issue(&authority, end - HOUR);
    assert_eq!(issued.validity.not_after, end);
    assert!(issued.bundle.verify(&issued.chain, end).is_ok());
}

#[test]
fn an_authority_signs_only_in_its_time() {
    let authority = authority();
    let sign = |at| authority.sign(&KeyRequest::generate().csr, &identity("payments"), at);
    let end = authority.rotation().signing().not_after();
    assert!(sign(end).is_ok());
    let own = authority.rotation().signing().intermediate().certificate().subject();
    let refused = sign(end + DAY).unwrap_err();
    assert_eq!(refused.to_string(), "the authority cannot sign");
    let CannotIssue::Unusable(why) = refused else { panic!("{refused:?}") };
    assert_eq!(why.to_string(), format!("`{own}` ended 1 d ago"));
    let CannotIssue::Unusable(why) = sign(now() - DAY).unwrap_err() else { panic!() };
    assert_eq!(why.to_string(), format!("`{own}` is valid only in 23 h; is the clock right?"));
}

#[test]
fn the_chain_is_written_as_pem() {
    let issued = issue(&authority(), now());
    assert_eq!(pem::certificates(issued.chain_pem().as_bytes()), Ok(issued.chain));
}

#[test]
fn a_new_intermediate_takes_over_under_the_same_root() {
    let mut authority = authority();
    let old = issue(&authority, now());
    let due = authority.rotation().renew_intermediate_at().unwrap();
    assert!(now() + 200 * DAY < due && due < now() + 240 * DAY);
    authority.renew_intermediate(&[], due).unwrap();
    let new = issue(&authority, due);
    assert_eq!((old.root, &old.bundle), (new.root, &new.bundle));
    assert_ne!(old.chain[1], new.chain[1]);
    assert!(new.bundle.verify(&new.chain, due).is_ok());
    assert!(new.bundle.verify(&old.chain, now()).is_ok());
    assert_eq!(authority.rotation().signing().not_after(), due + 365 * DAY);
}

#[test]
fn a_new_intermediate_has_something_to_gain() {
    let lifetimes = Lifetimes { root: 366 * DAY, ..Lifetimes::default() };
    let mut authority = Authority::generate(TrustDomain::default(), lifetimes, now()).unwrap();
    authority.renew_intermediate(&[], now() + 100 * DAY).unwrap();
    // It ends with the root now.
    assert_eq!(authority.rotation().renew_intermediate_at(), None);
    let refused = authority.renew_intermediate(&[], now() + 200 * DAY).unwrap_err();
    assert_eq!(refused, RefusedRotation::NothingGained);
}

#[test]
fn without_the_roots_key_there_is_no_new_intermediate() {
    let foreign = Foreign::root("Example");
    let text = Pem { name: "root.pem", text: &foreign.pem().into_bytes() };
    let root = Root::from_pem(text, None, now()).unwrap();
    let lower = foreign.under("Lower", |_| {});
    let (chain, key) = (lower.pem(), lower.key_pem());
    let intermediate = Intermediate::from_pem(
        Pem { name: "chain.pem", text: chain.as_bytes() },
        Pem { name: "key.pem", text: key.as_bytes() },
        &root,
        &TrustDomain::default(),
        now(),
    );
    let issuer = Issuer::new(root, intermediate.unwrap()).unwrap();
    let mut authority =
        Authority::new(TrustDomain::default(), Lifetimes::default(), issuer).unwrap();
    assert_eq!(authority.rotation().renew_intermediate_at(), None);
    let refused = authority.renew_intermediate(&[], now()).unwrap_err();
    let subject = "CN=Example".into();
    assert_eq!(refused, RefusedRotation::NoRootKey(NoRootKey { subject }));
}

#[test]
fn lifetimes_are_checked() {
    let lifetimes = Lifetimes { leaf: Duration::ZERO, ..Lifetimes::default() };
    let refused = Authority::generate(TrustDomain::default(), lifetimes, now());
    assert_eq!(refused.map(drop), Err(InvalidLifetimes::Leaf(Duration::ZERO)));
}

#[test]
fn each_certificate_is_another() {
    let authority = authority();
    let csr = KeyRequest::generate().csr;
    let issued = (0..50).map(|_| authority.sign(&csr, &identity("payments"), now()).unwrap());
    let distinct: BTreeSet<Vec<u8>> = issued.map(|issued| issued.chain[0].to_vec()).collect();
    assert_eq!(distinct.len(), 50);
}

proptest! {
    #[test]
    fn an_issued_leaf_is_always_accepted(
        namespace in "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,40}",
        service_account in "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,200}",
        leaf_secs in 10..7_776_000_u64,
        at_secs in 0..31_000_000_u64,
        within in 0.0..1.0_f64,
        kind in 0..3_usize,
    ) {
        let kinds =
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
        let lifetimes = Lifetimes { leaf: Duration::from_secs(leaf_secs), ..Lifetimes::default() };
        let domain = TrustDomain::default();
        let authority = Authority::generate(domain.clone(), lifetimes, now()).unwrap();
        let identity = Identity::new(&domain, &namespace, &service_account).unwrap();
        let key = KeyPair::generate_for(kinds[kind]).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let at = now() + Duration::from_secs(at_secs);
        let issued = authority.sign(csr.der(), &identity, at).unwrap();
        let validity = issued.validity;
        let life = validity.left(validity.not_before);
        let moment = validity.not_before + life.mul_f64(within);
        let verified = issued.bundle.verify(&issued.chain, moment).unwrap();
        assert_eq!(verified.identity, identity);
        assert!(validity.contains(at));
        assert!(issued.bundle.verify(&issued.chain, validity.not_after + Duration::from_secs(1)).is_err());
        assert!(issued.bundle.verify(&issued.chain, validity.not_before - Duration::from_secs(1)).is_err());
    }

    #[test]
    fn requests_never_panic(csr in proptest::collection::vec(any::<u8>(), 0..100)) {
        thread_local! { static AUTHORITY: Authority = authority(); }
        AUTHORITY.with(|authority| {
            assert!(authority.sign(&csr, &identity("payments"), now()).is_err());
        });
    }
}

#[test]
fn the_root_is_not_presented() {
    let issued = issue(&authority(), now());
    let above = CaCertificate::from_der(issued.chain[1].clone()).unwrap();
    assert!(!above.is_self_issued());
}
