//! docs/COMPATIBILITY.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::dialect;
use crate::table::{Fate, Fields, State, Table, title};

/// The path of the page from the project's root.
pub const PATH: &str = "docs/COMPATIBILITY.md";

/// The whole page.
pub fn page(table: &Table) -> String {
    let mut page = dialect::PREFACE.to_owned();
    page.push('\n');
    overview(table, &mut page);
    for (number, dialect) in dialect::ALL.iter().enumerate() {
        let _ = write!(page, "\n## {}\n", dialect.name);
        if !dialect.prose.trim().is_empty() {
            let _ = write!(page, "\n{}\n", dialect.prose.trim());
        }
        for kind in table.kinds.iter().filter(|kind| kind.dialect == number) {
            of_kind(kind, &mut page);
        }
    }
    page
}

/// How many fields of each kind are in which state.
fn overview(table: &Table, page: &mut String) {
    page.push_str("| kind |");
    for state in State::ALL {
        let _ = write!(page, " {} |", state.as_str());
    }
    page.push_str("\n| --- | --- | --- | --- | --- | --- |\n");
    let mut sums = [0; State::ALL.len()];
    for kind in &table.kinds {
        let counts =
            State::ALL.map(|state| kind.fields.values().filter(|fate| fate.state == state).count());
        sums = std::array::from_fn(|index| sums[index] + counts[index]);
        count_row(&title(kind.subject), counts, page);
    }
    count_row("all", sums, page);
}

fn count_row(name: &str, counts: [usize; State::ALL.len()], page: &mut String) {
    let _ = write!(page, "| {name} |");
    for count in counts {
        let _ = write!(page, " {count} |");
    }
    page.push('\n');
}

fn of_kind(kind: &Fields, page: &mut String) {
    let subject = kind.subject;
    let _ = write!(page, "\n### {}", subject.kind);
    if !subject.group.is_empty() {
        let _ = write!(page, " (`{}`)", subject.group);
    }
    page.push_str("\n\n");
    let mut groups: Vec<(&Fate, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<(&str, State, &str), usize> = BTreeMap::new();
    for (path, fate) in &kind.fields {
        let place = places.entry((&*fate.row, fate.state, &*fate.why)).or_insert_with(|| {
            groups.push((fate, Vec::new()));
            groups.len() - 1
        });
        groups[*place].1.push(path);
    }
    let (quiet, told): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(fate, _)| fate.state == State::Bookkeeping);
    if !told.is_empty() {
        page.push_str("| fields | state | what differs, or why | tests |\n");
        page.push_str("| --- | --- | --- | --- |\n");
    }
    for (fate, paths) in &told {
        let tests: Vec<String> = fate.tests.iter().map(|test| format!("`{test}`")).collect();
        let (state, why) = (fate.state.as_str(), fate.why.replace('|', "\\|"));
        let _ = writeln!(page, "| {} | {state} | {why} | {} |", cell(paths), tests.join(", "));
    }
    for (_, paths) in &quiet {
        let gap = if told.is_empty() { "" } else { "\n" };
        let _ = writeln!(page, "{gap}Bookkeeping: {}.", cell(paths));
    }
}

/// Fields of one row; what they have in common is written once.
fn cell(paths: &[&str]) -> String {
    let [first, others @ ..] = paths else { return String::new() };
    let mut common = if others.is_empty() { 0 } else { first.rfind('.').map_or(0, |dot| dot + 1) };
    while common > 0 && !paths.iter().all(|path| path.starts_with(&first[..common])) {
        common = first[..common - 1].rfind('.').map_or(0, |dot| dot + 1);
    }
    let names: Vec<String> = paths.iter().map(|path| format!("`{}`", &path[common..])).collect();
    match common {
        0 => names.join(", "),
        _ => format!("`{}`: {}", first[..common].trim_end_matches('.'), names.join(", ")),
    }
}
