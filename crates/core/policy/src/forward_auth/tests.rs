use weft_model::id::BackendId;

use super::*;
use crate::testing::{PLAIN, TLS, lines, name, request, response};

fn settings() -> ForwardAuth {
    ForwardAuth {
        backend: BackendId::new("auth"),
        host: "auth.test:9000".into(),
        path: "/check?from=edge".into(),
        trust_forward_header: false,
        request_headers: vec![],
        response_headers: vec![],
        response_headers_pattern: None,
        add_cookies: vec![],
        forward_body: false,
        body_bytes_max: None,
        answer_bytes_max: None,
        header: None,
        preserve_location: false,
        preserve_method: false,
    }
}

#[track_caller]
fn asked(settings: &ForwardAuth, head: &RequestHead, client: ClientFacts) -> RequestHead {
    question(settings, head, client).expect("a question")
}

fn sorted(head: &RequestHead) -> Vec<String> {
    let mut lines = lines(&head.fields);
    lines.sort();
    lines
}

#[test]
fn asks_about_the_request() {
    let head = request(
        "POST http://shop.test:8080/buy/1?q=2",
        &[("Cookie", "a=b"), ("Authorization", "Bearer t"), ("Content-Type", "text/plain")],
    );
    let question = asked(&settings(), &head, PLAIN);
    assert_eq!(*question.method(), Method::Get);
    assert_eq!(question.authority(), "auth.test:9000");
    assert_eq!(question.path_and_query(), "/check?from=edge");
    assert_eq!(
        sorted(&question),
        [
            "authorization: Bearer t",
            "content-type: text/plain",
            "cookie: a=b",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: shop.test:8080",
            "x-forwarded-method: POST",
            "x-forwarded-port: 8080",
            "x-forwarded-proto: http",
            "x-forwarded-uri: /buy/1?q=2",
        ]
    );
}

