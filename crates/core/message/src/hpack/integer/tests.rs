use proptest::prelude::proptest;

use super::*;

/// Encodes with a pattern of ones above the prefix, and decodes again.
#[track_caller]
fn check(value: u32, prefix_bits: u32, expected: &[u8]) {
    let mut out = Vec::new();
    encode(value as usize, prefix_bits, 0, &mut out);
    assert_eq!(out, expected);
    out[0] |= (0xff00u16 << prefix_bits >> 8) as u8;
    out.push(0x55);
    let mut input = &out[..];
    assert_eq!(decode(&mut input, prefix_bits), Ok(value));
    assert_eq!(input, [0x55]);
}

#[test]
fn the_examples_of_appendix_c1() {
    check(10, 5, &[0b01010]);
    check(1337, 5, &[0b11111, 0b1001_1010, 0b0000_1010]);
    check(42, 8, &[42]);
}

#[test]
fn the_edges_of_a_prefix() {
    check(30, 5, &[30]);
    check(31, 5, &[31, 0]);
    check(158, 5, &[31, 127]);
    check(159, 5, &[31, 0x80, 1]);
    check(u32::MAX, 5, &[31, 0xe0, 0xff, 0xff, 0xff, 0x0f]);
}

#[test]
fn too_large_or_too_long() {
    #[track_caller]
    fn check(input: &[u8], expected: Result<u32, DecodeError>) {
        assert_eq!(decode(&mut &input[..], 5), expected);
    }
    check(&[31, 0xe0, 0xff, 0xff, 0xff, 0x0f], Ok(u32::MAX));
    check(&[31, 0xe1, 0xff, 0xff, 0xff, 0x0f], Err(DecodeError::IntegerOverflow));
    check(&[31, 0x80, 0x80, 0x80, 0x80, 0x00], Ok(31));
    check(&[31, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], Err(DecodeError::IntegerOverflow));
    check(&[], Err(DecodeError::Truncated));
    check(&[31], Err(DecodeError::Truncated));
    check(&[31, 0x80], Err(DecodeError::Truncated));
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(value: u32, prefix_bits in 1u32..=8) {
        let mut out = Vec::new();
        encode(value as usize, prefix_bits, 0, &mut out);
        let mut input = &out[..];
        assert_eq!(decode(&mut input, prefix_bits), Ok(value));
        assert!(input.is_empty());
    }
}
