use proptest::prelude::*;

use super::*;

/// Where a request is found, however the bytes are cut.
#[track_caller]
fn check(bytes: &[u8], expected: Option<usize>) {
    for size in 1..=bytes.len() {
        let mut line = FirstLine::default();
        let mut passed = 0;
        let mut found = None;
        for piece in bytes.chunks(size) {
            if let Some(count) = line.scan(piece) {
                found = Some(passed + count);
                break;
            }
            passed += piece.len();
        }
        assert_eq!(found, expected, "{:?} in pieces of {size}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn what_some_server_takes_for_a_request_is_found() {
    for line in [
        &b"GET x://h/secret HTTP/1.1\r"[..],
        b"GETGETGETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r",
        b"get / http/1.1",
        b"GET foo HTTP/1.1\r",
        b"GET\t/\tHTTP/1.1 \t\r",
        b"\r\n\r\n \n\tGET / HTTP/1.0\r",
        b"\xa0GET / HTTP/1.1\r",
        b"\x0bGET\x1c/\x85HTTP/1.1\r",
        b"GET /\0 HTTP/1.1\r",
        b"GET / HTTP/11",
        b"\xa0GET /secret\r",
        b"POST a b c HTTP/1.1\r",
    ] {
        let bytes = [line, b"\nx-forwarded-client-cert: forged\r\n\r\n"].concat();
        check(&bytes, Some(line.len()));
    }
}

#[test]
fn other_protocols_pass() {
    for bytes in [
        &b"EHLO mail.example\r\nMAIL FROM:<a@b>\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\nGET / HTTP/1.1\r\n",
        b"get key\r\n",
        b"GET key\r\n",
        b"SET /path HTTP\r\n",
        b"SSH-2.0-OpenSSH_9.2 Debian-2\r\n",
        b"CONNECT {\"verbose\":false}\r\nPING\r\n",
        b"OPTIONS rtsp://a/ RTSP/1.0\r\n",
        b"INVITE sip:bob@example.org SIP/2.0\r\n",
        b"web1 - \"GET / HTTP/1.1\" 200 12\n",
        b"HTTP/1.1\r\n",
        b"0033git-upload-pack /project.git\0host=a.example\0",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
    ] {
        check(bytes, None);
    }
}

#[test]
fn a_line_that_does_not_end_is_not_looked_at_for_ever() {
    let mut line = FirstLine::default();
    let piece = [0; 64 << 10];
    for _ in 0..(LINE_BYTES_MAX as usize / piece.len()) {
        assert_eq!(line.scan(&piece), None);
    }
    assert!(line.has_ended());
    assert_eq!(line.scan(b" HTTP/1.1\n"), None);
}

proptest! {
    #[test]
    fn any_method_and_target_are_found(
        blank in "[ \t\r\n]{0,5}",
        method in "[!-~]{1,20}",
        target in "[!-~]{1,20}",
        minor in 0..10,
        cut in 0_usize..60,
    ) {
        let line = format!("{blank}{method} {target} HTTP/1.{minor}\r");
        let bytes = format!("{line}\nx: y\r\n");
        let (first, second) = bytes.as_bytes().split_at(cut.min(bytes.len()));
        let mut scan = FirstLine::default();
        let found = scan.scan(first).or_else(|| scan.scan(second).map(|at| at + first.len()));
        prop_assert_eq!(found, Some(line.len()));
    }
}
