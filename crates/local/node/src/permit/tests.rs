use super::*;

fn permit(text: &str) -> Permit {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_permit_is_for_a_user_a_namespace_and_an_account() {
    let cases = [
        ("1000=shop/cart", 1000, "shop", "cart", true),
        ("1000=shop/cart", 1001, "shop", "cart", false),
        ("1000=shop/cart", 1000, "shop", "admin", false),
        ("1000=shop/cart", 1000, "other", "cart", false),
        ("1000=shop", 1000, "shop", "anything", true),
        ("1000=shop/*", 1000, "shop", "anything", true),
        ("1000=*", 1000, "other", "anything", true),
        ("1000=*/guest", 1000, "other", "guest", true),
        ("1000=*/guest", 1000, "other", "admin", false),
        ("*=guests", 4711, "guests", "default", true),
        ("*=guests", 4711, "shop", "default", false),
        // A name that was not looked up is nobody's.
        ("alice=*", 1000, "shop", "cart", false),
    ];
    for (text, uid, namespace, account, expected) in cases {
        let is_allowed = permit(text).allows(uid, namespace, account);
        assert_eq!(is_allowed, expected, "{text} for {uid} as {namespace}/{account}");
    }
    let alice = Permit { uid: Some(1000), ..permit("alice=*") };
    assert!(alice.allows(1000, "shop", "cart") && !alice.allows(1001, "shop", "cart"));
}

#[test]
fn what_is_no_permit_is_refused() {
    for text in ["", "alice", "alice=", "=shop", "alice=/cart", "alice=shop/", "a=b/c/d", "a=b*"] {
        assert_eq!(text.parse::<Permit>(), Err(InvalidPermit), "{text}");
    }
    for text in ["1000=shop/cart", "alice=shop/*", "*=*/*"] {
        assert_eq!(permit(text).to_string(), text);
    }
}
