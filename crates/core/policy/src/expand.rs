//! Replacement templates of regular expressions, in Go's syntax.
//!
//! Users of Traefik write `$1`, `${1}`, `${name}` and `$$`. The rules are those of Go's
//! `regexp.Expand`: a name without braces is as long as it can be, so `$1x` is the group named
//! `1x`; what is no group expands to nothing; a dollar sign that starts no name stands for itself.
//! Templates are read while they are expanded, which costs less than the match before it.

#[cfg(test)]
mod tests;

use std::ops::Range;

use regex::{Captures, Regex};

/// A replacement template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template<'a>(&'a str);

/// A part of a [`Template`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stands for itself.
    Literal(&'a str),
    /// The group with this number; 0 is the whole match.
    Index(usize),
    /// The group with this name.
    Name(&'a str),
}

/// Takes what an expansion yields, in order.
pub trait Sink {
    /// Text of the template.
    fn literal(&mut self, text: &str);

    /// Text of the source, and where it stands there.
    fn source(&mut self, text: &str, range: Range<usize>);
}

/// Replaces every match of `regex` in `source` by `template`, as Go's `ReplaceAllString` does.
///
/// Returns whether there was a match; without one `sink` gets nothing.
pub fn replace_all(
    regex: &Regex,
    template: Template<'_>,
    source: &str,
    sink: &mut impl Sink,
) -> bool {
    let mut end = 0;
    let mut any = false;
    for captures in regex.captures_iter(source) {
        let Some(whole) = captures.get(0) else { continue };
        any = true;
        copy(source, end..whole.start(), sink);
        template.expand(&captures, sink);
        end = whole.end();
    }
    if any {
        copy(source, end..source.len(), sink);
    }
    any
}

// === impl Template ===

impl<'a> Template<'a> {
    /// Reads a template. Every text is one: what is no reference stands for itself.
    pub const fn parse(text: &'a str) -> Self {
        Self(text)
    }

    /// Its parts, in order.
    pub fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (piece, after) = split_piece(rest)?;
            rest = after;
            Some(piece)
        })
    }

    /// The groups it refers to that `regex` does not have. They expand to nothing, which is worth
    /// a warning to whoever wrote it.
    pub fn unknown_groups(self, regex: &Regex) -> Vec<String> {
        self.pieces()
            .filter_map(|piece| match piece {
                Piece::Literal(_) => None,
                Piece::Index(index) => (index >= regex.captures_len()).then(|| index.to_string()),
                Piece::Name(name) => {
                    let known = regex.capture_names().flatten().any(|group| group == name);
                    (!known).then(|| name.to_owned())
                }
            })
            .collect()
    }

    /// Feeds the template, with its groups taken from `captures`, to `sink`.
    pub fn expand(self, captures: &Captures<'_>, sink: &mut impl Sink) {
        for piece in self.pieces() {
            let group = match piece {
                Piece::Literal(text) => {
                    sink.literal(text);
                    None
                }
                Piece::Index(index) => captures.get(index),
                Piece::Name(name) => captures.name(name),
            };
            if let Some(group) = group {
                sink.source(group.as_str(), group.range());
            }
        }
    }
}

// === impl Sink ===

impl Sink for String {
    fn literal(&mut self, text: &str) {
        self.push_str(text);
    }

    fn source(&mut self, text: &str, _range: Range<usize>) {
        self.push_str(text);
    }
}

// === functions ===

fn copy(source: &str, range: Range<usize>, sink: &mut impl Sink) {
    if !range.is_empty() {
        sink.source(&source[range.clone()], range);
    }
}

/// The first piece and what is after it; `None` at the end.
fn split_piece(text: &str) -> Option<(Piece<'_>, &str)> {
    if text.is_empty() {
        return None;
    }
    let Some(after) = text.strip_prefix('$') else {
        let end = text.find('$').unwrap_or(text.len());
        return Some((Piece::Literal(&text[..end]), &text[end..]));
    };
    if let Some(rest) = after.strip_prefix('$') {
        return Some((Piece::Literal(&text[..1]), rest));
    }
    match reference(after) {
        Some((piece, rest)) => Some((piece, rest)),
        None => Some((Piece::Literal(&text[..1]), after)),
    }
}

/// Reads `name` or `{name}`.
fn reference(text: &str) -> Option<(Piece<'_>, &str)> {
    let (braced, text) = match text.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = if braced { rest.strip_prefix('}')? } else { rest };
    Some((group(name), rest))
}

/// Digits without a leading zero are a number, everything else is a name.
fn group(name: &str) -> Piece<'_> {
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = name.len() > 1 && name.starts_with('0');
    match name.parse() {
        Ok(index) if numeric && !leading_zero => Piece::Index(index),
        _ => Piece::Name(name),
    }
}
