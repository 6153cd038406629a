use proptest::prelude::*;

use super::*;

#[test]
fn lists() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        (" , ,", &[]),
        ("a", &["a"]),
        (" a , b;q=0.5 ,, c ", &["a", "b;q=0.5", "c"]),
        (r#"a;p="x,y", b"#, &[r#"a;p="x,y""#, "b"]),
        (r#"a;p="x\",y", b"#, &[r#"a;p="x\",y""#, "b"]),
        (r#"a;p="open, b"#, &[r#"a;p="open, b"#]),
    ];
    for (value, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(list(value.as_bytes()).collect::<Vec<_>>(), expected, "{value}");
    }
}

#[test]
fn qualities() {
    let cases = [
        ("", 1000),
        ("q=1", 1000),
        ("q=1.000", 1000),
        (" Q = 0.5 ", 500),
        ("level=1;q=0.123", 123),
        ("q=0", 0),
        ("q=0.", 0),
        ("q=0.001", 1),
        ("q=1.1", 0),
        ("q=2", 0),
        ("q=0.1234", 0),
        ("q=x", 0),
        ("q=", 0),
        ("q", 0),
        ("q=\"0.7\"", 700),
    ];
    for (parameters, expected) in cases {
        assert_eq!(quality(parameters.as_bytes()), expected, "{parameters}");
    }
}

#[test]
fn media_types() {
    // Setting, content type, whether it fits.
    let cases = [
        ("text/html", "text/html", true),
        ("text/html", "Text/HTML; charset=utf-8", true),
        ("text/html", "text/htmlx", false),
        ("text/html", "", false),
        ("text/html;charset=utf-8", "text/html", false),
        ("text/html;charset=utf-8", "text/html; charset=\"utf-8\"", true),
        ("text/html;charset=utf-8", "text/html; charset=latin1", false),
        ("text/html;charset=utf-8", "text/html; charset=utf-8; x=y", false),
    ];
    for (setting, media_type, expected) in cases {
        assert_eq!(
            is_media_type(setting.as_bytes(), media_type.as_bytes()),
            expected,
            "{setting} {media_type}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(value in proptest::collection::vec(any::<u8>(), 0..40)) {
        for element in list(&value) {
            let (_, rest) = split_parameters(element);
            prop_assert!(quality(rest) <= 1000);
            for (name, _) in parameters(rest) {
                prop_assert!(name.len() <= value.len());
            }
        }
    }

    #[test]
    fn encoding_leaves_only_plain_bytes(value in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut out = String::new();
        percent_encode(&value, is_unreserved, &mut out);
        prop_assert!(out.bytes().all(|byte| is_unreserved(byte) || byte == b'%'));
    }
}
