//! Servers where TLS ends.

use weft_model::listener::{ClientAuth, TlsOptions, TlsVersion};

use super::{gateway, http, named_gateway, rule, service, words, world};
use crate::World;
use crate::gateway_api::tests::tls::{entry, secret, table};
use crate::gateway_api::tests::{assert_reported, find, mesh_index, problems};

fn https(hosts: &str, tls: &str) -> String {
    format!("port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [{hosts}], tls: {{{tls}}}")
}

fn ask(world: &World, host: &str) -> String {
    let line = format!("GET {host}/");
    find(world, 443, true, &line).map_or("404".into(), |route| words(&route.target))
}

fn reviews() -> String {
    service("a", 1, "'*'", &http(&[rule("", "reviews")]))
}

/// The same Secret with an authority.
fn with_authority(namespace: &str, name: &str, hosts: &[&str]) -> String {
    let text = secret(namespace, name, hosts);
    let (_, pem) = text.split_once("tls.crt: |\n").unwrap();
    let (pem, _) = pem.split_once("  tls.key").unwrap();
    text.replace("stringData:\n", &format!("stringData:\n  ca.crt: |\n{pem}"))
}

#[test]
fn a_server_has_the_certificate_of_its_secret() {
    let world = world(&[
        &secret("shop", "cert", &["a.example"]),
        &secret("shop", "wild", &["*.b.example"]),
        &gateway(&[
            &https("a.example", "mode: SIMPLE, credentialName: cert"),
            "port: {number: 443, name: wild, protocol: HTTPS}, hosts: ['*.b.example'], \
             tls: {mode: SIMPLE, credentialName: wild}",
        ]),
        &reviews(),
    ]);
    assert_eq!(problems(&world), Vec::<String>::new());
    let table = table(&world, 443);
    for (name, origin) in
        [("a.example", "secret shop/cert"), ("deep.x.b.example", "secret shop/wild")]
    {
        let entry = entry(&table, name).unwrap();
        assert_eq!(&*entry.certificates[0].origin, origin, "{name}");
        assert_eq!(entry.options.client_auth, ClientAuth::None);
        assert_eq!(ask(&world, name), "reviews");
    }
    let site = |name| entry(&table, name).unwrap().site.clone();
    assert_ne!(site("a.example"), site("x.b.example"));
}

#[test]
fn clients_are_asked_for_certificates_of_an_authority() {
    let separate = with_authority("shop", "cert-cacert", &["x"]);
    let separate = &separate[..];
    let own = with_authority("shop", "cert", &["a.example"]);
    let plain = secret("shop", "cert", &["a.example"]);
    let other = with_authority("shop", "clients", &["x"]);
    let check = |documents: &[&str], tls: &str| {
        let server = gateway(&[&https("a.example", tls)]);
        let all: Vec<&str> = documents.iter().copied().chain([&*server]).collect();
        let world = world(&all);
        let table = table(&world, 443);
        match &table.entries[0].options.client_auth {
            ClientAuth::RequireAndVerify(roots) => format!("required {}", !roots.is_empty()),
            ClientAuth::VerifyIfGiven(roots) => format!("optional {}", !roots.is_empty()),
            ClientAuth::Pinned(pinned) => {
                let hashes = (pinned.certificate_hashes.len(), pinned.key_hashes.len());
                format!("{} {:?} {hashes:?}", pinned.is_required, pinned.names)
            }
            other => format!("{other:?}"),
        }
    };
    let named = "credentialName: cert";
    assert_eq!(check(&[&own], &format!("mode: MUTUAL, {named}")), "required true");
    assert_eq!(check(&[&plain, separate], &format!("mode: MUTUAL, {named}")), "required true");
    assert_eq!(check(&[&own], &format!("mode: OPTIONAL_MUTUAL, {named}")), "optional true");
    let elsewhere = format!("mode: MUTUAL, {named}, caCertCredentialName: clients");
    assert_eq!(check(&[&plain, &other], &elsewhere), "required true");
    let names = format!("mode: MUTUAL, {named}, subjectAltNames: [a.test, 'spiffe://b/c']");
    assert_eq!(check(&[&own], &names), "true [Dns(\"a.test\"), Uri(\"spiffe://b/c\")] (0, 0)");
    let hash = "8a3f1c0b5d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8";
    let spki = "kWXTYtYWtGZWWuDwQZpFMPnAEdWNrRzVqNwN4Jw1xJ4=";
    let hashes = format!(
        "mode: OPTIONAL_MUTUAL, {named}, verifyCertificateHash: [{hash}], \
         verifyCertificateSpki: ['{spki}']"
    );
    assert_eq!(check(&[&own], &hashes), "false [] (1, 1)");
}

