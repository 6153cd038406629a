//! Heads and trailers on their way out.

use crate::fields::Fields;
use crate::h1::is_trailer_allowed;
use crate::h2::frame::{END_HEADERS, FrameKind, HEAD_BYTES, PAYLOAD_BYTES_MAX, push_head};
use crate::hpack::{Encoder, Name, Pseudo};
use crate::known::{Known, ids_of};
use crate::method::Method;
use crate::request::RequestHead;
use crate::response::ResponseHead;

/// Ids of fields that have no place in HTTP/2, or are written as pseudo-fields.
const LEFT_OUT: [bool; 256] = ids_of(&[
    Known::Host,
    Known::Connection,
    Known::TransferEncoding,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Upgrade,
    Known::Http2Settings,
]);

/// What stands for the authority of a request of HTTP/1.0 that has none.
const NO_AUTHORITY: &str = "localhost";

// === functions ===

/// Appends a section that `encode` writes, in as many frames as it takes. `flags` go on the first.
pub(super) fn push_section(
    stream: u32,
    flags: u8,
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
) {
    let start = out.len();
    push_head(0, FrameKind::Headers, flags | END_HEADERS, stream, out);
    encoder.begin(out);
    encode(encoder, out);
    let length = out.len() - start - HEAD_BYTES;
    if length > PAYLOAD_BYTES_MAX {
        return split(stream, flags, start, out);
    }
    let [_, a, b, c] = (length as u32).to_be_bytes();
    out[start..start + 3].copy_from_slice(&[a, b, c]);
}

/// Cuts a block that fits no frame.
#[cold]
fn split(stream: u32, flags: u8, start: usize, out: &mut Vec<u8>) {
    let block = out.split_off(start + HEAD_BYTES);
    out.truncate(start);
    let mut pieces = block.chunks(PAYLOAD_BYTES_MAX).peekable();
    let mut kind = (FrameKind::Headers, flags);
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        push_head(piece.len(), kind.0, kind.1 | end, stream, out);
        out.extend_from_slice(piece);
        kind = (FrameKind::Continuation, 0);
    }
}

pub(super) fn request(head: &RequestHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let authority = match head.authority() {
        "" => NO_AUTHORITY,
        authority => authority,
    };
    encoder.encode(Name::Pseudo(Pseudo::Method), head.method().as_str().as_bytes(), out);
    encoder.encode(Name::Pseudo(Pseudo::Authority), authority.as_bytes(), out);
    if *head.method() != Method::Connect {
        encoder.encode(Name::Pseudo(Pseudo::Scheme), head.scheme().as_str().as_bytes(), out);
        encoder.encode(Name::Pseudo(Pseudo::Path), head.path_and_query().as_bytes(), out);
    }
    fields(&head.fields, encoder, out);
}

pub(super) fn response(head: &ResponseHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let status = head.status();
    let digit = |unit: u16| b'0' + (status / unit % 10) as u8;
    encoder.encode(Name::Pseudo(Pseudo::Status), &[digit(100), digit(10), digit(1)], out);
    fields(&head.fields, encoder, out);
}

pub(super) fn trailers(section: &Fields, encoder: &mut Encoder, out: &mut Vec<u8>) {
    for (name, value) in section {
        if is_trailer_allowed(name) {
            encoder.encode(Name::new(name.as_bytes()), value, out);
        }
    }
}

fn fields(section: &Fields, encoder: &mut Encoder, out: &mut Vec<u8>) {
    for entry in section.entries() {
        let value = section.value(entry);
        let is_other_te = entry.id == Known::Te as u8 && value != b"trailers";
        if !LEFT_OUT[usize::from(entry.id)] && !is_other_te {
            encoder.encode(Name::with_id(entry.id, section.name(entry)), value, out);
        }
    }
}
