mod fake;

use std::cell::Cell;
use std::future::poll_fn;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use weft_http::h2::{OpenError, Stream};
use weft_message::{Method, RequestHead, ResponseHead};
use weft_model::backend::{Endpoint, Endpoints, Probe, UpstreamProtocol};
use weft_model::calling::Calling;
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_net::BufferPool;
use weft_resilience::outlier::Outlier;
use weft_resilience::rng::Rng;
use weft_runtime::metrics::Registry;
use weft_runtime::time;
use weft_testkit::{MeshAuthority, RawOrigin, Reserved, TcpOrigin};
use weft_tls::mesh::IdentityRefused;

use super::*;
use crate::health::Prober;
use crate::shared::Shared;
use crate::testing::{backend, calling, check, local, prepared, until, with};
use crate::{Ask, Backends, Connection, Environment, Lease, PreparedBackend, Speaks, Tried};
use fake::{CART, FakePeer, HELD, Manners, PAYMENTS, expired, identity, mesh_tls, stranger};

/// An application that nobody needs to connect to.
const APPLICATION: &str = "10.77.0.9:8080";

/// A caller with credentials.
struct Caller {
    authority: MeshAuthority,
    cell: MeshTlsCell,
    backends: Backends,
}

impl Caller {
    fn new(backends: impl IntoIterator<Item = PreparedBackend>) -> Self {
        Self::of(MeshAuthority::new("root"), backends)
    }

    fn of(authority: MeshAuthority, backends: impl IntoIterator<Item = PreparedBackend>) -> Self {
        let cell = MeshTlsCell::new();
        cell.set(mesh_tls(&authority, CART));
        let made = worker(cell.clone());
        made.reconcile(prepared(backends), time::now());
        Self { authority, cell, backends: made }
    }

    fn lease(&self, id: &str) -> Lease {
        let backend = self.backends.backend(&BackendId::new(id), time::now());
        let backend = backend.expect("it is configured");
        backend.pick(&Ask::new(time::now(), &Tried::default()), &Rng::new(7)).expect("there is one")
    }

    async fn dial(&self, id: &str, speaks: Speaks) -> Result<Connection, ConnectError> {
        self.dial_on(&self.lease(id), speaks).await
    }

    async fn dial_on(&self, lease: &Lease, speaks: Speaks) -> Result<Connection, ConnectError> {
        let buffers = &self.backends.environment().buffers;
        if let Some(pooled) = lease.pooled(time::now(), true, speaks) {
            return Ok(pooled.connection);
        }
        lease.dial(buffers, "shop", speaks).await.map(|dialled| dialled.connection)
    }

    async fn stream(&self, id: &str) -> Result<Io, ConnectError> {
        let lease = self.lease(id);
        lease.dial_stream(&self.backends.environment().buffers, "shop").await
    }

    /// Begins a request.
    async fn begin(&self, id: &str, path: &str) -> Box<Stream> {
        let connection = self.dial(id, Speaks::Any).await.expect("it is reached");
        let Connection::Mesh(mut client, destination) = connection else {
            panic!("not a request to a proxy: {connection:?}");
        };
        client.begin_request(&request(path, destination), true).expect("it is sent")
    }

    /// Sends a request, and gives the status of its answer.
    async fn ask(&self, id: &str, path: &str) -> u16 {
        answer(&mut *self.begin(id, path).await).await.expect("it is answered")
    }

    async fn refused(&self, id: &str) -> ConnectError {
        self.dial(id, Speaks::Any).await.expect_err("it is not reached")
    }
}

fn worker(mesh: MeshTlsCell) -> Backends {
    Backends::new(Environment {
        buffers: Buffers::new(BufferPool::default()),
        shared: Shared::new(time::now()),
        metrics: Arc::default(),
        mesh,
    })
}

fn request(path: &str, destination: SocketAddr) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(Method::Get);
    head.set_authority("payments").expect("it is valid");
    head.set_path(path).expect("it is valid");
    weft_message::peer::set_destination(&mut head.fields, destination);
    head
}

