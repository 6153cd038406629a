//! Each type of middleware.

use std::time::Duration;

use weft_message::FieldName;
use weft_model::outcome::Reason;
use weft_model::policy::{
    BasicAuth, Buffering, Coding, Compress, Cors, ErrorPages, ForwardAuth, HeaderEdits,
    IpAllowList, IpStrategy, RetryPolicy, Rewrite, SecureHeaders, SourceCriterion, StepKind,
};
use weft_model::route::Target;
use weft_model::text::Pattern;
use weft_resilience::settings::{BackoffSettings, RateSettings};

use super::{backend, kinds, object, only_route, problems, route, world};

fn name(text: &str) -> FieldName {
    FieldName::new(text).expect("a name")
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

/// The steps of a route with the middleware `m`, whose spec is one line.
fn steps(spec: &str) -> Vec<StepKind> {
    let text =
        format!("{}{}", object("Middleware", "m", &format!("  {spec}\n")), with_middleware());
    let world = world(&text);
    assert_eq!(problems(&world), [""; 0], "{spec}");
    kinds(only_route(&world)).into_iter().cloned().collect()
}

fn with_middleware() -> String {
    route("    middlewares: [{name: m}]\n")
}

fn check(spec: &str, expected: StepKind) {
    assert_eq!(steps(spec), [expected], "{spec}");
}

#[test]
fn paths() {
    check("addPrefix: {prefix: /api}", StepKind::AddPrefix("/api".into()));
    check(
        "stripPrefix: {prefixes: [/a, /b], forceSlash: true}",
        StepKind::StripPrefix(vec!["/a".into(), "/b".into()]),
    );
    check(
        "stripPrefixRegex: {regex: ['/v[0-9]+']}",
        StepKind::StripPrefixRegex(vec![pattern("^(?:/v[0-9]+)")]),
    );
    check("replacePath: {path: /x}", StepKind::ReplacePath("/x".into()));
    check(
        "replacePathRegex: {regex: ^/a/(.*), replacement: /b/$1}",
        StepKind::ReplacePathRegex { pattern: pattern("^/a/(.*)"), replacement: "/b/$1".into() },
    );
}

#[test]
fn redirects() {
    check(
        "redirectScheme: {scheme: https, port: '8443', permanent: true}",
        StepKind::RedirectScheme { scheme: "https".into(), port: "8443".into(), permanent: true },
    );
    check(
        "redirectScheme: {scheme: https, port: 443}",
        StepKind::RedirectScheme { scheme: "https".into(), port: "443".into(), permanent: false },
    );
    check(
        "redirectRegex: {regex: ^http://a/(.*), replacement: 'http://b/${1}'}",
        StepKind::RedirectRegex {
            pattern: pattern("^http://a/(.*)"),
            replacement: "http://b/${1}".into(),
            permanent: false,
        },
    );
}

#[test]
fn retry_counts_all_tries() {
    check(
        "retry: {attempts: 2, initialInterval: 250ms}",
        StepKind::Retry(RetryPolicy {
            attempts: 2,
            backoff: BackoffSettings::traefik(Duration::from_millis(250)),
            body_bytes_max: 2 << 20,
            on_network_error: true,
            ..RetryPolicy::NEVER
        }),
    );
    check(
        "retry: {attempts: 4, timeout: 3, status: ['500-503', 429], maxRequestBodyBytes: -1, \
         disableRetryOnNetworkError: true, retryNonIdempotentMethod: true}",
        StepKind::Retry(RetryPolicy {
            attempts: 4,
            timeout: Some(Duration::from_secs(3)),
            statuses: vec![(500, 503), (429, 429)],
            body_bytes_max: u64::MAX,
            non_idempotent: true,
            ..RetryPolicy::NEVER
        }),
    );
}

#[test]
fn circuit_breaker_has_its_defaults() {
    let steps = steps("circuitBreaker: {expression: NetworkErrorRatio() > 0.5}");
    let [StepKind::CircuitBreaker(breaker)] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(breaker.check_period, Duration::from_millis(100));
    assert_eq!(breaker.fallback_duration, Duration::from_secs(10));
    assert_eq!(breaker.recovery_duration, Duration::from_secs(10));
    assert_eq!(breaker.response_code, 503);
}

#[test]
fn rate_limits() {
    let limit = |average, period, burst, source| StepKind::RateLimit {
        settings: RateSettings { average, period, burst },
        source,
    };
    let peer = SourceCriterion::Ip(IpStrategy::default());
    check("rateLimit: {average: 100}", limit(100, Duration::from_secs(1), 1, peer));
    check(
        "rateLimit: {average: 6, period: 1m, burst: 9, sourceCriterion: {requestHeaderName: X-Key}}",
        limit(6, Duration::from_secs(60), 9, SourceCriterion::Header(name("x-key"))),
    );
    check(
        "rateLimit: {average: 1, sourceCriterion: {requestHost: true}}",
        limit(1, Duration::from_secs(1), 1, SourceCriterion::Host),
    );
    let strategy = IpStrategy {
        depth: 2,
        excluded: vec!["10.0.0.0/8".parse().expect("a network")],
        ipv6_subnet: Some(64),
    };
    check(
        "rateLimit: {average: 1, sourceCriterion: {ipStrategy: {depth: 2, excludedIPs: [10.0.0.0/8], \
         ipv6Subnet: 64}}}",
        limit(1, Duration::from_secs(1), 1, SourceCriterion::Ip(strategy)),
    );
    // No limit is no step.
    assert_eq!(steps("rateLimit: {burst: 5}"), []);
}

#[test]
fn in_flight_counts_by_host_unless_told() {
    check(
        "inFlightReq: {amount: 10}",
        StepKind::InFlight { amount: 10, source: SourceCriterion::Host },
    );
}

#[test]
fn counting_steps_are_named_by_router() {
    let text = format!(
        "{}{}",
        object("Middleware", "m", "  rateLimit: {average: 1}\n"),
        with_middleware()
    );
    let world = world(&text);
    assert_eq!(
        only_route(&world).steps[0].id.as_str(),
        "middleware/default/m@ingressroute/default/r/0"
    );
}

#[test]
fn allow_lists_under_both_names() {
    for kind in ["ipAllowList", "ipWhiteList"] {
        check(
            &format!("{kind}: {{sourceRange: [10.0.0.0/8, '::1'], ipStrategy: {{depth: 1}}}}"),
            StepKind::IpAllowList(IpAllowList {
                ranges: vec!["10.0.0.0/8".parse().expect("a"), "::1/128".parse().expect("b")],
                strategy: IpStrategy { depth: 1, ..IpStrategy::default() },
                reject_status: 403,
            }),
        );
    }
}

#[test]
fn compress_has_its_defaults() {
    let compress = Compress {
        codings: vec![Coding::Gzip, Coding::Brotli, Coding::Zstd],
        default: None,
        body_bytes_min: 1024,
        excluded_types: vec![],
        included_types: vec![],
    };
    for spec in ["compress: {}", "compress:", "compress: true"] {
        check(spec, StepKind::Compress(compress.clone()));
    }
    check(
        "compress: {encodings: [zstd, br], defaultEncoding: gzip, minResponseBodyBytes: 10, \
         excludedContentTypes: [text/event-stream]}",
        StepKind::Compress(Compress {
            codings: vec![Coding::Zstd, Coding::Brotli],
            default: Some(Coding::Gzip),
            body_bytes_min: 10,
            excluded_types: vec!["text/event-stream".into()],
            included_types: vec![],
        }),
    );
}

#[test]
fn buffering_has_its_defaults() {
    check(
        "buffering: {maxRequestBodyBytes: 100}",
        StepKind::Buffering(Buffering {
            request_bytes_max: Some(100),
            response_bytes_max: None,
            request_memory_bytes: 1 << 20,
            response_memory_bytes: 1 << 20,
            retry: None,
        }),
    );
    let steps = steps("buffering: {retryExpression: IsNetworkError() && Attempts() < 2}");
    assert!(matches!(&steps[..], [StepKind::Buffering(buffering)] if buffering.retry.is_some()));
}

#[test]
fn headers_keep_traefiks_order() {
    let steps = steps(
        "headers: {customRequestHeaders: {X-A: '1', X-Gone: '', Host: up.example}, \
         customResponseHeaders: {X-B: yes}, accessControlAllowMethods: [GET], \
         accessControlAllowOriginList: ['https://a.example'], accessControlMaxAge: 100, \
         addVaryHeader: true, frameDeny: true, stsSeconds: 10, stsPreload: true, \
         stsIncludeSubdomains: true, allowedHosts: [A.example], contentTypeNosniff: true, \
         browserXssFilter: true, referrerPolicy: no-referrer, sslProxyHeaders: \
         {X-Forwarded-Proto: https}}",
    );
    let cors = Cors {
        allow_origins: vec!["https://a.example".into()],
        allow_methods: vec!["GET".into()],
        max_age_secs: Some(100),
        always_vary: true,
        answer_all_preflights: true,
        ..Cors::default()
    };
    let request = HeaderEdits {
        set: vec![(name("x-a"), "1".into())],
        remove: vec![name("x-gone")],
        ..HeaderEdits::default()
    };
    let response = HeaderEdits { set: vec![(name("x-b"), "yes".into())], ..HeaderEdits::default() };
    let secure = SecureHeaders {
        allowed_hosts: vec!["a.example".into()],
        sts: Some("max-age=10; includeSubDomains; preload".into()),
        ssl_proxy_headers: vec![(name("x-forwarded-proto"), "https".into())],
        response: vec![
            (name("x-frame-options"), "DENY".into()),
            (name("x-content-type-options"), "nosniff".into()),
            (name("x-xss-protection"), "1; mode=block".into()),
            (name("referrer-policy"), "no-referrer".into()),
        ],
        ..SecureHeaders::default()
    };
    assert_eq!(
        steps,
        [
            StepKind::Cors(cors),
            StepKind::RequestHeaders(request),
            StepKind::Rewrite(Rewrite { host: Some("up.example".into()), path: None }),
            StepKind::ResponseHeaders(response),
            StepKind::SecureHeaders(secure),
        ]
    );
}

#[test]
fn development_switches_protections_off() {
    let steps =
        steps("headers: {isDevelopment: true, stsSeconds: 9, allowedHosts: [a], frameDeny: true}");
    let [StepKind::SecureHeaders(secure)] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((&secure.sts, secure.allowed_hosts.len(), secure.response.len()), (&None, 0, 1));
}

#[test]
fn header_values_cannot_hold_line_ends() {
    let text =
        object("Middleware", "m", "  headers: {customResponseHeaders: {X-A: \"a\\r\\nb\"}}\n");
    let text = format!("{text}{}", with_middleware());
    let world = world(&text);
    assert!(problems(&world)[0].contains("control characters"), "{:?}", problems(&world));
    assert!(matches!(kinds(only_route(&world))[..], [StepKind::Refuse(_)]));
}

#[test]
fn error_pages() {
    let steps = steps(
        "errors: {status: ['500-599', 404], statusRewrites: {'404': 200, 500-501: 502}, \
         service: {name: other, port: http}, query: '/{status}.html', errorRequestHeaders: [Accept]}",
    );
    let [StepKind::Errors(errors)] = steps.as_slice() else { panic!("{steps:?}") };
    let Target::Backend(id) = &errors.target else { panic!("{errors:?}") };
    assert_eq!(id.as_str(), "default/other:8080");
    let expected = ErrorPages {
        statuses: vec![(500, 599), (404, 404)],
        rewrites: vec![((404, 404), 200), ((500, 501), 502)],
        target: errors.target.clone(),
        query: "/{status}.html".into(),
        request_headers: Some(vec![name("accept")]),
    };
    assert_eq!(**errors, expected);
}

#[test]
fn basic_auth_reads_users_from_a_secret() {
    let auth = object("Middleware", "m", "  basicAuth: {secret: users, removeHeader: true}\n");
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: users}\nstringData:\n  users: |\n    # people\n    ann:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/\n    bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
    let world = world(&format!("{auth}{secret}{}", with_middleware()));
    assert_eq!(problems(&world), [""; 0]);
    let expected = StepKind::BasicAuth(BasicAuth {
        users: vec![
            ("ann".into(), "$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/".into()),
            ("bob".into(), "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".into()),
        ],
        realm: "traefik".into(),
        header: None,
        remove_header: true,
    });
    assert_eq!(kinds(only_route(&world)), [&expected]);
}

