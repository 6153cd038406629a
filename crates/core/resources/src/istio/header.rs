//! What is done to headers.

use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// What is done to the headers of requests and answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Of the request, before it is sent.
    pub request: HeaderOps,
    /// Of the answer, before it goes back.
    pub response: HeaderOps,
}

/// What is done to one message's headers: first all of `remove`, then `set`, then `add`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderOps {
    /// Values that take the place of those that are there.
    pub set: Vec<HeaderValue>,
    /// Values that are added to those that are there.
    pub add: Vec<HeaderValue>,
    /// Names, lower case, of headers that are taken away.
    pub remove: Vec<Spanned<Box<str>>>,
}

/// A header with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValue {
    /// Name, lower case; `host` for the authority of a request, however it is written.
    pub name: Spanned<Box<str>>,
    /// Value as written. What stands between `%` signs is for the proxy to fill in, such as
    /// `%DOWNSTREAM_REMOTE_ADDRESS%`; `%%` is a percent sign.
    pub value: Box<str>,
}

/// The name that the authority goes by.
const HOST: &str = "host";

/// The pseudo-header of HTTP/2 that holds the authority (RFC 9113, 8.3.1).
const AUTHORITY: &str = ":authority";

/// Whose headers are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

// === impl HeaderEdits ===

impl HeaderEdits {
    /// Takes `headers`.
    pub(crate) fn take(reader: &Reader<'_, '_>) -> Self {
        let edits = reader.nested("headers", |headers| {
            let ops = |name, side| {
                headers.nested(name, |ops| Some(HeaderOps::read(ops, side))).unwrap_or_default()
            };
            Some(Self {
                request: ops("request", Side::Request),
                response: ops("response", Side::Response),
            })
        });
        edits.unwrap_or_default()
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

// === impl HeaderOps ===

impl HeaderOps {
    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// The authority that requests get.
    pub fn authority(&self) -> Option<&HeaderValue> {
        self.set.iter().chain(&self.add).find(|header| **header.name == *HOST)
    }

    fn read(reader: &Reader<'_, '_>, side: Side) -> Self {
        let values = |name| {
            let map = reader.take(name);
            map.map(|field| values(&field, side)).unwrap_or_default()
        };
        let ops = Self {
            set: values("set"),
            add: values("add"),
            remove: reader.list("remove", |item| {
                let text = item.non_empty_string()?;
                Some(item.spanned(name(item, &text, Side::Response)?))
            }),
        };
        let authorities = ops.set.iter().chain(&ops.add).filter(|value| **value.name == *HOST);
        if authorities.count() > 1 {
            reader.error("the authority is set more than once", Some("keep one of them".into()));
        }
        ops
    }
}

fn values(field: &Field<'_, '_>, side: Side) -> Vec<HeaderValue> {
    let Some(map) = field.reader() else { return Vec::new() };
    let value = |(text, field): (&str, Field<'_, '_>)| {
        let name = name(&field, text, side)?;
        let value = if field.is_null() { "".into() } else { field.string()? };
        let is_plain = value.chars().all(|c| c == '\t' || !c.is_ascii_control());
        if !is_plain {
            field.error("a header's value has no control characters", None);
            return None;
        }
        Some(HeaderValue { name: Spanned::new(name, field.key_at()), value })
    };
    map.rest().filter_map(value).collect()
}

/// The name of a header that can be changed, in lower case.
fn name(field: &Field<'_, '_>, text: &str, side: Side) -> Option<Box<str>> {
    let name = text.to_ascii_lowercase();
    let is_authority = name == HOST || name == AUTHORITY;
    if is_authority && side == Side::Request {
        return Some(HOST.into());
    }
    if is_authority || !is_field_name(&name) {
        let fix = is_authority.then(|| "set it in requests, or as `rewrite.authority`".into());
        field.error(format!("`{text}` is not the name of a header that can be changed"), fix);
        return None;
    }
    Some(name.into())
}

/// Whether a text can be the name of a header (RFC 9110, 5.1).
pub(crate) fn is_field_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}
