//! Who may call whom.

use crate::mesh::{Mesh, PROBLEMS, PYTHON, script};
use weft_testkit::wait;

const STRICT: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
";

const PERMISSIVE: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: PERMISSIVE}}
";

const NOT_YET_ENFORCED: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: default}
spec:
  selector: {matchLabels: {app: vault}}
  action: ALLOW
  rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/reader]}}]}]
";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn strict_refuses_plaintext_and_permissive_serves_it() {
    let mut mesh = Mesh::with(PERMISSIVE, &[]);
    mesh.serve("payments", "http", 8080, &[]);
    mesh.caller("shop", &[]);
    let plain = format!("http://{}:8080/", mesh.addr("payments"));
    let answer = mesh.plainly(&plain).expect("it is served");
    let headers = &answer.json()["headers"];
    assert_eq!((answer.status, headers.get("x-forwarded-client-cert")), (200, None));

    mesh.change(STRICT);
    wait::until_true("plaintext to be refused", || {
        mesh.plainly(&plain).is_none_or(|answer| answer.status != 200)
    });
    assert_eq!(mesh.get("shop", &["http://payments:8080/"]).status, 200);

    mesh.change(PERMISSIVE);
    wait::until_true("plaintext to be served", || {
        mesh.plainly(&plain).is_some_and(|answer| answer.status == 200)
    });
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn no_port_is_past_the_policy_because_it_is_near_the_proxys() {
    let mut mesh = Mesh::with(PERMISSIVE, &[]);
    let script = script("service.py");
    // It does not say so: the proxy would say that it may not.
    mesh.run("sly", &[], &[PYTHON, &script, "http", "15010", "sly"]);
    mesh.process("sly").until_printed("http ");
    let plain = format!("http://{}:15010/", mesh.addr("sly"));
    assert_eq!(mesh.plainly(&plain).expect("it is served").status, 200);
    mesh.change(STRICT);
    wait::until_true("plaintext to be refused", || {
        mesh.plainly(&plain).is_none_or(|answer| answer.status != 200)
    });
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_policy_that_is_not_enforced_closes_the_workload_and_says_why() {
    let mut mesh = Mesh::with(NOT_YET_ENFORCED, &[]);
    mesh.serve("vault", "http", 8080, &["--label", "app=vault"]);
    mesh.serve("open", "http", 8080, &[]);
    mesh.caller("shop", &["--service-account", "reader"]);
    assert_eq!(mesh.get("shop", &["http://open:8080/"]).status, 200);
    let answer = mesh.get("shop", &["-H", PROBLEMS, "http://vault:8080/"]);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["reason"], "policy_unenforceable");
    assert_eq!(answer.json()["service"], "default/vault");
    wait::until_true("the reason in the log of the proxy", || {
        let state = mesh.state();
        let argv = ["grep", "-rsh", "policy_unenforceable", state.to_str().unwrap()];
        let logged = mesh.machine.run(&argv).stdout;
        String::from_utf8_lossy(&logged).contains("AuthorizationPolicy default/readers")
    });
    let plain = format!("http://{}:8080/", mesh.addr("vault"));
    assert!(mesh.plainly(&plain).is_none_or(|answer| answer.status != 200));

    mesh.change("");
    wait::until_true("the workload to be open", || {
        mesh.get("shop", &["http://vault:8080/"]).status == 200
    });
}
