use proptest::prelude::*;
use weft_message::RequestHead;
use weft_model::policy::StepKind;

use super::*;
use crate::testing::{PLAIN, lines, request, run};

/// The path after a step, or the status of the refusal.
type After = Result<&'static str, u16>;
type Lines = &'static [&'static str];

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a pattern")
}

/// The path after the step, or the status of the refusal, and the fields.
#[track_caller]
fn check(kind: StepKind, path: &str, expected: Result<&str, u16>, fields: &[&str]) {
    let head = request(&format!("GET http://example.com{path}"), &[]);
    let outcome = run(kind.clone(), head, PLAIN);
    match expected {
        Ok(expected) => {
            let head = outcome.passed();
            assert_eq!(head.path_and_query(), expected, "{kind:?} {path}");
            assert_eq!(lines(&head.fields), fields, "{kind:?} {path}");
            assert_eq!(head.authority(), "example.com");
        }
        Err(status) => assert_eq!(outcome.answer().status(), status, "{kind:?} {path}"),
    }
}

#[test]
fn adds_prefixes() {
    let cases = [
        ("/api", "/", Ok("/api/")),
        ("/api", "/users?a=b", Ok("/api/users?a=b")),
        ("/api/", "/users", Ok("/api/users")),
        ("api", "/users", Ok("/api/users")),
        ("/", "/users", Ok("/users")),
        ("", "/users", Ok("/users")),
        ("/a/../b//c/", "/users", Ok("/b/c/users")),
        ("/%61{b}", "/users", Ok("/a%7Bb%7D/users")),
        ("/..", "/users", Err(500)),
        // Text, as Traefik reads it: what cannot stand in a path is escaped.
        ("/%2", "/users", Ok("/%252/users")),
        ("/a b", "/users", Ok("/a%20b/users")),
        ("/a?b#c", "/users?q", Ok("/a%3Fb%23c/users?q")),
        ("/grün", "/users", Ok("/gr%C3%BCn/users")),
        ("/a%20b", "/users", Ok("/a%20b/users")),
    ];
    for (prefix, path, expected) in cases {
        check(StepKind::AddPrefix(prefix.into()), path, expected, &[]);
    }
}

#[test]
fn strips_prefixes() {
    let cases: &[(Lines, &str, After, Lines)] = &[
        (&["/api"], "/api/users?a=b", Ok("/users?a=b"), &["x-forwarded-prefix: /api"]),
        (&["/api"], "/api", Ok("/"), &["x-forwarded-prefix: /api"]),
        (&["/api"], "/api/", Ok("/"), &["x-forwarded-prefix: /api"]),
        (&["/api/"], "/api/users", Ok("/users"), &["x-forwarded-prefix: /api/"]),
        // Character by character, as Traefik does.
        (&["/api"], "/apiary", Ok("/ary"), &["x-forwarded-prefix: /api"]),
        (&["/api"], "/ap", Ok("/ap"), &[]),
        (&["/api"], "/API/users", Ok("/API/users"), &[]),
        // The first that fits, not the longest.
        (&["/a", "/api"], "/api/x", Ok("/pi/x"), &["x-forwarded-prefix: /a"]),
        (&["/b", "/api"], "/api/x", Ok("/x"), &["x-forwarded-prefix: /api"]),
        (&[""], "/api/x", Ok("/api/x"), &[]),
        (&["/"], "/api/x", Ok("/api/x"), &["x-forwarded-prefix: /"]),
        // What is left would be read as another path.
        (&["/api"], "/api../admin", Err(400), &[]),
        (&["/api"], "/api./admin", Err(400), &[]),
        (&["/api"], "/api..", Err(400), &[]),
    ];
    for (prefixes, path, expected, fields) in cases {
        let prefixes = prefixes.iter().map(|prefix| (*prefix).into()).collect();
        check(StepKind::StripPrefix(prefixes), path, *expected, fields);
    }
}

