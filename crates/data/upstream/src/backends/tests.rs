use std::time::Duration;

use weft_model::backend::{Endpoint as ModelEndpoint, UpstreamProtocol};
use weft_model::outcome::Reason;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{
    BudgetSettings, OutlierSettings, PickerKind, RecentBudget, StatusSet, WindowTrigger,
};
use weft_runtime::{task, time};
use weft_testkit::RawOrigin;

use super::*;
use crate::error::PickError;
use crate::testing::{addr, answer, backend, calling, get, local, prepared, with, worker};
use crate::{Ask, Connection, Endpoint, Lease, RetryRefused, Speaks, Tried};

fn backends(all: impl IntoIterator<Item = PreparedBackend>) -> Backends {
    worker(&Shared::new(time::now()), all)
}

fn weighted(id: &str, weights: &[(u16, u32)]) -> PreparedBackend {
    let endpoints: Arc<[ModelEndpoint]> = weights
        .iter()
        .map(|(port, weight)| ModelEndpoint { weight: *weight, ..ModelEndpoint::new(addr(*port)) })
        .collect();
    PreparedBackend { endpoints: endpoints.clone(), ..backend(id, &[]) }
}

fn pick(backend: &Rc<Backend>, now: Instant, rng: &Rng) -> Result<Lease, PickError> {
    backend.pick(&Ask::new(now, &Tried::default()), rng)
}

/// How often each port is picked.
fn shares(backend: &Rc<Backend>, now: Instant, picks: usize) -> HashMap<u16, usize> {
    let (rng, mut counts) = (Rng::new(7), HashMap::new());
    for _ in 0..picks {
        let lease = pick(backend, now, &rng).expect("there is one");
        *counts.entry(lease.endpoint().addr().port()).or_default() += 1;
    }
    counts
}

fn ports(endpoints: &[Rc<Endpoint>]) -> Vec<u16> {
    endpoints.iter().map(|endpoint| endpoint.addr().port()).collect()
}

#[test]
fn shares_follow_weights() {
    let backends = backends([weighted("shop", &[(1, 1), (2, 3)])]);
    let shop = get(&backends, "shop");
    let counts = shares(&shop, time::now(), 40);
    assert_eq!((counts[&1], counts[&2]), (10, 30));
}

#[test]
fn a_new_endpoint_begins_with_a_small_share() {
    let start = time::now();
    let slow = |ports: &[(u16, u32)]| {
        calling(weighted("shop", ports), |calling| {
            calling.slow_start.window = Duration::from_secs(100)
        })
    };
    let backends = backends([slow(&[(1, 1)])]);
    let shop = get(&backends, "shop");
    let later = start + Duration::from_secs(200);
    backends.reconcile(prepared([slow(&[(1, 1), (2, 1)])]), later);
    for (age, share) in [(0, 10), (50, 34), (100, 50)] {
        let counts = shares(&shop, later + Duration::from_secs(age), 110);
        let new = counts.get(&2).copied().unwrap_or_default() * 100 / 110;
        assert!(new.abs_diff(share) <= 2, "at {age} s it has {new} %, not {share}");
    }
}

#[test]
fn the_first_endpoints_of_a_backend_are_not_new() {
    // They appear with the process; one that comes a second later is younger than they are.
    let start = time::now();
    let slow = |ports: &[(u16, u32)]| {
        calling(weighted("shop", ports), |calling| {
            calling.slow_start.window = Duration::from_secs(100)
        })
    };
    let backends = backends([slow(&[(1, 1)])]);
    let shop = get(&backends, "shop");
    let later = start + Duration::from_secs(1);
    backends.reconcile(prepared([slow(&[(1, 1), (2, 1)])]), later);
    assert_eq!(shares(&shop, later, 110), HashMap::from([(1, 100), (2, 10)]));
}

