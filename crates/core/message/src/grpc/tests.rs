use super::*;

#[test]
fn a_status_is_a_number_with_or_without_space_around_it() {
    let check = |value: &str, expected: Option<u32>| {
        let mut fields = Fields::new();
        fields.append(Known::GrpcStatus, value.as_bytes()).expect("valid");
        assert_eq!(status(&fields), expected, "{value:?}");
    };
    check("0", Some(0));
    check(" 14 ", Some(14));
    check("-1", None);
    check("OK", None);
    assert_eq!(status(&Fields::new()), None);
}
