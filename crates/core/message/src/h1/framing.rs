//! How long a body is (RFC 9112 section 6).

use crate::error::ParseError;
use crate::hop::Options;
use crate::known::Known;
use crate::method::Method;
use crate::version::Version;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BodyFraming {
    /// There is no body, and no field says so.
    #[default]
    None,
    /// So many bytes (`Content-Length`).
    Length(u64),
    /// In chunks (`Transfer-Encoding: chunked`).
    Chunked,
    /// Everything until the connection ends; responses only.
    UntilClose,
}

/// Fields that decide about the connection and the body, noted while a head is parsed.
#[derive(Debug, Default)]
pub(super) struct Noted<'b> {
    /// Host is noted instead of kept.
    pub(super) takes_host: bool,
    pub(super) host: Option<&'b [u8]>,
    pub(super) length: Option<&'b [u8]>,
    pub(super) coding: Option<&'b [u8]>,
    pub(super) options: Options,
    pub(super) has_upgrade: bool,
    pub(super) expect: Expect,
}

/// What `Expect` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Expect {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

/// More options than this in `Connection` only serve to make removing them slow.
const CONNECTION_OPTIONS_MAX: u32 = 64;

// === impl Noted ===

impl<'b> Noted<'b> {
    /// Takes in a field whose id is at most that of `Expect`.
    #[inline]
    pub(super) fn note(&mut self, id: u8, value: &'b [u8]) -> Result<(), ParseError> {
        let refused = match Known::from_id(id) {
            Some(Known::Host) => (self.host.replace(value).is_some() && self.takes_host)
                .then_some(ParseError::RepeatedHost),
            Some(Known::Connection) => {
                self.options.read(value);
                (self.options.count > CONNECTION_OPTIONS_MAX)
                    .then_some(ParseError::ConnectionOptions)
            }
            Some(Known::ContentLength) => {
                self.length.replace(value).map(|_| ParseError::RepeatedContentLength)
            }
            Some(Known::TransferEncoding) => {
                self.coding.replace(value).map(|_| ParseError::RepeatedTransferEncoding)
            }
            Some(Known::Upgrade) => {
                self.has_upgrade = true;
                None
            }
            Some(Known::Expect) => {
                let is_continue = value.eq_ignore_ascii_case(b"100-continue");
                self.expect = match self.expect {
                    Expect::Nothing if is_continue => Expect::Continue,
                    _ => Expect::Unknown,
                };
                None
            }
            _ => None,
        };
        refused.map_or(Ok(()), Err)
    }

    /// The framing that the fields declare, for any message; `None` when they say nothing.
    #[inline]
    pub(super) fn declared(&self, version: Version) -> Result<BodyFraming, ParseError> {
        match (self.length, self.coding) {
            (None, None) => Ok(BodyFraming::None),
            (Some(_), Some(_)) => Err(ParseError::LengthAndEncoding),
            (Some(length), None) => parse_content_length(length).map(BodyFraming::Length),
            (None, Some(_)) if version != Version::Http11 => {
                Err(ParseError::TransferEncodingVersion)
            }
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(BodyFraming::Chunked)
            }
            (None, Some(_)) => Err(ParseError::TransferEncoding),
        }
    }

    /// The framing of a request's body.
    #[inline]
    pub(super) fn of_request(
        &self,
        method: &Method,
        version: Version,
    ) -> Result<BodyFraming, ParseError> {
        let declared = self.declared(version)?;
        if declared != BodyFraming::None && matches!(method, Method::Connect | Method::Trace) {
            return Err(ParseError::UnexpectedBody);
        }
        Ok(declared)
    }

    /// Whether the connection stays open after this message, as far as its head says.
    #[inline]
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.options.keep_alive && !self.options.close,
            Version::Http11 | Version::Http2 => !self.options.close,
        }
    }
}

// === functions ===

/// Reads a content length: decimal digits without a leading zero, at most 64 bits.
///
/// # Errors
///
/// For anything else; lists of equal numbers too, which RFC 9110 section 8.6 would let pass.
pub(crate) fn parse_content_length(value: &[u8]) -> Result<u64, ParseError> {
    if value.is_empty() || value.len() > 20 || (value[0] == b'0' && value.len() > 1) {
        return Err(ParseError::ContentLength);
    }
    let mut length = 0u64;
    for &digit in value {
        if !digit.is_ascii_digit() {
            return Err(ParseError::ContentLength);
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit - b'0')))
            .ok_or(ParseError::ContentLength)?;
    }
    Ok(length)
}
