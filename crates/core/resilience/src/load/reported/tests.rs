use proptest::prelude::{prop_assert, proptest};

use super::*;
use crate::virtual_clock::{secs, start};

const SETTINGS: LoadReportSettings = LoadReportSettings::DEFAULT;

fn report(requests_per_sec: f64, errors_per_sec: f64, utilization: f64) -> LoadReport {
    LoadReport {
        requests_per_sec,
        errors_per_sec,
        cpu_utilization: utilization,
        ..LoadReport::default()
    }
}

#[test]
fn weight_is_requests_per_utilization_and_errors() {
    for (report, weight) in [
        (report(100.0, 0.0, 0.5), Some(200.0)),
        // A fifth of the requests fail: as much again.
        (report(100.0, 20.0, 0.2), Some(250.0)),
        (report(100.0, -5.0, 0.5), Some(200.0)),
        (report(0.0, 0.0, 0.5), None),
        (report(100.0, 0.0, 0.0), None),
        (report(f64::NAN, 0.0, 0.5), None),
        (report(100.0, f64::INFINITY, 0.5), None),
        (report(f64::MAX, 0.0, 1e-300), None),
        (LoadReport { application_utilization: 0.25, ..report(100.0, 0.0, 0.5) }, Some(400.0)),
        (LoadReport { application_utilization: 2.0, ..report(100.0, 0.0, 0.5) }, Some(50.0)),
    ] {
        assert_eq!(report.weight(&SETTINGS), weight, "{report:?}");
    }
    let lenient = LoadReportSettings { error_penalty_percent: 0, ..SETTINGS };
    assert_eq!(report(100.0, 20.0, 0.2).weight(&lenient), Some(500.0));
}

#[test]
fn reports_count_after_the_blackout_until_they_expire() {
    let epoch = start();
    let load = ReportedLoad::new(epoch);
    let weight = |at| load.weight(epoch + secs(at), &SETTINGS);
    let record = |at, utilization| {
        load.record(epoch + secs(at), &report(100.0, 0.0, utilization), &SETTINGS);
    };
    assert_eq!(weight(0), None);
    record(20, 0.5);
    assert_eq!((weight(29), weight(30)), (None, Some(200.0)));
    record(40, 0.25);
    assert_eq!((weight(40), weight(219), weight(220)), (Some(400.0), Some(400.0), None));
    // After a gap the blackout begins anew.
    record(300, 0.5);
    assert_eq!((weight(300), weight(310)), (None, Some(200.0)));
    record(320, 0.0);
    assert_eq!(weight(320), Some(200.0), "it said nothing");
    load.clear();
    assert_eq!(weight(320), None);
    record(330, 0.5);
    assert_eq!((weight(339), weight(340)), (None, Some(200.0)));
}

proptest! {
    #[test]
    fn weights_are_always_finite_and_above_zero(
        requests: f64, errors: f64, application: f64, cpu: f64,
    ) {
        let report = LoadReport {
            requests_per_sec: requests,
            errors_per_sec: errors,
            application_utilization: application,
            cpu_utilization: cpu,
        };
        let is_weight = |weight: f64| weight.is_finite() && weight > 0.0;
        prop_assert!(report.weight(&SETTINGS).is_none_or(is_weight));
    }
}
