//! Whole runs against an origin in this process.

mod origin;

use std::time::Duration;

use super::*;
use origin::Origin;

fn options(origin: &Origin, path: &str) -> Options {
    let mut options = Options::new(origin.url(path));
    options.connections = 2;
    options.requests = Some(20);
    options
}

fn check_ok(options: &Options, body_bytes: u64) -> Report {
    let report = run(options, |_| {}).expect("the options are valid");
    assert_eq!(report.errors.len(), 0, "{:?}", report.error_samples);
    assert_eq!(report.requests, 20);
    assert_eq!(report.status_codes.get("200"), Some(&20), "{:?}", report.status_codes);
    assert_eq!(report.bytes, 20 * body_bytes);
    assert!(report.is_clean());
    report
}

#[test]
fn http1_reuses_its_connections() {
    let origin = Origin::http1();
    check_ok(&options(&origin, "/length"), 5);
    assert_eq!(origin.connections(), 2);
    assert_eq!(origin.requests(), 20);
}

#[test]
fn http1_opens_one_connection_a_request_when_told_so() {
    let origin = Origin::http1();
    let mut options = options(&origin, "/length");
    options.keep_alive = false;
    check_ok(&options, 5);
    assert_eq!(origin.connections(), 20);
}

#[test]
fn http1_reads_chunked_and_close_delimited_bodies() {
    let origin = Origin::http1();
    check_ok(&options(&origin, "/chunked"), 11);
    check_ok(&options(&origin, "/close"), 5);
}

#[test]
fn http1_sends_method_headers_and_body() {
    let origin = Origin::http1();
    let mut options = options(&origin, "/echo");
    options.method = "PUT".to_owned();
    options.headers = vec![("X-Length".to_owned(), "3".to_owned())];
    options.body = vec![b'x'; 70_000];
    // The origin answers with a body of as many bytes as it received.
    check_ok(&options, 70_000);
}

#[test]
fn an_idle_connection_that_the_server_closed_costs_no_request() {
    let origin = Origin::http1();
    let mut options = options(&origin, "/then-close");
    options.connections = 1;
    // The answer promises to keep the connection and the server closes it all the same, long
    // before the next request is due.
    options.rate_per_sec = Some(10.0);
    options.requests = Some(4);
    let report = run(&options, |_| {}).expect("the options are valid");
    assert_eq!((report.requests, report.failed), (4, 0), "{:?}", report.error_samples);
    assert_eq!(origin.connections(), 4);
}

#[test]
fn failures_are_counted_by_kind() {
    let origin = Origin::http1();
    let check = |path: &str, kind: FailureKind| {
        let mut options = options(&origin, path);
        options.timeout = Duration::from_millis(20);
        options.requests = Some(3);
        let report = run(&options, |_| {}).expect("the options are valid");
        assert_eq!(report.requests, 0);
        assert_eq!(report.failed, 3);
        assert_eq!(report.errors.get(kind.as_str()), Some(&3), "{path}: {:?}", report.errors);
        assert!(!report.is_clean());
    };
    check("/garbage", FailureKind::Protocol);
    check("/drop", FailureKind::Closed);
    check("/stall", FailureKind::Timeout);
}

#[test]
fn a_refused_connection_is_a_failed_request_with_its_reason() {
    let closed = Origin::closed_port();
    let mut options = Options::new(format!("http://{closed}/"));
    options.requests = Some(2);
    options.connections = 1;
    let report = run(&options, |_| {}).expect("the options are valid");
    assert_eq!(report.errors.get("connect"), Some(&2));
    assert!(report.error_samples["connect"].contains("refused"), "{:?}", report.error_samples);
    assert!(report.render().contains("connect"));
}

#[test]
fn http2_shares_a_connection_between_streams() {
    let origin = Origin::http2();
    let mut options = options(&origin, "/length");
    options.protocol = Protocol::Http2;
    options.connections = 1;
    options.streams = 4;
    check_ok(&options, 5);
    assert_eq!(origin.connections(), 1);
    options.method = "POST".to_owned();
    options.body = vec![b'x'; 200_000];
    check_ok(&options, 200_000);
}

