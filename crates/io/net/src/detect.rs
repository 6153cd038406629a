//! What a connection speaks, told from its first bytes.
//!
//! Server-first protocols send nothing; the caller bounds the wait and treats silence as
//! [`FirstBytes::Other`].

mod first_line;

use crate::proxy_protocol::{V1_STARTS, V2_SIGNATURE};

pub use first_line::FirstLine;

/// What the first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FirstBytes {
    /// A TLS record with the start of a ClientHello (RFC 8446 section 5.1).
    Tls,
    /// The HTTP/2 connection preface (RFC 9113 section 3.4).
    Http2,
    /// A PROXY protocol header, version 1.
    ProxyV1,
    /// A PROXY protocol header, version 2.
    ProxyV2,
    /// The start of an HTTP/1 request line: a method and the start of a target.
    Http1,
    /// Something else.
    Other,
}

/// What is known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// Several answers are still possible; never said for [`DETECT_BYTES_MAX`] bytes or more.
    NeedMore,
    /// More bytes would not change it.
    Decided(FirstBytes),
}

/// Bytes after which [`detect`] always decides.
pub const DETECT_BYTES_MAX: usize = 64;

/// Longest method name taken for HTTP, bytes; the longest registered one has 17.
const METHOD_BYTES_MAX: usize = 32;

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How far bytes agree with what is looked for.
enum Fit {
    Yes,
    /// As far as they go.
    Maybe,
    No,
}

/// Looks at the first bytes of a connection.
///
/// The answer is stable: once decided, more bytes do not change it.
pub fn detect(bytes: &[u8]) -> Detected {
    let mut undecided = bytes.is_empty();
    match tls(bytes) {
        Fit::Yes => return Detected::Decided(FirstBytes::Tls),
        Fit::Maybe => undecided = true,
        Fit::No => {}
    }
    for (literal, what) in [
        (HTTP2_PREFACE, FirstBytes::Http2),
        (V2_SIGNATURE, FirstBytes::ProxyV2),
        (V1_STARTS[0], FirstBytes::ProxyV1),
        (V1_STARTS[1], FirstBytes::ProxyV1),
        (V1_STARTS[2], FirstBytes::ProxyV1),
    ] {
        match starts(bytes, literal) {
            Fit::Yes => return Detected::Decided(what),
            Fit::Maybe => undecided = true,
            Fit::No => {}
        }
    }
    if undecided {
        // A shorter reading as HTTP/1 must not win over a literal that is still possible.
        return Detected::NeedMore;
    }
    match http1(bytes) {
        Fit::Yes => Detected::Decided(FirstBytes::Http1),
        Fit::Maybe => Detected::NeedMore,
        Fit::No => Detected::Decided(FirstBytes::Other),
    }
}

fn starts(bytes: &[u8], literal: &[u8]) -> Fit {
    let common = bytes.len().min(literal.len());
    if bytes[..common] != literal[..common] {
        Fit::No
    } else if common == literal.len() {
        Fit::Yes
    } else {
        Fit::Maybe
    }
}

/// Handshake record, any 3.x version up to 3.4, not empty, then the ClientHello message type.
fn tls(bytes: &[u8]) -> Fit {
    let wrong = bytes.iter().take(6).enumerate().any(|(index, byte)| match index {
        0 => *byte != 22,
        1 => *byte != 3,
        2 => *byte > 4,
        5 => *byte != 1,
        _ => false,
    });
    if wrong {
        Fit::No
    } else if bytes.len() >= 6 {
        Fit::Yes
    } else {
        Fit::Maybe
    }
}

/// A token, a space, then something that starts a request target (RFC 9112 section 3).
fn http1(bytes: &[u8]) -> Fit {
    // "a server SHOULD ignore at least one empty line received prior to the request-line" (RFC
    // 9112 section 2.2).
    let bytes = match starts(bytes, b"\r\n") {
        Fit::Yes => &bytes[2..],
        Fit::Maybe => return Fit::Maybe,
        Fit::No => bytes,
    };
    let method_len = bytes.iter().take_while(|byte| is_token(**byte)).count();
    if method_len > METHOD_BYTES_MAX {
        return Fit::No;
    }
    match bytes.get(method_len) {
        None => Fit::Maybe,
        Some(b' ') if method_len > 0 => target(&bytes[..method_len], &bytes[method_len + 1..]),
        Some(_) => Fit::No,
    }
}

fn target(method: &[u8], target: &[u8]) -> Fit {
    match target.first() {
        None => Fit::Maybe,
        Some(b'/' | b'*') => Fit::Yes,
        // Authority form belongs to CONNECT alone; for other words (`HELO example.org`) it is
        // another protocol.
        Some(first) if method == b"CONNECT" => {
            if first.is_ascii_alphanumeric() || *first == b'[' {
                Fit::Yes
            } else {
                Fit::No
            }
        }
        Some(_) => {
            let lower: Vec<u8> = target.iter().take(8).map(u8::to_ascii_lowercase).collect();
            match (starts(&lower, b"http://"), starts(&lower, b"https://")) {
                (Fit::Yes, _) | (_, Fit::Yes) => Fit::Yes,
                (Fit::Maybe, _) | (_, Fit::Maybe) => Fit::Maybe,
                (Fit::No, Fit::No) => Fit::No,
            }
        }
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
