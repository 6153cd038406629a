//! The authority of a running mesh, by its commands: `weftway certs` and `weftway proxies`, beside a
//! control plane and proxies that are processes of their own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use serde_json::Value;
use weft_testkit::{Certificates, wait};

use crate::cli::{Ran, weftway};
use crate::common::own_address;
use crate::running::Running;

/// Who the control plane proves to be.
const CONTROL: &str = "spiffe://cluster.local/ns/weftway-system/sa/control";

/// A control plane with a folder of its own.
struct Mesh {
    /// Dropped first: it must not write into a folder that is being removed.
    control: Option<Running>,
    folder: tempfile::TempDir,
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

/// The operator's own authorities.
#[test]
fn authorities_are_supplied_at_the_start_and_take_over_by_the_same_command() {
    let supplied = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = supplied.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (Certificates::new("First"), Certificates::new("Second"));
    let first_root = file("first.pem", first.pem());
    let below = |name: &str, root: &Certificates| {
        let made = root.under(name);
        (file(&format!("{name}.pem"), made.pem()), file(&format!("{name}.key"), &made.key()))
    };
    let (one, one_key) = below("one", &first);
    let passphrase = file("passphrase", "correct horse battery\n");
    // The root's key is kept elsewhere.
    let root = ["--root", &first_root, "--intermediate", &one, "--intermediate-key", &one_key];
    let seal = ["--passphrase-file", &passphrase];
    let mut mesh = Mesh::start(&[&root[..], &seal].concat());
    assert!(!mesh.folder.path().join("authority.key").exists());
    let _cart = mesh.proxy("shop/cart");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&mesh.certs(&["roots"]).stdout), lines(first.pem()));
    let subjects = |mesh: &Mesh| {
        let shown = mesh.json(&["certs"])["certificates"].to_string();
        ["First", "Second", "one", "two", "three"]
            .map(|name| shown.contains(&format!("CN={name}\"")))
    };
    assert_eq!(subjects(&mesh), [true, false, true, false, false]);
    // An intermediate is replaced under the same root, by a command or at a start.
    let (two, two_key) = below("two", &first);
    let refused = mesh.certs(&["intermediate", &two, &one_key]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("one.key cannot be used"), "{}", refused.stderr);
    assert_eq!(mesh.certs(&["intermediate", &two, &two_key]).code, 0);
    assert_eq!(subjects(&mesh), [true, false, false, true, false]);
    let (three, three_key) = below("three", &first);
    let root = ["--root", &first_root, "--intermediate", &three, "--intermediate-key", &three_key];
    mesh.restart(&[&root[..], &seal].concat());
    mesh.wait_connected("shop/cart");
    assert_eq!(subjects(&mesh), [true, false, false, false, true]);
    // A root takes over.
    let (root, key) = (file("second.pem", second.pem()), file("second.key", &second.key()));
    let ran = mesh.certs(&["rotate", "--root", &root, "--root-key", &one_key]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("one.key cannot be used"), "{}", ran.stderr);
    assert_eq!(mesh.certs(&["rotate", "--step", "--root", &root, "--root-key", &key]).code, 0);
    let other = mesh.certs(&["rotate", "--root", &first_root]);
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("to another root"), "{}", other.stderr);
    let ran = mesh.certs(&["rotate", "--root", &root, "--root-key", &key]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(subjects(&mesh)[..2], [false, true]);
    // Whoever names the old root at a start is told.
    let (code, said) = mesh.start_in_vain(&[&["--root", &*first_root][..], &seal].concat());
    assert_eq!(code, 1);
    assert!(said.contains("first.pem is not the root of this mesh"), "{said}");
    assert!(said.contains("certs rotate --root"), "{said}");
}