async fn answer(stream: &mut Stream) -> Result<u16, weft_http::error::HeadError> {
    let mut head = ResponseHead::default();
    poll_fn(|cx| stream.poll_response(cx, &ANSWER, &mut head)).await?;
    Ok(head.status())
}

/// A backend with one endpoint beside a proxy.
fn behind(id: &str, addr: &str, peer: &Arc<Peer>) -> PreparedBackend {
    let addr: SocketAddr = addr.parse().expect("it is valid");
    let endpoint = Endpoint { peer: Some(peer.clone()), ..Endpoint::new(addr) };
    let backend = PreparedBackend { endpoints: [endpoint].into(), ..backend(id, &[]) };
    with(backend, |settings| settings.protocol = UpstreamProtocol::AsClient)
}

async fn peer_with(authority: &MeshAuthority, manners: Manners) -> FakePeer {
    FakePeer::start(mesh_tls(authority, PAYMENTS), manners).await
}

#[test]
fn requests_of_all_services_share_one_connection() {
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let addrs = ["10.77.0.9:8080", "10.77.0.9:9090", "[fd77::9]:8080"];
        let all = addrs.iter().map(|addr| behind(addr, addr, &peer.peer()));
        let caller = Caller::of(authority, all);
        for addr in addrs.iter().cycle().take(30) {
            assert_eq!(caller.ask(addr, "/").await, 200);
        }
        assert_eq!(peer.connections().len(), 1);
        assert_eq!(peer.connections()[0].alpn, Alpn::Weftway1);
        let expected: Vec<_> =
            addrs.iter().cycle().take(30).map(|addr| format!("{addr} /")).collect();
        assert_eq!(peer.requests(), expected);
        let cells = caller.backends.environment().metrics.peers();
        assert_eq!((cells.connects.value(), cells.open.value()), (1, 1));
        let lease = caller.lease(addrs[0]);
        assert_eq!(lease.peer().map(|peer| peer.identity.as_str()), Some(PAYMENTS));
    });
}

#[test]
fn a_burst_makes_one_connection_and_more_when_its_streams_are_used_up() {
    local(async {
        let authority = MeshAuthority::new("root");
        let manners = Manners { streams_max: 20, ..Manners::default() };
        let peer = peer_with(&authority, manners).await;
        let caller = Rc::new(Caller::of(authority, [behind("shop", APPLICATION, &peer.peer())]));
        let burst: Vec<_> = (0..20)
            .map(|_| {
                let caller = caller.clone();
                task::spawn("request", async move {
                    let mut stream = caller.begin("shop", HELD).await;
                    answer(&mut stream).await.expect("it is answered")
                })
            })
            .collect();
        until("all requests", || peer.requests().len() == 20).await;
        assert_eq!(peer.connections().len(), 1);
        assert_eq!(caller.ask("shop", "/").await, 200);
        assert_eq!(peer.connections().len(), 2);
        peer.release();
        for request in burst {
            assert_eq!(request.await, Ok(200));
        }
    });
}

#[test]
fn each_worker_has_connections_of_its_own() {
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let (cell, there) = (MeshTlsCell::new(), peer.peer());
        cell.set(mesh_tls(&authority, CART));
        let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..2 {
            let (cell, there, done) = (cell.clone(), there.clone(), done.clone());
            weft_runtime::worker::spawn("worker", move || async move {
                let backends = worker(cell.clone());
                backends.reconcile(prepared([behind("shop", APPLICATION, &there)]), time::now());
                let caller = Caller { authority: MeshAuthority::new("unused"), cell, backends };
                for _ in 0..10 {
                    assert_eq!(caller.ask("shop", "/").await, 200);
                }
                done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            })
            .expect("a thread can be started");
        }
        until("both", || done.load(std::sync::atomic::Ordering::SeqCst) == 2).await;
        assert_eq!((peer.connections().len(), peer.requests().len()), (2, 20));
    });
}

