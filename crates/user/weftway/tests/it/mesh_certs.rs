//! The authority of a running mesh, by its commands: `weftway certs` and `weftway proxies`, beside a
//! control plane and proxies that are processes of their own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use weft_testkit::wait;

use crate::cli::{Ran, weftway};
use crate::common::BINARY;

/// Who the control plane proves to be.
const CONTROL: &str = "spiffe://cluster.local/ns/weftway-system/sa/control";

/// A control plane with a folder of its own.
struct Mesh {
    /// Dropped first: it must not write into a folder that is being removed.
    control: Option<Running>,
    folder: tempfile::TempDir,
}

/// A process that ends with this value, and what it logs.
struct Running {
    child: Child,
    log: PathBuf,
}

#[test]
fn the_root_is_rotated_by_one_command_while_a_proxy_is_live() {
    let mesh = Mesh::start(&[]);
    let _cart = mesh.proxy("shop/cart");
    let before = mesh.rotation();
    assert_eq!((&before["phase"], &before["other"]), (&"steady".into(), &Value::Null));
    let ran = mesh.certs(&["rotate"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let steps = [
        "a new root is trusted beside the old one",
        "the new root signs",
        "the old root is dropped",
        "no rotation is under way",
    ];
    let places: Vec<_> = steps.iter().map(|step| ran.stdout.find(step).expect(step)).collect();
    assert!(places.is_sorted(), "{}", ran.stdout);
    let after = mesh.rotation();
    assert_eq!((&after["phase"], &after["other"]), (&"steady".into(), &Value::Null));
    assert_ne!(after["signing"], before["signing"]);
    // The proxy presents a certificate under the new root, and nothing is under the old one.
    let shown = mesh.json(&["certs"]);
    let certificates = shown["certificates"].as_array().unwrap();
    assert!(certificates.iter().all(|held| held["root"] == after["signing"]), "{shown}");
    let holds = |kind: &str| certificates.iter().any(|held| held["holder"]["kind"] == kind);
    assert!(holds("proxy") && holds("intermediate") && holds("root"), "{shown}");
    let table = mesh.certs(&[]).stdout;
    for part in ["HOLDER", "shop/cart", "connections of shop/cart", "the mesh stands still in"] {
        assert!(table.contains(part), "{part:?} is missing in\n{table}");
    }
}

#[test]
fn no_rotation_is_begun_while_a_live_proxy_is_gone() {
    let mesh = Mesh::start(&[]);
    let cart = mesh.proxy("shop/cart");
    let before = mesh.rotation();
    drop(cart);
    mesh.wait_gone("shop/cart");
    let ran = mesh.certs(&["rotate"]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{}", ran.stderr);
    for part in [
        "shop/cart has a certificate for another",
        "out of reach",
        "start again",
        "nothing has been changed",
    ] {
        assert!(ran.stderr.contains(part), "{part:?} is missing in\n{}", ran.stderr);
    }
    assert_eq!(mesh.rotation()["signing"], before["signing"]);
    // One that says goodbye is not waited for.
    mesh.proxy("shop/cart").end();
    let ran = mesh.certs(&["rotate"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn a_rotation_waits_for_a_proxy_that_is_gone_and_is_taken_back_or_goes_on() {
    let mesh = Mesh::start(&[]);
    let cart = mesh.proxy("shop/cart");
    let old = mesh.rotation()["signing"].clone();
    assert_eq!(mesh.certs(&["rotate", "--step"]).code, 0);
    let new = mesh.rotation()["other"].clone();
    wait::until_true("the proxy trusts both roots", || {
        let proxies = mesh.json(&["proxies"]);
        proxies["proxies"][0]["trusts"].as_array().is_some_and(|trusts| trusts.len() == 2)
    });
    drop(cart);
    mesh.wait_gone("shop/cart");
    // It trusts the new root, so that one may sign; it presents a certificate under the old one,
    // so that one stays.
    let ran = mesh.certs(&["rotate", "--timeout", "0s"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("the new root signs"), "{}", ran.stdout);
    for part in ["shop/cart presents a certificate under root", "certs cancel", "out of reach"] {
        assert!(ran.stderr.contains(part), "{part:?} is missing in\n{}", ran.stderr);
    }
    assert_eq!((&mesh.rotation()["signing"], &mesh.rotation()["other"]), (&new, &old));
    // It can be interrupted while it waits.
    let state = mesh.folder.path().to_str().unwrap();
    let arguments = ["certs", "rotate", "--timeout", "1h", "--state", state];
    let rotating = Running::start(&arguments, mesh.folder.path().join("rotate.log"));
    rotating.wait_logged("waiting for shop/cart");
    let (code, said) = rotating.signal(Signal::INT);
    assert!(code == 1 && said.contains("interrupted"), "{code}: {said}");
    let status = mesh.certs(&["status"]);
    assert!(status.code == 0 && status.stdout.contains("in the way"), "{}", status.stdout);
    let ran = mesh.certs(&["cancel"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!((&mesh.rotation()["signing"], &mesh.rotation()["other"]), (&old, &Value::Null));
    // Back, it is no longer in the way. What has been begun is gone on with.
    let _cart = mesh.proxy("shop/cart");
    for _ in 0..2 {
        assert_eq!(mesh.certs(&["rotate", "--step"]).code, 0);
    }
    let ran = mesh.certs(&["rotate"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("the new root signs"), "{}", ran.stdout);
    assert_eq!(mesh.rotation()["phase"], "steady");
    assert_ne!(mesh.rotation()["signing"], old);
}

#[test]
fn a_join_token_admits_one_proxy_of_its_scope() {
    let mesh = Mesh::start(&["--listen", "127.0.0.1:0"]);
    let control = mesh.control.as_ref().expect("it has been started");
    let addr = wait::until("the address", || {
        let log = control.log();
        let line = log.lines().find(|line| line.contains("proxies of other machines"))?;
        let addr = line.split("addr=").nth(1)?;
        Some(addr.split_whitespace().next()?.to_owned())
    });
    let roots = mesh.folder.path().join("roots.pem");
    fs::write(&roots, mesh.certs(&["roots"]).stdout).unwrap();
    let token = mesh.folder.path().join("token");
    let ran = mesh.certs(&["token", "spiffe://cluster.local/ns/shop/sa/*"]);
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    assert_eq!(ran.stdout.lines().count(), 1);
    fs::write(&token, &ran.stdout).unwrap();
    let join = |workload: &str| {
        let (roots, token) = (roots.to_str().unwrap(), token.to_str().unwrap());
        let identity = ["--control-identity", CONTROL, "--control-roots", roots];
        mesh.start_proxy(workload, &addr, &[&identity[..], &["--token-file", token]].concat())
    };
    // Refused, a token stays as it is.
    let other = join("bank/vault");
    other.wait_logged("the join token admits spiffe://cluster.local/ns/shop/sa/*");
    let _cart = join("shop/cart");
    mesh.wait_connected("shop/cart");
    let web = join("shop/web");
    web.wait_logged("has been used");
    let workloads: Vec<_> = mesh.json(&["proxies"])["proxies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|proxy| proxy["workload"].clone())
        .collect();
    assert_eq!(workloads, ["shop/cart"]);
    let ran = mesh.certs(&["token", "shop/*"]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""));
    assert!(ran.stderr.contains("shop/*"), "{}", ran.stderr);
}

#[test]
fn proxies_are_listed_with_what_is_in_force() {
    let mesh = Mesh::start(&[]);
    let _cart = mesh.proxy("shop/cart");
    wait::until_true("the generation is in force", || {
        let view = mesh.json(&["proxies"]);
        view["in_force"] == 1 && view["connected"] == 1
    });
    let ran = mesh.run(&["proxies"]);
    let generation = mesh.json(&["proxies"])["generation"].clone();
    let said = format!("generation {generation} in force on 1 of 1 proxy");
    for part in ["WORKLOAD", "shop/cart", "connected", &said] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in\n{}", ran.stdout);
    }
}

#[test]
fn only_the_owner_may_ask_and_a_missing_control_plane_is_told() {
    let mut mesh = Mesh::start(&[]);
    let socket = mesh.folder.path().join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    mesh.control.take().expect("it has been started").end();
    for command in ["certs", "proxies"] {
        let ran = mesh.run(&[command]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""));
        for part in [socket.to_str().unwrap(), "weftway up", "--state"] {
            assert!(ran.stderr.contains(part), "{part:?} is missing in\n{}", ran.stderr);
        }
    }
    for arguments in [&["certs", "token"][..], &["certs", "turn"], &["proxies", "-o", "xml"]] {
        assert_eq!(weftway(arguments).code, 2, "{arguments:?}");
    }
}

/// What the commands use is there for other programs too.
#[test]
fn the_status_socket_speaks_http() {
    let mesh = Mesh::start(&[]);
    for (request, status, part) in [
        ("GET /", 200, "POST /tokens"),
        ("GET /certificates", 200, "outage_in_secs"),
        ("GET /rotation", 200, "\"prepare\""),
        ("GET /nothing", 404, "/ lists"),
        ("POST /rotation/turn", 404, "/ lists"),
        ("GET /rotation/prepare", 405, "allow: POST"),
        ("GET /tokens", 405, "allow: POST"),
        ("DELETE /certificates", 405, "allow: GET"),
        ("POST /rotation/switch", 409, "cannot switch now: no rotation is under way"),
        ("POST /tokens", 400, "message"),
    ] {
        let answer = mesh.exchange(request);
        let is_right = answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part);
        assert!(is_right, "{request}: {answer}");
    }
    assert_eq!(mesh.rotation()["phase"], "steady");
}

// === impl Mesh ===

impl Mesh {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().to_str().unwrap();
        let usual = ["control", "--state", state, "--admin", "off"];
        let control = Running::start(&[&usual, arguments].concat(), folder.path().join("log"));
        let socket = folder.path().join("admin.sock");
        wait::until_true("the control plane listens", || socket.exists());
        Self { control: Some(control), folder }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        weftway(&[arguments, &["--state", self.folder.path().to_str().unwrap()]].concat())
    }

    fn certs(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["certs"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        serde_json::from_str(&ran.stdout).expect("it is JSON")
    }

    fn rotation(&self) -> Value {
        self.json(&["certs", "status"])
    }

    /// A proxy that comes by the socket, once it is connected and has said what it presents.
    fn proxy(&self, workload: &str) -> Running {
        let socket = self.folder.path().join("control.sock");
        let running = self.start_proxy(workload, socket.to_str().unwrap(), &[]);
        self.wait_connected(workload);
        running
    }

    fn start_proxy(&self, workload: &str, control: &str, arguments: &[&str]) -> Running {
        let (ip, name) = (address().to_string(), workload.replace('/', "-"));
        let usual = ["proxy", "--workload", workload, "--control", control, "--explicit", &ip];
        let off = ["--admin", "off", "--ready", "off", "--metrics", "off", "--workers", "1"];
        let log = self.folder.path().join(format!("{name}-{ip}.log"));
        Running::start(&[&usual[..], &off, arguments].concat(), log)
    }

    fn wait_connected(&self, workload: &str) {
        wait::until_true("the proxy is connected", || {
            self.finds(workload, |proxy| proxy["is_connected"] == true && proxy["root"].is_string())
        });
    }

    fn wait_gone(&self, workload: &str) {
        wait::until_true("the proxy is gone", || {
            self.finds(workload, |proxy| proxy["is_connected"] == false)
        });
    }

    /// The status socket's answer to a request with that method and path.
    fn exchange(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).unwrap();
        let head = "Host: localhost\r\nConnection: close\r\nContent-Length: 0";
        write!(stream, "{request} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn finds(&self, workload: &str, is_wanted: impl Fn(&Value) -> bool) -> bool {
        let view = self.json(&["proxies"]);
        let proxies = view["proxies"].as_array().expect("it is a list");
        proxies.iter().any(|proxy| proxy["workload"] == workload && is_wanted(proxy))
    }
}

/// An address of this machine that nobody else uses: proxies have fixed ports.
fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 80 + NEXT.fetch_add(1, Ordering::Relaxed), high, low.clamp(1, 254))
}

// === impl Running ===

impl Running {
    fn start(arguments: &[&str], log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let mut command = Command::new(BINARY);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn wait_logged(&self, text: &str) {
        let found = wait::within(wait::DEADLINE, || self.log().contains(text).then_some(()));
        assert!(found.is_some(), "{text:?} is missing in\n{}", self.log());
    }

    /// Ends it as it should end.
    fn end(self) {
        let (code, said) = self.signal(Signal::TERM);
        assert_eq!(code, 0, "{said}");
    }

    /// How it ends by a signal, and what it has said.
    fn signal(mut self, signal: Signal) -> (i32, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let ended = wait::until("its end", || self.child.try_wait().unwrap());
        (ended.code().expect("it ends by itself"), self.log())
    }
}

impl Drop for Running {
    /// As a machine that loses its power.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
