//! Request methods.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::bytes::is_token;

/// A request method (RFC 9110 section 9). Methods are case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
    /// Any other token, as received.
    Other(Box<str>),
}

/// The text is no method: not a token, or longer than [`Method::BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the method is not a token of at most {} bytes", Method::BYTES_MAX)]
pub struct InvalidMethod;

// === impl Method ===

impl Method {
    /// Longest method taken; the longest registered one has 17 bytes.
    pub const BYTES_MAX: usize = 32;

    /// Reads a method. Only a method that is not in RFC 9110 or RFC 5789 allocates.
    ///
    /// # Errors
    ///
    /// When the bytes are not a token (RFC 9110 section 5.6.2) or too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidMethod> {
        Ok(match bytes {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            other => Self::parse_other(other)?,
        })
    }

    #[cold]
    fn parse_other(bytes: &[u8]) -> Result<Self, InvalidMethod> {
        if bytes.len() > Self::BYTES_MAX || !is_token(bytes) {
            return Err(InvalidMethod);
        }
        std::str::from_utf8(bytes).map(|text| Self::Other(text.into())).map_err(|_| InvalidMethod)
    }

    /// The method as written on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other(text) => text,
        }
    }

    /// Whether sending the request twice means the same as once (RFC 9110 section 9.2.2).
    /// Unknown methods are not.
    pub fn is_idempotent(&self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }

    /// Whether a request usually has content, so that one without any says so with a length of 0
    /// (RFC 9110 section 8.6).
    pub fn expects_content(&self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    /// Whether the request only reads (RFC 9110 section 9.2.1). Unknown methods are not.
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }
}

impl FromStr for Method {
    type Err = InvalidMethod;

    fn from_str(text: &str) -> Result<Self, InvalidMethod> {
        Self::parse(text.as_bytes())
    }
}

impl TryFrom<&str> for Method {
    type Error = InvalidMethod;

    fn try_from(text: &str) -> Result<Self, InvalidMethod> {
        Self::parse(text.as_bytes())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
