//! What rules are called in their ids.

#[cfg(test)]
mod tests;

/// The name of a rule if it can stand in an id and no other rule has it, else its position: ids
/// must differ. `names` are those of all rules of the document.
pub(crate) fn label(names: &[Option<&str>], index: usize) -> String {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(is_part)
            && names.iter().filter(|other| **other == Some(*name)).count() == 1
    };
    names[index].filter(is_name).map_or_else(|| index.to_string(), str::to_owned)
}
