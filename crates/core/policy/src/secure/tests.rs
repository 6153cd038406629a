use weft_model::policy::StepKind;

use super::*;
use crate::testing::{PLAIN, TLS, lines, name, request, response, run};

type Pairs = &'static [(&'static str, &'static str)];

#[test]
fn only_allowed_hosts_pass() {
    let settings = SecureHeaders {
        allowed_hosts: vec!["Example.com".into(), "other.example:8080".into()],
        hosts_proxy_headers: vec![name("X-Forwarded-Host"), name("X-Host")],
        ..SecureHeaders::default()
    };
    let cases: &[(&str, Pairs, bool)] = &[
        ("example.com", &[], true),
        ("example.com:8443", &[], true),
        ("other.example:8080", &[], true),
        ("other.example", &[], false),
        ("evil.test", &[], false),
        ("evil.test", &[("X-Host", "example.com")], true),
        ("evil.test", &[("X-Host", "EXAMPLE.com:80")], true),
        ("example.com", &[("X-Host", "evil.test")], false),
        ("example.com", &[("X-Host", "")], true),
        ("evil.test", &[("X-Host", "evil.test"), ("X-Forwarded-Host", "example.com")], true),
    ];
    for (host, fields, passes) in cases {
        let head = request(&format!("GET http://{host}/"), fields);
        let outcome = run(StepKind::SecureHeaders(settings.clone()), head, PLAIN);
        if *passes {
            outcome.passed();
        } else {
            let answer = outcome.answer();
            assert_eq!((answer.status(), answer.reason), (500, Reason::Forbidden), "{host}");
        }
    }
    let open = StepKind::SecureHeaders(SecureHeaders::default());
    run(open, request("GET http://any/", &[]), PLAIN).passed();
}

#[test]
fn transport_security_is_for_tls() {
    let sts = "max-age=31536000; includeSubDomains; preload";
    let settings = |force_sts| SecureHeaders {
        sts: Some(sts.into()),
        force_sts,
        ssl_proxy_headers: vec![(name("X-Forwarded-Proto"), "https".into())],
        ..SecureHeaders::default()
    };
    let line = format!("strict-transport-security: {sts}");
    for (client, proto, force, expected) in [
        (PLAIN, "http", false, false),
        (PLAIN, "https", false, true),
        (TLS, "http", false, true),
        (PLAIN, "http", true, true),
    ] {
        let head = request("GET http://a/", &[("X-Forwarded-Proto", proto)]);
        let outcome = run(StepKind::SecureHeaders(settings(force)), head, client);
        let mut answer = response(200, &[("strict-transport-security", "max-age=0")]);
        on_response(&settings(force), &outcome.facts, &mut answer).expect("it fits");
        let found = lines(&answer.fields);
        let upstreams = "strict-transport-security: max-age=0";
        assert_eq!(found, [if expected { &*line } else { upstreams }], "{proto} {force}");
    }
}

#[test]
fn fixed_headers_replace_the_upstreams() {
    let settings = SecureHeaders {
        response: vec![
            (name("X-Frame-Options"), "DENY".into()),
            (name("Content-Security-Policy"), "default-src 'self'".into()),
            (name("Transfer-Encoding"), "chunked".into()),
        ],
        ..SecureHeaders::default()
    };
    let mut answer = response(404, &[("x-frame-options", "ALLOWALL"), ("a", "b")]);
    on_response(&settings, &ResponseFacts::default(), &mut answer).expect("it fits");
    let expected = ["x-frame-options: DENY", "a: b", "content-security-policy: default-src 'self'"];
    assert_eq!(lines(&answer.fields), expected);
}
