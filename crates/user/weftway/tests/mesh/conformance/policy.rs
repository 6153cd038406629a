//! Timeouts, retries, mirrors and edits of answers, of which the suite has cases for gateways only:
//! the same of Services.

use weft_testkit::wait;

use crate::echo::{Call, Load, answered, check, status};

use super::{V1, V2, check_route, mesh, of_echo};

/// A rule for a prefix of paths that leads to version 1, with more of it.
fn rule(prefix: &str, more: &str) -> String {
    format!(
        "  - matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}]\n    backendRefs: [{{name: \
         echo-v1, port: 8080}}]\n{more}"
    )
}

/// Requests that take a second, under a bound and without one.
#[track_caller]
fn check_timeouts(name: &str, bound: &str) {
    let rules = [
        rule("/bounded", &format!("    timeouts: {{{bound}: 500ms}}\n")),
        rule("/unbounded", &format!("    timeouts: {{{bound}: \"0s\"}}\n")),
    ];
    let slow = |path: &str| Call::get(path).which("delay=1000");
    check_route(
        of_echo(name, &rules.concat()),
        &[
            (Call::get("echo/bounded"), answered("echo-v1")),
            (slow("echo/bounded"), status(504)),
            (slow("echo/unbounded"), answered("echo-v1")),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_timeout_request() {
    check_timeouts("request-timeout", "request");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_timeout_backend_request() {
    check_timeouts("backend-request-timeout", "backendRequest");
}

/// A call that the application fails that often, each time with that status, under another key than
/// all others.
fn failing(path: &str, code: u16, times: u32) -> Call {
    let key = format!("{path} {code} {times}");
    Call::get(path).header("key", &key).which(&format!("first={times} status={code}"))
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_retry() {
    let rules = [
        rule("/retry/code-500-attempts-3", "    retry: {codes: [500], attempts: 3}\n"),
        rule(
            "/retry/code-all-attempts-2",
            "    retry: {codes: [500, 502, 503, 504], attempts: 2}\n",
        ),
    ];
    let only_500 = |code, times| failing("echo/retry/code-500-attempts-3", code, times);
    let all = |code, times| failing("echo/retry/code-all-attempts-2", code, times);
    let mut cases = vec![
        (only_500(500, 2), answered("echo-v1")),
        (only_500(500, 4), status(500)),
        (only_500(503, 2), status(503)),
    ];
    for code in [500, 502, 503, 504] {
        cases.push((all(code, 1), answered("echo-v1")));
        cases.push((all(code, 3), status(code)));
    }
    check_route(of_echo("retries", &rules.concat()), &cases);
}

/// A try that takes too long is one that failed.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_retry_backend_timeout() {
    let rules = [
        rule(
            "/retry/backend-timeout",
            "    timeouts: {backendRequest: 500ms}\n    retry: {codes: [504], attempts: 3}\n",
        ),
        rule(
            "/retry/request-timeout",
            "    timeouts: {request: 500ms}\n    retry: {codes: [504], attempts: 3}\n",
        ),
    ];
    let slow = |path: &str| Call::get(path).header("key", path).which("first=2 delay=1000");
    check_route(
        of_echo("retry-timeouts", &rules.concat()),
        &[
            (slow("echo/retry/backend-timeout"), answered("echo-v1")),
            (slow("echo/retry/request-timeout"), status(504)),
        ],
    );
}

/// Nothing of a request reached anybody: it may be sent again, whatever it is.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_retry_connection_error() {
    let rules = "  - retry: {codes: [503], attempts: 3}
    backendRefs: [{name: echo, port: 8080}]
";
    let mesh = mesh(&[of_echo("retry-connection-error", rules)]);
    mesh.tell(V2, "refuse");
    let replies = mesh.calls(V1, &Load::times(&Call::post("echo/", "once"), 10));
    mesh.tell(V2, "");
    for reply in replies {
        assert_eq!((reply.status, reply.name().as_deref()), (200, Some("echo-v1")), "{reply:?}");
    }
}

/// A filter that sends a copy to a version, with more of it.
fn mirror(name: &str, more: &str) -> String {
    format!(
        "{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name}, port: 8080}}{more}}}}}"
    )
}

const EDITS: &str = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: \
                     X-Header-Set, value: set-overwrites-values}], add: [{name: X-Header-Add, \
                     value: header-val-1}, {name: X-Header-Add-Append, value: header-val-2}], \
                     remove: [X-Header-Remove]}}";

