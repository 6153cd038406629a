use super::*;

/// Decodes `input`, fed in pieces of `step` bytes; data, and how many bytes were taken.
fn decode(
    framing: BodyFraming,
    input: &[u8],
    step: usize,
) -> Result<(Vec<u8>, usize, BodyReader), BodyError> {
    let mut reader = BodyReader::new(framing);
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match reader.decode(&input[at..end], end == input.len())? {
            Decoded::Data { skip, len } => {
                assert!(len > 0);
                at += skip;
                data.extend_from_slice(&input[at..at + len]);
                reader.consumed(len);
                at += len;
            }
            Decoded::End { skip } => return Ok((data, at + skip, reader)),
            Decoded::NeedMore { skip } => {
                at += skip;
                assert!(end < input.len(), "wants more than there is");
                end = (end + step).min(input.len());
            }
        }
    }
}

#[track_caller]
fn check_chunked(input: &str, expected: Result<(&str, usize), BodyError>) {
    for step in [1, 2, 3, 5, 1000] {
        let got = decode(BodyFraming::Chunked, input.as_bytes(), step);
        let got = got.map(|(data, taken, _)| (String::from_utf8(data).unwrap(), taken));
        let expected = expected.map(|(data, taken)| (data.to_owned(), taken));
        assert_eq!(got, expected, "{input:?} by {step}");
    }
}

#[test]
fn lengths_and_ends() {
    let (data, taken, _) = decode(BodyFraming::Length(3), b"abcdef", 2).unwrap();
    assert_eq!((&data[..], taken), (&b"abc"[..], 3));
    let (data, taken, _) = decode(BodyFraming::UntilClose, b"abcdef", 4).unwrap();
    assert_eq!((&data[..], taken), (&b"abcdef"[..], 6));
    let (data, taken, _) = decode(BodyFraming::None, b"abcdef", 2).unwrap();
    assert_eq!((&data[..], taken), (&b""[..], 0));
    let truncated = decode(BodyFraming::Length(7), b"abcdef", 2).map(|_| ());
    assert_eq!(truncated, Err(BodyError::Truncated));
}

#[test]
fn data_may_be_used_in_parts() {
    let mut reader = BodyReader::new(BodyFraming::Chunked);
    let found = reader.decode(b"5\r\nhello\r\n0\r\n\r\n", false).unwrap();
    assert_eq!(found, Decoded::Data { skip: 3, len: 5 });
    reader.consumed(2);
    assert_eq!(
        reader.decode(b"llo\r\n0\r\n\r\n", false).unwrap(),
        Decoded::Data { skip: 0, len: 3 }
    );
    reader.consumed(3);
    assert!(!reader.is_complete());
    assert_eq!(reader.decode(b"\r\n0\r\n\r\n", false).unwrap(), Decoded::End { skip: 7 });
    assert!(reader.is_complete());
}

#[test]
fn chunks() {
    check_chunked("3\r\nabc\r\n0\r\n\r\nnext", Ok(("abc", 13)));
    check_chunked("1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", Ok(("a0123456789", 26)));
    check_chunked("0\r\n\r\n", Ok(("", 5)));
    check_chunked("000000000000000a\r\n0123456789\r\n00\r\n\r\n", Ok(("0123456789", 36)));
    check_chunked("3;a=b;c=\"d;\\\"e\"\r\nabc\r\n0;x\r\n\r\n", Ok(("abc", 29)));
}

