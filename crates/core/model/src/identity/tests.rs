use super::*;

#[test]
fn an_identity_is_made_read_and_taken_apart() {
    let identity = Identity::new(&TrustDomain::default(), "shop", "payments").unwrap();
    assert_eq!(identity.as_str(), "spiffe://cluster.local/ns/shop/sa/payments");
    assert_eq!(identity.as_str().parse(), Ok(identity.clone()));
    assert_eq!(identity.trust_domain(), "cluster.local");
    assert_eq!(identity.namespace(), "shop");
    assert_eq!(identity.service_account(), "payments");
}

#[test]
fn what_is_no_identity_is_refused_with_the_reason() {
    let check = |text: &str, expected: InvalidIdentity| {
        assert_eq!(text.parse::<Identity>(), Err(expected), "{text}");
    };
    let owned = |text: &str| text.to_owned();
    check("https://a/ns/b/sa/c", InvalidIdentity::Scheme(owned("https://a/ns/b/sa/c")));
    check("spiffe:///ns/b/sa/c", InvalidIdentity::TrustDomain(String::new()));
    check("spiffe://A/ns/b/sa/c", InvalidIdentity::TrustDomain(owned("A")));
    check("spiffe://a:1/ns/b/sa/c", InvalidIdentity::TrustDomain(owned("a:1")));
    for path in ["", "/", "/ns/b", "/ns/b/sa/c/d", "/ns/b/sa/c/", "/sa/b/ns/c"] {
        let text = format!("spiffe://a{path}");
        check(&text, InvalidIdentity::Path(text.clone()));
    }
    check("spiffe://a/ns//sa/c", InvalidIdentity::Name(String::new()));
    check("spiffe://a/ns/../sa/c", InvalidIdentity::Name(owned("..")));
    check("spiffe://a/ns/b/sa/c%20", InvalidIdentity::Name(owned("c%20")));
    let long = format!("spiffe://a/ns/b/sa/{}", "c".repeat(2048));
    check(&long, InvalidIdentity::Length(long.len()));
}
