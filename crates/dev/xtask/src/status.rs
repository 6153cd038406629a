//! docs/STATUS.md says what works and names the test that shows it; the test must exist.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use syn::visit::Visit;

use crate::run::root;
use crate::tidy::tree;

/// Checks the page against the tree.
pub(crate) fn run_status() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(root().join("docs/STATUS.md"))
        .context("cannot read docs/STATUS.md")?;
    let tests = tests()?;
    let (rows, broken) = check(&page, &tests);
    for line in &broken {
        println!("{line}");
    }
    if !broken.is_empty() {
        bail!("{} rows of docs/STATUS.md name no existing test", broken.len());
    }
    println!("{rows} rows of docs/STATUS.md name existing tests");
    Ok(())
}

/// Goes through every table with a column `Test` (or `Tests`): each cell must name, in backquotes,
/// tests that exist. A dash says that there is none yet, which is only allowed where the row also
/// says so by a cell `no`, `planned` or `missing`. Returns the number of rows, and a line for each
/// broken one.
pub(crate) fn check(page: &str, tests: &BTreeSet<String>) -> (usize, Vec<String>) {
    let mut column = None;
    let (mut rows, mut broken) = (0, Vec::new());
    for (index, line) in page.lines().enumerate() {
        let Some(cells) = cells(line) else {
            column = None;
            continue;
        };
        let Some(test_column) = column else {
            column = cells.iter().position(|cell| {
                cell.eq_ignore_ascii_case("test") || cell.eq_ignore_ascii_case("tests")
            });
            continue;
        };
        let is_ruler = cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':' | ' ')));
        if is_ruler {
            continue;
        }
        rows += 1;
        let cell = cells.get(test_column).copied().unwrap_or_default();
        let place = format!("docs/STATUS.md:{}", index + 1);
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let is_open = cells.iter().any(|cell| {
            ["no", "planned", "missing"].iter().any(|word| cell.eq_ignore_ascii_case(word))
        });
        if names.is_empty() && !is_open {
            broken.push(format!("{place}: the row names no test"));
        }
        for name in names {
            let function = name.rsplit("::").next().unwrap_or(name);
            if !tests.contains(function) {
                broken.push(format!("{place}: there is no test {name}"));
            }
        }
    }
    (rows, broken)
}

/// The cells of a table line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let line = line.trim();
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// Names of all test functions of the tree.
pub(crate) fn tests() -> anyhow::Result<BTreeSet<String>> {
    let mut names = Names::default();
    for path in tree::files(&["rs"])? {
        let text = std::fs::read_to_string(root().join(&path))?;
        let file =
            syn::parse_file(&text).with_context(|| format!("cannot read {}", path.display()))?;
        names.visit_file(&file);
    }
    Ok(names.0)
}

#[derive(Default)]
struct Names(BTreeSet<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
        });
        if is_test {
            self.0.insert(item.sig.ident.to_string());
        }
        syn::visit::visit_item_fn(self, item);
    }

    /// `proptest! { #[test] fn name(...) {...} }` keeps its functions in tokens.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let mut after_fn = false;
        for token in item.tokens.clone() {
            if let proc_macro2::TokenTree::Ident(name) = token {
                if after_fn {
                    self.0.insert(name.to_string());
                }
                after_fn = name == "fn";
            } else {
                after_fn = false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
