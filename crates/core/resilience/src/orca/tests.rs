use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use proptest::prelude::{any, prop, proptest};

use super::*;

const REPORT: LoadReport = LoadReport {
    requests_per_sec: 120.0,
    errors_per_sec: 3.0,
    application_utilization: 0.7,
    cpu_utilization: 0.25,
};

/// An `OrcaLoadReport` with a named metric, a memory utilization and the old `rps` besides.
fn sample() -> Vec<u8> {
    let mut message = Vec::new();
    for (field, value) in [(1, 0.25f64), (2, 0.9), (6, 120.0), (7, 3.0), (9, 0.7)] {
        message.push(field << 3 | 1);
        message.extend_from_slice(&value.to_le_bytes());
    }
    message.extend_from_slice(&[3 << 3, 120]);
    let entry = [&[0x0a, 1, b'x', 0x11][..], &1.5f64.to_le_bytes()].concat();
    message.extend_from_slice(&[8 << 3 | 2, entry.len() as u8]);
    message.extend_from_slice(&entry);
    message
}

fn check(name: &str, value: &str, expected: Option<LoadReport>) {
    let found = if name == METRICS { read(value) } else { read_binary(value.as_bytes()) };
    assert_eq!(found, expected, "{name}: {value}");
}

#[test]
fn all_forms_are_read() {
    check(
        METRICS,
        "TEXT cpu_utilization=0.25,mem_utilization=0.9,application_utilization=0.7,\
         rps_fractional=120,eps=3,named_metrics.x=1.5",
        Some(REPORT),
    );
    check(
        METRICS,
        "TEXT cpu_utilization:0.5",
        Some(LoadReport { cpu_utilization: 0.5, ..LoadReport::default() }),
    );
    check(
        METRICS,
        "JSON {\"cpu_utilization\": 0.25, \"mem_utilization\": 0.9, \"rps_fractional\": 120, \
         \"applicationUtilization\": 0.7, \"eps\": 3, \"named_metrics\": {\"x\": 1.5}}",
        Some(REPORT),
    );
    let message = sample();
    check(METRICS, &format!("BIN {}", BASE64_STANDARD.encode(&message)), Some(REPORT));
    check(METRICS_BIN, &BASE64_STANDARD.encode(&message), Some(REPORT));
    check(METRICS_BIN, &BASE64_STANDARD_NO_PAD.encode(&message), Some(REPORT));
}

#[test]
fn what_cannot_be_read_is_no_report() {
    for value in [
        "",
        "TEXT",
        "TEXT cpu_utilization",
        "TEXT cpu_utilization=much",
        "JSON",
        "JSON {\"cpu_utilization\": \"0.3\"",
        "XML <cpu/>",
        "BIN !",
        "BIN CQ==",
    ] {
        check(METRICS, value, None);
    }
    check(METRICS_BIN, &"A".repeat(8 << 10), None);
}

proptest! {
    #[test]
    fn no_bytes_of_an_endpoint_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (super::message(&bytes), read_binary(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        let _ = (super::text(&text), json(&text));
    }
}
