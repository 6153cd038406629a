//! GRPCRoute.

use weft_model::backend::UpstreamProtocol;

use super::{ask, backend, check, clean, gateway, plain_gateway, route, rule, world};

fn grpc_route(name: &str, parent: &str, rules: &str) -> String {
    route("GRPCRoute", name, &format!("  parentRefs: [{{name: gw{parent}}}]\n  rules:\n{rules}"))
}

/// GRPCExactMethodMatching
#[test]
fn exact_methods() {
    let rules = [
        rule("{method: {service: shop.Checkout, method: Pay}}", "v1"),
        rule("{method: {service: shop.Checkout, method: Ship}}", "v2"),
    ];
    let world = clean(&[&plain_gateway(), &grpc_route("r", "", &rules.concat())]);
    check(
        &world,
        &[
            ("POST h/shop.Checkout/Pay", "v1+h2"),
            ("POST h/shop.Checkout/Ship", "v2+h2"),
            ("POST h/shop.Checkout/Refund", "404"),
            ("POST h/Checkout/Pay", "404"),
        ],
    );
    let backend = backend(&world, "POST h/shop.Checkout/Pay");
    assert_eq!(backend.protocol, UpstreamProtocol::Http2);
}

#[test]
fn parts_and_patterns_of_methods() {
    let rules = [
        rule("{method: {service: shop.Checkout}}", "v1"),
        rule("{method: {method: Health}}", "v2"),
        rule("{method: {type: RegularExpression, service: 'shop\\..*', method: 'Get|List'}}", "v3"),
    ];
    let world = clean(&[&plain_gateway(), &grpc_route("r", "", &rules.concat())]);
    check(
        &world,
        &[
            ("POST h/shop.Checkout/Pay", "v1+h2"),
            ("POST h/shop.CheckoutTwo/Pay", "404"),
            ("POST h/any.Service/Health", "v2+h2"),
            ("POST h/shop.Cart/Get", "v3+h2"),
            ("POST h/shop.Cart/GetAll", "404"),
            ("POST h/shop.Checkout/List", "v3+h2"),
        ],
    );
}

/// GRPCRouteHeaderMatching
#[test]
fn headers() {
    let rules = [
        rule("{headers: [{name: version, value: one}]}", "v1"),
        rule("{headers: [{name: version, value: two}]}", "v2"),
        rule("{headers: [{name: version, value: two}, {name: color, value: orange}]}", "v1"),
    ];
    let world = clean(&[&plain_gateway(), &grpc_route("r", "", &rules.concat())]);
    check(
        &world,
        &[
            ("POST h/a/b version: one", "v1+h2"),
            ("POST h/a/b version: two", "v2+h2"),
            ("POST h/a/b version: two color: orange", "v1+h2"),
            ("POST h/a/b color: orange", "404"),
        ],
    );
}

/// GRPCRouteListenerHostnameMatching
#[test]
fn sections_with_hosts() {
    let gateway = gateway(&[
        "name: one, port: 80, protocol: HTTP, hostname: bar.com",
        "name: two, port: 80, protocol: HTTP, hostname: '*.bar.com'",
    ]);
    let world = clean(&[
        &gateway,
        &grpc_route("one", ", sectionName: one", &rule("", "v1")),
        &grpc_route("two", ", sectionName: two", &rule("", "v2")),
    ]);
    check(
        &world,
        &[
            ("POST bar.com/a/b", "v1+h2"),
            ("POST x.y.bar.com/a/b", "v2+h2"),
            ("POST no.host/a/b", "404"),
        ],
    );
}

/// GRPCRouteWeight: clients of gRPC read 503 as UNAVAILABLE
#[test]
fn invalid_backends_are_unavailable() {
    let world = world(&[&plain_gateway(), &grpc_route("r", "", &rule("", "nobody"))]);
    assert_eq!(ask(&world, 80, "POST h/a/b"), "503");
}

#[test]
fn http_and_grpc_share_a_host_by_path() {
    let http = route(
        "HTTPRoute",
        "web",
        &format!("  parentRefs: [{{name: gw}}]\n  rules:\n{}", rule("", "v1")),
    );
    let grpc = grpc_route("api", "", &rule("{method: {service: shop.Checkout}}", "v2"));
    let world = clean(&[&plain_gateway(), &http, &grpc]);
    check(&world, &[("GET h/", "v1"), ("POST h/shop.Checkout/Pay", "v2+h2")]);
}
