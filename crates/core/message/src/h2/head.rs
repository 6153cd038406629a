//! Heads that came over HTTP/2 (RFC 9113 section 8): the same canonical view, the same fields.
//!
//! A head is read with [`RequestHead::begin_h2`], [`RequestHead::append_h2`] for each field and
//! [`RequestHead::finish_h2`].

use crate::bytes::is_token;
use crate::error::ParseError;
use crate::fields::{Fields, InvalidFieldValue};
use crate::h1::HeadLimits;
use crate::hpack::FIELD_OVERHEAD;
use crate::known::{Known, UNKNOWN, id_of};
use crate::method::Method;
use crate::path::PathRules;
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::version::{Scheme, Version};

// === impl RequestHead ===

impl RequestHead {
    /// Starts a head from the pseudo-fields. For CONNECT `path` is empty; with the extension of
    /// RFC 8441 it is not.
    ///
    /// # Errors
    ///
    /// When the method, the authority or the path is not acceptable.
    pub fn begin_h2(
        &mut self,
        method: &str,
        scheme: Scheme,
        authority: Option<&str>,
        path: &str,
        limits: &HeadLimits,
        rules: &PathRules,
    ) -> Result<(), ParseError> {
        self.clear();
        let method = Method::parse(method.as_bytes()).map_err(|_| ParseError::Method)?;
        if path.len() > limits.target_bytes_max {
            return Err(ParseError::TargetTooLong);
        }
        self.set_version(Version::Http2);
        self.set_scheme(scheme);
        self.set_method(method);
        let read = self.edit_text(|head, text| {
            match (head.method(), path) {
                (Method::Connect, "") => {}
                (_, "*") => head.read_asterisk(text).map_err(ParseError::Target)?,
                (_, path) => head
                    .read_path_and_query(path.as_bytes(), rules, text)
                    .map_err(ParseError::Target)?,
            }
            match authority {
                Some(authority) => {
                    head.read_authority(authority.as_bytes(), text).map_err(ParseError::Host)
                }
                None => Ok(()),
            }
        });
        if read.is_err() {
            self.clear();
        }
        read
    }

    /// Adds a field. A Host field becomes the authority, or must equal it.
    ///
    /// # Errors
    ///
    /// When the field is malformed, belongs to a connection of HTTP/1, or exceeds `limits`.
    pub fn append_h2(
        &mut self,
        name: &str,
        value: &[u8],
        limits: &HeadLimits,
    ) -> Result<(), ParseError> {
        let id = check_field(name.as_bytes(), value)?;
        if id != Known::Host as u8 {
            return self.fields.push_h2(id, name, value, limits);
        }
        self.take_host_h2(value)
    }

    /// Makes the value of a Host field the authority, if there is none, or compares them.
    pub(super) fn take_host_h2(&mut self, value: &[u8]) -> Result<(), ParseError> {
        let is_missing = self.authority().is_empty();
        self.edit_text(|head, text| {
            if is_missing {
                head.read_authority(value, text).map_err(ParseError::Host)
            } else {
                head.check_host(value, text)
            }
        })
    }

    /// Ends the head: there must be an authority by now, and the crumbs of the cookie become one
    /// field again (RFC 9113 section 8.2.3).
    ///
    /// # Errors
    ///
    /// When the authority is missing, or `Content-Length` is malformed or repeated.
    pub fn finish_h2(&mut self) -> Result<(), ParseError> {
        if self.authority().is_empty() {
            return Err(ParseError::MissingHost);
        }
        if self.fields.get_all(Known::Cookie).nth(1).is_some() {
            self.fields.join_with(Known::Cookie, b"; ", None::<fn(&mut Vec<u8>)>);
        }
        self.fields.content_length().map(drop)
    }
}

// === impl ResponseHead ===

impl ResponseHead {
    /// Starts a head with its status.
    pub fn begin_h2(&mut self, status: u16) {
        self.clear();
        self.set_version(Version::Http2);
        self.set_status(status);
    }

    /// Adds a field.
    ///
    /// # Errors
    ///
    /// When the field is malformed, belongs to a connection of HTTP/1, or exceeds `limits`.
    pub fn append_h2(
        &mut self,
        name: &str,
        value: &[u8],
        limits: &HeadLimits,
    ) -> Result<(), ParseError> {
        let id = check_field(name.as_bytes(), value)?;
        self.fields.push_h2(id, name, value, limits)
    }
}

// === impl Fields ===

impl Fields {
    /// The value of `Content-Length`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it is not a decimal number of 64 bits, or is repeated.
    pub fn content_length(&self) -> Result<Option<u64>, ParseError> {
        let mut values = self.get_all(Known::ContentLength);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => crate::h1::parse_content_length(value).map(Some),
            (Some(_), Some(_)) => Err(ParseError::RepeatedContentLength),
        }
    }

    fn push_h2(
        &mut self,
        id: u8,
        name: &str,
        value: &[u8],
        limits: &HeadLimits,
    ) -> Result<(), ParseError> {
        if self.len() >= limits.fields_max {
            return Err(ParseError::TooManyFields);
        }
        let size = self.arena_bytes() + self.len() * FIELD_OVERHEAD + name.len() + value.len();
        if size > limits.head_bytes_max {
            return Err(ParseError::HeadTooLarge);
        }
        let entry = self.line(id, name.as_bytes(), value).map_err(|error| match error {
            InvalidFieldValue::Name => ParseError::FieldName,
            InvalidFieldValue::Value => ParseError::ControlByte,
            InvalidFieldValue::TooLarge => ParseError::HeadTooLarge,
        })?;
        self.push_entry(entry);
        Ok(())
    }
}

// === functions ===

/// Checks one field by the rules of RFC 9113 section 8.2; its id.
fn check_field(name: &[u8], value: &[u8]) -> Result<u8, ParseError> {
    let id = id_of(name);
    if name.iter().any(u8::is_ascii_uppercase) || (id == UNKNOWN && !is_token(name)) {
        return Err(ParseError::FieldName);
    }
    match Known::from_id(id) {
        Some(
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::Http2Settings,
        ) => Err(ParseError::ConnectionField),
        Some(Known::Te) if value != b"trailers" => Err(ParseError::ConnectionField),
        _ => Ok(id),
    }
}

#[cfg(test)]
mod tests;
