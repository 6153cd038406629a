//! Commands in the hands of people and scripts: pipes, messages, the load generator's options, and
//! the sample article's script. The exit codes are in `cli.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "the tests stand outside of the program")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use weft_testkit::documents::{ingress_route, middleware};
use weft_testkit::{Gateway, RawOrigin};

/// What a command printed and how it ended.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn weftway(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weftway"));
    Ran::of(command.args(arguments).stdin(Stdio::null()).output().unwrap())
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ends by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A folder with these documents.
fn folder(documents: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in documents {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn analyze(path: &Path) -> Ran {
    weftway(&["analyze", "-f", path.to_str().unwrap(), "--backend", "echo:80=127.0.0.1:9"])
}

fn good() -> String {
    ingress_route(&[("Host(`a.test`)", "echo:80")])
}

#[test]
fn analyze_prints_every_problem_of_every_document() {
    let broken = good().replace("Host(`a.test`)", "Hots(`a.test`)")
        + &middleware("typo", "  stripPrefixx:\n    prefixes: [/a]\n");
    let folder = folder(&[
        ("broken.yaml", &broken),
        ("yaml.yaml", "apiVersion: v1\nkind: [\n"),
        ("good.yaml", &good().replace("name: routes", "name: good")),
        ("notes.txt", "not for us: ["),
    ]);
    let ran = analyze(folder.path());
    assert_eq!((ran.code, &*ran.stderr), (1, ""), "{}", ran.stdout);
    let line = |part: &str| broken.lines().position(|line| line.contains(part)).unwrap() + 1;
    for part in [
        &*format!("broken.yaml:{}:", line("Hots")),
        "- match: Hots(`a.test`)",
        "fix: did you mean `Host`?",
        &*format!("broken.yaml:{}:", line("stripPrefixx")),
        "stripPrefixx:",
        "fix: did you mean `stripPrefix`?",
        "yaml.yaml:",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in\n{}", ran.stdout);
    }
    for silent in ["good.yaml", "notes.txt"] {
        assert!(!ran.stdout.contains(silent), "{}", ran.stdout);
    }
}

#[test]
fn analyze_is_content_with_what_is_good_and_warns_without_failing() {
    let warned = good().replace("[web]", "[websecure]").replace("name: routes", "name: warned")
        + "  tls:\n    certResolver: letsencrypt\n";
    let folder = folder(&[("good.yaml", &good()), ("warned.yaml", &warned)]);
    let ran = analyze(&folder.path().join("good.yaml"));
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let ran = analyze(folder.path());
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("certResolver") && ran.stdout.contains("warned.yaml:"),
        "{}",
        ran.stdout
    );
    let missing = analyze(&folder.path().join("missing.yaml"));
    assert_eq!(missing.code, 1);
    assert!((missing.stdout + &missing.stderr).contains("missing.yaml"));
}

#[test]
fn wrong_usage_is_told_what_is_right() {
    for (arguments, said) in [
        (&[][..], "Usage"),
        (&["nonsense"], "nonsense"),
        (&["gateway"], "--file"),
        (&["gateway", "-f", ".", "--head-timeout", "soon"], "250ms"),
        (&["gateway", "-f", ".", "--backend", "echo"], "NAME:PORT=ADDR"),
        (&["gateway", "-f", ".", "--cert", "c.pem"], "--key"),
        (&["gateway", "-f", ".", "--head-bytes-max", "1000000"], "65536"),
        (&["gateway", "-f", ".", "--port-map", "80"], "FROM=TO"),
        (&["gateway", "-f", ".", "--trust-forwarded-from", "here"], "10.0.0.0/8"),
        (&["analyze", "-f", ".", "-o", "xml"], "json"),
        (&["bench"], "<URL>"),
        (&["completion", "cmd.exe"], "bash"),
    ] {
        let ran = weftway(arguments);
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{arguments:?}");
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn completion_is_a_script_that_the_shell_takes() {
    let folder = folder(&[("weftway.bash", &weftway(&["completion", "bash"]).stdout)]);
    // The shell offers the commands that begin with what was typed.
    let script = "set -eu; source ./weftway.bash; COMP_WORDS=(weftway an); COMP_CWORD=1; \
                  _weftway weftway an weftway; echo \"${COMPREPLY[*]}\"";
    let ran = Command::new("bash").args(["-c", script]).current_dir(folder.path()).output();
    let ran = Ran::of(ran.unwrap());
    assert_eq!((ran.code, ran.stdout.trim()), (0, "analyze"), "{}", ran.stderr);
    for shell in ["zsh", "fish"] {
        let ran = weftway(&["completion", shell]);
        assert!(ran.code == 0 && ran.stdout.contains("analyze"), "{shell}");
    }
}

/// Whoever reads only the first lines of an output ends no command with a complaint.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder(&[("broken.yaml", &good().replace("Host(", "Hots("))]);
    for (command, code) in
        [("completion bash", 0), ("gateway --help", 0), ("version", 0), ("analyze -f .", 1)]
    {
        // Reading begins, and ends, only when the command has nowhere to write to.
        let script = format!("\"$0\" {command} | true; exit \"${{PIPESTATUS[0]}}\"");
        let ran = Command::new("bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_weftway")])
            .current_dir(folder.path())
            .output();
        let ran = Ran::of(ran.unwrap());
        assert_eq!((ran.code, &*ran.stderr), (code, ""), "{command}");
    }
}

