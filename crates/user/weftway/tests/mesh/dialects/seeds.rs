//! Documents that people have published, with their indentation restored. That they hold is one
//! thing; what they are taken for and do not say is looked at as well.

use crate::echo::{Call, Load, Tally, check, status};

use super::{SHOP, WEB_1, WEB_2, document, failing, mesh, service};

/// Retries of payments, and the second version for all of them.
const PAYMENTS: &str = include_str!("../../seeds/virtual-service.yaml");

/// Bounds for a greeter, with two fields that no DestinationRule has.
const GREETER: &str = include_str!("../../seeds/destination-rule.yaml");

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_sample_virtual_service_calls_the_second_version_and_retries_as_istio_does() {
    // The sample leaves out what its subset is.
    let subsets = document(
        "networking.istio.io/v1",
        "DestinationRule",
        "payment",
        "  host: payment-service
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
",
    );
    let mesh = mesh(&[&service("payment-service"), &subsets, "---\n", PAYMENTS]);
    let call = || Call::get("payment-service/");
    let found = Tally::of(&mesh.calls(SHOP, &Load::times(&call(), 20)));
    found.check_shares(&[(WEB_2, 1.0)]);
    // Three tries more where the instance says that it is not available, in gRPC.
    let grpc = |times: u32| {
        let call = Call::grpc("payment-service:7070/pay.Payments/Charge");
        mesh.call(SHOP, &failing(call, times, "grpc=14")).grpc
    };
    assert_eq!((grpc(3), grpc(4)), (Some(0), Some(14)));
    check(
        &mesh,
        SHOP,
        &[
            // No status of HTTP is among what Istio repeats by default, whatever the text says.
            (failing(call(), 1, "status=500"), status(500)),
            (failing(call(), 1, "status=503"), status(503)),
            // A try has two seconds.
            (call().which("delay=4000"), status(504)),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn without_the_subset_of_the_sample_there_is_nobody_to_call() {
    let mesh = mesh(&[&service("payment-service"), "---\n", PAYMENTS]);
    check(&mesh, SHOP, &[(Call::get("payment-service/"), status(503))]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_sample_destination_rule_ejects_at_the_first_failure() {
    let mesh = mesh(&[&service("greeter"), "---\n", GREETER]);
    mesh.tell(WEB_2, "status=500");
    let found = Tally::of(&mesh.calls(SHOP, &Load::times(&Call::get("greeter/"), 20)));
    assert_eq!((found.failed(), mesh.seen(WEB_2)), (1, 1), "{found:?}");
}

/// `timeout` and `retry` stand where Istio has no such fields. They hold, and `up` says so.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_sample_destination_rule_has_a_timeout_and_retries_of_its_own() {
    let mesh = mesh(&[&service("greeter"), "---\n", GREETER]);
    // One of them is ejected at its first failure, and the other one stays.
    [WEB_1, WEB_2].iter().for_each(|app| mesh.tell(app, "grpc=14"));
    let reply = mesh.call(SHOP, &Call::grpc("greeter:7070/hello.Greeter/SayHello"));
    assert_eq!((reply.grpc, mesh.seen(WEB_1) + mesh.seen(WEB_2)), (Some(14), 3));
    [WEB_1, WEB_2].iter().for_each(|app| mesh.tell(app, ""));
    let call = Call::get("greeter/");
    let left = mesh.call(SHOP, &call).request("x-envoy-expected-rq-timeout-ms").unwrap();
    assert!((1..=5000).contains(&left.parse::<u64>().unwrap()), "{left}");
    // A try has two seconds, which is what ends it.
    check(&mesh, SHOP, &[(call.which("delay=4000"), status(504))]);
    for field in ["timeout", "retry"] {
        let said = format!("spec.trafficPolicy.{field}");
        assert!(mesh.up.printed().contains(&said), "{}", mesh.up.printed());
    }
}
