//! Proxies of workloads are replaced in place.

use serde_json::Value;
use weft_testkit::wait;

use crate::mesh::{BINARY, Mesh};
use crate::traffic::Traffic;

/// Runs `weftway proxies` with these arguments: whether it succeeded, and what it printed.
fn proxies(mesh: &Mesh, arguments: &[&str]) -> (bool, String) {
    let state = mesh.state();
    let argv = [BINARY, "proxies", "--state", state.to_str().unwrap()];
    let output = mesh.machine.run(&[&argv[..], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Which process the control plane hears of a workload, and its version.
fn process(mesh: &Mesh, workload: &str) -> Option<(String, String)> {
    let (_, text) = proxies(mesh, &["-o", "json"]);
    let view: Value = serde_json::from_str(&text).unwrap();
    let all = view["proxies"].as_array().unwrap();
    let proxy = all.iter().find(|proxy| proxy["workload"] == workload)?;
    let field = |name: &str| proxy[name].as_str().unwrap().to_owned();
    Some((field("peer"), field("product_version")))
}

/// How many proxies run.
fn running(mesh: &Mesh) -> usize {
    let processes = mesh.machine.output(&["ps", "-e", "-o", "args"]);
    let is_proxy = |line: &&str| line.contains(" proxy --workload=") && !line.contains("<defunct>");
    processes.lines().filter(is_proxy).count()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn proxies_are_replaced_in_place_and_nothing_fails() {
    let mut mesh = Mesh::start();
    let traffic = Traffic::start(&mut mesh);
    let names = ["default/payments", "default/shop"];
    let before = names.map(|name| process(&mesh, name).unwrap());

    let (upgraded, said) = proxies(&mesh, &["upgrade"]);
    assert!(upgraded, "{said}");
    for name in names {
        assert!(said.contains(&format!("{name}: the newer proxy serves")), "{said}");
    }
    // The streams that were open are with the older proxies.
    assert!(running(&mesh) > 2, "the older proxies have ended before their streams");
    for (name, (peer, version)) in names.iter().zip(&before) {
        wait::until_true(&format!("the newer proxy of {name}"), || {
            process(&mesh, name).is_some_and(|now| now.0 != *peer && now.1 == *version)
        });
    }
    traffic.goes_on();
    wait::until_true("the end of the older proxies", || running(&mesh) == 2);
    assert!(mesh.process("shop").printed().contains("a newer proxy serves"));

    // And once more, of one alone.
    let (upgraded, said) = proxies(&mesh, &["upgrade", "shop"]);
    assert!(upgraded, "{said}");
    traffic.goes_on();
    wait::until_true("the end of the older proxy", || running(&mesh) == 2);
    traffic.stop_clean();
    assert!(!mesh.process("shop").printed().contains("the proxy is gone"));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_newer_proxy_that_does_not_start_changes_nothing_and_says_so() {
    let mut mesh = Mesh::start();
    mesh.serve("payments", "http", 8080, &[]);
    mesh.caller("shop", &[]);
    assert_eq!(mesh.get("shop", &["http://payments:8080/"]).status, 200);
    let before = process(&mesh, "default/payments");
    let (upgraded, said) = proxies(&mesh, &["upgrade", "payments", "--program", "/bin/false"]);
    assert!(!upgraded, "{said}");
    let parts = ["the proxy goes on as it was", "ended with exit code 1", "logs/payments.log"];
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    assert!(mesh.process("payments").printed().contains("the proxy goes on as it was"));
    assert_eq!(process(&mesh, "default/payments"), before);
    assert_eq!(mesh.get("shop", &["http://payments:8080/"]).status, 200);
    // The next one is better.
    let (upgraded, said) = proxies(&mesh, &["upgrade", "payments"]);
    assert!(upgraded, "{said}");
    assert_eq!(mesh.get("shop", &["http://payments:8080/"]).status, 200);
}
