use rcgen::KeyPair;
use weft_model::backend::SubjectAltName;
use weft_model::listener::{PinnedClients, TlsVersion};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::fixtures::{Authority, certificate, entry, pair, table, upstream};
use crate::handshake::HandshakeError;
use crate::{ClientTls, certificate as certificates};

fn hosts(entries: &[(&str, bool)], default: bool) -> ServerTls {
    let certificate = Authority::new("root").issue(&["a.example"]);
    let make = |(host, deep): &(&str, bool)| TlsEntry {
        deep: *deep,
        ..entry(host, &certificate, &TlsOptions::modern())
    };
    let default = default.then(|| entry("", &certificate, &TlsOptions::modern()));
    let table = TlsTable { entries: entries.iter().map(make).collect(), default };
    ServerTls::build(&table, None).unwrap()
}

#[track_caller]
fn check(tls: &ServerTls, name: &str, wanted: Option<&str>) {
    let name = (!name.is_empty()).then_some(name);
    let found = tls.select(name);
    assert_eq!(found.as_ref().map(Selected::host).ok(), wanted, "{name:?}");
}

#[test]
fn exact_names_win_over_wildcards_and_long_wildcards_over_short() {
    let tls = hosts(
        &[
            ("shop.example", false),
            ("*.example", false),
            ("*.deep.example", true),
            ("*.b.deep.example", true),
            ("*.c.deep.example", false),
        ],
        true,
    );
    check(&tls, "shop.example", Some("shop.example"));
    check(&tls, "other.example", Some("*.example"));
    check(&tls, "a.other.example", Some(""));
    check(&tls, "example", Some(""));
    check(&tls, "deep.example", Some("*.example"));
    check(&tls, "a.deep.example", Some("*.deep.example"));
    check(&tls, "x.y.deep.example", Some("*.deep.example"));
    check(&tls, "x.b.deep.example", Some("*.b.deep.example"));
    check(&tls, "x.y.b.deep.example", Some("*.b.deep.example"));
    check(&tls, "b.deep.example", Some("*.deep.example"));
    check(&tls, "x.c.deep.example", Some("*.c.deep.example"));
    check(&tls, "x.y.c.deep.example", Some("*.deep.example"));
    check(&tls, "", Some(""));
}

#[test]
fn a_name_that_fits_nothing_is_refused_without_a_default() {
    let tls = hosts(&[("shop.example", false), ("*.a", true)], false);
    check(&tls, "other.example", None);
    check(&tls, "a", None);
    check(&tls, "", None);
    check(&hosts(&[], false), "a", None);
    assert_eq!(tls.select(None).unwrap_err(), NotSelected::NoEntry);
}

#[test]
fn sites_are_told_by_host() {
    let certificate = Authority::new("root").issue(&["a.example"]);
    let with_site = |host: &str, site: &str| TlsEntry {
        site: site.into(),
        ..entry(host, &certificate, &TlsOptions::modern())
    };
    let entries = vec![with_site("a.example", "one"), with_site("*.example", "two")];
    let default = Some(with_site("", "three"));
    let tls = ServerTls::build(&TlsTable { entries, default }, None).unwrap();
    assert_eq!(tls.site("a.example"), Some("one"));
    assert_eq!(tls.site("b.example"), Some("two"));
    assert_eq!(tls.site("elsewhere"), None);
    assert_eq!(tls.select(None).unwrap().site(), "three");
}

#[test]
fn strict_server_names_need_a_certificate_that_covers_them() {
    let certificate = Authority::new("root").issue(&["a.example", "*.b.example"]);
    let strict = TlsOptions { sni_strict: true, ..TlsOptions::modern() };
    let tls = ServerTls::build(&table(&certificate, &strict), None).unwrap();
    check(&tls, "a.example", Some(""));
    check(&tls, "x.b.example", Some(""));
    check(&tls, "b.example", None);
    check(&tls, "x.y.b.example", None);
    check(&tls, "", None);
    assert_eq!(tls.select(None).unwrap_err(), NotSelected::Strict);
}

