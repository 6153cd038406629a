use super::path;

#[test]
fn paths_are_as_clients_send_them() {
    let check = |text: &str, expected: &str| assert_eq!(&*path(text).unwrap(), expected, "{text}");
    check("/", "/");
    check("/a/b/", "/a/b/");
    check("/a b", "/a%20b");
    check("/caf\u{e9}", "/caf%C3%A9");
    check("/%7euser", "/~user");
    check("/x%c3%a9", "/x%C3%A9");
    assert!(path("relative").is_err());
    assert!(path("/a%zz").is_err());
}
