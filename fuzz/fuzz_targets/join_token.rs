//! Tokens and identities that strangers show: no panic; a token is good for whom it is, once, and
//! nothing else is; identities are written as they are read.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use weft_authority::{IdentityPattern, JoinToken, JoinTokens};
use weft_model::identity::Identity;

const HOUR: Duration = Duration::from_secs(3600);

static NOW: LazyLock<SystemTime> =
    LazyLock::new(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000));

static OPEN: LazyLock<(JoinTokens, JoinToken)> = LazyLock::new(|| {
    let scope: IdentityPattern = "spiffe://cluster.local/ns/shop/sa/*".parse().expect("a scope");
    let mut tokens = JoinTokens::new();
    let token = tokens.create(scope, HOUR, *NOW).expect("there is room");
    (tokens, token)
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (shown, claimed) = text.split_once('\n').unwrap_or((text, ""));
    let (open, token) = &*OPEN;
    let identity = claimed.parse::<Identity>();
    if let Ok(identity) = &identity {
        assert_eq!(identity.to_string().parse().as_ref(), Ok(identity));
        let is_meant = identity.trust_domain() == "cluster.local" && identity.namespace() == "shop";
        let mut tokens = open.clone();
        let redeemed = tokens.redeem(shown, identity, *NOW);
        assert_eq!(redeemed.is_ok(), is_meant && shown == token.as_str());
        let mut tokens = open.clone();
        assert_eq!(tokens.redeem(token.as_str(), identity, *NOW).is_ok(), is_meant);
        assert!(!is_meant || tokens.redeem(token.as_str(), identity, *NOW).is_err(), "once");
        assert!(open.clone().redeem(token.as_str(), identity, *NOW + 2 * HOUR).is_err());
    }
    if let (Ok(pattern), Ok(identity)) = (claimed.parse::<IdentityPattern>(), &identity) {
        assert!(pattern.matches(identity), "an identity stands for itself");
    }
});