#[test]
fn bytes_and_upgrades_go_through_tunnels() {
    let (echo, origin) = (TcpOrigin::start("hello"), RawOrigin::start("shop"));
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let there = peer.peer();
        let all = [
            behind("tcp", &echo.addr().to_string(), &there),
            behind("http", &origin.addr().to_string(), &there),
        ];
        let caller = Caller::of(authority, all);
        let mut streams = Vec::new();
        for _ in 0..3 {
            let mut stream = caller.stream("tcp").await.expect("it is reached");
            let mut greeting = [0; 6];
            stream.read_exact(&mut greeting).await.expect("it greets");
            stream.write_all(b"bytes").await.expect("it takes them");
            let mut echoed = [0; 5];
            stream.read_exact(&mut echoed).await.expect("it echoes");
            assert_eq!((&greeting, &echoed), (b"hello\n", b"bytes"));
            streams.push(stream);
        }
        let upgrade = caller.dial("http", Speaks::Http1).await.expect("it is reached");
        assert!(matches!(upgrade, Connection::H1(_)), "{upgrade:?}");
        let seen: Vec<_> = peer.connections().iter().map(|connection| connection.alpn).collect();
        assert_eq!(seen, [Alpn::H2], "all in one");
        let expected = format!("CONNECT {}", echo.addr());
        assert_eq!(peer.requests()[..3], [expected.clone(), expected.clone(), expected]);
        // Each direction ends by itself.
        let mut stream = streams.pop().expect("there are three");
        stream.shutdown().await.expect("it is open");
        assert_eq!(stream.read(&mut [0]).await.expect("it ends in order"), 0);
    });
}

#[test]
fn a_peer_that_knows_tunnels_only_gets_connections_inside_of_them() {
    let origin = RawOrigin::start("shop");
    local(async {
        let authority = MeshAuthority::new("root");
        let manners = Manners { only_tunnels: true, ..Manners::default() };
        let peer = peer_with(&authority, manners).await;
        let caller =
            Caller::of(authority, [behind("shop", &origin.addr().to_string(), &peer.peer())]);
        for round in 0..3 {
            let lease = caller.lease("shop");
            let pooled = lease.pooled(time::now(), true, Speaks::Any);
            assert_eq!(pooled.is_some(), round > 0);
            let connection = match pooled {
                Some(pooled) => pooled.connection,
                None => caller.dial_on(&lease, Speaks::Any).await.expect("it is reached"),
            };
            let Connection::H1(conn) = connection else { panic!("{connection:?}") };
            lease.give_back(time::now(), conn);
        }
        assert_eq!(peer.connections().len(), 1);
        assert_eq!(peer.requests(), [format!("CONNECT {}", origin.addr())]);
    });
}

/// The receiving proxy has to see what the client speaks, because nobody has said what the
/// application does.
#[test]
fn http2_of_the_client_is_passed_on_as_it_is() {
    local(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = listener.local_addr().expect("it is bound");
        task::spawn("origin", async move {
            let (stream, _) = listener.accept().await.expect("it accepts");
            let mut server = h2::server::handshake(stream).await.expect("it is HTTP/2");
            while server.accept().await.is_some() {}
        });
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let declared = with(behind("declared", APPLICATION, &peer.peer()), |settings| {
            settings.protocol = UpstreamProtocol::Http2;
        });
        let unknown = behind("unknown", &origin.to_string(), &peer.peer());
        let caller = Caller::of(authority, [declared, unknown]);
        for _ in 0..3 {
            let connection = caller.dial("unknown", Speaks::Http2).await.expect("it is reached");
            assert!(matches!(connection, Connection::H2(_)), "{connection:?}");
        }
        assert_eq!(peer.requests(), [format!("CONNECT {origin}")], "one tunnel for all");
        // Where it is known, the receiving proxy knows it, too.
        let connection = caller.dial("declared", Speaks::Http2).await.expect("it is reached");
        assert!(matches!(connection, Connection::Mesh(..)), "{connection:?}");
    });
}