#[test]
fn without_an_authority_or_a_certificate_nothing_is_served() {
    for (documents, tls, reported) in [
        (
            secret("shop", "cert", &["a.example"]),
            "mode: MUTUAL, credentialName: cert",
            "certificates of clients cannot be verified",
        ),
        (String::new(), "mode: SIMPLE, credentialName: cert", "secret `shop/cert` is not found"),
    ] {
        let world = world(&[&documents, &gateway(&[&https("a.example", tls)]), &reviews()]);
        assert_eq!(ask(&world, "a.example"), "503");
        assert_reported(&world, reported);
    }
}

#[test]
fn what_of_a_client_cannot_be_verified_closes_the_server() {
    for (more, reported) in [
        ("verifyCertificateHash: ['00']", "`00` is no hash of 32 bytes"),
        (
            "insecureSkipVerify: true, subjectAltNames: [a.test]",
            "`subjectAltNames` is not looked at here",
        ),
    ] {
        let tls = format!("mode: MUTUAL, credentialName: cert, {more}");
        let world = world(&[
            &with_authority("shop", "cert", &["a.example"]),
            &gateway(&[&https("a.example", &tls)]),
            &reviews(),
        ]);
        assert_eq!(ask(&world, "a.example"), "503", "{more}");
        assert_reported(&world, reported);
    }
}

#[test]
fn in_a_mesh_a_server_may_show_the_certificate_of_the_mesh() {
    let index = mesh_index("reviews.shop.svc.cluster.local", 9080);
    let world = |more: &str| {
        let tls = format!("mode: ISTIO_MUTUAL{more}");
        let text = [super::SERVICES, &gateway(&[&https("a.example", &tls)]), &reviews()].concat();
        let set = weft_resources::load(&[("a.yaml", text)]);
        crate::compile_in_mesh(&set, &crate::Options::new(Vec::new()), &index, None)
    };
    let plain = world("");
    let entry = &table(&plain, 443).entries[0];
    let TlsOptions { client_auth, min_version, .. } = &*entry.options;
    assert_eq!((client_auth, *min_version), (&ClientAuth::Mesh, TlsVersion::Tls13));
    assert!(entry.certificates.is_empty());
    assert_ne!(ask(&plain, "a.example"), "503");
    assert_reported(
        &world(", cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384]"),
        "no effect on TLS 1.3",
    );
    // What is asked for and not looked at closes it.
    for more in
        [", subjectAltNames: ['spiffe://cluster.local/ns/a/sa/b']", ", maxProtocolVersion: TLSV1_2"]
    {
        let world = world(more);
        assert_eq!(ask(&world, "a.example"), "503", "{more}");
    }
}

#[test]
fn modes_that_need_more_than_a_gateway_are_not_served() {
    for mode in ["ISTIO_MUTUAL", "AUTO_PASSTHROUGH"] {
        let tls = format!("mode: {mode}");
        let world = world(&[&gateway(&[&https("a.example", &tls)]), &reviews()]);
        assert_eq!(ask(&world, "a.example"), "503");
        assert_reported(&world, "the server is not served");
        assert_reported(&world, mode);
    }
}

