use proptest::prelude::*;
use weft_message::{PathRules, RequestHead, canonical_path};
use weft_model::policy::{PathRewrite, StepKind};

use super::*;
use crate::step::ClientFacts;
use crate::testing::{PLAIN, TLS, request, run};

/// Status and location, or `None` when the request goes on.
fn outcome(kind: &StepKind, head: RequestHead, client: ClientFacts) -> Option<(u16, String)> {
    match run(kind.clone(), head, client).verdict {
        Verdict::Continue => None,
        Verdict::Respond(answer) => {
            let location = answer.head.fields.get_str(Known::Location).unwrap_or_default();
            Some((answer.status(), location.to_owned()))
        }
    }
}

#[track_caller]
fn check(
    kind: &StepKind,
    line: &str,
    fields: &[(&str, &str)],
    client: ClientFacts,
    expected: Option<(u16, &str)>,
) {
    let found = outcome(kind, request(line, fields), client);
    let expected = expected.map(|(status, location)| (status, location.to_owned()));
    assert_eq!(found, expected, "{kind:?} {line} {fields:?}");
}

fn by_scheme(scheme: &str, port: &str, permanent: bool) -> StepKind {
    StepKind::RedirectScheme { scheme: scheme.into(), port: port.into(), permanent }
}

fn by_regex(pattern: &str, replacement: &str) -> StepKind {
    StepKind::RedirectRegex {
        pattern: Pattern::new(pattern).expect("a pattern"),
        replacement: replacement.into(),
        permanent: false,
    }
}

#[test]
fn redirects_to_a_scheme() {
    let https = by_scheme("https", "", false);
    let to = |location| Some((302, location));
    let cases = [
        ("http://foo/", to("https://foo/")),
        ("http://foo:80/", to("https://foo/")),
        ("http://foo:8080/a/b?c=d&e", to("https://foo/a/b?c=d&e")),
        ("http://[::1]:8080/a", to("https://[::1]/a")),
        ("http://192.0.2.7/a", to("https://192.0.2.7/a")),
    ];
    for (url, expected) in cases {
        check(&https, &format!("GET {url}"), &[], PLAIN, expected);
    }
    check(&https, "GET http://foo/", &[], TLS, None);
    check(&https, "GET http://foo:443/", &[], TLS, None);
    // There already, but at a port that the settings do not name.
    check(&https, "GET http://foo:8443/", &[], TLS, to("https://foo/"));

    let port = by_scheme("https", "8443", false);
    check(&port, "GET http://foo/a", &[], PLAIN, to("https://foo:8443/a"));
    check(&port, "GET http://foo:8443/a", &[], TLS, None);
    check(&port, "GET http://foo/a", &[], TLS, to("https://foo:8443/a"));
    check(&by_scheme("https", "443", false), "GET http://foo/", &[], PLAIN, to("https://foo/"));
    check(&by_scheme("https", "80", false), "GET http://foo/", &[], PLAIN, to("https://foo:80/"));
    check(&by_scheme("http", "80", false), "GET http://foo:80/", &[], TLS, to("http://foo/"));
    check(&by_scheme("http", "", false), "GET http://foo:80/", &[], PLAIN, None);
}

#[test]
fn a_trusted_hop_knows_the_scheme() {
    let https = by_scheme("https", "", false);
    for (proto, client, stays) in [
        ("https", PLAIN, true),
        ("HTTPS", PLAIN, true),
        ("wss", PLAIN, true),
        ("http", TLS, false),
        ("ws", TLS, false),
        ("ftp", PLAIN, false),
        ("ftp", TLS, true),
    ] {
        let expected = (!stays).then_some((302, "https://foo/"));
        check(&https, "GET http://foo/", &[("X-Forwarded-Proto", proto)], client, expected);
    }
}

