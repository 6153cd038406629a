mod model;

use super::*;
use crate::settings::{SuccessRateTrigger, WindowTrigger};
use crate::virtual_clock::{ms, secs, start};

/// Three failures within ten seconds eject; the first time for 30 s, at most for 100 s.
fn in_window() -> OutlierSettings {
    let window = WindowTrigger { failures: 3, window: secs(10) };
    let ejection =
        EjectionSettings { max: secs(100), forgiven_after: secs(30), ..EjectionSettings::ENVOY };
    OutlierSettings {
        in_window: Some(window),
        ejection,
        ejected_ratio_max: 1.0,
        ..OutlierSettings::NONE
    }
}

/// The first failure ejects.
fn at_once() -> OutlierSettings {
    OutlierSettings { consecutive: Some(1), in_window: None, ..in_window() }
}

/// Plays signals at seconds; the seconds at which one ejected, and for how long.
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

/// The trigger that fires last in a row of signals, all at one moment; `None` when it does not.
fn fired(settings: OutlierSettings, signals: &[Signal]) -> Option<Trigger> {
    let epoch = start();
    let (outlier, endpoint) = (Outlier::new(settings, 4), EndpointHealth::new(epoch));
    let mut fired =
        signals.iter().map(|signal| outlier.record(&endpoint, epoch, *signal)).collect::<Vec<_>>();
    let last = fired.pop()?.map(|ejection| ejection.trigger);
    assert!(fired.iter().all(Option::is_none), "{fired:?}");
    last
}

const DOWN: Signal = Signal::ConnectionFailure;
const ERROR: Signal = Signal::Status(500);
const GATEWAY: Signal = Signal::Status(503);
const FINE: Signal = Signal::Status(200);

#[test]
fn enough_failures_within_the_window_eject() {
    assert_eq!(ejected_at(in_window(), &[(0, DOWN), (1, ERROR), (2, DOWN)]), [(2, 30)]);
    let with_success = [(0, DOWN), (1, FINE), (2, DOWN), (8, DOWN)];
    assert_eq!(ejected_at(in_window(), &with_success), [(8, 30)]);
    // The first has left the window.
    assert_eq!(ejected_at(in_window(), &[(0, DOWN), (5, DOWN), (10, DOWN)]), []);
    let slow = [(0, DOWN), (5, DOWN), (10, DOWN), (11, DOWN)];
    assert_eq!(ejected_at(in_window(), &slow), [(11, 30)]);
}

#[test]
fn traefik_lets_a_server_back_in_after_its_window() {
    let settings = OutlierSettings::traefik(2, secs(7));
    assert_eq!(
        ejected_at(settings, &[(0, DOWN), (6, ERROR), (13, DOWN), (14, DOWN)]),
        [(6, 7), (14, 7)]
    );
}

#[test]
fn success_ends_a_run_of_consecutive_failures() {
    let settings = OutlierSettings { consecutive: Some(3), in_window: None, ..in_window() };
    assert_eq!(ejected_at(settings, &[(0, DOWN), (1, FINE), (2, DOWN), (3, DOWN)]), []);
    // However long ago they were.
    assert_eq!(
        ejected_at(settings, &[(0, FINE), (1, DOWN), (200, DOWN), (900, ERROR)]),
        [(900, 30)]
    );
}

#[test]
fn five_server_errors_in_a_row_eject_by_default_in_istio() {
    assert_eq!(fired(OutlierSettings::ISTIO, &[ERROR; 4]), None);
    assert_eq!(fired(OutlierSettings::ISTIO, &[ERROR; 5]), Some(Trigger::Consecutive));
    assert_eq!(fired(OutlierSettings::ISTIO, &[Signal::Status(404); 50]), None);
    assert_eq!(fired(OutlierSettings::ISTIO, &[DOWN; 5]), Some(Trigger::Consecutive));
    assert_eq!(fired(OutlierSettings::ISTIO, &[Signal::Failure; 5]), Some(Trigger::Consecutive));
    let interrupted = [ERROR, ERROR, ERROR, ERROR, Signal::Success, ERROR];
    assert_eq!(fired(OutlierSettings::ISTIO, &interrupted), None);
}

