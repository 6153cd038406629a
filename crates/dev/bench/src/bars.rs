//! What the numbers have to reach.

use anyhow::Context;
use serde::Deserialize;

use crate::report::{Finding, number};

/// A limit of one number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Bar {
    /// Name of the case.
    pub(crate) case: String,
    /// Name of the number within its case.
    pub(crate) measure: String,
    #[serde(flatten)]
    pub(crate) limit: Limit,
}

/// On which side of it the number has to be.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
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
        let is_met = match self.limit {
            Limit::AtMost(limit) => finding.value <= limit,
            Limit::AtLeast(limit) => finding.value >= limit,
        };
        if is_met { Verdict::Met } else { Verdict::Missed }
    }
}

// === impl Limit ===

impl Limit {
    /// For people, in the unit of the number.
    pub(crate) fn show(self, unit: &str) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", number(limit, unit)),
            Self::AtLeast(limit) => format!("≥ {}", number(limit, unit)),
        }
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
