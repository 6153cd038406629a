//! Reports of load as endpoints write them into answers: xDS' Open Request Cost Aggregation (gRFC
//! A51), as Envoy reads them.
//!
//! - `endpoint-load-metrics: TEXT cpu_utilization=0.3,rps_fractional=120`
//! - `endpoint-load-metrics: JSON {"cpu_utilization": 0.3, "rps_fractional": 120}`
//! - `endpoint-load-metrics: BIN <base64>` and `endpoint-load-metrics-bin: <base64>` with an
//!   `OrcaLoadReport` of Protocol Buffers in it.
//!
//! ```
//! let report = weft_resilience::orca::read("TEXT cpu_utilization=0.3,rps_fractional=120");
//! assert_eq!(report.map(|report| report.requests_per_sec), Some(120.0));
//! ```

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::load::LoadReport;
use crate::protobuf::{Reader, Value};

/// The field whose value begins with a format, in heads and trailers.
pub const METRICS: &str = "endpoint-load-metrics";

/// The field whose value is the base64 of a message, in heads and trailers. It comes before the
/// other one.
pub const METRICS_BIN: &str = "endpoint-load-metrics-bin";

/// A report that is larger, which only custom metrics could make it, is not read.
const REPORT_BYTES_MAX: usize = 2 << 10;

/// gRPC leaves the padding out, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What of a report is looked at, in the JSON form of Protocol Buffers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Json {
    #[serde(alias = "rpsFractional")]
    rps_fractional: f64,
    eps: f64,
    #[serde(alias = "applicationUtilization")]
    application_utilization: f64,
    #[serde(alias = "cpuUtilization")]
    cpu_utilization: f64,
}

/// The report in a value of [`METRICS`]; `None` for what cannot be read. Custom metrics are left
/// out.
#[must_use]
pub fn read(value: &str) -> Option<LoadReport> {
    let (format, report) = value.split_once(' ')?;
    match format {
        "TEXT" => text(report),
        "JSON" => json(report),
        "BIN" => read_binary(report.trim().as_bytes()),
        _ => None,
    }
}

/// The report in a value of [`METRICS_BIN`], up to 2 KiB of it; `None` for what cannot be read.
#[must_use]
pub fn read_binary(value: &[u8]) -> Option<LoadReport> {
    let mut bytes = [0; REPORT_BYTES_MAX];
    let length = BASE64.decode_slice(value, &mut bytes).ok()?;
    message(&bytes[..length])
}

fn text(report: &str) -> Option<LoadReport> {
    let mut found = LoadReport::default();
    for pair in report.split(',') {
        let (name, value) = pair.trim().split_once(['=', ':'])?;
        let place = match name.trim() {
            "rps_fractional" => &mut found.requests_per_sec,
            "eps" => &mut found.errors_per_sec,
            "application_utilization" => &mut found.application_utilization,
            "cpu_utilization" => &mut found.cpu_utilization,
            _ => continue,
        };
        *place = value.trim().parse().ok()?;
    }
    Some(found)
}

fn json(report: &str) -> Option<LoadReport> {
    let Json { rps_fractional, eps, application_utilization, cpu_utilization } =
        serde_json::from_str(report).ok()?;
    Some(LoadReport {
        requests_per_sec: rps_fractional,
        errors_per_sec: eps,
        application_utilization,
        cpu_utilization,
    })
}

/// `xds.data.orca.v3.OrcaLoadReport`.
fn message(report: &[u8]) -> Option<LoadReport> {
    let mut found = LoadReport::default();
    let mut reader = Reader::new(report);
    while let Some((field, value)) = reader.next()? {
        let Value::Fixed64(bits) = value else { continue };
        let place = match field {
            1 => &mut found.cpu_utilization,
            6 => &mut found.requests_per_sec,
            7 => &mut found.errors_per_sec,
            9 => &mut found.application_utilization,
            _ => continue,
        };
        *place = f64::from_bits(bits);
    }
    Some(found)
}

#[cfg(test)]
mod tests;
