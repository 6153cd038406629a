use crate::known::Known;

use super::*;

const UNBOUNDED: ListLimits =
    ListLimits { list_bytes_max: usize::MAX, list_bytes_fatal: usize::MAX };

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit| crate::bytes::hex_value(digit).unwrap();
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

/// A field as `name: value`.
fn line(field: &Field<'_>) -> String {
    let text = |bytes| String::from_utf8(Vec::from(bytes)).unwrap();
    format!("{}: {}", text(field.name.as_bytes()), text(field.value))
}

/// Decodes a block, and compares its fields and then the table with its size.
#[track_caller]
fn check(decoder: &mut Decoder, hex: &str, fields: &[&str], table: &[&str], table_bytes: u32) {
    let mut found = Vec::new();
    let decoded = decoder.decode(&bytes(hex), UNBOUNDED, |field| {
        assert!(field.is_name_valid && field.is_value_valid);
        found.push(line(&field));
        Answer::Continue
    });
    assert_eq!(found, fields);
    let list_bytes = fields.iter().map(|line| line.len() - 2 + 32).sum();
    let expected = Decoded { fields: fields.len(), list_bytes, excess_bytes: 0 };
    assert_eq!(decoded, Ok(expected));
    let entries = (0..decoder.table.len()).map(|index| line(&decoder.table.field(index).unwrap()));
    assert_eq!(entries.collect::<Vec<_>>(), table);
    assert_eq!(decoder.table.bytes(), table_bytes);
}

#[track_caller]
fn check_error(hex: &str, expected: DecodeError) {
    let mut decoder = Decoder::new(4096);
    let decoded = decoder.decode(&bytes(hex), UNBOUNDED, |_| Answer::Continue);
    assert_eq!(decoded, Err(expected));
}

#[test]
fn the_examples_of_appendix_c2() {
    let mut decoder = Decoder::new(4096);
    let entry = "custom-key: custom-header";
    let hex = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(&mut decoder, hex, &[entry], &[entry], 55);
    let hex = "040c 2f73 616d 706c 652f 7061 7468";
    check(&mut decoder, hex, &[":path: /sample/path"], &[entry], 55);
    let hex = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    check(&mut decoder, hex, &["password: secret"], &[entry], 55);
    check(&mut decoder, "82", &[":method: GET"], &[entry], 55);
}

/// The requests of appendices C.3 and C.4, which differ in the code of strings.
#[track_caller]
fn check_requests(blocks: [&str; 3]) {
    let mut decoder = Decoder::new(4096);
    let authority = ":authority: www.example.com";
    let first = [":method: GET", ":scheme: http", ":path: /", authority];
    check(&mut decoder, blocks[0], &first, &[authority], 57);
    let cache = "cache-control: no-cache";
    let second = [":method: GET", ":scheme: http", ":path: /", authority, cache];
    check(&mut decoder, blocks[1], &second, &[cache, authority], 110);
    let custom = "custom-key: custom-value";
    let third = [":method: GET", ":scheme: https", ":path: /index.html", authority, custom];
    check(&mut decoder, blocks[2], &third, &[custom, cache, authority], 164);
}