// gateway.md 4.2: chunk framing.
#[test]
fn malformed_chunks_are_refused() {
    for size in ["0x3", "+3", "-3", "3_", " 3", "3 ", "\t3", "", "g", "\r", "3\0", "3,"] {
        let input = format!("{size}\r\nabc\r\n0\r\n\r\n");
        check_chunked(&input, Err(BodyError::ChunkSize));
    }
    check_chunked("00000000000000003\r\nabc\r\n0\r\n\r\n", Err(BodyError::ChunkSize));
    check_chunked("fffffffffffffffff\r\nabc\r\n", Err(BodyError::ChunkSize));
    check_chunked("3\nabc\r\n0\r\n\r\n", Err(BodyError::LineEnd));
    check_chunked("3\rabc\r\n0\r\n\r\n", Err(BodyError::LineEnd));
    check_chunked("3;a\nabc\r\n0\r\n\r\n", Err(BodyError::ChunkExtension));
    check_chunked("3;a\rb\r\nabc\r\n0\r\n\r\n", Err(BodyError::LineEnd));
    check_chunked("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n", Err(BodyError::ChunkExtension));
    check_chunked("3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n", Err(BodyError::ChunkExtension));
    check_chunked("3;a=\"\\\r\n\"\r\nabc\r\n0\r\n\r\n", Err(BodyError::ChunkExtension));
    check_chunked("3;a\0\r\nabc\r\n0\r\n\r\n", Err(BodyError::ChunkExtension));
    check_chunked("3\r\nabcd\r\n0\r\n\r\n", Err(BodyError::ChunkEnd));
    check_chunked("3\r\nabc0\r\n\r\n", Err(BodyError::ChunkEnd));
    check_chunked("3\r\nabc\n0\r\n\r\n", Err(BodyError::ChunkEnd));
    check_chunked("3\r\nabc\rx0\r\n\r\n", Err(BodyError::ChunkEnd));
    check_chunked("0\r\n\n", Err(BodyError::Trailers(ParseError::BareLf)));
    check_chunked("3\r\nab", Err(BodyError::Truncated));
    check_chunked("3\r\nabc\r\n0\r\n\r", Err(BodyError::Truncated));
}

#[test]
fn extensions_are_bounded() {
    let fits = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(256));
    check_chunked(&fits, Ok(("a", fits.len())));
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(257));
    check_chunked(&long, Err(BodyError::ChunkExtension));
    // The bound is for each chunk.
    let two = format!("1;{0}\r\na\r\n1;{0}\r\nb\r\n0\r\n\r\n", "x".repeat(200));
    check_chunked(&two, Ok(("ab", two.len())));
}

#[test]
fn trailers_are_filtered() {
    let input = b"1\r\na\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\nhost: evil\r\n\
        Transfer-Encoding: chunked\r\nAuthorization: Basic x\r\nTrailer: a\r\nConnection: a\r\n\
        TE: a\r\nSet-Cookie: a\r\nContent-Encoding: gzip\r\nContent-Type: a\r\nContent-Range: a\r\n\
        Cache-Control: a\r\nExpect: a\r\nX-Forwarded-For: a\r\ngrpc-status: 0\r\n\r\nnext";
    for step in [1, 3, 1000] {
        let (data, taken, reader) = decode(BodyFraming::Chunked, input, step).unwrap();
        assert_eq!((&data[..], &input[taken..]), (&b"a"[..], &b"next"[..]));
        let trailers: Vec<_> = reader.trailers().unwrap().iter().collect();
        assert_eq!(trailers, [("X-Sum", &b"7"[..]), ("grpc-status", &b"0"[..])]);
    }
    let (.., reader) = decode(BodyFraming::Chunked, b"0\r\nHost: a\r\n\r\n", 100).unwrap();
    assert!(reader.trailers().is_none());
}

#[test]
fn malformed_trailers_are_refused() {
    for (line, expected) in [
        ("X: a\r\n folded", ParseError::FoldedLine),
        ("X : a", ParseError::FieldName),
        ("X: a\0", ParseError::ControlByte),
        ("X: a\rb", ParseError::BareCr),
        ("no colon", ParseError::MissingColon),
        (": a", ParseError::FieldName),
    ] {
        check_chunked(&format!("0\r\n{line}\r\n\r\n"), Err(BodyError::Trailers(expected)));
    }
    let long = format!("0\r\nX: {}\r\n\r\n", "x".repeat(8 << 10));
    check_chunked(&long, Err(BodyError::TrailersTooLarge));
    let many = format!("0\r\n{}\r\n", "X: 1\r\n".repeat(65));
    check_chunked(&many, Err(BodyError::TrailersTooLarge));
}

#[test]
fn an_error_stays() {
    let mut reader = BodyReader::new(BodyFraming::Chunked);
    assert_eq!(reader.decode(b"x", false), Err(BodyError::ChunkSize));
    assert_eq!(reader.decode(b"0\r\n\r\n", false), Err(BodyError::ChunkSize));
    assert!(!reader.is_complete());
    reader.reset(BodyFraming::Chunked);
    assert_eq!(reader.decode(b"0\r\n\r\n", false), Ok(Decoded::End { skip: 5 }));
}
