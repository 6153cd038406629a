use std::collections::HashSet;

use super::*;

#[test]
fn stable_hash_does_not_change_between_versions() {
    // Pinned: all proxies of a fleet have to agree on it, old and new ones together.
    assert_eq!(stable(b""), 0xb992_b056_e7d8_a844);
    assert_eq!(stable(b"10.0.0.7:8080"), 0x61e6_c0ea_8044_4a90);
    assert_eq!(combine(1, 2), 0xc042_c4c0_eca7_d0d5);
}

#[test]
fn lengths_and_zeros_matter() {
    let inputs: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"\0\0\0\0\0\0\0\0"];
    let hashes: HashSet<u64> = inputs.iter().map(|bytes| stable(bytes)).collect();
    assert_eq!(hashes.len(), inputs.len());
}

#[test]
fn one_bit_changes_half_of_the_hash() {
    let mut flipped = 0;
    for key in 0..256u64 {
        for bit in 0..64 {
            flipped += (combine(key, 9) ^ combine(key ^ (1 << bit), 9)).count_ones();
        }
    }
    let mean = f64::from(flipped) / (256.0 * 64.0);
    assert!((mean - 32.0).abs() < 0.2, "{mean}");
}

#[test]
fn order_of_combination_matters() {
    assert_ne!(combine(1, 2), combine(2, 1));
}

#[test]
fn secret_changes_the_hash() {
    let (one, two) = (SecretHasher::new([1, 2]), SecretHasher::new([1, 3]));
    assert_eq!(one.hash(b"10.1.2.3"), one.clone().hash(b"10.1.2.3"));
    assert_ne!(one.hash(b"10.1.2.3"), two.hash(b"10.1.2.3"));
    assert_ne!(one.hash(b"10.1.2.3"), one.hash(b"10.1.2.4"));
    assert!(!format!("{one:?}").contains("secret"));
}
