use std::cell::Cell;
use std::rc::Rc;

use weft_model::outcome::Fault;
use weft_resilience::rng::Rng;
use weft_resilience::settings::{BiasSettings, OutlierSettings};
use weft_runtime::time;

use super::*;
use crate::backend::Backend;
use crate::backends::Backends;
use crate::call::Ask;
use crate::lease::Tried;
use crate::shared::Shared;
use crate::testing::{addr, backend, calling, get, metrics, worker};

/// A backend with two endpoints that is called in this way.
fn shop(change: impl FnOnce(&mut weft_model::calling::Calling)) -> (Backends, Rc<Backend>) {
    let shop = calling(backend("shop", &[addr(1), addr(2)]), change);
    let worker = worker(&Shared::new(time::now()), [shop]);
    let shop = get(&worker, "shop");
    (worker, shop)
}

/// A lease on the first endpoint.
fn lease(shop: &Rc<Backend>, now: Instant) -> Lease {
    let first = shop.pick_where(&Ask::new(now, &Tried::default()), |one| one.addr() == addr(1));
    first.expect("there is no bound").expect("it is usable")
}

fn head(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::default();
    head.set_status(status);
    head.fields = self::fields(fields);
    head
}

fn fields(all: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in all {
        fields.append(*name, value.as_bytes()).expect("it is valid");
    }
    fields
}

fn is_usable(shop: &Rc<Backend>, now: Instant) -> bool {
    shop.pick_where(&Ask::new(now, &Tried::default()), |one| one.addr() == addr(1))
        .unwrap()
        .is_some()
}

/// How many such outcomes in a row, up to twenty, set the endpoint aside.
fn outcomes_until_ejection(settings: OutlierSettings, outcome: impl Fn(&Lease)) -> Option<u32> {
    let (_worker, shop) = shop(|calling| calling.outlier = Some(settings));
    let now = time::now();
    (1..=20).find(|_| {
        outcome(&lease(&shop, now));
        !is_usable(&shop, now)
    })
}

fn whole(lease: &Lease, head: &ResponseHead, trailers: Option<&Fields>) {
    lease.answered(lease.started(), head);
    lease.ended(lease.started(), trailers);
}

const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");

#[test]
fn istio_counts_server_errors_and_connections() {
    let check = |outcome: &dyn Fn(&Lease)| outcomes_until_ejection(OutlierSettings::ISTIO, outcome);
    for status in [500, 502, 503, 504, 511] {
        assert_eq!(check(&|lease| whole(lease, &head(status, &[]), None)), Some(5), "{status}");
    }
    for status in [200, 404, 429] {
        assert_eq!(check(&|lease| whole(lease, &head(status, &[]), None)), None, "{status}");
    }
    for reason in [
        Reason::ConnectFailed,
        Reason::ConnectTimeout,
        Reason::UpstreamTls,
        Reason::UpstreamReset,
        Reason::UpstreamProtocol,
        Reason::UpstreamTimeout,
        Reason::RequestTimeout,
    ] {
        assert_eq!(check(&|lease| lease.failed(lease.started(), reason)), Some(5), "{reason:?}");
    }
}

#[test]
fn what_is_not_its_doing_counts_against_no_endpoint() {
    for reason in Reason::ALL {
        let found = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
            lease.failed(lease.started(), *reason);
        });
        let ours = reason.fault() != Fault::Upstream || reason.is_overflow();
        if ours {
            assert_eq!(found, None, "{reason:?}");
        }
    }
    for reason in [Reason::PendingOverflow, Reason::CircuitOpen, Reason::ClientGone] {
        let found = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
            lease.failed(lease.started(), reason);
        });
        assert_eq!(found, None, "{reason:?}");
    }
}

#[test]
fn grpc_answers_count_by_the_status_in_head_or_trailers() {
    let check = |code: &'static str, expected: Option<u32>| {
        let in_head = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
            whole(lease, &head(200, &[GRPC, ("grpc-status", code)]), None);
        });
        let in_trailers = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
            whole(lease, &head(200, &[GRPC]), Some(&fields(&[("grpc-status", code)])));
        });
        assert_eq!((in_head, in_trailers), (expected, expected), "grpc-status {code}");
    };
    for code in ["14", "13", "2", "4", "15"] {
        check(code, Some(5));
    }
    for code in ["0", "1", "5", "7", "8"] {
        check(code, None);
    }
    let without_status = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
        whole(lease, &head(200, &[GRPC]), None);
    });
    assert_eq!(without_status, Some(5), "it broke off before its status");
    let of_http = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
        whole(lease, &head(503, &[GRPC]), None);
    });
    assert_eq!(of_http, Some(5));
}

#[test]
fn success_between_failures_begins_the_count_anew() {
    let turn = Cell::new(0);
    let found = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
        turn.set(turn.get() + 1);
        let status = if turn.get() % 5 == 0 { 200 } else { 500 };
        whole(lease, &head(status, &[]), None);
    });
    assert_eq!(found, None);
}

#[test]
fn an_answer_that_breaks_off_after_its_head_is_a_failure() {
    let found = outcomes_until_ejection(OutlierSettings::ISTIO, |lease| {
        lease.answered(lease.started(), &head(200, &[]));
        lease.failed(lease.started(), Reason::UpstreamReset);
        // Whoever cleans up says so as well; it counts once.
        lease.ended(lease.started(), None);
    });
    assert_eq!(found, Some(5));
}

