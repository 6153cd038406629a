//! The same over sockets of the system, on the clock of the system.

use std::cell::RefCell;
use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tonic::{Code, Streaming};
use weft_authority::{Authority, Lifetimes, TrustBundle};
use weft_controlplane::{
    Attest, Attested, ByUid, Claim, ControlPlane, Keeper, Limits, Listener, NotAttested, Process,
    Settings, Side,
};
use weft_distribute::Published;
use weft_link::{ControlPeer, Endpoint, Link};
use weft_model::Generation;
use weft_model::id::WorkloadName;
use weft_model::identity::TrustDomain;
use weft_runtime::drain::{Drain, drain};
use weft_runtime::ready::Readiness;
use weft_runtime::task::{self, Task};
use weft_runtime::{time, worker};
use weft_tls::Clock;
use weft_wire::certificate::{ROOTS_PATH, RootsRequest, RootsResponse};
use weft_wire::workload_api::{
    FETCH_BUNDLES_PATH, FETCH_SVID_PATH, JWT_PATHS, X509BundlesRequest, X509BundlesResponse,
    X509SvidRequest, X509SvidResponse,
};

use crate::harness::{Raw, attested, control_identity, identity, mesh, until};

const LIMIT: Duration = Duration::from_secs(30);

async fn plane(uids: Vec<u32>) -> ControlPlane {
    plane_with(Rc::new(ByUid::new(uids))).await
}

async fn plane_with(attest: Rc<dyn Attest>) -> ControlPlane {
    let clock = Clock::wall();
    let authority =
        Authority::generate(TrustDomain::default(), Lifetimes::default(), clock.now()).unwrap();
    let published = watch::Sender::new(Published::default().next(&mesh(1, &[("a", 80)])));
    let settings =
        Settings { identity: control_identity(), limits: Limits::DEFAULT, clock, fleet_path: None };
    let receiver = published.subscribe();
    // Nothing is published any more, but that does not end it.
    task::spawn("publisher", async move {
        published.closed().await;
    });
    let keeper = Keeper::in_memory(authority);
    ControlPlane::new(receiver, keeper, attest, settings).await.unwrap()
}

fn start(endpoint: Endpoint) -> Link {
    let settings =
        weft_link::Settings::new(WorkloadName::new("shop/one-1"), identity("one"), endpoint);
    let (link, run) = weft_link::start(settings, &Readiness::new());
    task::spawn("link", run);
    link
}

async fn has_state(link: &Link) {
    let mut states = link.state();
    let first = states.wait_for(|state| state.generation == Generation(1));
    time::timeout(LIMIT, first).await.expect("a state within the limit").unwrap();
    assert_eq!(link.credentials().borrow().as_ref().unwrap().identity, identity("one"));
}

#[test]
fn the_kernel_says_who_is_at_a_unix_socket() {
    worker::block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let own = std::fs::metadata(folder.path()).unwrap().uid();
        for (uids, is_believed) in [(vec![own], true), (vec![own + 1], false)] {
            let plane = plane(uids).await;
            let _ = std::fs::remove_file(&path);
            let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
            let (drain, watch) = drain();
            let running =
                task::spawn("plane", async move { plane.run(vec![listener], watch).await });
            let link = start(Endpoint::unix(&path));
            if is_believed {
                has_state(&link).await;
            } else {
                let mut status = link.status();
                let refused = status.wait_for(|status| status.last_error.is_some());
                let status = time::timeout(LIMIT, refused).await.expect("an answer").unwrap();
                let error = status.last_error.clone().unwrap();
                assert!(error.contains("may not join the mesh"), "{error}");
            }
            link.say_goodbye().await;
            drain.run(Duration::from_secs(10), pending()).await;
            running.await.unwrap();
        }
    })
    .unwrap();
}

