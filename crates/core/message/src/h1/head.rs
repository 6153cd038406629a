//! Request and response heads (RFC 9112 sections 3 and 4).

use memchr::memrchr;

use crate::bytes::find;
use crate::error::ParseError;
use crate::h1::field::{find_line_end, parse_fields};
use crate::h1::framing::{BodyFraming, Expect, Noted};
use crate::h1::scan::HeadScan;
use crate::method::Method;
use crate::path::PathRules;
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::version::Version;

/// What parsing the front of a buffer gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<F> {
    /// The head is not complete; come again with more bytes after the same ones.
    Partial,
    /// The head is complete.
    Complete {
        /// Bytes of the buffer that the head took; the body starts there.
        consumed: usize,
        /// What the head says about the body and the connection.
        facts: F,
    },
}

/// What a request's head says about its body and connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// How the body is framed.
    pub framing: BodyFraming,
    /// The client would use the connection again.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// The client expects something else: to be answered with 417.
    pub expect_unknown: bool,
    /// The client asks for another protocol (`Connection: upgrade` with `Upgrade`, HTTP/1.1).
    /// Bytes stay HTTP until a 101 was sent.
    pub upgrade: bool,
}

/// What a response's head says about its body and connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFacts {
    /// How the body is framed on this connection.
    pub framing: BodyFraming,
    /// What the fields say the length is. Differs from `framing` where no body follows (HEAD,
    /// 304), and is what to write downstream then.
    pub declared: BodyFraming,
    /// The connection may be used again once the body was read.
    pub keep_alive: bool,
    /// An interim response; another response follows.
    pub interim: bool,
    /// The connection is another protocol's from here on: `101`, or `2xx` to CONNECT.
    pub tunnel: bool,
}

/// Bounds on a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Start line and field lines together, bytes. Default: 65,536.
    pub head_bytes_max: usize,
    /// Field lines. Default: 128.
    pub fields_max: usize,
    /// Request target, bytes. Default: 16,384.
    pub target_bytes_max: usize,
}

/// What a request line has besides its target: method, spaces, version.
const LINE_OVERHEAD_MAX: usize = Method::BYTES_MAX + b"  HTTP/1.1\r\n".len();

// === impl HeadLimits ===