#[test]
fn who_is_not_the_one_expected_is_refused() {
    local(async {
        let caller = Caller::new([]);
        let other = "spiffe://cluster.local/ns/shop/sa/other";
        let check = async |tls: MeshTls, is_expected: fn(&IdentityRefused) -> bool| {
            let peer = FakePeer::start(tls, Manners::default()).await;
            let all = [behind("shop", APPLICATION, &peer.peer())];
            caller.backends.reconcile(prepared(all), time::now());
            for error in
                [caller.refused("shop").await, caller.stream("shop").await.expect_err("refused")]
            {
                assert_eq!(error.reason(), Reason::IdentityRefused);
                let ConnectError::Identity(refused) = error else { panic!("{error:?}") };
                assert!(is_expected(&refused), "{refused}");
            }
            assert_eq!(peer.requests(), [""; 0]);
        };
        check(mesh_tls(&caller.authority, other), |refused| {
            refused.to_string() == format!("wrong identity: expected {PAYMENTS}, got spiffe://cluster.local/ns/shop/sa/other")
        })
        .await;
        check(expired(&caller.authority, PAYMENTS), |refused| {
            matches!(refused, IdentityRefused::Expired { .. })
        })
        .await;
        check(mesh_tls(&MeshAuthority::new("another mesh"), PAYMENTS), |refused| {
            matches!(refused, IdentityRefused::UnknownAuthority)
        })
        .await;
        assert_eq!(caller.backends.environment().metrics.peers().failures.value(), 6);
    });
}

#[test]
fn a_peer_that_refuses_us_is_known_before_anything_is_sent() {
    local(async {
        let caller = Caller::new([]);
        caller.cell.set(stranger(&caller.authority, CART));
        let peer = peer_with(&caller.authority, Manners::default()).await;
        let all = [behind("shop", APPLICATION, &peer.peer())];
        caller.backends.reconcile(prepared(all), time::now());
        let error = caller.refused("shop").await;
        assert!(matches!(error, ConnectError::Identity(IdentityRefused::ByPeer(_))), "{error:?}");
        assert_eq!(error.reason(), Reason::IdentityRefused);
    });
}

#[test]
fn without_a_certificate_nobody_is_called_and_nobody_is_blamed() {
    local(async {
        let peer = Arc::new(Peer { addr: Reserved::forever(), identity: identity(PAYMENTS) });
        let backends = worker(MeshTlsCell::new());
        backends.reconcile(prepared([behind("shop", APPLICATION, &peer)]), time::now());
        let (authority, cell) = (MeshAuthority::new("root"), backends.environment().mesh.clone());
        let caller = Caller { authority, cell, backends };
        let error = caller.refused("shop").await;
        assert!(matches!(error, ConnectError::NoCertificate), "{error:?}");
        assert_eq!(error.reason(), Reason::NoCertificate);
        assert_eq!(error.reason().fault(), weft_model::outcome::Fault::Gateway);
        // One that has expired is as good as none.
        caller.cell.set(expired(&caller.authority, CART));
        let error = caller.stream("shop").await.expect_err("nobody would take us");
        assert!(matches!(error, ConnectError::CertificateExpired(_)), "{error:?}");
        assert_eq!(error.reason(), Reason::NoCertificate);
        // As soon as there is one, it is used.
        let peer = peer_with(&caller.authority, Manners::default()).await;
        let all = [behind("shop", APPLICATION, &peer.peer())];
        caller.backends.reconcile(prepared(all), time::now());
        caller.cell.set(mesh_tls(&caller.authority, CART));
        assert_eq!(caller.ask("shop", "/").await, 200);
    });
}

#[test]
fn a_peer_that_says_nothing_is_given_up_in_time() {
    local(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let peer = Arc::new(Peer { addr, identity: identity(PAYMENTS) });
        let caller = Caller::new([with(behind("shop", APPLICATION, &peer), |settings| {
            Arc::make_mut(&mut settings.calling).pool.connect_timeout = Duration::from_millis(20);
        })]);
        let error = caller.refused("shop").await;
        assert!(matches!(error, ConnectError::Timeout), "{error:?}");
        assert_eq!(error.reason(), Reason::ConnectTimeout);
        // Whoever comes next has its own turn.
        let error = caller.stream("shop").await.expect_err("it is silent still");
        assert!(matches!(error, ConnectError::Timeout), "{error:?}");
        let cells = caller.backends.environment().metrics.peers();
        assert_eq!((cells.connects.value(), cells.failures.value()), (0, 2));
    });
}

