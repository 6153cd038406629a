//! The same over sockets of the system, on the clock of the system.

use std::future::pending;
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use weft_authority::{Authority, Lifetimes};
use weft_controlplane::{ByUid, ControlPlane, Keeper, Limits, Listener, Settings};
use weft_distribute::Published;
use weft_link::{ControlPeer, Endpoint, Link};
use weft_model::Generation;
use weft_model::id::WorkloadName;
use weft_model::identity::TrustDomain;
use weft_runtime::drain::drain;
use weft_runtime::ready::Readiness;
use weft_runtime::{task, time, worker};
use weft_tls::Clock;

use crate::harness::{control_identity, identity, mesh};

const LIMIT: Duration = Duration::from_secs(30);

async fn plane(uids: Vec<u32>) -> ControlPlane {
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
    ControlPlane::new(receiver, keeper, Rc::new(ByUid::new(uids)), settings).await.unwrap()
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
