//! Lists for people.

#[cfg(test)]
mod tests;

use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use weft_authority::Span;

/// Columns under their names, as wide as they need to be: whoever pipes them gets whole lines.
pub(crate) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Seconds in their two largest units.
pub(crate) fn span(secs: u64) -> String {
    Span(Duration::from_secs(secs)).to_string()
}

/// Enough of a fingerprint to tell one from another.
pub(crate) fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(8).collect()
}
