//! The matchers of each language: how they are spelled and how many values they take.

use crate::syntax::{Argument, Fault, Span, Tokens, Value};

/// A matcher of a language.
pub(super) struct Entry<K> {
    /// As documented.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) kind: K,
    /// Fewest values.
    pub(super) least: usize,
    /// Most values.
    pub(super) most: usize,
}

/// Names that people write by mistake, and what to say to them.
pub(super) type Hints = &'static [(&'static str, &'static str)];

/// A call with its values checked for number and emptiness.
pub(super) struct Call<'a, K> {
    /// Which matcher.
    pub(super) kind: K,
    /// The values, none of them empty.
    pub(super) values: Vec<Text<'a>>,
}

/// One value.
pub(super) struct Text<'a> {
    /// What stands between the quotes, escapes resolved.
    pub(super) text: std::borrow::Cow<'a, str>,
    /// Where it stands, quotes included.
    pub(super) span: Span,
}

/// Reads one call of a matcher in `entries`.
pub(super) fn call<'a, K: Copy>(
    tokens: &mut Tokens<'a>,
    entries: &[Entry<K>],
    hints: Hints,
) -> Result<Call<'a, K>, Fault> {
    let (name, span) = tokens.name("a matcher")?;
    let entry = entries
        .iter()
        .find(|entry| is_spelling(name, entry.name))
        .ok_or_else(|| unknown(name, span, entries, hints))?;
    let (arguments, close) = tokens.arguments()?;
    if !(entry.least..=entry.most).contains(&arguments.len()) {
        return Err(wrong_number(entry, arguments.len(), span.to(close)));
    }
    let values = arguments.into_iter().map(|argument| value(entry.name, argument));
    Ok(Call { kind: entry.kind, values: values.collect::<Result<_, _>>()? })
}

// === impl Text ===

impl Text<'_> {
    /// A fault of this value.
    pub(super) fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault::new(self.span, problem)
    }
}

fn value<'a>(name: &str, argument: Argument<'a>) -> Result<Text<'a>, Fault> {
    let span = argument.span;
    match argument.value {
        Value::Text(text) if text.is_empty() => {
            let fault = Fault::new(span, format!("a value of `{name}` is empty"));
            Err(match name {
                "Query" | "QueryRegexp" => fault.remedy("to match an empty value, leave it out"),
                _ => fault,
            })
        }
        Value::Text(text) => Ok(Text { text, span }),
        Value::Number(number) => Err(Fault::new(span, "values are strings, not numbers")
            .remedy(format!("write `{number}`, backticks included"))),
    }
}

/// Whether `name` is `documented` as it is, in lower case, in upper case, or with only the first
/// letter large.
fn is_spelling(name: &str, documented: &str) -> bool {
    let title = || {
        let (first, rest) = name.split_at(1);
        first == &documented[..1] && rest == documented[1..].to_ascii_lowercase()
    };
    name == documented
        || name == documented.to_ascii_lowercase()
        || name == documented.to_ascii_uppercase()
        || title()
}

fn unknown<K>(name: &str, span: Span, entries: &[Entry<K>], hints: Hints) -> Fault {
    let fault = Fault::new(span, format!("unknown matcher `{name}`"));
    if let Some((_, hint)) = hints.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return fault.remedy(*hint);
    }
    let nearest = entries.iter().map(|entry| (distance(name, entry.name), entry.name)).min();
    match nearest {
        Some((distance, near)) if distance <= 1 + near.len() / 4 => {
            fault.remedy(format!("did you mean `{near}`?"))
        }
        _ => {
            let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
            fault.remedy(format!("the matchers are {}", names.join(", ")))
        }
    }
}

fn wrong_number<K>(entry: &Entry<K>, found: usize, span: Span) -> Fault {
    let Entry { name, least, most, .. } = entry;
    let wanted = match (*least, *most) {
        (1, 1) => "one value".to_owned(),
        (least, most) if least == most => format!("{least} values"),
        (1, usize::MAX) => "one value or more".to_owned(),
        (least, most) => format!("{least} to {most} values"),
    };
    let fault = Fault::new(span, format!("`{name}` takes {wanted}, found {found}"));
    match (*most, found) {
        (1, 2..) => fault.remedy(format!("write {name}(…) || {name}(…)")),
        _ => fault,
    }
}

/// The number of letters to insert, delete, replace or swap with their neighbour to get from one
/// name to the other, letter case aside.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<u8> = left.bytes().take(64).map(|byte| byte.to_ascii_lowercase()).collect();
    let right: Vec<u8> = right.bytes().map(|byte| byte.to_ascii_lowercase()).collect();
    let mut rows = vec![(0..=right.len()).collect::<Vec<_>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}
