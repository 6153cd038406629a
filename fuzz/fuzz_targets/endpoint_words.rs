//! What endpoints say beside their answers (reports of load, health by gRPC, when to come again): no
//! panic; a report makes a weight that can be drawn by, or none; what is written is read back; what
//! was said is not taken for silence.

#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libfuzzer_sys::fuzz_target;
use weft_resilience::load::LoadReport;
use weft_resilience::protobuf::{Reader, Value};
use weft_resilience::pushback::Pushback;
use weft_resilience::settings::LoadReportSettings;
use weft_resilience::{grpc, orca};

fuzz_target!(|data: &[u8]| {
    let binary = BASE64_STANDARD.encode(data);
    let read = orca::read_binary(binary.as_bytes());
    same(read, orca::read(&format!("BIN {binary}")));
    for report in [read, orca::read_binary(data)].into_iter().flatten() {
        look(&report);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        for report in ["", "TEXT ", "JSON "].map(|format| orca::read(&format!("{format}{text}"))) {
            report.iter().for_each(look);
        }
    }
    fields(data);
    say(data);
    let _ = grpc::is_content_type(data);
});

/// A weight is drawn by; and the report is read again as it is written.
fn look(report: &LoadReport) {
    let weight = report.weight(&LoadReportSettings::DEFAULT);
    assert!(weight.is_none_or(|weight| weight.is_finite() && weight > 0.0), "{report:?}");
    let LoadReport { requests_per_sec, errors_per_sec, application_utilization, cpu_utilization } =
        report;
    let text = format!(
        "TEXT rps_fractional={requests_per_sec},eps={errors_per_sec},\
         application_utilization={application_utilization},cpu_utilization={cpu_utilization}"
    );
    same(Some(*report), orca::read(&text));
}

/// As they are, numbers or not.
fn same(left: Option<LoadReport>, right: Option<LoadReport>) {
    let shown = [left, right].map(|report| format!("{report:?}"));
    assert_eq!(shown[0], shown[1]);
}

/// The fields of a message end, and number no more than the bytes that each takes.
fn fields(message: &[u8]) {
    let mut reader = Reader::new(message);
    let mut count = 0;
    while let Some(Some((_, value))) = reader.next() {
        count += if matches!(value, Value::Fixed64(_)) { 9 } else { 2 };
    }
    assert!(count <= message.len());
}

/// Two fields, and the date of the answer.
fn say(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let [retry_after, pushback, date] = [(); 3].map(|()| lines.next());
    let said = Pushback::of(|name| match name {
        "retry-after" => retry_after,
        "grpc-retry-pushback-ms" => pushback,
        "date" => date,
        _ => None,
    });
    // There is a first line, be it empty.
    assert!(said > Pushback::Unsaid);
    assert!(pushback.is_none_or(|words| {
        let alone = Pushback::of(|name| (name == "grpc-retry-pushback-ms").then_some(words));
        alone > Pushback::Unsaid && alone <= said
    }));
}
