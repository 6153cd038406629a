use crate::known::Known;

use super::*;
use crate::hpack::{Answer, Decoder, ListLimits, Pseudo};

/// An encoder with a decoder that must agree with it.
struct Pair {
    encoder: Encoder,
    decoder: Decoder,
}

impl Pair {
    fn new() -> Self {
        Self { encoder: Encoder::new(), decoder: Decoder::new(4096) }
    }

    /// A block with these fields, which the decoder reads as the same.
    #[track_caller]
    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        self.encoder.begin(&mut out);
        for (name, value) in fields {
            self.encoder.encode(Name::new(name.as_bytes()), value.as_bytes(), &mut out);
        }
        let mut expected = fields.iter();
        let limits = ListLimits { list_bytes_max: usize::MAX, list_bytes_fatal: usize::MAX };
        let decoded = self.decoder.decode(&out, limits, |field| {
            let (name, value) = expected.next().unwrap();
            assert_eq!(field.name.as_bytes(), name.to_ascii_lowercase().as_bytes());
            assert_eq!(field.value, value.as_bytes());
            Answer::Continue
        });
        assert_eq!(decoded.unwrap().fields, fields.len());
        out
    }
}

/// The length of a field's code when it comes for the first and for the second time, and the first
/// four bits of both.
#[track_caller]
fn check(name: &str, value: &str, first_pattern: u8, second_pattern: u8) {
    let mut pair = Pair::new();
    let first = pair.block(&[(name, value)]);
    let second = pair.block(&[(name, value)]);
    let pattern = |block: &[u8]| match block[0] {
        0x80.. => 0x80,
        0x40.. => 0x40,
        other => other & 0xf0,
    };
    assert_eq!((pattern(&first), pattern(&second)), (first_pattern, second_pattern));
    assert!(second_pattern != 0x80 || second.len() == 1);
}

#[track_caller]
fn check_passing(name: &str, value: &str) {
    check(name, value, 0x40, 0x00);
}

