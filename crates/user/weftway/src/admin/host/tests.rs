use super::*;

#[test]
fn only_addresses_and_localhost() {
    for host in [
        "",
        ":80",
        "127.0.0.1",
        "127.0.0.1:15000",
        "10.1.2.3:1",
        "[::1]",
        "[::1]:15000",
        "localhost",
        "LocalHost:15000",
    ] {
        assert!(is_local(host.as_bytes()), "{host}");
    }
    for host in [
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "127.0.0.1:x",
        "[::1",
        "[::1]x",
        "::1",
        "localhost.",
        "a@127.0.0.1",
        "user@localhost",
        " localhost",
    ] {
        assert!(!is_local(host.as_bytes()), "{host}");
    }
    assert!(!is_local(b"\xff"));
}
