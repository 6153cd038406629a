use weft_model::backend::{Endpoints, UpstreamProtocol};
use weft_resilience::rng::Rng;
use weft_runtime::time;
use weft_testkit::RawOrigin;

use std::time::Duration;

use super::*;
use crate::backend::Backend;
use crate::error::PickError;
use crate::shared::{Shared, SharedEndpoint};
use crate::testing::{self, backend, local, prepared, with, worker};
use crate::{Ask, Backends, Connection, PreparedBackend, Speaks, Tried};

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

const REUSE: Reuse = Reuse::until_idle(IDLE_TIMEOUT);

fn addr(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([192, 0, high, low], 80))
}

fn get(dialled: &DialledEndpoints, addr: SocketAddr, now: Instant) -> Rc<Endpoint> {
    dialled.get(addr, now, || {
        let shared = std::sync::Arc::new(SharedEndpoint::new(addr, None, now));
        Endpoint::new(shared, None, now)
    })
}

fn dialled() -> PreparedBackend {
    with(backend("any", &[]), |settings| {
        settings.endpoints = Endpoints::Dialled;
        settings.protocol = UpstreamProtocol::AsClient;
    })
}

fn backends() -> (Backends, Rc<Backend>) {
    let backends = worker(&Shared::new(time::now()), [dialled()]);
    let any = testing::get(&backends, "any");
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
    known.sweep(start + IDLE_TIMEOUT - Duration::from_millis(1), &REUSE);
    assert_eq!(known.len(), 2);
    known.sweep(start + IDLE_TIMEOUT, &REUSE);
    assert_eq!(known.len(), 1, "one has a request under way");
    drop(pending);
    known.sweep(start + IDLE_TIMEOUT, &REUSE);
    assert_eq!(known.len(), 0);
}

#[test]
fn each_address_has_connections_of_its_own() {
    let origins = [RawOrigin::start("one"), RawOrigin::start("two")];
    local(async {
        let (backends, any) = backends();
        let buffers = backends.environment().buffers.clone();
        assert!(any.is_dialled() && any.is_available(time::now()));
        let picked = any.pick(&Ask::new(time::now(), &Tried::default()), &Rng::new(7));
        assert_eq!(picked.err(), Some(PickError::NoEndpoint));
        for origin in &origins {
            let lease = any.pick_addr(time::now(), origin.addr()).expect("there is no bound");
            assert_eq!(lease.endpoint().addr(), origin.addr());
            let dialled = lease.dial(&buffers, "shop", Speaks::Any).await.expect("it is there");
            let Connection::H1(conn) = dialled.connection else { panic!("it is HTTP/1.1") };
            lease.give_back(time::now(), conn);
        }
        for origin in &origins {
            let lease = any.pick_addr(time::now(), origin.addr()).expect("there is no bound");
            // One that asks for HTTP/2 gets none that speaks HTTP/1.1.
            assert!(lease.pooled(time::now(), true, Speaks::Http2).is_none());
            let pooled = lease.pooled(time::now(), true, Speaks::Any).expect("it was kept");
            let Connection::H1(conn) = pooled.connection else { panic!("it is HTTP/1.1") };
            lease.give_back(time::now(), conn);
        }
        // Other settings, but the same way of connecting.
        let changed = with(dialled(), |settings| settings.termination_delay = Some(IDLE_TIMEOUT));
        backends.reconcile(prepared([changed]), time::now());
        let any = testing::get(&backends, "any");
        let lease = any.pick_addr(time::now(), origins[0].addr()).expect("there is no bound");
        assert_eq!(lease.endpoint().idle_connections(), 1);
        backends.sweep(time::now());
        assert_eq!(any.cells().idle.value(), 2);
        backends.reconcile(prepared([]), time::now());
        assert_eq!(lease.endpoint().idle_connections(), 0);
    });
}

#[test]
fn new_bounds_hold_for_addresses_that_are_known_already() {
    let (backends, any) = backends();
    let pick = |backend: &Rc<Backend>| backend.pick_addr(time::now(), addr(1));
    drop(pick(&any).expect("nothing is bounded"));
    let bounded = testing::calling(dialled(), |calling| calling.endpoint_limits.requests = Some(1));
    backends.reconcile(prepared([bounded]), time::now());
    let any = testing::get(&backends, "any");
    let _first = pick(&any).expect("it is the first");
    assert!(matches!(pick(&any), Err(PickError::Overflow(_))));
}

#[test]
fn bounds_at_an_address_are_those_of_all_workers() {
    let bounded =
        || testing::calling(dialled(), |calling| calling.endpoint_limits.requests = Some(1));
    let shared = Shared::new(time::now());
    let workers = [(); 2].map(|()| worker(&shared, [bounded()]));
    let [one, other] = workers.each_ref().map(|worker| testing::get(worker, "any"));
    let pick = |backend: &Rc<Backend>, number| backend.pick_addr(time::now(), addr(number));
    let first = pick(&one, 1).expect("it is the first");
    assert!(matches!(pick(&other, 1), Err(PickError::Overflow(_))));
    let _elsewhere = pick(&other, 2).expect("another address has a bound of its own");
    drop(first);
    assert!(pick(&other, 1).is_ok());
}

#[test]
fn an_idle_connection_of_another_worker_makes_room_at_an_address() {
    let origin = RawOrigin::start("one");
    local(async {
        let bounded =
            || testing::calling(dialled(), |calling| calling.endpoint_limits.connections = Some(1));
        let shared = Shared::new(time::now());
        let workers = [(); 2].map(|()| worker(&shared, [bounded()]));
        let [one, other] = workers.each_ref().map(|worker| testing::get(worker, "any"));
        let buffers = workers[0].environment().buffers.clone();
        let lease = one.pick_addr(time::now(), origin.addr()).expect("requests are not bounded");
        let dialled = lease.dial(&buffers, "shop", Speaks::Any).await.expect("it is there");
        let Connection::H1(conn) = dialled.connection else { panic!("it is HTTP/1.1") };
        lease.give_back(time::now(), conn);
        let next = other.pick_addr(time::now(), origin.addr()).expect("requests are not bounded");
        let dialled = next.dial(&buffers, "shop", Speaks::Any).await;
        dialled.expect("the idle one makes room");
        assert_eq!(lease.endpoint().idle_connections(), 0);
    });
}
