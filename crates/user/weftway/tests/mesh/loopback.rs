//! The mesh without root: loopback addresses and explicit proxies.

use weft_testkit::wait;

use crate::machine::Machine;
use crate::mesh::{Answer, BINARY, PYTHON, script};

/// Whom the mesh belongs to: nobody.
const USER: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_plain_user_has_a_mesh_on_loopback_addresses() {
    let machine = Machine::start();
    let state = machine.folder().join("state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(65534), Some(65534)).unwrap();
    let state = state.to_str().unwrap();
    let as_user = |argv: &[&'static str]| [&USER[..], argv].concat();
    let mut argv: Vec<&str> = as_user(&[BINARY, "up", "--loopback", "--state"]);
    argv.push(state);
    let up = machine.spawn("up", &argv);
    up.until_printed("a loopback address");
    let script = script("service.py");
    let mut argv: Vec<&str> = as_user(&[BINARY, "run", "payments", "--port", "8080", "--state"]);
    argv.extend([state, "--", PYTHON, &script, "http", "8080", "payments"]);
    let payments = machine.spawn("payments", &argv);
    payments.until_printed("http ");
    let call = "echo proxy $http_proxy; curl -sS -i --max-time 10 http://payments:8080/";
    let answer = wait::until("an answer", || {
        let mut argv: Vec<&str> = as_user(&[BINARY, "run", "shop", "--state"]);
        argv.extend([state, "--", "sh", "-c", call]);
        let output = machine.run(&argv);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, answer) = text.split_once("HTTP/1.1").unwrap_or_else(|| panic!("{output:?}"));
        let answer = Answer::read(&format!("HTTP/1.1{answer}"));
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(
        answer.json()["headers"]["x-forwarded-client-cert"],
        "By=spiffe://cluster.local/ns/default/sa/default;\
         URI=spiffe://cluster.local/ns/default/sa/default"
    );
}
