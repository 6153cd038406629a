use super::*;

#[track_caller]
fn suite(name: &str, wanted: Option<&str>) {
    match (cipher_suite(name), wanted) {
        (Lookup::Spoken(found), Some(wanted)) => assert_eq!(suite_name(found.suite()), wanted),
        (Lookup::NotSpoken, None) => {}
        (found, wanted) => panic!("{name}: {found:?} instead of {wanted:?}"),
    }
}

#[track_caller]
fn kx(name: &str, wanted: Option<rustls::NamedGroup>) {
    match (group(name), wanted) {
        (Lookup::Spoken(found), Some(wanted)) => assert_eq!(found.name(), wanted),
        (Lookup::NotSpoken, None) => {}
        (found, wanted) => panic!("{name}: {found:?} instead of {wanted:?}"),
    }
}

#[test]
fn suites_by_iana_and_go_names() {
    for name in [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ] {
        suite(name, Some(name));
    }
    let chacha = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305";
    suite(chacha, Some("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"));
    for name in [
        "TLS_RSA_WITH_RC4_128_SHA",
        "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    ] {
        suite(name, None);
    }
    assert!(matches!(cipher_suite("TLS_AES_128_GCM"), Lookup::Unknown));
    assert!(matches!(cipher_suite("ECDHE-RSA-AES128-GCM-SHA256"), Lookup::Unknown));
}

#[test]
fn groups_by_iana_and_go_names() {
    use rustls::NamedGroup;
    kx("X25519", Some(NamedGroup::X25519));
    kx("x25519", Some(NamedGroup::X25519));
    kx("CurveP256", Some(NamedGroup::secp256r1));
    kx("secp256r1", Some(NamedGroup::secp256r1));
    kx("CurveP384", Some(NamedGroup::secp384r1));
    kx("X25519MLKEM768", Some(NamedGroup::X25519MLKEM768));
    kx("SecP256r1MLKEM768", Some(NamedGroup::secp256r1MLKEM768));
    kx("CurveP521", None);
    assert!(matches!(group("Curve25518"), Lookup::Unknown));
}

fn options(suites: &[&str], groups: &[&str]) -> TlsOptions {
    TlsOptions {
        cipher_suites: suites.iter().map(|name| (*name).into()).collect(),
        groups: groups.iter().map(|name| (*name).into()).collect(),
        ..TlsOptions::modern()
    }
}

fn provided(options: &TlsOptions) -> (Vec<&'static str>, usize, usize) {
    let (provider, versions) = provider_for(options).unwrap();
    let names = provider.cipher_suites.iter().map(|suite| suite_name(suite.suite())).collect();
    (names, provider.kx_groups.len(), versions.len())
}

#[test]
fn options_become_a_provider() {
    let (suites, groups, versions) = provided(&options(&[], &[]));
    assert_eq!((suites.len(), versions), (9, 2));
    assert!(groups >= 4);
    let (provider, _) = provider_for(&options(&[], &[])).unwrap();
    assert_eq!(provider.kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    // TLS 1.3 keeps its suites when only those of TLS 1.2 are named.
    let one = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    let (suites, _, versions) = provided(&options(&[one, "TLS_RSA_WITH_AES_128_CBC_SHA"], &[]));
    assert_eq!((suites.len(), suites[3], versions), (4, one, 2));
    // Naming one of TLS 1.3 restricts it, and leaves TLS 1.2 nothing.
    let (suites, _, versions) = provided(&options(&["TLS_AES_256_GCM_SHA384"], &[]));
    assert_eq!((suites, versions), (vec!["TLS_AES_256_GCM_SHA384"], 1));
    let (_, groups, _) = provided(&options(&[], &["CurveP521", "X25519", "CurveP256"]));
    assert_eq!(groups, 2);
}

#[test]
fn what_cannot_be_honoured_is_said() {
    let errors = |options: &TlsOptions| provider_for(options).unwrap_err();
    let wrong = options(&["TLS_AES_128"], &["X25518"]);
    let wanted =
        [InvalidOptions::CipherSuite("TLS_AES_128".into()), InvalidOptions::Group("X25518".into())];
    assert_eq!(errors(&wrong), wanted);
    assert_eq!(errors(&options(&[], &["CurveP521"])), [InvalidOptions::NoGroup]);
    let mut old = options(&["TLS_RSA_WITH_AES_128_CBC_SHA"], &[]);
    old.max_version = TlsVersion::Tls12;
    assert_eq!(errors(&old), [InvalidOptions::NoCipherSuite]);
    old.min_version = TlsVersion::Tls13;
    assert_eq!(errors(&old), [InvalidOptions::Versions]);
}
