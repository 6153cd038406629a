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
