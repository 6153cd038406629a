//! What a GRPCRoute tells calls apart by, where it leads them, and what it changes.

use crate::echo::{Call, Expected, Load, Tally, answered, check};

use super::{SERVICES, V1, mesh, route};

/// A method, as good as any.
const ECHO: &str = "echo:7070/proto.EchoTestService/Echo";

/// A GRPCRoute of both versions.
fn of_echo(name: &str, rules: &str) -> String {
    route("GRPCRoute", name, "name: echo, port: 7070", rules)
}

/// Calls beside version 1, with a rule of that kind.
#[track_caller]
fn check_route(name: &str, rules: &str, cases: &[(Call, Expected)]) {
    check(&mesh(&[of_echo(name, rules)]), V1, cases);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_grpcroute_request_header_modifier() {
    let rule = |case: &str, edits: &str, backend: &str| {
        format!(
            "  - matches: [{{headers: [{{name: x-test-case, value: {case}}}]}}]\n    filters: \
             [{{type: RequestHeaderModifier, requestHeaderModifier: {{{edits}}}}}]\n    \
             backendRefs: [{{name: {backend}, port: 7070}}]\n"
        )
    };
    let rules = [
        rule("set", "set: [{name: x-header-set, value: set-overwrites-values}]", "echo-v1"),
        rule("add", "add: [{name: x-header-add, value: add-appends-values}]", "echo-v1"),
        rule("remove", "remove: [x-header-remove]", "echo-v1"),
        rule(
            "multi",
            "set: [{name: x-header-set-1, value: header-set-1}, {name: x-header-set-2, value: \
             header-set-2}], add: [{name: x-header-add-1, value: header-add-1}, {name: \
             x-header-add-2, value: header-add-2}], remove: [x-header-remove-1, x-header-remove-2]",
            "echo-v2",
        ),
    ];
    let call = |case: &str| Call::grpc(ECHO).header("x-test-case", case);
    let seen = |name: &str, case: &str| answered(name).request("x-test-case", case);
    let multi = call("multi")
        .header("x-header-set-2", "set-header-2")
        .header("x-header-add-2", "add-header-2")
        .header("x-header-remove-2", "should-be-removed-2");
    let multi_seen = seen("echo-v2", "multi")
        .request("x-header-set-1", "header-set-1")
        .request("x-header-set-2", "header-set-2")
        .request("x-header-add-1", "header-add-1")
        .request("x-header-add-2", "add-header-2,header-add-2")
        .no_request("x-header-remove-1")
        .no_request("x-header-remove-2");
    check_route(
        "grpc-request-header-modifier",
        &rules.concat(),
        &[
            (
                call("set")
                    .header("some-other-header", "this-header-should-be-set")
                    .header("x-header-set", "this-value-should-be-overwritten"),
                seen("echo-v1", "set")
                    .request("some-other-header", "this-header-should-be-set")
                    .request("x-header-set", "set-overwrites-values"),
            ),
            (
                call("add").header("x-header-add", "this-value-should-be-appended"),
                seen("echo-v1", "add")
                    .request("x-header-add", "this-value-should-be-appended,add-appends-values"),
            ),
            (
                call("remove").header("x-header-remove", "this-should-be-removed"),
                seen("echo-v1", "remove").no_request("x-header-remove"),
            ),
            (multi, multi_seen),
        ],
    );
}

/// A backend that does not exist has no part in it, for its weight is 0.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_grpcroute_weight() {
    let rules = "  - backendRefs:
    - {name: echo-v1, port: 7070, weight: 70}
    - {name: echo-v2, port: 7070, weight: 30}
    - {name: echo-v3, port: 7070, weight: 0}
";
    let mesh = mesh(&[]);
    // The report has an error for what does not exist.
    mesh.change(&format!("{SERVICES}{}", of_echo("mesh-grpc-weighted-backends", rules)));
    mesh.until_in_force();
    let replies = mesh.calls(V1, &Load::times(&Call::grpc(ECHO), 500));
    assert!(replies.iter().all(|reply| reply.grpc == Some(0)));
    Tally::of(&replies).check_shares(&[("echo-v1", 0.7), ("echo-v2", 0.3)]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_grpcroute_exact_method_matching() {
    let rules = "  - matches: [{method: {service: proto.EchoTestService, method: Echo}}]
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{method: {service: proto.EchoTestService, method: EchoTwo}}]
    backendRefs: [{name: echo-v2, port: 7070}]
";
    let mesh = mesh(&[of_echo("exact-matching", rules)]);
    check(
        &mesh,
        V1,
        &[
            (Call::grpc(ECHO), answered("echo-v1")),
            (Call::grpc(&format!("{ECHO}Two")), answered("echo-v2")),
        ],
    );
    // UNIMPLEMENTED
    assert_eq!(mesh.call(V1, &Call::grpc(&format!("{ECHO}Three"))).grpc, Some(12));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_grpcroute_header_matching() {
    let rules = "  - matches: [{headers: [{name: version, value: one}]}]
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{headers: [{name: version, value: two}]}]
    backendRefs: [{name: echo-v2, port: 7070}]
  - matches: [{headers: [{name: version, value: two}, {name: color, value: orange}]}]
    backendRefs: [{name: echo-v1, port: 7070}]
";
    let version = |version| Call::grpc(ECHO).header("version", version);
    check_route(
        "grpc-header-matching",
        rules,
        &[
            (version("one"), answered("echo-v1")),
            (version("two"), answered("echo-v2")),
            (version("two").header("color", "orange"), answered("echo-v1")),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_grpcroute_named_rule() {
    let rules = "  - name: named-rule
    matches: [{method: {service: proto.EchoTestService, method: Echo}}]
    backendRefs: [{name: echo-v1, port: 7070}]
  - backendRefs: [{name: echo-v2, port: 7070}]
";
    check_route(
        "grpc-named-rule",
        rules,
        &[
            (Call::grpc(ECHO), answered("echo-v1")),
            (Call::grpc(&format!("{ECHO}Two")), answered("echo-v2")),
        ],
    );
}
