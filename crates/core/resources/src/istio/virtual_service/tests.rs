use std::time::Duration;

use super::*;
use crate::istio::header::{HeaderEdits, HeaderValue};
use crate::istio::tests::{clean, read, says};
use crate::istio::value::Percent;
use crate::kind::Kind;

const VIRTUAL_SERVICE: &str = "VirtualService";

/// A document with one rule for HTTP that has these fields and goes to `a`.
fn rule(fields: &str) -> String {
    format!("{{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], {fields}}}]}}")
}

/// A document with one rule for HTTP that has these fields.
fn bare(fields: &str) -> String {
    format!("{{hosts: [a], http: [{{{fields}}}]}}")
}

fn matching(fields: &str) -> String {
    rule(&format!("match: [{{{fields}}}]"))
}

fn service(spec: &str) -> VirtualService {
    match clean(VIRTUAL_SERVICE, spec) {
        Kind::VirtualService(service) => *service,
        other => panic!("not a VirtualService: {other:?}"),
    }
}

fn http(spec: &str) -> HttpRoute {
    service(spec).http.remove(0)
}

/// What is read where something is said as well.
fn warned(spec: &str) -> HttpRoute {
    match read(VIRTUAL_SERVICE, spec) {
        (Some(Kind::VirtualService(mut service)), problems) => {
            assert_ne!(problems, Vec::<String>::new(), "{spec}");
            service.http.remove(0)
        }
        other => panic!("not a VirtualService: {other:?}"),
    }
}