impl HeadLimits {
    /// The stated defaults.
    pub const DEFAULT: Self =
        Self { head_bytes_max: 64 << 10, fields_max: 128, target_bytes_max: 16 << 10 };
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === functions ===

/// Reads a request's head from the front of `buf`.
///
/// `out` is overwritten; unless the head is complete it is empty but for the fields that the form of
/// an answer depends on (`Accept`, `Content-Type`), as far as they were read before an error. The
/// scheme is that of an absolute target, else `http`: set it from the connection. Hop-by-hop fields are still
/// there; take them off with
/// [`Fields::strip_hop_by_hop`](crate::Fields::strip_hop_by_hop).
///
/// # Errors
///
/// When the head breaks the rules, is ambiguous or exceeds `limits`. Close the connection then.
pub fn parse_request(
    buf: &[u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    rules: &PathRules,
    out: &mut RequestHead,
) -> Result<Parsed<RequestFacts>, ParseError> {
    let worth = scan.is_worth_parsing(buf)?;
    let parsed = if worth { read_request(buf, limits, rules, out) } else { Ok(Parsed::Partial) };
    let parsed = parsed.inspect_err(|_| out.keep_answer_form())?;
    if parsed == Parsed::Partial {
        out.clear();
        let line_bytes_max = limits.target_bytes_max.saturating_add(LINE_OVERHEAD_MAX);
        scan.ran_out(buf, limits.head_bytes_max, line_bytes_max)?;
    } else {
        *scan = HeadScan::new();
    }
    Ok(parsed)
}

/// Reads a response's head from the front of `buf`. `request_method` decides whether a body
/// follows.
///
/// `out` is overwritten; it is empty unless the head is complete. Bytes that follow a
/// message whose body is complete are no response: the connection is not to be used again then.
///
/// # Errors
///
/// When the head breaks the rules, is ambiguous or exceeds `limits`. Close the connection then.
pub fn parse_response(
    buf: &[u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    request_method: &Method,
    out: &mut ResponseHead,
) -> Result<Parsed<ResponseFacts>, ParseError> {
    let worth = scan.is_worth_parsing(buf)?;
    let parsed =
        if worth { read_response(buf, limits, request_method, out) } else { Ok(Parsed::Partial) };
    let parsed = parsed.inspect_err(|_| out.clear())?;
    if parsed == Parsed::Partial {
        out.clear();
        scan.ran_out(buf, limits.head_bytes_max, usize::MAX)?;
    } else {
        *scan = HeadScan::new();
    }
    Ok(parsed)
}

fn read_request(
    buf: &[u8],
    limits: &HeadLimits,
    rules: &PathRules,
    out: &mut RequestHead,
) -> Result<Parsed<RequestFacts>, ParseError> {
    out.clear();
    let Some(line_end) = find_start_line_end(buf)? else { return Ok(Parsed::Partial) };
    let (method, target, version) = split_request_line(&buf[..line_end])?;
    if target.len() > limits.target_bytes_max {
        return Err(ParseError::TargetTooLong);
    }
    out.set_method(Method::parse(method).map_err(|_| ParseError::Method)?);
    out.set_version(version);

    let mut noted = Noted { takes_host: true, ..Noted::default() };
    let parsed =
        parse_fields::<true>(buf, line_end + 2, limits.fields_max, &mut out.fields, &mut noted)?;
    let Some(consumed) = parsed else { return Ok(Parsed::Partial) };
    if consumed > limits.head_bytes_max {
        return Err(ParseError::HeadTooLarge);
    }
    out.read_target(target, noted.host, rules)?;
    let is_11 = version == Version::Http11;
    let facts = RequestFacts {
        framing: noted.of_request(out.method(), version)?,
        keep_alive: noted.keeps_alive(version),
        expect_continue: is_11 && noted.expect == Expect::Continue,
        expect_unknown: is_11 && noted.expect == Expect::Unknown,
        upgrade: is_11 && noted.has_upgrade && noted.options.upgrade,
    };
    Ok(Parsed::Complete { consumed, facts })
}

fn read_response(
    buf: &[u8],
    limits: &HeadLimits,
    request_method: &Method,
    out: &mut ResponseHead,
) -> Result<Parsed<ResponseFacts>, ParseError> {
    out.clear();
    let Some(line_end) = find_start_line_end(buf)? else { return Ok(Parsed::Partial) };
    let (version, status) = split_status_line(&buf[..line_end])?;
    out.set_version(version);
    out.set_status(status);

    let mut noted = Noted::default();
    let parsed =
        parse_fields::<true>(buf, line_end + 2, limits.fields_max, &mut out.fields, &mut noted)?;
    let Some(consumed) = parsed else { return Ok(Parsed::Partial) };
    if consumed > limits.head_bytes_max {
        return Err(ParseError::HeadTooLarge);
    }
    let facts = response_facts(status, version, request_method, &noted)?;
    Ok(Parsed::Complete { consumed, facts })
}

/// RFC 9112 section 6.3, without its leniencies.
fn response_facts(
    status: u16,
    version: Version,
    request_method: &Method,
    noted: &Noted<'_>,
) -> Result<ResponseFacts, ParseError> {
    let declared = noted.declared(version)?;
    let has_body = !matches!(declared, BodyFraming::None | BodyFraming::Length(0));
    let interim = status < 200 && status != 101;
    if status < 200 && has_body {
        return Err(ParseError::UnexpectedBody);
    }
    let tunnel = status == 101 || (*request_method == Method::Connect && status / 100 == 2);
    let bodiless = status < 200 || matches!(status, 204 | 304) || *request_method == Method::Head;
    let framing = match declared {
        _ if tunnel || bodiless => BodyFraming::None,
        BodyFraming::None => BodyFraming::UntilClose,
        declared => declared,
    };
    // A 204 with a length may be followed by that many bytes; so may nobody tell what comes next.
    let keep_alive = noted.keeps_alive(version)
        && framing != BodyFraming::UntilClose
        && !(status == 204 && has_body)
        && !tunnel;
    let declared = if status < 200 || status == 204 { BodyFraming::None } else { declared };
    Ok(ResponseFacts { framing, declared, keep_alive, interim, tunnel })
}

/// The end of the start line, before its CRLF. `None` when it has not come.
#[inline]
fn find_start_line_end(buf: &[u8]) -> Result<Option<usize>, ParseError> {
    match buf.first() {
        None => Ok(None),
        Some(b'\r' | b'\n') => Err(ParseError::LeadingBlankLine),
        // No start line begins with a control byte or a high one; a TLS hello does.
        Some(..=0x20 | 0x7f..) => Err(ParseError::ControlByte),
        Some(_) => find_line_end(buf, 0),
    }
}

/// `method SP target SP version`.
#[inline]
fn split_request_line(line: &[u8]) -> Result<(&[u8], &[u8], Version), ParseError> {
    let method_end = find(b' ', line).ok_or(ParseError::RequestLine)?;
    // Nearly always the version is the last eight bytes, after a space.
    let target_end = match line {
        [.., b' ', b'H', _, _, _, _, _, _, _] => line.len() - 9,
        _ => memrchr(b' ', line).ok_or(ParseError::RequestLine)?,
    };
    let target = line.get(method_end + 1..target_end).ok_or(ParseError::RequestLine)?;
    if target.is_empty() {
        return Err(ParseError::RequestLine);
    }
    let version = parse_version(&line[target_end + 1..], ParseError::RequestLine)?;
    Ok((&line[..method_end], target, version))
}

/// `version SP 3DIGIT [SP reason]`.
fn split_status_line(line: &[u8]) -> Result<(Version, u16), ParseError> {
    let (version, rest) = line.split_at_checked(8).ok_or(ParseError::StatusLine)?;
    let version = parse_version(version, ParseError::StatusLine)?;
    let (digits, reason) = match rest {
        [b' ', a, b, c, reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(ParseError::StatusLine),
    };
    let plausible = digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0';
    if !plausible || !matches!(reason, [] | [b' ', ..]) {
        return Err(ParseError::StatusLine);
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    Ok((version, status))
}

#[inline]
fn parse_version(text: &[u8], otherwise: ParseError) -> Result<Version, ParseError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(ParseError::Version)
        }
        _ => Err(otherwise),
    }
}
