use super::*;

#[test]
fn content_types_of_grpc_are_told_from_their_neighbours() {
    for value in ["application/grpc", "Application/GRPC", "application/grpc+proto"] {
        assert!(is_content_type(value.as_bytes()), "{value}");
    }
    for value in ["application/grpc; x=y", "application/grpc ;x=y"] {
        assert!(is_content_type(value.as_bytes()), "{value}");
    }
    for value in ["application/grpc-web+proto", "application/grpcx", "application/json", ""] {
        assert!(!is_content_type(value.as_bytes()), "{value}");
    }
}

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
