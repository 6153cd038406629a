use super::*;
use crate::testing::{lines, request, response};

type Pairs = &'static [(&'static str, &'static str)];

fn settings() -> Compress {
    Compress {
        codings: vec![Coding::Gzip, Coding::Brotli, Coding::Zstd],
        default: None,
        body_bytes_min: 1024,
        excluded_types: vec![],
        included_types: vec![],
    }
}

#[test]
fn negotiates() {
    use Coding::{Brotli, Gzip};
    let cases = [
        (None, None),
        (Some(""), None),
        (Some("gzip"), Some(Gzip)),
        (Some("GZip"), Some(Gzip)),
        (Some("x-gzip"), Some(Gzip)),
        (Some("br"), Some(Brotli)),
        (Some("zstd, br"), Some(Brotli)),
        (Some("zstd, br, gzip"), Some(Gzip)),
        (Some("gzip;q=0.5, br;q=0.8, zstd;q=0.3"), Some(Brotli)),
        (Some("gzip;q=0.8, br;q=0.8"), Some(Gzip)),
        (Some("gzip;q=0"), None),
        (Some("gzip;q=0, br"), Some(Brotli)),
        (Some("gzip;q=nonsense, br;q=0.1"), Some(Brotli)),
        (Some("deflate"), None),
        (Some("deflate, gzip;q=0.001"), Some(Gzip)),
        (Some("*"), Some(Gzip)),
        (Some("*;q=0"), None),
        (Some("gzip, *;q=0"), Some(Gzip)),
        (Some("*, gzip;q=0"), Some(Brotli)),
        (Some("identity"), None),
        (Some("identity, gzip"), Some(Gzip)),
        (Some("identity, gzip;q=0.5"), None),
        (Some("identity;q=0.5, gzip;q=0.6"), Some(Gzip)),
        (Some("identity;q=0, gzip"), Some(Gzip)),
        (Some("gzip;q=0.2, gzip;q=1, br;q=0.5"), Some(Brotli)),
        (Some(" gzip ; q=0.4 ,, br ; q = 0.5 "), Some(Brotli)),
    ];
    for (accept, expected) in cases {
        assert_eq!(negotiate(accept.map(str::as_bytes), &settings()), expected, "{accept:?}");
    }
}

#[test]
fn the_order_of_the_settings_decides_between_equals() {
    let settings = Compress { codings: vec![Coding::Zstd, Coding::Gzip], ..settings() };
    assert_eq!(negotiate(Some(b"gzip, zstd, br"), &settings), Some(Coding::Zstd));
    assert_eq!(negotiate(Some(b"br"), &settings), None);
    assert_eq!(negotiate(Some(b"*"), &Compress { codings: vec![], ..settings }), None);
}

#[test]
fn the_default_is_for_who_names_none() {
    let settings = Compress { default: Some(Coding::Brotli), ..settings() };
    assert_eq!(negotiate(None, &settings), Some(Coding::Brotli));
    assert_eq!(negotiate(Some(b"*"), &settings), Some(Coding::Brotli));
    assert_eq!(negotiate(Some(b"gzip, *"), &settings), Some(Coding::Brotli));
    assert_eq!(negotiate(Some(b"gzip, *;q=0.5"), &settings), Some(Coding::Gzip));
    assert_eq!(negotiate(Some(b"br;q=0, *"), &settings), Some(Coding::Gzip));
    assert_eq!(negotiate(Some(b""), &settings), None);
    assert_eq!(negotiate(Some(b"gzip"), &settings), Some(Coding::Gzip));
}

#[test]
fn all_lines_count() {
    let fields = [("Accept-Encoding", "gzip;q=0.5"), ("accept-encoding", "br")];
    let head = request("GET http://a/", &fields);
    assert_eq!(negotiate_fields(&head.fields, &settings()), Some(Coding::Brotli));
}

#[test]
fn applies_to_whole_plain_bodies() {
    // Status, fields, length, whether it applies.
    let cases: &[(u16, Pairs, Option<u64>, bool)] = &[
        (200, &[("Content-Type", "text/html")], Some(1024), true),
        (200, &[("Content-Type", "text/html")], Some(1023), false),
        (200, &[("Content-Type", "text/html")], None, true),
        (200, &[], None, true),
        (404, &[], None, true),
        (101, &[], None, false),
        (204, &[], None, false),
        (205, &[], None, false),
        (206, &[], None, false),
        (304, &[], None, false),
        (200, &[("Content-Range", "bytes 0-1/2")], None, false),
        (200, &[("Content-Encoding", "gzip")], None, false),
        (200, &[("Content-Encoding", "identity")], None, true),
        (200, &[("Content-Encoding", "identity, br")], None, false),
        (200, &[("Cache-Control", "public, No-Transform")], None, false),
        (200, &[("Cache-Control", "public, max-age=1")], None, true),
        (200, &[("Content-Type", "application/grpc")], None, false),
        (200, &[("Content-Type", "application/grpc+proto")], None, false),
        (200, &[("Content-Type", "application/grpc-web")], None, true),
    ];
    for (status, fields, length, expected) in cases {
        let head = response(*status, fields);
        assert_eq!(applies(&settings(), &head, false, *length), *expected, "{status} {fields:?}");
        assert!(!applies(&settings(), &head, true, *length), "no body for HEAD");
    }
    let none = Compress { codings: vec![], ..settings() };
    assert!(!applies(&none, &response(200, &[]), false, None));
}

#[test]
fn types_left_out() {
    let excluding = Compress { excluded_types: vec!["text/event-stream".into()], ..settings() };
    let including = Compress { included_types: vec!["text/html".into()], ..settings() };
    let html = response(200, &[("Content-Type", "text/html; charset=utf-8")]);
    let stream = response(200, &[("Content-Type", "text/event-stream")]);
    assert!(applies(&excluding, &html, false, None));
    assert!(!applies(&excluding, &stream, false, None));
    assert!(applies(&including, &html, false, None));
    assert!(!applies(&including, &stream, false, None));
}

#[test]
fn the_head_of_a_compressed_response() {
    let mut head = response(
        200,
        &[
            ("content-length", "5000"),
            ("etag", "\"abc\""),
            ("accept-ranges", "bytes"),
            ("Content-MD5", "x"),
            ("Content-Digest", "x"),
            ("a", "b"),
        ],
    );
    edit(Coding::Brotli, &mut head).expect("it fits");
    add_vary(&mut head).expect("it fits");
    add_vary(&mut head).expect("it fits");
    assert_eq!(
        lines(&head.fields),
        ["etag: W/\"abc\"", "a: b", "content-encoding: br", "vary: Accept-Encoding"]
    );
    let mut head = response(200, &[("etag", "W/\"abc\""), ("vary", "accept-encoding, origin")]);
    edit(Coding::Zstd, &mut head).expect("it fits");
    add_vary(&mut head).expect("it fits");
    assert_eq!(
        lines(&head.fields),
        ["etag: W/\"abc\"", "vary: accept-encoding, origin", "content-encoding: zstd"]
    );
    assert_eq!(name(Coding::Gzip), "gzip");
}