/// What a client may lie about.
const CLAIMS: &[(&str, &str)] = &[
    ("X-Forwarded-For", "10.0.0.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Uri", "/public"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Host", "public.test"),
    ("X-Forwarded-Prefix", "/p"),
    ("X-Forwarded-Port", "444"),
    ("X-Real-Ip", "10.0.0.1"),
    ("X_Forwarded_Uri", "/public"),
];

#[test]
fn claims_are_replaced_unless_trusted() {
    let head = request("POST http://shop.test/buy", CLAIMS);
    assert_eq!(
        sorted(&asked(&settings(), &head, TLS)),
        [
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: shop.test",
            "x-forwarded-method: POST",
            "x-forwarded-port: 443",
            "x-forwarded-proto: https",
            "x-forwarded-uri: /buy",
        ]
    );
    let trusting = ForwardAuth { trust_forward_header: true, ..settings() };
    assert_eq!(
        sorted(&asked(&trusting, &head, PLAIN)),
        [
            "x-forwarded-for: 10.0.0.1, 192.0.2.1",
            "x-forwarded-host: public.test",
            "x-forwarded-method: GET",
            "x-forwarded-port: 444",
            "x-forwarded-prefix: /p",
            "x-forwarded-proto: https",
            "x-forwarded-uri: /public",
            "x-real-ip: 10.0.0.1",
            "x_forwarded_uri: /public",
        ]
    );
}

#[test]
fn only_listed_headers_are_copied() {
    let fields = [("Cookie", "a=b"), ("cookie", "c=d"), ("Authorization", "t"), ("X-Real-Ip", "9")];
    let head = request("GET http://a/", &fields);
    let listed = ForwardAuth { request_headers: vec![name("Cookie"), name("X-No")], ..settings() };
    let question = asked(&listed, &head, PLAIN);
    assert_eq!(lines(&question.fields)[..2], ["cookie: a=b", "cookie: c=d"]);
    assert!(!question.fields.contains(Known::Authorization));
    assert!(!question.fields.contains(Known::XRealIp));
    assert_eq!(question.fields.get_str(Known::XForwardedUri), Some("/"));
    let trusting = ForwardAuth { trust_forward_header: true, ..listed };
    assert_eq!(asked(&trusting, &head, PLAIN).fields.get_str(Known::XRealIp), Some("9"));
}

#[test]
fn hop_by_hop_fields_stay_here() {
    let fields = [
        ("Connection", "X-Secret, Upgrade"),
        ("X-Secret", "s"),
        ("Upgrade", "websocket"),
        ("TE", "trailers"),
        ("Content-Length", "5"),
        ("Expect", "100-continue"),
        ("Accept", "*/*"),
    ];
    let question = asked(&settings(), &request("PUT http://a/", &fields), PLAIN);
    let lines = lines(&question.fields);
    assert_eq!(lines[0], "accept: */*");
    assert!(lines[1..].iter().all(|line| line.starts_with("x-forwarded-")), "{lines:?}");
}

#[test]
fn the_method_may_be_kept() {
    let keeping = ForwardAuth { preserve_method: true, path: "".into(), ..settings() };
    let method = |line: &str| asked(&keeping, &request(line, &[]), PLAIN).method().clone();
    assert_eq!(method("DELETE http://a/"), Method::Delete);
    assert_eq!(method("CONNECT http://a/"), Method::Get);
    assert_eq!(asked(&keeping, &request("GET http://a/", &[]), PLAIN).path_and_query(), "/");
}

#[test]
fn settings_that_make_no_question() {
    let head = request("GET http://a/", &[]);
    let bad_path = ForwardAuth { path: "/../b".into(), ..settings() };
    assert!(matches!(question(&bad_path, &head, PLAIN), Err(InvalidQuestion::Path(_))));
    let bad_host = ForwardAuth { host: "a b".into(), ..settings() };
    assert!(matches!(question(&bad_host, &head, PLAIN), Err(InvalidQuestion::Host(_))));
}

#[track_caller]
fn check_pass(
    settings: &ForwardAuth,
    answer: &[(&str, &str)],
    before: &[(&str, &str)],
    after: &[&str],
) -> AuthCookies {
    let mut head = request("GET http://a/", before);
    let verdict = apply_answer(settings, &response(204, answer), &mut head).expect("it fits");
    assert_eq!(lines(&head.fields), after);
    match verdict {
        AuthVerdict::Pass { cookies } => cookies,
        AuthVerdict::Deny => panic!("denied"),
    }
}

#[test]
fn identity_headers_come_from_the_authorizer_only() {
    let settings = ForwardAuth {
        response_headers: vec![name("X-Auth-User"), name("X-Auth-Groups"), name("Content-Length")],
        ..settings()
    };
    let forged = [
        ("X-Auth-User", "root"),
        ("X_Auth_User", "root"),
        ("x.auth.groups", "admin"),
        ("X-Auth-Other", "kept"),
    ];
    let answer = [("X-Auth-User", "ann"), ("X-Auth-User", "also"), ("Content-Length", "0")];
    check_pass(
        &settings,
        &answer,
        &forged,
        &["x-auth-other: kept", "x-auth-user: ann", "x-auth-user: also"],
    );
    // Removed also when the authorizer says nothing.
    check_pass(&settings, &[], &forged, &["x-auth-other: kept"]);
}

#[test]
fn identity_headers_by_pattern() {
    let settings = ForwardAuth {
        response_headers_pattern: Some(Pattern::new("^X-Auth-").expect("a pattern")),
        ..settings()
    };
    check_pass(
        &settings,
        &[("x-auth-user", "ann"), ("X-Other", "no"), ("x-auth-user", "also")],
        &[("X-Auth-Admin", "1"), ("x_auth.user", "root"), ("X-AUTH-x", "1"), ("My-X-Auth-", "y")],
        &["my-x-auth-: y", "x-auth-user: ann", "x-auth-user: also"],
    );
    let all = ForwardAuth {
        response_headers_pattern: Some(Pattern::new(".*").expect("a pattern")),
        ..settings
    };
    check_pass(&all, &[("Transfer-Encoding", "chunked"), ("a", "b")], &[("c", "d")], &["a: b"]);
}

#[test]
fn everything_but_success_denies() {
    let settings = ForwardAuth { response_headers: vec![name("X-User")], ..settings() };
    for status in [100, 101, 199, 300, 302, 401, 403, 404, 500, 503] {
        let mut head = request("GET http://a/", &[("X-User", "root")]);
        let before = head.clone();
        let answer = response(status, &[("X-User", "ann")]);
        let verdict = apply_answer(&settings, &answer, &mut head).expect("it fits");
        assert_eq!((verdict, head), (AuthVerdict::Deny, before), "{status}");
    }
    assert_eq!(denial_reason(401), Reason::Unauthorized);
    assert_eq!(denial_reason(302), Reason::Direct);
    assert_eq!(denial_reason(403), Reason::Forbidden);
    assert_eq!(denial_reason(500), Reason::Forbidden);
}

#[test]
fn listed_cookies_go_to_the_client() {
    let settings = ForwardAuth { add_cookies: vec!["session".into()], ..settings() };
    let answer = [("Set-Cookie", "session=new; Path=/"), ("Set-Cookie", "other=1")];
    let cookies = check_pass(&settings, &answer, &[], &[]);
    let upstream = [
        ("set-cookie", "session=old"),
        ("set-cookie", "session2=kept"),
        ("set-cookie", "other=kept"),
    ];
    let mut head = response(200, &upstream);
    add_cookies(&settings, &cookies, &mut head).expect("it fits");
    assert_eq!(
        lines(&head.fields),
        ["set-cookie: session2=kept", "set-cookie: other=kept", "set-cookie: session=new; Path=/"]
    );
    // Without cookies of the authorizer the upstream's stay.
    let cookies = check_pass(&settings, &[], &[], &[]);
    let mut head = response(200, &upstream);
    add_cookies(&settings, &cookies, &mut head).expect("it fits");
    assert_eq!(head.fields.len(), 3);
}

#[test]
fn denials_go_out_as_the_authorizer_made_them() {
    let fields = [
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Content-Length", "4"),
        ("WWW-Authenticate", "Bearer"),
        ("Set-Cookie", "a=b"),
    ];
    let head = denial(&settings(), &response(401, &fields), false).expect("it fits");
    assert_eq!(head.status(), 401);
    assert_eq!(lines(&head.fields), ["www-authenticate: Bearer", "set-cookie: a=b"]);
}

#[test]
fn locations_are_made_absolute() {
    // Location, the one sent.
    let cases = [
        ("https://login.test/x", "https://login.test/x"),
        ("/login?x", "https://auth.test:9000/login?x"),
        ("//login.test/x", "https://login.test/x"),
        ("login", "https://auth.test:9000/login"),
        ("?y", "https://auth.test:9000/check?y"),
        ("#z", "https://auth.test:9000/check?from=edge#z"),
        ("a/b:c", "https://auth.test:9000/a/b:c"),
    ];
    for (location, expected) in cases {
        let answer = response(302, &[("Location", location)]);
        let head = denial(&settings(), &answer, true).expect("it fits");
        assert_eq!(head.fields.get_str(Known::Location), Some(expected));
        let keeping = ForwardAuth { preserve_location: true, ..settings() };
        let head = denial(&keeping, &answer, true).expect("it fits");
        assert_eq!(head.fields.get_str(Known::Location), Some(location));
    }
}

#[test]
fn the_user_is_for_logs() {
    let settings = ForwardAuth { header: Some(name("X-User")), ..settings() };
    let answer = response(200, &[("X-User", "ann")]);
    assert_eq!(user(&settings, &answer), Some("ann"));
    assert_eq!(user(&self::settings(), &answer), None);
}
