//! docs/COMPATIBILITY.md, made of the table in `crates/dev/compatibility`.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use weft_compatibility::page;
use weft_compatibility::table::Table;

use crate::run::root;
use crate::status;

/// Writes the page.
pub(crate) fn write() -> anyhow::Result<()> {
    let text = made()?;
    std::fs::write(root().join(page::PATH), text)
        .with_context(|| format!("cannot write {}", page::PATH))
}

/// Checks that the page is what would be written, and that the tests which it names exist.
pub(crate) fn check() -> anyhow::Result<()> {
    let there = std::fs::read_to_string(root().join(page::PATH))
        .with_context(|| format!("cannot read {}", page::PATH))?;
    if there != made()? {
        bail!("{} is not up to date: run `cargo xtask compatibility`", page::PATH);
    }
    println!("{} is up to date", page::PATH);
    Ok(())
}

fn made() -> anyhow::Result<String> {
    let table = match Table::read() {
        Ok(table) => table,
        Err(wrong) => bail!("the table of fields is wrong:\n{}", wrong.join("\n")),
    };
    let missing = missing(&table, &status::tests()?);
    if !missing.is_empty() {
        bail!("tests that are not there:\n{}", missing.join("\n"));
    }
    Ok(page::page(&table))
}

/// The tests that rows name and that do not exist, with the first field that each is to show.
fn missing(table: &Table, tests: &BTreeSet<String>) -> Vec<String> {
    let mut named = BTreeSet::new();
    let unknown = table.tests().filter(|(test, _)| !tests.contains(*test) && named.insert(*test));
    unknown.map(|(test, field)| format!("{test}, which is to show {field}")).collect()
}
