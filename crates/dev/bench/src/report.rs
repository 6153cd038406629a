//! The result as Markdown, and the document that holds it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};

use crate::bars::{Bar, Verdict};

/// One number that may have a bar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    /// Name of the case.
    pub(crate) case: &'static str,
    /// Name of the number within its case.
    pub(crate) measure: String,
    pub(crate) value: f64,
    /// 95 % confidence.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) unit: &'static str,
}

/// What one case gives to the document.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// Lines of Markdown below the title.
    pub(crate) body: String,
    pub(crate) findings: Vec<Finding>,
}

/// A table in the making.
pub(crate) struct Rows {
    text: String,
}

// === impl Rows ===

impl Rows {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut rows = Self { text: String::new() };
        rows.add(header);
        // The first column names things, the others are numbers.
        rows.text.push_str("| --- |");
        rows.text.push_str(&" ---: |".repeat(header.len() - 1));
        rows.text.push('\n');
        rows
    }

    pub(crate) fn add<S: AsRef<str>>(&mut self, cells: &[S]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// The whole result: `header` lines first, then every number with its bar, then every case. A bar of
/// one of the `cases` that no number was found for is named too.
pub(crate) fn document(
    header: &[String],
    cases: &[&str],
    sections: &[Section],
    bars: &[Bar],
) -> String {
    let mut text = String::new();
    for line in header {
        let _ = writeln!(text, "- {line}");
    }
    let mut rows = Rows::new(&["Case", "Number", "Measured", "Bar", "Verdict"]);
    for finding in sections.iter().flat_map(|section| &section.findings) {
        let bar = bars.iter().find(|bar| bar.is_for(finding));
        let (limit, verdict) = match bar {
            Some(bar) => (bar.limit.show(finding.unit), bar.verdict(finding)),
            None => ("none".to_owned(), Verdict::NoBar),
        };
        let case = finding.case;
        rows.add(&[case, &finding.measure, &finding.show(), &limit, verdict.as_str()]);
    }
    let findings = || sections.iter().flat_map(|section| &section.findings);
    for bar in bars.iter().filter(|bar| cases.contains(&bar.case.as_str())) {
        if !findings().any(|finding| bar.is_for(finding)) {
            let limit = bar.limit.show("");
            rows.add(&[&bar.case, &bar.measure, "**not measured**", &limit, "–"]);
        }
    }
    let _ = write!(text, "\n{}", rows.finish());
    for section in sections {
        let _ = write!(text, "\n### {}\n\n{}", section.title, section.body);
    }
    text
}

/// Puts the result between the marks of its suite in the document.
pub(crate) fn update(path: &Path, suite: &str, result: &str) -> anyhow::Result<()> {
    let text = match path.exists() {
        true => std::fs::read_to_string(path)?,
        false => {
            let [begin, end] = marks(suite);
            format!("# Benchmarks\n\n{begin}\n{end}\n")
        }
    };
    std::fs::write(path, replaced(&text, suite, result)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(text: &str, suite: &str, result: &str) -> anyhow::Result<String> {
    let [begin, end] = marks(suite);
    let Some((before, rest)) = text.split_once(&begin) else {
        bail!("the document lacks the mark {begin}");
    };
    let Some((_, after)) = rest.split_once(&end) else {
        bail!("the document lacks the mark {end}");
    };
    Ok(format!("{before}{begin}\n{}\n{end}{after}", result.trim_end()))
}

/// What stands around a suite's result.
fn marks(suite: &str) -> [String; 2] {
    ["begin", "end"].map(|side| format!("<!-- {side}: cargo xtask bench {suite} -->"))
}

// === impl Finding ===

impl Finding {
    fn show(&self) -> String {
        let value = number(self.value, self.unit);
        match self.interval {
            Some((low, high)) => {
                format!("{value} ({} to {})", number(low, ""), number(high, ""))
            }
            None => value,
        }
    }
}

/// Three digits that matter.
pub(crate) fn number(value: f64, unit: &str) -> String {
    let text = match value.abs() {
        size if size == 0.0 || size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if unit.is_empty() { text } else { format!("{text} {unit}") }
}

#[cfg(test)]
mod tests;