#[test]
fn retries_come_from_a_budget() {
    let now = time::now();
    let budget = BudgetSettings::Recent(RecentBudget { retries_min: 1, ..RecentBudget::DEFAULT });
    let bounded =
        calling(backend("shop", &[addr(1)]), |calling| calling.retry_budget = Some(budget));
    let backends = backends([bounded, backend("free", &[addr(1)])]);
    let shop = get(&backends, "shop");
    let mut call = shop.call(now);
    assert_eq!(call.try_retry(now), Ok(()), "the least that is always there");
    assert_eq!(call.try_retry(now), Err(RetryRefused::Budget));
    let calls: Vec<_> = (0..19).map(|_| shop.call(now)).collect();
    let allowed = (0..20).filter(|_| call.try_retry(now).is_ok()).count();
    assert_eq!(allowed, 3, "20 % of 20, less the one before");
    assert_eq!(shop.cells().retries_denied.value(), 1 + 17);
    drop(calls);
    let mut free = get(&backends, "free").call(now);
    assert!((0..1_000).all(|_| free.try_retry(now).is_ok()));
}

#[test]
fn nothing_unusable_is_picked() {
    let (now, rng) = (time::now(), Rng::new(7));
    let backends = backends([backend("shop", &[addr(1), addr(2)]), backend("empty", &[])]);
    let shop = get(&backends, "shop");
    let endpoint =
        |port| backends.environment().shared.endpoint(&BackendId::new("shop"), addr(port), None);
    endpoint(1).set_healthy(false);
    assert_eq!(shares(&shop, now, 20), HashMap::from([(2, 20)]));
    endpoint(2).set_healthy(false);
    assert!(!shop.is_available(now));
    assert!(matches!(pick(&shop, now, &rng), Err(PickError::NoHealthyEndpoint)));
    endpoint(1).set_healthy(true);
    assert!(shop.is_available(now));
    let empty = get(&backends, "empty");
    assert!(matches!(pick(&empty, now, &rng), Err(PickError::NoEndpoint)));
    assert!(!empty.is_available(now));
}

#[test]
fn endpoints_that_fail_are_set_aside_for_all_and_come_back() {
    let (now, rng) = (time::now(), Rng::new(7));
    let window = WindowTrigger { failures: 2, window: Duration::from_secs(10) };
    let settings = OutlierSettings {
        in_window: Some(window),
        ejected_ratio_max: 0.5,
        ..OutlierSettings::NONE
    };
    let backends = backends([calling(backend("shop", &[addr(1), addr(2)]), |calling| {
        calling.outlier = Some(settings);
    })]);
    let shop = get(&backends, "shop");
    let mut failures = 0;
    while failures < 2 {
        let lease = pick(&shop, now, &rng).expect("there is one");
        if lease.endpoint().addr() == addr(1) {
            failures += 1;
            answer(&lease, now, 500);
        } else {
            answer(&lease, now, 200);
        }
    }
    assert_eq!(shares(&shop, now, 20), HashMap::from([(2, 20)]));
    let later = now + Duration::from_secs(31);
    assert_eq!(shares(&shop, later, 20).len(), 2);
}

#[test]
fn a_lease_counts_as_load_until_it_is_dropped() {
    let (now, rng) = (time::now(), Rng::new(7));
    let backends = backends([calling(backend("shop", &[addr(1), addr(2)]), |calling| {
        calling.picker = PickerKind::LeastRequest;
    })]);
    let shop = get(&backends, "shop");
    let first = pick(&shop, now, &rng).expect("there is one");
    let second = pick(&shop, now, &rng).expect("there is one");
    assert_ne!(first.endpoint().addr(), second.endpoint().addr(), "the other one is less busy");
    assert_eq!(shop.cells().in_flight.value(), 2);
    drop(first);
    assert_eq!(shop.cells().in_flight.value(), 1);
    assert_eq!(second.endpoint().in_flight(), 1);
    drop(second);
    assert_eq!(shop.cells().in_flight.value(), 0);
}

