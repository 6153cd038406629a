use super::*;

#[test]
fn values_of_fields_with_secrets_are_hidden() {
    let check = |name: &str, is_hidden: bool| {
        let expected: &[u8] = if is_hidden { HIDDEN.as_bytes() } else { b"abc" };
        assert_eq!(shown(name, b"abc"), expected, "{name}");
    };
    for name in ["Authorization", "cookie", "X-Auth-Token", "x-access-KEY", "x-iap-jwt-assertion"] {
        check(name, true);
    }
    for name in ["accept", "x-user", "www-authenticate", "x-forwarded-for"] {
        check(name, false);
    }
}

#[test]
fn addresses_are_shown_without_their_queries() {
    assert_eq!(shown("Referer", b"https://shop/?token=1"), b"https://shop/");
    assert_eq!(shown("referer", b"https://shop/"), b"https://shop/");
}

#[test]
fn secrets_of_a_query_are_hidden() {
    let check = |query: &str, expected: &str| assert_eq!(shown_query(query), expected);
    check("item=1&page", "item=1&page");
    check("item=1&access_token=abc&page=2", "item=1&access_token=(hidden)&page=2");
    check("Api-Key=abc", "Api-Key=(hidden)");
    check("X-Amz-Signature=abc&X-Amz-Date=1", "X-Amz-Signature=(hidden)&X-Amz-Date=1");
    check("sig=abc&signal=1&code=abc", "sig=(hidden)&signal=1&code=(hidden)");
    check("%74oken=abc", "%74oken=(hidden)");
    check("token=&key", "token=&key");
}
