use std::future::poll_fn;

use weft_message::h1::BodyFraming;

use super::*;
use crate::Leg;
use crate::fixtures::{begin_response, buffers, conn, drain, feed, pattern, read_request, run};

/// A body in chunks of uneven sizes.
fn chunked(body: &[u8], trailers: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    for size in [1, 4_000, 17, 70_000, 3].iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    out
}

/// Takes a body out of chunks; gives the trailer lines too.
fn unchunked(mut wire: &[u8]) -> (Vec<u8>, String) {
    let mut body = Vec::new();
    loop {
        let end = wire.windows(2).position(|pair| pair == b"\r\n").expect("a chunk has a size");
        let text = std::str::from_utf8(&wire[..end]).expect("a size is text");
        let size = usize::from_str_radix(text, 16).expect("a size is a number");
        wire = &wire[end + 2..];
        if size == 0 {
            return (body, String::from_utf8(wire.to_vec()).expect("trailers are text"));
        }
        body.extend_from_slice(&wire[..size]);
        assert_eq!(&wire[size..size + 2], b"\r\n");
        wire = &wire[size + 2..];
    }
}

/// Moves a request's body that comes as `from` into a response that is framed as `to`, over wires
/// of that capacity; gives what left after the head.
fn moved(from: &[u8], to: BodyFraming, capacity: usize) -> (Vec<u8>, Result<u64, PumpError>) {
    run(async {
        let buffers = buffers();
        let (mut source, sending) = conn(&buffers, capacity);
        let (mut sink, receiving) = conn(&buffers, capacity);
        let _feeding = feed(sending, from);
        let drained = drain(receiving);
        read_request(&mut source).await;
        begin_response(&mut sink, to);
        let (mut source, mut sink) = (Leg::H1(Box::new(source)), Leg::H1(Box::new(sink)));
        let mut pump = Pump::new();
        let mut seen = 0;
        let result = poll_fn(|cx| {
            pump.poll_seen(cx, &mut source, &mut sink, |bytes| seen += bytes.len() as u64)
        })
        .await;
        assert_eq!(seen, pump.bytes);
        assert_eq!(pump.is_done(), result.is_ok());
        drop((source, sink));
        let wire = drained.await.expect("it ends");
        assert_eq!(buffers.pool().lent(), 0);
        // What was only buffered when it failed has not left.
        let head = wire.windows(4).position(|four| four == b"\r\n\r\n");
        let body = head.map_or(Vec::new(), |head| wire[head + 4..].to_vec());
        (body, result.map(|()| pump.bytes))
    })
}

#[test]
fn every_framing_becomes_every_other() {
    for length in [0, 1, 4_096, 4_097, 200_000] {
        let body = pattern(length);
        let head = "POST / HTTP/1.1\r\nHost: a\r\n";
        let by_length = [
            format!("{head}Content-Length: {length}\r\n\r\n").as_bytes(),
            &body,
            b"GET /next HTTP/1.1\r\n",
        ]
        .concat();
        let in_chunks = [
            format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
            &chunked(&body, "X-Sum: 1\r\n"),
        ]
        .concat();
        for (from, trailers) in [(&by_length, ""), (&in_chunks, "X-Sum: 1\r\n")] {
            for capacity in [1_000, 100_000] {
                for to in [BodyFraming::Length(length as u64), BodyFraming::UntilClose] {
                    let (wire, result) = moved(from, to, capacity);
                    assert_eq!(result.expect("it is moved"), length as u64);
                    assert!(wire == body, "{length} bytes to {to:?}");
                }
                let (wire, result) = moved(from, BodyFraming::Chunked, capacity);
                assert_eq!(result.expect("it is moved"), length as u64);
                let (unchunked, lines) = unchunked(&wire);
                assert!(unchunked == body, "{length} bytes in chunks");
                assert_eq!(lines.to_lowercase(), format!("{trailers}\r\n").to_lowercase());
            }
        }
    }
}

#[test]
fn the_failing_side_is_named() {
    let broken = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort";
    let (_, result) = moved(broken, BodyFraming::Length(10), 1_000);
    assert!(matches!(result, Err(PumpError::Read(_))), "{result:?}");
    let whole = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwhole";
    let (_, result) = moved(whole, BodyFraming::Length(3), 1_000);
    assert!(matches!(result, Err(PumpError::Write(WriteError::Length))), "{result:?}");
    let (_, result) = moved(whole, BodyFraming::None, 1_000);
    assert!(matches!(result, Err(PumpError::Write(WriteError::Length))), "{result:?}");
}

#[test]
fn what_has_come_leaves_before_more_is_awaited() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    run(async {
        let buffers = buffers();
        let (mut source, mut sending) = conn(&buffers, 1_000);
        let (mut sink, mut receiving) = conn(&buffers, 1_000);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        sending.write_all(head).await.expect("memory does not fail");
        read_request(&mut source).await;
        begin_response(&mut sink, BodyFraming::Chunked);
        let (mut source, mut sink) = (Leg::H1(Box::new(source)), Leg::H1(Box::new(sink)));
        let mut pump = Pump::new();
        let pumping = poll_fn(|cx| pump.poll(cx, &mut source, &mut sink));
        let talking = async {
            let mut text = String::new();
            for event in ["event 1", "event 2"] {
                let chunk = format!("7\r\n{event}\r\n");
                sending.write_all(chunk.as_bytes()).await.expect("memory does not fail");
                while !text.contains(event) {
                    let mut byte = [0];
                    receiving.read_exact(&mut byte).await.expect("memory does not fail");
                    text.push(char::from(byte[0]));
                }
            }
            sending.write_all(b"0\r\n\r\n").await.expect("memory does not fail");
        };
        let (pumped, ()) = tokio::join!(pumping, talking);
        pumped.expect("it is moved");
    });
}