#[test]
fn versions_and_suites_are_those_of_the_server() {
    let options = |tls: &str| {
        let tls = format!("mode: SIMPLE, credentialName: cert, {tls}");
        let secret = secret("shop", "cert", &["a.example"]);
        let world = world(&[&secret, &gateway(&[&https("a.example", &tls)])]);
        let options = table(&world, 443).entries[0].options.clone();
        (world, options)
    };
    let (_, options_13) = options("minProtocolVersion: TLSV1_3");
    assert_eq!(options_13.min_version, TlsVersion::Tls13);
    let (_, options_12) = options("maxProtocolVersion: TLSV1_2");
    assert_eq!(options_12.max_version, TlsVersion::Tls12);
    let (world, suites) =
        options("cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384, ECDHE-RSA-AES128-SHA]");
    assert_eq!(&*suites.cipher_suites[0], "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
    assert_eq!(suites.cipher_suites.len(), 4);
    assert_reported(&world, "the cipher suite `ECDHE-RSA-AES128-SHA` is not spoken");
    let (world, old) = options("minProtocolVersion: TLSV1_0");
    assert_eq!(old.min_version, TlsVersion::Tls12);
    assert_reported(&world, "TLS 1.0 and 1.1 are not spoken");
}

#[test]
fn one_certificate_on_two_gateways_is_reported() {
    let server = |host: &str| https(host, "mode: SIMPLE, credentialName: cert");
    let world = world(&[
        &secret("shop", "cert", &["*.example"]),
        &named_gateway("one", &[&server("a.example")]),
        &named_gateway("two", &[&server("b.example")]),
    ]);
    assert_reported(&world, "(IST0138)");
    let table = table(&world, 443);
    let site = |name| entry(&table, name).unwrap().site.clone();
    assert_ne!(site("a.example"), site("b.example"));
}

#[test]
fn a_host_has_the_tls_settings_of_the_first_gateway_that_names_it() {
    let world = world(&[
        &with_authority("shop", "cert", &["a.example"]),
        &named_gateway("one", &[&https("a.example", "mode: MUTUAL, credentialName: cert")]),
        &named_gateway("two", &[&https("a.example", "mode: SIMPLE, credentialName: cert")]),
    ]);
    let table = table(&world, 443);
    let auth = &entry(&table, "a.example").unwrap().options.client_auth;
    assert!(matches!(auth, ClientAuth::RequireAndVerify(_)));
    assert_reported(&world, "the host a.example is served by port 443");
}

#[test]
fn certificates_may_be_files_and_a_list_of_revoked_ones_closes_the_server() {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let world = |more: &str| {
        let files = "mode: MUTUAL, serverCertificate: /c/tls.pem, privateKey: /c/tls.key, \
                     caCertificates: /c/ca.pem";
        let server = https("a.example", &format!("{files}{more}"));
        let text = [super::SERVICES, &gateway(&[&server]), &reviews()].concat();
        let set = weft_resources::load(&[("a.yaml", text)]);
        let mut options = crate::Options::new(Vec::new());
        let names = crate::referenced_files(&set);
        assert_eq!(names, ["/c/ca.pem".into(), "/c/tls.key".into(), "/c/tls.pem".into()]);
        for (name, pem) in names.into_iter().zip([&chain, &key, &chain]) {
            options.files.insert(name, pem.clone().into_bytes().into());
        }
        crate::compile(&set, &options, None)
    };
    let served = world("");
    assert_eq!(problems(&served), Vec::<String>::new());
    assert_eq!(ask(&served, "a.example"), "reviews");
    let found = &table(&served, 443).entries[0].certificates[0].origin;
    assert_eq!(&**found, "file `/c/tls.pem`");
    let closed = world(", caCrl: /c/crl.pem");
    assert_eq!(ask(&closed, "a.example"), "503");
    assert_reported(&closed, "`caCrl` is not looked at here");
}
