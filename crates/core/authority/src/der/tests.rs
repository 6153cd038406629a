use proptest::prelude::{any, proptest};

use super::*;

#[track_caller]
fn check(bytes: &[u8], expected: Result<(u8, &[u8]), Malformed>) {
    let found = Reader::new(bytes).next().map(|element| (element.tag, element.content));
    assert_eq!(found, expected, "{bytes:02x?}");
}

#[test]
fn values_are_read() {
    check(&[0x02, 0x01, 0x05], Ok((INTEGER, &[5])));
    check(&[0x30, 0x00], Ok((SEQUENCE, &[])));
    check(&[0x05, 0x00, 0xff], Ok((5, &[])));
}

#[test]
fn what_is_not_der_is_refused() {
    // Nothing, a tag alone, and less than announced.
    check(&[], Err(Malformed));
    check(&[0x30], Err(Malformed));
    check(&[0x04, 0x02, 0x00], Err(Malformed));
    check(&[0x04, 0x82, 0x01], Err(Malformed));
    // Indefinite, longer than needed, longer than anything here is.
    check(&[0x30, 0x80, 0x00, 0x00], Err(Malformed));
    check(&[0x04, 0x81, 0x01, 0x00], Err(Malformed));
    check(&[[0x04, 0x82, 0x00, 0x80].as_slice(), &[0; 128]].concat(), Err(Malformed));
    check(&[0x04, 0x84, 0x00, 0x00, 0x00, 0x01, 0x00], Err(Malformed));
    // A tag of more than one byte.
    check(&[0x1f, 0x20, 0x00], Err(Malformed));
}

#[test]
fn bit_strings_are_whole_bytes() {
    let bits = bit_string(&[1, 2]);
    assert_eq!(only(&bits, BIT_STRING).unwrap().whole_bytes(), Ok([1, 2].as_slice()));
    let bits = element(BIT_STRING, &[&[3, 0xf8]]);
    assert_eq!(only(&bits, BIT_STRING).unwrap().whole_bytes(), Err(Malformed));
    assert_eq!(only(&[0x03, 0x00], BIT_STRING).unwrap().whole_bytes(), Err(Malformed));
}

#[test]
fn nothing_may_follow_the_only_value() {
    assert_eq!(only(&[0x30, 0x00, 0x00], SEQUENCE), Err(Malformed));
    assert_eq!(only(&[0x31, 0x00], SEQUENCE), Err(Malformed));
}

proptest! {
    #[test]
    fn what_is_written_is_read(content in proptest::collection::vec(any::<u8>(), 0..70_000)) {
        let written = element(OCTET_STRING, &[&content]);
        let read = only(&written, OCTET_STRING).unwrap();
        assert_eq!(read.content, content);
        assert_eq!(read.whole, written);
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut reader = Reader::new(&bytes);
        while reader.next().is_ok() {}
    }
}