#[test]
fn the_status_keeps_the_method() {
    for (method, temporary, permanent) in
        [("GET", 302, 301), ("HEAD", 307, 308), ("POST", 307, 308), ("PURGE", 307, 308)]
    {
        for (flag, status) in [(false, temporary), (true, permanent)] {
            let line = format!("{method} http://foo/");
            let expected = Some((status, "https://foo/"));
            check(&by_scheme("https", "", flag), &line, &[], PLAIN, expected);
        }
    }
    let answer =
        run(by_scheme("https", "", false), request("GET http://foo/", &[]), PLAIN).answer();
    assert_eq!((&*answer.body, answer.reason), (&b"Found"[..], Reason::Direct));
}

#[test]
fn redirects_by_pattern() {
    let to = |location| Some((302, location));
    let cases = [
        ("^http://foo/(.*)", "https://bar/$1", "http://foo/a?b=c", to("https://bar/a?b=c")),
        ("^http://foo/(.*)", "https://bar/$1", "http://fool/a", None),
        ("^http://foo:8080/$", "https://foo:443/", "http://foo:8080/", to("https://foo:443/")),
        ("^(http://foo/)old$", "${1}new", "http://foo/old", to("http://foo/new")),
        ("^http://foo/(.*)", "http://foo/$1", "http://foo/a", None),
        // The usual ones: www, a host kept, a bare domain.
        ("^https?://www\\.(.+)", "https://${1}", "http://www.a.test/x?y", to("https://a.test/x?y")),
        ("^https?://(.+)", "https://www.${1}", "http://a.test/x", to("https://www.a.test/x")),
        ("^http://(.*)/old(.*)", "http://$1/new$2", "http://a:81/old/x", to("http://a:81/new/x")),
        ("^http://[^/]+/go/(.*)$", "/elsewhere/$1", "http://a/go/x", to("/elsewhere/x")),
        ("^.*/frag$", "http://a/#top", "http://a/frag", to("http://a/#top")),
        (
            "^.*/t/([a-z]+)/(.*)$",
            "https://$1.a.test/$2",
            "http://a/t/x/y",
            to("https://x.a.test/y"),
        ),
        ("^.*$", "myapp://open", "http://a/x", to("myapp://open")),
        ("^.*$", "http://ä.test/", "http://a/x", to("http://%C3%A4.test/")),
        ("^http://([^/]+)/t/(\\w+)/", "http://$2.$1/", "http://a.b/t/x/y", to("http://x.a.b/y")),
        ("^.*$", "http://a.test/ö \"", "http://a/x", to("http://a.test/%C3%B6%20%22")),
    ];
    for (pattern, replacement, url, expected) in cases {
        check(&by_regex(pattern, replacement), &format!("GET {url}"), &[], PLAIN, expected);
    }
    let kind = by_regex("^http://(.*)", "https://$1");
    check(&kind, "GET http://foo/", &[], TLS, None);
}

