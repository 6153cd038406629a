//! Regular expressions in Go's syntax.
//!
//! Go and Rust both implement RE2's linear-time language and differ at a few places, which are
//! translated: `\d`, `\s`, `\w` and `\b` mean ASCII in Go, `\Q…\E` quotes, and inside a class `[`,
//! `&&`, `--` and `~~` are plain characters.

use weft_model::text::Pattern;

use crate::rule::catalogue::Text;
use crate::syntax::{Fault, Span};

/// Compiles a value that is a regular expression.
pub(super) fn pattern(value: &Text<'_>) -> Result<Pattern, Fault> {
    let translated = from_go(&value.text);
    Pattern::new(&translated).map_err(|_| invalid(value, &translated))
}

/// The same expression in the syntax of [`Pattern`].
pub(super) fn from_go(text: &str) -> String {
    let mut translated = String::with_capacity(text.len());
    let mut rest = text;
    // Where the class started, to know its first characters.
    let mut class: Option<usize> = None;
    while let Some(c) = rest.chars().next() {
        let length = match (c, class) {
            ('\\', _) => escape(rest, class.is_some(), &mut translated),
            ('[', None) => {
                let length = opening(rest);
                translated.push_str(&rest[..length]);
                class = Some(translated.len());
                length
            }
            ('[', Some(_)) => nested(rest, &mut translated),
            (']', Some(start)) if translated.len() > start => {
                class = None;
                translated.push(']');
                1
            }
            (']', Some(_)) => {
                translated.push_str(r"\]");
                1
            }
            ('&' | '~', Some(_)) => {
                translated.push('\\');
                translated.push(c);
                1
            }
            ('-', Some(start)) => {
                dash(&rest[1..], translated.len() == start, &mut translated);
                1
            }
            _ => {
                translated.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    translated
}

/// The length of `[` or `[^`.
fn opening(rest: &str) -> usize {
    if rest[1..].starts_with('^') { 2 } else { 1 }
}

/// A `[` inside a class: a named class as `[:alpha:]`, or itself.
fn nested(rest: &str, translated: &mut String) -> usize {
    let named = rest.strip_prefix("[:").and_then(|name| name.find(":]")).map(|end| end + 4);
    match named {
        Some(length) => translated.push_str(&rest[..length]),
        None => translated.push_str(r"\["),
    }
    named.unwrap_or(1)
}

/// A `-` inside a class: itself at either end, else a range.
fn dash(rest: &str, first: bool, translated: &mut String) {
    if first || rest.starts_with(']') || rest.starts_with('-') {
        translated.push('\\');
    }
    translated.push('-');
}

/// Translates one escape, and says how long it was.
fn escape(rest: &str, in_class: bool, translated: &mut String) -> usize {
    let Some(letter) = rest[1..].chars().next() else {
        translated.push('\\');
        return 1;
    };
    let ascii = match (letter, in_class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => r"[\t\n\f\r ]",
        ('s', true) => r"\t\n\f\r ",
        ('S', _) => r"[^\t\n\f\r ]",
        ('b', false) => r"(?-u:\b)",
        ('B', false) => r"(?-u:\B)",
        ('Q', false) => return quotation(rest, translated),
        // Quoted characters that mean something else in Rust.
        ('<', _) => "<",
        ('>', _) => ">",
        _ => {
            translated.push('\\');
            translated.push(letter);
            return 1 + letter.len_utf8();
        }
    };
    translated.push_str(ascii);
    2
}

/// `\Q…\E`, or to the end.
fn quotation(rest: &str, translated: &mut String) -> usize {
    let quoted = &rest[2..];
    let end = quoted.find(r"\E");
    translated.push_str(&regex::escape(&quoted[..end.unwrap_or(quoted.len())]));
    end.map_or(rest.len(), |end| end + 4)
}

/// What keeps `translated` from compiling; with the exact place when nothing was translated.
fn invalid(value: &Text<'_>, translated: &str) -> Fault {
    let (kind, span) = match regex_syntax::Parser::new().parse(translated) {
        Err(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), Some(*error.span())),
        Err(regex_syntax::Error::Translate(error)) => {
            (error.kind().to_string(), Some(*error.span()))
        }
        _ => return value.fault("the regular expression is too large when compiled"),
    };
    let mut fault = value.fault(format!("the regular expression does not compile: {kind}"));
    let verbatim = value.span.length == value.text.len() + 2 && translated == value.text;
    if let Some(span) = span.filter(|_| verbatim) {
        let offset = value.span.offset + 1 + span.start.offset;
        fault.span = Span { offset, length: span.end.offset - span.start.offset };
    }
    if kind.starts_with("look-around") || kind.starts_with("backreferences") {
        fault.remedy("the language is RE2, as in Go: it has neither, and stays linear")
    } else {
        fault
    }
}

#[cfg(test)]
mod tests;