#[test]
fn the_examples_of_appendix_c4() {
    let mut pair = Pair::new();
    let authority = (":authority", "www.example.com");
    let (get, root) = ((":method", "GET"), (":path", "/"));
    let first = pair.block(&[get, (":scheme", "http"), root, authority]);
    assert_eq!(first, b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff");
    let cache = ("cache-control", "no-cache");
    let second = pair.block(&[get, (":scheme", "http"), root, authority, cache]);
    assert_eq!(second, b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf");
    let custom = ("custom-key", "custom-value");
    let index = (":path", "/index.html");
    let third = pair.block(&[get, (":scheme", "https"), index, authority, custom]);
    let expected = b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\
        \x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
    assert_eq!(third, expected);
}

#[test]
fn what_is_kept() {
    // The static table has them.
    check(":method", "POST", 0x80, 0x80);
    check(":status", "404", 0x80, 0x80);
    check("accept-encoding", "gzip, deflate", 0x80, 0x80);
    check("via", "", 0x80, 0x80);
    // They come again.
    check(":authority", "shop.example", 0x40, 0x80);
    check(":path", "/shop.Cart/Add", 0x40, 0x80);
    check("content-type", "application/grpc", 0x40, 0x80);
    check("date", "Mon, 21 Oct 2013 20:13:21 GMT", 0x40, 0x80);
    check("cookie", "session=0123456789abcdef", 0x40, 0x80);
    check("x-other", "1", 0x40, 0x80);
    // They do not.
    check(":path", "/cart?item=1", 0x00, 0x00);
    check("content-length", "123", 0x00, 0x00);
    check("etag", "\"1\"", 0x00, 0x00);
    // No more do these, but only an entry gives them a name.
    check_passing("traceparent", "00-0-0-01");
    check_passing("x-request-id", "1");
    check_passing("grpc-timeout", "1S");
    // They are secrets, or short enough to be guessed.
    check("authorization", "Bearer 1", 0x10, 0x10);
    check("proxy-authorization", "Basic 1", 0x10, 0x10);
    check("set-cookie", "a=1", 0x10, 0x10);
    check("cookie", "a=1", 0x10, 0x10);
    check("x-api-key", "1", 0x10, 0x10);
}

#[test]
fn a_field_that_must_not_be_kept() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    encoder.encode_never_indexed(Name::Other(b"X-A"), b"1", &mut out);
    encoder.encode_never_indexed(Name::Pseudo(Pseudo::Path), b"/", &mut out);
    // A Huffman-coded "x-a" would be as long.
    assert_eq!(out, b"\x10\x03x-a\x011\x14\x01/");
    assert_eq!(encoder.table.len(), 0);
}

#[test]
fn a_name_is_sent_in_lower_case() {
    let mut pair = Pair::new();
    let first = pair.block(&[("X-Other", "1")]);
    assert_eq!(pair.block(&[("x-other", "1")]), [0xbe]);
    assert_eq!(pair.block(&[("X-OTHER", "1")]), [0xbe]);
    assert!(first.len() > 1);
    let mut out = Vec::new();
    pair.encoder.encode(Name::Other(b"Host"), b"a", &mut out);
    assert_eq!(out[0], 0x40 | 38, "the name of the static table");
}

#[test]
fn the_name_of_an_entry_is_used_for_another_value() {
    let mut pair = Pair::new();
    pair.block(&[("x-other", "1"), ("x-tenant", "b")]);
    assert_eq!(pair.block(&[("x-other", "22")])[0], 0x40 | 63);
    assert_eq!(pair.block(&[("x-other", "22")]), [0xbe]);
    assert_eq!(pair.block(&[("x-other", "1")]), [0x80 | 64]);
}

#[test]
fn values_that_differ_do_not_crowd_out_the_rest() {
    let mut pair = Pair::new();
    pair.block(&[("user-agent", "client")]);
    let mut kept = 0;
    for number in 0..100 {
        let block = pair.block(&[("x-number", &number.to_string())]);
        kept += usize::from(block[0] & 0x40 != 0);
    }
    // Eight at first, then one of sixteen.
    assert_eq!(kept, 8 + (100 - 8) / 16);
    assert_eq!(pair.encoder.table.len(), 1 + kept);
    assert_eq!(pair.block(&[("user-agent", "client")]), [0x80 | (62 + kept as u8)]);
}

#[test]
fn a_large_field_is_not_kept() {
    let mut pair = Pair::new();
    pair.block(&[("x-a", &"1".repeat(2048 - 32 - 3))]);
    assert_eq!(pair.encoder.table.len(), 1);
    pair.block(&[("x-b", &"1".repeat(2048 - 32 - 2))]);
    assert_eq!(pair.encoder.table.len(), 1);
}

#[test]
fn every_entry_of_a_full_table_is_found() {
    let mut pair = Pair::new();
    // Empty names and values: 128 entries of two bytes and more are not possible, 120 are.
    let names: Vec<String> = (0..120).map(|number| format!("{number:x}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    pair.block(&fields);
    assert_eq!(pair.encoder.table.len(), 120);
    let again = pair.block(&fields);
    let two_byte_indices = 120 - (127 - 62);
    assert_eq!(again.len(), 120 + two_byte_indices);
}

#[test]
fn an_entry_without_a_name_is_no_other() {
    let mut pair = Pair::new();
    pair.block(&[("", "1")]);
    assert_eq!(pair.block(&[("", "1")]), [0xbe]);
    let (names, hashes) = (Name::Other(b"x"), Hashes::of(Name::Other(b""), b"1"));
    assert_eq!(pair.encoder.index.find(&pair.encoder.table, hashes, names, b"1"), None);
}

#[test]
fn numbers_of_entries_wrap() {
    let mut pair = Pair::new();
    for number in 0..70_000u32 {
        let date = number.to_string();
        pair.block(&[("date", &date)]);
        assert_eq!(pair.block(&[("date", &date)]), [0xbe]);
    }
    pair.block(&[("server", "edge"), ("date", "1")]);
    assert_eq!(pair.block(&[("server", "edge")]), [0xbf]);
}

#[test]
fn updates_of_the_size_come_first_the_smallest_and_the_last() {
    #[track_caller]
    fn check(sizes: &[u32], expected: &[u8]) {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        for &size in sizes {
            encoder.set_table_bytes_max(size);
        }
        encoder.begin(&mut out);
        assert_eq!(out, expected);
        encoder.begin(&mut out);
        assert_eq!(out, expected, "they come once");
    }
    check(&[], &[]);
    check(&[4096], &[]);
    check(&[65_536], &[]);
    check(&[0], &[0x20]);
    check(&[30], &[0x3e]);
    check(&[31], &[0x3f, 0]);
    check(&[0, 4096], &[0x20, 0x3f, 0xe1, 0x1f]);
    check(&[30, 10, 20], &[0x2a, 0x34]);
    check(&[10, 1_000_000], &[0x2a, 0x3f, 0xe1, 0x1f]);
}

#[test]
fn an_empty_table_is_not_used() {
    let mut pair = Pair::new();
    pair.block(&[("via", "edge")]);
    pair.encoder.set_table_bytes_max(0);
    pair.decoder.set_table_bytes_max(0);
    assert_eq!(pair.block(&[("via", "edge")])[..2], [0x20, 0x0f], "not kept");
    assert_eq!(pair.encoder.table.len(), 0);
}

#[test]
fn a_string_is_sent_in_the_shorter_form() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    encoder.encode(Name::Known(Known::Etag), b"aaa", &mut out);
    encoder.encode(Name::Known(Known::Etag), b"{}{}", &mut out);
    encoder.encode(Name::Known(Known::Etag), b"zz", &mut out);
    assert_eq!(out, b"\x0f\x13\x82\x18\xc7\x0f\x13\x04{}{}\x0f\x13\x02zz");
}
