use proptest::prelude::*;

use super::*;

/// Feeds `response` whole and byte by byte: both must agree.
fn check(response: &str, is_head: bool, expected: Result<(u16, u64, bool), InvalidResponse>) {
    let whole = read(response.as_bytes(), is_head, usize::MAX);
    assert_eq!(whole, expected, "{response:?}");
    assert_eq!(read(response.as_bytes(), is_head, 1), expected, "byte by byte: {response:?}");
}

/// Status, body bytes and reuse of a response that arrives in pieces and then ends.
fn read(bytes: &[u8], is_head: bool, piece: usize) -> Result<(u16, u64, bool), InvalidResponse> {
    let mut reader = Reader::new(is_head);
    let mut last = Feed::More;
    for piece in bytes.chunks(piece.min(bytes.len())) {
        if last != Feed::More {
            return Err(InvalidResponse::Surplus);
        }
        last = reader.feed(piece)?;
    }
    let reuse = match last {
        Feed::Done { reuse } => reuse,
        Feed::More => {
            reader.end_of_stream()?;
            false
        }
    };
    Ok((reader.answer().status, reader.answer().body_bytes, reuse))
}

#[test]
fn bodies_are_framed_as_rfc_9112_says() {
    let ok = |status, body, reuse| Ok((status, body, reuse));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, ok(200, 5, true));
    check("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", false, ok(200, 0, true));
    check("HTTP/1.1 204\r\n\r\n", false, ok(204, 0, true));
    check("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, ok(304, 0, true));
    check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, ok(200, 0, true));
    check("HTTP/1.1 200 OK\r\n\r\nuntil close", false, ok(200, 11, false));
    check("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, ok(200, 1, false));
    check(
        "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
        false,
        ok(200, 1, true),
    );
    check(
        "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 1\r\n\r\nx",
        false,
        ok(200, 1, false),
    );
    check(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
        false,
        ok(500, 2, true),
    );
}

#[test]
fn chunks_are_counted_without_their_framing() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    let ok = |body| Ok((200, body, true));
    check(&format!("{head}0\r\n\r\n"), false, ok(0));
    check(&format!("{head}5\r\nhello\r\n1;ext=\"a\"\r\n!\r\n0\r\n\r\n"), false, ok(6));
    check(&format!("{head}A \r\n0123456789\r\n0\r\nTrailer: x\r\nB: y\r\n\r\n"), false, ok(10));
    let invalid = || Err(InvalidResponse::Chunk);
    check(&format!("{head}\r\n"), false, invalid());
    check(&format!("{head}x\r\n"), false, invalid());
    check(&format!("{head}1\r\nab\r\n"), false, invalid());
    check(&format!("{head}1111111111111111\r\n"), false, invalid());
}

#[test]
fn broken_responses_are_named() {
    check("HTTP/2 200 OK\r\n\r\n", false, Err(InvalidResponse::StatusLine));
    check("HTTP/1.1 20 OK\r\n\r\n", false, Err(InvalidResponse::StatusLine));
    check("HTTP/1.1 099 OK\r\n\r\n", false, Err(InvalidResponse::StatusLine));
    check("HTTP/1.1 200 OK\r\nConte", false, Err(InvalidResponse::Truncated));
    check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", false, Err(InvalidResponse::Truncated));
    check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", false, Err(InvalidResponse::Surplus));
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        false,
        Err(InvalidResponse::Field("content-length")),
    );
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        false,
        Err(InvalidResponse::Field("content-length")),
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\na",
        false,
        Err(InvalidResponse::Field("transfer-encoding")),
    );
}

#[test]
fn an_endless_head_is_refused() {
    let mut reader = Reader::new(false);
    let piece = [b'a'; 1024];
    let refused = (0..100).find_map(|_| reader.feed(&piece).err());
    assert_eq!(refused, Some(InvalidResponse::HeadTooLong));
}

proptest! {
    #[test]
    fn the_cut_into_pieces_changes_nothing(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
        piece in 1_usize..50,
    ) {
        let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let mut expected = 0;
        for chunk in &chunks {
            response.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            response.extend_from_slice(chunk);
            response.extend_from_slice(b"\r\n");
            expected += chunk.len() as u64;
        }
        response.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(read(&response, false, piece), Ok((200, expected, true)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
        let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        response.extend_from_slice(&bytes);
        let _ = read(&response, false, 7);
        let _ = read(&bytes, false, 7);
    }
}
