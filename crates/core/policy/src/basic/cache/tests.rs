use super::*;

#[test]
fn remembers_exactly_what_was_right() {
    let mut cache = CredentialCache::new([7; 32], 16);
    let right = cache.digest("hash", "ann", b"secret");
    assert!(!cache.contains(right));
    cache.insert(right);
    assert!(cache.contains(right));
    for (stored, user, password) in [
        ("hash2", "ann", &b"secret"[..]),
        ("hash", "bob", b"secret"),
        ("hash", "ann", b"secreT"),
        ("hash", "anns", b"ecret"),
        ("hasha", "nn", b"secret"),
        ("", "", b""),
    ] {
        assert!(!cache.contains(cache.digest(stored, user, password)), "{stored} {user}");
    }
}

#[test]
fn is_hmac() {
    // RFC 4231 has no vector of this framing; the reference is the definition in RFC 2104.
    let secret = [0xab; 32];
    let cache = CredentialCache::new(secret, 4);
    let mut message = Vec::new();
    for part in [&b"h"[..], b"u", b"p"] {
        message.extend_from_slice(&(part.len() as u64).to_le_bytes());
        message.extend_from_slice(part);
    }
    let key = [&secret[..], &[0; 32]].concat();
    let pad = |byte: u8| key.iter().map(|k| k ^ byte).collect::<Vec<_>>();
    let inner = Sha256::digest([pad(0x36), message].concat());
    let outer = Sha256::digest([&pad(0x5c)[..], &inner].concat());
    assert_eq!(cache.digest("h", "u", b"p").0, <[u8; 32]>::from(outer));
}

#[test]
fn another_secret_is_another_cache() {
    let one = CredentialCache::new([1; 32], 4);
    let two = CredentialCache::new([2; 32], 4);
    assert_ne!(one.digest("h", "u", b"p"), two.digest("h", "u", b"p"));
}

#[test]
fn the_oldest_of_a_set_makes_room() {
    let mut cache = CredentialCache::new([3; 32], WAYS);
    let digests: Vec<_> = (0..=WAYS).map(|n| cache.digest("h", &n.to_string(), b"p")).collect();
    for digest in &digests {
        cache.insert(*digest);
    }
    assert!(!cache.contains(digests[0]));
    assert!(digests[1..].iter().all(|digest| cache.contains(*digest)));
    cache.insert(digests[1]);
    assert!(digests[1..].iter().all(|digest| cache.contains(*digest)), "no duplicates");
}

#[test]
fn shows_no_secret() {
    let cache = CredentialCache::new([0x61; 32], 4);
    assert_eq!(format!("{cache:?}"), "CredentialCache { sets: 1, .. }");
}
