//! Values in the query.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The values of one name in a query, percent-decoded. See
/// [`RequestHead::query_values`](crate::RequestHead::query_values).
#[derive(Debug, Clone)]
pub struct QueryValues<'a, 'n> {
    rest: Option<&'a str>,
    name: &'n str,
}

// === impl QueryValues ===

impl<'a, 'n> QueryValues<'a, 'n> {
    pub(crate) fn new(query: Option<&'a str>, name: &'n str) -> Self {
        Self { rest: query, name }
    }
}

impl<'a> Iterator for QueryValues<'a, '_> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        loop {
            let rest = self.rest?;
            let (pair, after) = match rest.split_once('&') {
                Some((pair, after)) => (pair, Some(after)),
                None => (rest, None),
            };
            self.rest = after;
            if pair.is_empty() {
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decode(name) == self.name {
                return Some(decode(value));
            }
        }
    }
}

// === functions ===

/// Decodes as HTML forms do: `+` is a space, a malformed escape stands for itself, and what is
/// no UTF-8 becomes U+FFFD.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
}
