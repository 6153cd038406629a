use super::*;

fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
    let params = rcgen::CertificateParams::new(vec!["A.Example".to_owned()]).expect("params");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn read(chain: &str, key: &str) -> Result<Certificate, InvalidCertificate> {
    from_pem("here", chain.as_bytes(), key.as_bytes())
}

#[test]
fn names_are_lower_case() {
    let (chain, key) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    let certificate = read(&chain, &key).expect("they fit");
    assert_eq!(certificate.names, [Box::from("a.example")]);
    assert!(!format!("{certificate:?}").contains("BEGIN"));
}

#[test]
fn keys_of_each_kind_fit_their_own_certificate_only() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let (chain, key) = made(algorithm);
        let (_, other) = made(algorithm);
        assert!(read(&chain, &key).is_ok());
        assert_eq!(
            read(&chain, &other),
            Err(InvalidCertificate::Mismatch { origin: "here".into() })
        );
    }
    let (chain, key) = made(&rcgen::PKCS_ED25519);
    assert!(read(&chain, &key).is_ok());
}

#[test]
fn a_chain_may_have_more_certificates() {
    let (leaf, key) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (other, _) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    assert!(read(&format!("{leaf}{other}"), &key).is_ok());
    assert!(matches!(
        read(&format!("{other}{leaf}"), &key),
        Err(InvalidCertificate::Mismatch { .. })
    ));
}

#[test]
fn what_is_none_is_said() {
    let (chain, key) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    assert!(matches!(read("", &key), Err(InvalidCertificate::Chain { .. })));
    assert!(matches!(read("text", &key), Err(InvalidCertificate::Chain { .. })));
    assert!(matches!(read(&key, &key), Err(InvalidCertificate::Chain { .. })));
    assert!(matches!(read(&chain, &chain), Err(InvalidCertificate::Key { .. })));
    assert!(matches!(read(&chain, ""), Err(InvalidCertificate::Key { .. })));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(read(broken, &key), Err(InvalidCertificate::Chain { .. })));
    assert!(check_roots("here", broken.as_bytes()).is_err());
    assert!(check_roots("here", chain.as_bytes()).is_ok());
}

#[test]
fn a_pair_that_is_half_replaced_keeps_its_last_good_form() {
    let (chain, key) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (newer_chain, newer_key) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    let first = Store::after(None);
    let (good, error) = first.of_pair("tls.pem", chain.as_bytes(), key.as_bytes());
    assert_eq!(error, None);
    let known = first.into_known();
    // The key came first; the chain is still the old one.
    let second = Store::after(Some(&known));
    let (kept, error) = second.of_pair("tls.pem", chain.as_bytes(), newer_key.as_bytes());
    assert_eq!(kept, good);
    assert!(matches!(error, Some(InvalidCertificate::Mismatch { .. })));
    // Another pair has no older form.
    let (found, error) = second.of_pair("other.pem", chain.as_bytes(), newer_key.as_bytes());
    assert!(found.is_none() && error.is_some());
    // What nobody asked for in between is not forgotten.
    let known = second.into_known();
    let known = Store::after(Some(&known)).into_known();
    let third = Store::after(Some(&known));
    let (kept, _) = third.of_pair("tls.pem", b"", b"");
    assert_eq!(kept, good);
    let (found, error) = third.of_pair("tls.pem", newer_chain.as_bytes(), newer_key.as_bytes());
    assert!(found.is_some() && found != good && error.is_none());
}
