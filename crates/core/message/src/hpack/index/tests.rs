use std::collections::BTreeSet;

use super::*;

/// Changes one byte of a text in 64 ways; a fair hash then takes some 40 of 64 slots.
#[track_caller]
fn check(length: usize, at: usize) {
    let slots: BTreeSet<usize> = (b'0'..b'0' + 64)
        .map(|byte| {
            let mut text = vec![b'a'; length];
            text[at] = byte;
            slot(Hashes::of(Name::Other(b"x"), &text).field, 64)
        })
        .collect();
    assert!(slots.len() >= 28, "{} slots for byte {at} of {length}", slots.len());
}

#[test]
fn each_byte_that_is_hashed_matters() {
    for length in [1usize, 2, 3, 4, 5, 7, 8, 9, 16, 40] {
        for at in (0..length.min(8)).chain(length.saturating_sub(8)..length) {
            check(length, at);
        }
    }
}

#[test]
fn names_lengths_and_values_matter() {
    let hash = |name, value: &[u8]| Hashes::of(Name::new(name), value).field;
    let hashes = [
        hash(b"via", b""),
        hash(b"via", b"a"),
        hash(b"via", b"aa"),
        hash(b"via", &[b'a'; 20]),
        hash(b"via", &[b'a'; 21]),
        hash(b"age", b"a"),
        hash(b"x-a", b"a"),
        hash(b"x-b", b"a"),
    ];
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
}
