//! Writing messages (RFC 9112).

use crate::bytes::{is_control, push_decimal};
use crate::fields::Fields;
use crate::h1::body::is_id_allowed;
use crate::h1::framing::BodyFraming;
use crate::known::{Known, ids_of};
use crate::method::Method;
use crate::request::RequestHead;
use crate::response::{ResponseHead, reason_phrase};

/// What the `Connection` field of a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence<'a> {
    /// Nothing: the connection stays, as HTTP/1.1 means by default.
    KeepAlive,
    /// `keep-alive`, which an HTTP/1.0 client needs to hear.
    KeepAliveHttp10,
    /// `close`.
    Close,
    /// `upgrade`, with this value of `Upgrade`; for `101` and `426`.
    Upgrade(&'a [u8]),
}

/// The interim response that lets a client send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Ids of the fields that only the codec writes.
const OWNED: [bool; 256] = ids_of(&[
    Known::Host,
    Known::Connection,
    Known::ContentLength,
    Known::TransferEncoding,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Upgrade,
    Known::Http2Settings,
]);

/// Appends a request's head. Host, `Content-Length`, `Transfer-Encoding` and `Connection` are
/// written from the head's authority and from `framing`; fields of these names are left out.
///
/// With [`BodyFraming::None`], a length of 0 is written where the method makes an origin expect
/// content (RFC 9110 section 8.6), and none otherwise.
///
/// `framing` must not be [`BodyFraming::UntilClose`], which no request has; it writes nothing.
pub fn write_request(head: &RequestHead, framing: BodyFraming, out: &mut Vec<u8>) {
    write_request_start(head, out);
    write_fields(&head.fields, out);
    write_request_framing(head.method(), framing, out);
    if head.fields.contains(Known::Te) {
        // RFC 9110 section 10.1.4: who sends TE names it in Connection.
        out.extend_from_slice(b"Connection: te\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The same for a request that asks for another protocol, such as `websocket`.
pub fn write_upgrade_request(
    head: &RequestHead,
    framing: BodyFraming,
    protocol: &[u8],
    out: &mut Vec<u8>,
) {
    write_request_start(head, out);
    write_fields(&head.fields, out);
    write_request_framing(head.method(), framing, out);
    let options: &[u8] = if head.fields.contains(Known::Te) { b"upgrade, te" } else { b"upgrade" };
    write_line(b"Connection: ", options, out);
    write_line(b"Upgrade: ", protocol, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a response's head. `Content-Length`, `Transfer-Encoding` and `Connection` are written
/// from the arguments; fields of these names are left out.
///
/// [`BodyFraming::None`] writes no length: right for 1xx, 204, 304 and answers to HEAD; any
/// other response without a body has [`BodyFraming::Length`] of 0. For 1xx and 204 `framing` is
/// taken as `None`, for they must not have any. [`BodyFraming::UntilClose`] goes with
/// [`Persistence::Close`].
pub fn write_response(
    head: &ResponseHead,
    framing: BodyFraming,
    persistence: Persistence<'_>,
    out: &mut Vec<u8>,
) {
    let status = head.status();
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(u64::from(status), out);
        out.push(b' ');
        out.extend_from_slice(reason_phrase(status).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    write_fields(&head.fields, out);
    if status >= 200 && status != 204 {
        write_framing(framing, out);
    }
    match persistence {
        Persistence::KeepAlive => {}
        Persistence::KeepAliveHttp10 => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Persistence::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Persistence::Upgrade(protocol) => {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            write_line(b"Upgrade: ", protocol, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before `len` bytes of data. The data and a CRLF follow. Nothing for 0, which
/// would end the body.
pub fn write_chunk_head(len: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if len == 0 {
        return;
    }
    let mut digits = [0u8; size_of::<usize>() * 2];
    let mut at = digits.len();
    let mut rest = len;
    while rest > 0 {
        at -= 1;
        digits[at] = DIGITS[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Appends what ends a chunked body: the last chunk, the trailers that are allowed to be, and the
/// empty line.
pub fn write_last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write_to(out, |id| !is_id_allowed(id));
    }
    out.extend_from_slice(b"\r\n");
}

fn write_request_start(head: &RequestHead, out: &mut Vec<u8>) {
    let method = head.method();
    let target = if *method == Method::Connect { head.authority() } else { head.path_and_query() };
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(head.authority().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
    fields.write_to(out, |id| OWNED[usize::from(id)]);
}

fn write_request_framing(method: &Method, framing: BodyFraming, out: &mut Vec<u8>) {
    match framing {
        BodyFraming::None if method.expects_content() => write_framing(BodyFraming::Length(0), out),
        framing => write_framing(framing, out),
    }
}

fn write_framing(framing: BodyFraming, out: &mut Vec<u8>) {
    match framing {
        BodyFraming::None | BodyFraming::UntilClose => {}
        BodyFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        BodyFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

/// Writes a line whose value came from a parsed field; control bytes cannot be in it, and are
/// left out if a caller made it up.
fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend(value.iter().filter(|&&byte| !is_control(byte)));
    out.extend_from_slice(b"\r\n");
}
