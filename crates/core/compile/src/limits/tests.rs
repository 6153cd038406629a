use weft_resources::load;

use crate::gateway_api::tests::{ask, assert_reported, http_route, plain_gateway, rule, services};
use crate::{Options, compile};

#[test]
fn a_route_with_a_limit_that_gateways_do_not_hold_is_closed() {
    for (limit, expected) in [
        ("localRateLimit: {total: {requestsPerSecond: 5}}", "503"),
        ("limits: {perRoute: {requests: 5}}", "503"),
        ("hedging: {percentile: 90}", "v1"),
    ] {
        let policy = format!(
            "apiVersion: weftway.io/v1alpha1
kind: TrafficPolicy
metadata: {{name: p, namespace: infra}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}}]
  {limit}
---
"
        );
        let text = [services(), plain_gateway(), http_route(&rule("", "v1")), policy].concat();
        let world = compile(&load(&[("a.yaml", text)]), &Options::new(Vec::new()), None);
        assert_eq!(ask(&world, 80, "GET a.example/"), expected, "{limit}");
        let reported = if expected == "503" { "gateways do not hold it" } else { "has no effect" };
        assert_reported(&world, reported);
    }
}
