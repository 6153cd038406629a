//! Filters, timeouts, retries and sessions.

use std::time::Duration;

use weft_model::policy::{HeaderEdits, PathRewrite, Redirect, Rewrite, StepKind};
use weft_model::route::{Affinity, SessionHeader, Target, Word};

use super::{ask, assert_reported, clean, find, http_route, plain_gateway, steps, words, world};

fn with(filters: &str) -> String {
    http_route(&format!(
        "  - matches: [{{path: {{value: /p}}}}]
    filters: [{filters}]
    backendRefs: [{{name: v1, port: 8080}}]
"
    ))
}

fn one_step(filters: &str) -> StepKind {
    let world = clean(&[&plain_gateway(), &with(filters)]);
    let mut steps = steps(&world, "GET h/p");
    assert_eq!(steps.len(), 1, "{filters}");
    steps.remove(0)
}

/// HTTPRouteRequestHeaderModifier, HTTPRouteResponseHeaderModifier
#[test]
fn header_modifiers() {
    let edits = |set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]| {
        let name = |name: &str| weft_message::FieldName::new(name).unwrap();
        HeaderEdits {
            set: set.iter().map(|(key, value)| (name(key), (*value).into())).collect(),
            add: add.iter().map(|(key, value)| (name(key), (*value).into())).collect(),
            remove: remove.iter().map(|key| name(key)).collect(),
            ..HeaderEdits::default()
        }
    };
    let expected = edits(&[("X-Set", "a")], &[("X-Add", "b")], &["X-Gone"]);
    let body = "{set: [{name: X-Set, value: a}], add: [{name: X-Add, value: b}], remove: [X-Gone]}";
    let step = one_step(&format!("{{type: RequestHeaderModifier, requestHeaderModifier: {body}}}"));
    assert_eq!(step, StepKind::RequestHeaders(expected.clone()));
    let step =
        one_step(&format!("{{type: ResponseHeaderModifier, responseHeaderModifier: {body}}}"));
    assert_eq!(step, StepKind::ResponseHeaders(expected));
}

#[test]
fn headers_of_the_connection_cannot_be_modified() {
    let names = [
        "Host",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "HTTP2-Settings",
    ];
    let kinds = [
        ("RequestHeaderModifier", "requestHeaderModifier"),
        ("ResponseHeaderModifier", "responseHeaderModifier"),
    ];
    for name in names {
        let bodies = [
            format!("{{set: [{{name: {name}, value: a}}]}}"),
            format!("{{add: [{{name: {name}, value: a}}]}}"),
            format!("{{remove: [{name}]}}"),
        ];
        for ((kind, field), body) in
            kinds.iter().flat_map(|kind| bodies.iter().map(move |body| (kind, body)))
        {
            let filter = format!("{{type: {kind}, {field}: {body}}}");
            let world = world(&[&plain_gateway(), &with(&filter)]);
            assert_reported(&world, &format!("the header `{name}` cannot be changed by a filter"));
            assert_eq!(ask(&world, 80, "GET h/p"), "503", "{filter}");
        }
    }
}

/// HTTPRouteRedirect*, HTTPRoute303Redirect and its like
#[test]
fn redirects() {
    let plain = Redirect { scheme: None, host: None, port: None, path: None, status: 302 };
    let check = |body: &str, expected: Redirect| {
        let step = one_step(&format!("{{type: RequestRedirect, requestRedirect: {{{body}}}}}"));
        assert_eq!(step, StepKind::Redirect(expected), "{body}");
    };
    check("hostname: example.org", Redirect { host: Some("example.org".into()), ..plain.clone() });
    check("scheme: https", Redirect { scheme: Some("https".into()), ..plain.clone() });
    check("port: 8083", Redirect { port: Some(8083), ..plain.clone() });
    for status in [301, 302, 303, 307, 308] {
        check(&format!("statusCode: {status}"), Redirect { status, ..plain.clone() });
    }
    check(
        "path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}",
        Redirect {
            path: Some(PathRewrite::Prefix { matched: "/p".into(), replacement: "/new".into() }),
            ..plain.clone()
        },
    );
    check(
        "path: {type: ReplaceFullPath, replaceFullPath: /all}",
        Redirect { path: Some(PathRewrite::Full("/all".into())), ..plain },
    );
}

/// A redirect needs no backend.
#[test]
fn redirects_need_no_backend() {
    clean(&[
        &plain_gateway(),
        &http_route("  - filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]\n"),
    ]);
}

/// HTTPRouteRewriteHost, HTTPRouteRewritePath
#[test]
fn rewrites() {
    let check = |body: &str, expected: Rewrite| {
        let step = one_step(&format!("{{type: URLRewrite, urlRewrite: {{{body}}}}}"));
        assert_eq!(step, StepKind::Rewrite(expected), "{body}");
    };
    let prefix = |replacement: &str| Rewrite {
        host: None,
        path: Some(PathRewrite::Prefix { matched: "/p".into(), replacement: replacement.into() }),
    };
    check(
        "hostname: one.example.org",
        Rewrite { host: Some("one.example.org".into()), path: None },
    );
    check("path: {type: ReplacePrefixMatch, replacePrefixMatch: /one}", prefix("/one"));
    check("path: {type: ReplacePrefixMatch, replacePrefixMatch: /}", prefix("/"));
    check("path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}", prefix("/"));
    check(
        "path: {type: ReplaceFullPath, replaceFullPath: /one}",
        Rewrite { host: None, path: Some(PathRewrite::Full("/one".into())) },
    );
}