fn check(spec: &str, expected: &str) {
    says(VIRTUAL_SERVICE, spec, expected);
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

#[test]
fn hosts_and_gateways() {
    let service = service(
        "{hosts: [Reviews.Example., '*.a.example', 10.0.0.1], gateways: [mesh, own, other/gw], \
         exportTo: ['.'], tcp: [{route: [{destination: {host: a}}]}]}",
    );
    let hosts: Vec<&str> = service.hosts.iter().map(|host| &*host.value).collect();
    assert_eq!(hosts, ["reviews.example", "*.a.example", "10.0.0.1"]);
    let gateways: Vec<_> = service.gateways.iter().map(|one| one.value.clone()).collect();
    let named = |namespace: Option<&str>, name: &str| GatewayRef::Named {
        namespace: namespace.map(Into::into),
        name: name.into(),
    };
    assert_eq!(gateways, [GatewayRef::Mesh, named(None, "own"), named(Some("other"), "gw")]);
    assert!(service.is_for_mesh() && !service.is_delegate());
    assert!(service.export_to.is_some_and(|export| !export.reaches("a", "b")));
}

#[test]
fn what_a_route_is_for() {
    let route = "http: [{route: [{destination: {host: a}}]}]";
    assert!(service(&format!("{{hosts: [a], {route}}}")).is_for_mesh());
    assert!(!service(&format!("{{hosts: ['*'], gateways: [gw], {route}}}")).is_for_mesh());
    assert!(service(&format!("{{{route}}}")).is_delegate());
}

#[test]
fn the_old_name_of_a_gateway() {
    let spec = "{hosts: [a.example], gateways: [gw.ns.svc.cluster.local], \
                http: [{route: [{destination: {host: a}}]}]}";
    check(spec, "is the old way to name a gateway [write ns/gw]");
    let Some(Kind::VirtualService(service)) = read(VIRTUAL_SERVICE, spec).0 else { panic!() };
    let expected = GatewayRef::Named { namespace: Some("ns".into()), name: "gw".into() };
    assert_eq!(service.gateways[0].value, expected);
}

#[test]
fn impossible_documents() {
    let route = "http: [{route: [{destination: {host: a}}]}]";
    check("{hosts: [a]}", "a VirtualService needs `http`, `tls` or `tcp`");
    check("{hosts: [a], http: []}", "a VirtualService needs `http`, `tls` or `tcp`");
    check(&format!("{{hosts: ['*'], {route}}}"), "the host `*` is for gateways alone");
    check(
        &format!("{{hosts: ['*.a.example', b.a.example], {route}}}"),
        "`b.a.example` is there already as `*.a.example`",
    );
    check(
        &format!("{{hosts: [b.a.example, '*.a.example'], {route}}}"),
        "`*.a.example` is there already as `b.a.example`",
    );
    check(&format!("{{hosts: ['a*.example'], {route}}}"), "is not the name of a host");
    check(&format!("{{gateways: [a], {route}}}"), "without `hosts`, `gateways` has no meaning");
    check(&format!("{{hosts: [a], gateways: [A/b/c], {route}}}"), "does not name a gateway");
    check(&format!("{{hosts: [a], exportTo: ['~'], {route}}}"), "is for a ServiceEntry alone");
    check(
        "{http: [{delegate: {name: a}}]}",
        "a table that others delegate to cannot delegate [add `hosts`]",
    );
    check(&format!("{{hosts: [a], htp: 1, {route}}}"), "did you mean `http`?");
}

#[test]
fn conditions_on_requests() {
    let route = http(&matching(
        "name: one, uri: {prefix: ''}, ignoreUriCase: true, scheme: {exact: https}, \
         method: {regex: 'GET|PUT'}, authority: {prefix: a}, port: 8080, \
         headers: {x-a: {}, x-b: , ':path': {exact: /}}, \
         withoutHeaders: {x-c: {regex: '*'}}, queryParams: {Page: {exact: ''}}, \
         sourceLabels: {app: web}, sourceNamespace: shop, gateways: [mesh], statPrefix: s",
    ));
    let [found] = route.matches.as_slice() else { panic!("{route:?}") };
    let text = |text: &Option<Spanned<StringMatch>>| text.clone().map(|text| text.value);
    assert_eq!(text(&found.uri), Some(StringMatch::Prefix("".into())));
    assert_eq!(text(&found.scheme), Some(exact("https")));
    assert_eq!(text(&found.method), Some(StringMatch::Regex("GET|PUT".into())));
    assert_eq!(text(&found.authority), Some(StringMatch::Prefix("a".into())));
    assert!(found.ignores_uri_case);
    let named = |all: &[NamedMatch]| -> Vec<(String, ValueMatch)> {
        let pair = |one: &NamedMatch| (one.name.value.to_string(), one.condition.value.clone());
        all.iter().map(pair).collect()
    };
    let expected = [
        ("x-a", ValueMatch::Present),
        ("x-b", ValueMatch::Present),
        (":path", ValueMatch::Text(exact("/"))),
    ];
    assert_eq!(named(&found.headers), expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(named(&found.without_headers), [("x-c".to_owned(), ValueMatch::Present)]);
    assert_eq!(named(&found.query), [("Page".to_owned(), ValueMatch::Text(exact("")))]);
    let call = &found.call;
    assert_eq!(call.port.map(|port| port.value), Some(8080));
    assert_eq!(*call.source_labels, [("app".into(), "web".into())]);
    assert_eq!(call.source_namespace.as_ref().map(|one| &*one.value), Some("shop"));
    assert_eq!((call.gateways.len(), call.is_any()), (1, false));
    assert_eq!(found.stat_prefix.as_ref().map(|one| &*one.value), Some("s"));
    assert!(http(&matching("port: 0")).matches[0].call.is_any());
}

#[test]
fn claims_are_for_gateways() {
    let claim = "match: [{headers: {'@request.auth.claims.Group': {exact: a}}}]";
    let spec = |gateways: &str| {
        format!(
            "{{hosts: [a], gateways: [{gateways}], \
             http: [{{route: [{{destination: {{host: a}}}}], {claim}}}]}}"
        )
    };
    let found = http(&spec("gw"));
    assert_eq!(&*found.matches[0].headers[0].name.value, "@request.auth.claims.Group");
    check(&rule(claim), "`@request.auth.claims.Group` is for gateways alone");
    check(&spec("gw, mesh"), "`@request.auth.claims.Group` is for gateways alone");
}

#[test]
fn conditions_that_are_not_as_they_seem() {
    check(&matching("headers: {X-User: {exact: a}}"), "`X-User` as `x-user` [write x-user]");
    let route = warned(&matching("headers: {X-User: {exact: a}, uri: {exact: /}}"));
    assert_eq!(route.matches[0].headers.len(), 1);
    check(
        &matching("headers: {uri: {exact: /}}"),
        "`uri` is no header and has no effect here [write it as `uri` beside `headers`]",
    );
    check(
        &matching("uri: {regex: a}, ignoreUriCase: true"),
        "`ignoreUriCase` has no effect on a regex",
    );
}

#[test]
fn impossible_conditions() {
    check(&matching("uri: /a"), "found the text `/a` [write {exact: /a}]");
    check(&matching("uri: {}"), "one of `exact`, `prefix` and `regex` is required");
    check(
        &matching("uri: {exact: /a, prefix: /}"),
        "`exact`, `prefix` and `regex` exclude each other [keep one of them]",
    );
    check(&matching("uri: {regex: ''}"), "the pattern must not be empty");
    check(&matching("method: {prefix: ''}"), "the prefix must not be empty");
    check(&matching("headers: {a: {prefix: ''}}"), "the prefix must not be empty");
    check(&matching("headers: {'a b': {}}"), "`a b` is not the name of a header");
    check(&matching("headers: {x-a: {}, X-A: {}}"), "`x-a` is there already in another case");
    check(&matching("port: http"), "expected a whole number, found the text `http`");
    check(&matching("port: '80'"), "write 80 without quotes");
    check(&matching("port: 70000"), "70000 is out of range");
    check(&matching("sourceNamespace: a.b"), "`a.b` is not the name of a namespace");
    check(&matching("header: {}"), "did you mean `headers`?");
}

#[test]
fn destinations_and_their_shares() {
    let weights = |route: &str| -> Vec<u32> {
        match http(&bare(&format!("route: [{route}]"))).action {
            HttpAction::Route(all) => all.iter().map(|one| one.weight).collect(),
            other => panic!("{other:?}"),
        }
    };
    let to = |host: &str, rest: &str| format!("{{destination: {{host: {host}}}{rest}}}");
    assert_eq!(weights(&to("a", "")), [1]);
    assert_eq!(weights(&to("a", ", weight: 0")), [1]);
    assert_eq!(weights(&to("a", ", weight: 100")), [100]);
    let both = format!("{}, {}", to("a", ", weight: 75"), to("b", ", weight: 25"));
    assert_eq!(weights(&both), [75, 25]);
    let one = format!("{}, {}", to("a", ", weight: 3"), to("b", ""));
    assert_eq!(weights(&one), [3, 0]);
    let full = "destination: {host: B.Example, subset: v2, port: {number: 8080}}";
    let HttpAction::Route(found) = http(&bare(&format!("route: [{{{full}}}]"))).action else {
        panic!("no route")
    };
    let destination = &found[0].destination;
    assert_eq!(&*destination.host.value, "b.example");
    assert_eq!(destination.subset.as_ref().map(|subset| &*subset.value), Some("v2"));
    assert_eq!(destination.port.map(|port| port.value), Some(8080));
}

#[test]
fn impossible_destinations() {
    let route = |route: &str| bare(&format!("route: [{route}]"));
    check(&route(""), "a route needs at least one destination");
    check(&route("{weight: 1}"), "the field `destination` is required");
    check(&route("{destination: {}}"), "the field `host` is required");
    check(&route("{destination: {host: '*'}}"), "is no host that calls can be sent to");
    check(&route("{destination: {host: a, subset: a.b}}"), "is not the name of a subset");
    check(&route("{destination: {host: a}, weight: -1}"), "-1 is out of range");
    check(&route("{destination: {host: a}, weight: '50'}"), "write 50 without quotes");
    check(
        &route("{destination: {host: a}}, {destination: {host: b}}"),
        "of several destinations none has a weight [give each its `weight`]",
    );
    check(
        &route("{destination: {host: a, port: 8080}}"),
        "expected a map, found the number `8080` [write {number: 8080}]",
    );
    check(
        &route("{destination: {host: a, port: {name: http}}}"),
        "ports are not found by name here",
    );
    check(
        &route("{destination: {host: a, port: http}}"),
        "write {number: N}: ports are not found by name here",
    );
}

#[test]
fn one_thing_becomes_of_requests() {
    let one = "one of `route`, `redirect`, `directResponse` and `delegate` is required";
    check(&bare("name: a"), one);
    check(&bare("route: "), one);
    check(
        &rule("redirect: {uri: /}, directResponse: {status: 200}"),
        "`route`, `redirect` and `directResponse` exclude each other",
    );
    check(&rule("delegate: {name: b}"), "`route` and `delegate` exclude each other");
    check(
        &bare("redirect: {uri: /}, rewrite: {uri: /b}"),
        "`redirect` and `rewrite` exclude each other",
    );
    check(
        &bare("directResponse: {status: 200}, fault: {abort: {httpStatus: 500}}"),
        "`directResponse` and `fault` exclude each other",
    );
}

#[test]
fn redirects() {
    let redirect = |fields: &str| match http(&bare(&format!("redirect: {{{fields}}}"))).action {
        HttpAction::Redirect(redirect) => redirect.value,
        other => panic!("{other:?}"),
    };
    let found = redirect("uri: /b, authority: b.example, port: 8443, scheme: https");
    let path = found.path.map(|path| path.value);
    assert_eq!(path, Some(RedirectPath::Full("/b".into())));
    assert_eq!(found.authority.map(|one| one.value).as_deref(), Some("b.example"));
    assert_eq!(found.port.map(|port| port.value), Some(RedirectPort::Number(8443)));
    assert_eq!(found.scheme.map(|one| one.value), Some(RedirectScheme::Https));
    assert_eq!(found.status, 301);
    let derived = redirect("derivePort: FROM_REQUEST_PORT, redirectCode: 307");
    assert_eq!(derived.port.map(|port| port.value), Some(RedirectPort::OfRequest));
    assert_eq!((derived.status, redirect("scheme: http, redirectCode: 0").status), (307, 301));
    let prefix = redirect("prefixRewrite: /c").path.map(|path| path.value);
    assert_eq!(prefix, Some(RedirectPath::Prefix("/c".into())));
}

#[test]
fn impossible_redirects() {
    let redirect = |fields: &str| bare(&format!("redirect: {{{fields}}}"));
    check(&redirect(""), "a redirect needs a path, an authority, a port or a scheme");
    check(&redirect("redirectCode: 302"), "a redirect needs a path");
    check(&redirect("uri: /, redirectCode: 200"), "200 is not the status of a redirect");
    check(&redirect("uri: /, redirectCode: 304"), "304 is not the status of a redirect");
    check(&redirect("uri: /, prefixRewrite: /"), "`uri` and `prefixRewrite` exclude each other");
    check(
        &redirect("port: 80, derivePort: FROM_REQUEST_PORT"),
        "`port` and `derivePort` exclude each other",
    );
    check(&redirect("scheme: ftp"), "`ftp` is not a value of this field");
    check(
        &bare("match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}"),
        "`prefixRewrite` needs conditions on the prefix of the path",
    );
}

#[test]
fn direct_responses() {
    let direct = |fields: &str| match http(&bare(&format!("directResponse: {{{fields}}}"))).action {
        HttpAction::Respond(direct) => direct.value,
        other => panic!("{other:?}"),
    };
    let body = |fields: &str| direct(&format!("status: 503, body: {{{fields}}}")).body.to_vec();
    assert_eq!(direct("status: 503").status, 503);
    assert_eq!(body(""), b"");
    assert_eq!(body("string: 'no'"), b"no");
    for text in ["/+4=", "/+4", "_-4=", "_-4"] {
        assert_eq!(body(&format!("bytes: '{text}'")), [0xff, 0xee], "{text}");
    }
    let wrong = |fields: &str| bare(&format!("directResponse: {{{fields}}}"));
    check(&wrong(""), "the field `status` is required");
    check(&wrong("status: 100"), "100 is out of range: must be between 200 and 599");
    check(&wrong("status: 200, body: {bytes: '!'}"), "the text is not base64");
    check(&wrong("status: 200, body: {string: a, bytes: ''}"), "exclude each other");
    let long = "x".repeat(1024 * 1024 + 1);
    check(&wrong(&format!("status: 200, body: {{string: {long}}}")), "at most 1 MiB fits");
}

#[test]
fn delegates() {
    let HttpAction::Delegate(found) = http(&bare("delegate: {name: b, namespace: c}")).action
    else {
        panic!("no delegate")
    };
    let expected = Delegate { name: "b".into(), namespace: Some("c".into()) };
    assert_eq!(found.value, expected);
    check(&bare("delegate: {namespace: c}"), "the field `name` is required");
}

#[test]
fn rewrites() {
    let rewrite = |fields: &str| http(&rule(&format!("rewrite: {{{fields}}}"))).rewrite.unwrap();
    let found = rewrite("uri: /b, authority: c.example").value;
    assert_eq!(found.path.map(|path| path.value), Some(PathRewrite::Replace("/b".into())));
    assert_eq!(found.authority.map(|one| one.value).as_deref(), Some("c.example"));
    let found = rewrite("uriRegexRewrite: {match: '^/(.)', rewrite: '/\\1'}").value;
    let Some(PathRewrite::Regex { pattern, substitution }) = found.path.map(|path| path.value)
    else {
        panic!("no pattern")
    };
    assert_eq!((&*pattern.value, &*substitution.value), ("^/(.)", "/\\1"));
    check(&rule("rewrite: {}"), "a rewrite needs `uri`, `uriRegexRewrite` or `authority`");
    check(
        &rule("rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}"),
        "`uri` and `uriRegexRewrite` exclude each other",
    );
    check(&rule("rewrite: {uriRegexRewrite: {match: a}}"), "the field `rewrite` is required");
    check(
        &rule("rewrite: {authority: a}, headers: {request: {set: {Host: b}}}"),
        "the authority is set twice, here to `b`",
    );
}

#[test]
fn headers_of_rules_and_destinations() {
    let edits = "headers: {request: {set: {X-A: '1', ':authority': b}, add: {x-b: }, \
                 remove: [X-C]}, response: {set: {x-d: '%PROTOCOL%'}}}";
    let route = http(&bare(&format!("route: [{{destination: {{host: a}}, {edits}}}], {edits}")));
    let HttpAction::Route(destinations) = &route.action else { panic!("{route:?}") };
    let shown = |edits: &HeaderEdits| -> Vec<(String, String)> {
        let ops = [&edits.request, &edits.response];
        let pair = |one: &HeaderValue| (one.name.value.to_string(), one.value.to_string());
        ops.iter().flat_map(|ops| ops.set.iter().chain(&ops.add)).map(pair).collect()
    };
    let expected = [("x-a", "1"), ("host", "b"), ("x-b", ""), ("x-d", "%PROTOCOL%")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for edits in [&route.headers, &destinations[0].headers] {
        assert_eq!(shown(edits), expected);
        assert_eq!(&*edits.request.remove[0].value, "x-c");
        assert_eq!(edits.request.authority().map(|one| &*one.value), Some("b"));
        assert!(!edits.is_empty());
    }
    let check = |ops: &str, expected: &str| check(&rule(&format!("headers: {{{ops}}}")), expected);
    check("request: {set: {':path': /}}", "`:path` is not the name of a header");
    check("request: {remove: [host]}", "`host` is not the name of a header that can be changed");
    check("response: {set: {host: a}}", "`host` is not the name of a header");
    check("request: {set: {x-a: 1}}", "expected text, found the number `1` [write \"1\"]");
    check("request: {set: {x-a: \"a\\nb\"}}", "a header's value has no control characters");
    check("request: {set: {host: a, ':authority': b}}", "the authority is set more than once");
}

#[test]
fn timeouts_and_durations() {
    let timeout = |text: &str| {
        http(&rule(&format!("timeout: {text}"))).timeout.map(|one| one.value.as_millis())
    };
    assert_eq!(timeout("5s"), Some(5000));
    assert_eq!(timeout("1m30s"), Some(90_000));
    assert_eq!(timeout("0.25s"), Some(250));
    assert_eq!(timeout("1ms"), Some(1));
    assert_eq!(timeout("~"), None);
    for (text, expected) in [
        ("5", "`5` is not a duration [write 5s]"),
        ("'5'", "`5` is not a duration [write 5s]"),
        ("5d", "`5d` is not a duration [write a duration such as"),
        ("0s", "the duration is shorter than 1ms"),
        ("-1s", "`-1s` is not a duration"),
        ("1500us", "a duration has whole milliseconds"),
        ("{seconds: 5}", "expected a duration, found a map"),
    ] {
        check(&rule(&format!("timeout: {text}")), expected);
    }
}

#[test]
fn retries() {
    let retries = |fields: &str| http(&rule(&format!("retries: {{{fields}}}"))).retries.unwrap();
    let found = retries(
        "attempts: 3, perTryTimeout: 2s, retryOn: '5xx, reset,503,,503', \
         retryRemoteLocalities: true, retryIgnorePreviousHosts: false, backoff: 50ms",
    );
    assert_eq!(found.attempts, 3);
    assert_eq!(found.per_try_timeout.map(|one| one.value), Some(Duration::from_secs(2)));
    let expected =
        [RetryCondition::ServerError, RetryCondition::Reset, RetryCondition::Status(503)];
    assert_eq!(found.conditions(), expected);
    assert_eq!(found.remote_localities.map(|one| one.value), Some(true));
    assert_eq!(found.ignore_previous_hosts.map(|one| one.value), Some(false));
    assert_eq!(found.backoff.map(|one| one.value), Some(Duration::from_millis(50)));
    assert_eq!(retries("attempts: 2").conditions(), DEFAULT_RETRY_ON);
    assert_eq!(retries("attempts: 2, retryOn: ''").conditions(), DEFAULT_RETRY_ON);
    assert_eq!(retries("attempts: 0").attempts, 0);
    assert_eq!(retries("").attempts, 0);
    // One status is a number to YAML.
    assert_eq!(retries("attempts: 1, retryOn: 503").conditions(), [RetryCondition::Status(503)]);
    let default: Vec<String> = DEFAULT_RETRY_ON.iter().map(ToString::to_string).collect();
    assert_eq!(default.join(","), "connect-failure,refused-stream,unavailable,cancelled");
}

#[test]
fn every_word_for_a_retry_is_read_back() {
    let words = "5xx,gateway-error,reset,reset-before-request,connect-failure,envoy-ratelimited,\
                 retriable-4xx,refused-stream,retriable-status-codes,retriable-headers,\
                 http3-post-connect-failure,cancelled,deadline-exceeded,internal,\
                 resource-exhausted,unavailable,429";
    let route = http(&rule(&format!("retries: {{attempts: 1, retryOn: '{words}'}}")));
    let found: Vec<String> =
        route.retries.unwrap().conditions().iter().map(ToString::to_string).collect();
    assert_eq!(found.join(","), words);
}

#[test]
fn impossible_retries() {
    let retries = |fields: &str| rule(&format!("retries: {{{fields}}}"));
    check(&retries("attempts: -1"), "-1 is out of range");
    check(
        &retries("perTryTimeout: 2s"),
        "without `attempts` nothing is sent again [write `attempts` with at least 1]",
    );
    check(&retries("attempts: 0, retryOn: 5xx"), "without `attempts` nothing is sent again");
    check(
        &retries("attempts: 1, retryOn: connect-failures"),
        "`connect-failures` is not a reason to send again [did you mean `connect-failure`?]",
    );
    check(&retries("attempts: 1, retryOn: '5xx,99'"), "`99` is not a reason to send again");
    check(&retries("attempts: 1, retry_on: 5xx"), "unknown field `retry_on`");
}

#[test]
fn faults() {
    let fault = |fields: &str| http(&rule(&format!("fault: {{{fields}}}"))).fault.unwrap().value;
    let found = fault(
        "delay: {fixedDelay: 5s, percentage: {value: 0.1}}, \
         abort: {httpStatus: 400, percentage: {value: 50}}",
    );
    let delay = Delay { duration: Duration::from_secs(5), percent: Percent::new(0.1).unwrap() };
    assert_eq!(found.delay.map(|delay| delay.value), Some(delay));
    let abort = Abort { status: AbortStatus::Http(400), percent: Percent::new(50.0).unwrap() };
    assert_eq!(found.abort.map(|abort| abort.value), Some(abort));
    let grpc = fault("abort: {grpcStatus: UNAVAILABLE, percentage: {value: 1}}").abort.unwrap();
    assert_eq!(grpc.status, AbortStatus::Grpc(14));
    let old = warned(&rule("fault: {delay: {fixedDelay: 1s, percent: 20}}")).fault.unwrap();
    assert_eq!(old.value.delay.unwrap().percent, Percent::new(20.0).unwrap());
    let none = warned(&rule("fault: {abort: {httpStatus: 500}}")).fault.unwrap();
    assert_eq!(none.value.abort.unwrap().percent, Percent::NONE);
}

#[test]
fn impossible_faults() {
    let fault = |fields: &str| rule(&format!("fault: {{{fields}}}"));
    let abort = |fields: &str| fault(&format!("abort: {{{fields}}}"));
    let delay = |fields: &str| fault(&format!("delay: {{{fields}}}"));
    check(&fault(""), "a fault needs `delay` or `abort`");
    check(&abort("httpStatus: 500"), "warning: spec.http[0].fault.abort: without `percentage`");
    check(&abort("percentage: {value: 1}"), "an abort without a status has no effect");
    check(&abort("httpStatus: 600"), "600 is out of range");
    check(&abort("httpStatus: 500, grpcStatus: OK"), "exclude each other");
    check(&abort("grpcStatus: '14'"), "`14` is not a value of this field");
    check(&abort("http2Error: a"), "`http2Error` is not supported");
    check(&abort("httpStatus: 500, percentage: {value: 101}"), "101 is out of range");
    check(&abort("httpStatus: 500, percentage: 5"), "[write {value: 5}]");
    check(&delay("percentage: {value: 1}"), "the field `fixedDelay` is required");
    check(&delay("exponentialDelay: 1s"), "`exponentialDelay` is not supported");
    check(&delay("fixedDelay: 1s, percent: 5"), "`percent` is the old name of `percentage`");
}

#[test]
fn mirrors() {
    let shares = |mirrors: &[Mirror]| -> Vec<(String, f64)> {
        let pair = |one: &Mirror| (one.destination.host.value.to_string(), one.percent.value());
        mirrors.iter().map(pair).collect()
    };
    let pair = |host: &str, share: f64| (host.to_owned(), share);
    let several = "mirrors: [{destination: {host: b}}, \
                   {destination: {host: c}, percentage: {value: 2.5}}]";
    assert_eq!(shares(&http(&rule(several)).mirrors), [pair("b", 100.0), pair("c", 2.5)]);
    assert_eq!(shares(&http(&rule("mirror: {host: b}")).mirrors), [pair("b", 100.0)]);
    let newest = "mirror: {host: b}, mirrorPercentage: {value: 10}";
    assert_eq!(shares(&http(&rule(newest)).mirrors), [pair("b", 10.0)]);
    for old in ["mirrorPercent", "mirror_percent"] {
        let spec = rule(&format!("mirror: {{host: b}}, {old}: 20"));
        assert_eq!(shares(&warned(&spec).mirrors), [pair("b", 20.0)]);
        let both = rule(&format!("mirror: {{host: b}}, mirrorPercentage: {{value: 5}}, {old}: 20"));
        assert_eq!(shares(&warned(&both).mirrors), [pair("b", 5.0)]);
    }
    check(&rule("mirror: {host: b}, mirrors: [{destination: {host: c}}]"), "exclude each other");
    check(&rule("mirrorPercentage: {value: 5}"), "without `mirror` its percentage has no effect");
    check(&rule("mirrors: [{}]"), "the field `destination` is required");
}

#[test]
fn cors() {
    let cors = |fields: &str| http(&rule(&format!("corsPolicy: {{{fields}}}"))).cors.unwrap().value;
    let found = cors(
        "allowOrigins: [{exact: '*'}, {regex: 'https://.*'}], allowMethods: [GET], \
         allowHeaders: [X-A, '*'], exposeHeaders: [X-B], maxAge: 24h, allowCredentials: false, \
         unmatchedPreflights: IGNORE",
    );
    let origins: Vec<_> = found.allow_origins.iter().map(|one| one.value.clone()).collect();
    assert_eq!(origins, [exact("*"), StringMatch::Regex("https://.*".into())]);
    assert_eq!(found.allow_methods, ["GET".into()]);
    assert_eq!(found.allow_headers, ["X-A".into(), "*".into()]);
    assert_eq!(found.expose_headers, ["X-B".into()]);
    assert_eq!(found.max_age.map(|age| age.value.as_secs()), Some(86_400));
    assert_eq!(found.allow_credentials, Some(false));
    assert_eq!(found.unmatched_preflights, UnmatchedPreflights::Answer);
    let default = cors("");
    assert_eq!(default.unmatched_preflights, UnmatchedPreflights::Forward);
    assert_eq!((default.allow_credentials, default.max_age), (None, None));
    let old = warned(&rule("corsPolicy: {allowOrigin: [https://a.example]}")).cors.unwrap();
    assert_eq!(old.value.allow_origins[0].value, exact("https://a.example"));
    let wrong = |fields: &str| rule(&format!("corsPolicy: {{{fields}}}"));
    check(&wrong("allowOrigins: [{exact: ''}]"), "an origin must not be empty");
    check(&wrong("allowOrigins: [a]"), "[write {exact: a}]");
    check(&wrong("allowMethods: [get]"), "did you mean `GET`?");
    check(&wrong("allowHeaders: ['a b']"), "`a b` is not the name of a header");
    check(&wrong("maxAge: 1500ms"), "`maxAge` has whole seconds");
}

#[test]
fn rules_for_tls() {
    let service = service(
        "{hosts: [a.example, '*.b.example'], tls: [{match: [{sniHosts: [A.example, \
         c.b.example], port: 443, destinationSubnets: [10.0.0.0/8], sourceLabels: {app: web}}], \
         route: [{destination: {host: d}}]}]}",
    );
    let [route] = service.tls.as_slice() else { panic!("{service:?}") };
    let names: Vec<&str> = route.matches[0].sni_hosts.iter().map(|one| &*one.value).collect();
    assert_eq!(names, ["a.example", "c.b.example"]);
    let l4 = &route.matches[0].l4;
    assert_eq!(l4.destination_subnets[0].value, "10.0.0.0/8".parse().unwrap());
    assert_eq!(l4.call.port.map(|port| port.value), Some(443));
    assert_eq!(route.destinations[0].weight, 1);
    let tls = |fields: &str| format!("{{hosts: [a.example], tls: [{{{fields}}}]}}");
    let route = "route: [{destination: {host: d}}]";
    check(&tls(route), "a rule for TLS needs `match` with `sniHosts`");
    check(&tls(&format!("{route}, match: [{{port: 1}}]")), "needs at least one name");
    check(
        &tls(&format!("{route}, match: [{{sniHosts: [b.example]}}]")),
        "`b.example` is none of the `hosts` [write it under `hosts` as well]",
    );
    check(&tls("match: [{sniHosts: [a.example]}]"), "the field `route` is required");
    check(
        &tls(&format!("{route}, match: [{{sniHosts: [a.example], sourceSubnet: 10.0.0.0/8}}]")),
        "unknown field `sourceSubnet`",
    );
}

#[test]
fn rules_for_tcp() {
    let service = service(
        "{hosts: [a], tcp: [{match: [{port: 27017, sourceSubnet: 10.1.2.3/8}], \
         route: [{destination: {host: b}, weight: 1}, {destination: {host: c}, weight: 3}]}, \
         {route: [{destination: {host: d}}]}]}",
    );
    let [first, second] = service.tcp.as_slice() else { panic!("{service:?}") };
    let subnet = first.matches[0].source_subnet.map(|subnet| subnet.value);
    assert_eq!(subnet, Some("10.0.0.0/8".parse().unwrap()));
    let weights: Vec<u32> = first.destinations.iter().map(|one| one.weight).collect();
    assert_eq!((weights, second.matches.len()), (vec![1, 3], 0));
    let tcp = |fields: &str| format!("{{hosts: [a], tcp: [{{{fields}}}]}}");
    check(&tcp("match: [{port: 1}]"), "the field `route` is required");
    check(&tcp("route: []"), "a route needs at least one destination");
    check(&tcp("route: [{destination: {host: b}, headers: {}}]"), "unknown field `headers`");
    check(
        &tcp("match: [{destinationSubnets: [a]}], route: [{destination: {host: b}}]"),
        "`a` is not an address or address range",
    );
}

#[test]
fn places_are_those_of_the_values() {
    let spec = "\n  hosts: [a]\n  http:\n  - match:\n    - uri: {regex: '('}\n    \
                retries:\n      attempts: 2\n    route:\n    - destination: {host: b, subset: v2}";
    let route = http(spec);
    assert_eq!(
        route.matches[0].uri.as_ref().map(|uri| (uri.at.line, uri.at.column)),
        Some((8, 12))
    );
    assert_eq!(route.retries.as_ref().map(|one| (one.at.line, one.at.column)), Some((9, 5)));
    let HttpAction::Route(all) = &route.action else { panic!("{route:?}") };
    let subset = all[0].destination.subset.as_ref().map(|one| (one.at.line, one.at.column));
    assert_eq!(subset, Some((12, 38)));
}

/// The sample of a document in `seeds` (S1), with its indentation restored.
#[test]
fn a_subset_with_retries() {
    let spec = "\n  hosts:\n  - payment-service\n  http:\n  - route:\n    - destination:\n        \
                host: payment-service\n        subset: v2\n    retries:\n      attempts: 3\n      \
                perTryTimeout: 2s";
    let route = http(spec);
    let retries = route.retries.unwrap();
    assert_eq!((retries.attempts, retries.conditions()), (3, DEFAULT_RETRY_ON));
}
