use super::*;

#[track_caller]
fn check(path: &str, expected: Result<&str, InvalidTarget>) {
    let got = canonical_path(path, &PathRules::default());
    assert_eq!(got.as_deref(), expected.as_deref(), "{path:?}");
    if let Ok(canonical) = got {
        assert_eq!(canonical_path(&canonical, &PathRules::default()), Ok(canonical));
    }
}

// gateway.md, "Path and host views".

#[test]
fn one_path_for_every_spelling() {
    for path in [
        "/admin",
        "//admin",
        "///admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/%2E%2e/admin",
        "/x/.%2e/admin",
        "/%61dmin",
        "/%61%64%6d%69%6e",
        "/.//./admin",
        "/a/b/../../admin",
        "/x//../admin",
    ] {
        check(path, Ok("/admin"));
    }
    check("/ADMIN", Ok("/ADMIN"));
    check("/admin/", Ok("/admin/"));
    check("/admin//", Ok("/admin/"));
    check("/admin.", Ok("/admin."));
    check("/admin;a=b", Ok("/admin;a=b"));
    check("/admin%23", Ok("/admin%23"));
    check("/admin%3f", Ok("/admin%3F"));
    check("/admin%3bx", Ok("/admin%3Bx"));
    check("/api../foo", Ok("/api../foo"));
    check("/...", Ok("/..."));
    check("/.well-known/x", Ok("/.well-known/x"));
    check("/a%25b", Ok("/a%25b"));
    check("/caf%c3%a9", Ok("/caf%C3%A9"));
    check("/%e2%82%ac%f0%9f%98%80", Ok("/%E2%82%AC%F0%9F%98%80"));
    check("/a%20b|c\"<>^`{}", Ok("/a%20b%7Cc%22%3C%3E%5E%60%7B%7D"));
    check("/a[1]", Ok("/a[1]"));
}

#[test]
fn dot_segments_end_as_traefik_has_it() {
    check("/", Ok("/"));
    check("//", Ok("/"));
    check("/.", Ok("/"));
    check("/./", Ok("/"));
    check("/a/.", Ok("/a"));
    check("/a/..", Ok("/"));
    check("/a/../", Ok("/"));
    check("/a/b/..", Ok("/a"));
    check("/a/b/../", Ok("/a/"));
}

#[test]
fn ambiguous_paths_are_refused() {
    for (path, expected) in [
        ("/x%2fadmin", InvalidTarget::EncodedSlash),
        ("/x%2Fadmin", InvalidTarget::EncodedSlash),
        ("/x%5cadmin", InvalidTarget::EncodedBackslash),
        ("/x\\admin", InvalidTarget::Backslash),
        ("/\\evil", InvalidTarget::Backslash),
        ("/admin%00", InvalidTarget::EncodedNul),
        ("/admin#f", InvalidTarget::Fragment),
        ("/user/..;x=y/admin", InvalidTarget::DotSegment),
        ("/.;/admin", InvalidTarget::DotSegment),
        ("/..;", InvalidTarget::DotSegment),
        ("/x/%2e%2e;/admin", InvalidTarget::DotSegment),
        ("/x/..%3b/admin", InvalidTarget::DotSegment),
        ("/%252e%252e/admin", InvalidTarget::DoubleEncoding),
        ("/x%252fadmin", InvalidTarget::DoubleEncoding),
        ("/x%252Fadmin", InvalidTarget::DoubleEncoding),
        ("/x%255cadmin", InvalidTarget::DoubleEncoding),
        ("/x%2500", InvalidTarget::DoubleEncoding),
        ("/x%25252e", InvalidTarget::DoubleEncoding),
        ("/x%25%32%65", InvalidTarget::DoubleEncoding),
        ("/%c0%ae%c0%ae/admin", InvalidTarget::Utf8),
        ("/%c0%af", InvalidTarget::Utf8),
        ("/%e0%80%ae", InvalidTarget::Utf8),
        ("/%ed%a0%80", InvalidTarget::Utf8),
        ("/%e9", InvalidTarget::Utf8),
        ("/%e9x", InvalidTarget::Utf8),
        ("/%e2%82", InvalidTarget::Utf8),
        ("/%80", InvalidTarget::Utf8),
        ("/..", InvalidTarget::AboveRoot),
        ("/../admin", InvalidTarget::AboveRoot),
        ("/a/../../b", InvalidTarget::AboveRoot),
        ("/%2e%2e", InvalidTarget::AboveRoot),
        ("/a%", InvalidTarget::Escape),
        ("/a%4", InvalidTarget::Escape),
        ("/a%zz", InvalidTarget::Escape),
        ("/a%u002e", InvalidTarget::Escape),
        ("/a%%32%65", InvalidTarget::Escape),
        ("/a b", InvalidTarget::Control),
        ("/a\tb", InvalidTarget::Control),
        ("/a\0b", InvalidTarget::Control),
        ("/a\u{7f}", InvalidTarget::Control),
        ("/caf\u{e9}", InvalidTarget::NonAscii),
        ("/a?b", InvalidTarget::Form),
        ("", InvalidTarget::Form),
        ("a", InvalidTarget::Form),
        ("*", InvalidTarget::Form),
    ] {
        check(path, Err(expected));
    }
}

#[test]
fn rules_let_through_what_they_name() {
    let slash = PathRules { allow_encoded_slash: true, ..PathRules::default() };
    assert_eq!(canonical_path("/a%2fb", &slash).as_deref(), Ok("/a%2Fb"));
    assert_eq!(canonical_path("/a%5cb", &slash), Err(InvalidTarget::EncodedBackslash));
    // Encoded slashes never hide a dot segment.
    for path in ["/a%2f..%2fb", "/..%2fb", "/a%2f..", "/a%2f.", "/.%2f", "/a%2f..;x%2fb"] {
        assert_eq!(canonical_path(path, &slash), Err(InvalidTarget::DotSegment), "{path}");
    }
    let all = PathRules::PERMISSIVE;
    assert_eq!(canonical_path("/%00%5c%e9", &all).as_deref(), Ok("/%00%5C%E9"));
    assert_eq!(canonical_path("/..%5cb", &all), Err(InvalidTarget::DotSegment));
    assert_eq!(canonical_path("/%252f", &all), Err(InvalidTarget::DoubleEncoding));
}
