use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use weft_model::outcome::Reason;
use weft_net::{BufferPool, Inbox};
use weft_testkit::{MeshAuthority, Svid};

use super::*;
use crate::handshake::HandshakeError;
use crate::stream::{Session, TlsStream};

const FRONT: &str = "spiffe://cluster.local/ns/web/sa/front";
const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const OTHER: &str = "spiffe://cluster.local/ns/shop/sa/other";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A clock that stands where it was put, seconds of the epoch.
#[derive(Debug)]
struct Clock(AtomicU64);

impl Clock {
    fn now() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now().duration_since(UNIX_EPOCH).unwrap().as_secs())))
    }

    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

type Side = Result<Established<DuplexStream>, MeshHandshakeError>;

fn now() -> SystemTime {
    weft_runtime::time::wall()
}

fn identity(id: &str) -> Identity {
    id.parse().unwrap()
}

fn credentials(svid: &Svid, id: &str, roots: &[&MeshAuthority]) -> Credentials {
    Credentials {
        chain: svid.chain.clone(),
        key: (&svid.key).into(),
        bundle: roots.iter().map(|root| root.root().clone()).collect(),
        identity: identity(id),
        not_after: svid.not_after,
    }
}

fn mesh_tls(authority: &MeshAuthority, id: &str) -> MeshTls {
    MeshTls::build(&credentials(&authority.svid(id), id, &[authority])).unwrap()
}

/// What would be refused at the start: a leaf whose own identity is not acceptable.
fn forced(authority: &MeshAuthority, svid: &Svid) -> MeshTls {
    let good = credentials(&authority.svid(CART), CART, &[authority]);
    let bad = Credentials { chain: svid.chain.clone(), key: (&svid.key).into(), ..good.clone() };
    let mut tls = MeshTls::build(&good).unwrap();
    let key = Arc::new(certified_key(&bad).unwrap());
    let resolver = Arc::new(SingleCertAndKey::from(key));
    tls.server.certificate = resolver.clone();
    tls.client.certificate = resolver;
    tls
}

async fn pair(server: &MeshTls, client: &MeshTls, expected: &[&str], offer: Offer) -> (Side, Side) {
    let expected: Vec<Identity> = expected.iter().map(|id| identity(id)).collect();
    let target = Target { ip: Ipv4Addr::LOCALHOST.into(), expected: &expected, offer };
    let (near, far) = tokio::io::duplex(1 << 16);
    let (ours, theirs) = (BufferPool::default(), BufferPool::default());
    tokio::join!(accept(near, Inbox::new(&ours), server), connect(far, client, &target, &theirs))
}

async fn established(
    server: &MeshTls,
    client: &MeshTls,
) -> (Established<DuplexStream>, Established<DuplexStream>) {
    let (server, client) = pair(server, client, &[CART], Offer::Requests).await;
    (server.unwrap(), client.unwrap())
}

