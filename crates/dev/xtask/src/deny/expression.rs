//! SPDX licence expressions, as far as manifests use them.

use std::collections::BTreeSet;

use anyhow::bail;

/// Whether the allowed licences satisfy the expression: one side of each `OR`, both of each `AND`.
/// The old `MIT/Apache-2.0` means `OR`.
///
/// # Errors
///
/// When the text is not an expression.
pub(crate) fn is_allowed(text: &str, allowed: &BTreeSet<String>) -> anyhow::Result<bool> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens = spaced.split_whitespace().peekable();
    let result = any_of(&mut tokens, allowed)?;
    match tokens.next() {
        None => Ok(result),
        Some(token) => bail!("unexpected {token:?} in the licence expression"),
    }
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(tokens: &mut Tokens<'_>, allowed: &BTreeSet<String>) -> anyhow::Result<bool> {
    let mut result = all_of(tokens, allowed)?;
    while tokens.next_if_eq(&"OR").is_some() {
        result |= all_of(tokens, allowed)?;
    }
    Ok(result)
}

fn all_of(tokens: &mut Tokens<'_>, allowed: &BTreeSet<String>) -> anyhow::Result<bool> {
    let mut result = one(tokens, allowed)?;
    while tokens.next_if_eq(&"AND").is_some() {
        result &= one(tokens, allowed)?;
    }
    Ok(result)
}

fn one(tokens: &mut Tokens<'_>, allowed: &BTreeSet<String>) -> anyhow::Result<bool> {
    let Some(token) = tokens.next() else { bail!("the licence expression ends early") };
    if token == "(" {
        let result = any_of(tokens, allowed)?;
        if tokens.next() != Some(")") {
            bail!("a bracket is not closed");
        }
        return Ok(result);
    }
    if matches!(token, ")" | "OR" | "AND" | "WITH") {
        bail!("unexpected {token:?} in the licence expression");
    }
    if tokens.next_if_eq(&"WITH").is_some() {
        let Some(exception) = tokens.next() else { bail!("the licence expression ends early") };
        return Ok(allowed.contains(&format!("{token} WITH {exception}")));
    }
    Ok(allowed.contains(token))
}