#[test]
fn gateway_errors_are_counted_apart() {
    let settings = OutlierSettings { consecutive_gateway: Some(2), ..OutlierSettings::ISTIO };
    let gateway = Some(Trigger::ConsecutiveGateway);
    for status in [502, 503, 504] {
        assert_eq!(fired(settings, &[Signal::Status(status); 2]), gateway);
    }
    assert_eq!(fired(settings, &[GATEWAY, DOWN]), gateway);
    // Another error is none of a gateway's, and yet one of five.
    assert_eq!(fired(settings, &[GATEWAY, ERROR, GATEWAY]), None);
    let mixed = [GATEWAY, ERROR, GATEWAY, ERROR, GATEWAY];
    assert_eq!(fired(settings, &mixed), Some(Trigger::Consecutive));
}

#[test]
fn connections_are_counted_apart_if_split() {
    let settings =
        OutlierSettings { consecutive_local: Some(3), split_local: true, ..OutlierSettings::ISTIO };
    assert_eq!(fired(settings, &[DOWN; 3]), Some(Trigger::ConsecutiveLocal));
    // A connection that was made ends the one run and not the other.
    let errors = [ERROR, ERROR, DOWN, DOWN, Signal::Connected, ERROR, ERROR];
    assert_eq!(fired(settings, &errors), None);
    let fifth: Vec<_> = errors.into_iter().chain([ERROR]).collect();
    assert_eq!(fired(settings, &fifth), Some(Trigger::Consecutive));
    assert_eq!(fired(settings, &[DOWN, DOWN, ERROR, DOWN]), None);
    // Without the split they are failures like others, and nothing is local.
    let settings = OutlierSettings { split_local: false, ..settings };
    assert_eq!(fired(settings, &[DOWN; 4]), None);
    assert_eq!(fired(settings, &[DOWN, ERROR, DOWN, ERROR, DOWN]), Some(Trigger::Consecutive));
    let connected = [DOWN, DOWN, DOWN, DOWN, Signal::Connected, DOWN];
    assert_eq!(fired(settings, &connected), Some(Trigger::Consecutive));
}

#[test]
fn only_the_listed_statuses_are_errors() {
    let errors = StatusSet::EMPTY.with(429).with(503);
    let settings = OutlierSettings {
        errors,
        consecutive: Some(2),
        consecutive_gateway: Some(2),
        ..OutlierSettings::ISTIO
    };
    assert_eq!(fired(settings, &[Signal::Status(429); 2]), Some(Trigger::Consecutive));
    assert_eq!(fired(settings, &[Signal::Status(502); 20]), None);
    let settings = OutlierSettings { consecutive: None, ..settings };
    assert_eq!(fired(settings, &[GATEWAY; 2]), Some(Trigger::ConsecutiveGateway));
    assert_eq!(fired(settings, &[Signal::Status(429); 20]), None);
}

#[test]
fn grpc_codes_count_as_the_statuses_they_stand_for() {
    for (code, trigger) in [
        (0, None),
        (2, Some(Trigger::Consecutive)),
        (5, None),
        (8, None),
        (13, Some(Trigger::Consecutive)),
        (14, Some(Trigger::Consecutive)),
        (99, Some(Trigger::Consecutive)),
    ] {
        assert_eq!(fired(OutlierSettings::ISTIO, &[Signal::grpc(code); 5]), trigger, "{code}");
    }
}

#[test]
fn zero_failures_count_as_one() {
    let window = Some(WindowTrigger { failures: 0, window: secs(0) });
    let settings = OutlierSettings { in_window: window, ..in_window() };
    assert_eq!(ejected_at(settings, &[(0, FINE), (1, DOWN)]), [(1, 30)]);
    let settings = OutlierSettings { consecutive: Some(0), ..at_once() };
    assert_eq!(ejected_at(settings, &[(0, FINE), (1, DOWN)]), [(1, 30)]);
}

#[test]
fn ejections_in_a_row_grow_to_the_maximum() {
    let signals = [(0, DOWN), (30, DOWN), (90, DOWN), (180, DOWN), (280, DOWN)];
    assert_eq!(
        ejected_at(at_once(), &signals),
        [(0, 30), (30, 60), (90, 90), (180, 100), (280, 100)]
    );
    let ejection = EjectionSettings { growth: Growth::Double, ..at_once().ejection };
    let doubling = OutlierSettings { ejection, ..at_once() };
    let signals = [(0, DOWN), (30, DOWN), (90, DOWN), (190, DOWN)];
    assert_eq!(ejected_at(doubling, &signals), [(0, 30), (30, 60), (90, 100), (190, 100)]);
}

