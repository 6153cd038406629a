use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};

use super::*;
use crate::fixtures::{DAY, Foreign, HOUR, authority, identity, issue, now};

const PAYMENTS: &str = "spiffe://cluster.local/ns/shop/sa/payments";

fn bundle(of: &[&Foreign]) -> TrustBundle {
    TrustBundle::from_der(of.iter().map(|ca| ca.certificate.clone())).unwrap()
}

#[test]
fn texts_round_trip() {
    let (a, b) = (Foreign::root("A"), Foreign::root("B"));
    let both = bundle(&[&a, &b, &a]);
    assert_eq!(both.len(), 2);
    assert_eq!(TrustBundle::from_pem(both.to_pem().as_bytes()), Ok(both.clone()));
    // The order does not matter.
    assert_eq!(TrustBundle::from_pem((b.pem() + &a.pem()).as_bytes()), Ok(both));
}

#[test]
fn what_cannot_be_trusted_is_named() {
    let root = Foreign::root("A");
    let leaf = pem::block("CERTIFICATE", &root.leaf(&[PAYMENTS], |_| {}));
    assert_eq!(
        TrustBundle::from_pem((root.pem() + &leaf).as_bytes()),
        Err(InvalidBundle::Certificate { number: 2, source: UnfitCa::NotCa })
    );
    assert!(matches!(TrustBundle::from_pem(b""), Err(InvalidBundle::Pem(_))));
    assert_eq!(TrustBundle::from_der([]), Ok(TrustBundle::default()));
}

#[test]
fn a_union_trusts_what_either_does() {
    let (a, b, c) = (Foreign::root("A"), Foreign::root("B"), Foreign::root("C"));
    let union = bundle(&[&a, &b]).union(&bundle(&[&b, &c]));
    assert_eq!(union, bundle(&[&a, &b, &c]));
    let c = Fingerprint::of(&c.certificate);
    assert!(union.contains(&c) && !bundle(&[&a, &b]).contains(&c));
    assert!(union.fingerprints().any(|found| found == c));
}

#[test]
fn a_chain_leads_to_one_of_the_roots() {
    let (a, b) = (Foreign::root("A"), Foreign::root("B"));
    let lower = b.under("lower", |_| {});
    let chain = [lower.leaf(&[PAYMENTS], |_| {}), lower.certificate.clone()];
    let verified = bundle(&[&a, &b]).verify(&chain, now()).unwrap();
    let expected = Verified {
        identity: identity("payments"),
        root: Fingerprint::of(&b.certificate),
        validity: Validity::new(now(), now() + DAY),
    };
    assert_eq!(verified, expected);
    let unknown = Err(Untrusted::Chain(webpki::Error::UnknownIssuer));
    assert_eq!(bundle(&[&a]).verify(&chain, now()), unknown);
    assert_eq!(bundle(&[&b]).verify(&chain[..1], now()), unknown);
    assert_eq!(TrustBundle::default().verify(&chain, now()), unknown);
    assert_eq!(bundle(&[&b]).verify(&[], now()), Err(Untrusted::Empty));
    let text = CertificateDer::from_slice(b"text");
    assert_eq!(bundle(&[&b]).verify(&[text], now()), Err(Untrusted::Malformed));
}

#[test]
fn a_chain_is_valid_now() {
    let authority = authority();
    let issued = issue(&authority, now());
    let verify = |at| issued.bundle.verify(&issued.chain, at).map(drop);
    assert_eq!(verify(now() - HOUR / 60), Ok(()));
    assert_eq!(verify(now() + DAY), Ok(()));
    let is_time = |found| {
        use webpki::Error::{CertExpired, CertNotValidYet};
        matches!(found, Err(Untrusted::Chain(CertExpired { .. } | CertNotValidYet { .. })))
    };
    assert!(is_time(verify(now() - HOUR / 30)));
    assert!(is_time(verify(now() + DAY + HOUR / 60)));
}

#[test]
fn a_leaf_names_one_workload() {
    let root = Foreign::root("A");
    let cases: [(&[&str], Result<(), Untrusted>); 4] = [
        (&[PAYMENTS], Ok(())),
        (&[], Err(Untrusted::Uris(0))),
        (&[PAYMENTS, "spiffe://cluster.local/ns/shop/sa/orders"], Err(Untrusted::Uris(2))),
        (
            &["spiffe://cluster.local/payments"],
            Err(Untrusted::Identity(InvalidIdentity::Path(
                "spiffe://cluster.local/payments".into(),
            ))),
        ),
    ];
    for (uris, expected) in cases {
        let chain = [root.leaf(uris, |_| {})];
        assert_eq!(bundle(&[&root]).verify(&chain, now()).map(drop), expected, "{uris:?}");
    }
}

#[test]
fn a_leaf_is_for_both_ends() {
    let root = Foreign::root("A");
    for usage in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        let restrict = |params: &mut CertificateParams| params.extended_key_usages = vec![usage];
        let chain = [root.leaf(&[PAYMENTS], restrict)];
        let found = bundle(&[&root]).verify(&chain, now());
        let is_usage =
            matches!(found, Err(Untrusted::Chain(webpki::Error::RequiredEkuNotFoundContext(_))));
        assert!(is_usage, "{found:?}");
    }
}

#[test]
fn roots_of_one_name_are_told_apart() {
    let (a, b) = (Foreign::root("Same"), Foreign::root("Same"));
    let both = bundle(&[&a, &b]);
    for root in [&a, &b] {
        let verified = both.verify(&[root.leaf(&[PAYMENTS], |_| {})], now()).unwrap();
        assert_eq!(verified.root, Fingerprint::of(&root.certificate));
    }
}

#[test]
fn weak_roots_never_get_in() {
    let key = KeyPair::generate().unwrap();
    let no_ca = Foreign::root_with("A", key, |params| params.is_ca = rcgen::IsCa::NoCa);
    assert!(TrustBundle::from_der([no_ca.certificate]).is_err());
}
