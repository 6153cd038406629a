//! What the numbers have to reach.

use anyhow::Context;
use serde::Deserialize;

use crate::report::Finding;

/// An upper limit of one number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bar {
    /// Name of the case.
    pub(crate) case: String,
    /// Name of the number within its case.
    pub(crate) measure: String,
    pub(crate) at_most: f64,
}

/// How a number compares with its bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    NoBar,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bars {
    bar: Vec<Bar>,
}

/// The bars of `bars.toml`.
pub(crate) fn load() -> anyhow::Result<Vec<Bar>> {
    let bars: Bars =
        toml::from_str(include_str!("../bars.toml")).context("cannot read bars.toml")?;
    Ok(bars.bar)
}

// === impl Bar ===

impl Bar {
    pub(crate) fn is_for(&self, finding: &Finding) -> bool {
        self.case == finding.case && self.measure == finding.measure
    }

    pub(crate) fn verdict(&self, finding: &Finding) -> Verdict {
        if finding.value <= self.at_most { Verdict::Met } else { Verdict::Missed }
    }
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::NoBar => "–",
        }
    }
}

#[cfg(test)]
mod tests;