#[test]
fn a_link_cannot_lead_elsewhere() {
    // Pattern, replacement, URL: each tries to name a host that neither the settings nor the
    // request's own host gives.
    let cases = [
        ("^http://a/go(.*)$", "$1", "http://a/go//evil.test"),
        ("^http://a/go\\?(.*)$", "$1", "http://a/go?//evil.test"),
        ("^http://a/go\\?(.*)$", "$1", "http://a/go?/\\evil.test"),
        ("^http://a/go\\?(.*)$", "$1", "http://a/go?https://evil.test"),
        ("^http://a/go\\?(.*)$", "$1", "http://a/go?javascript:alert(1)"),
        ("^http://a/go\\?(.*)$", "$1", "http://a/go?javascript://x/%0aalert(1)"),
        ("^http://a/go\\?(.*)$", "$1", "http://a/go?evil.test"),
        ("^http://a/(.*)$", "https:$1", "http://a/evil.test"),
        ("^http://a/(.*)$", "//$1", "http://a/evil.test/"),
        ("^http://a/(.*)$", "https://$1", "http://a/evil.test/"),
        ("^http://a/(.*)$", "https://a.test$1", "http://a/.evil.test/"),
        ("^http://a/(.*)$", "https://a.test$1", "http://a/evil"),
        ("^http://a/(.*)$", "https://a.test$1", "http://a/@evil.test/"),
        ("^http://a/(.*)$", "https://a.test$1", "http://a/:81@evil.test/"),
        ("^http://a/(.*)$", "https://$1@a.test/", "http://a/user:evil.test"),
        ("^http://a/(.*)$", "https://$1.a.test/", "http://a/evil.test/"),
        ("^http://a/(.*)/(.*)$", "https://$1.$2/", "http://a/evil/test"),
        ("^http://a/\\?(.*)$", "https://$1.a.test/", "http://a/?evil.test\\"),
        ("^http://a/\\?(.*)$", "https://$1.a.test/", "http://a/?evil.test%23"),
        ("^http://a/(.*)$", "https:///$1", "http://a/evil.test/"),
        ("^http://a/(.*)$", "https://:80/$1", "http://a/evil.test/"),
        ("^http://a/(.*)$", "$1://b/", "http://a/javascript"),
        ("^http://a/$", "", "http://a/"),
        ("^http://a/$", "relative", "http://a/"),
    ];
    for (pattern, replacement, url) in cases {
        let head = request(&format!("GET {}", url.replace("go//", "go/")), &[]);
        let found = outcome(&by_regex(pattern, replacement), head, PLAIN);
        let is_safe = match &found {
            Some((400, location)) => location.is_empty(),
            // Slashes are one in a canonical path, so nothing is left of the trick.
            Some((302, location)) => location == "/evil.test",
            _ => false,
        };
        assert!(is_safe, "{pattern} {replacement} {url}: {found:?}");
    }
}

/// One case of the conformance tests HTTPRouteRedirect*.
#[track_caller]
fn check_parts(redirect: Redirect, url: &str, client: ClientFacts, location: &str) {
    let expected = Some((redirect.status, location));
    check(&StepKind::Redirect(redirect), &format!("GET {url}"), &[], client, expected);
}

const PARTS: Redirect = Redirect { scheme: None, host: None, port: None, path: None, status: 302 };

fn parts(scheme: Option<&str>, host: &str, port: Option<u16>) -> Redirect {
    Redirect { scheme: scheme.map(Into::into), host: Some(host.into()), port, ..PARTS }
}

#[test]
fn ports_of_redirects_follow_the_scheme_or_the_listener() {
    let on_8080 = ClientFacts { listener_port: 8080, ..PLAIN };
    let on_8443 = ClientFacts { listener_port: 8443, ..TLS };
    // Scheme, port, client, location: HTTPRouteRedirectPortAndScheme.
    let cases = [
        (None, None, PLAIN, "http://example.org/x"),
        (None, Some(80), PLAIN, "http://example.org/x"),
        (None, Some(8080), PLAIN, "http://example.org:8080/x"),
        (Some("https"), None, PLAIN, "https://example.org/x"),
        (Some("https"), Some(443), PLAIN, "https://example.org/x"),
        (Some("https"), Some(8443), PLAIN, "https://example.org:8443/x"),
        (None, None, on_8080, "http://example.org:8080/x"),
        (None, Some(80), on_8080, "http://example.org/x"),
        (Some("https"), None, on_8080, "https://example.org/x"),
        (None, None, TLS, "https://example.org/x"),
        (None, Some(443), TLS, "https://example.org/x"),
        (None, Some(8443), TLS, "https://example.org:8443/x"),
        (Some("http"), None, TLS, "http://example.org/x"),
        (Some("http"), Some(80), TLS, "http://example.org/x"),
        (Some("http"), Some(8080), TLS, "http://example.org:8080/x"),
        (None, None, on_8443, "https://example.org:8443/x"),
        (Some("other"), None, on_8443, "other://example.org:8443/x"),
    ];
    for (scheme, port, client, location) in cases {
        check_parts(parts(scheme, "example.org", port), "http://a/x", client, location);
    }
}

