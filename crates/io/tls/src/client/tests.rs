use std::sync::Arc;

use rcgen::{CertificateParams, IsCa, KeyPair, date_time_ymd};
use weft_model::backend::SubjectAltName;
use weft_model::listener::{Certificate, TlsOptions, TlsVersion};

use super::*;
use crate::fixtures::{self, Authority, certificate, pair, upstream};

/// The client's verdict on a server with this certificate; empty when it is content.
async fn verdict(certificate: &Arc<Certificate>, settings: &UpstreamTls, host: &str) -> String {
    let server = fixtures::server(certificate, &TlsOptions::modern());
    let client = ClientTls::build(settings, Some(UpstreamProtocol::Auto)).unwrap();
    match pair(&server, &client, host, 4096).await.1 {
        Ok(_) => String::new(),
        Err(error) => error.to_string().replace("the TLS handshake failed: ", ""),
    }
}

#[tokio::test]
async fn the_name_and_the_chain_are_verified() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example", "*.b.example"]);
    let settings = upstream(&authority);
    for host in ["a.example", "A.Example.", "x.b.example"] {
        assert_eq!(verdict(&issued, &settings, host).await, "", "{host}");
    }
    let name = "the peer's certificate is not valid for the expected name; set the server name";
    for host in ["c.example", "x.y.b.example", "192.0.2.1"] {
        assert_eq!(verdict(&issued, &settings, host).await, name, "{host}");
    }
    let named = UpstreamTls { server_name: Some("a.example".into()), ..settings };
    assert_eq!(verdict(&issued, &named, "192.0.2.1").await, "");
    let stranger = upstream(&Authority::new("another root"));
    let issuer = "the peer's certificate is not signed by a trusted authority; add its root";
    assert_eq!(verdict(&issued, &stranger, "a.example").await, issuer);
    let renewed = upstream(&Authority::new("root"));
    let signature = "a signature of the peer's certificate is wrong; was its authority renewed?";
    assert_eq!(verdict(&issued, &renewed, "a.example").await, signature);
    let skip = UpstreamTls { insecure_skip_verify: true, ..stranger };
    assert_eq!(verdict(&issued, &skip, "c.example").await, "");
}

#[tokio::test]
async fn an_upstream_is_spoken_to_in_the_versions_that_are_wanted() {
    use TlsVersion::{Tls12, Tls13};
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    for (server, (min_version, max_version), is_spoken) in [
        ((Tls12, Tls12), (Tls12, Tls13), true),
        ((Tls12, Tls12), (Tls13, Tls13), false),
        ((Tls13, Tls13), (Tls12, Tls12), false),
        ((Tls13, Tls13), (Tls13, Tls13), true),
        ((Tls12, Tls13), (Tls12, Tls12), true),
    ] {
        let (lowest, highest) = server;
        let options =
            TlsOptions { min_version: lowest, max_version: highest, ..TlsOptions::modern() };
        let settings = UpstreamTls { min_version, max_version, ..upstream(&authority) };
        let client = ClientTls::build(&settings, Some(UpstreamProtocol::Auto)).unwrap();
        let server = fixtures::server(&issued, &options);
        let spoken = pair(&server, &client, "a.example", 4096).await.1.is_ok();
        assert_eq!(spoken, is_spoken, "{options:?} {settings:?}");
    }
    let none = UpstreamTls { min_version: Tls13, max_version: Tls12, ..upstream(&authority) };
    assert!(ClientTls::build(&none, None).is_err());
}

#[tokio::test]
async fn addresses_are_verified_as_addresses() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["192.0.2.1", "2001:db8::1"]);
    for host in ["192.0.2.1", "2001:db8::1", "[2001:db8::1]"] {
        assert_eq!(verdict(&issued, &upstream(&authority), host).await, "", "{host}");
    }
}

