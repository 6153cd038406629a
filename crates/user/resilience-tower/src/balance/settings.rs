//! How endpoints are chosen and set aside.

use weft_resilience::settings::{
    BiasSettings, LoadReportSettings, LocalitySettings, OutlierSettings, PickerKind,
    SlowStartSettings,
};

/// How endpoints are chosen and set aside.
///
/// ```
/// use std::time::Duration;
/// use resilience_tower::balance::BalanceSettings;
/// use resilience_tower::settings::{OutlierSettings, PickerKind, SlowStartSettings};
///
/// let settings = BalanceSettings::DEFAULT
///     .picker(PickerKind::PeakEwma)
///     .outlier(OutlierSettings::LINKERD_CONSECUTIVE)
///     .slow_start(SlowStartSettings::linear(Duration::from_secs(30)));
/// assert_eq!(settings.picker, PickerKind::PeakEwma);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BalanceSettings {
    /// How one is chosen. By default the less busy of two. Kinds that hash need
    /// [hints](super::Balance::hinted_by); [`PickerKind::WeightedByLoad`] needs
    /// [reports](crate::balance#reports-of-load), and is a round robin until there are some.
    pub picker: PickerKind,
    /// What ejects an endpoint. By default five failures in a row, for 30 s and longer each time,
    /// at most a tenth of the endpoints (but one of a few) at one time.
    pub outlier: OutlierSettings,
    /// What a failure costs an endpoint with [`PickerKind::PeakEwma`], or who fails quickly would
    /// look quick. By default it counts as 5 s.
    pub bias: BiasSettings,
    /// How the share of a new endpoint grows. By default it is whole at once.
    pub slow_start: Option<SlowStartSettings>,
    /// How [tiers and localities](super::Place) share the calls. By default a tier takes all while
    /// 72 % of its endpoints are usable, and localities of a tier do not matter.
    pub locality: LocalitySettings,
    /// Whether a further attempt leaves the tiers and localities of those before it, if others can
    /// take it; not only their endpoints. By default it does not.
    pub elsewhere: bool,
}

// === impl BalanceSettings ===

impl BalanceSettings {
    /// As the fields say.
    pub const DEFAULT: Self = Self {
        picker: PickerKind::LeastRequest,
        outlier: OutlierSettings::ISTIO,
        bias: BiasSettings::DEFAULT,
        slow_start: None,
        locality: LocalitySettings::DEFAULT,
        elsewhere: false,
    };

    /// With another [`picker`](Self#structfield.picker).
    #[must_use]
    pub const fn picker(self, picker: PickerKind) -> Self {
        Self { picker, ..self }
    }

    /// With another [`outlier`](Self#structfield.outlier) detection.
    #[must_use]
    pub const fn outlier(self, outlier: OutlierSettings) -> Self {
        Self { outlier, ..self }
    }

    /// With another [`bias`](Self#structfield.bias).
    #[must_use]
    pub const fn bias(self, bias: BiasSettings) -> Self {
        Self { bias, ..self }
    }

    /// With a [`slow_start`](Self#structfield.slow_start).
    #[must_use]
    pub const fn slow_start(self, slow_start: SlowStartSettings) -> Self {
        Self { slow_start: Some(slow_start), ..self }
    }

    /// With another [`locality`](Self#structfield.locality).
    #[must_use]
    pub const fn locality(self, locality: LocalitySettings) -> Self {
        Self { locality, ..self }
    }

    /// With another [`elsewhere`](Self#structfield.elsewhere).
    #[must_use]
    pub const fn elsewhere(self, elsewhere: bool) -> Self {
        Self { elsewhere, ..self }
    }

    /// How reports of load count, if they do.
    pub(super) const fn reports(&self) -> Option<LoadReportSettings> {
        match self.picker {
            PickerKind::WeightedByLoad(reports) => Some(reports),
            _ => None,
        }
    }
}

impl Default for BalanceSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}
