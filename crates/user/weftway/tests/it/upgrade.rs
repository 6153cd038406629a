//! A newer process takes the place of an older one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use weft_testkit::documents::ingress_route;
use weft_testkit::{
    Gateway, GatewayBuilder, H2Client, H2Request, RawClient, RawOrigin, Reserved, wait,
};

use crate::common::{GET, builder};

/// A gateway at this address, which passes its sockets on at `socket`.
fn at(addr: SocketAddr, socket: &Path, origin: &RawOrigin) -> GatewayBuilder {
    builder()
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .http(addr)
        .args(&["--takeover", socket.to_str().unwrap()])
}

fn ended_in_order(gateway: &mut Gateway) {
    wait::until_true("the end of the older process", || !gateway.is_running());
    assert_eq!(gateway.exit().code(), Some(0));
}

#[test]
fn requests_under_way_end_as_they_began() {
    let origin = RawOrigin::start("echo");
    let gate = origin.hold("/slow");
    let (reserved, folder) = (Reserved::any(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("takeover.sock");
    let mut older = at(reserved.addr(), &socket, &origin).start();
    let mut slow = older.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let h2 = H2Client::connect(older.web());
    let mut stream = h2.open(H2Request::get("a.test", "/slow"));
    stream.end();
    origin.wait_for("the requests", |requests, _| requests.len() == 2);

    let newer = at(reserved.addr(), &socket, &origin).start();
    // The newer one serves while the older still has something to do.
    assert_eq!(newer.get("a.test", "/").status, 200);
    assert!(older.is_running());
    gate.open();
    assert_eq!(slow.response().echo().target, "/slow");
    assert_eq!(stream.head().0, 200);
    while stream.data().is_some() {}
    drop((slow, h2));
    ended_in_order(&mut older);
    assert_eq!(newer.get("a.test", "/").status, 200);
}

/// Whatever the number of workers: a socket that nobody accepts from would swallow connections.
#[test]
fn no_connection_is_refused() {
    let origin = RawOrigin::start("echo");
    let (reserved, folder) = (Reserved::any(), tempfile::tempdir().unwrap());
    let (addr, socket) = (reserved.addr(), folder.path().join("takeover.sock"));
    let with_workers = |workers| at(addr, &socket, &origin).workers(workers).start();
    let mut serving = with_workers(3);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = RawClient::connect(addr);
                    client.request(GET).echo();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for workers in [1, 2, 4] {
            let newer = with_workers(workers);
            ended_in_order(&mut serving);
            let before = served.load(Ordering::Relaxed);
            wait::until_true("requests go on", || served.load(Ordering::Relaxed) > before + 50);
            serving = newer;
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_newer_process_that_fails_changes_nothing() {
    let origin = RawOrigin::start("echo");
    let (reserved, folder) = (Reserved::any(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("takeover.sock");
    let mut older = at(reserved.addr(), &socket, &origin).start();
    // Somebody asks for the sockets, gets them, and goes away.
    drop(std::os::unix::net::UnixStream::connect(&socket).unwrap());
    wait::until_true("what became of it", || {
        older.stderr().iter().any(|line| line.contains("this one goes on"))
    });
    assert_eq!(older.get("a.test", "/").status, 200);
    assert!(older.is_running());
    // The next one is better.
    let newer = at(reserved.addr(), &socket, &origin).start();
    ended_in_order(&mut older);
    assert_eq!(newer.get("a.test", "/").status, 200);
}

/// Sockets that are kept to be passed on must not take connections once nobody accepts them.
#[test]
fn a_drain_closes_its_doors_all_the_same() {
    let origin = RawOrigin::start("echo");
    let gate = origin.hold("/slow");
    let folder = tempfile::tempdir().unwrap();
    let reserved = Reserved::any();
    let mut gateway = at(reserved.addr(), &folder.path().join("takeover.sock"), &origin).start();
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_for("the request", |requests, _| requests.len() == 1);
    gateway.terminate();
    wait::until_true("closed doors", || RawClient::try_connect(reserved.addr()).is_err());
    gate.open();
    assert_eq!(client.response().echo().target, "/slow");
    drop(client);
    assert_eq!(gateway.exit().code(), Some(0));
}