#[test]
fn each_match_has_its_own_prefix() {
    let rule = "  - matches: [{path: {value: /a}}, {path: {value: /b}}]
    filters:
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}
    backendRefs: [{name: v1, port: 8080}]
";
    let world = clean(&[&plain_gateway(), &http_route(rule)]);
    for (line, prefix) in [("GET h/a", "/a"), ("GET h/b", "/b")] {
        let found = steps(&world, line);
        let [StepKind::Rewrite(rewrite)] = &found[..] else { panic!("no rewrite for {line}") };
        let Some(PathRewrite::Prefix { matched, .. }) = &rewrite.path else { panic!("no prefix") };
        assert_eq!(&**matched, prefix);
    }
}

#[test]
fn a_prefix_cannot_be_replaced_where_none_is_matched() {
    let rule = "  - matches: [{path: {type: Exact, value: /a}}]
    filters:
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}
    backendRefs: [{name: v1, port: 8080}]
";
    let world = world(&[&plain_gateway(), &http_route(rule)]);
    assert_eq!(ask(&world, 80, "GET h/a"), "503");
    assert_reported(&world, "ReplacePrefixMatch needs a match of type PathPrefix");
}

/// HTTPRouteRequestMirror, ...MultipleMirrors, ...PercentageMirror
#[test]
fn mirrors() {
    let filters = "{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 8080}}}, \
                   {type: RequestMirror, requestMirror: {backendRef: {name: v3, port: 8080}, percent: 20}}";
    let world = clean(&[&plain_gateway(), &with(filters)]);
    let shares: Vec<(u32, String)> = steps(&world, "GET h/p")
        .into_iter()
        .filter_map(|step| match step {
            StepKind::Mirror { parts_per_million, backend, compared: _ } => {
                Some((parts_per_million, backend.to_string()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(shares, [(1_000_000, "infra/v2:8080".into()), (200_000, "infra/v3:8080".into())]);

    let lost = "{type: RequestMirror, requestMirror: {backendRef: {name: nobody, port: 8080}}}";
    let world = super::world(&[&plain_gateway(), &with(lost)]);
    assert_eq!(ask(&world, 80, "GET h/p"), "v1", "the original is served all the same");
    assert_reported(&world, "nothing is mirrored");
}

/// HTTPRouteCORS
#[test]
fn cors() {
    let body = "allowOrigins: ['https://www.foo.com:443', 'https://*.bar.com', 'http://a*b.com'], \
                allowMethods: [GET], allowHeaders: [x-a], exposeHeaders: [x-b], \
                allowCredentials: true, maxAge: 3600";
    let StepKind::Cors(cors) = one_step(&format!("{{type: CORS, cors: {{{body}}}}}")) else {
        panic!("not cross-origin rules")
    };
    assert_eq!(cors.allow_origins, ["https://www.foo.com".into(), "https://*.bar.com".into()]);
    let pattern = &cors.allow_origin_patterns[0];
    assert!(pattern.is_match("http://a-x.y.b.com") && !pattern.is_match("http://a/b.com"));
    assert!(cors.allow_credentials);
    assert_eq!(cors.max_age_secs, Some(3600));
    let StepKind::Cors(cors) = one_step("{type: CORS, cors: {allowOrigins: ['*']}}") else {
        panic!("not cross-origin rules")
    };
    assert_eq!((cors.max_age_secs, &*cors.allow_origins), (Some(5), &["*".into()][..]));
}

#[test]
fn filters_keep_their_order() {
    let world = clean(&[
        &plain_gateway(),
        &with(
            "{type: CORS, cors: {allowOrigins: ['*']}}, \
             {type: URLRewrite, urlRewrite: {hostname: a.example}}, \
             {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [server]}}",
        ),
    ]);
    assert!(matches!(
        &steps(&world, "GET h/p")[..],
        [StepKind::Cors(_), StepKind::Rewrite(_), StepKind::ResponseHeaders(_)]
    ));
}

/// HTTPRouteBackendRequestHeaderModification, HTTPRouteBackendURLRewrite,
/// HTTPRouteBackendRequestRedirect
#[test]
fn filters_of_backends() {
    let rule = "  - matches: [{path: {value: /p}}]
    backendRefs:
    - name: v1
      port: 8080
      filters:
      - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}}}
    - {name: v2, port: 8080}
";
    let world = clean(&[&plain_gateway(), &http_route(rule)]);
    let route = find(&world, 80, false, "GET h/p").unwrap();
    assert_eq!(words(&route.target), "v1:1 v2:1");
    let Target::Weighted(weighted) = &route.target else { panic!("not weighted") };
    let kinds: Vec<usize> = weighted.choices.iter().map(|choice| choice.steps.len()).collect();
    assert_eq!(kinds, [1, 0]);
}

#[test]
fn what_cannot_be_enforced_is_not_served() {
    let check = |filter: &str, reason: &str| {
        let world = world(&[&plain_gateway(), &with(filter)]);
        assert_eq!(ask(&world, 80, "GET h/p"), "503", "{filter}");
        assert_reported(&world, reason);
    };
    check(
        "{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: v2, port: 1}}}",
        "ExternalAuth is not supported",
    );
    check(
        "{type: ExtensionRef, extensionRef: {group: example.com, kind: Guard, name: g}}",
        "a filter cannot refer to a Guard",
    );
    check(
        "{type: ExtensionRef, extensionRef: {group: traefik.io, kind: Middleware, name: g}}",
        "Middleware `infra/g` is not found",
    );
    check(
        "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: a}]}}",
        "use URLRewrite with `hostname`",
    );
}

#[test]
fn a_traefik_middleware_is_an_extension() {
    let middleware = "apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: m, namespace: infra}
spec: {addPrefix: {prefix: /x}}
---
";
    let filter =
        "{type: ExtensionRef, extensionRef: {group: traefik.io, kind: Middleware, name: m}}";
    let world = clean(&[middleware, &plain_gateway(), &with(filter)]);
    assert_eq!(steps(&world, "GET h/p"), [StepKind::AddPrefix("/x".into())]);
}

/// HTTPRouteTimeoutRequest, HTTPRouteTimeoutBackendRequest, HTTPRouteRetry
#[test]
fn timeouts_and_retries() {
    let rule = "  - backendRefs: [{name: v1, port: 8080}]
    timeouts: {request: 10s, backendRequest: 500ms}
    retry: {attempts: 2, codes: [500, 503], backoff: 100ms}
";
    let world = clean(&[&plain_gateway(), &http_route(rule)]);
    let timeouts = &find(&world, 80, false, "GET h/").unwrap().timeouts;
    assert_eq!(timeouts.request, Some(Duration::from_secs(10)));
    assert_eq!(timeouts.attempt, Some(Duration::from_millis(500)));
    let retry = timeouts.retry.as_ref().unwrap();
    assert_eq!(retry.attempts, 3, "two after the first");
    assert_eq!(retry.statuses, [(500, 500), (503, 503)]);
    assert_eq!(retry.backoff.interval_min, Duration::from_millis(100), "no wait is shorter");
    assert_eq!(retry.backoff.initial_interval, Duration::from_millis(150));
    assert!(retry.on_network_error);
}

#[test]
fn sessions_are_cookies() {
    let rule = "  - backendRefs: [{name: v1, port: 8080}]
    sessionPersistence:
      absoluteTimeout: 1h
      cookie: {name: session, lifetimeType: Permanent}
";
    let world = clean(&[&plain_gateway(), &http_route(rule)]);
    let cookie = |affinity: &Option<Affinity>| affinity.as_ref().unwrap().cookie().unwrap().clone();
    let sticky = cookie(&super::only_backend(&world).calling.sticky);
    assert_eq!((&*sticky.name, &*sticky.path, sticky.max_age_secs), ("session", "/", 3600));

    let rule = "  - backendRefs: [{name: v1, port: 8080}, {name: v2, port: 8080}]
    sessionPersistence: {cookie: {}}
";
    let world = clean(&[&plain_gateway(), &http_route(rule)]);
    let route = find(&world, 80, false, "GET h/").unwrap();
    let Target::Weighted(weighted) = &route.target else { panic!("not weighted") };
    let outer = cookie(&weighted.sticky).name;
    assert!(outer.starts_with("weft-"), "{outer}");
    let backends = world.snapshot.backends.values();
    let mut names: Vec<_> = backends.map(|one| cookie(&one.calling.sticky).name).collect();
    names.push(outer);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "cookies of backends and of their endpoints differ");
}

#[test]
fn sessions_are_headers_where_that_is_wanted() {
    let rule = "  - backendRefs: [{name: v1, port: 8080}, {name: v2, port: 8080}]
    sessionPersistence: {sessionName: X-Session, type: Header}
";
    let world = clean(&[&plain_gateway(), &http_route(rule)]);
    let route = find(&world, 80, false, "GET h/").unwrap();
    let Target::Weighted(weighted) = &route.target else { panic!("not weighted") };
    let named = |word| Some(Affinity::Header(SessionHeader { name: "x-session".into(), word }));
    assert_eq!(weighted.sticky, named(Word::Backend));
    for backend in world.snapshot.backends.values() {
        assert_eq!(backend.calling.sticky, named(Word::Endpoint));
    }
    let taken = rule.replace("X-Session", "Content-Length");
    let world = super::world(&[&plain_gateway(), &http_route(&taken)]);
    assert_reported(&world, "`Content-Length` is no header that could be given to clients");
}
