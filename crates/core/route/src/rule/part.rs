//! The parts of a rule that cannot be read as a whole.

/// The operands of the outermost `&&`, as text; `None` when there is an outermost `||`.
///
/// Strings and parentheses are told apart as in a rule that can be read; where they do not close,
/// all that follows is one part.
pub(super) fn conjuncts(rule: &str) -> Option<Vec<&str>> {
    let bytes = rule.as_bytes();
    let (mut parts, mut start, mut depth, mut at) = (Vec::new(), 0, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'`' | b'"' | b'\'' => at = string_end(bytes, at),
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 && bytes.get(at + 1) == Some(&b'|') => return None,
            b'&' if depth == 0 && bytes.get(at + 1) == Some(&b'&') => {
                parts.push(&rule[start..at]);
                at += 1;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&rule[start..]);
    Some(parts)
}

/// The quote that ends the string which begins at `start`, or the end of the text.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quote != b'`' => at += 1,
            byte if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
