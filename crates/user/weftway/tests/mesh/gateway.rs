//! The gateway of `weftway up`, and workloads that are called by their addresses.

use rustix::process::Signal;
use serde_json::{Map, Value};
use weft_testkit::wait;

use crate::machine::Process;
use crate::mesh::{Answer, BINARY, Mesh, PROBLEMS, PYTHON, script};

/// Nobody is served who does not prove who it is.
const STRICT: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
";

/// HTTP to payments by Traefik's way, gRPC to ledger by that of Gateway API.
const ROUTES: &str = "\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: payments, namespace: default}
spec:
  entryPoints: [web]
  routes:
    - match: PathPrefix(`/`)
      kind: Rule
      services: [{name: payments, port: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: weftway}
spec: {controllerName: weftway.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: default}
spec:
  gatewayClassName: weftway
  listeners: [{name: grpc, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: ledger, namespace: default}
spec:
  parentRefs: [{name: public}]
  rules: [{backendRefs: [{name: ledger, port: 9090}]}]
---
";

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: default}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 8080}]
---
";

/// Who the gateway is.
const IDENTITY: &str = "spiffe://cluster.local/ns/weftway-system/sa/weftway-gateway";

/// Asks the gateway, as somebody outside of the mesh, until it knows where to go.
fn ask(mesh: &Mesh, arguments: &[&str]) -> Answer {
    let mut argv = vec!["curl", "-sS", "-i", "--max-time", "10"];
    argv.extend(arguments);
    wait::until("an answer", || {
        // Its listeners may not be there yet.
        let output = mesh.machine.run(&argv);
        let text = String::from_utf8(output.stdout).unwrap();
        let answer = output.status.success().then(|| Answer::read(&text));
        answer.filter(|answer| answer.status == 200)
    })
}

/// The id of the gateway's process.
fn process(mesh: &Mesh) -> String {
    mesh.machine.output(&["pgrep", "-f", "gateway --control"]).trim().to_owned()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn strict_workloads_take_calls_of_the_gateway_and_know_them() {
    let documents = [STRICT, ROUTES].concat();
    let mut mesh = Mesh::with_gateway(&documents);
    assert!(mesh.up.printed().contains("web 127.0.0.1:8000"), "{}", mesh.up.printed());
    mesh.serve("payments", "http", 8080, &["--service-account", "payments"]);
    let script = format!("sleep 600 | {BINARY} demo-service grpc 9090");
    mesh.run("ledger", &["--port", "9090"], &["sh", "-c", &script]);
    let answer = ask(&mesh, &["http://127.0.0.1:8000/hello"]);
    let headers = &answer.json()["headers"];
    assert_eq!(
        headers["x-forwarded-client-cert"],
        format!("By=spiffe://cluster.local/ns/default/sa/payments;URI={IDENTITY}")
    );
    let message = mesh.machine.write("message", "\0\0\0\0\0");
    let message = format!("@{}", message.display());
    let grpc =
        ["--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers"];
    let post = ["--data-binary", &message, "http://127.0.0.1/demo.Ledger/Look"];
    wait::until_true("an answer to gRPC", || {
        let argv = [&["curl", "-sS", "-i", "--max-time", "10"][..], &grpc, &post].concat();
        let said = String::from_utf8(mesh.machine.run(&argv).stdout).unwrap();
        said.contains("grpc-status: 0") && said.contains(&format!("\"caller\":\"{IDENTITY}\""))
    });
    // It binds port 80, and is not root for that.
    let user = mesh.machine.output(&["ps", "-o", "uid=", "-p", &process(&mesh)]);
    assert_eq!(user.trim(), "65534");
    // It is a proxy of the mesh like any other, and without being one nobody is served.
    let state = mesh.state();
    let proxies = mesh.machine.output(&[BINARY, "proxies", "--state", state.to_str().unwrap()]);
    assert!(proxies.contains("weftway-system/weftway-gateway"), "{proxies}");
    assert!(mesh.plainly(&format!("http://{}:8080/", mesh.addr("payments"))).is_none());
    mesh.stop();
}

/// HTTP to the versions of payments by Istio's way.
const ISTIO: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payments, namespace: default}
spec:
  host: payments
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: payments, namespace: default}
spec:
  hosts: ['*']
  gateways: [public]
  http:
  - match: [{headers: {x-tester: {exact: 'yes'}}}]
    route: [{destination: {host: payments, subset: v2}}]
  - route: [{destination: {host: payments, subset: v1}}]
---
";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_istio_gateway_leads_to_subsets_of_a_service_of_the_mesh() {
    let mut mesh = Mesh::with_gateway(&[STRICT, SERVICE, ISTIO].concat());
    for version in ["v1", "v2"] {
        let label = format!("version={version}");
        let labels = ["--label", "app=payments", "--label", &label];
        mesh.serve(&format!("payments-{version}"), "http", 8080, &labels);
    }
    for _ in 0..4 {
        let usual = ask(&mesh, &["http://127.0.0.1/"]);
        assert_eq!(usual.json()["name"], "payments-v1");
        let tester = ask(&mesh, &["-H", "x-tester: yes", "http://127.0.0.1/"]);
        assert_eq!(tester.json()["name"], "payments-v2");
    }
    mesh.stop();
}