#[test]
fn a_rebuild_keeps_what_is_unchanged() {
    let authority = Authority::new("root");
    let (one, two) = (authority.issue(&["one.example"]), authority.issue(&["two.example"]));
    let modern = TlsOptions::modern();
    let both = |two: &Arc<Certificate>| TlsTable {
        entries: vec![entry("one.example", &one, &modern), entry("two.example", two, &modern)],
        default: None,
    };
    let first = ServerTls::build(&both(&two), None).unwrap();
    let same = ServerTls::build(&both(&two), Some(&first)).unwrap();
    assert!(Arc::ptr_eq(&same.0, &first.0), "an equal table costs nothing");

    let renewed = authority.issue(&["two.example"]);
    let second = ServerTls::build(&both(&renewed), Some(&first)).unwrap();
    let config = |tls: &ServerTls, name| tls.select(Some(name)).unwrap().config().clone();
    assert!(Arc::ptr_eq(&config(&second, "one.example"), &config(&first, "one.example")));
    assert!(!Arc::ptr_eq(&config(&second, "two.example"), &config(&first, "two.example")));
    let (old, new) = (config(&first, "two.example"), config(&second, "two.example"));
    assert!(Arc::ptr_eq(&old.ticketer, &new.ticketer), "tickets survive a renewed certificate");
}

#[test]
fn entries_with_the_same_parts_share_a_configuration() {
    let certificate = Authority::new("root").issue(&["*.example"]);
    let modern = TlsOptions::modern();
    let hosts = ["a.example", "b.example", "*.c.example"];
    let entries = hosts.iter().map(|host| entry(host, &certificate, &modern)).collect();
    let tls = ServerTls::build(&TlsTable { entries, default: None }, None).unwrap();
    let config = |name| tls.select(Some(name)).unwrap().config().clone();
    assert!(Arc::ptr_eq(&config("a.example"), &config("b.example")));
    assert!(Arc::ptr_eq(&config("a.example"), &config("x.c.example")));
}

#[test]
fn every_wrong_entry_is_reported() {
    let good = Authority::new("root").issue(&["a"]);
    let bad = certificate(&[], String::new(), String::new());
    let unknown = TlsOptions { groups: vec!["X".into()], ..TlsOptions::modern() };
    let no_authority = TlsOptions {
        client_auth: ClientAuth::RequireAndVerify(Arc::from(&b""[..])),
        ..TlsOptions::modern()
    };
    let mut empty = entry("", &good, &TlsOptions::modern());
    empty.certificates.clear();
    let table = TlsTable {
        entries: vec![
            entry("bad", &bad, &unknown),
            entry("good", &good, &TlsOptions::modern()),
            entry("auth", &good, &no_authority),
        ],
        default: Some(empty),
    };
    let errors = ServerTls::build(&table, None).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let chain = "the chain has no `BEGIN CERTIFICATE` block; give the leaf first, then its issuers";
    assert_eq!(
        texts,
        [
            format!("TLS for bad: certificate of Secret shop/tls: {chain}"),
            "TLS for bad: key exchange group `X` is not known; write X25519MLKEM768, X25519, \
             secp256r1 or secp384r1"
                .into(),
            format!("TLS for auth: client certificate authorities: {chain}"),
            "TLS for the default entry: there is no certificate".into(),
        ]
    );
}

#[test]
fn an_invalid_entry_refuses_its_own_names_and_no_others() {
    let good = Authority::new("root").issue(&["a"]);
    let bad = certificate(&[], String::new(), String::new());
    let modern = TlsOptions::modern();
    let table = TlsTable {
        entries: vec![entry("a.example", &bad, &modern), entry("*.example", &good, &modern)],
        default: Some(entry("", &good, &modern)),
    };
    let (tls, errors) = ServerTls::build_partial(&table, None);
    assert_eq!(errors.len(), 1);
    assert_eq!(tls.select(Some("a.example")).unwrap_err(), NotSelected::Invalid);
    check(&tls, "b.example", Some("*.example"));
    check(&tls, "elsewhere", Some(""));
    let (again, errors) = ServerTls::build_partial(&table, Some(&tls));
    assert!(Arc::ptr_eq(&again.0, &tls.0) && errors.len() == 1, "still said");
    assert!(ServerTls::build(&table, Some(&tls)).is_err());
}

#[tokio::test]
async fn a_client_gets_the_certificate_that_it_can_verify_and_that_covers_the_name() {
    let authority = Authority::new("root");
    let issued = [authority.issue(&["a.example"]), authority.issue(&["b.example"])];
    let mut table = table(&issued[0], &TlsOptions::modern());
    table.default.as_mut().unwrap().certificates.push(issued[1].clone());
    let server = ServerTls::build(&table, None).unwrap();
    let client = ClientTls::build(&upstream(&authority), None).unwrap();
    for (name, wanted) in ["a.example", "b.example"].into_iter().zip(&issued) {
        let (_, client) = pair(&server, &client, name, 4096).await;
        let shown = client.unwrap().facts().certificates[0].clone();
        assert_eq!(shown, certificate::chain(&wanted.chain_pem).unwrap()[0], "{name}");
    }
}