fn filtered(prefix: &str, filters: &[&str]) -> String {
    rule(prefix, &format!("    filters: [{}]\n", filters.join(", ")))
}

/// Requests with a copy for version 2 and more, under edits and without them.
#[track_caller]
fn check_mirrored(name: &str, mirrors: &[&str]) {
    let rules = [filtered("/mirror", mirrors), filtered("/edited", &[&[EDITS], mirrors].concat())];
    let mesh = mesh(&[of_echo(name, &rules.concat())]);
    [V1, V2].iter().for_each(|app| mesh.forget(app));
    let edited = Call::post("echo/edited", "a body")
        .header("X-Header-Remove", "remove-val")
        .header("X-Header-Add-Append", "append-val-1");
    let edited_seen = answered("echo-v1")
        .request("x-header-add", "header-val-1")
        .request("x-header-add-append", "append-val-1,header-val-2")
        .request("x-header-set", "set-overwrites-values")
        .no_request("x-header-remove");
    check(&mesh, V1, &[(Call::get("echo/mirror"), answered("echo-v1")), (edited, edited_seen)]);
    let copies = mirrors.len() as u64;
    let (of_v1, of_v2) = if copies == 1 { (2, 2) } else { (4, 2) };
    wait::until_true("the copies", || mesh.seen(V1) == of_v1 && mesh.seen(V2) == of_v2);
    let heard = mesh.heard(V2);
    let copy = heard["kept"].as_array().unwrap().iter().find(|copy| copy["path"] == "/edited");
    let copy = copy.unwrap();
    assert_eq!(copy["body"], "a body");
    assert_eq!(copy["headers"]["x-header-set"], "set-overwrites-values");
    assert_eq!(copy["headers"].get("x-header-remove"), None);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_request_mirror() {
    check_mirrored("request-mirror", &[&mirror("echo-v2", "")]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_request_multiple_mirrors() {
    check_mirrored("request-mirrors", &[&mirror("echo-v2", ""), &mirror("echo-v1", "")]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_request_percentage_mirror() {
    const REQUESTS: usize = 500;
    let rules = [
        filtered("/percent", &[&mirror("echo-v2", ", percent: 20")]),
        filtered(
            "/fraction",
            &[&mirror("echo-v2", ", fraction: {numerator: 25, denominator: 50}")],
        ),
    ];
    let mesh = mesh(&[of_echo("request-percentage-mirror", &rules.concat())]);
    for (path, share) in [("percent", 0.2), ("fraction", 0.5)] {
        mesh.forget(V2);
        let call = Call::get(&format!("echo/{path}"));
        let replies = mesh.calls(V1, &Load::times(&call, REQUESTS));
        assert!(replies.iter().all(|reply| reply.name().as_deref() == Some("echo-v1")));
        // Five times the standard deviation: one run of a million is beyond.
        let mean = REQUESTS as f64 * share;
        let margin = 5.0 * (mean * (1.0 - share)).sqrt();
        let is_enough = |seen: u64| (seen as f64 - mean).abs() <= margin;
        wait::until_true("as many copies", || is_enough(mesh.seen(V2)));
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_response_header_modifier() {
    let filter = |edits: &str| {
        format!("{{type: ResponseHeaderModifier, responseHeaderModifier: {{{edits}}}}}")
    };
    let rules = [
        filtered("/set", &[&filter("set: [{name: X-Header-Set, value: set-overwrites-values}]")]),
        filtered("/add", &[&filter("add: [{name: X-Header-Add, value: add-appends-values}]")]),
        filtered("/remove", &[&filter("remove: [X-Header-Remove]")]),
    ];
    let call = |path: &str, header: &str| {
        Call::get(path).which(&format!("set={header}:original set=some-other-header:val"))
    };
    let other = || answered("echo-v1").response("some-other-header", "val");
    check_route(
        of_echo("response-header-modifier", &rules.concat()),
        &[
            (
                call("echo/set", "x-header-set"),
                other().response("x-header-set", "set-overwrites-values"),
            ),
            (
                call("echo/add", "x-header-add"),
                other().response("x-header-add", "original,add-appends-values"),
            ),
            (call("echo/remove", "x-header-remove"), other().no_response("x-header-remove")),
        ],
    );
}
