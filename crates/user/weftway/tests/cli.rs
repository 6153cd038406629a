//! The command line: what it prints, and its exit codes (0 fine, 1 found a problem, 2 wrong usage).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use weft_testkit::documents::ingress_route;
use weft_testkit::{Gateway, RawOrigin};

fn weftway(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    Command::new(env!("CARGO_BIN_EXE_weftway"))
        .current_dir(root)
        .args(arguments)
        .output()
        .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file that is gone with the test.
struct Document(PathBuf);

impl Document {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("weftway-cli-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the temporary folder is writable");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is ours")
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn every_example_is_accepted() {
    for folder in ["traefik", "traefik-file", "ingress", "gateway-api"] {
        let output = weftway(&["analyze", "-f", &format!("examples/{folder}")]);
        assert_eq!(output.status.code(), Some(0), "{folder}: {}", stdout(&output));
        assert!(stdout(&output).contains(" 0 errors"), "{folder}: {}", stdout(&output));
    }
}

#[test]
fn analyze_names_file_line_and_fix() {
    let document = Document::new(
        "broken.yaml",
        &ingress_route(&[("PathPrefix('/x')", "echo:80"), ("Hots(`a.test`)", "echo:80")]),
    );
    let output = weftway(&["analyze", "-f", document.path(), "--backend", "echo:80=127.0.0.1:1"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let first = format!("{}:8:", document.path());
    let second = format!("{}:13:", document.path());
    assert!(text.contains(&first) && text.contains(&second), "{text}");
    // The line itself, and what to write instead.
    assert!(text.contains("PathPrefix('/x')") && text.contains("Host"), "{text}");
    // Every problem is there, not only the first.
    assert!(text.contains(" 2 errors"), "{text}");
}

#[test]
fn analyze_speaks_json() {
    let document = Document::new("json.yaml", &ingress_route(&[("Nothing(`x`)", "echo:80")]));
    let output = weftway(&[
        "analyze",
        "-f",
        document.path(),
        "--backend",
        "echo:80=127.0.0.1:1",
        "-o",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let problem = &json["problems"][0];
    assert_eq!((problem["severity"].as_str(), problem["line"].as_u64()), (Some("error"), Some(8)));
    assert_eq!(problem["file"].as_str(), Some(document.path()));
}

#[test]
fn analyze_reports_what_is_not_supported_by_name() {
    let document = Document::new(
        "unsupported.yaml",
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRouteUDP\nmetadata:\n  name: dns\nspec:\n  routes: []\n---\n\
         apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata:\n  name: waf\nspec:\n  plugin:\n    \
         coraza: {}\n---\napiVersion: example.com/v1\nkind: Unheard\nmetadata:\n  name: of\n",
    );
    let text = stdout(&weftway(&["analyze", "-f", document.path()]));
    for name in ["IngressRouteUDP", "plugin", "Unheard"] {
        assert!(text.contains(name), "{name} is not named: {text}");
    }
    for line in [1, 13, 16] {
        assert!(text.contains(&format!(":{line}:")), "line {line} is not named: {text}");
    }
}

#[test]
fn analyze_shows_no_secrets() {
    let document = Document::new(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: users\ntype: Opaque\nstringData:\n  users: [hunter2]\n",
    );
    let output = weftway(&["analyze", "-f", document.path()]);
    let text = stdout(&output) + &stderr(&output);
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &["gateway"][..],
        &["gateway", "-f", "x", "--http", "nowhere"],
        &["gateway", "-f", "x", "--backend", "greeter"],
        &["gateway", "-f", "x", "--cert", "only.pem"],
        &["gateway", "-f", "x", "--workers", "0"],
        &["gateway", "-f", "x", "--head-timeout", "soon"],
        &["analyze"],
        &["bench"],
        &["fly"],
        &["--no-such-flag"],
    ] {
        let output = weftway(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn help_and_version_are_0() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["version"],
        &["gateway", "--help"],
        &["completion", "bash"],
    ] {
        let output = weftway(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty());
    }
    let text = stdout(&weftway(&["gateway", "--help"]));
    for flag in
        ["--http", "--backend", "--port-map", "--admin", "--drain-timeout", "--head-timeout"]
    {
        assert!(text.contains(flag), "{flag}");
    }
}

#[test]
fn what_cannot_be_started_is_1_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let document = Document::new("any.yaml", &ingress_route(&[]));
    let output = weftway(&[
        "gateway",
        "-f",
        document.path(),
        "--http",
        "127.0.0.1:0",
        "--https",
        "127.0.0.1:0",
        "--admin",
        &addr,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("admin") && text.contains(&addr), "{text}");
    let output = weftway(&[
        "gateway",
        "-f",
        "/no/such/folder",
        "--http",
        "127.0.0.1:0",
        "--https",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--cert",
        "/no/chain",
        "--key",
        "/no/key",
    ]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn bench_measures_and_speaks_json() {
    let origin = RawOrigin::start("echo");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_weftway"))
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
        .start();
    let url = format!("http://{}/x", gateway.web());
    for more in [&[][..], &["--h2"]] {
        let arguments = [&["bench", &url, "-n", "200", "-c", "4", "-o", "json"], more].concat();
        let output = weftway(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        for name in ["p50", "p99"] {
            assert!(json["latencies"][name].as_f64().is_some_and(|value| value > 0.0), "{json}");
        }
        // In a pipe there is no progress bar.
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
    }
    assert_eq!(origin.requests().len(), 400);
    let output = weftway(&["bench", &format!("http://{}/x", unused()), "-n", "2", "-c", "1"]);
    assert_eq!(output.status.code(), Some(1));
}

/// An address that nobody listens on.
fn unused() -> std::net::SocketAddr {
    weft_testkit::Reserved::any().addr()
}

#[test]
fn demo_once_checks_itself() {
    let output = weftway(&["demo", "--once"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}