#[test]
fn the_examples_of_appendix_c3() {
    check_requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn the_examples_of_appendix_c4() {
    check_requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// The responses of appendices C.5 and C.6, which differ in the code of strings. The table has 256
/// bytes, so that entries are evicted.
#[track_caller]
fn check_responses(blocks: [&str; 3]) {
    let mut decoder = Decoder::new(4096);
    decoder.table.set_bytes_max(256);
    let found = ":status: 302";
    let private = "cache-control: private";
    let date = "date: Mon, 21 Oct 2013 20:13:21 GMT";
    let location = "location: https://www.example.com";
    let table = [location, date, private, found];
    check(&mut decoder, blocks[0], &[found, private, date, location], &table, 222);

    let temporary = ":status: 307";
    let table = [temporary, location, date, private];
    check(&mut decoder, blocks[1], &[temporary, private, date, location], &table, 222);

    let later = "date: Mon, 21 Oct 2013 20:13:22 GMT";
    let gzip = "content-encoding: gzip";
    let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let fields = [":status: 200", private, later, location, gzip, cookie];
    check(&mut decoder, blocks[2], &fields, &[cookie, gzip, later], 215);
}

#[test]
fn the_examples_of_appendix_c5() {
    check_responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
         3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn the_examples_of_appendix_c6() {
    check_responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
         919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
         4ee5 b106 3d50 07",
    ]);
}

#[test]
fn malformed_blocks() {
    check_error("80", DecodeError::InvalidIndex);
    check_error("be", DecodeError::InvalidIndex);
    check_error("7e 01 61", DecodeError::InvalidIndex);
    check_error("ff ff ff ff ff 0f", DecodeError::IntegerOverflow);
    check_error("ff ff ff ff ff ff 0f", DecodeError::IntegerOverflow);
    check_error("7f", DecodeError::Truncated);
    check_error("40", DecodeError::Truncated);
    check_error("40 01", DecodeError::Truncated);
    check_error("40 01 61", DecodeError::Truncated);
    check_error("40 01 61 02 61", DecodeError::Truncated);
    check_error("40 ff", DecodeError::Truncated);
    check_error("40 01 61 81 00", DecodeError::Huffman(InvalidHuffman::Padding));
    check_error("40 84 ffff ffff 00", DecodeError::Huffman(InvalidHuffman::EndOfString));
}

#[test]
fn updates_of_the_size() {
    // 4,096, twice, a third time, after a field; one more than is allowed.
    check(&mut Decoder::new(4096), "3f e1 1f", &[], &[], 0);
    check(&mut Decoder::new(4096), "20 3f e1 1f 82", &[":method: GET"], &[], 0);
    check_error("20 20 20", DecodeError::MisplacedSizeUpdate);
    check_error("82 20", DecodeError::MisplacedSizeUpdate);
    check_error("3f e2 1f", DecodeError::SizeUpdateTooLarge);
    // A larger table may be used when it was announced, and an empty one evicts.
    let mut decoder = Decoder::new(8192);
    check(&mut decoder, "3f e2 1f 40 01 61 01 62", &["a: b"], &["a: b"], 34);
    check(&mut decoder, "20", &[], &[], 0);
    check(&mut decoder, "40 01 61 01 62", &["a: b"], &[], 0);
}

#[test]
fn a_smaller_table_must_be_confirmed() {
    let mut decoder = Decoder::new(4096);
    decoder.set_table_bytes_max(100);
    let decoded = decoder.decode(&[0x82], UNBOUNDED, |_| Answer::Continue);
    assert_eq!(decoded, Err(DecodeError::MissingSizeUpdate));

    let mut decoder = Decoder::new(4096);
    decoder.set_table_bytes_max(100);
    check(&mut decoder, "3f 45 82", &[":method: GET"], &[], 0);
    check(&mut decoder, "82", &[":method: GET"], &[], 0);
    // What binds already needs no confirmation.
    decoder.set_table_bytes_max(100);
    check(&mut decoder, "82", &[":method: GET"], &[], 0);
}

#[test]
fn a_name_whose_entry_is_evicted_for_the_field_itself() {
    let mut decoder = Decoder::new(4096);
    decoder.table.set_bytes_max(40);
    check(&mut decoder, "40 03 782d61 01 62", &["x-a: b"], &["x-a: b"], 36);
    check(&mut decoder, "7e 02 6364", &["x-a: cd"], &["x-a: cd"], 37);
    let long = "7e 06 636465666768";
    check(&mut decoder, long, &["x-a: cdefgh"], &[], 0);
}

#[test]
fn what_is_known_of_a_field() {
    #[track_caller]
    fn check(hex: &str, expected: Field<'_>) {
        let mut count = 0;
        let decoded = Decoder::new(4096).decode(&bytes(hex), UNBOUNDED, |field| {
            assert_eq!(field, expected);
            count += 1;
            Answer::Continue
        });
        assert!(decoded.is_ok());
        assert!(count > 0);
    }
    let field = Field {
        name: Name::Known(Known::Te),
        value: b"a",
        is_name_valid: true,
        is_value_valid: true,
        is_never_indexed: false,
    };
    // "te: a", kept and again by its index; not kept; never kept.
    check("40 02 7465 01 61 be", field);
    check("00 02 7465 01 61", field);
    check("10 02 7465 01 61", Field { is_never_indexed: true, ..field });
    // "Te" and ":te" are no names, and stay so when they are kept.
    let name = |name| Field { name: Name::Other(name), is_name_valid: false, ..field };
    check("40 02 5465 01 61 be 7e 01 61", name(b"Te"));
    check("40 03 3a7465 01 61 be", name(b":te"));
    check("40 00 01 61 be", name(b""));
    // So does a value with a line feed.
    check("40 02 7465 01 0a be", Field { value: b"\n", is_value_valid: false, ..field });
    let pseudo = Name::Pseudo(crate::hpack::Pseudo::Protocol);
    check("40 09 3a70726f746f636f6c 01 61 be", Field { name: pseudo, ..field });
}

#[test]
fn the_bounds_of_a_list() {
    // Three times "a: b" with 34 bytes each; the first is kept.
    let block = bytes("40 01 61 01 62 be be");
    let decode = |list_bytes_max, list_bytes_fatal| {
        let mut emitted = 0;
        let limits = ListLimits { list_bytes_max, list_bytes_fatal };
        let mut decoder = Decoder::new(4096);
        let decoded = decoder.decode(&block, limits, |_| {
            emitted += 1;
            Answer::Continue
        });
        (decoded, emitted, decoder.table.len())
    };
    let decoded = |excess_bytes| Ok(Decoded { fields: 3, list_bytes: 102, excess_bytes });
    assert_eq!(decode(102, 102), (decoded(0), 3, 1));
    assert_eq!(decode(101, 102), (decoded(1), 2, 1));
    assert_eq!(decode(0, 102), (decoded(102), 0, 1));
    assert_eq!(decode(0, 101), (Err(DecodeError::ListTooLarge), 0, 1));
}

#[test]
fn what_is_skipped_changes_the_table_all_the_same() {
    let mut decoder = Decoder::new(4096);
    let mut emitted = 0;
    let decoded = decoder.decode(&bytes("82 40 01 61 01 62 be"), UNBOUNDED, |_| {
        emitted += 1;
        Answer::Skip
    });
    assert_eq!(emitted, 1);
    assert_eq!(decoded.unwrap().fields, 3);
    check(&mut decoder, "be", &["a: b"], &["a: b"], 34);
}

#[test]
fn scratch_memory_of_a_rare_string_is_given_back() {
    let mut decoder = Decoder::new(4096);
    // Zeros are a code of five bits.
    let mut block = bytes("00 01 61 ff c1 3d");
    block.resize(block.len() + 8000, 0);
    let decoded = decoder.decode(&block, UNBOUNDED, |field| {
        assert_eq!(field.value.len(), 12_800);
        Answer::Continue
    });
    assert!(decoded.is_ok());
    assert_eq!(decoder.scratch.capacity(), 0);
}