#[test]
fn basic_auth_of_kubernetes_own_type_is_hashed() {
    let auth = object("Middleware", "m", "  basicAuth: {secret: users, realm: shop}\n");
    let secret = "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/basic-auth\nmetadata: {name: users}\nstringData: {username: ann, password: password}\n";
    let world = world(&format!("{auth}{secret}{}", with_middleware()));
    let route = only_route(&world);
    let [StepKind::BasicAuth(auth)] = kinds(route)[..] else { panic!("{route:?}") };
    // The well-known SHA-1 of `password`.
    assert_eq!(auth.users, [("ann".into(), "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".into())]);
}

#[test]
fn basic_auth_without_users_is_not_served_and_hashes_are_not_shown() {
    let check = |spec: &str, expected: &str| {
        let auth = object("Middleware", "m", &format!("  {spec}\n"));
        let world = world(&format!("{auth}{}", with_middleware()));
        let problems = problems(&world);
        assert!(problems.iter().any(|line| line.contains(expected)), "{problems:?}");
        assert!(!problems.iter().any(|line| line.contains("secrethash")), "{problems:?}");
        let route = only_route(&world);
        let [StepKind::Refuse(refusal)] = kinds(route)[..] else { panic!("{route:?}") };
        assert_eq!(refusal.reason, Reason::PolicyUnenforceable);
    };
    check("basicAuth: {secret: missing}", "secret `default/missing` is not found");
    let cannot = "user `ann` cannot be checked: ";
    let line = |hash: &str| format!("basicAuth: {{users: ['ann:{hash}']}}");
    check(&line("secrethash"), &format!("{cannot}the password hash is not bcrypt"));
    check(&line("$apr1$secrethash"), &format!("{cannot}the password hash is malformed"));
    check(&line("$2y$05$secrethash"), &format!("{cannot}the password hash is malformed"));
    check(&line("{SHA}secrethash"), &format!("{cannot}the password hash is malformed"));
    let costly = format!("$2y$31${}", "a".repeat(53));
    check(&line(&costly), &format!("{cannot}the bcrypt cost 31 is above 16"));
    check("basicAuth: {users: ['secrethash']}", "a user is not written as `name:hash`");
    check("basicAuth: {users: ['# none']}", "there is no user");
    check("basicAuth: {}", "no users");
}