#[test]
fn what_stays_keeps_its_state() {
    let now = time::now();
    let backends = backends([weighted("shop", &[(1, 1), (2, 1)]), backend("cart", &[addr(9)])]);
    let (shop, cart) = (get(&backends, "shop"), get(&backends, "cart"));
    let before = shop.endpoints();
    // The same again.
    backends.reconcile(
        prepared([weighted("shop", &[(1, 1), (2, 1)]), backend("cart", &[addr(9)])]),
        now,
    );
    assert!(Rc::ptr_eq(&shop, &get(&backends, "shop")));
    assert!(Rc::ptr_eq(&before[0], &shop.endpoints()[0]));
    // Another weight, one endpoint more and one less.
    backends.reconcile(prepared([weighted("shop", &[(3, 1), (2, 3)])]), now);
    assert!(Rc::ptr_eq(&shop, &get(&backends, "shop")));
    let after = shop.endpoints();
    assert_eq!(ports(&after), [3, 2]);
    assert!(Rc::ptr_eq(&before[1], &after[1]), "an endpoint that stays is the same");
    let counts = shares(&shop, now, 40);
    assert_eq!((counts[&3], counts[&2]), (10, 30), "with its new weight");
    // One that is gone is retired; who holds it may finish.
    assert!(backends.backend(&BackendId::new("cart"), now).is_none());
    assert!(cart.is_retired());
    // And one that comes back begins anew, in the same series.
    backends.reconcile(prepared([backend("cart", &[addr(9)])]), now);
    let again = get(&backends, "cart");
    assert!(!Rc::ptr_eq(&cart, &again) && !again.is_retired());
    assert!(std::ptr::eq(cart.cells(), again.cells()));
    assert!(shop.is_retired());
}

#[test]
fn what_was_tried_is_known_when_endpoints_have_changed() {
    let (now, rng) = (time::now(), Rng::new(7));
    let backends = backends([weighted("shop", &[(1, 1), (2, 1)])]);
    let shop = get(&backends, "shop");
    let mut tried = Tried::default();
    let first = shop.pick_where(&Ask::new(now, &tried), |endpoint| endpoint.addr().port() == 1);
    tried.note(&first.expect("there is no bound").expect("it is there"));
    // The one that was tried is gone, and the other has its place.
    backends.reconcile(prepared([weighted("shop", &[(2, 1)])]), now);
    assert!(shop.has_others(&tried));
    let lease = shop.pick(&Ask::new(now, &tried), &rng).expect("it was not tried");
    assert_eq!(lease.endpoint().addr(), addr(2));
    tried.note(&lease);
    drop(lease);
    assert!(!shop.has_others(&tried));
    // Another comes before the one that was tried.
    backends.reconcile(prepared([weighted("shop", &[(3, 1), (2, 1)])]), now);
    let lease = shop.pick(&Ask::new(now, &tried), &rng).expect("it was not tried");
    assert_eq!(lease.endpoint().addr(), addr(3));
}

#[test]
fn other_settings_keep_endpoints_unless_the_way_of_connecting_changes() {
    let now = time::now();
    let plain = || backend("shop", &[addr(1), addr(2)]);
    let backends = backends([plain()]);
    let first = get(&backends, "shop");
    let endpoints = first.endpoints();
    let patient = calling(plain(), |calling| calling.pool.connect_timeout = Duration::from_secs(9));
    backends.reconcile(prepared([patient]), now);
    let second = get(&backends, "shop");
    assert!(!Rc::ptr_eq(&first, &second));
    assert_eq!(second.settings().calling.pool.connect_timeout, Duration::from_secs(9));
    assert!(Rc::ptr_eq(&endpoints[0], &second.endpoints()[0]));
    assert!(!first.is_retired(), "what it lends comes back to endpoints in use");
    // HTTP/2 instead.
    let health =
        |port| backends.environment().shared.endpoint(&BackendId::new("shop"), addr(port), None);
    health(1).set_healthy(false);
    let other = with(plain(), |settings| settings.protocol = UpstreamProtocol::Http2);
    backends.reconcile(prepared([other]), now);
    let third = get(&backends, "shop");
    assert!(!Rc::ptr_eq(&endpoints[0], &third.endpoints()[0]));
    assert!(second.is_retired());
    drop((first, second, endpoints));
    assert_eq!(shares(&third, now, 10), HashMap::from([(2, 10)]), "what is known of health stays");
}

