//! Laws that hold for every message.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use weft_message::h1::{
    BodyError, BodyFraming, BodyReader, Decoded, HeadLimits, HeadScan, ParseError, Parsed,
    Persistence, RequestFacts, parse_request, parse_response, write_chunk_head, write_last_chunk,
    write_request, write_response,
};
use weft_message::{Fields, Known, Method, PathRules, RequestHead, ResponseHead, canonical_path};

fn parse(input: &[u8]) -> Result<Option<(RequestHead, RequestFacts, usize)>, ParseError> {
    let (mut head, mut scan) = (RequestHead::new(), HeadScan::new());
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::PERMISSIVE);
    Ok(match parse_request(input, &mut scan, &limits, &rules, &mut head)? {
        Parsed::Complete { consumed, facts } => Some((head, facts, consumed)),
        Parsed::Partial => None,
    })
}

/// Parses `input` as it grows by `steps`, in turn.
fn parse_in_steps(input: &[u8], steps: &[usize]) -> Result<Option<RequestHead>, ParseError> {
    let (mut head, mut scan) = (RequestHead::new(), HeadScan::new());
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::PERMISSIVE);
    let mut steps = steps.iter().cycle();
    let mut end = 0;
    loop {
        end = input.len().min(end + steps.next().unwrap_or(&1));
        let parsed = parse_request(&input[..end], &mut scan, &limits, &rules, &mut head)?;
        if let Parsed::Complete { .. } = parsed {
            return Ok(Some(head));
        }
        if end == input.len() {
            return Ok(None);
        }
    }
}