#[test]
fn redirects_by_parts() {
    let prefix = |matched: &str, replacement: &str| {
        Some(PathRewrite::Prefix { matched: matched.into(), replacement: replacement.into() })
    };
    let full = |path: &str| Some(PathRewrite::Full(path.into()));
    let cases = [
        // HTTPRouteRedirectScheme, -HostAndStatus, -Port.
        (Redirect { scheme: Some("https".into()), ..PARTS }, "http://a/scheme", "https://a/scheme"),
        (Redirect { status: 301, ..parts(None, "b", None) }, "http://a/x?q=1", "http://b/x?q=1"),
        (Redirect { port: Some(8083), ..PARTS }, "http://a:8080/port", "http://a:8083/port"),
        (Redirect { port: Some(8083), status: 301, ..PARTS }, "http://a/", "http://a:8083/"),
        // The listener's port stands for the one in the request.
        (PARTS, "http://a:8080/x", "http://a/x"),
        // HTTPRouteRedirectPath.
        (
            Redirect { path: prefix("/original-prefix", "/replacement-prefix"), ..PARTS },
            "http://a/original-prefix/lemon?q",
            "http://a/replacement-prefix/lemon?q",
        ),
        (
            Redirect { path: full("/full-path-replacement"), ..PARTS },
            "http://a/full/path/original",
            "http://a/full-path-replacement",
        ),
        (
            Redirect {
                path: prefix("/path-and-host", "/replacement-prefix"),
                ..parts(None, "b", None)
            },
            "http://a/path-and-host",
            "http://b/replacement-prefix",
        ),
        // HTTPRoute303-, 307- and 308Redirect.
        (Redirect { status: 303, ..PARTS }, "http://a/x", "http://a/x"),
        (Redirect { status: 307, ..PARTS }, "http://a/x", "http://a/x"),
        (Redirect { status: 308, ..PARTS }, "http://a/x", "http://a/x"),
    ];
    for (redirect, url, location) in cases {
        check_parts(redirect, url, PLAIN, location);
    }
}

proptest! {
    /// Whatever stands in path and query, the host is one that the template or the request gives.
    #[test]
    fn the_host_is_never_the_paths(
        path in "[a-z./@:%;-]{0,12}",
        query in "[a-z./\\\\@:%?-]{0,12}",
        replacement in 0..8_usize,
    ) {
        let replacements = [
            "https://b.test$1", "https://$1.b.test/$2", "$1", "$2", "https:$2", "https://b.test/$1",
            "//b.test/$2", "https://$1$2.b.test",
        ];
        let Ok(path) = canonical_path(&format!("/{path}"), &PathRules::PERMISSIVE) else {
            return Ok(());
        };
        let mut head = request(&format!("GET http://a.test{path}"), &[]);
        head.set_query(Some(&query)).expect("a query");
        let kind = by_regex(r"^http://a\.test/([^?]*)\?(.*)$", replacements[replacement]);
        let found = outcome(&kind, head, PLAIN);
        let (status, location) = found.expect("always changes");
        if status == 400 {
            return Ok(());
        }
        let is_path = location.starts_with('/') && !location[1..].starts_with(['/', '\\']);
        let host = location.strip_prefix("https://").map(|rest| {
            rest.split(['/', '?', '#', '\\']).next().unwrap_or_default()
        });
        let is_given = |host: &str| host == "b.test" || host.ends_with(".b.test");
        prop_assert!(is_path || host.is_some_and(is_given), "{}", location);
    }
}

#[test]
fn without_a_host_there_is_no_location() {
    let mut head = RequestHead::new();
    head.set_path("/x").expect("a canonical path");
    for kind in [
        by_scheme("https", "", false),
        StepKind::Redirect(PARTS),
        by_regex("^http://(.*)", "https://$1"),
    ] {
        let found = outcome(&kind, head.clone(), PLAIN);
        assert_eq!(found, Some((400, String::new())), "{kind:?}");
    }
    let found = outcome(&StepKind::Redirect(parts(None, "b", None)), head, PLAIN);
    assert_eq!(found, Some((302, "http://b/x".into())));
}

#[test]
fn options_of_the_server_go_to_its_root() {
    let head = request("OPTIONS http://a*", &[]);
    let found = outcome(&by_scheme("https", "", false), head, PLAIN);
    assert_eq!(found, Some((307, "https://a/".into())));
}
