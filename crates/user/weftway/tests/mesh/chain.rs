//! A chain of services, each of which tries again when the next one fails: that must not multiply.

use crate::echo::{App, Call, Load, Tally};
use crate::mesh::Mesh;

/// Requests a second from the first caller.
const RATE: u32 = 500;

/// For so many seconds.
const SECONDS: u32 = 4;

/// Four hops: the caller's to `one`, and on to the leaf. Each has three attempts configured.
const HOPS: [&str; 4] = ["one", "two", "three", "leaf"];

/// Three tries more for whatever fails: Istio counts those after the first.
fn three_attempts(host: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {host}, \
         namespace: default}}\nspec:\n  hosts: [{host}]\n  http:\n  - route: [{{destination: \
         {{host: {host}}}}}]\n    retries: {{attempts: 3, retryOn: 5xx}}\n"
    )
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_leaf_that_fails_half_of_the_time_gets_a_fifth_more_however_long_the_chain() {
    let documents: String = HOPS.iter().map(|host| three_attempts(host)).collect();
    let apps = [
        App::new("leaf"),
        App::new("three").calls("leaf:8080"),
        App::new("two").calls("three:8080"),
        App::new("one").calls("two:8080"),
        App::new("shop"),
    ];
    let mesh = Mesh::of(&documents, &apps);
    mesh.until_in_force();
    // All names are known, and connections are there.
    assert_eq!(mesh.call("shop", &Call::get("one:8080/")).status, 200);
    mesh.tell("leaf", "share=50 status=503");
    HOPS.iter().for_each(|app| mesh.forget(app));
    let offered = (RATE * SECONDS) as usize;
    let load = Load::times(&Call::get("one:8080/"), offered).per_second(RATE);
    let found = Tally::of(&mesh.calls("shop", &load));
    let seen = HOPS.map(|app| mesh.seen(app) as f64 / offered as f64);
    println!("{found:?}; seen by each hop per request: {seen:?}");
    assert_eq!(found.total(), offered);
    assert_eq!(found.status(200) + found.status(503), offered, "{found:?}");
    let [.., leaf] = seen;
    assert!(leaf <= 1.2, "the leaf got {leaf} times what was offered");
    // And yet more are answered than without any retry.
    assert!(leaf > 1.05 && found.status(200) > offered * 11 / 20, "{leaf}: {found:?}");
}
