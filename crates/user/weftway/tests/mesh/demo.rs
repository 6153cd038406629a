//! `weftway demo`, with namespaces.

use crate::machine::Machine;
use crate::mesh::BINARY;

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_demo_checks_gateway_and_mesh_in_namespaces() {
    let machine = Machine::start();
    let mut demo = machine.spawn("demo", &[BINARY, "demo", "--once"]);
    assert_eq!(demo.code(), Some(0), "{}", demo.printed());
    let printed = demo.printed();
    assert!(printed.contains("All answers are right."), "{printed}");
    assert!(!printed.contains("A mesh on loopback addresses"), "{printed}");
}
