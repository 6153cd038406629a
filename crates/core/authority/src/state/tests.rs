use std::time::SystemTime;

use super::*;
use crate::csr::KeyRequest;
use crate::fixtures::{DAY, Foreign, HOUR, authority, identity, issue, now};
use crate::pem::Pem;

fn state(authority: Authority) -> State {
    let mut tokens = JoinTokens::new();
    tokens.create("spiffe://cluster.local/ns/shop/sa/*".parse().unwrap(), HOUR, now()).unwrap();
    State { authority, tokens }
}

#[track_caller]
fn round_trip(state: &State) -> State {
    let bytes = state.to_bytes(0);
    let again = State::from_bytes(&bytes).unwrap();
    assert_eq!(again.to_bytes(0), bytes);
    assert_eq!(again.tokens, state.tokens);
    assert_eq!(again.authority.bundle(), state.authority.bundle());
    assert_eq!(again.authority.lifetimes(), state.authority.lifetimes());
    assert_eq!(again.authority.trust_domain(), state.authority.trust_domain());
    again
}

/// Whether a mesh that trusts the bundle accepts what the authority signs.
#[track_caller]
fn check_signs(authority: &Authority, at: SystemTime) {
    let issued = issue(authority, at);
    assert!(authority.bundle().verify(&issued.chain, at).is_ok());
}

#[test]
fn each_phase_of_a_rotation_is_kept() {
    let mut state = state(authority());
    round_trip(&state);
    let next = state.authority.new_issuer(now());
    state.authority.rotation_mut().prepare(next, now() + HOUR).unwrap();
    let mut again = round_trip(&state);
    check_signs(&again.authority, now() + HOUR);
    let Phase::Prepared { since, .. } = again.authority.rotation().phase() else { panic!() };
    assert_eq!(*since, now() + HOUR);
    // The copy can go on where the original stood.
    again.authority.rotation_mut().switch(&[], now() + DAY).unwrap();
    let mut again = round_trip(&again);
    check_signs(&again.authority, now() + DAY);
    assert!(matches!(again.authority.rotation().phase(), Phase::Switched { .. }));
    again.authority.rotation_mut().retire(&[], now() + DAY).unwrap();
    let again = round_trip(&again);
    assert!(matches!(again.authority.rotation().phase(), Phase::Steady));
    check_signs(&again.authority, now() + DAY);
}

#[test]
fn supplied_authorities_are_kept() {
    let made = Foreign::root("Example");
    let (upper, kind) = (made.under("Upper", |_| {}), &rcgen::PKCS_RSA_SHA256);
    let key = rcgen::KeyPair::generate_for(kind).unwrap();
    let lower = upper.under_with("Lower", key, |_| {});
    let (root, chain, key) = (made.pem(), lower.pem() + &upper.pem(), lower.key_pem());
    let pem = |name, text: &'static str| Pem { name, text: text.as_bytes() };
    let root = Root::from_pem(pem("root", root.leak()), None, now()).unwrap();
    let domain = TrustDomain::default();
    let intermediate = Intermediate::from_pem(
        pem("chain", chain.leak()),
        pem("key", key.leak()),
        &root,
        &domain,
        now(),
    );
    let issuer = Issuer::new(root, intermediate.unwrap()).unwrap();
    let authority = Authority::new(domain, Lifetimes::default(), issuer).unwrap();
    let again = round_trip(&state(authority));
    check_signs(&again.authority, now());
    assert!(!again.authority.rotation().signing().root().has_key());
}

#[test]
fn an_authority_that_has_ended_can_still_be_looked_at() {
    let again = round_trip(&state(authority()));
    let late = now() + DAY * 5000;
    let csr = KeyRequest::generate().csr;
    assert!(again.authority.sign(&csr, &identity("payments"), late).is_err());
    assert_eq!(again.authority.forecast(&[], late).time_to_outage(late), Duration::ZERO);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let state = state(authority());
    let text = String::from_utf8(state.to_bytes(0).to_vec()).unwrap();
    let check = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        assert!(State::from_bytes(changed.as_bytes()).is_err(), "{from} -> {to}");
    };
    check("cluster.local", "CLUSTER");
    check("\"leaf_secs\":86400", "\"leaf_secs\":1");
    check("\"tokens\"", "\"token\"");
    check("\"steady\"", "\"paused\"");
    check("\"root\":\"MII", "\"root\":\"AII");
    check("\"chain\":[\"MII", "\"chain\":[\"???");
    check("\"key\":\"", "\"key\":\"AAAA");
    check("/sa/*", "/sa/");
    check("\"hash\":\"", "\"hash\":\"AAAA");
    check("{", "{\"more\":1,");
    assert!(State::from_bytes(b"").is_err());
    let mut no_chain: serde_json::Value = serde_json::from_str(&text).unwrap();
    no_chain["signing"]["chain"] = serde_json::json!([]);
    let refused = State::from_bytes(no_chain.to_string().as_bytes()).unwrap_err();
    assert_eq!(refused.to_string(), "there is no intermediate");
}