fn refused(side: Side) -> IdentityRefused {
    match side {
        Err(error @ MeshHandshakeError::Identity(_)) => {
            assert_eq!(error.reason(), Reason::IdentityRefused);
            let MeshHandshakeError::Identity(refused) = error else { unreachable!() };
            refused
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// Lets tickets arrive: a byte each way.
async fn exchange(
    server: &mut Established<DuplexStream>,
    client: &mut Established<DuplexStream>,
) -> std::io::Result<()> {
    let mut byte = [0];
    client.stream.write_all(b"a").await?;
    client.stream.flush().await?;
    server.stream.read_exact(&mut byte).await?;
    server.stream.write_all(b"b").await?;
    server.stream.flush().await?;
    client.stream.read_exact(&mut byte).await?;
    Ok(())
}

#[tokio::test]
async fn both_sides_know_each_other() {
    let authority = MeshAuthority::new("root").under("intermediate");
    let (cart, front) = (mesh_tls(&authority, CART), mesh_tls(&authority, FRONT));
    let check = async |offer, alpn| {
        let (server, client) = pair(&cart, &front, &[OTHER, CART], offer).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.peer.identity().as_str(), FRONT);
        assert_eq!(client.peer.identity().as_str(), CART);
        assert_eq!((server.alpn, client.alpn), (alpn, alpn));
        exchange(&mut server, &mut client).await.unwrap();
        let facts = server.stream.facts();
        assert_eq!((facts.version, facts.server_name, facts.verified), ("TLSv1.3", None, true));
        assert_eq!(client.refusal.reason(), None);
    };
    check(Offer::Requests, Alpn::Weftway1).await;
    check(Offer::Tunnels, Alpn::H2).await;
}

/// Both sides where the server takes clients that are no proxies.
async fn at_gateway(
    server: &MeshTls,
    client: &MeshTls,
    alpn: &[Box<str>],
) -> (Result<TlsStream<DuplexStream>, MeshHandshakeError>, Side) {
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let (ours, theirs) = (BufferPool::default(), BufferPool::default());
    let expected = [identity(CART)];
    let (ip, offer) = (Ipv4Addr::LOCALHOST.into(), Offer::Tunnels);
    let target = Target { ip, expected: &expected, offer };
    let served = async {
        let mut inbox = Inbox::new(&ours);
        let hello = crate::handshake::read_hello(&mut near, &mut inbox).await.unwrap();
        accept_client(near, inbox, hello, server, alpn).await
    };
    tokio::join!(served, connect(far, client, &target, &theirs))
}

#[tokio::test]
async fn a_client_that_is_no_proxy_is_known_too_and_speaks_what_is_served() {
    let (authority, foreign) = (MeshAuthority::new("root"), MeshAuthority::new("foreign"));
    let cart = mesh_tls(&authority, CART);
    let call = async |client: &MeshTls, alpn: &[Box<str>]| at_gateway(&cart, client, alpn).await;
    let front = mesh_tls(&authority, FRONT);
    let (server, client) = call(&front, &["h2".into(), "http/1.1".into()]).await;
    let (server, client) = (server.unwrap(), client.unwrap());
    assert_eq!(client.peer.identity().as_str(), CART);
    let facts = server.facts();
    assert_eq!((facts.alpn, facts.verified), (Some(b"h2".as_slice()), true));
    assert_eq!(facts.peer_name().as_deref(), Some(FRONT));
    let (server, _) = call(&front, &["http/1.1".into()]).await;
    assert!(matches!(server, Err(MeshHandshakeError::Handshake(_))), "{server:?}");
    // Whoever is of another mesh is not of this one.
    let stranger = credentials(&foreign.svid(FRONT), FRONT, &[&authority]);
    let (server, _) = call(&MeshTls::build(&stranger).unwrap(), &["h2".into()]).await;
    assert!(matches!(server, Err(MeshHandshakeError::Identity(_))), "{server:?}");
}

#[tokio::test]
async fn a_client_refuses_whom_it_does_not_expect() {
    let authority = MeshAuthority::new("root");
    let (cart, front) = (mesh_tls(&authority, CART), mesh_tls(&authority, FRONT));
    let (server, client) = pair(&cart, &front, &[OTHER, FRONT], Offer::Requests).await;
    let found = refused(client);
    let wanted = format!("wrong identity: expected {OTHER} or {FRONT}, got {CART}");
    assert_eq!(found.to_string(), wanted);
    assert!(matches!(refused(server), IdentityRefused::ByPeer(_)));
    let (_, client) = pair(&cart, &front, &[], Offer::Requests).await;
    assert!(refused(client).to_string().contains("expected nobody"));
}

/// A leaf shown by the server, then by the client: who verifies says what is wrong, and the other
/// is told.
#[tokio::test]
async fn every_reason_is_named_on_both_sides() {
    let (ours, foreign) = (MeshAuthority::new("root"), MeshAuthority::new("foreign"));
    let same_name = MeshAuthority::new("root");
    let good = |id| mesh_tls(&ours, id);
    let cases: Vec<(&str, Svid, &str)> = vec![
        ("authority", foreign.svid(CART), "unknown authority"),
        ("same name, other key", same_name.svid(CART), "unknown authority"),
        ("expired", expired(&ours), "expired 864"),
        ("future", with(&ours, |leaf| leaf.not_before = (now() + DAY).into()), "valid only in 86"),
        (
            "purpose",
            with(&ours, |leaf| {
                leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            }),
            "not for this end",
        ),
        (
            "signer",
            with(&ours, |leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyCertSign]),
            "an authority's",
        ),
        ("no id", with(&ours, |leaf| leaf.subject_alt_names = vec![]), "has 0 URIs"),
        (
            "a name only",
            with(&ours, |leaf| leaf.subject_alt_names = vec![dns("cart.shop")]),
            "has 0 URIs",
        ),
        (
            "two ids",
            with(&ours, |leaf| leaf.subject_alt_names.push(uri(OTHER))),
            "has 2 URIs, not one",
        ),
        ("no workload", ours.svid("spiffe://cluster.local/cart"), "no SPIFFE id of a workload"),
        ("no spiffe", ours.svid("https://cluster.local/ns/shop/sa/cart"), "no SPIFFE id of a wor"),
        (
            "trust domain",
            ours.svid("spiffe://other.mesh/ns/shop/sa/cart"),
            "wrong trust domain: expected cluster.local, got spiffe://other.mesh/ns/shop/sa/cart",
        ),
    ];
    for (name, svid, wanted) in cases {
        let bad = forced(&ours, &svid);
        let (server, client) = pair(&bad, &good(FRONT), &[CART], Offer::Requests).await;
        let found = refused(client).to_string();
        assert!(found.contains(wanted), "{name}, at the client: {found}");
        assert!(matches!(refused(server), IdentityRefused::ByPeer(_)), "{name}, at the server");

        let (server, client) = pair(&good(CART), &bad, &[CART], Offer::Requests).await;
        let found = refused(server).to_string();
        assert!(found.contains(wanted), "{name}, at the server: {found}");
        // The client learns of it at its first read, and knows it for what it is later, too.
        let mut client = client.unwrap();
        assert_eq!(client.refusal.reason(), None, "{name}");
        client.stream.read_u8().await.unwrap_err();
        let reason = client.refusal.reason();
        assert!(matches!(reason, Some(IdentityRefused::ByPeer(_))), "{name}: {reason:?}");
    }
}

#[tokio::test]
async fn the_peer_is_told_what_is_wrong_with_our_certificate() {
    let ours = MeshAuthority::new("root");
    let check = async |svid: &Svid, wanted: &str| {
        let bad = forced(&ours, svid);
        let (server, _) = pair(&bad, &mesh_tls(&ours, FRONT), &[CART], Offer::Requests).await;
        assert_eq!(refused(server).to_string(), wanted);
    };
    check(&expired(&ours), "the peer says that our certificate has expired").await;
    let foreign = MeshAuthority::new("foreign").svid(CART);
    check(&foreign, "the peer does not trust the authority of our certificate").await;
    let other = ours.svid(OTHER);
    check(&other, "the peer does not accept our certificate").await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    /// Shows nothing.
    #[derive(Debug)]
    struct Nobody;
    impl ResolvesClientCert for Nobody {
        fn resolve(
            &self,
            _hints: &[&[u8]],
            _schemes: &[rustls::SignatureScheme],
        ) -> Option<Arc<CertifiedKey>> {
            None
        }
        fn has_certs(&self) -> bool {
            false
        }
    }
    let authority = MeshAuthority::new("root");
    let (cart, front) = (mesh_tls(&authority, CART), mesh_tls(&authority, FRONT));
    let mut config = ClientConfig::clone(&front.client_config(&[identity(CART)], Offer::Requests));
    config.client_auth_cert_resolver = Arc::new(Nobody);
    let (server, _) = foreign_client(&cart, config).await;
    assert_eq!(refused(server), IdentityRefused::NoCertificate);
}

#[tokio::test]
async fn only_tls_13_with_good_groups_is_spoken() {
    use rustls::crypto::SupportedKxGroup;
    use rustls::crypto::aws_lc_rs::kx_group;
    let authority = MeshAuthority::new("root");
    let (cart, front) = (mesh_tls(&authority, CART), mesh_tls(&authority, FRONT));
    let ours = front.client_config(&[identity(CART)], Offer::Requests);
    for provider in [ours.crypto_provider(), cart.server_config().crypto_provider()] {
        let names: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
        let wanted = [
            rustls::NamedGroup::X25519MLKEM768,
            rustls::NamedGroup::X25519,
            rustls::NamedGroup::secp256r1,
        ];
        assert_eq!(names, wanted);
    }
    let config = |version, group: &'static dyn SupportedKxGroup| {
        let provider = CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(front.callee(&[identity(CART)]).verifier)
            .with_client_cert_resolver(front.client.certificate.clone());
        config.alpn_protocols = Offer::Requests.names();
        config
    };
    for group in [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1] {
        let (server, _) = foreign_client(&cart, config(&rustls::version::TLS13, group)).await;
        assert_eq!(server.unwrap().peer.identity().as_str(), FRONT);
    }
    let old = config(&rustls::version::TLS12, kx_group::X25519);
    let other = config(&rustls::version::TLS13, kx_group::SECP384R1);
    for config in [old, other] {
        let (server, _) = foreign_client(&cart, config).await;
        let Err(MeshHandshakeError::Handshake(HandshakeError::Tls(error))) = server else {
            panic!("not refused: {server:?}");
        };
        assert!(matches!(error, rustls::Error::PeerIncompatible(_)), "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_agrees_on_no_protocol_is_refused() {
    let authority = MeshAuthority::new("root");
    let (cart, front) = (mesh_tls(&authority, CART), mesh_tls(&authority, FRONT));
    let check = async |alpn: &[&str]| {
        let config = front.client_config(&[identity(CART)], Offer::Requests);
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (server, _) = foreign_client(&cart, config).await;
        let Err(error @ MeshHandshakeError::Handshake(HandshakeError::Tls(_))) = server else {
            panic!("not refused: {server:?}");
        };
        assert_eq!(error.reason(), Reason::UpstreamTls);
        let wanted = "the TLS handshake failed: the peer offers no common protocol (ALPN)";
        assert_eq!(error.to_string(), wanted);
    };
    check(&["http/1.1"]).await;
    check(&[]).await;
}

#[tokio::test]
async fn sessions_are_resumed_until_credentials_change() {
    let authority = MeshAuthority::new("root");
    let (cart, front) = (mesh_tls(&authority, CART), mesh_tls(&authority, FRONT));
    let is_resumed = async |cart: &MeshTls, front: &MeshTls| {
        let (mut server, mut client) = established(cart, front).await;
        exchange(&mut server, &mut client).await.unwrap();
        assert_eq!(server.peer.identity().as_str(), FRONT);
        assert_eq!(client.peer.identity().as_str(), CART);
        let resumed = (server.stream.facts().resumed, client.stream.facts().resumed);
        assert_eq!(resumed.0, resumed.1);
        resumed.0
    };
    assert!(!is_resumed(&cart, &front).await);
    assert!(is_resumed(&cart, &front).await);
    let renewed = mesh_tls(&authority, CART);
    assert!(!is_resumed(&renewed, &front).await, "the server has new credentials");
    assert!(is_resumed(&renewed, &front).await);
    let renewed_client = mesh_tls(&authority, FRONT);
    assert!(!is_resumed(&renewed, &renewed_client).await, "the client has new credentials");
}

#[tokio::test]
async fn a_session_is_not_resumed_for_somebody_else() {
    let authority = MeshAuthority::new("root");
    let (cart, front) = (mesh_tls(&authority, CART), mesh_tls(&authority, FRONT));
    let (mut server, mut client) = established(&cart, &front).await;
    exchange(&mut server, &mut client).await.unwrap();
    // The same address, and another identity is expected there now.
    let (_, client) = pair(&cart, &front, &[OTHER], Offer::Requests).await;
    assert!(matches!(refused(client), IdentityRefused::Unexpected { .. }));
}

#[tokio::test]
async fn a_resumed_session_does_not_outlive_a_certificate() {
    let authority = MeshAuthority::new("root");
    let short = |id| {
        authority.svid_with(id, |leaf| leaf.not_after = (now() + Duration::from_secs(600)).into())
    };
    let clock = Clock::now();
    let build = |svid: &Svid, id| {
        let credentials = credentials(svid, id, &[&authority]);
        MeshTls::build_with_clock(&credentials, clock.clone()).unwrap()
    };
    // The client's ends first: the server refuses it although its ticket is good, and says so. A
    // ticket that came with a session that was resumed itself is no better.
    let (cart, front) = (build(&authority.svid(CART), CART), build(&short(FRONT), FRONT));
    for resumed in [false, true] {
        let (mut server, mut client) = established(&cart, &front).await;
        exchange(&mut server, &mut client).await.unwrap();
        assert_eq!(server.stream.facts().resumed, resumed);
    }
    clock.advance(Duration::from_secs(1000));
    let (server, client) = pair(&cart, &front, &[CART], Offer::Requests).await;
    assert!(matches!(refused(server), IdentityRefused::Expired { .. }));
    let mut client = client.unwrap();
    client.stream.read_u8().await.unwrap_err();
    let told = client.refusal.reason();
    assert_eq!(told, Some(IdentityRefused::ByPeer(AlertDescription::CertificateExpired)));
    // A ticket of a server whose certificate has ended is not used any more.
    let (cart, front) = (build(&short(CART), CART), build(&authority.svid(FRONT), FRONT));
    let tickets = Tickets::new(cart.not_after(), clock.clone()).unwrap();
    assert_eq!(tickets.lifetime(), 0);
    let fresh = Tickets::new(front.not_after(), clock.clone()).unwrap();
    assert_eq!(fresh.lifetime(), 3600);
}

#[tokio::test]
async fn a_client_of_a_gateway_whose_certificate_has_ended_is_told_although_it_resumes() {
    let authority = MeshAuthority::new("root");
    let clock = Clock::now();
    let svid = authority
        .svid_with(FRONT, |leaf| leaf.not_after = (now() + Duration::from_secs(600)).into());
    let build = |svid: &Svid, id| {
        let credentials = credentials(svid, id, &[&authority]);
        MeshTls::build_with_clock(&credentials, clock.clone()).unwrap()
    };
    let (cart, front) = (build(&authority.svid(CART), CART), build(&svid, FRONT));
    for resumed in [false, true] {
        let (server, client) = at_gateway(&cart, &front, &["h2".into()]).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.facts().resumed, resumed);
        // The ticket comes along.
        server.write_all(b"a").await.unwrap();
        server.flush().await.unwrap();
        client.stream.read_u8().await.unwrap();
    }
    clock.advance(Duration::from_secs(1000));
    let (server, client) = at_gateway(&cart, &front, &["h2".into()]).await;
    let error = server.unwrap_err();
    assert!(matches!(&error, MeshHandshakeError::Identity(IdentityRefused::Expired { .. })));
    let mut client = client.unwrap();
    client.stream.read_u8().await.unwrap_err();
    let told = client.refusal.reason();
    assert_eq!(told, Some(IdentityRefused::ByPeer(AlertDescription::CertificateExpired)));
}

#[tokio::test]
async fn roots_overlap_while_one_takes_over_from_another() {
    let (old, new) = (MeshAuthority::new("old"), MeshAuthority::new("new"));
    let build = |svid: &Svid, id, roots: &[&MeshAuthority]| {
        MeshTls::build(&credentials(svid, id, roots)).unwrap()
    };
    let cart = build(&new.svid(CART), CART, &[&old, &new]);
    let front = build(&old.svid(FRONT), FRONT, &[&old, &new]);
    established(&cart, &front).await;
    let late = build(&old.svid(FRONT), FRONT, &[&old]);
    let (_, client) = pair(&cart, &late, &[CART], Offer::Requests).await;
    assert_eq!(refused(client), IdentityRefused::UnknownAuthority);
}

#[test]
fn unusable_credentials_are_told_apart() {
    let (ours, foreign) = (MeshAuthority::new("root"), MeshAuthority::new("foreign"));
    let good = credentials(&ours.svid(CART), CART, &[&ours]);
    let check = |change: &dyn Fn(&mut Credentials), wanted: &str| {
        let mut credentials = good.clone();
        change(&mut credentials);
        let error = MeshTls::build(&credentials).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    check(&|all| all.chain.clear(), "the chain has no certificate");
    check(&|all| all.bundle.clear(), "the trust bundle is empty");
    check(&|all| all.bundle.push(b"no certificate".to_vec().into()), "certificate 2 of the trust");
    check(&|all| all.identity = identity(OTHER), "is that of spiffe://cluster.local/ns/shop/sa/ca");
    check(&|all| all.key = Pkcs8Key::new(vec![1, 2, 3]), "cannot be used; it has to be PKCS#8");
    check(&|all| all.key = (&foreign.svid(CART).key).into(), "does not belong to the certificate");
    check(
        &|all| all.chain = ours.svid("https://cart").chain,
        "cannot serve as an identity: the certificate has no SPIFFE id of a workload",
    );
}

#[test]
fn credentials_are_shared_by_all_workers() {
    fn check<T: Send + Sync>() {}
    check::<MeshTls>();
    check::<MeshTlsCell>();
}

#[test]
fn no_key_is_printed() {
    let authority = MeshAuthority::new("root");
    let svid = authority.svid(CART);
    let credentials = credentials(&svid, CART, &[&authority]);
    assert_eq!(format!("{:?}", credentials.key), "Pkcs8Key");
    let tls = MeshTls::build(&credentials).unwrap();
    assert_eq!(format!("{tls:?}"), format!("MeshTls {{ identity: {CART:?}, .. }}"));
}

#[tokio::test]
async fn a_cell_gives_the_newest() {
    let authority = MeshAuthority::new("root");
    let cell = MeshTlsCell::new();
    assert!(cell.current().is_none());
    let other = cell.clone();
    let (first, ()) = tokio::join!(cell.ready(), async {
        other.set(mesh_tls(&authority, CART));
    });
    assert_eq!(first.identity().as_str(), CART);
    other.set(mesh_tls(&authority, FRONT));
    assert_eq!(cell.current().unwrap().identity().as_str(), FRONT);
    assert_eq!(cell.ready().await.identity().as_str(), FRONT);
}

#[test]
fn configurations_are_shared_and_bounded() {
    let authority = MeshAuthority::new("root");
    let tls = mesh_tls(&authority, CART);
    let first = tls.client_config(&[identity(FRONT)], Offer::Requests);
    assert!(Arc::ptr_eq(&first, &tls.client_config(&[identity(FRONT)], Offer::Requests)));
    for number in 0..CALLEES_MAX {
        tls.client_config(&[identity(&format!("{FRONT}-{number}"))], Offer::Tunnels);
    }
    assert!(tls.callees.lock().unwrap().len() <= CALLEES_MAX);
}

/// A client that is not ours at a server that is.
async fn foreign_client(
    server: &MeshTls,
    config: ClientConfig,
) -> (Side, Result<TlsStream<DuplexStream>, HandshakeError>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (ours, theirs) = (BufferPool::default(), BufferPool::default());
    let name = ServerName::IpAddress(std::net::IpAddr::from(Ipv4Addr::LOCALHOST).into());
    let session = Session::client(Arc::new(config), name).unwrap();
    let client = TlsStream::new(far, session, Inbox::new(&theirs), None, true);
    tokio::join!(accept(near, Inbox::new(&ours), server), crate::handshake::finish(client))
}

fn with(authority: &MeshAuthority, change: impl FnOnce(&mut CertificateParams)) -> Svid {
    authority.svid_with(CART, change)
}

/// Ended a day ago.
fn expired(authority: &MeshAuthority) -> Svid {
    with(authority, |leaf| {
        (leaf.not_before, leaf.not_after) = ((now() - 2 * DAY).into(), (now() - DAY).into());
    })
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}