#[test]
fn linkerd_lets_one_request_decide_after_the_penalty() {
    let settings =
        OutlierSettings { ejected_ratio_max: 0.5, ..OutlierSettings::LINKERD_CONSECUTIVE };
    let (_worker, shop) = shop(|calling| calling.outlier = Some(settings));
    let now = time::now();
    for _ in 0..7 {
        whole(&lease(&shop, now), &head(500, &[]), None);
    }
    assert!(!is_usable(&shop, now));
    let back = now + Duration::from_millis(1_500);
    let probe = lease(&shop, back);
    assert!(!is_usable(&shop, back), "one is sent, and all others go elsewhere");
    let (tried, rng) = (Tried::default(), Rng::new(7));
    let others = (0..20).map(|_| shop.pick(&Ask::new(back, &tried), &rng).unwrap());
    assert!(others.map(|lease| lease.endpoint().addr()).all(|found| found == addr(2)));
    whole(&probe, &head(200, &[]), None);
    assert!(is_usable(&shop, back));
    // And one that fails sends it away for longer.
    for _ in 0..7 {
        whole(&lease(&shop, back), &head(500, &[]), None);
    }
    let again = back + Duration::from_millis(1_500);
    whole(&lease(&shop, again), &head(500, &[]), None);
    assert!(!is_usable(&shop, again + Duration::from_millis(1_900)));
    assert!(is_usable(&shop, again + Duration::from_secs(3)));
}

#[test]
fn ejections_are_counted_with_what_caused_them() {
    let (worker, shop) = shop(|calling| calling.outlier = Some(OutlierSettings::ISTIO));
    let now = time::now();
    for _ in 0..5 {
        whole(&lease(&shop, now), &head(500, &[]), None);
    }
    assert_eq!(
        metrics(&worker, "weftway_upstream_ejections"),
        [r#"weftway_upstream_ejections_total{backend="shop",trigger="consecutive"} 1"#]
    );
    assert_eq!(
        metrics(&worker, "weftway_upstream_endpoints_ejected"),
        [r#"weftway_upstream_endpoints_ejected{backend="shop"} 1"#]
    );
}

#[test]
fn an_endpoint_that_asks_for_less_load_gets_less() {
    let bias = Some(BiasSettings::DEFAULT);
    let cases: [(&str, ResponseHead, Option<Fields>, u64); 6] = [
        ("429", head(429, &[]), None, 5),
        ("429 with a wait", head(429, &[("retry-after", "60")]), None, 60),
        ("with one too long", head(429, &[("retry-after", "3600")]), None, 300),
        ("503", head(503, &[]), None, 5),
        (
            "RESOURCE_EXHAUSTED",
            head(200, &[GRPC, ("grpc-status", "8"), ("grpc-retry-pushback-ms", "9000")]),
            None,
            9,
        ),
        ("in trailers", head(200, &[GRPC]), Some(fields(&[("grpc-status", "8")])), 5),
    ];
    for (name, head, trailers, penalty) in cases {
        let (_worker, shop) = shop(|calling| {
            calling.picker = PickerKind::PeakEwma;
            calling.bias = bias;
        });
        let lease = lease(&shop, time::now());
        whole(&lease, &head, trailers.as_ref());
        assert_eq!(lease.endpoint().latency.latency(), Duration::from_secs(penalty), "{name}");
    }
    let (_worker, shop) = shop(|calling| calling.picker = PickerKind::PeakEwma);
    let lease = lease(&shop, time::now());
    whole(&lease, &head(429, &[("retry-after", "60")]), None);
    assert_eq!(lease.endpoint().latency.latency(), Duration::ZERO, "only where it is wanted");
}

#[test]
fn shares_follow_the_load_that_endpoints_report() {
    let settings = LoadReportSettings { blackout: Duration::ZERO, ..LoadReportSettings::DEFAULT };
    let (_worker, shop) = shop(|calling| calling.picker = PickerKind::WeightedByLoad(settings));
    let (rng, tried) = (Rng::new(7), Tried::default());
    let reported = [
        head(200, &[("endpoint-load-metrics", "TEXT cpu_utilization=0.2,rps_fractional=100")]),
        head(200, &[GRPC]),
    ];
    let in_trailers = fields(&[(
        "endpoint-load-metrics",
        r#"JSON {"cpu_utilization":0.6,"rps_fractional":100}"#,
    )]);
    let shares = |now| {
        let mut counts = [0; 2];
        for _ in 0..400 {
            let lease = shop.pick(&Ask::new(now, &tried), &rng).expect("all are usable");
            let port = usize::from(lease.endpoint().addr().port());
            counts[port - 1] += 1;
            lease.answered(now, &reported[port - 1]);
            lease.ended(now, Some(&in_trailers).filter(|_| port == 2));
        }
        counts
    };
    let now = time::now();
    assert_eq!(shares(now), [200, 200], "nothing is known yet");
    assert_eq!(shares(now + Duration::from_secs(2)), [300, 100], "three times the room");
}
