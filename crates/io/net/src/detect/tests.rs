use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(bytes: &[u8], wanted: FirstBytes, decided_after: usize) {
    for len in 0..=bytes.len() {
        let wanted =
            if len < decided_after { Detected::NeedMore } else { Detected::Decided(wanted) };
        assert_eq!(detect(&bytes[..len]), wanted, "after {len} bytes");
    }
}

#[test]
fn each_protocol_is_told_as_early_as_it_can_be() {
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", FirstBytes::Tls, 6);
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FirstBytes::Http2, 24);
    check(b"\r\n\r\n\0\r\nQUIT\n\x21\x11", FirstBytes::ProxyV2, 12);
    check(b"PROXY TCP4 1.2.3.4", FirstBytes::ProxyV1, 11);
    check(b"PROXY TCP6 ::1", FirstBytes::ProxyV1, 11);
    check(b"PROXY UNKNOWN\r\n", FirstBytes::ProxyV1, 13);
    check(b"GET / HTTP/1.1\r\n", FirstBytes::Http1, 5);
    check(b"PROXY / HTTP/1.1\r\n", FirstBytes::Http1, 7);
    check(b"PUT * HTTP/1.1", FirstBytes::Http1, 5);
    check(b"\r\nGET /", FirstBytes::Http1, 7);
    check(b"GET http://a/ HTTP/1.1\r\n", FirstBytes::Http1, 11);
    check(b"GET HTTPS://a/ HTTP/1.1\r\n", FirstBytes::Http1, 12);
    check(b"CONNECT a.example:443 HTTP/1.1\r\n", FirstBytes::Http1, 9);
    check(b"CONNECT [::1]:443 HTTP/1.1\r\n", FirstBytes::Http1, 9);
    check(b"M-SEARCH * HTTP/1.1\r\n", FirstBytes::Http1, 10);
}

#[test]
fn what_only_looks_similar_is_something_else() {
    check(b"\x16\x03\x01\x02\x00\x02", FirstBytes::Other, 6);
    check(b"\x16\x03\x05", FirstBytes::Other, 3);
    check(b"\x80\x2e\x01\x03\x01", FirstBytes::Other, 1);
    check(b"EHLO mail.example\r\n", FirstBytes::Other, 6);
    check(b"SSH-2.0-OpenSSH_9.2\r\n", FirstBytes::Other, 20);
    check(b"PROXY TCP5 1.2.3.4", FirstBytes::Other, 10);
    check(b"CONNECT /x", FirstBytes::Http1, 9);
    check(b"CONNECT  a", FirstBytes::Other, 9);
    check(b" GET /", FirstBytes::Other, 1);
    check(b"\r\n\r\nGET /", FirstBytes::Other, 5);
    check(&[b'A'; 40], FirstBytes::Other, METHOD_BYTES_MAX + 1);
}

proptest! {
    #[test]
    fn decides_in_bounded_bytes_and_sticks_to_it(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut decided = None;
        for len in 0..=bytes.len() {
            let now = detect(&bytes[..len]);
            if let Some(before) = decided {
                prop_assert_eq!(now, before);
            } else if now != Detected::NeedMore {
                decided = Some(now);
            }
            prop_assert!(len < DETECT_BYTES_MAX || decided.is_some());
        }
    }

    #[test]
    fn text_is_bounded_too(text in "[A-Z ./*h]{0,100}") {
        let wanted = detect(text.as_bytes()) != Detected::NeedMore || text.len() < DETECT_BYTES_MAX;
        prop_assert!(wanted);
    }
}