#[test]
fn good_times_shrink_the_next_ejection() {
    // Returned at 90; one step is made good by 120, and both long before 500.
    let soon = [(0, DOWN), (30, DOWN), (121, DOWN)];
    assert_eq!(ejected_at(at_once(), &soon), [(0, 30), (30, 60), (121, 60)]);
    let late = [(0, DOWN), (30, DOWN), (500, DOWN)];
    assert_eq!(ejected_at(at_once(), &late), [(0, 30), (30, 60), (500, 30)]);
    let ejection = EjectionSettings { forgiven_after: secs(0), ..at_once().ejection };
    let unforgiving = OutlierSettings { ejection, ..at_once() };
    assert_eq!(ejected_at(unforgiving, &late), [(0, 30), (30, 60), (500, 90)]);
}

#[test]
fn failures_of_an_ejected_endpoint_are_old_news() {
    assert_eq!(ejected_at(at_once(), &[(0, DOWN), (1, DOWN), (29, DOWN)]), [(0, 30)]);
}

#[test]
fn jitter_lengthens_each_ejection_by_some_of_itself() {
    let ejection = EjectionSettings { jitter_ratio: 0.5, max: secs(40), ..at_once().ejection };
    let settings = OutlierSettings { ejection, ..at_once() };
    let epoch = start();
    let duration = |nanos| {
        let now = epoch + Duration::from_nanos(nanos);
        let outlier = Outlier::new(settings, 4);
        outlier.record(&EndpointHealth::new(epoch), now, DOWN).expect("ejected").duration
    };
    let mut durations: Vec<_> = (0..1_000).map(duration).collect();
    durations.sort_unstable();
    assert!(durations[0] >= secs(30) && durations[0] < ms(30_200));
    // Even from 30 s to 45 s, of which a third is cut off at the maximum.
    assert!(durations[500].abs_diff(ms(37_500)) < ms(800), "{:?}", durations[500]);
    let cut = durations.iter().filter(|duration| **duration == secs(40)).count();
    assert!((270..400).contains(&cut) && durations[999] == secs(40), "{cut}");
}

#[test]
fn one_request_decides_after_a_probation() {
    let epoch = start();
    let outlier = Outlier::new(OutlierSettings::LINKERD_CONSECUTIVE, 4);
    let endpoint = EndpointHealth::new(epoch);
    let eject = |now: Instant| {
        (0..6).for_each(|_| assert_eq!(outlier.record(&endpoint, now, ERROR), None));
        outlier.record(&endpoint, now, ERROR).expect("it is the seventh").duration
    };
    let first = eject(epoch);
    assert!(first >= secs(1) && first <= ms(1_500));
    assert!(!endpoint.is_usable(epoch + first - ms(1)));
    let mut now = epoch + first;
    for base in [2, 4, 8, 16, 32, 60, 60] {
        assert!(endpoint.is_usable(now) && endpoint.begin(now));
        assert!(!endpoint.is_usable(now) && !endpoint.begin(now), "one at a time");
        // That a connection was made says nothing yet.
        assert_eq!(outlier.record(&endpoint, now, Signal::Connected), None);
        assert!(!endpoint.is_usable(now));
        let ejection = outlier.record(&endpoint, now, ERROR).expect("its probe failed");
        assert_eq!(ejection.trigger, Trigger::Probe);
        assert!(ejection.duration >= secs(base) && ejection.duration <= ms(base * 1_500));
        assert!(ejection.duration <= secs(60));
        now += ejection.duration;
    }
    assert!(endpoint.begin(now));
    assert_eq!(outlier.record(&endpoint, now, FINE), None);
    assert!(endpoint.is_usable(now) && endpoint.begin(now) && endpoint.begin(now));
    // All is forgotten: it takes seven again, and the first penalty.
    assert!(eject(now) <= ms(1_500));
}

#[test]
fn a_probe_that_is_never_heard_of_is_repeated() {
    let epoch = start();
    let ejection = EjectionSettings { probation: true, ..at_once().ejection };
    let outlier = Outlier::new(OutlierSettings { ejection, ..at_once() }, 4);
    let endpoint = EndpointHealth::new(epoch);
    assert!(endpoint.begin(epoch), "on no probation all may go");
    assert!(outlier.record(&endpoint, epoch, DOWN).is_some());
    assert!(endpoint.begin(epoch + secs(1)), "who is picked in a panic is no probe");
    assert!(endpoint.begin(epoch + secs(30)));
    assert!(!endpoint.begin(epoch + secs(39)));
    assert!(endpoint.is_usable(epoch + secs(40)) && endpoint.begin(epoch + secs(40)));
    assert!(!endpoint.is_usable(epoch + secs(41)));
}

