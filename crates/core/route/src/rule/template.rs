//! `{name:pattern}` templates of v2.

use weft_model::text::Pattern;

use crate::rule::catalogue::Text;
use crate::rule::regexp::from_go;
use crate::syntax::Fault;

/// What a template stands for.
pub(super) enum Template {
    /// It has no braces.
    Literal,
    /// The pattern of the whole text.
    Pattern(String),
}

/// Reads `text`, a part of `value`: outside of braces it is literal, `{name}` is `default`,
/// `{name:pattern}` is the pattern.
///
/// # Errors
///
/// When braces do not balance.
pub(super) fn read(
    value: &Text<'_>,
    text: &str,
    default: &str,
    literal: impl Fn(&str) -> String,
) -> Result<Template, Fault> {
    if !text.contains(['{', '}']) {
        return Ok(Template::Literal);
    }
    let unbalanced = || {
        let fault = value.fault("the braces do not balance");
        fault.remedy("a template is written `{name}` or `{name:pattern}`")
    };
    let mut pattern = String::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        pattern.push_str(&regex::escape(&literal(&rest[..open])));
        rest = &rest[open..];
        let close = closing(rest).ok_or_else(unbalanced)?;
        let inner = &rest[1..close];
        let expression = match inner.split_once(':') {
            Some((_, "")) => return Err(value.fault("the pattern in the braces is empty")),
            Some((_, expression)) => from_go(expression),
            None => default.to_owned(),
        };
        pattern.push_str(&format!("(?:{expression})"));
        rest = &rest[close + 1..];
    }
    pattern.push_str(&regex::escape(&literal(rest)));
    Ok(Template::Pattern(pattern))
}

/// Compiles a pattern made of a template.
pub(super) fn compile(value: &Text<'_>, pattern: &str) -> Result<Pattern, Fault> {
    Pattern::new(pattern).map_err(|_| {
        let fault = value.fault("the regular expression does not compile");
        match regex_syntax::Parser::new().parse(pattern) {
            Err(regex_syntax::Error::Parse(error)) => fault.remedy(error.kind().to_string()),
            _ => fault,
        }
    })
}

/// Whether a pattern of v3 is written as a template of v2: a name in braces, where a pattern has
/// numbers, or a class such as `\p{Greek}`.
pub(super) fn is_template(text: &str) -> bool {
    text.match_indices('{').any(|(at, _)| {
        let is_class = ["\\p", "\\P", "\\x"].iter().any(|class| text[..at].ends_with(class));
        let is_name = text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        is_name && !is_class
    })
}

/// Where the brace that opens `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}