#[test]
fn refused_tunnels_say_why() {
    local(async {
        for (status, reason) in [
            (401, Reason::IdentityRefused),
            (403, Reason::IdentityRefused),
            (502, Reason::ConnectFailed),
            (503, Reason::ConnectFailed),
            (504, Reason::ConnectTimeout),
        ] {
            let authority = MeshAuthority::new("root");
            let manners = Manners { tunnel_status: status, ..Manners::default() };
            let peer = peer_with(&authority, manners).await;
            let caller = Caller::of(authority, [behind("shop", APPLICATION, &peer.peer())]);
            let error = caller.stream("shop").await.expect_err("it is refused");
            assert_eq!(error.reason(), reason, "{status}");
            let ConnectError::Tunnel(OpenError::Refused(answer)) = error else {
                panic!("{error:?}");
            };
            assert_eq!(answer.status(), status);
        }
    });
}

#[test]
fn a_peer_that_dies_takes_its_streams_along_and_is_called_anew() {
    let echo = TcpOrigin::start("hello");
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let all = [
            behind("http", APPLICATION, &peer.peer()),
            behind("tcp", &echo.addr().to_string(), &peer.peer()),
        ];
        let caller = Caller::of(authority, all);
        let mut held = caller.begin("http", HELD).await;
        let mut tunnel = caller.stream("tcp").await.expect("it is reached");
        tunnel.read_exact(&mut [0; 6]).await.expect("it greets");
        until("the request", || peer.requests().len() == 2).await;
        peer.die();
        let error = answer(&mut held).await.expect_err("it broke");
        assert!(!error.is_malformed(), "{error:?}");
        assert!(tunnel.read(&mut [0]).await.is_err(), "a break is no end");
        assert_eq!(caller.ask("http", "/").await, 200);
        let mut tunnel = caller.stream("tcp").await.expect("it is reached");
        tunnel.read_exact(&mut [0; 6]).await.expect("it greets");
        assert_eq!(peer.connections().len(), 4);
    });
}

#[test]
fn a_peer_that_says_goodbye_finishes_what_it_has_and_gets_no_more() {
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let caller = Caller::of(authority, [behind("shop", APPLICATION, &peer.peer())]);
        let mut held = caller.begin("shop", HELD).await;
        until("the request", || peer.requests().len() == 1).await;
        peer.drain();
        let (lease, now) = (caller.lease("shop"), time::now());
        until("the goodbye", || lease.pooled(now, true, Speaks::Any).is_none()).await;
        assert_eq!(caller.ask("shop", "/").await, 200);
        assert_eq!(peer.connections().len(), 2);
        peer.release();
        assert_eq!(answer(&mut held).await.expect("it is answered"), 200);
        until("the end of the first", || peer.open_connections() == 1).await;
    });
}

#[test]
fn a_peer_that_ends_new_connections_in_order_is_being_replaced_and_called_again() {
    let echo = TcpOrigin::start("hello");
    local(async {
        // The second number is how many connections are made.
        for (goodbyes, made) in [(1, Some(2)), (2, Some(3)), (3, None)] {
            for only_tunnels in [false, true] {
                let authority = MeshAuthority::new("root");
                let manners = Manners { goodbyes, only_tunnels, ..Manners::default() };
                let peer = peer_with(&authority, manners).await;
                let all = [
                    behind("http", APPLICATION, &peer.peer()),
                    behind("tcp", &echo.addr().to_string(), &peer.peer()),
                ];
                let caller = Caller::of(authority, all);
                let Some(made) = made else {
                    let error = caller.stream("tcp").await.expect_err("it takes nothing");
                    assert!(error.is_goodbye(), "{error:?}");
                    assert_eq!(peer.connections().len(), goodbyes);
                    continue;
                };
                if only_tunnels {
                    let mut tunnel = caller.stream("tcp").await.expect("it is reached");
                    tunnel.read_exact(&mut [0; 6]).await.expect("it greets");
                } else {
                    assert_eq!(caller.ask("http", "/").await, 200);
                }
                assert_eq!(peer.connections().len(), made);
            }
        }
    });
}

