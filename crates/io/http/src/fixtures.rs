//! Connections in memory, for the tests of this crate.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use weft_message::h1::{BodyFraming, HeadLimits, Persistence, write_response};
use weft_message::{Fields, Method, PathRules, RequestHead, ResponseHead};
use weft_net::BufferPool;

use crate::buffers::Buffers;
use crate::error::{ReadError, WriteError};
use crate::h1::Conn;
use crate::io::Io;
use crate::{BodyEvent, Leg};

/// Runs a test on a runtime like a worker's, with a clock that stands still until all wait.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime can be built")
        .block_on(test)
}

pub(crate) fn buffers() -> Buffers {
    Buffers::new(BufferPool::default())
}

/// A connection and the other end of it; at most `capacity` bytes are on the way each way.
pub(crate) fn conn(buffers: &Buffers, capacity: usize) -> (Conn, DuplexStream) {
    let (ours, theirs) = duplex(capacity);
    (Conn::new(io(ours), buffers.clone()), theirs)
}

pub(crate) fn io(stream: DuplexStream) -> Io {
    Io::Other(Box::new(stream))
}

/// Bytes whose order is told by their values.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Writes all and ends.
pub(crate) fn feed(
    mut stream: DuplexStream,
    bytes: &[u8],
) -> weft_runtime::task::Task<DuplexStream> {
    let bytes = bytes.to_vec();
    weft_runtime::task::spawn("feed", async move {
        // Whether all of it is wanted is what the tests look at.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        stream
    })
}

/// Reads to the end.
pub(crate) fn drain(mut stream: DuplexStream) -> weft_runtime::task::Task<Vec<u8>> {
    weft_runtime::task::spawn("drain", async move {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("memory does not fail");
        bytes
    })
}

/// Reads a request's head on the accepting side.
pub(crate) async fn read_request(conn: &mut Conn) -> (RequestHead, BodyFraming) {
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
    let mut head = RequestHead::new();
    let facts = poll_fn(|cx| conn.poll_request(cx, &limits, &rules, &mut head)).await;
    let facts = facts.expect("the head is acceptable");
    (head, facts.framing)
}

/// Reads a response's head on the calling side.
pub(crate) async fn read_response(conn: &mut Conn) -> (ResponseHead, BodyFraming) {
    let mut head = ResponseHead::default();
    let limits = HeadLimits::DEFAULT;
    let facts = poll_fn(|cx| conn.poll_response(cx, &limits, &Method::Get, &mut head)).await;
    let facts = facts.expect("the head is acceptable");
    (head, facts.framing)
}

/// Begins a response with status 200.
pub(crate) fn begin_response(conn: &mut Conn, framing: BodyFraming) {
    let mut head = ResponseHead::default();
    head.set_status(200);
    conn.begin_message(framing, |out| {
        write_response(&head, framing, Persistence::KeepAlive, out);
    });
}

/// Reads a whole body, in parts of at most `part` bytes.
pub(crate) async fn read_body(leg: &mut Leg, part: usize) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while poll_fn(|cx| leg.poll_body(cx)).await? == BodyEvent::Data {
        let chunk = leg.chunk();
        assert!(!chunk.is_empty(), "data is never empty");
        let count = chunk.len().min(part);
        body.extend_from_slice(&chunk[..count]);
        leg.consume(count);
    }
    assert!(leg.is_body_complete());
    Ok(body)
}

/// Sends a whole body, in parts of at most `part` bytes.
pub(crate) async fn send_body(
    leg: &mut Leg,
    body: &[u8],
    part: usize,
    trailers: Option<&Fields>,
) -> Result<(), WriteError> {
    let mut sent = 0;
    while sent < body.len() {
        let end = sent.saturating_add(part).min(body.len());
        sent += poll_fn(|cx| leg.poll_send(cx, &body[sent..end])).await?;
    }
    poll_fn(|cx| leg.poll_finish(cx, trailers)).await
}

pub(crate) fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(*name, value.as_bytes()).expect("the field is valid");
    }
    fields
}

/// The lines of a section, for comparing.
pub(crate) fn lines(fields: Option<&Fields>) -> Vec<(String, String)> {
    let line = |(name, value): (&str, &[u8])| {
        (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned())
    };
    fields.map(|fields| fields.iter().map(line).collect()).unwrap_or_default()
}
