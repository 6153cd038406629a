use weft_model::policy::StepKind;
use weft_model::text::Pattern;

use super::*;
use crate::testing::{Outcome, PLAIN, lines, request, response, run};

fn list(items: &[&str]) -> Vec<Box<str>> {
    items.iter().map(|item| (*item).into()).collect()
}

/// The rules of the conformance test HTTPRouteCORS, first route.
fn rules() -> Cors {
    Cors {
        allow_origins: list(&["https://www.foo.com", "https://*.bar.com"]),
        allow_methods: list(&["GET", "OPTIONS"]),
        allow_headers: list(&["x-header-1", "x-header-2"]),
        expose_headers: list(&["x-header-3", "x-header-4"]),
        allow_credentials: true,
        max_age_secs: Some(3600),
        answer_all_preflights: true,
        ..Cors::default()
    }
}

fn preflight(cors: &Cors, origin: &str, method: &str, headers: Option<&str>) -> Outcome {
    let mut fields = vec![("Origin", origin), ("Access-Control-Request-Method", method)];
    fields.extend(headers.map(|headers| ("Access-Control-Request-Headers", headers)));
    run(StepKind::Cors(cors.clone()), request("OPTIONS http://a/x", &fields), PLAIN)
}

/// The fields of a response to a request with this origin.
fn simple(cors: &Cors, origin: Option<&str>, upstream: &[(&str, &str)]) -> Vec<String> {
    let fields: Vec<_> = origin.iter().map(|origin| ("Origin", *origin)).collect();
    let outcome = run(StepKind::Cors(cors.clone()), request("GET http://a/x", &fields), PLAIN);
    let mut head = response(200, upstream);
    on_response(cors, &outcome.facts, &mut head, &mut String::new()).expect("it fits");
    lines(&head.fields)
}

#[test]
fn preflights_of_allowed_origins() {
    for origin in ["https://www.foo.com", "https://www.bar.com", "https://xpto.www.bar.com"] {
        let answer = preflight(&rules(), origin, "GET", Some("x-header-1, x-header-2")).answer();
        assert_eq!(answer.status(), 200);
        assert!(answer.body.is_empty());
        assert_eq!(
            lines(&answer.head.fields),
            [
                "vary: Origin",
                &format!("access-control-allow-origin: {origin}"),
                "access-control-allow-credentials: true",
                "access-control-allow-methods: GET,OPTIONS",
                "access-control-allow-headers: x-header-1,x-header-2",
                "access-control-expose-headers: x-header-3,x-header-4",
                "access-control-max-age: 3600",
            ]
        );
    }
}

#[test]
fn preflights_of_other_origins() {
    for origin in ["https://foobar.com", "https://bar.com", "https://xbar.com", "null"] {
        let answer = preflight(&rules(), origin, "GET", None).answer();
        assert_eq!(
            (answer.status(), lines(&answer.head.fields)),
            (200, vec!["vary: Origin".into()])
        );
    }
    let passing = Cors { answer_all_preflights: false, ..rules() };
    preflight(&passing, "https://foobar.com", "GET", None).passed();
    preflight(&passing, "https://www.foo.com", "GET", None).answer();
}

#[test]
fn what_is_no_preflight_goes_on() {
    let kind = StepKind::Cors(rules());
    let origin = ("Origin", "https://www.foo.com");
    let method = ("Access-Control-Request-Method", "GET");
    for (line, fields) in [
        ("GET http://a/", vec![origin, method]),
        ("OPTIONS http://a/", vec![origin]),
        ("OPTIONS http://a/", vec![method]),
        ("OPTIONS http://a/", vec![origin, ("Access-Control-Request-Method", "")]),
    ] {
        run(kind.clone(), request(line, &fields), PLAIN).passed();
    }
}

#[test]
fn wildcards_with_and_without_credentials() {
    let all = |allow_credentials| Cors {
        allow_origins: list(&["*"]),
        allow_methods: list(&["*"]),
        allow_headers: list(&["*"]),
        expose_headers: list(&["*"]),
        allow_credentials,
        answer_all_preflights: true,
        ..Cors::default()
    };
    let origin = "https://other.foo.com";
    let answer = preflight(&all(false), origin, "PUT", Some("x-header-1, x-header-2")).answer();
    assert_eq!(
        lines(&answer.head.fields),
        [
            "access-control-allow-origin: *",
            "access-control-allow-methods: *",
            "access-control-allow-headers: *",
            "access-control-expose-headers: *",
        ]
    );
    let answer = preflight(&all(true), origin, "PUT", Some("x-header-1, x-header-2")).answer();
    assert_eq!(
        lines(&answer.head.fields),
        [
            "vary: Origin",
            "access-control-allow-origin: https://other.foo.com",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: PUT",
            "vary: access-control-request-method",
            "access-control-allow-headers: x-header-1, x-header-2",
            "vary: access-control-request-headers",
        ]
    );
    // No header was asked for, so none is named; and a star never goes with credentials.
    let answer = preflight(&all(true), origin, "PUT", None).answer();
    assert!(!answer.head.fields.contains(Known::AccessControlAllowHeaders));
    assert!(answer.head.fields.iter().all(|(_, value)| value != b"*"));
    // Anybody can be `null`.
    let answer = preflight(&all(true), "null", "PUT", None).answer();
    assert!(!answer.head.fields.contains(Known::AccessControlAllowOrigin));
}

