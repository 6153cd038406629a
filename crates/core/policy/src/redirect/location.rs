//! Locations that users build by pattern.

use std::ops::Range;

use thiserror::Error;

use crate::expand::Sink;
use crate::media;

/// A location while it is built, with the places where text of the request's URL went.
pub(super) struct Location {
    text: String,
    /// Where the authority of the source URL ends.
    authority_end: usize,
    /// Start in `text`, and the range of the source that stands there.
    copies: Vec<(usize, Range<usize>)>,
}

/// The location is not one to send a client to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum UnsafeLocation {
    /// Neither an absolute URL nor a path with one slash at its start.
    #[error("the location is neither an absolute URL nor an absolute path")]
    Form,
    /// The scheme was taken from the request and is not http or https.
    #[error("the location has a scheme taken from the request")]
    Scheme,
    /// The host is empty, or holds user information or a byte that no host has.
    #[error("the location has no valid host")]
    Host,
    /// The path or query of the request decides the host.
    #[error("the location has a host taken from the path or the query")]
    ForeignHost,
}

// === impl Location ===

impl Location {
    /// An empty one, for a source URL whose authority ends at `authority_end`.
    pub(super) fn new(authority_end: usize) -> Self {
        Self { text: String::new(), authority_end, copies: Vec::new() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The location with what may not stand in a URL percent-encoded.
    ///
    /// # Errors
    ///
    /// When a client could be led where neither the configuration nor its own `Host` says.
    pub(super) fn into_safe(self) -> Result<String, UnsafeLocation> {
        if !self.is_path() {
            self.check_url()?;
        }
        let mut out = String::with_capacity(self.text.len());
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        media::percent_encode(self.text.as_bytes(), plain, &mut out);
        Ok(out)
    }

    /// A slash that is not the first of two; browsers read a backslash as a slash.
    fn is_path(&self) -> bool {
        let bytes = self.text.as_bytes();
        bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'))
    }

    fn check_url(&self) -> Result<(), UnsafeLocation> {
        let scheme_end = self.text.find("://").ok_or(UnsafeLocation::Form)?;
        let scheme = &self.text.as_bytes()[..scheme_end];
        let is_web = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
        let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        if scheme.is_empty() || !scheme.iter().all(letters) {
            return Err(UnsafeLocation::Form);
        }
        if !is_web && self.copies_in(0..scheme_end).next().is_some() {
            return Err(UnsafeLocation::Scheme);
        }
        let start = scheme_end + 3;
        let rest = &self.text.as_bytes()[start..];
        let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
        if !is_host_and_port(&rest[..end]) || rest.get(end) == Some(&b'\\') {
            return Err(UnsafeLocation::Host);
        }
        self.check_authority(start..start + end)
    }

    /// What of the host comes from the path or query may only be labels in front of text that the
    /// template or the request's own host gives, as in `https://$1.example.com/`.
    fn check_authority(&self, authority: Range<usize>) -> Result<(), UnsafeLocation> {
        let text = self.text.as_bytes();
        let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let mut last = None;
        for foreign in self.foreign_in(authority.clone()) {
            if !text[foreign.clone()].iter().all(letters) {
                return Err(UnsafeLocation::ForeignHost);
            }
            last = last.max(Some(foreign.end));
        }
        match last {
            // A dot has to come after it, or it would be a part of the last label given.
            Some(end) if !text[end..authority.end].contains(&b'.') => {
                Err(UnsafeLocation::ForeignHost)
            }
            _ => Ok(()),
        }
    }

    /// The parts of `range` that were copied from behind the authority of the source URL.
    fn foreign_in(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        self.copies_in(range).filter_map(|(out, source)| {
            let own = self.authority_end.saturating_sub(source.start).min(out.len());
            let foreign = out.start + own..out.end;
            (!foreign.is_empty()).then_some(foreign)
        })
    }

    /// The copies that overlap `range`: the overlap, and the source range that stands there.
    fn copies_in(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.copies.iter().filter_map(move |(start, source)| {
            let out = *start..*start + source.len();
            let overlap = out.start.max(range.start)..out.end.min(range.end);
            let source_start = source.start + overlap.start.saturating_sub(out.start);
            let source = source_start..source_start + overlap.len();
            (!overlap.is_empty()).then_some((overlap, source))
        })
    }
}

impl Sink for Location {
    fn literal(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn source(&mut self, text: &str, range: Range<usize>) {
        if !range.is_empty() {
            self.copies.push((self.text.len(), range));
        }
        self.text.push_str(text);
    }
}

/// Host and port without user information. Bytes that are not ASCII can only be a template's: an
/// internationalised name, which browsers read in its percent-encoded form too.
fn is_host_and_port(authority: &[u8]) -> bool {
    let fits =
        |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"-._:[]".contains(byte);
    !authority.is_empty() && authority[0] != b':' && authority.iter().all(fits)
}