#[test]
fn threads_send_one_probe() {
    let epoch = start();
    let ejection = EjectionSettings { probation: true, ..at_once().ejection };
    let outlier = Outlier::new(OutlierSettings { ejection, ..at_once() }, 4);
    let endpoint = EndpointHealth::new(epoch);
    assert!(outlier.record(&endpoint, epoch, DOWN).is_some());
    let probes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let begun = (0..1_000).filter(|_| endpoint.begin(epoch + secs(31))).count();
                probes.fetch_add(begun, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(probes.into_inner(), 1);
}

#[test]
fn a_low_success_rate_ejects() {
    let unified = OutlierSettings::LINKERD_UNIFIED;
    let low = Some(Trigger::SuccessRate);
    // 80 % is enough, and four are too few to say.
    assert_eq!(fired(unified, &[FINE, FINE, FINE, FINE, ERROR]), None);
    assert_eq!(fired(unified, &[ERROR, ERROR, FINE, FINE]), None);
    assert_eq!(fired(unified, &[ERROR, ERROR, FINE, FINE, FINE]), low);
    // What is refused for too many requests is no success, and no failure in a row either.
    let limited = Signal::Status(429);
    assert_eq!(fired(unified, &[limited, FINE, FINE, FINE, limited]), low);
    assert_eq!(fired(OutlierSettings::LINKERD_CONSECUTIVE, &[limited; 50]), None);
    // Seven in a row are as ever.
    let rate = SuccessRateTrigger { requests_min: 100, ..unified.success_rate.unwrap() };
    let patient = OutlierSettings { success_rate: Some(rate), ..unified };
    assert_eq!(fired(patient, &[ERROR; 7]), Some(Trigger::Consecutive));
}

#[test]
fn a_success_rate_is_of_its_window() {
    let epoch = start();
    let outlier = Outlier::new(OutlierSettings::LINKERD_UNIFIED, 4);
    let endpoint = EndpointHealth::new(epoch);
    let play = |at: u64, signals: &[Signal]| {
        signals.iter().any(|signal| outlier.record(&endpoint, epoch + secs(at), *signal).is_some())
    };
    assert!(!play(0, &[ERROR, ERROR, FINE, FINE]));
    assert!(!play(10, &[FINE]), "the older ones have left");
    assert!(!play(11, &[FINE, FINE, FINE]));
    assert!(!play(15, &[ERROR]), "four of five");
    assert!(play(16, &[ERROR]), "four of six");
}

#[test]
fn a_refusal_fails_the_probe_of_a_success_rate() {
    for (settings, ejects) in
        [(OutlierSettings::LINKERD_UNIFIED, true), (OutlierSettings::LINKERD_CONSECUTIVE, false)]
    {
        let epoch = start();
        let (outlier, endpoint) = (Outlier::new(settings, 4), EndpointHealth::new(epoch));
        let ejected = |_: &u32| outlier.record(&endpoint, epoch, ERROR).is_some();
        assert_eq!((0..7).filter(ejected).count(), 1);
        let later = epoch + secs(2);
        assert!(endpoint.begin(later));
        let ejection = outlier.record(&endpoint, later, Signal::grpc(8));
        assert_eq!(ejection.is_some(), ejects);
    }
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
        let settings = OutlierSettings { ejected_ratio_max: ratio, ..at_once() };
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
    let settings = OutlierSettings { ejected_ratio_max: 0.5, ..at_once() };
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
    let settings = OutlierSettings { consecutive: Some(2), ejected_ratio_max: 0.5, ..at_once() };
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

#[test]
fn time_that_goes_back_a_little_forgets_no_failure() {
    let epoch = start();
    let (outlier, endpoint) = (Outlier::new(in_window(), 4), EndpointHealth::new(epoch));
    for (at, ejects) in [(5_000, false), (4_000, false), (5_000, true)] {
        let ejection = outlier.record(&endpoint, epoch + ms(at), DOWN);
        assert_eq!(ejection.is_some(), ejects, "{at}");
    }
}
