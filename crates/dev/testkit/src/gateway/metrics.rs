//! Metrics of a gateway, in Prometheus' text form.

use super::Gateway;
use crate::wait;

// === impl Gateway ===

impl Gateway {
    /// The sum of all series of that name whose labels include these; 0 when there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sum(&self.admin("/metrics").text(), name, labels)
    }

    /// Waits until a metric satisfies `condition`.
    ///
    /// # Panics
    ///
    /// When it does not within the deadline.
    pub fn wait_metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        condition: impl Fn(f64) -> bool,
    ) -> f64 {
        wait::until(&format!("{name} {labels:?}"), || {
            let value = self.metric(name, labels);
            condition(value).then_some(value)
        })
    }

    /// The generation of the configuration that is in force.
    pub fn generation(&self) -> f64 {
        self.metric("weftway_config_generation", &[])
    }

    /// Waits until a generation after this one is in force.
    ///
    /// # Panics
    ///
    /// When none is within the deadline.
    pub fn wait_generation_after(&self, before: f64) {
        self.wait_metric("weftway_config_generation", &[], |value| value > before);
    }
}

pub(super) fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            let (series, value) = rest.rsplit_once(' ')?;
            let has =
                |(label, value): &(&str, &str)| series.contains(&format!("{label}=\"{value}\""));
            labels.iter().all(has).then(|| value.parse::<f64>().ok()).flatten()
        })
        .sum()
}
