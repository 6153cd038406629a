use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use weft_model::calling::{ProxyVersion, Tunnel};
use weft_model::outcome::Reason;
use weft_resilience::settings::{LimitSettings, OutlierSettings};
use weft_runtime::task;
use weft_testkit::TcpOrigin;

use super::*;
use crate::backend::Backend;
use crate::backends::{Backends, PreparedBackend};
use crate::call::Ask;
use crate::lease::Tried;
use crate::shared::Shared;
use crate::testing::{backend, calling, get, local, metrics, prepared, until, with, worker};

/// For what is to come about.
const MUCH: Duration = Duration::from_secs(20);

/// For what is not.
const LITTLE: Duration = Duration::from_millis(20);

/// Somewhere that connections are taken, by the kernel at least.
async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr)
}

fn connections(max: u32) -> LimitSettings {
    LimitSettings { connections: Some(max), ..LimitSettings::default() }
}

fn bounded(addrs: &[SocketAddr], limits: LimitSettings) -> PreparedBackend {
    calling(backend("shop", addrs), |calling| calling.limits = limits)
}

fn shop(worker: &Backends) -> Rc<Backend> {
    get(worker, "shop")
}

/// A lease on the endpoint there.
fn lease(shop: &Rc<Backend>, addr: SocketAddr) -> Lease {
    let found =
        shop.pick_where(&Ask::new(time::now(), &Tried::default()), |one| one.addr() == addr);
    found.expect("requests are not bounded").expect("it is usable")
}

/// A connection, from the pool if there is one.
async fn connect(lease: &Lease) -> Result<(Box<Conn>, bool), ConnectError> {
    let dialled = match lease.pooled(time::now(), true, Speaks::Any) {
        Some(pooled) => pooled,
        None => {
            let buffers = Buffers::new(weft_net::BufferPool::default());
            lease.dial(&buffers, "shop", Speaks::Any).await?
        }
    };
    let Connection::H1(conn) = dialled.connection else { panic!("it is plain") };
    Ok((conn, dialled.idle.is_some()))
}

fn pending(shop: &Rc<Backend>) -> i64 {
    shop.cells().pending.value()
}

#[test]
fn a_request_waits_for_a_connection_that_becomes_free() {
    local(async {
        let (_listener, addr) = listening().await;
        let worker = worker(&Shared::new(time::now()), [bounded(&[addr], connections(1))]);
        let shop = shop(&worker);
        let first = lease(&shop, addr);
        let (conn, _) = connect(&first).await.expect("it is reached");
        let waiting = shop.clone();
        let second = task::spawn("second", async move {
            let lease = lease(&waiting, addr);
            connect(&lease).await.map(|(_, is_reused)| is_reused)
        });
        until("it waits", || pending(&shop) == 1).await;
        first.give_back(time::now(), conn);
        assert!(second.await.expect("it ends").expect("it is reached"), "it is the first one's");
        assert_eq!((shop.cells().connects.value(), pending(&shop)), (1, 0));
    });
}

#[test]
fn connections_are_given_in_the_order_in_which_they_were_asked_for() {
    local(async {
        let (_listener, addr) = listening().await;
        let worker = worker(&Shared::new(time::now()), [bounded(&[addr], connections(1))]);
        let shop = shop(&worker);
        let first = lease(&shop, addr);
        let (conn, _) = connect(&first).await.expect("it is reached");
        let served = Rc::new(RefCell::new(Vec::new()));
        for number in 0..5 {
            let (shop, served) = (shop.clone(), served.clone());
            let behind = shop.clone();
            task::spawn("waits", async move {
                let lease = lease(&shop, addr);
                let (conn, _) = connect(&lease).await.expect("it gets one");
                served.borrow_mut().push(number);
                // Every other connection is not used again: a place becomes free instead.
                if number % 2 == 0 {
                    lease.give_back(time::now(), conn);
                }
            });
            until("it waits", || pending(&behind) == number + 1).await;
        }
        first.give_back(time::now(), conn);
        let late = lease(&shop, addr);
        let too_early = late.pooled(time::now(), true, Speaks::Any);
        assert!(too_early.is_none(), "what others wait for is not for who comes later");
        until("all were served", || served.borrow().len() == 5).await;
        assert_eq!(*served.borrow(), [0, 1, 2, 3, 4]);
        assert_eq!(shop.cells().connects.value(), 3);
    });
}

