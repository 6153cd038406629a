use weft_model::backend::{Endpoints, UpstreamProtocol};
use weft_model::id::BackendId;
use weft_net::BufferPool;
use weft_resilience::rng::Rng;
use weft_runtime::time;
use weft_testkit::RawOrigin;
use weft_tls::MeshTlsCell;

use weft_http::buffers::Buffers;

use super::*;
use crate::backend::Backend;
use crate::error::PickError;
use crate::shared::{Shared, SharedEndpoint};
use crate::testing::{backend, local, prepared, with};
use crate::{Backends, Connection, Environment, PreparedBackend, Speaks, Tried};

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

fn addr(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([192, 0, high, low], 80))
}

fn get(dialled: &DialledEndpoints, addr: SocketAddr, now: Instant) -> Rc<Endpoint> {
    dialled.get(addr, now, || {
        let shared = std::sync::Arc::new(SharedEndpoint::new(addr, None, now));
        Endpoint::new(shared, None, 1.0, now)
    })
}

fn dialled() -> PreparedBackend {
    with(backend("any", &[]), |settings| {
        settings.endpoints = Endpoints::Dialled;
        settings.protocol = UpstreamProtocol::AsClient;
    })
}

fn backends() -> (Backends, Rc<Backend>) {
    let backends = Backends::new(Environment {
        buffers: Buffers::new(BufferPool::default()),
        shared: Shared::new(time::now()),
        metrics: Default::default(),
        mesh: MeshTlsCell::new(),
    });
    backends.reconcile(prepared([dialled()]), time::now());
    let any = backends.backend(&BackendId::new("any"), time::now()).expect("it is there");
    (backends, any)
}

#[test]
fn so_many_are_remembered_and_the_one_used_longest_ago_makes_room() {
    let (known, start) = (DialledEndpoints::default(), time::now());
    let at = |second: u16| start + Duration::from_secs(second.into());
    let first = get(&known, addr(0), at(0));
    let second = get(&known, addr(1), at(1));
    for number in 2..1024 {
        get(&known, addr(number), at(number));
    }
    assert!(
        Rc::ptr_eq(&first, &get(&known, addr(0), at(1024))),
        "it is remembered, and used again"
    );
    get(&known, addr(1024), at(1025));
    assert_eq!(known.len(), 1024);
    assert!(Rc::ptr_eq(&first, &get(&known, addr(0), at(1026))));
    assert!(!Rc::ptr_eq(&second, &get(&known, addr(1), at(1027))));
}

#[test]
fn what_is_not_used_is_forgotten() {
    let (known, start) = (DialledEndpoints::default(), time::now());
    let busy = get(&known, addr(0), start);
    let pending = busy.latency.begin();
    get(&known, addr(1), start);
    known.sweep(start + IDLE_TIMEOUT - Duration::from_millis(1), IDLE_TIMEOUT);
    assert_eq!(known.len(), 2);
    known.sweep(start + IDLE_TIMEOUT, IDLE_TIMEOUT);
    assert_eq!(known.len(), 1, "one has a request under way");
    drop(pending);
    known.sweep(start + IDLE_TIMEOUT, IDLE_TIMEOUT);
    assert_eq!(known.len(), 0);
}

#[test]
fn each_address_has_connections_of_its_own() {
    let origins = [RawOrigin::start("one"), RawOrigin::start("two")];
    local(async {
        let (backends, any) = backends();
        let buffers = backends.environment().buffers.clone();
        assert!(any.is_dialled() && any.is_available(time::now()));
        let picked = any.pick(time::now(), &Rng::new(7), None, &Tried::default());
        assert_eq!(picked.err(), Some(PickError::NoEndpoint));
        for origin in &origins {
            let lease = any.pick_addr(time::now(), origin.addr());
            assert_eq!(lease.endpoint().addr(), origin.addr());
            let dialled = lease.dial(&buffers, "shop", Speaks::Any).await.expect("it is there");
            let Connection::H1(conn) = dialled.connection else { panic!("it is HTTP/1.1") };
            lease.give_back(time::now(), conn);
        }
        for origin in &origins {
            let lease = any.pick_addr(time::now(), origin.addr());
            // One that asks for HTTP/2 gets none that speaks HTTP/1.1.
            assert!(lease.pooled(time::now(), true, Speaks::Http2).is_none());
            let pooled = lease.pooled(time::now(), true, Speaks::Any).expect("it was kept");
            let Connection::H1(conn) = pooled.connection else { panic!("it is HTTP/1.1") };
            lease.give_back(time::now(), conn);
        }
        // Other settings, but the same way of connecting.
        let changed = with(dialled(), |settings| settings.termination_delay = Some(IDLE_TIMEOUT));
        backends.reconcile(prepared([changed]), time::now());
        let any = backends.backend(&BackendId::new("any"), time::now()).expect("it is there");
        let lease = any.pick_addr(time::now(), origins[0].addr());
        assert_eq!(lease.endpoint().idle_connections(), 1);
        backends.sweep(time::now());
        assert_eq!(any.cells().idle.value(), 2);
        backends.reconcile(prepared([]), time::now());
        assert_eq!(lease.endpoint().idle_connections(), 0);
    });
}