#[test]
fn a_request_that_is_carried_counts_as_a_connection_where_those_are_bounded() {
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let bounded = |id: &str, protocol| {
            let bounded = calling(behind(id, APPLICATION, &peer.peer()), |calling| {
                calling.limits.connections = Some(1);
                calling.limits.pending = Some(0);
            });
            with(bounded, |settings| settings.protocol = protocol)
        };
        let all = [
            bounded("shop", UpstreamProtocol::AsClient),
            bounded("grpc", UpstreamProtocol::Http2),
            behind("free", APPLICATION, &peer.peer()),
        ];
        let caller = Caller::of(authority, all);
        assert_eq!(caller.ask("free", "/").await, 200);
        let first = caller.lease("shop");
        caller.dial_on(&first, Speaks::Any).await.expect("it is the only one");
        let second = caller.refused("shop").await;
        assert_eq!(second.reason(), Reason::PendingOverflow);
        drop(first);
        caller.dial("shop", Speaks::Any).await.expect("the first has ended");
        // Where the application speaks HTTP/2, requests share a connection to the very end.
        let leases = [caller.lease("grpc"), caller.lease("grpc")];
        for lease in &leases {
            caller.dial_on(lease, Speaks::Any).await.expect("it is shared");
        }
    });
}

#[test]
fn new_credentials_are_used_from_then_on_while_old_streams_finish() {
    let origin = RawOrigin::start("shop");
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let manners = Manners { only_tunnels: true, ..Manners::default() };
        let foreign = peer_with(&authority, manners).await;
        let all = [
            behind("ours", APPLICATION, &peer.peer()),
            behind("foreign", &origin.addr().to_string(), &foreign.peer()),
        ];
        let caller = Caller::of(authority, all);
        let mut held = caller.begin("ours", HELD).await;
        let lease = caller.lease("foreign");
        let inside = caller.dial_on(&lease, Speaks::Any).await.expect("it is reached");
        let Connection::H1(conn) = inside else { panic!("{inside:?}") };
        lease.give_back(time::now(), conn);
        // The same credentials change nothing.
        caller.backends.sweep(time::now());
        assert_eq!(caller.ask("ours", "/").await, 200);
        assert_eq!(caller.lease("foreign").endpoint().idle_connections(), 1);
        caller.cell.set(mesh_tls(&caller.authority, CART));
        caller.backends.sweep(time::now());
        assert_eq!(caller.lease("foreign").endpoint().idle_connections(), 0);
        assert_eq!(caller.ask("ours", "/").await, 200);
        let seen = peer.connections();
        assert_eq!(seen.len(), 2);
        assert_ne!(seen[0].leaf, seen[1].leaf);
        assert_eq!(peer.open_connections(), 2, "the first still has a stream");
        peer.release();
        assert_eq!(answer(&mut held).await.expect("it is answered"), 200);
        drop(held);
        until("the end of the first", || peer.open_connections() == 1).await;
        until("the end of the tunnel's", || foreign.open_connections() == 0).await;
    });
}

#[test]
fn what_a_certificate_was_shown_for_is_lent_no_longer_than_it_is_valid() {
    let tls = Arc::new(mesh_tls(&MeshAuthority::new("root"), CART));
    let end = tls.not_after();
    assert!(valid(Some(tls.clone()), end - Duration::from_secs(1)).is_some());
    assert!(valid(Some(tls), end).is_none());
    assert!(valid(None, end).is_none());
}

