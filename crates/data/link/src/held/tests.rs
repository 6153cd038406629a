use std::time::Duration;

use weft_authority::{Authority, KeyRequest, Lifetimes};
use weft_model::identity::TrustDomain;

use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn authority() -> Authority {
    Authority::generate(TrustDomain::default(), Lifetimes::default(), now()).unwrap()
}

fn identity(name: &str) -> Identity {
    Identity::new(&TrustDomain::default(), "shop", name).unwrap()
}

fn held(authority: &Authority, roots: &TrustBundle) -> Result<Held, Unusable> {
    let request = KeyRequest::generate();
    let issued = authority.sign(&request.csr, &identity("payments"), now()).unwrap();
    let chain = issued.chain.iter().map(|found| found.to_vec()).collect();
    let roots = roots.certificates().map(|found| found.der().to_vec()).collect();
    Held::new(Pkcs8Key::from(request.key()), chain, roots, &identity("payments"), now())
}

#[test]
fn what_is_kept_comes_back() {
    let authority = authority();
    let held = held(&authority, authority.bundle()).unwrap();
    let bytes = held.to_bytes();
    let back = Held::from_bytes(&bytes, &identity("payments"), now()).unwrap();
    assert_eq!(back.credentials.chain, held.credentials.chain);
    assert_eq!(back.credentials.bundle, held.credentials.bundle);
    assert_eq!(back.credentials.key.secret_der(), held.credentials.key.secret_der());
    assert_eq!((back.root, back.validity), (held.root, held.validity));
}

#[test]
fn what_is_of_no_use_is_not_taken() {
    let authority = authority();
    let bytes = held(&authority, authority.bundle()).unwrap().to_bytes();
    let who = identity("payments");
    let load = |bytes: &[u8], who: &Identity, now| Held::from_bytes(bytes, who, now).unwrap_err();
    assert_eq!(load(&bytes[1..], &who, now()), Unusable::Format);
    assert_eq!(load(&bytes, &identity("web"), now()), Unusable::Identity(who.clone()));
    let foreign = held(&authority, self::authority().bundle()).unwrap_err();
    assert!(matches!(foreign, Unusable::Untrusted(_)));
}

#[test]
fn what_has_ended_is_taken_and_known_to_have_ended() {
    let authority = authority();
    let bytes = held(&authority, authority.bundle()).unwrap().to_bytes();
    let later = now() + Duration::from_secs(48 * 3600);
    let ended = Held::from_bytes(&bytes, &identity("payments"), later).unwrap();
    assert!(!ended.validity.contains(later));
}