/// Calls the gateway for a while, each call on its own connection or all on one.
fn load(mesh: &Mesh, connections: &str, seconds: &str) -> Process {
    let script = script("client.py");
    let argv = [PYTHON, &script, "load", "127.0.0.1", "8000", seconds, connections];
    mesh.machine.spawn(&format!("load-{connections}"), &argv)
}

/// Waits for the end of a load, all of which was answered well; who has answered.
fn all_answered(mut load: Process) -> Map<String, Value> {
    assert_eq!(load.code(), Some(0), "{}", load.printed());
    let seen: Value = serde_json::from_str(&load.printed()).unwrap();
    let kinds: Vec<&String> = seen["seen"].as_object().unwrap().keys().collect();
    assert_eq!(kinds, ["200"], "{seen}");
    seen["names"].as_object().unwrap().clone()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_gateway_follows_instances_that_come_and_go_and_fails_nothing() {
    let documents = [STRICT, ROUTES, SERVICE].concat();
    let mut mesh = Mesh::with_gateway(&documents);
    let label = ["--label", "app=payments"];
    mesh.serve("payments-a", "http", 8080, &label);
    mesh.serve("payments-b", "http", 8080, &label);
    ask(&mesh, &["http://127.0.0.1:8000/"]);
    let loads = [load(&mesh, "new", "8"), load(&mesh, "kept", "8")];
    let mut stopped = mesh.take("payments-a");
    stopped.signal(Signal::TERM);
    stopped.code();
    mesh.serve("payments-c", "http", 8080, &label);
    for load in loads {
        let names = all_answered(load);
        assert!(names.contains_key("payments-b"), "{names:?}");
        assert!(names.contains_key("payments-c"), "{names:?}");
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_gateway_that_dies_is_replaced() {
    let documents = [STRICT, ROUTES].concat();
    let mut mesh = Mesh::with_gateway(&documents);
    mesh.serve("payments", "http", 8080, &[]);
    ask(&mesh, &["http://127.0.0.1:8000/"]);
    mesh.machine.output(&["kill", "-KILL", &process(&mesh)]);
    mesh.up.until_printed("the gateway has ended");
    let calls = || mesh.machine.run(&["curl", "-sS", "-f", "http://127.0.0.1:8000/"]);
    wait::until_true("an answer of the next one", || calls().status.success());
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_workload_that_is_called_by_its_address_is_called_with_mutual_tls() {
    let mut mesh = Mesh::with(STRICT, &[]);
    mesh.serve("payments", "http", 8080, &["--service-account", "payments"]);
    mesh.serve("cache", "echo", 6379, &[]);
    // Its port is told to nobody.
    let script = script("service.py");
    mesh.run("quiet", &[], &[PYTHON, &script, "http", "7070", "quiet"]);
    mesh.process("quiet").until_printed("http ");
    mesh.caller("shop", &["--service-account", "shop"]);
    let url = |name: &str, port: u16| format!("http://{}:{port}/", mesh.addr(name));
    let answer = mesh.get("shop", &[&url("payments", 8080)]);
    assert_eq!(
        answer.json()["headers"]["x-forwarded-client-cert"],
        "By=spiffe://cluster.local/ns/default/sa/payments;\
         URI=spiffe://cluster.local/ns/default/sa/shop"
    );
    let addr = mesh.addr("cache").to_string();
    assert_eq!(mesh.client("shop", &["echo", &addr, "6379", "100000"])["same"], true);
    assert_eq!(mesh.get("shop", &[&url("quiet", 7070)]).json()["name"], "quiet");
    // What is no workload's is called as it is: the machine itself.
    let outside = mesh.machine.spawn("plain", &[PYTHON, &script, "http", "8081", "outside"]);
    outside.until_printed("http ");
    let headers = mesh.get("shop", &["http://10.77.0.1:8081/"]).json()["headers"].clone();
    assert_eq!(
        (headers["host"].as_str(), headers.get("x-forwarded-client-cert")),
        (Some("10.77.0.1:8081"), None)
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_port_that_a_service_does_not_have_is_named_with_the_service() {
    let mut mesh = Mesh::with("", &[]);
    mesh.serve("payments", "http", 8080, &[]);
    mesh.caller("shop", &[]);
    let answer = mesh.get("shop", &["-H", PROBLEMS, "http://payments:9999/"]);
    assert_eq!(answer.status, 502, "{answer:?}");
    let said = answer.json()["detail"].to_string();
    assert!(said.contains("payments.default.svc.cluster.local"), "{answer:?}");
    let logs =
        mesh.machine.output(&["sh", "-c", &format!("cat {}/logs/*.log", mesh.state().display())]);
    assert!(logs.contains("has no port 9999; it has 8080"), "{logs}");
}