#[test]
fn strips_prefixes_by_pattern() {
    let cases: &[(&str, &str, After, Lines)] = &[
        ("/a[^/]*", "/abc/d", Ok("/d"), &["x-forwarded-prefix: /abc"]),
        ("^/v[0-9]+/", "/v12/d/e?q", Ok("/d/e?q"), &["x-forwarded-prefix: /v12/"]),
        ("/d", "/abc/d", Ok("/abc/d"), &[]),
        ("x*", "/abc/d", Ok("/abc/d"), &[]),
        ("/api", "/api../admin", Err(400), &[]),
    ];
    for (text, path, expected, fields) in cases {
        check(StepKind::StripPrefixRegex(vec![pattern(text)]), path, *expected, fields);
    }
}

#[test]
fn replaces_paths() {
    let kind = StepKind::ReplacePath("/new".into());
    check(kind, "/old/x?a=b", Ok("/new?a=b"), &["x-replaced-path: /old/x"]);
    check(StepKind::ReplacePath("new".into()), "/", Ok("/new"), &["x-replaced-path: /"]);
    check(StepKind::ReplacePath("/a?b".into()), "/", Ok("/a%3Fb"), &["x-replaced-path: /"]);
    check(StepKind::ReplacePath("/..".into()), "/", Err(500), &[]);
}

#[test]
fn replaces_paths_by_pattern() {
    let cases: &[(&str, &str, &str, After, Lines)] = &[
        ("^/foo/(.*)", "/bar/$1", "/foo/a/b?c", Ok("/bar/a/b?c"), &["x-replaced-path: /foo/a/b"]),
        ("^/foo/(.*)", "/bar/$1", "/fool/a", Ok("/fool/a"), &[]),
        (
            "/(?P<a>[^/]+)/(?P<b>[^/]+)",
            "/${b}/${a}",
            "/1/2",
            Ok("/2/1"),
            &["x-replaced-path: /1/2"],
        ),
        ("^/api(.*)", "$1", "/api/users", Ok("/users"), &["x-replaced-path: /api/users"]),
        ("^/api/?(.*)", "$1", "/api/users", Ok("/users"), &["x-replaced-path: /api/users"]),
        ("^/api(.*)", "$1", "/api../admin", Err(400), &[]),
        ("^/api(.*)", "/x/$1", "/api/admin", Err(400), &[]),
        ("^/api(.*)", "/x?y", "/api/admin", Ok("/x%3Fy"), &["x-replaced-path: /api/admin"]),
        (
            "^/api/(.*)",
            "/a b/$1",
            "/api/c%20d",
            Ok("/a%20b/c%20d"),
            &["x-replaced-path: /api/c%20d"],
        ),
        ("^/api/(.*)", "/a b/$1", "/api/..c/", Ok("/a%20b/..c/"), &["x-replaced-path: /api/..c/"]),
        ("^/api/.(.*)", "/a b/$1", "/api/x../", Err(400), &[]),
    ];
    for (text, replacement, path, expected, fields) in cases {
        let kind = StepKind::ReplacePathRegex {
            pattern: pattern(text),
            replacement: (*replacement).into(),
        };
        check(kind, path, *expected, fields);
    }
}

#[test]
fn rewrites_prefixes_as_gateway_api_says() {
    // Path, matched, replacement, result: the table of `HTTPPathModifier`, and what it leaves open.
    let cases = [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/foo", "/foo/", "/xyz/", "/xyz"),
        ("/bar", "/", "/xyz", "/xyz/bar"),
        ("/", "/", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "xyz", "/xyz/bar"),
        // Conformance: HTTPRouteRewritePath.
        ("/prefix/one/two", "/prefix/one", "/one", "/one/two"),
        ("/strip-prefix/three", "/strip-prefix", "/", "/three"),
        ("/strip-prefix", "/strip-prefix", "/", "/"),
        (
            "/prefix/rewrite-path-and-modify-headers/one",
            "/prefix/rewrite-path-and-modify-headers",
            "/prefix",
            "/prefix/one",
        ),
        // Another step came before: nothing to replace.
        ("/food/bar", "/foo", "/xyz", "/food/bar"),
        ("/other", "/foo", "/xyz", "/other"),
    ];
    for (path, matched, replacement, expected) in cases {
        let path_rewrite =
            PathRewrite::Prefix { matched: matched.into(), replacement: replacement.into() };
        let kind = StepKind::Rewrite(Rewrite { host: None, path: Some(path_rewrite) });
        check(kind, path, Ok(expected), &[]);
    }
}

