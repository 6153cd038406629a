//! `weftway control` and `weftway proxy`, started one by one.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use weft_testkit::wait;

use crate::machine::{Machine, Process};
use crate::mesh::{Answer, BINARY, PYTHON, script};
use crate::traffic::{Load, PORTS, Traffic};

const SHOP: &str = "127.77.0.2";
const PAYMENTS: &str = "127.77.0.3";

/// Two workloads with a proxy each, and a service.
fn documents() -> String {
    let workload = |name: &str, addr: &str| {
        format!(
            "\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: default}}
spec:
  address: {addr}
  serviceAccount: {name}
  labels: {{app: {name}, networking.istio.io/tunnel: http}}
---
"
        )
    };
    let [http, grpc, tcp] = PORTS;
    format!(
        "{}{}\
apiVersion: v1
kind: Service
metadata: {{name: payments, namespace: default}}
spec:
  selector: {{app: payments}}
  ports:
  - {{name: http, port: {http}}}
  - {{name: grpc, port: {grpc}}}
  - {{name: tcp, port: {tcp}}}
",
        workload("shop", SHOP),
        workload("payments", PAYMENTS)
    )
}

/// A control plane, and what it takes to start proxies.
struct Parts {
    machine: Machine,
    socket: PathBuf,
}

impl Parts {
    fn new() -> Self {
        let machine = Machine::start();
        machine.write("mesh.yaml", &documents());
        let socket = machine.folder().join("control.sock");
        Self { machine, socket }
    }

    fn control(&self) -> Process {
        self.control_with(&[])
    }

    /// A control plane with more arguments.
    fn control_with(&self, arguments: &[&str]) -> Process {
        let folder = self.machine.folder().to_str().unwrap();
        let (documents, state) = (format!("{folder}/mesh.yaml"), format!("{folder}/control"));
        let socket = self.socket.to_str().unwrap();
        let argv = [BINARY, "control", "--admin", "off", "-f", &documents, "--state", &state];
        let argv = [&argv[..], &["--socket", socket], arguments].concat();
        let control = self.machine.spawn("control", &argv);
        control.until_printed("proxies of this machine are welcome");
        control
    }

    /// The proxy of a workload, once it is ready.
    fn proxy(&self, workload: &str, addr: &str) -> Process {
        let folder = self.machine.folder().to_str().unwrap();
        let (name, state) = (format!("default/{workload}"), format!("{folder}/proxy-{workload}"));
        let (admin, ready) = (format!("{addr}:15000"), format!("{addr}:15021"));
        let metrics = format!("{addr}:15020");
        let socket = self.socket.to_str().unwrap();
        let argv = [BINARY, "proxy", "--workload", &name, "--service-account", workload];
        let argv = [&argv[..], &["--control", socket, "--state", &state, "--explicit", addr]];
        let more = ["--admin", &admin, "--ready", &ready, "--metrics", &metrics];
        let argv = [argv.concat(), more.to_vec()].concat();
        let proxy = self.machine.spawn(&format!("proxy-{workload}"), &argv);
        let probe = format!("http://{ready}/readyz");
        wait::until_true("a proxy that is ready", || {
            self.machine.run(&["curl", "-sSf", "--max-time", "5", &probe]).status.success()
        });
        proxy
    }

    /// Waits until a proxy has kept something that it knows; it does so once a second.
    fn until_saved(&self, workload: &str, text: &str) {
        let path = self.machine.folder().join(format!("proxy-{workload}/state"));
        wait::until_true("the proxy's state", || {
            let saved = std::fs::read(&path).unwrap_or_default();
            saved.windows(text.len()).any(|window| window == text.as_bytes())
        });
    }

    /// Applications beside both proxies, of which the shop calls payments all the time.
    fn traffic(&self, load: Load) -> (Traffic, [Process; 2]) {
        let mut traffic = Traffic::new(self.machine.folder());
        let through = format!("{SHOP}:15001");
        let parts = [("payments", Load::NONE, PAYMENTS, ""), ("shop", load, SHOP, &through)];
        let applications = parts.map(|(name, load, addr, proxy)| {
            let other = if name == "shop" { "payments" } else { "shop" };
            let argv = traffic.application(name, other, load, addr, proxy);
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            let application = self.machine.spawn(name, &argv);
            application.until_printed("serves");
            application
        });
        traffic.go();
        (traffic, applications)
    }

