//! `weftway plan` against a mesh that runs: what a change would do to the calls that it has seen.

use serde_json::Value;
use weft_testkit::wait;

use crate::echo::{App, Call, Load};
use crate::mesh::{BINARY, Mesh};

const CALLER: &str = "checkout";

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: default}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 8080}]
---
";

const SUBSETS: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payments, namespace: default}
spec:
  host: payments
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
";

/// A VirtualService with these rules.
fn rules(rules: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: payments, \
         namespace: default}}\nspec:\n  hosts: [payments]\n  http:\n{rules}---\n"
    )
}

/// Beta of paths, and everything.
fn as_it_is() -> String {
    rules(
        "  - match: [{uri: {prefix: /beta}}]
    route: [{destination: {host: payments, subset: v2}}]
  - match: [{uri: {prefix: /reports}}]
    route: [{destination: {host: payments, subset: v1}}]
  - match: [{uri: {prefix: /charge}}]
    route: [{destination: {host: payments, subset: v1}}]
    timeout: 5s
",
    )
}

/// A mesh in which some calls were made.
fn seen() -> Mesh {
    let version = |name, labels| App::new(name).labels(labels).account("payments");
    let apps = [
        version("payments-1", &["app=payments", "version=v1"]),
        version("payments-2", &["app=payments", "version=v2"]),
        App::new(CALLER).account(CALLER),
    ];
    let mesh = Mesh::of(&[SERVICE, SUBSETS, &as_it_is()].concat(), &apps);
    mesh.until_in_force();
    for (path, times) in [("beta/7", 2), ("reports/today", 1), ("charge/7", 3)] {
        let call = Call::get(&format!("payments:8080/{path}"));
        let replies = mesh.calls(CALLER, &Load::times(&call, times));
        assert!(replies.iter().all(|reply| reply.status == 200), "{replies:?}");
    }
    mesh
}

/// The lines of a plan: its code, and each as `weight | subject | what | who`.
fn plan(mesh: &Mesh, change: &str, more: &[&str]) -> (i32, Vec<String>) {
    let path = mesh.machine.write("change.yaml", change);
    let state = mesh.state();
    let state = state.to_str().unwrap();
    let argv = [BINARY, "plan", "-f", path.to_str().unwrap(), "--state", state, "-o", "json"];
    let output = mesh.machine.run(&[&argv[..], more].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "");
    let lines: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = |line: &Value| {
        let word = |name: &str| line[name].as_str().unwrap().to_owned();
        ["weight", "subject", "what", "who"].map(word).join(" | ")
    };
    (output.status.code().unwrap(), lines.as_array().unwrap().iter().map(shown).collect())
}

/// Requires a line that begins with the first, and has the others.
#[track_caller]
fn has(lines: &[String], begin: &str, parts: &[&str]) {
    let is_it =
        |line: &&String| line.starts_with(begin) && parts.iter().all(|part| line.contains(part));
    assert!(lines.iter().any(|line| is_it(&line)), "no `{begin}`, {parts:?} in {lines:#?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_plan_tells_what_becomes_of_rules_and_of_calls_that_were_made() {
    let mesh = seen();
    let changed = rules(
        "  - match: [{uri: {prefix: /beta}}]
    route: [{destination: {host: payments, subset: v1}}]
  - match: [{uri: {prefix: /new}}]
    route: [{destination: {host: payments, subset: v2}}]
  - match: [{uri: {prefix: /charge}}]
    route: [{destination: {host: payments, subset: v1}}]
    timeout: 2s
",
    );
    let (code, lines) = plan(&mesh, &changed, &[]);
    assert_eq!(code, 1, "calls would be lost: {lines:#?}");
    // Rules by their place; calls as they were made, and how often.
    has(&lines, "changes | VirtualService default/payments (", &["leads to", "instead of", "/v2"]);
    has(&lines, "changes | VirtualService default/payments (", &["/charge", "request timeout: 2s"]);
    has(
        &lines,
        "LOST | GET http://payments:8080/reports/today, seen once | no rule takes it",
        &["| default/checkout"],
    );
    let beta = "changes | GET http://payments:8080/beta/7, seen twice | taken by";
    has(&lines, beta, &[":8080/v1, until now taken by", ":8080/v2 | default/checkout"]);
    assert!(!lines.iter().any(|line| line.contains("charge/7, seen")), "{lines:#?}");
    // The gravest come first.
    assert!(lines[0].starts_with("LOST"), "{lines:#?}");

    let (code, lines) = plan(&mesh, &as_it_is(), &[]);
    assert_eq!((code, lines), (0, Vec::new()));

    // What is there could be taken away as well.
    let (code, lines) = plan(&mesh, "", &["--without", "VirtualService/default/payments"]);
    assert_eq!(code, 0, "every path would still lead to the service: {lines:#?}");
    has(&lines, "vanishes | VirtualService default/payments (", &["uri prefix /beta"]);
    has(&lines, "changes | GET http://payments:8080/reports/today, seen once", &[]);
}

const DENY: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: default}
spec:
  selector: {matchLabels: {version: v1}}
  action: DENY
  rules: [{to: [{operation: {ports: ['8080']}}]}]
";

const PLAIN: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: DISABLE}}
";

const STRICT: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn calls_that_would_be_denied_or_lose_mutual_tls_are_told() {
    let mesh = seen();
    let caller = "from spiffe://cluster.local/ns/default/sa/checkout";
    let (code, lines) = plan(&mesh, DENY, &[]);
    assert_eq!(code, 1, "{lines:#?}");
    has(&lines, "LOST | calls of default/payments-1:8080 | would be denied", &["nobody"]);
    let charge = format!("LOST | GET http://payments:8080/charge/7 {caller}, seen 3 times");
    has(&lines, &charge, &["answered 4", "default/nobody", "| default/payments-1"]);
    assert!(!lines.iter().any(|line| line.contains("beta/7")), "the other version is open");

    let (code, lines) = plan(&mesh, PLAIN, &[]);
    assert_eq!(code, 1, "{lines:#?}");
    has(
        &lines,
        "LOST | GET http://payments:8080/charge/7, seen 3 times | would be sent without TLS",
        &["| default/checkout"],
    );

    // Somebody outside of the mesh calls, which STRICT would refuse.
    let (code, lines) = plan(&mesh, STRICT, &[]);
    assert_eq!(code, 0, "all calls so far came with mutual TLS: {lines:#?}");
    let plain = format!("http://{}:8080/metrics", mesh.addr("payments-1"));
    assert_eq!(mesh.plainly(&plain).unwrap().status, 200);
    wait::until_true("a call that would be refused", || {
        let (_, lines) = plan(&mesh, STRICT, &[]);
        lines.iter().any(|line| {
            line.starts_with("LOST | GET http://") && line.contains("/metrics, seen once")
        })
    });
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn without_a_mesh_that_runs_a_plan_says_what_to_compare_with() {
    let mesh = Mesh::start();
    let change = mesh.machine.write("change.yaml", &as_it_is());
    let missing = mesh.machine.folder().join("none");
    let fails = |arguments: &[&str], words: &[&str]| {
        let output = mesh.machine.run(&[&[BINARY, "plan"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        words.iter().for_each(|words| assert!(said.contains(words), "no `{words}` in {said}"));
    };
    let state = ["--state", missing.to_str().unwrap()];
    fails(
        &[&["-f", change.to_str().unwrap()], &state[..]].concat(),
        &["there is no running mesh to compare with", "--against PATH", "`weftway up`"],
    );
    fails(&[&["-f", missing.to_str().unwrap()], &state[..]].concat(), &["none cannot be read"]);
}