#[tokio::test]
async fn a_refused_name_is_told_by_an_alert() {
    let server = hosts(&[("shop.example", false)], false);
    let client = ClientTls::build(&upstream(&Authority::new("root")), None).unwrap();
    let (server, client) = pair(&server, &client, "other.example", 4096).await;
    assert!(matches!(server, Err(HandshakeError::NotSelected(NotSelected::NoEntry))));
    let error = client.unwrap_err();
    let wanted = "the TLS handshake failed: the peer has no certificate for the server name";
    assert_eq!(error.to_string(), wanted);
}

struct Clients {
    server: Arc<Certificate>,
    authority: Authority,
    /// Signed by an authority that the server trusts.
    trusted: Arc<Certificate>,
    stranger: Arc<Certificate>,
    roots: Authority,
}

fn clients() -> Clients {
    let (roots, authority) = (Authority::new("servers"), Authority::new("clients"));
    let trusted = authority.issue(&["spiffe://td/ns/a/sa/b"]);
    let stranger = Authority::new("strangers").issue(&["me"]);
    Clients { server: roots.issue(&["a.example"]), authority, trusted, stranger, roots }
}

impl Clients {
    /// What the server sees of a client: whether it is in, with a certificate, verified.
    async fn try_as(
        &self,
        client_auth: ClientAuth,
        version: TlsVersion,
        certificate: Option<&Arc<Certificate>>,
    ) -> Option<(bool, bool)> {
        let options = TlsOptions {
            client_auth,
            min_version: version,
            max_version: version,
            ..TlsOptions::modern()
        };
        let server = ServerTls::build(&table(&self.server, &options), None).unwrap();
        let mut settings = upstream(&self.roots);
        settings.client = certificate.cloned();
        let client = ClientTls::build(&settings, None).unwrap();
        let (server, _) = pair(&server, &client, "a.example", 4096).await;
        let server = server.ok()?;
        let facts = server.facts();
        Some((!facts.certificates.is_empty(), facts.verified))
    }
}

#[tokio::test]
async fn client_certificates_in_five_modes() {
    let clients = clients();
    let pem = || clients.authority.pem.clone();
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        for (mode, none, trusted, stranger) in [
            (ClientAuth::None, Some((false, false)), Some((false, false)), Some((false, false))),
            (ClientAuth::Request, Some((false, false)), Some((true, false)), Some((true, false))),
            (ClientAuth::RequireAny, None, Some((true, false)), Some((true, false))),
            (ClientAuth::VerifyIfGiven(pem()), Some((false, false)), Some((true, true)), None),
            (ClientAuth::RequireAndVerify(pem()), None, Some((true, true)), None),
        ] {
            let name = format!("{mode:?} {version:?}");
            assert_eq!(clients.try_as(mode.clone(), version, None).await, none, "{name}");
            let seen = clients.try_as(mode.clone(), version, Some(&clients.trusted)).await;
            assert_eq!(seen, trusted, "{name}");
            let seen = clients.try_as(mode, version, Some(&clients.stranger)).await;
            assert_eq!(seen, stranger, "{name}");
        }
    }
}

#[tokio::test]
async fn client_certificates_have_to_have_one_of_the_names_asked_for() {
    let clients = clients();
    let own = "spiffe://td/ns/a/sa/b";
    for (names, is_required, none, trusted) in [
        (vec![own], true, None, Some((true, true))),
        (vec!["spiffe://td/ns/a/sa/c", own], true, None, Some((true, true))),
        (vec!["spiffe://td/ns/a/sa/c"], true, None, None),
        (vec!["spiffe://td/ns/a/sa/c"], false, Some((false, false)), None),
    ] {
        let mode = ClientAuth::Pinned(Arc::new(PinnedClients {
            authorities: clients.authority.pem.clone(),
            is_required,
            names: names.iter().map(|name| SubjectAltName::Uri((*name).into())).collect(),
            certificate_hashes: Vec::new(),
            key_hashes: Vec::new(),
        }));
        let version = TlsVersion::Tls13;
        assert_eq!(clients.try_as(mode.clone(), version, None).await, none, "{names:?}");
        let seen = clients.try_as(mode.clone(), version, Some(&clients.trusted)).await;
        assert_eq!(seen, trusted, "{names:?}");
        let seen = clients.try_as(mode, version, Some(&clients.stranger)).await;
        assert_eq!(seen, None, "{names:?}");
    }
}