#[test]
fn rewrites_whole_paths_and_hosts() {
    let full = |path: &str| {
        StepKind::Rewrite(Rewrite { host: None, path: Some(PathRewrite::Full(path.into())) })
    };
    check(full("/one"), "/full/one/two?q=1", Ok("/one?q=1"), &[]);
    check(full(""), "/full/one/two", Ok("/"), &[]);
    check(full("/a//b"), "/full", Ok("/a/b"), &[]);
    check(full("/a?b"), "/full", Ok("/a%3Fb"), &[]);
    check(full("/.."), "/full", Err(500), &[]);

    let host = |host: &str| StepKind::Rewrite(Rewrite { host: Some(host.into()), path: None });
    let head = request("GET http://rewrite.example:8080/one", &[]);
    let head = run(host("one.example.org"), head, PLAIN).passed();
    assert_eq!((head.authority(), head.path()), ("one.example.org", "/one"));
    let head = request("GET http://rewrite.example/one", &[]);
    assert_eq!(run(host("not a host"), head, PLAIN).answer().status(), 500);
}

#[test]
fn rewrites_by_pattern_as_istio_says() {
    let regex = |pattern: &str, replacement: &str| {
        let (pattern, replacement) = (self::pattern(pattern), replacement.into());
        let path = Some(PathRewrite::Regex { pattern, replacement });
        StepKind::Rewrite(Rewrite { host: None, path })
    };
    let service = || regex("^/service/([^/]+)(/.*)$", "$2/instance/$1");
    check(service(), "/service/foo/v1/api?q=1", Ok("/v1/api/instance/foo?q=1"), &[]);
    check(service(), "/other/foo?q=1", Ok("/other/foo?q=1"), &[]);
    // Every match, as RE2's GlobalReplace.
    check(regex("one", "two"), "/xxx/one/yyy/one/zzz", Ok("/xxx/two/yyy/two/zzz"), &[]);
    check(regex("^/a", ""), "/a", Ok("/"), &[]);
    check(regex("^/a/", ""), "/a/b", Ok("/b"), &[]);
    // What it puts together must not be read as something else.
    check(regex("x", ""), "/a/.x./b", Err(400), &[]);
    check(regex("b c", ""), "/a", Ok("/a"), &[]);
}

#[test]
fn leaves_requests_without_a_path() {
    let mut head = RequestHead::new();
    head.set_authority("example.com").expect("an authority");
    for kind in [
        StepKind::AddPrefix("/a".into()),
        StepKind::StripPrefix(vec!["/".into()]),
        StepKind::StripPrefixRegex(vec![pattern(".")]),
        StepKind::ReplacePath("/a".into()),
        StepKind::ReplacePathRegex { pattern: pattern(""), replacement: "/a".into() },
    ] {
        assert_eq!(run(kind, head.clone(), PLAIN).passed(), head);
    }
}

proptest! {
    /// Whatever is stripped, the upstream reads a canonical path or nothing.
    #[test]
    fn stripped_paths_are_canonical(path in "/[a./;%2]{0,12}", prefix in "/[a./]{0,4}") {
        let Ok(path) = canonical_path(&path, &PathRules::PERMISSIVE) else { return Ok(()) };
        let head = request(&format!("GET http://example.com{path}"), &[]);
        let kind = StepKind::StripPrefix(vec![prefix.as_str().into()]);
        let outcome = run(kind, head, PLAIN);
        let after = outcome.head.path();
        prop_assert_eq!(canonical_path(after, &PathRules::PERMISSIVE), Ok(after.to_owned()));
    }

    /// Adding a prefix and stripping it again gives the path that was.
    #[test]
    fn stripping_undoes_adding(path in "/[a-z]{1,8}(/[a-z]{1,4})?", prefix in "/[a-z]{1,8}") {
        let head = request(&format!("GET http://example.com{path}"), &[]);
        let head = run(StepKind::AddPrefix(prefix.as_str().into()), head, PLAIN).passed();
        let head = run(StepKind::StripPrefix(vec![prefix.into()]), head, PLAIN).passed();
        prop_assert_eq!(head.path(), path);
    }
}
