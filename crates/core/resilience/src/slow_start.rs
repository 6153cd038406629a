//! A new endpoint's share grows with its age, so that cold caches and lazy set-up do not meet full
//! load.

use std::time::Duration;

use crate::settings::SlowStartSettings;

/// The factor for the weight of an endpoint of this age: from `ratio_min` to 1.
///
/// `age` counts from when the endpoint became usable: joined, or healthy again.
///
/// ```
/// use std::time::Duration;
/// use weft_resilience::{settings::SlowStartSettings, slow_start};
///
/// let settings = SlowStartSettings::linear(Duration::from_secs(30));
/// assert_eq!(slow_start::factor(&settings, Duration::from_secs(0)), 0.1);
/// assert_eq!(slow_start::factor(&settings, Duration::from_secs(15)), 0.5);
/// assert_eq!(slow_start::factor(&settings, Duration::from_secs(60)), 1.0);
/// ```
#[must_use]
pub fn factor(settings: &SlowStartSettings, age: Duration) -> f64 {
    if age >= settings.window {
        return 1.0;
    }
    let grown = age.as_secs_f64() / settings.window.as_secs_f64();
    // Most use a linear growth, and a power costs more than all the rest of a pick.
    let grown = match settings.aggression {
        aggression if aggression > 0.0 && aggression != 1.0 => grown.powf(1.0 / aggression),
        _ => grown,
    };
    // `max` and `min` drop a ratio that is not a number.
    grown.max(settings.ratio_min).min(1.0)
}

#[cfg(test)]
mod tests;
