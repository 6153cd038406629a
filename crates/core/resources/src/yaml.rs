//! YAML as a tree with positions.
//!
//! The 1.2 core schema, so `yes` and `on` are strings; JSON is YAML. A stream is cut at its `---`
//! and `...` lines first, which YAML allows nowhere else at the beginning of a line, not even in
//! quoted or literal text (9.1.2, `c-forbidden`), and each part is parsed by itself: a syntax error
//! costs one document, not the stream. Anchors, aliases and merge keys are resolved within bounds.

mod build;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::problem::{Pos, Problem};

/// The deepest nesting of a document. Kubernetes objects stay below 30.
pub const DEPTH_MAX: usize = 64;

/// Nodes that anchors may keep and aliases and merge keys may add in one document: far above honest
/// use, far below what nested ones would grow to.
pub const ALIAS_NODES_MAX: usize = 100_000;

/// One value of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it begins.
    pub at: Pos,
    /// Where it ends.
    pub end: Pos,
}

/// The kinds of value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, typed by whoever reads it.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order written, without duplicate keys.
    Map(Vec<Entry>),
}

/// Text and whether it may mean something else than text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, unescaped.
    pub text: Box<str>,
    /// Written without quotes, so `8080`, `true` and `null` are not strings.
    pub plain: bool,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Box<str>,
    /// Where it is written.
    pub at: Pos,
    /// The value.
    pub value: Node,
}

/// What a plain scalar is by the core schema (YAML 1.2, 10.3.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Core {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A number with a fraction or exponent, or too large for 64 bits.
    Float(f64),
    /// Text.
    Str,
}

/// A part of a stream that holds one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The text, with the directives and the `---` line in front and the `...` line at the end.
    pub text: &'a str,
    /// Line of its beginning in the file, from 1.
    pub line: u32,
}

/// Parses all documents of a file. Empty documents are left out.
pub fn parse_stream(file: &str, text: &str) -> (Vec<Node>, Vec<Problem>) {
    let file = Arc::from(file);
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for chunk in split(text) {
        documents.extend(parse_chunk(&file, chunk, &mut problems));
    }
    (documents, problems)
}

/// Parses the documents of one part: one, or none when it is empty or broken (then a problem is
/// added), or several when `...` separates them.
pub fn parse_chunk(file: &Arc<str>, chunk: Chunk<'_>, problems: &mut Vec<Problem>) -> Vec<Node> {
    build::documents(file, chunk, problems)
}

/// Cuts a stream into its documents. What is in doubt is left in one piece, which
/// [`parse_chunk`] takes as well.
pub fn split(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if has_lone_carriage_return(text) {
        return vec![Chunk { text, line: 1 }];
    }
    let mut chunks = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let (mut offset, mut line) = (0, 1);
    // Directives and comments in front of a `---` belong to the document after it.
    let (mut has_content, mut has_directive) = (false, false);
    for piece in text.split_inclusive('\n') {
        let (is_start, is_end) = (is_marker(piece, "---"), is_marker(piece, "..."));
        if is_start && has_content {
            chunks.push(Chunk { text: &text[start..offset], line: start_line });
            (start, start_line) = (offset, line);
        }
        match piece.trim_start_matches([' ', '\t', '\r', '\n']).chars().next() {
            None | Some('#') => {}
            Some('%') => has_directive = true,
            Some(_) => has_content |= !is_end,
        }
        offset += piece.len();
        line += 1;
        if is_end {
            if has_content || has_directive {
                chunks.push(Chunk { text: &text[start..offset], line: start_line });
            }
            (start, start_line) = (offset, line);
            (has_content, has_directive) = (false, false);
        }
    }
    if has_content || has_directive {
        chunks.push(Chunk { text: &text[start..], line: start_line });
    }
    chunks
}

/// Whether a carriage return stands alone: the end of a line to YAML and to few others.
fn has_lone_carriage_return(text: &str) -> bool {
    text.match_indices('\r').any(|(at, _)| text.as_bytes().get(at + 1) != Some(&b'\n'))
}

// === impl Node ===

impl Node {
    /// The entries of a map.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar(_) | Value::Seq(_) => None,
        }
    }

    /// The items of a list.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            Value::Scalar(_) | Value::Map(_) => None,
        }
    }

    /// The text of a scalar.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::Seq(_) | Value::Map(_) => None,
        }
    }

    /// The value of a key of a map.
    pub fn find(&self, key: &str) -> Option<&Node> {
        self.as_map()?.iter().find(|entry| *entry.key == *key).map(|entry| &entry.value)
    }

    /// Whether nothing was written.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.core() == Core::Null)
    }

    /// The value in words, for messages.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Seq(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Scalar(scalar) => match scalar.core() {
                Core::Null => "nothing".into(),
                Core::Bool(value) => format!("the boolean `{value}`"),
                Core::Int(_) | Core::Float(_) => format!("the number `{}`", scalar.text),
                Core::Str => format!("the text `{}`", excerpt(&scalar.text)),
            },
        }
    }
}

// === impl Scalar ===

impl Scalar {
    /// What it is by the core schema.
    pub fn core(&self) -> Core {
        if self.plain { core(&self.text) } else { Core::Str }
    }
}

fn core(text: &str) -> Core {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Core::Null,
        "true" | "True" | "TRUE" => return Core::Bool(true),
        "false" | "False" | "FALSE" => return Core::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Core::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Core::Str;
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).map_or(Core::Str, Core::Int);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).map_or(Core::Str, Core::Int);
    }
    let unsigned = text.trim_start_matches(['-', '+']);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return Core::Float(sign * f64::INFINITY);
    }
    let numeric =
        unsigned.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+'))
            && unsigned.bytes().any(|b| b.is_ascii_digit());
    if !numeric || text.len() - unsigned.len() > 1 {
        return Core::Str;
    }
    if let Ok(value) = text.parse() {
        return Core::Int(value);
    }
    text.parse().map_or(Core::Str, Core::Float)
}

/// Text short enough for a message.
fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    if text.chars().count() <= CHARS_MAX {
        return text.into();
    }
    text.chars().take(CHARS_MAX).chain("...".chars()).collect()
}

/// Whether a line is a marker between documents: those three bytes, then a space or nothing.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}