#[test]
fn http2_moves_to_a_new_connection_after_goaway() {
    let origin = Origin::http2();
    let mut options = options(&origin, "/then-goaway");
    options.protocol = Protocol::Http2;
    options.connections = 1;
    check_ok(&options, 5);
    assert!(origin.connections() > 1);
}

#[test]
fn http2_resets_are_counted() {
    let origin = Origin::http2();
    let mut options = options(&origin, "/reset");
    options.protocol = Protocol::Http2;
    let report = run(&options, |_| {}).expect("the options are valid");
    assert_eq!(report.errors.get("reset"), Some(&20), "{:?}", report.error_samples);
}

#[test]
fn tls_believes_the_given_roots_only() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (origin, pem) = Origin::tls(protocol);
        let mut options = options(&origin, "/length");
        options.protocol = protocol;
        options.host = Some("origin.test".to_owned());
        options.trust = Trust::Pem(pem);
        check_ok(&options, 5);
        options.trust = Trust::Insecure;
        check_ok(&options, 5);
        let (_, stranger) = Origin::tls(protocol);
        options.trust = Trust::Pem(stranger);
        let report = run(&options, |_| {}).expect("the options are valid");
        assert_eq!(report.errors.get("tls"), Some(&20), "{:?}", report.error_samples);
    }
}

#[test]
fn an_open_loop_charges_a_stall_to_every_request_behind_it() {
    let origin = Origin::http1();
    let mut options = options(&origin, "/slow-first");
    options.connections = 1;
    options.rate_per_sec = Some(1000.0);
    let report = check_ok(&options, 5);
    // The first answer takes at least 300 ms; the 20 requests were due within 20 ms, so even the
    // fastest of them has waited 280 ms. A closed loop would charge the stall to one request.
    assert!(report.latencies.min >= 250.0, "{:?}", report.latencies);
    assert_eq!(report.target_rps, Some(1000.0));
}

#[test]
fn a_duration_ends_an_open_loop_and_names_what_it_missed() {
    let origin = Origin::http1();
    let mut options = options(&origin, "/slow-first");
    options.connections = 1;
    options.requests = None;
    options.duration = Some(Duration::from_millis(100));
    options.rate_per_sec = Some(200.0);
    let report = run(&options, |_| {}).expect("the options are valid");
    // One connection, stalled past the end: one request answered, the other slots never started.
    assert_eq!((report.requests, report.missed), (1, 19));
}

#[test]
fn threads_share_the_load() {
    let origin = Origin::http1();
    let mut options = options(&origin, "/length");
    options.threads = 2;
    let report = check_ok(&options, 5);
    assert_eq!((report.threads, origin.connections()), (2, 2));
}

#[test]
fn a_report_has_the_fields_that_scripts_read() {
    let origin = Origin::http1();
    let report = check_ok(&options(&origin, "/length"), 5);
    let json = serde_json::to_value(&report).expect("a report has only plain fields");
    assert_eq!(json["latencies"]["unit"], "ms");
    for name in ["min", "mean", "p50", "p75", "p90", "p95", "p99", "p999", "max"] {
        assert!(json["latencies"][name].as_f64().is_some_and(|ms| ms > 0.0), "{name}: {json}");
    }
    assert_eq!(json["statusCodes"]["200"], 20);
    assert_eq!(json["bytes"], 100);
    assert!(json["errors"].as_object().is_some_and(serde_json::Map::is_empty));
    assert!(json["rps"].as_f64().is_some_and(|rps| rps > 0.0));
    assert!(json["duration"].as_f64().is_some_and(|secs| secs > 0.0));
    let counted: u64 = report.histogram.iter().map(|bucket| bucket.count).sum();
    assert_eq!(counted, 20);
    let text = report.render();
    for expected in ["20 answered, 0 failed", "p99.9", "Latency histogram", "  200  20"] {
        assert!(text.contains(expected), "{expected:?} is missing from\n{text}");
    }
}

#[test]
fn progress_is_reported_while_requests_run() {
    let origin = Origin::http1();
    let mut options = options(&origin, "/slow-first");
    options.connections = 1;
    let mut calls = Vec::new();
    run(&options, |progress| calls.push(progress)).expect("the options are valid");
    let first = calls.first().expect("a run of 300 ms reports about three times");
    assert_eq!((first.requests, first.duration, first.failed), (Some(20), None, 0));
    assert!(first.answered < 20);
}