#[tokio::test]
async fn expected_names_take_the_place_of_the_server_name() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example", "*.b.example", "spiffe://td/ns/x/sa/y"]);
    let with = |names: &[SubjectAltName]| UpstreamTls {
        subject_alt_names: names.to_vec(),
        ..upstream(&authority)
    };
    let uri = |uri: &str| SubjectAltName::Uri(uri.into());
    let dns = |name: &str| SubjectAltName::Dns(name.into());
    for names in [
        &[uri("spiffe://td/ns/x/sa/y")][..],
        &[uri("spiffe://other"), uri("spiffe://td/ns/x/sa/y")],
        &[dns("A.example")],
        &[dns("x.b.example")],
        &[dns("*.b.example")],
    ] {
        assert_eq!(verdict(&issued, &with(names), "other.example").await, "", "{names:?}");
    }
    for names in [
        &[uri("spiffe://td/ns/x/sa/")][..],
        &[uri("a.example")],
        &[dns("spiffe://td/ns/x/sa/y")],
        &[dns("b.example"), dns("example")],
    ] {
        let said = verdict(&issued, &with(names), "a.example").await;
        assert!(said.contains("not valid for the expected name"), "{names:?}: {said}");
    }
    let mut stranger = with(&[dns("a.example")]);
    stranger.roots_pem = Some(Authority::new("another root").pem);
    let said = verdict(&issued, &stranger, "a.example").await;
    assert!(said.contains("not signed by a trusted authority"), "{said}");
}

fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Arc<Certificate> {
    let mut params = CertificateParams::new(["a.example".to_string()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    certificate(&["a.example"], chain, key.serialize_pem())
}

#[tokio::test]
async fn a_pinned_certificate_needs_no_authority() {
    let trusting = |certificate: &Certificate| UpstreamTls {
        roots_pem: Some(certificate.chain_pem.to_vec().into()),
        ..upstream(&Authority::new("unused"))
    };
    let leaf = self_signed(|_| {});
    // As `openssl req -x509` makes it.
    let own_authority =
        self_signed(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    for issued in [&leaf, &own_authority] {
        assert_eq!(verdict(issued, &trusting(issued), "a.example").await, "");
        let said = verdict(issued, &trusting(issued), "b.example").await;
        assert!(said.contains("not valid for the expected name"), "{said}");
    }
    let said = verdict(&own_authority, &trusting(&leaf), "a.example").await;
    assert!(!said.is_empty());
    let late = self_signed(|params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let said = verdict(&late, &trusting(&late), "a.example").await;
    assert_eq!(said, "the peer's certificate has expired; renew it");
    let early = self_signed(|params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let said = verdict(&early, &trusting(&early), "a.example").await;
    assert_eq!(said, "the peer's certificate is not valid yet; compare the clocks");
}

#[tokio::test]
async fn the_protocol_decides_what_is_offered() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    let server = fixtures::server(&issued, &TlsOptions::modern());
    for (protocol, wanted) in [
        (Some(UpstreamProtocol::Auto), Some(&b"h2"[..])),
        (Some(UpstreamProtocol::Http1), Some(b"http/1.1")),
        (Some(UpstreamProtocol::Http2), Some(b"h2")),
        (None, None),
    ] {
        let client = ClientTls::build(&upstream(&authority), protocol).unwrap();
        let (server, _) = pair(&server, &client, "a.example", 4096).await;
        assert_eq!(server.unwrap().facts().alpn, wanted, "{protocol:?}");
    }
}

#[test]
fn what_waits_for_files_is_used_by_nobody() {
    let files =
        TlsFiles { roots: Some("/ca".into()), client: Some(("/chain".into(), "/key".into())) };
    let waits = UpstreamTls { files: Some(Arc::new(files)), ..UpstreamTls::default() };
    let error = ClientTls::build(&waits, None).unwrap_err().to_string();
    assert_eq!(error, "`/ca` or `/chain` or `/key` cannot be read on this machine");
}

#[test]
fn what_is_wrong_is_said() {
    let authority = Authority::new("root");
    let check = |change: &dyn Fn(&mut UpstreamTls), wanted: &str| {
        let mut settings = upstream(&authority);
        change(&mut settings);
        assert_eq!(ClientTls::build(&settings, None).unwrap_err().to_string(), wanted);
    };
    check(
        &|settings| settings.server_name = Some("a b".into()),
        "server name `a b` is neither a DNS name nor an IP address",
    );
    check(
        &|settings| settings.roots_pem = Some(Arc::from(&b"x"[..])),
        "upstream authorities: the chain has no `BEGIN CERTIFICATE` block; give the leaf first, \
         then its issuers",
    );
    check(
        &|settings| settings.client = Some(certificate(&[], String::new(), String::new())),
        "client certificate of Secret shop/tls: the chain has no `BEGIN CERTIFICATE` block; give \
         the leaf first, then its issuers",
    );
    let client = ClientTls::build(&upstream(&authority), None).unwrap();
    assert_eq!(client.server_name("a_b").unwrap().to_str(), "a_b");
    assert_eq!(client.server_name("a/b"), Err(InvalidHost("a/b".into())));
}
