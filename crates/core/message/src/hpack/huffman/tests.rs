use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::*;

fn encoded(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0xaa];
    encode(text, encoded_len(text), &mut out);
    out.split_off(1)
}

fn decoded(code: &[u8]) -> Result<Vec<u8>, InvalidHuffman> {
    let mut out = vec![0xaa];
    decode(code, &mut out)?;
    Ok(out.split_off(1))
}

/// Decodes bit by bit.
fn decoded_slowly(code: &[u8]) -> Result<Vec<u8>, InvalidHuffman> {
    let (mut out, mut value, mut bits) = (Vec::new(), 0u32, 0u8);
    for at in 0..code.len() * 8 {
        value = value << 1 | u32::from(code[at / 8] >> (7 - at % 8) & 1);
        bits += 1;
        let found = (0..256).find(|&byte| CODES[byte] == value && LENGTHS[byte] == bits);
        if let Some(byte) = found {
            out.push(byte as u8);
            (value, bits) = (0, 0);
        } else if u64::from(value) == END_OF_STRING {
            return Err(InvalidHuffman::EndOfString);
        }
    }
    if bits < 8 && value == (1 << bits) - 1 { Ok(out) } else { Err(InvalidHuffman::Padding) }
}

#[test]
fn codes_are_those_of_appendix_b() {
    #[track_caller]
    fn check(byte: u8, code: u32, length: u8) {
        assert_eq!((CODES[usize::from(byte)], LENGTHS[usize::from(byte)]), (code, length));
    }
    check(b'0', 0x0, 5);
    check(b't', 0x9, 5);
    check(b' ', 0x14, 6);
    check(b'u', 0x2d, 6);
    check(b':', 0x5c, 7);
    check(b'z', 0x7b, 7);
    check(b'&', 0xf8, 8);
    check(b'Z', 0xfd, 8);
    check(b'!', 0x3f8, 10);
    check(b'|', 0x7fc, 11);
    check(b'#', 0xffa, 12);
    check(b'~', 0x1ffd, 13);
    check(b'}', 0x3ffd, 14);
    check(b'{', 0x7ffe, 15);
    check(b'\\', 0x7fff0, 19);
    check(128, 0xfffe6, 20);
    check(9, 0xffffea, 24);
    check(0, 0x1ff8, 13);
    check(1, 0x7fffd8, 23);
    check(255, 0x3ffffee, 26);
    check(249, 0xffffffe, 28);
    check(b'\n', 0x3ffffffc, 30);
    check(22, 0x3ffffffe, 30);
}

#[test]
fn every_byte_alone_and_between_others() {
    for byte in 0..=255 {
        for text in [vec![byte], vec![b'a', byte, b'a'], vec![byte; 20]] {
            assert_eq!(decoded(&encoded(&text)), Ok(text));
        }
    }
}

#[test]
fn padding() {
    #[track_caller]
    fn check(code: &[u8], expected: Result<&[u8], InvalidHuffman>) {
        assert_eq!(decoded(code), expected.map(<[u8]>::to_vec));
    }
    let padding = Err(InvalidHuffman::Padding);
    let end_of_string = Err(InvalidHuffman::EndOfString);
    // `a` is 00011, `e` is 00101.
    check(&[], Ok(b""));
    check(&[0b0001_1111], Ok(b"a"));
    check(&[0b0001_1110], padding);
    check(&[0b0001_1000], padding);
    // Seven bits are the most.
    check(&[0b0001_1001, 0b0111_1111], Ok(b"ae"));
    check(&[0b0001_1111, 0xff], padding);
    check(&[0b1111_1000], Ok(b"&"));
    check(&[0b1111_1000, 0xff], padding);
    check(&[0xff], padding);
    check(&[0xff, 0xff, 0xff], padding);
    check(&[0xff, 0xff, 0xff, 0xff], end_of_string);
    check(&[0b0001_1111, 0xff, 0xff, 0xff, 0xff], end_of_string);
    check(&[0xff, 0xff, 0xff, 0xff, 0x00], end_of_string);
    // A code that only the padding would complete.
    check(&[0b0001_1101, 0b1101_1110], padding);
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        text in prop_oneof![
            vec(any::<u8>(), 0..200),
            "[ -~]{0,200}".prop_map(String::into_bytes),
        ],
    ) {
        assert_eq!(decoded(&encoded(&text)), Ok(text));
    }

    #[test]
    fn any_code_decodes_as_bit_by_bit(
        code in vec(prop_oneof![any::<u8>(), Just(0xff)], 0..40),
        text in vec(any::<u8>(), 0..20),
    ) {
        let code = [encoded(&text), code].concat();
        let slowly = decoded_slowly(&code);
        match decoded(&code) {
            Ok(text) => assert_eq!(Ok(text), slowly),
            // How it ends may be seen in two ways when both are true.
            Err(_) => assert!(slowly.is_err()),
        }
    }
}
