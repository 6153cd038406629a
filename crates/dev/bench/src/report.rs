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

const BEGIN: &str = "<!-- begin: cargo xtask bench gateway -->";
const END: &str = "<!-- end: cargo xtask bench gateway -->";

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
            Some(bar) => (format!("≤ {}", number(bar.at_most, finding.unit)), bar.verdict(finding)),
            None => ("none".to_owned(), Verdict::NoBar),
        };
        let case = finding.case;
        rows.add(&[case, &finding.measure, &finding.show(), &limit, verdict.as_str()]);
    }
    let findings = || sections.iter().flat_map(|section| &section.findings);
    for bar in bars.iter().filter(|bar| cases.contains(&bar.case.as_str())) {
        if !findings().any(|finding| bar.is_for(finding)) {
            let limit = format!("≤ {}", number(bar.at_most, ""));
            rows.add(&[&bar.case, &bar.measure, "**not measured**", &limit, "–"]);
        }
    }
    let _ = write!(text, "\n{}", rows.finish());
    for section in sections {
        let _ = write!(text, "\n### {}\n\n{}", section.title, section.body);
    }
    text
}

/// Puts the result between the markers of the document; makes the document when it is not there.
pub(crate) fn update(path: &Path, result: &str) -> anyhow::Result<()> {
    let text = if path.exists() {
        std::fs::read_to_string(path)?
    } else {
        format!(
            "# Benchmarks\n\nWritten by `cargo xtask bench gateway --out` between the marks \
             below.\n\n{BEGIN}\n{END}\n"
        )
    };
    std::fs::write(path, replaced(&text, result)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(text: &str, result: &str) -> anyhow::Result<String> {
    let Some((before, rest)) = text.split_once(BEGIN) else {
        bail!("the document lacks the mark {BEGIN}");
    };
    let Some((_, after)) = rest.split_once(END) else {
        bail!("the document lacks the mark {END}");
    };
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", result.trim_end()))
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