#[test]
fn idle_connections_are_let_go_after_a_while() {
    local(async {
        let authority = MeshAuthority::new("root");
        let peer = peer_with(&authority, Manners::default()).await;
        let caller = Caller::of(authority, [behind("shop", APPLICATION, &peer.peer())]);
        assert_eq!(caller.ask("shop", "/").await, 200);
        let start = time::now();
        caller.backends.sweep(start);
        caller.backends.sweep(start + IDLE_TIMEOUT - Duration::from_millis(1));
        assert_eq!(caller.ask("shop", "/").await, 200);
        assert_eq!(peer.connections().len(), 1);
        caller.backends.sweep(start);
        caller.backends.sweep(start + IDLE_TIMEOUT);
        until("its end", || peer.open_connections() == 0).await;
        assert_eq!(caller.backends.environment().metrics.peers().open.value(), 0);
        assert_eq!(caller.ask("shop", "/").await, 200);
    });
}

/// A workload that moved behind another proxy, or got one, is not reached in the old way.
#[test]
fn another_way_to_an_endpoint_takes_the_place_of_the_old_one() {
    local(async {
        let authority = MeshAuthority::new("root");
        let (old, new) = (
            peer_with(&authority, Manners::default()).await,
            peer_with(&authority, Manners::default()).await,
        );
        let caller = Caller::of(authority, [behind("shop", APPLICATION, &old.peer())]);
        assert_eq!(caller.ask("shop", "/old").await, 200);
        let all = [behind("shop", APPLICATION, &new.peer())];
        caller.backends.reconcile(prepared(all), time::now());
        assert_eq!(caller.ask("shop", "/new").await, 200);
        assert_eq!(new.requests(), [format!("{APPLICATION} /new")]);
        until("the end of what nobody needs", || old.open_connections() == 0).await;
    });
}

#[test]
fn endpoints_whose_proxy_refuses_connections_are_set_aside_but_never_all() {
    local(async {
        let outlier = Calling::mesh().outlier.expect("it is on by default");
        let peers: Vec<_> = (0..2)
            .map(|_| Arc::new(Peer { addr: Reserved::forever(), identity: identity(PAYMENTS) }))
            .collect();
        let [one, two] = ["10.77.0.8:80", "10.77.0.9:80"];
        let mut all = behind("shop", one, &peers[0]);
        let second = behind("shop", two, &peers[1]);
        all.endpoints = all.endpoints.iter().chain(&*second.endpoints).cloned().collect();
        all.outlier = Some(Arc::new(Outlier::new(outlier, 2)));
        let caller = Caller::new([all]);
        let usable = Cell::new(0);
        for _ in 0..40 {
            let lease = caller.lease("shop");
            let buffers = &caller.backends.environment().buffers;
            let error = lease.dial(buffers, "shop", Speaks::Any).await.expect_err("refused");
            assert_eq!(error.reason(), Reason::ConnectFailed);
            lease.failed(time::now(), Reason::ConnectFailed);
            let endpoints = lease.backend().endpoints();
            let now = time::now();
            usable.set(endpoints.iter().filter(|one| one.shared.passive.is_usable(now)).count());
            assert!(usable.get() > 0);
        }
        assert_eq!(usable.get(), 1);
    });
}

