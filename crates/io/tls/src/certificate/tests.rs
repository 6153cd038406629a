use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::fixtures::{Authority, certificate};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

#[track_caller]
fn invalid(chain: &str, key: &str, wanted: InvalidCertificate) {
    let certificate = certificate(&[], chain.into(), key.into());
    assert_eq!(load(&certificate).map(drop), Err(wanted));
}

fn names(certificate: &Certificate) -> Vec<Name> {
    let loaded = load(certificate).unwrap();
    let (_, leaf) = X509Certificate::from_der(&loaded.cert[0]).unwrap();
    alternative_names(&leaf).collect()
}

#[test]
fn names_of_a_leaf() {
    let issued = Authority::new("Root 1").issue(&["Shop.example", "*.a.example", "spiffe://td/x"]);
    let dns = |name: &str| Name::Dns(name.into());
    let wanted = [dns("shop.example"), dns("*.a.example"), Name::Uri("spiffe://td/x".into())];
    assert_eq!(names(&issued), wanted);
}

#[test]
fn a_self_signed_certificate_is_complete() {
    let now = NOW + Duration::from_secs(1_800_000_000);
    let (chain, key) = self_signed(&["localhost", "127.0.0.1", "::1"], now);
    let made = certificate(&[], chain, key);
    let wanted = [
        Name::Dns("localhost".into()),
        Name::Ip(Ipv4Addr::LOCALHOST.into()),
        Name::Ip(Ipv6Addr::LOCALHOST.into()),
    ];
    assert_eq!(names(&made), wanted);
    let loaded = load(&made).unwrap();
    let (_, leaf) = X509Certificate::from_der(&loaded.cert[0]).unwrap();
    let unix = |time: SystemTime| time.duration_since(NOW).unwrap().as_secs().cast_signed();
    assert_eq!(leaf.validity().not_before.timestamp(), unix(now - SELF_SIGNED_BACKDATE));
    assert_eq!(leaf.validity().not_after.timestamp(), unix(now + SELF_SIGNED_VALIDITY));
    assert_eq!(leaf.subject().to_string(), "CN=Weftway default certificate");
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
    assert!(matches!(load(&cut), Err(InvalidCertificate::ChainPem(_))), "{:?}", load(&cut));
    let cut = certificate(&[], chain, key[..100].into());
    assert!(matches!(load(&cut), Err(InvalidCertificate::KeyPem(_))), "{:?}", load(&cut));
}
