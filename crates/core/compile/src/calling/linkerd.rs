//! Linkerd's annotations of Services, and the retry budget of its ServiceProfile.

use weft_resilience::settings::{
    BiasSettings, BudgetSettings, EjectionSettings, OutlierSettings, PickerKind, RecentBudget,
    StatusSet, SuccessRateTrigger,
};
use weft_resources::linkerd::annotations::{BalancerAnnotations, FailureAccrual, LoadBiaser};
use weft_resources::linkerd::profile::RetryBudget;

use super::layers::{From, Layers, Part};
use crate::context::Output;

/// What refuses load for the moment, which failure accrual by success rate counts as failed.
const LIMITED: StatusSet = StatusSet::EMPTY.with(429);

/// Puts what the annotations of a Service say on top.
pub(crate) fn balancer<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    annotations: &BalancerAnnotations,
    out: &mut Output,
) {
    let BalancerAnnotations { failure_accrual, load_biaser } = annotations;
    if failure_accrual.is_none() && load_biaser.is_none() {
        return;
    }
    // Linkerd knows no other way to choose.
    layers.decide(Part::Balancing, from, out).picker = PickerKind::PeakEwma;
    if let Some(accrual) = failure_accrual {
        let from =
            from.field("metadata.annotations.balancer.linkerd.io/failure-accrual", accrual.at);
        layers.decide(Part::Outlier, from, out).outlier = Some(self::accrual(accrual));
        if accrual.honors_retry_after {
            let message = "the time that an endpoint is set aside does not follow its `retry-after`; \
                           it counts as load for that long, with `penalize-failures`";
            from.report().warn(out, message);
        }
    }
    if let Some(biaser) = load_biaser {
        let field = "metadata.annotations.balancer.alpha.linkerd.io/penalize-failures";
        let LoadBiaser { penalty, retry_after_max, at } = *biaser;
        layers.decide(Part::Bias, from.field(field, at), out).bias =
            Some(BiasSettings { penalty, retry_after_max });
    }
}

/// Puts the budget of a ServiceProfile on top.
pub(crate) fn budget<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    budget: &RetryBudget,
    out: &mut Output,
) {
    let RetryBudget { retry_ratio, retries_min_per_sec, ttl } = *budget;
    let settings = RecentBudget {
        ratio: retry_ratio,
        interval: ttl,
        retries_min: retries_min_per_sec,
        retries_min_interval: RecentBudget::DEFAULT.retries_min_interval,
    };
    layers.decide(Part::Budget, from, out).retry_budget = Some(BudgetSettings::Recent(settings));
}

fn accrual(accrual: &FailureAccrual) -> OutlierSettings {
    let success_rate = accrual.success_rate.filter(|rate| rate.threshold_ratio > 0.0);
    OutlierSettings {
        consecutive: Some(accrual.failures_max).filter(|failures| *failures > 0),
        success_rate: success_rate.map(|rate| SuccessRateTrigger {
            ratio_min: rate.threshold_ratio,
            window: rate.window,
            requests_min: rate.requests_min,
            errors: LIMITED,
        }),
        ejection: EjectionSettings {
            base: accrual.penalty_min,
            max: accrual.penalty_max,
            jitter_ratio: accrual.jitter_ratio,
            ..EjectionSettings::LINKERD
        },
        ..OutlierSettings::LINKERD_CONSECUTIVE
    }
}