#[test]
fn what_the_authority_is_told_at_a_start_holds() {
    let mut mesh = Mesh::start(&[]);
    let lives = |mesh: &Mesh| {
        let _cart = mesh.proxy("shop/cart");
        let shown = mesh.json(&["certs"]);
        let held = shown["certificates"].as_array().unwrap();
        let own = held.iter().find(|held| held["holder"]["kind"] == "proxy").unwrap();
        own["left_secs"].as_u64().unwrap().div_ceil(3600)
    };
    assert_eq!(lives(&mesh), 24);
    mesh.restart(&["--certificate-lifetime", "2h"]);
    assert_eq!(lives(&mesh), 2);
    for (arguments, part) in [
        (&["--certificate-lifetime", "1s"][..], "--certificate-lifetime"),
        (&["--trust-domain", "other.example"], "for the trust domain cluster.local"),
        (&["--passphrase-file", "/dev/null"], "take at least 12"),
        (&["--root-key", "/dev/null"], "--root"),
        (&["--root", "/dev/null", "--intermediate", "/dev/null"], "--intermediate-key"),
    ] {
        let (code, said) = mesh.start_in_vain(arguments);
        assert!(code != 0 && said.contains(part), "{arguments:?}: {said}");
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

#[test]
fn the_control_plane_shows_what_it_does() {
    let mesh = Mesh::start(&["--admin", "127.0.0.1:0"]);
    let log = &mesh.control.as_ref().unwrap();
    log.wait_logged("admin endpoint");
    let text = log.log();
    let line = text.lines().find(|line| line.contains("admin endpoint")).unwrap();
    let addr = line.split("addr=").nth(1).unwrap().trim().to_owned();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&addr).unwrap();
        let head = "Host: localhost\r\nConnection: close";
        write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        body.to_owned()
    };
    assert_eq!(get("/healthz"), "ok\n");
    wait::until_true("it is ready", || get("/readyz").contains("\"ready\":true"));
    let _cart = mesh.proxy("shop/cart");
    let is_current = || get("/metrics").contains("weftway_control_proxies{state=\"current\"} 1\n");
    wait::until_true("what was published is in force", is_current);
    let metrics = get("/metrics");
    for part in [
        "weftway_control_compile_seconds_count 1\n",
        "weftway_control_certificates_total{to=\"proxy\",outcome=\"issued\"} 1\n",
        "weftway_control_time_to_outage_seconds ",
    ] {
        assert!(metrics.contains(part), "{part:?} is missing in\n{metrics}");
    }
    let dump: Value = serde_json::from_str(&get("/config")).expect("it is JSON");
    assert_eq!(dump["proxies"]["proxies"][0]["workload"], "shop/cart");
    assert_eq!(dump["proxies"]["in_force"], 1);
    assert_eq!(dump["rotation"]["phase"], "steady");
    let holders = dump["certificates"]["certificates"].as_array().unwrap();
    assert!(holders.iter().any(|held| held["holder"]["workload"] == "shop/cart"), "{dump}");
}

// === impl Mesh ===

impl Mesh {
    fn start(arguments: &[&str]) -> Self {
        let mut mesh = Self { control: None, folder: tempfile::tempdir().unwrap() };
        mesh.restart(arguments);
        mesh
    }

    /// A control plane in the place of the one before.
    fn restart(&mut self, arguments: &[&str]) {
        self.end();
        self.control = Some(self.start_control(arguments));
        let socket = self.folder.path().join("admin.sock");
        wait::until_true("the control plane listens", || UnixStream::connect(&socket).is_ok());
    }

    /// The exit code of a control plane that does not start, and what it says. There is none then.
    fn start_in_vain(&mut self, arguments: &[&str]) -> (i32, String) {
        self.end();
        self.start_control(arguments).wait()
    }

    fn end(&mut self) {
        if let Some(control) = self.control.take() {
            control.end();
        }
    }

    fn start_control(&self, arguments: &[&str]) -> Running {
        let state = self.folder.path().to_str().unwrap();
        let usual = ["control", "--state", state];
        let has_admin = arguments.contains(&"--admin");
        let admin: &[&str] = if has_admin { &[] } else { &["--admin", "off"] };
        Running::start(&[&usual, admin, arguments].concat(), self.folder.path().join("log"))
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
        let (ip, name) = (own_address().to_string(), workload.replace('/', "-"));
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
