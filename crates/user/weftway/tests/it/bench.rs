//! The load generator `weftway bench`: its options, its report, and the sample article's script.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use weft_testkit::documents::ingress_route;
use weft_testkit::{Gateway, RawOrigin, Reserved};

use crate::cli::{Ran, folder, weftway};
use crate::common::{BINARY, builder};

/// A gateway that serves `/api/v1/hello`, and its URL.
fn served() -> (RawOrigin, Gateway, String) {
    let origin = RawOrigin::start("echo");
    let gateway = builder()
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/api/v1/hello`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .access_log("off")
        .start();
    let url = format!("http://{}/api/v1/hello", gateway.web());
    (origin, gateway, url)
}

/// Runs it with these options, and gives its exit code and report. What failed is said on standard
/// error, for the report may be in a file.
fn bench(url: &str, options: &str) -> (i32, Value) {
    let mut arguments = vec!["bench", url, "-o", "json"];
    arguments.extend(options.split(' '));
    let ran = weftway(&arguments);
    let report: Value = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr));
    // In a pipe there is no progress bar.
    let failed = report["failed"].as_u64().expect("a number") > 0;
    assert_eq!(ran.stderr.starts_with("error: "), failed, "{}", ran.stderr);
    assert_eq!(ran.stderr.is_empty(), !failed, "{}", ran.stderr);
    (ran.code, report)
}

#[test]
fn bench_sends_what_it_is_told() {
    let (origin, _gateway, url) = served();
    let url = format!("{url}?x=1");
    let counts = ["bench", &url, "-n", "10", "-c", "2"];
    let request = ["-m", "POST", "-H", "X-Token: a", "-H", "Host: b.test", "-d", "body"];
    let ran = weftway(&[&counts[..], &request].concat());
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for text in ["p50", "p99", "200"] {
        assert!(ran.stdout.to_lowercase().contains(text), "{text}: {}", ran.stdout);
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 10);
    for request in requests {
        assert_eq!((&*request.method, &*request.target), ("POST", "/api/v1/hello?x=1"));
        assert_eq!(request.header("x-token"), Some("a"));
        assert_eq!(request.header("host"), Some("b.test"));
        assert_eq!(request.body, b"body");
    }
}

#[test]
fn bench_measures_and_speaks_json() {
    let (origin, _gateway, url) = served();
    for (options, protocol) in
        [("-n 100 -c 4", "HTTP/1.1"), ("-n 100 -c 2 --h2 --streams 4", "HTTP/2")]
    {
        let (code, json) = bench(&url, options);
        let at = |name: &str| json["latencies"][name].as_f64().expect("a number");
        assert!(at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("max"), "{json}");
        assert_eq!((code, &json["protocol"]), (0, &protocol.into()), "{json}");
        assert_eq!((&json["requests"], &json["failed"]), (&100.into(), &0.into()), "{json}");
        assert_eq!(json["statusCodes"]["200"], 100, "{json}");
    }
    assert_eq!(origin.requests().len(), 200);
}

#[test]
fn bench_reports_what_came_back() {
    let (_origin, gateway, _) = served();
    // Statuses are counted, whatever they are.
    let (_, json) = bench(&format!("http://{}/none", gateway.web()), "-n 5 -c 1");
    assert_eq!(json["statusCodes"]["404"], 5, "{json}");
    // So is what never was answered.
    let nowhere = Reserved::any();
    let (code, json) = bench(&format!("http://{}/", nowhere.addr()), "-n 5 -c 1");
    assert_eq!((code, &json["failed"]), (1, &5.into()), "{json}");
    assert_eq!(json["errors"]["connect"], 5, "{json}");
    let ran = weftway(&["bench", "nonsense://x", "-n", "1"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("nonsense"), "{}", ran.stderr);
}

#[test]
fn bench_keeps_a_rate_and_a_time() {
    let (_origin, _gateway, url) = served();
    // Two hundred requests at 400 a second take half a second, however fast the answers are.
    let (_, json) = bench(&url, "-n 200 -c 4 -q 400");
    assert!(json["duration"].as_f64().unwrap() > 0.4, "{json}");
    let (_, json) = bench(&url, "-z 300ms -c 2");
    assert!(json["duration"].as_f64().unwrap() >= 0.3, "{json}");
    assert!(json["requests"].as_u64().unwrap() > 0, "{json}");
}

/// The script of the sample article, with `weftway bench` in place of `hey` and nothing else
/// changed but `jq`, whose two values are read here.
#[test]
fn the_sample_script_runs() {
    const SCRIPT: &str = "#!/usr/bin/env bash\nset -euo pipefail\n\
        TARGET=$1 # e.g., http://greeter:8080 or http://gateway:8443/api/v1/hello\n\
        RATE=200\nDURATION=30\n\
        weftway bench -n $((RATE*DURATION)) -c 50 -m GET \"$TARGET\" -o json > result.json\n";
    let (origin, _gateway, url) = served();
    let folder = folder(&[("bench.sh", SCRIPT)]);
    let bin = Path::new(BINARY).parent().unwrap().display();
    #[expect(clippy::disallowed_methods, reason = "the test stands outside of the program")]
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let ran = Ran::of(
        Command::new("bash").args(["bench.sh", &url]).current_dir(folder.path()).env("PATH", path),
    );
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let json = std::fs::read(folder.path().join("result.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    for name in ["p50", "p99"] {
        assert!(json["latencies"][name].as_f64().is_some_and(|millis| millis > 0.0), "{json}");
    }
    assert_eq!(origin.requests().len(), 6_000);
}
