//! Where an endpoint is.

use std::borrow::Cow;

/// Where an endpoint is, and how much of the calls it is to get there.
///
/// Endpoints of the lowest **tier** get all calls while it is able to carry them; what it lacks
/// goes to the next one, and comes back with it. No outlier detection is needed for that, nor does
/// it come too late: a tier loses its share with each endpoint that is set aside.
///
/// **Localities** of a tier share by the sums of their weights if the
/// [settings](super::BalanceSettings::locality) are `weighted`, whatever becomes of single
/// endpoints in them.
///
/// ```
/// use resilience_tower::Endpoints;
/// use resilience_tower::balance::{BalanceSettings, Place};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let endpoints = Endpoints::new(BalanceSettings::DEFAULT);
/// endpoints.insert("10.0.1.1:80", "near"); // tier 0
/// endpoints.insert_at("10.9.0.1:80", "far", Place::DEFAULT.tier(1));
/// let ask = async || endpoints.call(async |name| Ok::<_, &str>(name)).await;
/// for _ in 0..10 {
///     assert_eq!(ask().await, Ok("near"));
/// }
/// endpoints.remove(&"10.0.1.1:80");
/// assert_eq!(ask().await, Ok("far"));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// Share of the calls relative to others; 1 by default. What is not above 0 is never picked.
    pub weight: f64,
    /// 0 by default, the first.
    pub tier: u32,
    /// A name, such as that of a zone; empty by default.
    pub locality: Cow<'static, str>,
}

// === impl Place ===

impl Place {
    /// As the fields say.
    pub const DEFAULT: Self = Self { weight: 1.0, tier: 0, locality: Cow::Borrowed("") };

    /// With another [`weight`](Self#structfield.weight).
    #[must_use]
    pub fn weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// With another [`tier`](Self#structfield.tier).
    #[must_use]
    pub fn tier(self, tier: u32) -> Self {
        Self { tier, ..self }
    }

    /// With another [`locality`](Self#structfield.locality).
    #[must_use]
    pub fn locality(self, locality: impl Into<Cow<'static, str>>) -> Self {
        Self { locality: locality.into(), ..self }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests;
