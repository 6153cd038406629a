use super::*;

#[test]
fn names_are_found_in_lower_case_only() {
    #[track_caller]
    fn check(name: &str, expected: Name<'_>) {
        assert_eq!(Name::new(name.as_bytes()), expected);
        assert_eq!(expected.as_bytes(), name.as_bytes());
    }
    for pseudo in Pseudo::ALL {
        check(pseudo.as_str(), Name::Pseudo(pseudo));
    }
    for &known in Known::ALL {
        check(known.as_str(), Name::Known(known));
    }
    check("x-other", Name::Other(b"x-other"));
    check("Host", Name::Other(b"Host"));
    check(":Path", Name::Other(b":Path"));
    check(":other", Name::Other(b":other"));
    check("", Name::Other(b""));
}

#[test]
fn the_name_of_an_id_is_in_lower_case() {
    assert_eq!(Name::with_id(Known::Host as u8, b"Host"), Name::Known(Known::Host));
    assert_eq!(Name::with_id(crate::known::UNKNOWN, b"X-A"), Name::Other(b"X-A"));
}

#[test]
fn codes_of_kinds_differ() {
    let pseudo = Pseudo::ALL.map(Kind::Pseudo);
    let known = Known::ALL.iter().copied().map(Kind::Known);
    let kinds = known.chain(pseudo).chain([Kind::Other]);
    let mut codes: Vec<u8> = kinds.map(Kind::code).collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count);
}

#[test]
fn valid_values() {
    #[track_caller]
    fn check(value: &[u8], expected: bool) {
        assert_eq!(is_valid_value(value), expected, "{value:?}");
    }
    check(b"", true);
    check(b"a b\tc", true);
    check(b"caf\xc3\xa9", true);
    check(b" a", false);
    check(b"a ", false);
    check(b"\ta", false);
    check(b"a\t", false);
    check(b"a\0b", false);
    check(b"a\rb", false);
    check(b"a\nb", false);
    check(b"a\x7fb", false);
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Encoder>() + size_of::<Decoder>() < 300);
}