/// Data and trailers of a chunked body that arrives in `steps`, and the bytes taken.
fn decode(input: &[u8], steps: &[usize]) -> Result<(Vec<u8>, Fields, usize), BodyError> {
    let mut reader = BodyReader::new(BodyFraming::Chunked);
    let mut steps = steps.iter().cycle();
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match reader.decode(&input[at..end], end == input.len())? {
            Decoded::Data { skip, len } => {
                at += skip;
                data.extend_from_slice(&input[at..at + len]);
                reader.consumed(len);
                at += len;
            }
            Decoded::End { skip } => {
                return Ok((data, reader.trailers().cloned().unwrap_or_default(), at + skip));
            }
            Decoded::NeedMore { skip } => {
                at += skip;
                end = input.len().min(end + steps.next().unwrap_or(&1));
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<usize>> {
    vec(1usize..40, 1..8)
}

fn method() -> impl Strategy<Value = Method> {
    "(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|[A-Z]{1,12}-[a-z]{1,4})"
        .prop_map(|text| text.parse().unwrap())
}

fn lines() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = "[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,20}";
    let known = (0..Known::ALL.len()).prop_map(|at| Known::ALL[at].as_str().to_owned());
    let value = vec(prop_oneof![32u8..127, Just(b'\t'), 128u8..], 0..40);
    vec((prop_oneof![name.boxed(), known.boxed()], value), 0..12)
}

/// A head as a gateway would have it: made by the setters, nothing hop-by-hop.
fn head() -> impl Strategy<Value = RequestHead> {
    let authority = "[a-z][a-z0-9_-]{0,10}(\\.[a-z0-9]{1,8}){0,3}(:[1-9][0-9]{0,3})?";
    let path = "(/[a-zA-Z0-9._~!$&'()*+,;=:@%25%C3%A9-]{1,9}){1,4}/?";
    let query = proptest::option::of("[!-\"$-~]{0,30}");
    (method(), authority, path, query, lines()).prop_filter_map(
        "the path must have a canonical form",
        |(method, authority, path, query, lines)| {
            let mut head = RequestHead::new();
            head.set_method(method);
            head.set_authority(&authority).unwrap();
            head.set_path(&canonical_path(&path, &PathRules::PERMISSIVE).ok()?).unwrap();
            head.set_query(query.as_deref()).unwrap();
            for (name, value) in lines {
                head.fields.append(name.as_str(), &value).unwrap();
            }
            head.fields.strip_hop_by_hop();
            head.fields.remove(Known::Expect);
            Some(head)
        },
    )
}

/// Text close to a request, so that the parser gets beyond the first byte.
fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec()),
        Just(b"POST /a/%2e%2e/b?c HTTP/1.1\r\nHost: a\r\n".to_vec()),
        Just(b"OPTIONS * HTTP/1.0\r\n".to_vec()),
        Just(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n".to_vec()),
        Just(b"GET http://a:80/x HTTP/1.1\r\nHost: a\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: a, close\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"X:  y \r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        vec(any::<u8>(), 0..6),
        vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'a')], 0..6),
    ];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_parses_to_the_same(head in head(), length in any::<u64>(), chunked: bool) {
        let framing =
            if chunked { BodyFraming::Chunked } else { BodyFraming::Length(length) };
        let mut out = Vec::new();
        write_request(&head, framing, &mut out);
        let (mut again, facts, consumed) = parse(&out).unwrap().unwrap();
        assert_eq!(consumed, out.len());
        assert_eq!(facts.framing, framing);
        again.fields.strip_hop_by_hop();
        assert_eq!(again, head);
        // And once more, now from lines as received.
        let mut second = Vec::new();
        write_request(&again, framing, &mut second);
        assert_eq!(String::from_utf8_lossy(&second), String::from_utf8_lossy(&out));
    }

    #[test]
    fn responses_too(status in 200u16..1000, lines in lines(), length in any::<u64>()) {
        let mut head = ResponseHead::new();
        head.set_status(status);
        for (name, value) in lines {
            head.fields.append(name.as_str(), &value).unwrap();
        }
        head.fields.strip_hop_by_hop();
        let mut out = Vec::new();
        write_response(&head, BodyFraming::Length(length), Persistence::KeepAlive, &mut out);
        let mut again = ResponseHead::new();
        let (mut scan, limits) = (HeadScan::new(), HeadLimits::DEFAULT);
        let parsed = parse_response(&out, &mut scan, &limits, &Method::Get, &mut again).unwrap();
        let Parsed::Complete { consumed, facts } = parsed else { panic!("incomplete") };
        again.fields.strip_hop_by_hop();
        assert_eq!((consumed, &again), (out.len(), &head));
        let bodiless = matches!(status, 204 | 304);
        let expected = if bodiless { BodyFraming::None } else { BodyFraming::Length(length) };
        assert_eq!(facts.framing, expected);
    }

    #[test]
    fn any_split_of_a_head_is_the_same(input in nearly_a_request(), steps in steps()) {
        let whole = parse(&input).map(|parsed| parsed.map(|(head, ..)| head));
        let split = parse_in_steps(&input, &steps);
        match (whole, split) {
            (Ok(whole), Ok(split)) => assert_eq!(whole, split),
            // In pieces, a fault may be seen only once the head is complete.
            (Err(_), Err(_) | Ok(None)) => {}
            (whole, split) => panic!("{whole:?} whole, {split:?} split"),
        }
    }

    #[test]
    fn any_split_of_a_body_is_the_same(
        chunks in vec(vec(any::<u8>(), 1..50), 0..8),
        lines in lines(),
        steps in steps(),
    ) {
        let mut trailers = Fields::new();
        for (name, value) in lines {
            if weft_message::is_trailer_allowed(&name) {
                trailers.append(name.as_str(), &value).unwrap();
            }
        }
        let mut input = Vec::new();
        for chunk in &chunks {
            write_chunk_head(chunk.len(), &mut input);
            input.extend_from_slice(chunk);
            input.extend_from_slice(b"\r\n");
        }
        write_last_chunk(Some(&trailers), &mut input);
        let end = input.len();
        input.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let (data, found, taken) = decode(&input, &steps).unwrap();
        assert_eq!((data, found, taken), (chunks.concat(), trailers, end));
    }

    #[test]
    fn the_canonical_path_is_its_own(path in "(/|/[a-z.;%/\\\\]{0,8}|%(2e|2f|5c|25|00|41|c3%a9|zz)){0,6}") {
        for rules in [PathRules::default(), PathRules::PERMISSIVE] {
            let Ok(canonical) = canonical_path(&path, &rules) else { continue };
            assert_eq!(canonical_path(&canonical, &rules).as_deref(), Ok(&*canonical), "{path:?}");
            let decoded = percent_decoded(&canonical);
            let segments: Vec<_> = canonical[1..].split('/').collect();
            assert!(!segments.iter().any(|segment| matches!(*segment, "." | "..")));
            if rules == PathRules::default() {
                assert!(!decoded.contains('\\') && !decoded.contains('\0'));
                assert_eq!(decoded.matches('/').count(), canonical.matches('/').count());
            }
        }
    }

    #[test]
    fn no_input_panics(input in vec(any::<u8>(), 0..200), near in nearly_a_request(), steps in steps()) {
        for input in [&input, &near] {
            let _ = parse(input);
            let _ = decode(input, &steps);
            let mut head = ResponseHead::new();
            let (mut scan, limits) = (HeadScan::new(), HeadLimits::DEFAULT);
            let _ = parse_response(input, &mut scan, &limits, &Method::Get, &mut head);
            let status = [b"HTTP/1.1 200 OK\r\n", &input[..]].concat();
            let _ = parse_response(&status, &mut scan, &limits, &Method::Head, &mut head);
            if let Ok(text) = std::str::from_utf8(input) {
                let _ = canonical_path(text, &PathRules::PERMISSIVE);
                let mut head = RequestHead::new();
                let _ = head.set_authority(text);
                let _ = head.set_path(text);
                let _ = head.set_query(Some(text));
                let _ = (head.host().len(), head.path().len(), head.query().map(str::len));
            }
        }
    }
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
