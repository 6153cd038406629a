//! The command line in the hands of people and scripts: what it prints, its pipes, and its exit
//! codes (0 fine, 1 found a problem, 2 wrong usage).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weft_testkit::documents::{ingress_route, middleware};
use weft_testkit::{program, wait};

use crate::common::BINARY;

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary in the workspace.
pub(crate) fn weftway(arguments: &[&str]) -> Ran {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    Ran::of(Command::new(BINARY).current_dir(root).args(arguments))
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = program::run(command);
        Self {
            code: output.status.code().expect("it ends by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A folder with these documents.
pub(crate) fn folder(documents: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in documents {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn analyze(path: &Path, more: &[&str]) -> Ran {
    let arguments = ["analyze", "-f", path.to_str().unwrap(), "--backend", "echo:80=127.0.0.1:9"];
    weftway(&[&arguments, more].concat())
}

fn good() -> String {
    ingress_route(&[("Host(`a.test`)", "echo:80")])
}

#[test]
fn every_example_is_accepted() {
    for folder in [
        "traefik",
        "traefik-file",
        "ingress",
        "gateway-api",
        "gateway-api-mesh",
        "istio",
        "linkerd",
        "mesh",
        "smi",
        "weftway",
    ] {
        let ran = weftway(&["analyze", "-f", &format!("examples/{folder}")]);
        assert_eq!(ran.code, 0, "{folder}: {}", ran.stdout);
        assert!(ran.stdout.contains(" 0 errors"), "{folder}: {}", ran.stdout);
    }
}

/// Every problem of every document: where it is, the line itself, and what to write instead.
#[test]
fn analyze_names_file_line_and_fix() {
    let rules = [("PathPrefix('/x')", "echo:80"), ("Hots(`a.test`)", "echo:80")];
    let broken =
        ingress_route(&rules) + &middleware("typo", "  stripPrefixx:\n    prefixes: [/a]\n");
    let folder = folder(&[
        ("broken.yaml", &broken),
        ("yaml.yaml", "apiVersion: v1\nkind: [\n"),
        ("good.yaml", &good().replace("name: routes", "name: good")),
        ("notes.txt", "not for us: ["),
    ]);
    let ran = analyze(folder.path(), &[]);
    assert_eq!((ran.code, &*ran.stderr), (1, ""), "{}", ran.stdout);
    let place = |part: &str| {
        let line = broken.lines().position(|line| line.contains(part)).unwrap() + 1;
        format!("{}:{line}:", folder.path().join("broken.yaml").display())
    };
    for part in [
        &*place("PathPrefix("),
        "- match: PathPrefix('/x')",
        &place("Hots("),
        "- match: Hots(`a.test`)",
        "fix: did you mean `Host`?",
        &place("stripPrefixx:"),
        "stripPrefixx:",
        "fix: did you mean `stripPrefix`?",
        "yaml.yaml:",
        " 4 errors",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in\n{}", ran.stdout);
    }
    for silent in ["good.yaml", "notes.txt"] {
        assert!(!ran.stdout.contains(silent), "{}", ran.stdout);
    }
}

#[test]
fn analyze_speaks_json() {
    let folder = folder(&[("json.yaml", &ingress_route(&[("Nothing(`x`)", "echo:80")]))]);
    let path = folder.path().join("json.yaml");
    let ran = analyze(&path, &["-o", "json"]);
    assert_eq!(ran.code, 1);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    let problem = &json["problems"][0];
    assert_eq!((problem["severity"].as_str(), problem["line"].as_u64()), (Some("error"), Some(8)));
    assert_eq!(problem["file"].as_str(), path.to_str());
}

#[test]
fn analyze_reports_what_is_not_supported_by_name() {
    let folder = folder(&[(
        "unsupported.yaml",
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRouteUDP\nmetadata:\n  name: dns\nspec:\n  routes: []\n---\n\
         apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata:\n  name: waf\nspec:\n  plugin:\n    \
         coraza: {}\n---\napiVersion: example.com/v1\nkind: Unheard\nmetadata:\n  name: of\n",
    )]);
    let text = analyze(folder.path(), &[]).stdout;
    for name in ["IngressRouteUDP", "plugin", "Unheard"] {
        assert!(text.contains(name), "{name} is not named: {text}");
    }
    for line in [1, 13, 16] {
        assert!(text.contains(&format!(":{line}:")), "line {line} is not named: {text}");
    }
}

#[test]
fn analyze_is_content_with_what_is_good_and_warns_without_failing() {
    let warned = good().replace("[web]", "[websecure]").replace("name: routes", "name: warned")
        + "  tls:\n    certResolver: letsencrypt\n";
    let folder = folder(&[("good.yaml", &good()), ("warned.yaml", &warned)]);
    let ran = analyze(&folder.path().join("good.yaml"), &[]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let ran = analyze(folder.path(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    for part in ["certResolver", "warned.yaml:"] {
        assert!(ran.stdout.contains(part), "{}", ran.stdout);
    }
    assert!(ran.stdout.ends_with("2 resources, 0 errors, 1 warning, 0 notes\n"), "{}", ran.stdout);
    let missing = analyze(&folder.path().join("missing.yaml"), &[]);
    assert_eq!(missing.code, 1);
    assert!((missing.stdout + &missing.stderr).contains("missing.yaml"));
}

/// A folder that was meant to be another one serves nothing, and is no error.
#[test]
fn analyze_warns_of_folders_without_documents() {
    let folder = folder(&[("notes.txt", "a: b"), ("good.yaml", &good())]);
    for name in ["empty", "other"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("other/notes.txt"), "a: b").unwrap();
    for (path, warnings) in [("", 0), ("empty", 1), ("other", 1)] {
        let ran = analyze(&folder.path().join(path), &[]);
        assert_eq!(ran.code, 0, "{path}: {}", ran.stdout);
        assert!(ran.stdout.contains(&format!(" {warnings} warning")), "{path}: {}", ran.stdout);
        assert_eq!(ran.stdout.contains("no document is in it"), warnings == 1, "{}", ran.stdout);
    }
    let json = analyze(&folder.path().join("empty"), &["-o", "json"]).stdout;
    assert!(json.contains("no document is in it"), "{json}");
}

#[test]
fn analyze_shows_no_secrets() {
    let folder = folder(&[(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: users\ntype: Opaque\nstringData:\n  users: [hunter2]\n",
    )]);
    let ran = analyze(folder.path(), &[]);
    let text = ran.stdout + &ran.stderr;
    // It is wrong, and said to be.
    assert!(ran.code == 1 && text.contains("secret.yaml"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn wrong_usage_is_told_what_is_right() {
    for (arguments, said) in [
        (&[][..], "Usage"),
        (&["nonsense"], "nonsense"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["gateway"], "--file"),
        (&["gateway", "-f", ".", "--http", "nowhere"], "nowhere"),
        (&["gateway", "-f", ".", "--http", ":8443"], "`web` and `websecure`"),
        (&["analyze", "-f", ".", "--entry-point", "a=:1", "--entry-point", "a=:2"], "given twice"),
        (&["gateway", "-f", ".", "--workers", "0"], "--workers"),
        (&["gateway", "-f", ".", "--head-timeout", "soon"], "250ms"),
        (&["gateway", "-f", ".", "--backend", "echo"], "NAME:PORT=ADDR"),
        (&["gateway", "-f", ".", "--cert", "c.pem"], "--key"),
        (&["gateway", "-f", ".", "--head-bytes-max", "1000000"], "65536"),
        (&["gateway", "-f", ".", "--port-map", "80"], "FROM=TO"),
        (&["gateway", "-f", ".", "--trust-forwarded-from", "here"], "10.0.0.0/8"),
        (&["analyze"], "--file"),
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
fn help_and_version_are_0() {
    for arguments in [&["--help"][..], &["--version"], &["version"], &["gateway", "--help"]] {
        let ran = weftway(arguments);
        assert_eq!((ran.code, ran.stdout.is_empty()), (0, false), "{arguments:?}");
    }
    let text = weftway(&["gateway", "--help"]).stdout;
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
    let folder = folder(&[("any.yaml", &good())]);
    let path = folder.path().to_str().unwrap();
    let gateway = |more: &[&str]| {
        let ports = ["gateway", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"];
        weftway(&[&ports, more].concat())
    };
    let ran = gateway(&["-f", path, "--admin", &addr]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("admin") && ran.stderr.contains(&addr), "{}", ran.stderr);
    let certificate = ["--cert", "/no/chain", "--key", "/no/key"];
    let ran = gateway(&[&["-f", path, "--admin", "127.0.0.1:0"], &certificate[..]].concat());
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("/no/"), "{}", ran.stderr);
    for missing in ["/no/such/folder", &format!("{path}/routes.yml")] {
        let ran = gateway(&["-f", path, "-f", missing, "--admin", "127.0.0.1:0"]);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(missing), "{}", ran.stderr);
    }
}

#[test]
fn completion_is_a_script_that_the_shell_takes() {
    let folder = folder(&[("weftway.bash", &weftway(&["completion", "bash"]).stdout)]);
    // The shell offers the commands that begin with what was typed.
    let script = "set -eu; source ./weftway.bash; COMP_WORDS=(weftway an); COMP_CWORD=1; \
                  _weftway weftway an weftway; echo \"${COMPREPLY[*]}\"";
    let ran = Ran::of(Command::new("bash").args(["-c", script]).current_dir(folder.path()));
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
        let mut shell = Command::new("bash");
        let ran = Ran::of(shell.args(["-c", &script, BINARY]).current_dir(folder.path()));
        assert_eq!((ran.code, &*ran.stderr), (code, ""), "{command}");
    }
}

/// Without namespaces, so that it needs no root.
#[test]
fn demo_once_checks_itself() {
    let _alone = one_demo();
    let ran = weftway(&["demo", "--once", "--loopback"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

/// Folder, services, proxies and control plane: nothing of it is there after Ctrl-C.
#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let _alone = one_demo();
    let folder = tempfile::tempdir().unwrap();
    let mut demo = busy_demo(folder.path());
    Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(demo.wait().unwrap().success());
    assert_eq!(commands_with(folder.path().to_str().unwrap()), [""; 0]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_demo_that_is_killed_takes_its_processes_with_it() {
    let _alone = one_demo();
    let folder = tempfile::tempdir().unwrap();
    let mut demo = busy_demo(folder.path());
    demo.kill().unwrap();
    demo.wait().unwrap();
    let path = folder.path().to_str().unwrap();
    wait::until_true("the end of its processes", || commands_with(path).is_empty());
}

/// A demo whose files are in `folder`, and whose services call each other.
fn busy_demo(folder: &Path) -> Child {
    let mut demo = Command::new(BINARY)
        .args(["demo", "--loopback"])
        .env("TMPDIR", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let called = lines.map(Result::unwrap).find(|line| line.contains("shop calls payments"));
    assert!(called.is_some(), "it ended by itself");
    assert!(!commands_with(folder.to_str().unwrap()).is_empty());
    demo
}

/// Demos without namespaces share the machine's loopback addresses.
fn one_demo() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Command lines of running processes in which that text is.
fn commands_with(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().map(Result::unwrap);
    let commands =
        processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let commands = commands.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    commands.filter(|command| command.contains(text)).collect()
}