#[test]
fn a_proxy_joins_by_tcp_with_a_token_and_stays_by_its_certificate() {
    worker::block_on(async {
        let plane = plane(vec![]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (drain, watch) = drain();
        let token = plane.create_token(identity("one").into(), LIMIT).await.unwrap();
        let peer = ControlPeer {
            identity: control_identity(),
            roots: plane.credentials().borrow().bundle.clone(),
            token: Some(token.as_str().into()),
        };
        let running = plane.clone();
        let running = task::spawn("plane", async move {
            running.run(vec![Listener::Tcp(listener)], watch).await;
        });
        let link = start(Endpoint::tcp(addr.to_string(), peer));
        has_state(&link).await;
        assert_eq!(plane.status().proxies[0].workload.as_str(), "shop/one-1");
        link.say_goodbye().await;
        drain.run(Duration::from_secs(10), pending()).await;
        running.await.unwrap();
    })
    .unwrap();
}

/// What the node does: it knows the processes it has started, and which are applications.
struct Everybody {
    who: RefCell<Attested>,
    side: Side,
}

impl Attest for Everybody {
    fn attest(&self, _: Process, side: Side, _: &Claim) -> Result<Attested, NotAttested> {
        match self.side == side {
            true => Ok(self.who.borrow().clone()),
            false => Err(NotAttested("that is another socket's business".into())),
        }
    }
}

fn everybody(name: &str, side: Side) -> Rc<Everybody> {
    Rc::new(Everybody { who: RefCell::new(attested(name)), side })
}

/// A control plane with one socket, and somebody who has connected to it.
async fn connected(
    attest: Rc<Everybody>,
    socket: impl FnOnce(UnixListener) -> Listener,
) -> (ControlPlane, Raw, Drain, Task<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let plane = plane_with(attest).await;
    let listener = socket(UnixListener::bind(&path).unwrap());
    let (drain, watch) = drain();
    let running = plane.clone();
    let running = task::spawn("plane", async move { running.run(vec![listener], watch).await });
    let raw = Raw::over(UnixStream::connect(&path).await.unwrap()).await;
    (plane, raw, drain, running)
}

async fn svids(raw: &Raw) -> Streaming<X509SvidResponse> {
    raw.fetch(FETCH_SVID_PATH, X509SvidRequest {}, true).await.unwrap()
}

#[test]
fn each_socket_is_for_its_side_of_a_workload() {
    worker::block_on(async {
        // An application could say goodbye for its proxy.
        let application = everybody("one", Side::Application);
        let (_, raw, drain, running) = connected(application, Listener::Unix).await;
        let (requests, mut roots) =
            raw.stream::<RootsRequest, RootsResponse>(ROOTS_PATH).await.unwrap();
        requests.send(RootsRequest { goodbye: true, ..Default::default() }).await.unwrap();
        let refused = roots.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        drop((raw, requests, roots));
        drain.run(Duration::from_secs(10), pending()).await;
        running.await.unwrap();

        let proxy = everybody("one", Side::Proxy);
        let (_, raw, drain, running) = connected(proxy, Listener::Applications).await;
        let refused = svids(&raw).await.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        drop(raw);
        drain.run(Duration::from_secs(10), pending()).await;
        running.await.unwrap();
    })
    .unwrap();
}

#[test]
fn an_svid_is_waited_for_as_long_as_its_stream_is_open() {
    worker::block_on(async {
        let application = everybody("one", Side::Application);
        let (plane, raw, drain, running) = connected(application, Listener::Applications).await;
        let (mut one, mut two) = (svids(&raw).await, svids(&raw).await);
        one.message().await.unwrap().unwrap();
        two.message().await.unwrap().unwrap();
        assert_eq!(plane.registry().reports().len(), 2);
        drop(one);
        until("one is waited for", || plane.registry().reports().len() == 1).await;
        drop(two);
        until("nobody is waited for", || plane.registry().reports().is_empty()).await;
        drop(raw);
        drain.run(Duration::from_secs(10), pending()).await;
        running.await.unwrap();
    })
    .unwrap();
}

#[test]
fn who_is_no_longer_of_its_workload_gets_no_other_svid() {
    worker::block_on(async {
        let application = everybody("one", Side::Application);
        let (plane, raw, drain, running) =
            connected(application.clone(), Listener::Applications).await;
        let mut stream = svids(&raw).await;
        stream.message().await.unwrap().unwrap();
        // Its process has ended with its workload, and another has its number now.
        application.who.replace(attested("two"));
        plane.prepare(None).await.unwrap();
        let refused = stream.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);

        let mut stream = svids(&raw).await;
        stream.message().await.unwrap().unwrap();
        application.who.replace(attested("one"));
        plane.forget(&attested("two").workload);
        let refused = stream.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "at once, not when it is due");
        drop((stream, raw));
        drain.run(Duration::from_secs(10), pending()).await;
        running.await.unwrap();
    })
    .unwrap();
}

