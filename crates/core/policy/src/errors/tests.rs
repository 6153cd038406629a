use std::sync::Arc;

use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::Target;

use super::*;
use crate::testing::{lines, name, request};

fn pages(query: &str) -> ErrorPages {
    ErrorPages {
        statuses: vec![(404, 404), (500, 599)],
        rewrites: vec![((502, 504), 503), ((500, 599), 500)],
        target: Target::Refuse(Refusal { reason: Reason::NoRoute, detail: Arc::from("") }),
        query: query.into(),
        request_headers: None,
    }
}

#[test]
fn statuses_are_replaced_and_rewritten() {
    let cases = [
        (200, None),
        (403, None),
        (404, Some(404)),
        (405, None),
        (499, None),
        (500, Some(500)),
        (501, Some(500)),
        (502, Some(503)),
        (504, Some(503)),
        (599, Some(500)),
        (600, None),
    ];
    for (status, expected) in cases {
        assert_eq!(wants(&pages("/"), status), expected, "{status}");
    }
}

#[test]
fn templates() {
    // Template, path and query.
    let cases = [
        ("/{status}.html", Some("/503.html")),
        ("{status}.html", Some("/503.html")),
        ("/x?code={originalStatus}&s={status}", Some("/x?code=502&s=503")),
        ("/x?u={url}", Some("/x?u=http%3A%2F%2Fshop.test%3A8080%2Fa%2Fb%3Fq%3D1%252")),
        // No references, so they stand for themselves.
        ("/{other}{status", Some("/%7Bother%7D%7Bstatus")),
        ("", Some("/")),
        ("/a/../b", Some("/b")),
        ("/../b", None),
        ("/a?b c", None),
    ];
    let head = request("POST http://shop.test:8080/a/b?q=1%2", &[]);
    for (template, expected) in cases {
        let question = question(&pages(template), 503, 502, &head, false);
        let found = question.as_ref().map(RequestHead::path_and_query);
        assert_eq!(found, expected, "{template}");
        if let Some(question) = &question {
            assert_eq!(question.authority(), "shop.test:8080");
            assert_eq!(*question.method(), Method::Get);
        }
    }
}

#[test]
fn headers_of_the_question() {
    let fields = [
        ("Accept", "text/html"),
        ("Cookie", "a=b"),
        ("If-None-Match", "\"x\""),
        ("Range", "bytes=0-1"),
        ("Content-Length", "5"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
    ];
    let head = request("POST http://a/", &fields);
    let all = question(&pages("/"), 500, 500, &head, true).expect("a question");
    assert_eq!(lines(&all.fields), ["accept: text/html", "cookie: a=b"]);
    assert_eq!(all.scheme(), Scheme::Https);
    let some = ErrorPages { request_headers: Some(vec![name("Accept"), name("X")]), ..pages("/") };
    let some = question(&some, 500, 500, &head, true).expect("a question");
    assert_eq!(lines(&some.fields), ["accept: text/html"]);
    let none = ErrorPages { request_headers: Some(vec![]), ..pages("/") };
    assert!(question(&none, 500, 500, &head, true).expect("a question").fields.is_empty());
}
