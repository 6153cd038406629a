use super::*;
use crate::testing::{lines, request, response};

fn cookie() -> Cookie {
    Cookie {
        name: "lvl".into(),
        path: "/".into(),
        domain: "".into(),
        http_only: false,
        secure: false,
        same_site: "".into(),
        max_age_secs: 0,
    }
}

#[test]
fn names() {
    // `printf _TRAEFIK_BACKEND_service | sha1sum`
    assert_eq!(cookie_name("", "service"), "_d5c9c");
    assert_eq!(cookie_name("my-cookie", "service"), "my-cookie");
    assert_eq!(cookie_name("my cookie;=é", "service"), "my_cookie___");
}

#[test]
fn values() {
    // `printf http://127.0.0.1:8080 | sha256sum`
    assert_eq!(Mark::of("http://127.0.0.1:8080").as_str(), "d30a576c03187167");
    assert_ne!(Mark::of("a"), Mark::of("b"));
    let value = Mark::of("a");
    assert_eq!(Mark::parse(value.as_str().as_bytes()), Some(value));
    for text in ["", "0123", "0123456789abcdeg", "0123456789ABCDEF", "0123456789abcdef0"] {
        assert_eq!(Mark::parse(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn reads() {
    let value = Mark::of("a");
    let text = value.as_str();
    let cases = [
        (format!("lvl={text}"), true),
        (format!("x=1; lvl={text}; y=2"), true),
        (format!("lvl=\"{text}\""), true),
        (format!("lvl=old; lvl={text}"), true),
        (format!("LVL={text}"), false),
        (format!("xlvl={text}"), false),
        ("lvl=".into(), false),
        ("lvl".into(), false),
        (String::new(), false),
    ];
    for (line, found) in cases {
        let head = request("GET http://a/", &[("Cookie", "z=0"), ("Cookie", &line)]);
        assert_eq!(
            read(&Affinity::Cookie(cookie()), &head.fields),
            found.then_some(value),
            "{line}"
        );
    }
}

#[test]
fn a_header_has_a_word_for_the_backend_and_one_for_its_endpoint() {
    let [backend, endpoint, other] = ["backend", "endpoint", "other"].map(Mark::of);
    let [b, e, o] = [backend, endpoint, other].map(|value| value.as_str().to_owned());
    let header = |word| Affinity::Header(SessionHeader { name: "x-session".into(), word });
    let check = |brought: &str, chosen: &[(Word, Mark)], expected: &str| {
        let req = request("GET http://a/", &[("x-session", brought)]);
        let chosen: Vec<_> = chosen.iter().map(|(word, value)| (header(*word), *value)).collect();
        let mut head = response(200, &[("X-Session", "the application's")]);
        let chosen = chosen.iter().map(|(affinity, value)| (affinity, *value));
        write_all(chosen, &req.fields, &mut head).expect("a header");
        assert_eq!(lines(&head.fields), [format!("x-session: {expected}")], "{brought}");
        let mut req = request("GET http://a/", &[]);
        req.fields.set("x-session", expected.as_bytes()).expect("a header");
        [Word::Backend, Word::Endpoint].map(|word| read(&header(word), &req.fields))
    };
    let both = [(Word::Backend, backend), (Word::Endpoint, endpoint)];
    assert_eq!(check("", &both, &format!("{b}.{e}")), [Some(backend), Some(endpoint)]);
    // The backend stays, and its endpoint is another one.
    check(&format!("{b}.{o}"), &[(Word::Endpoint, endpoint)], &format!("{b}.{e}"));
    check(&format!("{o}.{e}"), &[(Word::Backend, backend)], &format!("{b}.{e}"));
    // Where there is one backend, it has no word.
    check("", &[(Word::Endpoint, endpoint)], &e);
    check(&o, &[(Word::Endpoint, endpoint)], &e);
    check("never.ours", &[(Word::Endpoint, endpoint)], &e);
}

#[test]
fn writes() {
    let value = Mark::of("a");
    let text = value.as_str();
    let full = Cookie {
        path: "/shop".into(),
        domain: "example.com".into(),
        http_only: true,
        secure: true,
        same_site: "LAX".into(),
        max_age_secs: 60,
        ..cookie()
    };
    let cases = [
        (cookie(), format!("set-cookie: lvl={text}; Path=/")),
        (
            full,
            format!(
                "set-cookie: lvl={text}; Path=/shop; Domain=example.com; Max-Age=60; Secure; \
                 HttpOnly; SameSite=Lax"
            ),
        ),
        (
            Cookie { max_age_secs: -1, same_site: "default".into(), ..cookie() },
            format!("set-cookie: lvl={text}; Path=/; Max-Age=0"),
        ),
    ];
    for (cookie, expected) in cases {
        let mut head = response(200, &[]);
        write(&cookie, value, &mut head).expect("a cookie");
        assert_eq!(lines(&head.fields), [expected]);
    }
    let bad = Cookie { path: "/; Domain=evil.test".into(), ..cookie() };
    let mut head = response(200, &[]);
    assert_eq!(write(&bad, value, &mut head), Err(InvalidCookie::Attribute));
    assert!(head.fields.is_empty());
}
