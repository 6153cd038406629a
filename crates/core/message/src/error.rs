//! Why a head was refused.

use thiserror::Error;

use crate::authority::InvalidHost;
use crate::path::InvalidTarget;

/// What was wrong with a head. The connection is to be closed after any of them: where the next
/// message starts is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseError {
    /// An empty line before the request line.
    #[error("a blank line stands before the start line")]
    LeadingBlankLine,
    /// The request line is not `method SP target SP version`.
    #[error("the request line is malformed")]
    RequestLine,
    /// The method is no token, or longer than 32 bytes.
    #[error("the method is malformed")]
    Method,
    /// The version is well-formed but neither HTTP/1.0 nor HTTP/1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// The status line is not `version SP 3DIGIT [SP reason]`.
    #[error("the status line is malformed")]
    StatusLine,
    /// The request target.
    #[error("the request target is not acceptable")]
    Target(#[source] InvalidTarget),
    /// The Host field or the authority of the target.
    #[error("the host is not acceptable")]
    Host(#[source] InvalidHost),
    /// HTTP/1.1 without Host, or HTTP/2 without `:authority` and Host.
    #[error("the host is missing")]
    MissingHost,
    /// Host more than once.
    #[error("the host is given more than once")]
    RepeatedHost,
    /// The target and the Host field name different hosts.
    #[error("the target and the host field differ")]
    HostMismatch,
    /// A line ends in LF without CR.
    #[error("a line ends without a carriage return")]
    BareLf,
    /// A CR that is not followed by LF.
    #[error("a carriage return stands alone")]
    BareCr,
    /// A control byte other than the tab.
    #[error("a control byte is in the head")]
    ControlByte,
    /// A field line starts with white space: an obsolete folded line, or an ambiguous first one.
    #[error("a field line is folded")]
    FoldedLine,
    /// A field line without a colon.
    #[error("a field line has no colon")]
    MissingColon,
    /// A field name that is empty or not a token; white space before the colon counts.
    #[error("a field name is malformed")]
    FieldName,
    /// More than [`HeadLimits::fields_max`](crate::h1::HeadLimits::fields_max) lines.
    #[error("the head has too many field lines")]
    TooManyFields,
    /// More than [`HeadLimits::head_bytes_max`](crate::h1::HeadLimits::head_bytes_max) bytes.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The target is longer than
    /// [`HeadLimits::target_bytes_max`](crate::h1::HeadLimits::target_bytes_max).
    #[error("the request target is too long")]
    TargetTooLong,
    /// `Content-Length` is anything but decimal digits that fit 64 bits.
    #[error("the content length is malformed")]
    ContentLength,
    /// `Content-Length` more than once, equal or not.
    #[error("the content length is given more than once")]
    RepeatedContentLength,
    /// `Transfer-Encoding` is anything but exactly `chunked`.
    #[error("the transfer encoding is not chunked alone")]
    TransferEncoding,
    /// `Transfer-Encoding` more than once.
    #[error("the transfer encoding is given more than once")]
    RepeatedTransferEncoding,
    /// `Transfer-Encoding` in a message that is not HTTP/1.1.
    #[error("a transfer encoding is in an HTTP/1.0 message")]
    TransferEncodingVersion,
    /// `Content-Length` together with `Transfer-Encoding`.
    #[error("the message has a content length and a transfer encoding")]
    LengthAndEncoding,
    /// A body where there can be none: CONNECT and TRACE requests, 1xx responses.
    #[error("the message cannot have a body")]
    UnexpectedBody,
    /// More than 64 options in `Connection`.
    #[error("the connection field has too many options")]
    ConnectionOptions,
    /// A field of HTTP/1 connections in an HTTP/2 message (RFC 9113 section 8.2.2).
    #[error("a connection field is in an HTTP/2 message")]
    ConnectionField,
}

/// What to answer for a [`ParseError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// It breaks the rules of HTTP: 400.
    Malformed,
    /// It could be read in more than one way: 400.
    Ambiguous,
    /// The head is larger than a limit: 431.
    HeadTooLarge,
    /// The target is longer than a limit: 414.
    TargetTooLong,
    /// The version is not spoken: 505.
    Version,
}

// === impl ParseError ===

impl ParseError {
    /// What to answer.
    pub fn class(self) -> ErrorClass {
        match self {
            Self::LeadingBlankLine
            | Self::RequestLine
            | Self::Method
            | Self::StatusLine
            | Self::MissingHost
            | Self::ControlByte
            | Self::MissingColon
            | Self::FieldName
            | Self::UnexpectedBody
            | Self::ConnectionOptions
            | Self::ConnectionField => ErrorClass::Malformed,
            Self::Host(host) => host.class(),
            Self::Target(target) => target.class(),
            Self::RepeatedHost
            | Self::HostMismatch
            | Self::BareLf
            | Self::BareCr
            | Self::FoldedLine
            | Self::ContentLength
            | Self::RepeatedContentLength
            | Self::TransferEncoding
            | Self::RepeatedTransferEncoding
            | Self::TransferEncodingVersion
            | Self::LengthAndEncoding => ErrorClass::Ambiguous,
            Self::TooManyFields | Self::HeadTooLarge => ErrorClass::HeadTooLarge,
            Self::TargetTooLong => ErrorClass::TargetTooLong,
            Self::Version => ErrorClass::Version,
        }
    }
}

// === impl ErrorClass ===

impl ErrorClass {
    /// The status code that says it.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Ambiguous => 400,
            Self::HeadTooLarge => 431,
            Self::TargetTooLong => 414,
            Self::Version => 505,
        }
    }
}