#[tokio::test]
async fn client_certificates_may_be_pinned_by_their_hashes() {
    let clients = clients();
    let der = certificate::chain(&clients.trusted.chain_pem).unwrap().remove(0);
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let hash =
        |bytes: &[u8]| -> [u8; 32] { certificates::sha256(bytes).as_ref().try_into().unwrap() };
    // Of the empty text (FIPS 180-4).
    assert_eq!(hash(b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    let (own, key) = (hash(&der), hash(parsed.public_key().raw));
    for (certificate_hashes, key_hashes, trusted) in [
        (vec![own], vec![], Some((true, true))),
        (vec![], vec![key], Some((true, true))),
        (vec![[0; 32]], vec![key], Some((true, true))),
        (vec![[0; 32]], vec![own], None),
    ] {
        let mode = ClientAuth::Pinned(Arc::new(PinnedClients {
            authorities: clients.authority.pem.clone(),
            is_required: true,
            names: Vec::new(),
            certificate_hashes,
            key_hashes,
        }));
        let version = TlsVersion::Tls13;
        let seen = clients.try_as(mode.clone(), version, Some(&clients.trusted)).await;
        assert_eq!(seen, trusted, "{mode:?}");
        assert_eq!(clients.try_as(mode, version, Some(&clients.stranger)).await, None);
    }
}

#[tokio::test]
async fn a_ticket_does_not_outlive_the_rule_it_was_issued_under() {
    let clients = clients();
    let options = |client_auth| TlsOptions { client_auth, ..TlsOptions::modern() };
    let open = table(&clients.server, &options(ClientAuth::None));
    let mut strict = open.clone();
    let mode = ClientAuth::RequireAndVerify(clients.authority.pem.clone());
    strict.default = Some(entry("", &clients.server, &options(mode)));
    let client = ClientTls::build(&upstream(&clients.roots), None).unwrap();
    let before = ServerTls::build(&open, None).unwrap();
    for resumed in [false, true] {
        let (server, client) = pair(&before, &client, "a.example", 4096).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.facts().resumed, resumed);
        take_ticket(&mut server, &mut client).await;
    }
    let after = ServerTls::build(&strict, Some(&before)).unwrap();
    let (server, _) = pair(&after, &client, "a.example", 4096).await;
    let error = server.unwrap_err();
    assert!(
        matches!(error, HandshakeError::Tls(rustls::Error::NoCertificatesPresented)),
        "{error:?}"
    );
    // And a rule that comes back does not bring its old tickets back.
    let again = ServerTls::build(&open, Some(&after)).unwrap();
    let (server, _) = pair(&again, &client, "a.example", 4096).await;
    assert!(!server.unwrap().facts().resumed);
}

async fn take_ticket(
    server: &mut crate::TlsStream<tokio::io::DuplexStream>,
    client: &mut crate::TlsStream<tokio::io::DuplexStream>,
) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    server.write_all(b"x").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn without_tickets_nothing_resumes() {
    let clients = clients();
    let options = TlsOptions { session_tickets: false, ..TlsOptions::modern() };
    let server = ServerTls::build(&table(&clients.server, &options), None).unwrap();
    let client = ClientTls::build(&upstream(&clients.roots), None).unwrap();
    for _ in 0..2 {
        let (server, client) = pair(&server, &client, "a.example", 4096).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        take_ticket(&mut server, &mut client).await;
        assert!(!server.facts().resumed);
    }
}

#[test]
fn rsa_and_ecdsa_keys_are_chosen_by_what_the_client_can() {
    // The choice itself needs a client with few schemes; here, that both kinds load side by side.
    let authority = Authority::new("root");
    let ecdsa = authority.issue(&["a"]);
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut table = table(&ecdsa, &TlsOptions::modern());
    let certificates = &mut table.default.as_mut().unwrap().certificates;
    certificates.push(authority.issue_with(&["a"], |_| {}, &p384));
    certificates.push(authority.issue_with(&["a"], |_| {}, &ed25519));
    ServerTls::build(&table, None).unwrap();
}