#[test]
fn connections_are_kept_for_the_next_request_but_not_by_a_retired_backend() {
    let origin = RawOrigin::start("shop");
    local(async {
        let (now, rng) = (time::now(), Rng::new(7));
        let backends = backends([backend("shop", &[origin.addr()])]);
        let shop = get(&backends, "shop");
        let buffers = backends.environment().buffers.clone();
        let lease = pick(&shop, now, &rng).expect("there is one");
        assert!(lease.pooled(now, true, Speaks::Any).is_none());
        let dialled = lease.dial(&buffers, "shop", Speaks::Any).await.expect("it is reached");
        assert_eq!(dialled.idle, None);
        let Connection::H1(conn) = dialled.connection else { panic!("it is plain") };
        lease.give_back(now, conn);
        assert_eq!(lease.endpoint().idle_connections(), 1);
        let later = now + Duration::from_secs(2);
        let pooled = lease.pooled(later, true, Speaks::Any).expect("it was kept");
        assert_eq!(pooled.idle, Some(Duration::from_secs(2)));
        let Connection::H1(conn) = pooled.connection else { panic!("it is plain") };
        backends.reconcile(prepared([]), now);
        lease.give_back(now, conn);
        assert_eq!(lease.endpoint().idle_connections(), 0);
        assert_eq!(shop.cells().connects.value(), 1);
        assert_eq!(shop.cells().reuses.value(), 1);
    });
}

#[test]
fn a_burst_of_requests_shares_one_http2_connection() {
    local(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let accepted = Rc::new(std::cell::Cell::new(0));
        let count = accepted.clone();
        let _origin = task::spawn("origin", async move {
            loop {
                let (stream, _) = listener.accept().await.expect("it accepts");
                count.set(count.get() + 1);
                task::spawn("origin", async move {
                    let mut server = h2::server::handshake(stream).await.expect("HTTP/2");
                    while server.accept().await.is_some() {}
                });
            }
        });
        let backends = backends([with(backend("shop", &[addr]), |settings| {
            settings.protocol = UpstreamProtocol::Http2;
        })]);
        let shop = get(&backends, "shop");
        let mut dials = Vec::new();
        for _ in 0..50 {
            let (shop, buffers) = (shop.clone(), backends.environment().buffers.clone());
            dials.push(task::spawn("dial", async move {
                let lease = pick(&shop, time::now(), &Rng::new(7)).expect("there is one");
                let dialled = lease.dial(&buffers, "shop", Speaks::Any).await;
                matches!(dialled.expect("it is reached").connection, Connection::H2(_))
            }));
        }
        for dial in dials {
            assert_eq!(dial.await, Ok(true));
        }
        assert_eq!(accepted.get(), 1);
        assert_eq!(shop.cells().connects.value(), 1);
        assert_eq!(shop.cells().reuses.value(), 49);
        assert_eq!(shop.endpoints()[0].shared_connections(), 1);
    });
}

#[test]
fn connections_that_succeed_count_for_an_endpoint() {
    let origin = weft_testkit::TcpOrigin::start("tcp");
    local(async {
        let settings = OutlierSettings {
            consecutive: Some(3),
            errors: StatusSet::EMPTY,
            ejected_ratio_max: 1.0,
            ..OutlierSettings::NONE
        };
        let backends = backends([calling(backend("tcp", &[origin.addr()]), |calling| {
            calling.outlier = Some(settings);
        })]);
        let tcp = get(&backends, "tcp");
        let (rng, buffers) = (Rng::new(7), backends.environment().buffers.clone());
        for _ in 0..4 {
            for _ in 0..2 {
                pick(&tcp, time::now(), &rng)
                    .expect("it is not set aside")
                    .failed(time::now(), Reason::ConnectFailed);
            }
            let lease = pick(&tcp, time::now(), &rng).expect("it is not set aside");
            lease.dial_stream(&buffers, "").await.expect("it is reached");
        }
        for _ in 0..3 {
            pick(&tcp, time::now(), &rng)
                .expect("it is not set aside yet")
                .failed(time::now(), Reason::ConnectFailed);
        }
        assert!(!tcp.is_available(time::now()));
    });
}