#[test]
fn responses() {
    let allowed = [
        "access-control-allow-origin: https://www.bar.com",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: x-header-3,x-header-4",
        "vary: Origin",
    ];
    assert_eq!(simple(&rules(), Some("https://www.bar.com"), &[]), allowed);
    assert_eq!(simple(&rules(), Some("https://foobar.com"), &[]), ["vary: Origin"]);
    assert_eq!(simple(&rules(), None, &[]), ["vary: Origin"]);
    let star = Cors { allow_origins: list(&["*"]), ..Cors::default() };
    assert_eq!(simple(&star, Some("https://a"), &[]), ["access-control-allow-origin: *"]);
    assert_eq!(simple(&star, None, &[]), ["access-control-allow-origin: *"]);
    // What the upstream says is replaced for an origin that fits.
    let upstream = [("access-control-allow-origin", "https://evil.test")];
    assert_eq!(simple(&star, None, &upstream), ["access-control-allow-origin: *"]);
    // Rules about methods only say nothing about origins.
    assert_eq!(
        simple(&Cors { allow_methods: list(&["GET"]), ..Cors::default() }, None, &[]),
        [""; 0]
    );
}

#[test]
fn vary_is_said_once() {
    let vary = Cors { always_vary: true, ..Cors::default() };
    let cases: &[(&str, &[&str])] = &[
        ("Accept", &["vary: Accept", "vary: Origin"]),
        ("origin", &["vary: origin"]),
        ("Accept, Origin", &["vary: Accept, Origin"]),
        ("*", &["vary: *"]),
    ];
    for (upstream, expected) in cases {
        assert_eq!(simple(&vary, None, &[("vary", upstream)]), *expected);
    }
    assert_eq!(simple(&vary, None, &[]), ["vary: Origin"]);
}

#[test]
fn origins_are_compared_whole() {
    // Allowed, origin, whether it fits.
    let cases = [
        ("https://foo.com", "https://foo.com", true),
        ("https://foo.com", "HTTPS://FOO.com", true),
        ("https://foo.com", "http://foo.com", false),
        ("https://foo.com", "https://foo.com.evil.test", false),
        ("https://foo.com", "https://evilfoo.com", false),
        ("https://foo.com", "https://foo.com:443", true),
        ("https://foo.com:443", "https://foo.com", true),
        ("http://foo.com:80", "http://foo.com", true),
        ("https://foo.com", "https://foo.com:80", false),
        ("https://foo.com:8443", "https://foo.com:8443", true),
        ("https://foo.com:8443", "https://foo.com", false),
        ("https://*.foo.com", "https://a.b.foo.com", true),
        ("https://*.foo.com", "https://foo.com", false),
        ("https://*.foo.com", "https://.foo.com", false),
        ("https://*.foo.com", "https://evil.test/.foo.com", false),
        ("https://*.foo.com", "https://evil.test:1.foo.com", false),
        ("https://*.foo.com", "https://a@x.foo.com", false),
        ("https://*.foo.com", "http://a.foo.com", false),
        ("https://*.foo.com:8443", "https://a.foo.com:8443", true),
        ("https://*.foo.com:8443", "https://a.foo.com", false),
        ("https://*", "https://anything.test:8443", true),
        ("https://*", "http://anything.test", false),
        ("https://*", "https://", false),
        ("null", "null", true),
        ("https://foo.com", "null", false),
        ("*", "null", false),
        ("*", "https://foo.com", true),
    ];
    for (allowed, origin, expected) in cases {
        assert_eq!(is_allowed(allowed, origin), expected, "{allowed} {origin}");
    }
}

#[test]
fn origins_by_pattern() {
    let cors = Cors {
        allow_origin_patterns: vec![
            Pattern::new(r"^https://[a-z]+\.foo\.com$").expect("a pattern"),
        ],
        ..Cors::default()
    };
    let first = |origin| simple(&cors, Some(origin), &[]).swap_remove(0);
    assert_eq!(first("https://a.foo.com"), "access-control-allow-origin: https://a.foo.com");
    assert_eq!(first("https://axfoo.com"), "vary: Origin");
}

#[test]
fn doubtful_origins_are_none() {
    let long = format!("https://{}.bar.com", "a".repeat(ORIGIN_BYTES_MAX));
    assert_eq!(simple(&rules(), Some(&long), &[]), ["vary: Origin"]);
    assert_eq!(simple(&rules(), Some(""), &[]), ["vary: Origin"]);
    let origin = ("Origin", "https://www.foo.com");
    let head = request("GET http://a/", &[origin, origin]);
    assert_eq!(run(StepKind::Cors(rules()), head, PLAIN).facts.origin, None);
}