#[test]
fn applications_get_identities_of_their_own_by_the_workload_api() {
    worker::block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workload.sock");
        let plane = plane_with(everybody("one", Side::Application)).await;
        let listener = Listener::Applications(UnixListener::bind(&path).unwrap());
        let (drain, watch) = drain();
        let running = plane.clone();
        let running = task::spawn("plane", async move { running.run(vec![listener], watch).await });
        let raw = Raw::over(UnixStream::connect(&path).await.unwrap()).await;

        let refused = raw.fetch::<_, X509SvidResponse>(FETCH_SVID_PATH, X509SvidRequest {}, false);
        let refused = refused.await.unwrap().message().await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = raw.stream::<RootsRequest, RootsResponse>(ROOTS_PATH).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "applications are no proxies");
        for path in JWT_PATHS {
            let refused = raw.fetch::<_, X509SvidResponse>(path, X509SvidRequest {}, true);
            let refused = refused.await.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented);
            assert!(refused.message().contains("no JWT-SVIDs"), "{path}: {refused}");
        }

        let svids = raw.fetch::<_, X509SvidResponse>(FETCH_SVID_PATH, X509SvidRequest {}, true);
        let mut svids = svids.await.unwrap();
        let first = svids.message().await.unwrap().unwrap().svids.remove(0);
        assert_eq!(first.spiffe_id, identity("one").to_string());
        let leaf = der_len(&first.x509_svid);
        let chain =
            [first.x509_svid[..leaf].to_vec().into(), first.x509_svid[leaf..].to_vec().into()];
        let roots = TrustBundle::from_der([first.bundle.clone().into()]).unwrap();
        let verified = roots.verify(&chain, Clock::wall().now()).unwrap();
        assert_eq!(verified.identity, identity("one"));
        let bundles =
            raw.fetch::<_, X509BundlesResponse>(FETCH_BUNDLES_PATH, X509BundlesRequest {}, true);
        let mut bundles = bundles.await.unwrap();
        let bundle = bundles.message().await.unwrap().unwrap().bundles;
        assert_eq!(bundle["spiffe://cluster.local"], first.bundle);

        // A root that takes over comes to applications, too, and waits for them.
        plane.prepare(None).await.unwrap();
        let second = svids.message().await.unwrap().unwrap().svids.remove(0);
        assert!(second.bundle.len() > first.bundle.len());
        assert_ne!(second.x509_svid_key, first.x509_svid_key);
        assert_eq!(bundles.message().await.unwrap().unwrap().bundles.len(), 1);

        drop((svids, bundles, raw));
        drain.run(Duration::from_secs(10), pending()).await;
        running.await.unwrap();
    })
    .unwrap();
}

/// The length of the DER at the beginning of some bytes.
fn der_len(bytes: &[u8]) -> usize {
    assert_eq!(bytes[..2], [0x30, 0x82], "a sequence with a length of two bytes");
    4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))
}
