//! Sessions and frames for tests.

use std::time::Instant;

use crate::h2::frame::{FrameHead, HEAD_BYTES, PREFACE, push_head};
use crate::h2::{Config, FrameKind, Session, Spares};
use crate::{RequestHead, ResponseHead};

pub(crate) const CONFIG: Config = Config {
    streams_max: 10,
    head_bytes_max: 16 << 10,
    connection_window_bytes: 1 << 20,
    stream_window_bytes: 65_535,
    resets_max: 100,
    control_frames_max: 1_000,
};

/// A frame that was sent: its kind, flags, stream and payload.
pub(crate) type Frame = (FrameKind, u8, u32, Vec<u8>);

/// Some moment.
#[expect(clippy::disallowed_methods, reason = "tests begin at some moment")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(crate) fn frame(kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_head(payload.len(), kind, flags, stream, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block without compression; no text is longer than 126 bytes.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

pub(crate) const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

/// A request's head with more fields.
pub(crate) fn get(more: &[(&str, &str)]) -> Vec<u8> {
    block(&[GET, more].concat())
}

/// A server whose client has sent empty settings, and what it said until then forgotten.
pub(crate) fn server(config: Config) -> Session {
    let mut session = Session::server(config, Spares::default(), epoch());
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(FrameKind::Settings, 0, 0, &[]));
    give(&mut session, &bytes);
    take(&mut session);
    session
}

/// A client whose server has sent empty settings, and what it said until then forgotten.
pub(crate) fn client(config: Config) -> Session {
    let mut session = Session::client(config, Spares::default(), epoch());
    give(&mut session, &frame(FrameKind::Settings, 0, 0, &[]));
    take(&mut session);
    session
}

pub(crate) fn give(session: &mut Session, bytes: &[u8]) {
    let used = session.receive(bytes, &epoch);
    assert_eq!(used, bytes.len(), "all is used");
}

/// What it has to write.
pub(crate) fn take(session: &mut Session) -> Vec<u8> {
    let bytes = session.output().to_vec();
    session.advance(bytes.len());
    bytes
}

/// What it has to write, as frames.
pub(crate) fn frames(session: &mut Session) -> Vec<Frame> {
    parse(&take(session))
}

pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    if let Some(rest) = bytes.strip_prefix(PREFACE) {
        bytes = rest;
    }
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let head = FrameHead::read(head);
        let (payload, rest) = rest.split_at(head.length as usize);
        frames.push((head.kind, head.flags, head.stream, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "frames are whole");
    frames
}

pub(crate) fn request() -> RequestHead {
    let mut head = RequestHead::new();
    head.set_authority("a").unwrap();
    head.set_path("/").unwrap();
    head
}

pub(crate) fn response(status: u16) -> ResponseHead {
    let mut head = ResponseHead::new();
    head.set_status(status);
    head
}