#[test]
fn forward_auth() {
    let spec = "  forwardAuth: {address: 'http://other.default.svc.cluster.local:8080/check?a=b', \
         trustForwardHeader: true, authRequestHeaders: [Cookie], authResponseHeaders: [X-User], \
         authResponseHeadersRegex: ^X-, addAuthCookiesToResponse: [sid], forwardBody: true, \
         maxBodySize: 1000, headerField: X-Who, preserveLocationHeader: true, \
         preserveRequestMethod: true}\n";
    let world = world(&format!("{}{}", object("Middleware", "m", spec), with_middleware()));
    assert_eq!(problems(&world), [""; 0]);
    let route = only_route(&world);
    let [StepKind::ForwardAuth(auth)] = kinds(route)[..] else { panic!("{route:?}") };
    let expected = ForwardAuth {
        backend: auth.backend.clone(),
        host: "other.default.svc.cluster.local:8080".into(),
        path: "/check?a=b".into(),
        trust_forward_header: true,
        request_headers: vec![name("cookie")],
        response_headers: vec![name("x-user")],
        response_headers_pattern: Some(pattern("^X-")),
        add_cookies: vec!["sid".into()],
        forward_body: true,
        body_bytes_max: Some(1000),
        answer_bytes_max: None,
        header: Some(name("x-who")),
        preserve_location: true,
        preserve_method: true,
    };
    assert_eq!(**auth, expected);
    let backend = backend(&world, &Target::Backend(auth.backend.clone()));
    assert_eq!(
        format!("{:?}", backend.endpoints),
        "Static([Endpoint { addr: 10.0.0.2:9000, weight: 1, locality: None, tier: 0, peer: None }])"
    );
    assert_eq!(backend.calling.tls, None);
}

