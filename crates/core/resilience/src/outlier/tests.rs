use super::*;
use crate::virtual_clock::{ms, secs, start};

fn settings() -> OutlierSettings {
    OutlierSettings {
        failures: 3,
        window: secs(10),
        ejection: secs(30),
        ejection_max: secs(100),
        ejected_ratio_max: 1.0,
        on_server_error: true,
        consecutive: false,
    }
}

/// Plays signals at seconds; the seconds at which one ejected.
fn ejected_at(settings: OutlierSettings, signals: &[(u64, Signal)]) -> Vec<(u64, u64)> {
    let epoch = start();
    let (outlier, endpoint) = (Outlier::new(settings, 4), EndpointHealth::new(epoch));
    let play = |&(at, signal): &(u64, Signal)| {
        let ejection = outlier.record(&endpoint, epoch + secs(at), signal)?;
        let returns = epoch + secs(at) + ejection.duration;
        assert!(!endpoint.is_usable(returns - ms(1)));
        assert!(endpoint.is_usable(returns));
        Some((at, ejection.duration.as_secs()))
    };
    signals.iter().filter_map(play).collect()
}

const DOWN: Signal = Signal::ConnectionFailure;
const ERROR: Signal = Signal::ServerError;
const FINE: Signal = Signal::Success;

#[test]
fn enough_failures_within_the_window_eject() {
    assert_eq!(ejected_at(settings(), &[(0, DOWN), (1, ERROR), (2, DOWN)]), [(2, 30)]);
    assert_eq!(ejected_at(settings(), &[(0, DOWN), (1, FINE), (2, DOWN), (8, DOWN)]), [(8, 30)]);
    // The first has left the window.
    assert_eq!(ejected_at(settings(), &[(0, DOWN), (5, DOWN), (10, DOWN)]), []);
    assert_eq!(ejected_at(settings(), &[(0, DOWN), (5, DOWN), (10, DOWN), (11, DOWN)]), [(11, 30)]);
}

#[test]
fn success_ends_a_run_of_consecutive_failures() {
    let settings = OutlierSettings { consecutive: true, ..settings() };
    assert_eq!(ejected_at(settings, &[(0, DOWN), (1, FINE), (2, DOWN), (3, DOWN)]), []);
    assert_eq!(ejected_at(settings, &[(0, FINE), (1, DOWN), (2, DOWN), (3, ERROR)]), [(3, 30)]);
}

#[test]
fn server_errors_count_if_set_so() {
    let settings = OutlierSettings { on_server_error: false, ..settings() };
    let mixed = [(0, ERROR), (1, ERROR), (2, ERROR), (3, DOWN), (4, DOWN), (5, DOWN)];
    assert_eq!(ejected_at(settings, &mixed), [(5, 30)]);
}

#[test]
fn zero_failures_count_as_one() {
    let settings = OutlierSettings { failures: 0, window: secs(0), ..settings() };
    assert_eq!(ejected_at(settings, &[(0, FINE), (1, DOWN)]), [(1, 30)]);
}

#[test]
fn ejections_in_a_row_grow_to_the_maximum() {
    let settings = OutlierSettings { failures: 1, ..settings() };
    let signals = [(0, DOWN), (30, DOWN), (90, DOWN), (180, DOWN), (280, DOWN)];
    assert_eq!(
        ejected_at(settings, &signals),
        [(0, 30), (30, 60), (90, 90), (180, 100), (280, 100)]
    );
}

#[test]
fn good_times_shrink_the_next_ejection() {
    let settings = OutlierSettings { failures: 1, ..settings() };
    // Returned at 90; one step is made good by 120, and both long before 500.
    assert_eq!(
        ejected_at(settings, &[(0, DOWN), (30, DOWN), (121, DOWN)]),
        [(0, 30), (30, 60), (121, 60)]
    );
    assert_eq!(
        ejected_at(settings, &[(0, DOWN), (30, DOWN), (500, DOWN)]),
        [(0, 30), (30, 60), (500, 30)]
    );
}

#[test]
fn failures_of_an_ejected_endpoint_are_old_news() {
    let settings = OutlierSettings { failures: 1, ..settings() };
    assert_eq!(ejected_at(settings, &[(0, DOWN), (1, DOWN), (29, DOWN)]), [(0, 30)]);
}

#[test]
fn gate_bounds_the_share_set_aside() {
    for (endpoints, ratio, max) in [
        (10, 0.5, 5),
        (10, 0.0, 0),
        (10, -1.0, 0),
        (10, f64::NAN, 0),
        (10, 1.0, 10),
        (10, 7.0, 10),
        (100, 0.29, 29),
        (3, 0.1, 1),
        (2, 0.1, 1),
        (1, 0.9, 0),
        (1, 1.0, 1),
        (0, 1.0, 0),
    ] {
        let epoch = start();
        let settings = OutlierSettings { failures: 1, ejected_ratio_max: ratio, ..settings() };
        let outlier = Outlier::new(settings, endpoints);
        let all: Vec<_> = (0..endpoints).map(|_| EndpointHealth::new(epoch)).collect();
        for endpoint in &all {
            outlier.record(endpoint, epoch, DOWN);
        }
        let unusable = all.iter().filter(|endpoint| !endpoint.is_usable(epoch)).count();
        assert_eq!((unusable, outlier.ejected(epoch)), (max, max), "{endpoints} {ratio}");
    }
}

#[test]
fn gate_opens_as_endpoints_return_or_join() {
    let epoch = start();
    let settings = OutlierSettings { failures: 1, ejected_ratio_max: 0.5, ..settings() };
    let outlier = Outlier::new(settings, 2);
    let (one, two) = (EndpointHealth::new(epoch), EndpointHealth::new(epoch));
    assert!(outlier.record(&one, epoch, DOWN).is_some());
    assert!(outlier.record(&two, epoch + secs(29), DOWN).is_none());
    assert!(outlier.record(&two, epoch + secs(30), DOWN).is_some());
    assert!(outlier.record(&one, epoch + secs(31), DOWN).is_none());
    outlier.set_endpoints(4);
    assert!(outlier.record(&one, epoch + secs(31), DOWN).is_some());
    assert_eq!(outlier.ejected(epoch + secs(31)), 2);
}

#[test]
fn threads_eject_no_more_than_the_gate_lets() {
    let epoch = start();
    let settings = OutlierSettings { failures: 2, ejected_ratio_max: 0.5, ..settings() };
    let outlier = Outlier::new(settings, 8);
    let all: Vec<_> = (0..8).map(|_| EndpointHealth::new(epoch)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for endpoint in all.iter().cycle().take(800) {
                    outlier.record(endpoint, epoch, DOWN);
                }
            });
        }
    });
    assert_eq!(all.iter().filter(|endpoint| !endpoint.is_usable(epoch)).count(), 4);
}
