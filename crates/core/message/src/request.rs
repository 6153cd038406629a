//! The head of a request and its canonical view.

mod target;

use std::fmt;

use crate::authority::{self, InvalidHost};
use crate::fields::Fields;
use crate::known::Known;
use crate::method::Method;
use crate::path::{self, InvalidTarget, PathRules};
use crate::query::QueryValues;
use crate::version::{Scheme, Version};

/// The head of a request. Reused for the next one by [`RequestHead::clear`].
///
/// Method, host, path and query are canonical from the moment they are parsed; nothing keeps the
/// text as it was received. There is no Host field among [`RequestHead::fields`]: the authority
/// is the one source, and the codec writes Host from it.
#[derive(Clone, Default)]
pub struct RequestHead {
    method: Method,
    version: Version,
    scheme: Scheme,
    /// Path, then `?` and the query if there is one, then `host[:port]`.
    text: String,
    path_len: u32,
    /// Where the authority starts.
    target_len: u32,
    host_len: u32,
    port: Option<u16>,
    /// The header fields, without Host.
    pub fields: Fields,
}

// === impl RequestHead ===

impl RequestHead {
    /// An empty head, no memory held.
    pub const fn new() -> Self {
        Self {
            method: Method::Get,
            version: Version::Http11,
            scheme: Scheme::Http,
            text: String::new(),
            path_len: 0,
            target_len: 0,
            host_len: 0,
            port: None,
            fields: Fields::new(),
        }
    }

    /// Back to an empty head; keeps the memory.
    pub fn clear(&mut self) {
        self.method = Method::Get;
        self.version = Version::Http11;
        self.scheme = Scheme::Http;
        self.text.clear();
        self.path_len = 0;
        self.target_len = 0;
        self.host_len = 0;
        self.port = None;
        self.fields.clear();
    }

    /// Forgets all but what the form of an answer depends on: `Accept` and `Content-Type`.
    pub(crate) fn keep_answer_form(&mut self) {
        let fields = std::mem::take(&mut self.fields);
        self.clear();
        self.fields = fields;
        self.fields.retain_ids(|id| id == Known::Accept as u8 || id == Known::ContentType as u8);
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Sets the method.
    pub fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// The version the request came in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Sets the version that the request is taken to have come in.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// The scheme: that of an absolute target, else what [`RequestHead::set_scheme`] said.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Sets the scheme. The connection knows it: whether there was TLS decides, not the peer.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// The host: lower case, no port, no trailing dot, IPv6 in brackets. Empty when the request
    /// has none (HTTP/1.0).
    pub fn host(&self) -> &str {
        let start = self.target_len as usize;
        &self.text[start..start + self.host_len as usize]
    }

    /// The port of the authority, when it names one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// `host[:port]` as it is sent upstream. Empty when the request has none.
    pub fn authority(&self) -> &str {
        &self.text[self.target_len as usize..]
    }

    /// The canonical path, which starts with a slash; `*` for `OPTIONS *`; empty for CONNECT.
    pub fn path(&self) -> &str {
        &self.text[..self.path_len as usize]
    }

    /// The query after the question mark, untouched. `Some("")` for a lone question mark.
    pub fn query(&self) -> Option<&str> {
        if self.target_len > self.path_len {
            Some(&self.text[self.path_len as usize + 1..self.target_len as usize])
        } else {
            None
        }
    }

    /// Path, question mark and query as sent upstream.
    pub fn path_and_query(&self) -> &str {
        &self.text[..self.target_len as usize]
    }

    /// The values of `name` in the query, percent-decoded, in order. A name without `=` has the
    /// empty value. Allocates only for values that hold escapes or `+`.
    pub fn query_values<'a, 'n>(&'a self, name: &'n str) -> QueryValues<'a, 'n> {
        QueryValues::new(self.query(), name)
    }

    /// Sets `host[:port]`; empty removes it.
    ///
    /// # Errors
    ///
    /// When it is not a host with an optional port; nothing changes then.
    pub fn set_authority(&mut self, authority: &str) -> Result<(), InvalidHost> {
        if authority.is_empty() {
            self.text.truncate(self.target_len as usize);
            (self.host_len, self.port) = (0, None);
            return Ok(());
        }
        let start = self.target_len as usize;
        self.edit_text(|head, text| {
            // The new one is written after the old one, which stays if it is refused.
            let end = text.len();
            let found = authority::push_canonical(authority.as_bytes(), text);
            let new_end = text.len();
            if found.is_err() {
                text.truncate(end);
            }
            let found = found?;
            text.copy_within(end.., start);
            text.truncate(start + new_end - end);
            head.host_len = found.host_len as u32;
            head.port = found.port;
            Ok(())
        })
    }

    /// Sets the path and keeps the query.
    ///
    /// # Errors
    ///
    /// When `path` differs from its canonical form ([`InvalidTarget::NotCanonical`]) or has
    /// none; nothing changes then. What [`PathRules`] can allow is taken: it was judged when the
    /// request was parsed.
    pub fn set_path(&mut self, path: &str) -> Result<(), InvalidTarget> {
        self.edit_text(|_, text| {
            let end = text.len();
            let made = path::push_canonical(path.as_bytes(), &PathRules::PERMISSIVE, text);
            let is_same = text.get(end..) == Some(path.as_bytes());
            text.truncate(end);
            made?;
            if is_same { Ok(()) } else { Err(InvalidTarget::NotCanonical) }
        })?;
        self.text.replace_range(..self.path_len as usize, path);
        self.target_len = self.target_len - self.path_len + path.len() as u32;
        self.path_len = path.len() as u32;
        Ok(())
    }

    /// Sets or removes the query.
    ///
    /// # Errors
    ///
    /// When it holds a control byte, a space, a `#` or a byte that is not ASCII; nothing changes
    /// then.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), InvalidTarget> {
        let range = self.path_len as usize..self.target_len as usize;
        let Some(query) = query else {
            self.text.replace_range(range, "");
            self.target_len = self.path_len;
            return Ok(());
        };
        target::check_query(query.as_bytes())?;
        self.text.replace_range(range, query);
        self.text.insert(self.path_len as usize, '?');
        self.target_len = self.path_len + 1 + query.len() as u32;
        Ok(())
    }

    /// Memory held, bytes; [`RequestHead::clear`] does not lower it.
    pub fn capacity_bytes(&self) -> usize {
        self.text.capacity() + self.fields.capacity_bytes()
    }

    pub(crate) fn authority_and_fields(&mut self) -> (&str, &mut Fields) {
        (&self.text[self.target_len as usize..], &mut self.fields)
    }

    /// Lets `edit` change the text as bytes, which must stay ASCII.
    #[inline]
    pub(crate) fn edit_text<E>(
        &mut self,
        edit: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        let edited = edit(self, &mut bytes);
        match String::from_utf8(bytes) {
            Ok(text) => self.text = text,
            Err(_) => self.clear(),
        }
        edited
    }
}

impl PartialEq for RequestHead {
    fn eq(&self, other: &Self) -> bool {
        self.method == other.method
            && self.version == other.version
            && self.scheme == other.scheme
            && self.authority() == other.authority()
            && self.path_and_query() == other.path_and_query()
            && self.path_len == other.path_len
            && self.fields == other.fields
    }
}

impl Eq for RequestHead {}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("version", &self.version)
            .field("scheme", &self.scheme)
            .field("authority", &self.authority())
            .field("path", &self.path())
            .field("query", &self.query())
            .field("fields", &self.fields)
            .finish()
    }
}

#[cfg(test)]
mod tests;