#[test]
fn what_protects_and_is_not_supported_is_not_served() {
    for kind in [
        "digestAuth",
        "jwt",
        "apiKey",
        "oidc",
        "oAuthIntrospection",
        "oAuthClientCredentials",
        "hmac",
        "ldap",
        "opa",
        "waf",
        "plugin",
        "distributedRateLimit",
        "encodedCharacters",
    ] {
        let spec = format!("  {kind}: {{a: b}}\n");
        let world = world(&format!("{}{}", object("Middleware", "m", &spec), with_middleware()));
        let found = problems(&world);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains(&format!("`{kind}` is not supported")), "{found:?}");
        assert!(
            found[1].starts_with("t.yaml:16:19: error: spec.routes[0].middlewares[0]: not served")
        );
        let route = only_route(&world);
        let [StepKind::Refuse(refusal)] = kinds(route)[..] else { panic!("{route:?}") };
        assert_eq!(refusal.reason, Reason::PolicyUnenforceable);
        assert!(refusal.detail.contains("default/m"), "{refusal:?}");
    }
}

#[test]
fn a_limit_in_redis_is_not_served() {
    let spec = "  rateLimit: {average: 1, redis: {endpoints: ['r:6379']}}\n";
    let world = world(&format!("{}{}", object("Middleware", "m", spec), with_middleware()));
    assert!(matches!(kinds(only_route(&world))[..], [StepKind::Refuse(_)]));
}

