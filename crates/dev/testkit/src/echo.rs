//! What the origins answer: the request as they saw it, as JSON.

use serde::{Deserialize, Serialize};

use crate::response::values;

/// A request as an origin saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Name of the origin that answered.
    pub backend: String,
    /// Method.
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub version: String,
    /// `Host`, or `:authority`.
    pub host: String,
    /// Header fields in order, names as received, without `Host`.
    pub headers: Vec<(String, String)>,
    /// Length of the body in bytes.
    pub body_bytes: usize,
    /// The body, when it is UTF-8 of at most 4 KiB.
    pub body: Option<String>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
}

/// Bodies up to this are repeated in the echo.
const BODY_SHOWN_BYTES_MAX: usize = 4 << 10;

// === impl Echo ===

impl Echo {
    /// Reads an answer's body.
    ///
    /// # Panics
    ///
    /// When it is not an echo.
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|error| {
            panic!("not an echo ({error}): {}", String::from_utf8_lossy(body))
        })
    }

    /// The first value of a header, by name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// All values of a header.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &str> {
        values(&self.headers, name)
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap()
    }

    pub(crate) fn set_body(&mut self, body: &[u8]) {
        self.body_bytes = body.len();
        self.body = (body.len() <= BODY_SHOWN_BYTES_MAX)
            .then(|| String::from_utf8(body.to_vec()).ok())
            .flatten();
    }
}
