use super::*;
use crate::fixtures::{Authority, certificate};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

#[track_caller]
fn invalid(chain: &str, key: &str, wanted: InvalidCertificate) {
    let certificate = certificate(&[], chain.into(), key.into());
    assert_eq!(inspect(&certificate), Err(wanted));
}

#[test]
fn facts_of_a_leaf() {
    let issued = Authority::new("Root 1").issue(&["Shop.example", "*.a.example", "spiffe://td/x"]);
    let facts = inspect(&issued).unwrap();
    assert_eq!(&*facts.names, ["shop.example", "*.a.example", "spiffe://td/x"].map(Box::from));
    assert!(facts.issuer.contains("CN=Root 1"), "{}", facts.issuer);
    assert!(facts.not_before < facts.not_after);
    assert_eq!(facts.fingerprint.len(), 64);
}

#[test]
fn a_self_signed_certificate_is_complete() {
    let now = NOW + Duration::from_secs(1_800_000_000);
    let (chain, key) = self_signed(&["localhost", "127.0.0.1", "::1"], now);
    let facts = inspect(&certificate(&[], chain, key)).unwrap();
    assert_eq!(&*facts.names, ["localhost", "127.0.0.1", "::1"].map(Box::from));
    assert_eq!(facts.not_before, now - SELF_SIGNED_BACKDATE);
    assert_eq!(facts.not_after, now + SELF_SIGNED_VALIDITY);
    assert_eq!(&*facts.subject, "CN=Weftway default certificate");
}

#[test]
fn what_is_wrong_is_said() {
    let (chain, key) = self_signed(&["a"], NOW + 2 * SELF_SIGNED_VALIDITY);
    let (_, other) = self_signed(&["a"], NOW + 2 * SELF_SIGNED_VALIDITY);
    invalid(&chain, &other, InvalidCertificate::Mismatch);
    invalid("", &key, InvalidCertificate::NoCertificate);
    invalid(&key, &key, InvalidCertificate::NoCertificate);
    invalid(&chain, "", InvalidCertificate::NoKey);
    invalid(&chain, &chain, InvalidCertificate::NoKey);
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    invalid(rubbish, &key, InvalidCertificate::Leaf);
    let rubbish = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    invalid(&chain, rubbish, InvalidCertificate::Key);
    let cut = certificate(&[], chain[..100].into(), key.clone());
    assert!(matches!(inspect(&cut), Err(InvalidCertificate::ChainPem(_))), "{:?}", inspect(&cut));
    let cut = certificate(&[], chain, key[..100].into());
    assert!(matches!(inspect(&cut), Err(InvalidCertificate::KeyPem(_))), "{:?}", inspect(&cut));
}