#[test]
fn what_is_harmless_and_not_supported_is_skipped() {
    for kind in ["contentType", "grpcWeb", "passTLSClientCert", "httpCache"] {
        let spec = format!("  {kind}: {{a: b}}\n");
        let world = world(&format!("{}{}", object("Middleware", "m", &spec), with_middleware()));
        assert_eq!(problems(&world).len(), 1);
        assert!(problems(&world)[0].contains("warning"), "{:?}", problems(&world));
        assert_eq!(only_route(&world).steps.len(), 0);
    }
}

#[test]
fn fields_that_frame_messages_are_not_set() {
    let spec = "  headers:
    customRequestHeaders: {X-A: b, Transfer-Encoding: chunked}
    customResponseHeaders: {Connection: close, X-C: d}
";
    let world = world(&format!("{}{}", object("Middleware", "m", spec), with_middleware()));
    let found = problems(&world);
    let says = |field: &str, name: &str| {
        let text = format!(
            "warning: spec.headers.{field}.{name}: it has no effect: `{}` frames the message or \
             belongs to the connection, and is the gateway's own [remove it]",
            name.to_ascii_lowercase()
        );
        assert!(found.iter().any(|line| line.ends_with(&text)), "{text}: {found:?}");
    };
    says("customRequestHeaders", "Transfer-Encoding");
    says("customResponseHeaders", "Connection");
    assert_eq!(found.len(), 2, "{found:?}");
    let edits = |kind: &StepKind| match kind {
        StepKind::RequestHeaders(edits) | StepKind::ResponseHeaders(edits) => edits.set.len(),
        _ => 0,
    };
    let route = only_route(&world);
    assert_eq!(kinds(route).into_iter().map(edits).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn what_looks_right_and_has_no_effect_is_told() {
    let text = [
        object("Middleware", "relative", "  stripPrefix: {prefixes: [/a, foo]}\n"),
        object(
            "Middleware",
            "framing",
            "  headers:\n    customResponseHeaders: {Connection: x, Content-Length: '3', X-Ok: y}\n",
        ),
        object("Middleware", "spaces", "  headers: {customRequestHeaders: {'X Tenant:': a}}\n"),
    ];
    let found = problems(&world(&text.concat()));
    for (line, expected) in found.iter().zip([
        "t.yaml:6:32: warning: spec.stripPrefix.prefixes[1]: no path begins with `foo`: it has no \
         slash [write `/foo`]",
        "customResponseHeaders.Connection: it has no effect: `connection` frames the message",
        "customResponseHeaders.Content-Length: it has no effect: `content-length` frames the message",
        "`X Tenant:` is not the name of a header [write `X-Tenant`]",
    ]) {
        assert!(line.contains(expected), "{found:#?}");
    }
    assert_eq!(found.len(), 4, "{found:#?}");
}
