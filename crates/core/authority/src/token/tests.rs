use proptest::prelude::{any, proptest};
use weft_model::identity::InvalidIdentity;

use super::*;
use crate::fixtures::{HOUR, identity, now};

fn only_payments() -> IdentityPattern {
    identity("payments").into()
}

#[test]
fn a_token_admits_once() {
    let mut tokens = JoinTokens::new();
    let token = tokens.create(only_payments(), HOUR, now()).unwrap();
    assert!(token.as_str().starts_with("weft-join-") && token.as_str().len() == 53);
    assert_eq!(tokens.redeem(token.as_str(), &identity("payments"), now()), Ok(()));
    let again = tokens.redeem(token.as_str(), &identity("payments"), now());
    assert_eq!(again, Err(RefusedToken::Unknown));
    assert!(tokens.is_empty());
}

#[test]
fn a_token_admits_only_whom_it_is_for() {
    let mut tokens = JoinTokens::new();
    let token = tokens.create(only_payments(), HOUR, now()).unwrap();
    let refused = tokens.redeem(token.as_str(), &identity("orders"), now()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the join token admits spiffe://cluster.local/ns/shop/sa/payments, not \
         spiffe://cluster.local/ns/shop/sa/orders"
    );
    // It stays for the right one.
    assert_eq!(tokens.redeem(token.as_str(), &identity("payments"), now()), Ok(()));
}

#[test]
fn a_token_expires() {
    let mut tokens = JoinTokens::new();
    let token = tokens.create(only_payments(), HOUR, now()).unwrap();
    let mut late = tokens.clone();
    let refused = late.redeem(token.as_str(), &identity("payments"), now() + HOUR * 3);
    assert_eq!(refused, Err(RefusedToken::Expired { ago: HOUR * 2 }));
    let at_the_end = late.redeem(token.as_str(), &identity("payments"), now() + HOUR);
    assert_eq!(at_the_end, Err(RefusedToken::Expired { ago: Duration::ZERO }));
    let second = Duration::from_secs(1);
    assert_eq!(tokens.redeem(token.as_str(), &identity("payments"), now() + HOUR - second), Ok(()));
}

#[test]
fn no_token_is_open_for_more_than_30_days() {
    let mut tokens = JoinTokens::new();
    let token = tokens.create(only_payments(), Duration::MAX, now()).unwrap();
    let refused = tokens.redeem(token.as_str(), &identity("payments"), now() + 31 * 24 * HOUR);
    assert_eq!(refused, Err(RefusedToken::Expired { ago: 24 * HOUR }));
}

#[test]
fn what_was_never_given_out_is_unknown() {
    let mut tokens = JoinTokens::new();
    let token = tokens.create(only_payments(), HOUR, now()).unwrap();
    let mut other = token.as_str().to_owned();
    let last = if other.pop() == Some('A') { 'B' } else { 'A' };
    other.push(last);
    for guess in ["", "weft-join-", &other] {
        let refused = tokens.redeem(guess, &identity("payments"), now());
        assert_eq!(refused, Err(RefusedToken::Unknown), "{guess:?}");
    }
    assert_eq!(tokens.len(), 1);
}

#[test]
fn the_number_of_open_tokens_is_bounded_and_expired_ones_do_not_count() {
    let mut tokens = JoinTokens::new();
    for _ in 0..TOKENS_MAX {
        tokens.create(only_payments(), HOUR, now()).unwrap();
    }
    assert_eq!(tokens.create(only_payments(), HOUR, now()).map(drop), Err(TooManyTokens));
    assert!(tokens.create(only_payments(), HOUR, now() + HOUR).is_ok());
    assert_eq!(tokens.len(), 1);
}

#[test]
fn neither_the_token_nor_its_secret_is_kept_or_shown() {
    let mut tokens = JoinTokens::new();
    let token = tokens.create(only_payments(), HOUR, now()).unwrap();
    let secret = token.as_str().trim_start_matches(PREFIX);
    assert!(!format!("{tokens:?}{token:?}").contains(secret));
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(secret).unwrap().try_into().unwrap();
    assert_ne!(tokens.open[0].hash, bytes);
}

#[test]
fn a_pattern_stands_for_one_or_for_all_below() {
    let cases = [
        ("spiffe://cluster.local/ns/shop/sa/payments", [true, false, false, false]),
        ("spiffe://cluster.local/ns/shop/sa/*", [true, true, false, false]),
        ("spiffe://cluster.local/ns/*/sa/*", [true, true, true, false]),
    ];
    let identities = [
        "spiffe://cluster.local/ns/shop/sa/payments",
        "spiffe://cluster.local/ns/shop/sa/orders",
        "spiffe://cluster.local/ns/bank/sa/payments",
        "spiffe://elsewhere/ns/shop/sa/payments",
    ];
    for (text, expected) in cases {
        let pattern: IdentityPattern = text.parse().unwrap();
        assert_eq!(pattern.to_string(), text);
        let found = identities.map(|identity| pattern.matches(&identity.parse().unwrap()));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn other_patterns_are_refused() {
    for text in [
        "",
        "*",
        "spiffe://*/ns/shop/sa/payments",
        "spiffe://cluster.local/ns/*/sa/payments",
        "spiffe://cluster.local/ns/shop/sa/pay*",
        "spiffe://cluster.local/*",
        "/ns/*/sa/*",
    ] {
        assert!(text.parse::<IdentityPattern>().is_err(), "{text}");
    }
    let refused = "shop/*".parse::<IdentityPattern>().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`shop/*` is not an identity; `*` may stand for the service account, or for it and the \
         namespace"
    );
    let source = std::error::Error::source(&refused).unwrap();
    assert_eq!(source.downcast_ref(), Some(&InvalidIdentity::Scheme("shop/*".into())));
}

proptest! {
    #[test]
    fn guesses_never_panic_nor_fit(guess in any::<String>()) {
        let mut tokens = JoinTokens::new();
        tokens.create(only_payments(), HOUR, now()).unwrap();
        assert_eq!(tokens.redeem(&guess, &identity("payments"), now()), Err(RefusedToken::Unknown));
    }

    #[test]
    fn patterns_never_panic(text in any::<String>()) {
        let _ = text.parse::<IdentityPattern>();
    }
}
