//! Settings of the state machines, with the defaults of those that users know.
//!
//! They are plain values: begin with a constant and write `..` for the rest
//! (`HedgeSettings { budget_ratio: 0.05, ..HedgeSettings::DEFAULT }`), so that a new field does not
//! change what is written today.

pub use weft_resilience::settings::{
    ActiveBudget, AdaptiveSettings, BackoffSettings, BiasSettings, BreakerExpression,
    BreakerSettings, BudgetSettings, EjectionSettings, Growth, HedgeSettings, LoadReportSettings,
    LocalitySettings, MaglevSettings, Measure, Operator, OutlierSettings, PickerKind, RateSettings,
    RecentBudget, RingHashSettings, SlowStartSettings, StatusSet, SuccessRateTrigger,
    WindowTrigger,
};