    /// A connection of the shop on which bytes go both ways for so many seconds.
    fn held(&self, seconds: &str) -> Process {
        let [.., port] = PORTS;
        let (script, to) = (script("client.py"), format!("payments:{port}"));
        let argv = [PYTHON, &script, "held", SHOP, "15001", &to, seconds];
        self.machine.spawn("held", &argv)
    }

    /// A call of the shop, through its proxy.
    fn call(&self) -> Answer {
        let proxy = format!("http://{SHOP}:15001");
        let argv = ["curl", "-sS", "-i", "--max-time", "10", "--proxy", &proxy];
        let url = "http://payments:8080/";
        Answer::read(&self.machine.output(&[&argv[..], &[url]].concat()))
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn without_a_control_plane_everything_goes_on_and_proxies_may_start_again() {
    let parts = Parts::new();
    let mut control = parts.control();
    let script = script("service.py");
    let server = [PYTHON, &script, "http", "8080", "payments"];
    let server = parts.machine.spawn("server", &server);
    server.until_printed("http ");
    let mut proxies = [parts.proxy("shop", SHOP), parts.proxy("payments", PAYMENTS)];
    let is_known = || {
        let headers = parts.call().json()["headers"].clone();
        headers["x-forwarded-client-cert"]
            == "By=spiffe://cluster.local/ns/default/sa/payments;\
                URI=spiffe://cluster.local/ns/default/sa/shop"
    };
    assert!(is_known());
    parts.until_saved("shop", "spiffe://cluster.local/ns/default/sa/payments");

    control.signal(Signal::KILL);
    control.code();
    assert!(is_known(), "traffic ends with the control plane");
    for (proxy, (name, addr)) in proxies.iter_mut().zip([("shop", SHOP), ("payments", PAYMENTS)]) {
        proxy.signal(Signal::KILL);
        proxy.code();
        *proxy = parts.proxy(name, addr);
        assert!(is_known(), "{name} starts from what it last knew");
    }

    let control = parts.control();
    for _ in &proxies {
        control.until_printed("a proxy is connected");
    }
    assert!(is_known(), "a new control plane resets nothing");
}

/// How often the control plane has issued a certificate.
fn issued(control: &Process) -> usize {
    control.printed().matches("a certificate is issued").count()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_control_plane_that_is_away_for_the_whole_time_of_renewal_costs_nothing() {
    // A certificate begins 6 s before it is issued; it is renewed 9 to 15 s after that.
    const LIFETIME: &[&str] = &["--certificate-lifetime", "24s"];
    const RENEWED: Duration = Duration::from_millis(18_500);
    let parts = Parts::new();
    let mut control = parts.control_with(LIFETIME);
    let began = weft_runtime::time::now();
    let _proxies = [parts.proxy("shop", SHOP), parts.proxy("payments", PAYMENTS)];
    let (traffic, _applications) = parts.traffic(Load::FULL);
    assert_eq!(issued(&control), 2, "it was renewed before the control plane was killed");
    control.signal(Signal::KILL);
    control.code();
    wait::pass(RENEWED.saturating_sub(weft_runtime::time::now() - began));
    traffic.goes_on();

    let control = parts.control_with(LIFETIME);
    wait::until_true("both certificates to be renewed", || issued(&control) >= 2);
    traffic.goes_on();
    traffic.stop_clean();
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn what_is_open_outlives_its_certificates_and_what_is_new_comes_back_with_them() {
    const LIFETIME: &[&str] = &["--certificate-lifetime", "10s"];
    let parts = Parts::new();
    let mut control = parts.control_with(LIFETIME);
    let proxies = [parts.proxy("shop", SHOP), parts.proxy("payments", PAYMENTS)];
    let (_traffic, _applications) = parts.traffic(Load::NONE);
    let mut held = parts.held("20");
    held.until_printed("echoed");
    assert_eq!(parts.call().status, 200);
    control.signal(Signal::KILL);
    control.code();
    wait::pass(Duration::from_secs(12));
    let refused = parts.call();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("this proxy has no certificate at present"), "{refused:?}");
    proxies[0].until_printed("this proxy's certificate expired");

    let _control = parts.control_with(LIFETIME);
    wait::until_true("calls to pass again", || parts.call().status == 200);
    assert_eq!(held.code(), Some(0), "{}", held.printed());
}
