use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

#[test]
fn the_namespace_may_be_left_out() {
    assert_eq!(name("payments"), name("default/payments"));
    assert_eq!(name("shop/payments").namespace(), "shop");
    assert_eq!(name("payments").workload().as_str(), "default/payments");
}

#[test]
fn what_dns_does_not_take_is_no_name() {
    let long = "a".repeat(64);
    for text in ["", "/", "a/", "/a", "a/b/c", "Upper", "a.b", "-a", "a-", "a b", "../x", &long] {
        assert!(text.parse::<Name>().is_err(), "{text}");
    }
}

#[test]
fn two_names_never_share_a_handle() {
    assert_eq!(name("payments").handle(), "payments");
    assert_eq!(name("shop/payments").handle(), "shop.payments");
    // A hyphen between the parts would make one of these two.
    assert_ne!(name("a-b/c").handle(), name("a/b-c").handle());
}

#[test]
fn further_instances_have_a_number() {
    assert_eq!(name("shop/a").instance(1), Ok(name("shop/a")));
    assert_eq!(name("shop/a").instance(3), Ok(name("shop/a-3")));
}