#[test]
fn who_gives_up_leaves_the_line_and_holds_up_nobody() {
    local(async {
        let (_listener, addr) = listening().await;
        let worker = worker(&Shared::new(time::now()), [bounded(&[addr], connections(1))]);
        let shop = shop(&worker);
        let first = lease(&shop, addr);
        let (conn, _) = connect(&first).await.expect("it is reached");
        let wait = || {
            let shop = shop.clone();
            task::spawn("waits", async move { connect(&lease(&shop, addr)).await.is_ok() })
        };
        let gives_up = wait();
        until("it waits", || pending(&shop) == 1).await;
        let stays = wait();
        until("both wait", || pending(&shop) == 2).await;
        // It is called, and has no time to look.
        first.give_back(time::now(), conn);
        gives_up.abort();
        assert_eq!(stays.await, Ok(true));
        until("nobody waits", || pending(&shop) == 0).await;
    });
}

#[test]
fn no_more_wait_than_may() {
    local(async {
        let (_listener, addr) = listening().await;
        let limits = LimitSettings { pending: Some(1), ..connections(1) };
        let worker = worker(&Shared::new(time::now()), [bounded(&[addr], limits)]);
        let shop = shop(&worker);
        let first = lease(&shop, addr);
        let (conn, _) = connect(&first).await.expect("it is reached");
        let waiting = shop.clone();
        let second =
            task::spawn("waits", async move { connect(&lease(&waiting, addr)).await.is_ok() });
        until("it waits", || pending(&shop) == 1).await;
        let third = connect(&lease(&shop, addr)).await.expect_err("one waits already");
        assert_eq!(third.reason(), Reason::PendingOverflow);
        assert_eq!(third.to_string(), "the bound of 1 pending requests is reached");
        first.give_back(time::now(), conn);
        assert_eq!(second.await, Ok(true));
        assert_eq!(
            metrics(&worker, "weftway_upstream_refused"),
            [r#"weftway_upstream_refused_total{backend="shop",bound="pending",scope="backend"} 1"#]
        );
        assert_eq!(shop.cells().connect_failures.value(), 0, "nobody failed to connect");
    });
}

#[test]
fn who_waits_in_vain_is_told_which_bound_it_was() {
    local(async {
        let (_listener, addr) = listening().await;
        for (limits, each, expected) in [
            (connections(1), LimitSettings::default(), "the bound of 1 connections is reached"),
            (
                connections(9),
                connections(1),
                "the bound of 1 connections is reached at the endpoint",
            ),
        ] {
            let with_patience = |patience| {
                calling(bounded(&[addr], limits), |calling| {
                    calling.endpoint_limits = each;
                    calling.pool.connect_timeout = patience;
                })
            };
            let worker = worker(&Shared::new(time::now()), [with_patience(MUCH)]);
            let first = lease(&shop(&worker), addr);
            let _used = connect(&first).await.expect("it is reached");
            worker.reconcile(prepared([with_patience(LITTLE)]), time::now());
            let shop = shop(&worker);
            let error = connect(&lease(&shop, addr)).await.expect_err("it is in use");
            assert_eq!(error.reason(), Reason::ConnectionsBusy);
            assert_eq!(error.to_string(), expected);
        }
    });
}

#[test]
fn who_runs_out_of_time_in_line_blames_no_endpoint() {
    local(async {
        let (_listener, addr) = listening().await;
        let strict = calling(bounded(&[addr], connections(1)), |calling| {
            let ejected_ratio_max = 1.0;
            let consecutive = Some(1);
            calling.outlier =
                Some(OutlierSettings { consecutive, ejected_ratio_max, ..OutlierSettings::NONE });
        });
        let worker = worker(&Shared::new(time::now()), [strict]);
        let shop = shop(&worker);
        let first = lease(&shop, addr);
        let used = connect(&first).await.expect("it is reached");
        let late = lease(&shop, addr);
        let waited = time::timeout(Duration::from_millis(5), connect(&late)).await;
        assert!(waited.is_err(), "it is in use");
        late.failed(time::now(), Reason::RequestTimeout);
        assert!(shop.is_available(time::now()));
        // One whose time was over while it had a connection was at the endpoint.
        first.failed(time::now(), Reason::RequestTimeout);
        assert!(!shop.is_available(time::now()));
        drop(used);
    });
}

#[test]
fn what_is_idle_elsewhere_gives_way() {
    local(async {
        let ((_one, first), (_other, second)) = (listening().await, listening().await);
        let both = || [bounded(&[first, second], connections(1))];
        let shared = Shared::new(time::now());
        let workers = [worker(&shared, both()), worker(&shared, both())];
        let [here, there] = workers.each_ref().map(shop);
        // Of another endpoint, of another worker, and of both.
        for (shop, addr) in [(&here, first), (&here, second), (&there, second), (&here, first)] {
            let lease = lease(shop, addr);
            let (conn, is_reused) = connect(&lease).await.expect("room is made");
            assert!(!is_reused);
            lease.give_back(time::now(), conn);
            assert_eq!(lease.endpoint().idle_connections(), 1);
            assert_eq!(
                metrics(&workers[0], "weftway_upstream_connections_open"),
                [r#"weftway_upstream_connections_open{backend="shop"} 1"#]
            );
        }
    });
}

#[test]
fn a_connection_that_others_want_goes_round() {
    local(async {
        let (_listener, addr) = listening().await;
        let shared = Shared::new(time::now());
        let workers = [(); 2].map(|()| worker(&shared, [bounded(&[addr], connections(1))]));
        let [here, there] = workers.each_ref().map(shop);
        let first = lease(&here, addr);
        let (conn, _) = connect(&first).await.expect("it is reached");
        // Here somebody waits at any time; there one request waits with all others.
        let is_served = Rc::new(std::cell::Cell::new(false));
        for _ in 0..3 {
            let (shop, is_served) = (here.clone(), is_served.clone());
            task::spawn("greedy", async move {
                while !is_served.get() {
                    let lease = lease(&shop, addr);
                    let (conn, _) = connect(&lease).await.expect("it gets one");
                    tokio::task::yield_now().await;
                    lease.give_back(time::now(), conn);
                }
            });
        }
        until("they wait", || pending(&here) == 3).await;
        let modest =
            task::spawn("modest", async move { connect(&lease(&there, addr)).await.is_ok() });
        first.give_back(time::now(), conn);
        assert_eq!(modest.await, Ok(true));
        is_served.set(true);
        until("nobody waits", || pending(&here) == 0).await;
    });
}

#[test]
fn a_full_endpoint_holds_up_no_other() {
    local(async {
        let ((_one, first), (_other, second)) = (listening().await, listening().await);
        let each = calling(backend("shop", &[first, second]), |calling| {
            calling.endpoint_limits = connections(1);
        });
        let worker = worker(&Shared::new(time::now()), [each]);
        let shop = shop(&worker);
        let busy = lease(&shop, first);
        let _used = connect(&busy).await.expect("it is reached");
        assert!(connect(&lease(&shop, second)).await.is_ok());
    });
}

#[test]
fn a_bound_holds_from_the_moment_it_is_set() {
    local(async {
        let (_listener, addr) = listening().await;
        let settings = |limits: LimitSettings, patience| {
            calling(bounded(&[addr], limits), |calling| calling.pool.connect_timeout = patience)
        };
        let worker = worker(&Shared::new(time::now()), [settings(LimitSettings::default(), MUCH)]);
        let leases = [lease(&shop(&worker), addr), lease(&shop(&worker), addr)];
        let [one, two] = &leases;
        let (conn, _) = connect(one).await.expect("there is no bound");
        let _second = connect(two).await.expect("there is no bound");
        worker.reconcile(prepared([settings(connections(1), LITTLE)]), time::now());
        assert!(connect(&lease(&shop(&worker), addr)).await.is_err(), "two of one are open");
        drop(conn);
        let [one, two] = leases;
        drop(one);
        assert!(connect(&lease(&shop(&worker), addr)).await.is_err(), "one of one is open");
        drop(two);
        worker.reconcile(prepared([settings(connections(1), MUCH)]), time::now());
        assert!(connect(&lease(&shop(&worker), addr)).await.is_ok());
    });
}

/// The line, and then a connection that does not come about: a proxy that does not answer, or the
/// connection that somebody else makes for all.
#[test]
fn the_line_takes_nothing_of_the_time_to_connect() {
    for is_stream in [true, false] {
        local(async {
            let (_listener, addr) = listening().await;
            let slow = calling(bounded(&[addr], connections(1)), |calling| {
                calling.pool.connect_timeout = MUCH;
                calling.tunnel = Some(Tunnel { post: false, host: "shop".into(), port: 80 });
            });
            let slow = with(slow, |settings| settings.protocol = UpstreamProtocol::Http2);
            let worker = worker(&Shared::new(time::now()), [slow]);
            let (shop, buffers) = (shop(&worker), worker.environment().buffers.clone());
            let lease = lease(&shop, addr);
            let place = lease.gates()[1].try_enter().expect("it is free");
            let _turn = lease.endpoint.h2.turn().await.expect("it is free");
            tokio::time::pause();
            let begun = time::now();
            task::spawn("ends", async move {
                time::sleep(MUCH * 9 / 10).await;
                drop(place);
            });
            let error = match is_stream {
                true => lease.dial_stream(&buffers, "shop").await.expect_err("it hangs"),
                false => lease.dial(&buffers, "shop", Speaks::Any).await.expect_err("it hangs"),
            };
            assert!(matches!(error, ConnectError::Timeout), "{error:?}");
            assert!(!lease.queues.get());
            let taken = (time::now() - begun).as_secs();
            assert_eq!(taken, (MUCH * 19 / 10).as_secs(), "as a stream: {is_stream}");
        });
    }
}

#[test]
fn a_connection_that_comes_about_in_time_is_had_after_any_line() {
    local(async {
        let (_listener, addr) = listening().await;
        let shared = calling(bounded(&[addr], connections(1)), |calling| {
            calling.pool.connect_timeout = MUCH;
        });
        let shared = with(shared, |settings| settings.protocol = UpstreamProtocol::Http2);
        let worker = worker(&Shared::new(time::now()), [shared]);
        let (shop, buffers) = (shop(&worker), worker.environment().buffers.clone());
        let lease = lease(&shop, addr);
        let place = lease.gates()[1].try_enter().expect("it is free");
        let turn = lease.endpoint.h2.turn().await.expect("it is free");
        tokio::time::pause();
        let others = async {
            time::sleep(MUCH * 9 / 10).await;
            drop(place);
            time::sleep(MUCH / 2).await;
            // What follows is the kernel's, which does not know of this clock.
            tokio::time::resume();
            drop(turn);
        };
        let (dialled, ()) = tokio::join!(lease.dial(&buffers, "shop", Speaks::Any), others);
        assert!(matches!(dialled, Ok(Dialled { connection: Connection::H2(_), .. })));
    });
}

#[test]
fn a_stream_of_bytes_counts_as_a_connection_until_its_lease_is_dropped() {
    let origin = TcpOrigin::start("tcp");
    local(async {
        let worker = worker(&Shared::new(time::now()), [bounded(&[origin.addr()], connections(1))]);
        let shop = shop(&worker);
        let buffers = worker.environment().buffers.clone();
        let first = lease(&shop, origin.addr());
        let mut io = first.dial_stream(&buffers, "").await.expect("it is reached");
        let mut greeting = [0; 4];
        io.read_exact(&mut greeting).await.expect("it greets");
        let waiting = shop.clone();
        let second = task::spawn("second", async move {
            let lease = lease(&waiting, origin.addr());
            let io = lease.dial_stream(&buffers, "").await;
            (io.is_ok(), origin)
        });
        until("it waits", || pending(&shop) == 1).await;
        drop(io);
        drop(first);
        let (is_reached, _origin) = second.await.expect("it ends");
        assert!(is_reached);
    });
}

/// Takes HTTP/2 connections of two streams each, whose requests it does not answer.
fn serve_h2(listener: TcpListener) {
    task::spawn("origin", async move {
        loop {
            let (stream, _) = listener.accept().await.expect("it accepts");
            task::spawn("origin", async move {
                let mut builder = h2::server::Builder::new();
                let shaken = builder.max_concurrent_streams(2).handshake(stream).await;
                let mut server: h2::server::Connection<_, bytes::Bytes> =
                    shaken.expect("it is HTTP/2");
                let mut held = Vec::new();
                while let Some(Ok(request)) = server.accept().await {
                    held.push(request);
                }
            });
        }
    });
}

fn bounded_h2(addrs: &[SocketAddr], limits: LimitSettings) -> PreparedBackend {
    with(bounded(addrs, limits), |settings| settings.protocol = UpstreamProtocol::Http2)
}

/// A request on a connection of HTTP/2, until what is returned is dropped.
async fn open_h2(shop: Rc<Backend>, addr: SocketAddr) -> (impl Sized, Lease) {
    let lease = lease(&shop, addr);
    let buffers = Buffers::new(weft_net::BufferPool::default());
    let dialled = match lease.pooled(time::now(), true, Speaks::Any) {
        Some(pooled) => pooled,
        None => lease.dial(&buffers, "shop", Speaks::Any).await.expect("it is reached"),
    };
    let Connection::H2(mut client) = dialled.connection else { panic!("not HTTP/2") };
    let mut head = weft_message::RequestHead::new();
    head.set_authority("shop").expect("it is valid");
    head.set_path("/").expect("it is valid");
    std::future::poll_fn(|cx| client.poll_ready(cx)).await.expect("it is open");
    let stream = client.begin_request(&head, false).expect("there is room");
    (stream, lease)
}

#[test]
fn an_http2_connection_is_shared_before_a_request_has_to_wait() {
    local(async {
        let (listener, addr) = listening().await;
        serve_h2(listener);
        let worker = worker(&Shared::new(time::now()), [bounded_h2(&[addr], connections(1))]);
        let shop = shop(&worker);
        // A burst: the first dials, the second shares what it has made.
        let burst = [(); 2].map(|()| task::spawn("burst", open_h2(shop.clone(), addr)));
        let [first, second] = burst;
        let (first, second) = (first.await.expect("it ends"), second.await.expect("it ends"));
        assert_eq!(shop.cells().connects.value(), 1);
        until("the peer has said how many streams it takes", || {
            shop.endpoints()[0].h2.take(time::now(), &shop.reuse, |()| true).is_none()
        })
        .await;
        let third = task::spawn("third", open_h2(shop.clone(), addr));
        until("it waits", || pending(&shop) == 1).await;
        drop(first);
        let third = third.await.expect("it ends");
        assert_eq!(shop.cells().connects.value(), 1);
        drop((second, third));
    });
}

#[test]
fn a_shared_connection_that_becomes_idle_makes_room_elsewhere_at_the_next_sweep() {
    local(async {
        let ((one, first), (other, second)) = (listening().await, listening().await);
        for listener in [one, other] {
            serve_h2(listener);
        }
        let bounded = bounded_h2(&[first, second], connections(1));
        let worker = worker(&Shared::new(time::now()), [bounded]);
        let shop = shop(&worker);
        let busy = open_h2(shop.clone(), first).await;
        let waiting = task::spawn("waiting", open_h2(shop.clone(), second));
        until("it waits", || pending(&shop) == 1).await;
        worker.sweep(time::now());
        assert_eq!(shop.endpoints()[0].h2.len(), 1, "it is in use");
        drop(busy);
        until("the stream has ended and room is made", || {
            worker.sweep(time::now());
            pending(&shop) == 0
        })
        .await;
        assert!(waiting.await.is_ok());
        assert_eq!(shop.cells().connects.value(), 2);
    });
}

#[test]
fn as_client_over_tls_is_what_both_sides_agree_on() {
    use weft_model::backend::UpstreamTls;
    use weft_tls::ClientTls;

    let certificates = weft_testkit::Certificates::new("root");
    let leaf = certificates.leaf(&["shop"]);
    let http1 = weft_testkit::RawOrigin::builder("one").tls(&leaf).start();
    let http2 = weft_testkit::H2Origin::start_tls("two", &leaf);
    local(async {
        let tls = UpstreamTls {
            server_name: Some("shop".into()),
            roots_pem: Some(certificates.pem().as_bytes().into()),
            ..UpstreamTls::default()
        };
        for (addr, speaks, expected) in [
            (http1.addr(), Speaks::Any, false),
            (http1.addr(), Speaks::Http2, false),
            (http2.addr(), Speaks::Any, true),
            (http2.addr(), Speaks::Http2, true),
        ] {
            let built = ClientTls::build(&tls, Some(UpstreamProtocol::AsClient));
            let secure = calling(backend("shop", &[addr]), |calling| {
                calling.tls = Some(Arc::new(tls.clone()));
            });
            let secure = crate::testing::with(secure, |settings| {
                settings.protocol = UpstreamProtocol::AsClient;
            });
            let secure =
                PreparedBackend { tls: Some(Arc::new(built.expect("it is valid"))), ..secure };
            let worker = worker(&Shared::new(time::now()), [secure]);
            let lease = lease(&shop(&worker), addr);
            let buffers = worker.environment().buffers.clone();
            let dialled = lease.dial(&buffers, "shop", speaks).await.expect("it is reached");
            let is_h2 = matches!(dialled.connection, Connection::H2(_));
            assert_eq!(is_h2, expected, "{addr} for {speaks:?}");
        }
    });
}

/// The backend wants to be told who its clients are.
fn told(addr: SocketAddr, protocol: UpstreamProtocol) -> PreparedBackend {
    let told = calling(backend("shop", &[addr]), |calling| {
        calling.proxy_protocol = Some(ProxyVersion::V1);
    });
    with(told, |settings| settings.protocol = protocol)
}

#[test]
fn a_byte_stream_begins_with_what_is_to_come_first() {
    let origin = TcpOrigin::start("tcp");
    local(async {
        let worker =
            worker(&Shared::new(time::now()), [told(origin.addr(), UpstreamProtocol::Http1)]);
        let lease = lease(&shop(&worker), origin.addr());
        let buffers = worker.environment().buffers.clone();
        let mut io = lease.dial_stream(&buffers, "").await.expect("it is reached");
        io.write_all(b"hello").await.expect("it is open");
        until("all has come", || origin.received() == [b"PROXY UNKNOWN\r\nhello".to_vec()]).await;
    });
}

#[test]
fn a_connection_for_a_request_begins_with_its_client_and_serves_no_other() {
    for protocol in [UpstreamProtocol::Http1, UpstreamProtocol::Http2] {
        local(async {
            let (listener, addr) = listening().await;
            let worker = worker(&Shared::new(time::now()), [told(addr, protocol)]);
            let buffers = worker.environment().buffers.clone();
            for client in ["192.0.2.1:1111", "192.0.2.2:2222"] {
                let lease = lease(&shop(&worker), addr);
                lease.on_behalf_of(
                    client.parse().expect("an address"),
                    "192.0.2.9:80".parse().expect("an address"),
                );
                assert!(lease.pooled(time::now(), true, Speaks::Any).is_none());
                let dialled = lease.dial(&buffers, "shop", Speaks::Any).await;
                let dialled = dialled.expect("it is reached");
                assert_eq!(dialled.idle, None);
                let (mut stream, _) = listener.accept().await.expect("there is one");
                let (host, port) = client.split_once(':').expect("it has a port");
                let expected = format!("PROXY TCP4 {host} 192.0.2.9 {port} 80\r\n");
                let mut found = vec![0; expected.len()];
                stream.read_exact(&mut found).await.expect("it comes first");
                assert_eq!(String::from_utf8_lossy(&found), expected);
                if let Connection::H1(conn) = dialled.connection {
                    lease.give_back(time::now(), conn);
                }
            }
        });
    }
}
