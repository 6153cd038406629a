//! Certificates change under load.

use serde_json::Value;
use weft_testkit::wait;

use crate::mesh::{BINARY, Mesh};
use crate::traffic::Traffic;

/// What `weftway certs` gives.
fn certs(mesh: &Mesh, arguments: &[&str]) -> String {
    let state = mesh.state();
    let argv = [BINARY, "certs", "--state", state.to_str().unwrap()];
    mesh.machine.output(&[&argv[..], arguments].concat())
}

/// The certificates that proxies present, by their fingerprint or end.
fn leaves(mesh: &Mesh) -> Vec<String> {
    let view: Value = serde_json::from_str(&certs(mesh, &["-o", "json"])).unwrap();
    let all = view["certificates"].as_array().unwrap().iter();
    let presented = all.filter(|one| one["duty"] == "presented");
    presented.map(|one| one["root"].as_str().unwrap().to_owned()).collect()
}

/// How many certificates the authority has issued so far.
fn issued(mesh: &Mesh) -> usize {
    mesh.up.printed().matches("a certificate is issued").count()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn leaves_and_root_are_replaced_under_load_and_nothing_fails() {
    let mut mesh = Mesh::with("", &["--certificate-lifetime", "10s"]);
    let traffic = Traffic::start(&mut mesh);
    let first = issued(&mesh);
    // Twice for each of the two, while calls go on.
    wait::until_true("leaves that are renewed", || issued(&mesh) >= first + 4);
    traffic.goes_on();

    let old = leaves(&mesh);
    let said = certs(&mesh, &["rotate"]);
    assert!(said.contains("the old root is dropped"), "{said}");
    traffic.goes_on();
    let new = leaves(&mesh);
    assert!(!new.is_empty() && new.iter().all(|root| !old.contains(root)), "{old:?} {new:?}");
    // Connections that are made from here on are trusted by the new root alone.
    traffic.goes_on();
    traffic.stop_clean();
}
