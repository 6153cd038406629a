//! Literals that every match of a pattern must start or end with, so that patterns too are found
//! by key.

use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{Hir, Look};
use weft_model::text::Pattern;

/// Most literals taken from one pattern; more would cost more to store than they save.
const LITERALS_MAX: usize = 32;

/// What a pattern asks of the beginning or the end of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literals {
    /// The text is one of these.
    Whole(Vec<String>),
    /// The text starts (or ends) with one of these, none of them empty.
    Part(Vec<String>),
    /// Nothing that helps.
    None,
}

/// What every text that matches `pattern` starts with.
pub(crate) fn prefixes(pattern: &Pattern) -> Literals {
    extract(pattern, ExtractKind::Prefix)
}

/// What every text that matches `pattern` ends with.
pub(crate) fn suffixes(pattern: &Pattern) -> Literals {
    extract(pattern, ExtractKind::Suffix)
}

fn extract(pattern: &Pattern, kind: ExtractKind) -> Literals {
    let Ok(hir) = regex_syntax::Parser::new().parse(pattern.as_str()) else {
        return Literals::None;
    };
    let starts = hir.properties().look_set_prefix().contains(Look::Start);
    let ends = hir.properties().look_set_suffix().contains(Look::End);
    let anchored = match kind {
        ExtractKind::Suffix => ends,
        _ => starts,
    };
    if !anchored {
        return Literals::None;
    }
    let found = sequence(&hir, kind);
    let Some(texts) = texts(&found) else { return Literals::None };
    if found.is_exact() && starts && ends { Literals::Whole(texts) } else { Literals::Part(texts) }
}

fn sequence(hir: &Hir, kind: ExtractKind) -> Seq {
    let mut found = Extractor::new().kind(kind.clone()).limit_total(LITERALS_MAX).extract(hir);
    found.dedup();
    found
}

/// The literals as text, unless there are none, or one says nothing.
fn texts(found: &Seq) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    for literal in found.literals()? {
        let text = std::str::from_utf8(literal.as_bytes()).ok().filter(|text| !text.is_empty())?;
        texts.push(text.to_owned());
    }
    texts.sort_unstable();
    texts.dedup();
    Some(texts).filter(|texts| !texts.is_empty())
}

#[cfg(test)]
mod tests;
