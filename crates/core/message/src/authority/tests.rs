use super::*;

#[track_caller]
fn check(authority: &str, expected: Result<(&str, &str, Option<u16>), InvalidHost>) {
    let mut out = b"/".to_vec();
    let got = push_canonical(authority.as_bytes(), &mut out).map(|found| {
        let text = String::from_utf8(out[1..].to_vec()).unwrap();
        (text[..found.host_len].to_owned(), text, found.port)
    });
    let expected = expected.map(|(host, text, port)| (host.to_owned(), text.to_owned(), port));
    assert_eq!(got, expected, "{authority:?}");
}

#[test]
fn hosts_become_canonical() {
    check("Shop.Example", Ok(("shop.example", "shop.example", None)));
    check("shop.example.", Ok(("shop.example", "shop.example", None)));
    check("shop.example.:8080", Ok(("shop.example", "shop.example:8080", Some(8080))));
    check("a_b-c.d", Ok(("a_b-c.d", "a_b-c.d", None)));
    check("localhost:1", Ok(("localhost", "localhost:1", Some(1))));
    check("127.0.0.1:65535", Ok(("127.0.0.1", "127.0.0.1:65535", Some(65535))));
    check("[::1]", Ok(("[::1]", "[::1]", None)));
    check("[0:0:0:0:0:0:0:1]:80", Ok(("[::1]", "[::1]:80", Some(80))));
    check("[2001:DB8::A]", Ok(("[2001:db8::a]", "[2001:db8::a]", None)));
}

#[test]
fn other_text_is_refused() {
    for (authority, expected) in [
        ("", InvalidHost::Empty),
        (".", InvalidHost::Empty),
        (":80", InvalidHost::Empty),
        (".a", InvalidHost::EmptyLabel),
        ("a..b", InvalidHost::EmptyLabel),
        ("a..", InvalidHost::EmptyLabel),
        ("a b", InvalidHost::Byte),
        ("a/b", InvalidHost::Byte),
        ("a?b", InvalidHost::Byte),
        ("a#b", InvalidHost::Byte),
        ("a\\b", InvalidHost::Byte),
        ("a%41", InvalidHost::Byte),
        ("*.a", InvalidHost::Byte),
        ("a,b", InvalidHost::Byte),
        ("b\u{fc}cher", InvalidHost::Byte),
        ("u@a", InvalidHost::UserInfo),
        ("u:p@a", InvalidHost::UserInfo),
        ("a:", InvalidHost::Port),
        ("a:0", InvalidHost::Port),
        ("a:080", InvalidHost::Port),
        ("a:65536", InvalidHost::Port),
        ("a:123456", InvalidHost::Port),
        ("a:80x", InvalidHost::Port),
        ("a:+80", InvalidHost::Port),
        ("a:80:80", InvalidHost::Port),
        ("::1", InvalidHost::Port),
        ("[::1", InvalidHost::Ipv6),
        ("[]", InvalidHost::Ipv6),
        ("[1.2.3.4]", InvalidHost::Ipv6),
        ("[v1.a]", InvalidHost::Ipv6),
        ("[::1]x", InvalidHost::Byte),
        ("[::1]:", InvalidHost::Port),
        ("[fe80::1%eth0]", InvalidHost::Zone),
        ("[fe80::1%25eth0]", InvalidHost::Zone),
    ] {
        check(authority, Err(expected));
    }
    check(&"a".repeat(256), Err(InvalidHost::TooLong));
    let longest = "a".repeat(255);
    check(&longest, Ok((&longest, &longest, None)));
}