fn served() -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/api/v1/hello`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .access_log("off")
        .start();
    (origin, gateway)
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

#[test]
fn bench_sends_what_it_is_told() {
    let (origin, gateway) = served();
    let url = format!("http://{}/api/v1/hello?x=1", gateway.web());
    let ran = weftway(&[
        "bench",
        &url,
        "-n",
        "10",
        "-c",
        "2",
        "-m",
        "POST",
        "-H",
        "X-Token: a",
        "-H",
        "Host: b.test",
        "-d",
        "body",
    ]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for text in ["p50", "p99", "200"] {
        assert!(ran.stdout.to_lowercase().contains(text), "{text}: {}", ran.stdout);
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 10);
    for request in requests {
        assert_eq!((&*request.method, &*request.target), ("POST", "/api/v1/hello?x=1"));
        assert_eq!(
            (request.header("x-token"), request.header("host")),
            (Some("a"), Some("b.test"))
        );
        assert_eq!(request.body, b"body");
    }
}

#[test]
fn bench_reports_what_came_back() {
    let (origin, gateway) = served();
    let url = format!("http://{}/api/v1/hello", gateway.web());
    let ran = weftway(&["bench", &url, "-n", "100", "-c", "4", "-o", "json"]);
    let json = report(&ran);
    let at = |name: &str| json["latencies"][name].as_f64().expect("a number");
    assert!(at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("max"), "{json}");
    assert_eq!(
        (ran.code, &json["requests"], &json["failed"]),
        (0, &100.into(), &0.into()),
        "{json}"
    );
    assert_eq!(json["statusCodes"]["200"], 100);
    assert_eq!(origin.requests().len(), 100);
    // Statuses are counted, whatever they are.
    let ran = weftway(&[
        "bench",
        &format!("http://{}/none", gateway.web()),
        "-n",
        "5",
        "-c",
        "1",
        "-o",
        "json",
    ]);
    assert_eq!(report(&ran)["statusCodes"]["404"], 5);
    // So is what never was answered.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = weftway(&["bench", &format!("http://{gone}/"), "-n", "5", "-c", "1", "-o", "json"]);
    let json = report(&ran);
    assert_eq!((ran.code, &json["failed"]), (1, &5.into()), "{json}");
    assert_eq!(json["errors"]["connect"], 5, "{json}");
    let ran = weftway(&["bench", "nonsense://x", "-n", "1"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("nonsense"), "{}", ran.stderr);
}

#[test]
fn bench_speaks_http2_and_keeps_a_rate() {
    let (_origin, gateway) = served();
    let url = format!("http://{}/api/v1/hello", gateway.web());
    let json = report(&weftway(&[
        "bench",
        &url,
        "-n",
        "100",
        "-c",
        "2",
        "--h2",
        "--streams",
        "4",
        "-o",
        "json",
    ]));
    assert_eq!(
        (&json["statusCodes"]["200"], &json["protocol"]),
        (&100.into(), &"HTTP/2".into()),
        "{json}"
    );
    // Two hundred requests at 400 a second take half a second, however fast the answers are.
    let json =
        report(&weftway(&["bench", &url, "-n", "200", "-c", "4", "-q", "400", "-o", "json"]));
    assert!(json["duration"].as_f64().unwrap() > 0.4, "{json}");
    // And a time is a time.
    let json = report(&weftway(&["bench", &url, "-z", "300ms", "-c", "2", "-o", "json"]));
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
    let (origin, gateway) = served();
    let folder = folder(&[("bench.sh", SCRIPT)]);
    let binary = Path::new(env!("CARGO_BIN_EXE_weftway"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash")
        .args(["bench.sh", &format!("http://{}/api/v1/hello", gateway.web())])
        .current_dir(folder.path())
        .env("PATH", path)
        .output();
    let ran = Ran::of(ran.unwrap());
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let json = std::fs::read(folder.path().join("result.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    for name in ["p50", "p99"] {
        assert!(json["latencies"][name].as_f64().is_some_and(|millis| millis > 0.0), "{json}");
    }
    assert_eq!(origin.requests().len(), 6_000);
}