/// What a proxy pays for each other one that it has called: TLS, a session to resume, and the
/// connection's state with its tables of fields.
#[test]
fn an_idle_connection_takes_little_memory() {
    const PEERS: usize = 20;
    const BYTES_MAX: i64 = 16 << 10;
    let (tell, told) = std::sync::mpsc::channel();
    let end = Arc::new(tokio::sync::Notify::new());
    let ended = end.clone();
    let authority = Arc::new(MeshAuthority::new("root"));
    let theirs = authority.clone();
    let peers = weft_runtime::worker::spawn("peers", move || async move {
        let mut peers = Vec::new();
        for _ in 0..=PEERS {
            let peer = peer_with(&theirs, Manners::default()).await;
            tell.send(peer.addr).expect("somebody listens");
            peers.push(peer);
        }
        ended.notified().await;
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime can be made");
    let there = |addr| Arc::new(Peer { addr, identity: identity(PAYMENTS) });
    let ids: Vec<String> = (0..=PEERS).map(|number| number.to_string()).collect();
    let all = ids.iter().map(|id| {
        let addr = told.recv().expect("there are so many");
        behind(id, APPLICATION, &there(addr))
    });
    let cell = MeshTlsCell::new();
    cell.set(mesh_tls(&authority, CART));
    let backends = worker(cell.clone());
    backends.reconcile(prepared(all), time::now());
    let caller = Caller { authority: MeshAuthority::new("unused"), cell, backends };
    let ask = |ids: &[String]| {
        runtime.block_on(async {
            for id in ids {
                assert_eq!(caller.ask(id, "/").await, 200);
            }
        });
    };
    // Endpoints, pools and buffers are there before anything is counted.
    ids.iter().for_each(|id| drop(caller.lease(id)));
    ask(&ids[..1]);
    let counted = allocation_counter::measure(|| ask(&ids[1..]));
    let each = counted.bytes_current / PEERS as i64;
    assert!(each < BYTES_MAX, "{each} bytes for each: {counted:?}");
    end.notify_one();
    peers.expect("a thread can be started").join().expect("no panic").expect("it ran");
}

/// A backend with one endpoint beside a proxy, asked how it is all the time.
fn watched(peer: &FakePeer) -> PreparedBackend {
    with(behind("shop", APPLICATION, &peer.peer()), |settings| {
        settings.health_check = Some(Arc::new(check(Probe::Tcp)));
    })
}

#[test]
fn health_is_asked_for_through_the_proxy() {
    local(async {
        let authority = MeshAuthority::new("root");
        let manners = Manners { tunnel_status: 503, ..Manners::default() };
        let peer = peer_with(&authority, manners).await;
        let (registry, shared, cell) =
            (Registry::new(), Shared::new(time::now()), MeshTlsCell::new());
        cell.set(mesh_tls(&authority, CART));
        let (_sender, receiver) = watch::channel(prepared([watched(&peer)]));
        task::spawn("health", Prober::new(shared.clone(), cell, &registry).run(receiver));
        let addr = APPLICATION.parse().expect("it is valid");
        let entry = shared.endpoint(&BackendId::new("shop"), addr, None);
        until("the refusing endpoint", || !entry.is_healthy()).await;
        assert_eq!(peer.requests()[0], format!("CONNECT {APPLICATION}"));
    });
}

#[test]
fn addresses_that_are_dialled_may_be_behind_a_proxy() {
    local(async {
        let authority = MeshAuthority::new("root");
        let peers = [
            peer_with(&authority, Manners::default()).await,
            peer_with(&authority, Manners::default()).await,
        ];
        let through = |peer: &FakePeer| {
            with(backend("any", &[]), |settings| {
                settings.endpoints = Endpoints::DialledThrough(peer.peer());
                settings.protocol = UpstreamProtocol::AsClient;
            })
        };
        let caller = Caller::of(authority, [through(&peers[0])]);
        let ask = async || {
            let any = caller.backends.backend(&BackendId::new("any"), time::now()).unwrap();
            let lease = any
                .pick_addr(time::now(), APPLICATION.parse().unwrap())
                .expect("there is no bound");
            let buffers = &caller.backends.environment().buffers;
            let dialled = lease.dial(buffers, "shop", Speaks::Any).await.expect("it is reached");
            let Connection::Mesh(mut client, to) = dialled.connection else { panic!("no proxy") };
            let mut stream = client.begin_request(&request("/", to), true).expect("it is sent");
            answer(&mut stream).await.expect("it is answered")
        };
        assert_eq!(ask().await, 200);
        assert_eq!(peers[0].requests(), [format!("{APPLICATION} /")]);
        // Somebody else is there now.
        caller.backends.reconcile(prepared([through(&peers[1])]), time::now());
        assert_eq!(ask().await, 200);
        assert_eq!(peers[1].requests(), [format!("{APPLICATION} /")]);
        assert_eq!(peers[0].requests().len(), 1);
    });
}
