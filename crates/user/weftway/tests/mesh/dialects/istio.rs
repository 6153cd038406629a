//! Istio: what a VirtualService tells requests and connections apart by, and does with them.

use weft_testkit::wait;

use crate::echo::{Call, Load, Tally, answered, check, redirected, status};

use super::{SHOP, WEB_1, WEB_2, document, failing, greeting, heard, mesh, service};

/// A VirtualService of that name for a host of that name.
fn virtual_service(name: &str, rules: &str) -> String {
    let spec = format!("  hosts: [{name}]\n{rules}");
    document("networking.istio.io/v1", "VirtualService", name, &spec)
}

/// Both versions of a host, as subsets.
fn subsets(host: &str) -> String {
    let spec = format!(
        "  host: {host}\n  subsets:\n  - {{name: v1, labels: {{version: v1}}}}\n  - {{name: v2, \
         labels: {{version: v2}}}}\n"
    );
    document("networking.istio.io/v1", "DestinationRule", host, &spec)
}

/// The mesh with a host of that name, its subsets and these rules.
fn host(name: &str, rules: &str) -> super::Borrowed {
    mesh(&[&service(name), &subsets(name), &virtual_service(name, rules)])
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_virtual_service_leads_to_subsets_by_header_and_by_weight() {
    let mesh = host(
        "weighted",
        "  http:
  - match: [{headers: {x-version: {exact: \"2\"}}}]
    route: [{destination: {host: weighted, subset: v2}}]
  - route:
    - {destination: {host: weighted, subset: v1}, weight: 80}
    - {destination: {host: weighted, subset: v2}, weight: 20}
",
    );
    let call = Call::get("weighted/");
    let chosen = mesh.calls(SHOP, &Load::times(&call.clone().header("x-version", "2"), 20));
    Tally::of(&chosen).check_shares(&[(WEB_2, 1.0)]);
    let shared = mesh.calls(SHOP, &Load::times(&call, 500));
    Tally::of(&shared).check_shares(&[(WEB_1, 0.8), (WEB_2, 0.2)]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn every_condition_of_a_virtual_service_has_to_hold() {
    let rule = |condition: &str, name: &str| {
        format!(
            "  - match: [{{{condition}}}]\n    route: [{{destination: {{host: matched}}}}]\n    \
             headers: {{response: {{set: {{x-rule: {name}}}}}}}\n"
        )
    };
    let rules = [
        rule("uri: {exact: /Exact}, ignoreUriCase: true", "exact"),
        rule("uri: {regex: \"/v[0-9]+/.*\"}", "regex"),
        rule("method: {exact: DELETE}", "method"),
        rule("authority: {exact: other.test}", "authority"),
        rule("queryParams: {page: {regex: \"[0-9]+\"}}", "query"),
        rule("headers: {x-user: {prefix: t-}}, withoutHeaders: {x-old: {}}", "headers"),
        rule("uri: {prefix: /mine}, sourceLabels: {app: shop}", "labels"),
        rule("uri: {prefix: /mine}", "others"),
        rule("sourceNamespace: elsewhere", "namespace"),
    ];
    let rules = format!("  http:\n{}", rules.concat());
    let mesh = host("matched", &rules);
    let call = |path: &str| Call::get(&format!("matched{path}"));
    let by = |rule: &str| status(200).response("x-rule", rule);
    check(
        &mesh,
        SHOP,
        &[
            (call("/eXaCt"), by("exact")),
            (call("/v12/a"), by("regex")),
            (call("/").method("DELETE"), by("method")),
            (call("/").header("host", "other.test"), by("authority")),
            (call("/?page=7"), by("query")),
            (call("/").header("x-user", "t-9"), by("headers")),
            (call("/mine"), by("labels")),
            (call("/?page=x"), status(404)),
            (call("/").header("x-user", "t-9").header("x-old", "1"), status(404)),
            (call("/"), status(404)),
        ],
    );
    check(&mesh, WEB_1, &[(call("/mine"), by("others"))]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_virtual_service_rewrites_redirects_answers_and_edits_headers() {
    let mesh = host(
        "edited",
        "  http:
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: inner.test}
    route: [{destination: {host: edited}}]
  - match: [{uri: {prefix: /v}}]
    rewrite: {uriRegexRewrite: {match: \"^/v([0-9]+)/(.*)$\", rewrite: '/\\2/of/\\1'}}
    route: [{destination: {host: edited}}]
  - match: [{uri: {prefix: /moved}}]
    redirect: {uri: /here, authority: other.test, redirectCode: 308}
  - match: [{uri: {prefix: /closed}}]
    directResponse: {status: 418, body: {string: closed}}
  - headers:
      request: {set: {x-set: one}, add: {x-add: two}, remove: [x-remove]}
      response: {set: {x-served: yes}}
    route:
    - destination: {host: edited, subset: v1}
      headers: {request: {set: {x-subset: v1}}}
",
    );
    let call = |path: &str| Call::get(&format!("edited{path}"));
    let edited = call("/").header("x-set", "zero").header("x-add", "one").header("x-remove", "x");
    check(
        &mesh,
        SHOP,
        &[
            (call("/old/a"), status(200).request("host", "inner.test")),
            (call("/moved/a"), redirected(308, "http://other.test/here")),
            (call("/closed"), status(418)),
            (
                edited,
                answered(WEB_1)
                    .request("x-set", "one")
                    .request("x-add", "one,two")
                    .no_request("x-remove")
                    .request("x-subset", "v1")
                    .response("x-served", "yes"),
            ),
        ],
    );
    assert_eq!(mesh.call(SHOP, &call("/closed")).body, "closed");
    let paths = mesh.calls(SHOP, &Load::each(&[call("/old/a?b=c"), call("/v2/things")]));
    let paths: Vec<_> = paths.iter().map(|reply| reply.path().unwrap()).collect();
    assert_eq!(paths, ["/new/a?b=c", "/things/of/2"]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_virtual_service_retries_what_it_names_and_counts_attempts() {
    let rule = |path: &str, retries: &str| {
        format!(
            "  - match: [{{uri: {{prefix: {path}}}}}]\n    route: [{{destination: {{host: tried, \
             subset: v1}}}}]\n    retries: {{{retries}}}\n"
        )
    };
    let rules = [
        rule("/all", "attempts: 3, retryOn: 5xx"),
        rule("/gateway", "attempts: 1, retryOn: \"gateway-error,429\""),
        rule("/slow", "attempts: 2, perTryTimeout: 300ms, retryOn: 5xx"),
        rule("/never", "attempts: 0"),
    ];
    let mesh = host("tried", &format!("  http:\n{}", rules.concat()));
    let counted = |count: &str| answered(WEB_1).request("x-envoy-attempt-count", count);
    check(
        &mesh,
        SHOP,
        &[
            (failing(Call::get("tried/all"), 3, "status=500"), counted("4")),
            (failing(Call::get("tried/all"), 4, "status=500"), status(500)),
            (failing(Call::get("tried/gateway"), 1, "status=502"), counted("2")),
            (failing(Call::get("tried/gateway"), 1, "status=429"), counted("2")),
            (failing(Call::get("tried/gateway"), 1, "status=500"), status(500)),
            (failing(Call::get("tried/slow"), 2, "delay=2000"), counted("3")),
            (failing(Call::get("tried/never"), 1, "status=503"), status(503)),
        ],
    );
}

/// Where a VirtualService says nothing of retries, Istio's default holds: two, for what never
/// reached an application and for two statuses of gRPC.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn the_default_retries_are_those_of_istio() {
    let mesh = host("plain", "  http:\n  - route: [{destination: {host: plain, subset: v1}}]\n");
    let grpc = |times: u32, code: u32| {
        failing(Call::grpc("plain:7070/a.B/C"), times, &format!("grpc={code}"))
    };
    let of = |call: Call| {
        let reply = mesh.call(SHOP, &call);
        (reply.status, reply.grpc)
    };
    assert_eq!(of(failing(Call::get("plain/"), 1, "status=503")), (503, None));
    // UNAVAILABLE, CANCELLED, and INTERNAL, which is not one of them.
    assert_eq!(of(grpc(2, 14)), (200, Some(0)));
    assert_eq!(of(grpc(1, 1)), (200, Some(0)));
    assert_eq!(of(grpc(3, 14)), (200, Some(14)));
    assert_eq!(of(grpc(1, 13)), (200, Some(13)));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_timeout_of_a_virtual_service_ends_a_request_and_the_application_is_told_of_it() {
    let mesh = host(
        "timed",
        "  http:
  - timeout: 500ms
    route: [{destination: {host: timed, subset: v1}}]
",
    );
    let call = Call::get("timed/");
    check(&mesh, SHOP, &[(call.clone().which("delay=3000"), status(504))]);
    let left = mesh.call(SHOP, &call).request("x-envoy-expected-rq-timeout-ms").unwrap();
    let left: u64 = left.parse().unwrap();
    assert!((1..=500).contains(&left), "{left}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn faults_have_their_percentage_whatever_is_retried() {
    const REQUESTS: usize = 400;
    const DELAY: u64 = 300;
    let mesh = host(
        "faulty",
        "  http:
  - match: [{uri: {prefix: /half}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 50}}}
    retries: {attempts: 3, retryOn: 5xx}
    route: [{destination: {host: faulty, subset: v1}}]
  - match: [{uri: {prefix: /late}}]
    fault: {delay: {fixedDelay: 300ms, percentage: {value: 100}}}
    route: [{destination: {host: faulty, subset: v1}}]
  - fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}
    route: [{destination: {host: faulty, subset: v1}}]
",
    );
    let half = Tally::of(&mesh.calls(SHOP, &Load::times(&Call::get("faulty/half"), REQUESTS)));
    let margin = 5.0 * (REQUESTS as f64 / 4.0).sqrt();
    assert!((half.status(503) as f64 - REQUESTS as f64 / 2.0).abs() < margin, "{half:?}");
    // What was answered is what the application got: a fault is no reason to try again.
    assert_eq!((half.total(), mesh.seen(WEB_1)), (REQUESTS, half.status(200) as u64));
    let late = mesh.call(SHOP, &Call::get("faulty/late"));
    assert!(late.status == 200 && late.millis >= DELAY, "{late:?}");
    assert_eq!(mesh.call(SHOP, &Call::grpc("faulty:7070/a.B/C")).grpc, Some(14));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_mirror_gets_a_copy_with_the_body_and_its_answer_goes_nowhere() {
    let mesh = host(
        "copied",
        "  http:
  - route: [{destination: {host: copied, subset: v1}}]
    mirrors: [{destination: {host: copied, subset: v2}, percentage: {value: 100}}]
",
    );
    mesh.tell(WEB_2, "status=500");
    let call = Call::post("copied/order", "a book");
    let replies = mesh.calls(SHOP, &Load::times(&call, 20));
    Tally::of(&replies).check_shares(&[(WEB_1, 1.0)]);
    wait::until_true("the copies", || mesh.seen(WEB_2) == 20);
    let bodies = heard(&mesh, WEB_2, |request| request["body"].clone());
    assert!(bodies.iter().all(|body| body == "a book"), "{bodies:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_delegate_says_what_becomes_of_its_part() {
    let delegate = document(
        "networking.istio.io/v1",
        "VirtualService",
        "theirs",
        "  http:
  - match: [{uri: {prefix: /theirs/new}}]
    route: [{destination: {host: delegated.default.svc.cluster.local, subset: v2}}]
  - route: [{destination: {host: delegated.default.svc.cluster.local, subset: v1}}]
",
    );
    let root = virtual_service(
        "delegated",
        "  http:
  - match: [{uri: {prefix: /theirs}}]
    delegate: {name: theirs}
  - directResponse: {status: 418}
",
    );
    let mesh = mesh(&[&service("delegated"), &subsets("delegated"), &root, &delegate]);
    let call = |path: &str| Call::get(&format!("delegated{path}"));
    check(
        &mesh,
        SHOP,
        &[
            (call("/theirs/new/a"), answered(WEB_2)),
            (call("/theirs/old"), answered(WEB_1)),
            (call("/"), status(418)),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn two_virtual_services_of_one_host_hold_together() {
    let part = |name: &str, path: &str, subset: &str| {
        let spec = format!(
            "  hosts: [merged]\n  http:\n  - match: [{{uri: {{prefix: {path}}}}}]\n    route: \
             [{{destination: {{host: merged, subset: {subset}}}}}]\n"
        );
        document("networking.istio.io/v1", "VirtualService", name, &spec)
    };
    let parts = [part("merged-a", "/a", "v1"), part("merged-b", "/b", "v2")];
    let mesh = mesh(&[&service("merged"), &subsets("merged"), &parts.concat()]);
    let cases =
        [(Call::get("merged/a"), answered(WEB_1)), (Call::get("merged/b"), answered(WEB_2))];
    check(&mesh, SHOP, &cases);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn connections_are_led_by_port_and_caller() {
    let mesh = host(
        "bytes",
        "  tcp:
  - match: [{port: 9090, sourceLabels: {app: nobody}}]
    route: [{destination: {host: bytes, subset: v1}}]
  - match: [{port: 9090}]
    route: [{destination: {host: bytes, subset: v2}}]
",
    );
    for _ in 0..5 {
        assert_eq!(greeting(&mesh, "bytes"), WEB_2);
    }
}
