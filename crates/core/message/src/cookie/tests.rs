use super::*;

#[test]
fn finds_the_first_of_its_name() {
    let mut fields = Fields::new();
    fields.append(Known::Cookie, b"a=1; b = \"two\" ;c; =d; e=x=y; a=9").unwrap();
    fields.append(Known::Cookie, b"f=6").unwrap();
    let text = |name| find(&fields, name).map(|value| String::from_utf8(value.to_vec()).unwrap());
    assert_eq!(text("a").as_deref(), Some("1"));
    assert_eq!(text("b").as_deref(), Some("two"));
    assert_eq!(text("c"), None);
    assert_eq!(text("A"), None);
    assert_eq!(text("e").as_deref(), Some("x=y"));
    assert_eq!(text("f").as_deref(), Some("6"));
    assert_eq!(find(&Fields::new(), "a"), None);
}

#[test]
fn writes_every_attribute() {
    let mut fields = Fields::new();
    SetCookie::new("a", "1").append_to(&mut fields).unwrap();
    let full = SetCookie {
        path: "/x",
        domain: "a.example",
        max_age: Some(Duration::from_secs(60)),
        secure: true,
        http_only: true,
        same_site: Some(SameSite::Lax),
        ..SetCookie::new("b", "2")
    };
    full.append_to(&mut fields).unwrap();
    let values: Vec<_> = fields.get_all(Known::SetCookie).collect();
    let expected: [&[u8]; 2] =
        [b"a=1", b"b=2; Path=/x; Domain=a.example; Max-Age=60; Secure; HttpOnly; SameSite=Lax"];
    assert_eq!(values, expected);
}

#[test]
fn refuses_what_would_end_the_cookie() {
    let mut fields = Fields::new();
    let mut refuse = |cookie: SetCookie<'_>| cookie.append_to(&mut fields).unwrap_err();
    for name in ["", "a b", "a=b", "a;"] {
        assert_eq!(refuse(SetCookie::new(name, "1")), InvalidCookie::Name);
    }
    for value in ["a;b", "a b", "a\"", "a,b", "a\\b", "a\r\n", "\u{e9}"] {
        assert_eq!(refuse(SetCookie::new("a", value)), InvalidCookie::Value);
    }
    let path = SetCookie { path: "/; Secure", ..SetCookie::new("a", "1") };
    assert_eq!(refuse(path), InvalidCookie::Attribute);
    assert!(fields.is_empty());
}
