//! What an HTTPRoute tells requests apart by, where it leads them, and what it changes.

use crate::echo::{Call, Load, Tally, answered, not_found};

use super::{V1, check_route, mesh, of_echo};

/// A rule for a prefix of paths, with more of it.
fn rule(prefix: &str, more: &str) -> String {
    format!("  - matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}]\n{more}")
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_simple_same_namespace() {
    check_route(
        of_echo(
            "gateway-conformance-mesh-test",
            "  - backendRefs: [{name: echo-v1, port: 8080}]\n",
        ),
        &[(Call::get("echo/"), answered("echo-v1")), (Call::get("echo/"), answered("echo-v1"))],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_weight() {
    let rules = "  - backendRefs:
    - {name: echo-v1, port: 8080, weight: 70}
    - {name: echo-v2, port: 8080, weight: 30}
";
    let mesh = mesh(&[of_echo("mesh-weighted-backends", rules)]);
    let replies = mesh.calls(V1, &Load::times(&Call::get("echo/"), 500));
    Tally::of(&replies).check_shares(&[("echo-v1", 0.7), ("echo-v2", 0.3)]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_matching() {
    let rules = "  - matches:
    - path: {type: PathPrefix, value: /}
    - headers: [{name: version, value: one}]
    backendRefs: [{name: echo-v1, port: 8080}]
  - matches:
    - path: {type: PathPrefix, value: /v2}
    - headers: [{name: version, value: two}]
    backendRefs: [{name: echo-v2, port: 8080}]
";
    let version = |version| Call::get("echo/").header("Version", version);
    check_route(
        of_echo("mesh-matching", rules),
        &[
            (Call::get("echo/"), answered("echo-v1")),
            (Call::get("echo/example"), answered("echo-v1")),
            (version("one"), answered("echo-v1")),
            (Call::get("echo/v2"), answered("echo-v2")),
            (Call::get("echo/v2/example"), answered("echo-v2")),
            (version("two"), answered("echo-v2")),
            (Call::get("echo/v2/"), answered("echo-v2")),
            // Not a prefix by whole elements of the path.
            (Call::get("echo/v2example"), answered("echo-v1")),
            (Call::get("echo/foo/v2/example"), answered("echo-v1")),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_query_param_matching() {
    let animal = |animal: &str| format!("queryParams: [{{name: animal, value: {animal}}}]");
    let path = |path: &str| format!("path: {{type: PathPrefix, value: {path}}}");
    let version = |version: &str| format!("headers: [{{name: version, value: {version}}}]");
    let rule = |matches: &[String], backend: &str| {
        let matches = matches.join("}, {");
        format!(
            "  - matches: [{{{matches}}}]\n    backendRefs: [{{name: {backend}, port: 8080}}]\n"
        )
    };
    let both = |one: String, other: String| format!("{one}, {other}");
    let rules = [
        rule(&[animal("whale")], "echo-v1"),
        rule(&[animal("dolphin")], "echo-v2"),
        rule(&[both(path("/path1"), animal("whale"))], "echo-v1"),
        rule(&[both(version("one"), animal("whale"))], "echo-v2"),
        rule(
            &[
                both(path("/path3"), animal("shark")),
                both(both(path("/path4"), version("three")), animal("kraken")),
            ],
            "echo-v1",
        ),
        rule(&[path("/path5")], "echo-v1"),
        rule(&[animal("hydra")], "echo-v2"),
    ];
    let v1 = |path: &str| (Call::get(&format!("echo/{path}")), answered("echo-v1"));
    let v2 = |path: &str| (Call::get(&format!("echo/{path}")), answered("echo-v2"));
    let nobody = |path: &str| (Call::get(&format!("echo/{path}")), not_found());
    let of_version = |call: Call, version: &str| call.header("version", version);
    check_route(
        of_echo("mesh-query-param-matching", &rules.concat()),
        &[
            v1("?animal=whale"),
            v2("?animal=dolphin"),
            v1("?animal=whale&otherparam=irrelevant"),
            v2("?animal=dolphin&color=yellow"),
            nobody("?color=blue"),
            nobody("?animal=dog"),
            nobody("?animal=whaledolphin"),
            nobody(""),
            v1("path1?animal=whale"),
            (of_version(Call::get("echo/?animal=whale"), "one"), answered("echo-v2")),
            // One of the conditions of a rule is enough, but all of it.
            v1("path3?animal=shark"),
            (of_version(Call::get("echo/path4?animal=kraken"), "three"), answered("echo-v1")),
            nobody("?animal=shark"),
            nobody("path4?animal=kraken"),
            // A longer path comes before parameters.
            v1("path5?animal=hydra"),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_named_rule() {
    let rules = "  - name: named-rule
    matches: [{path: {type: PathPrefix, value: /named}}]
    backendRefs: [{name: echo-v1, port: 8080}]
  - matches: [{path: {type: PathPrefix, value: /unnamed}}]
    backendRefs: [{name: echo-v2, port: 8080}]
";
    check_route(
        of_echo("mesh-http-named-rules", rules),
        &[
            (Call::get("echo/named"), answered("echo-v1").path("/named")),
            (Call::get("echo/unnamed"), answered("echo-v2").path("/unnamed")),
        ],
    );
}

/// Edits of the headers of requests, for prefixes of paths, made from the edits.
fn modified(rule: impl Fn(&str, &str) -> String) -> String {
    [
        rule("/set", "set: [{name: X-Header-Set, value: set-overwrites-values}]"),
        rule("/add", "add: [{name: X-Header-Add, value: add-appends-values}]"),
        rule("/remove", "remove: [X-Header-Remove]"),
        rule(
            "/multiple",
            "set: [{name: X-Header-Set-1, value: header-set-1}, {name: X-Header-Set-2, value: \
             header-set-2}], add: [{name: X-Header-Add-1, value: header-add-1}, {name: \
             X-Header-Add-2, value: header-add-2}, {name: X-Header-Add-3, value: header-add-3}], \
             remove: [X-Header-Remove-1, X-Header-Remove-2]",
        ),
        rule(
            "/case-insensitivity",
            "set: [{name: X-Header-Set, value: header-set}], add: [{name: X-Header-Add, value: \
             header-add}], remove: [X-Header-Remove]",
        ),
    ]
    .concat()
}

/// What has to become of requests under those edits.
#[track_caller]
fn check_modified(rules: &str) {
    let call = |path: &str| Call::get(&format!("echo{path}"));
    let some_other = |call: Call| call.header("Some-Other-Header", "val");
    let seen = |path: &str| answered("echo-v1").path(path);
    let set = || {
        seen("/set")
            .request("some-other-header", "val")
            .request("x-header-set", "set-overwrites-values")
    };
    let add = |value: &str| {
        seen("/add").request("some-other-header", "val").request("x-header-add", value)
    };
    let multiple = call("/multiple")
        .header("X-Header-Set-2", "set-val-2")
        .header("X-Header-Add-2", "add-val-2")
        .header("X-Header-Remove-2", "remove-val-2")
        .header("Another-Header", "another-header-val");
    let multiple_seen = seen("/multiple")
        .request("x-header-set-1", "header-set-1")
        .request("x-header-set-2", "header-set-2")
        .request("x-header-add-1", "header-add-1")
        .request("x-header-add-2", "add-val-2,header-add-2")
        .request("x-header-add-3", "header-add-3")
        .request("another-header", "another-header-val")
        .no_request("x-header-remove-1")
        .no_request("x-header-remove-2");
    let in_lower_case = call("/case-insensitivity")
        .header("x-header-set", "original-val-set")
        .header("x-header-add", "original-val-add")
        .header("x-header-remove", "original-val-remove")
        .header("Another-Header", "another-header-val");
    let in_lower_case_seen = seen("/case-insensitivity")
        .request("x-header-set", "header-set")
        .request("x-header-add", "original-val-add,header-add")
        .request("another-header", "another-header-val")
        .no_request("x-header-remove");
    check_route(
        of_echo("mesh-request-header-modifier", rules),
        &[
            (some_other(call("/set")), set()),
            (some_other(call("/set")).header("X-Header-Set", "some-other-value"), set()),
            (some_other(call("/add")), add("add-appends-values")),
            (
                some_other(call("/add")).header("X-Header-Add", "some-other-value"),
                add("some-other-value,add-appends-values"),
            ),
            (
                call("/remove").header("X-Header-Remove", "val"),
                seen("/remove").no_request("x-header-remove"),
            ),
            (multiple, multiple_seen),
            (in_lower_case, in_lower_case_seen),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_request_header_modifier() {
    check_modified(&modified(|path, edits| {
        let filter = format!("{{type: RequestHeaderModifier, requestHeaderModifier: {{{edits}}}}}");
        let more =
            format!("    filters: [{filter}]\n    backendRefs: [{{name: echo-v1, port: 8080}}]\n");
        rule(path, &more)
    }));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_backend_request_header_modifier() {
    check_modified(&modified(|path, edits| {
        let filter = format!("{{type: RequestHeaderModifier, requestHeaderModifier: {{{edits}}}}}");
        let more = format!(
            "    backendRefs:\n    - name: echo-v1\n      port: 8080\n      filters: [{filter}]\n"
        );
        rule(path, &more)
    }));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_rewrite_path() {
    const EDITS: &str = ", {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: \
                         X-Header-Set, value: set-overwrites-values}], add: [{name: X-Header-Add, \
                         value: header-val-1}, {name: X-Header-Add-Append, value: header-val-2}], \
                         remove: [X-Header-Remove]}}";
    let rewrite = |path: &str, by: &str, more: &str| {
        let filters = format!("{{type: URLRewrite, urlRewrite: {{path: {{{by}}}}}}}{more}");
        rule(
            path,
            &format!("    filters: [{filters}]\n    backendRefs: [{{name: echo-v1, port: 80}}]\n"),
        )
    };
    let prefix = |path: &str| format!("type: ReplacePrefixMatch, replacePrefixMatch: {path}");
    let full = |path: &str| format!("type: ReplaceFullPath, replaceFullPath: {path}");
    let rules = [
        rewrite("/prefix/one", &prefix("/one"), ""),
        rewrite("/strip-prefix", &prefix("/"), ""),
        rewrite("/full/one", &full("/one"), ""),
        rewrite("/full/rewrite-path-and-modify-headers", &full("/test"), EDITS),
        rewrite("/prefix/rewrite-path-and-modify-headers", &prefix("/prefix"), EDITS),
    ];
    let call = |path: &str| Call::get(&format!("echo{path}"));
    let seen = |path: &str| answered("echo-v1").path(path);
    let edited = |path: &str| {
        call(path)
            .header("X-Header-Remove", "remove-val")
            .header("X-Header-Add-Append", "append-val-1")
            .header("X-Header-Set", "set-val")
    };
    let edited_seen = |path: &str| {
        seen(path)
            .request("x-header-add", "header-val-1")
            .request("x-header-add-append", "append-val-1,header-val-2")
            .request("x-header-set", "set-overwrites-values")
            .no_request("x-header-remove")
    };
    check_route(
        of_echo("mesh-rewrite-path", &rules.concat()),
        &[
            (call("/prefix/one/two"), seen("/one/two")),
            (call("/strip-prefix/three"), seen("/three")),
            (call("/strip-prefix"), seen("/")),
            (call("/full/one/two"), seen("/one")),
            (edited("/full/rewrite-path-and-modify-headers/test"), edited_seen("/test")),
            (edited("/prefix/rewrite-path-and-modify-headers/one"), edited_seen("/prefix/one")),
        ],
    );
}
