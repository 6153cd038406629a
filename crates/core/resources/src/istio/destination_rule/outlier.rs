//! Which endpoints get no calls for a while.

use std::time::Duration;

use crate::istio::value::{duration, spanned};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// Which endpoints get no calls for a while. What is `None` is as it is by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutlierDetection {
    /// So many answers 5xx in a row; 5 by default, 0 switches it off.
    pub consecutive_5xx_errors: Option<Spanned<u32>>,
    /// So many answers 502, 503 or 504 in a row; off by default, as with 0.
    pub consecutive_gateway_errors: Option<Spanned<u32>>,
    /// So many failures in a row to get any answer; 5 by default, 0 switches it off. Only with
    /// `splits_local_errors`.
    pub consecutive_local_failures: Option<Spanned<u32>>,
    /// Whether failures to get any answer are counted apart, instead of as 5xx.
    pub splits_local_errors: Option<Spanned<bool>>,
    /// How often endpoints are looked at; 10 s by default.
    pub interval: Option<Spanned<Duration>>,
    /// How long an endpoint gets no calls, times how often that was; 30 s by default.
    pub base_ejection_time: Option<Spanned<Duration>>,
    /// The largest share of endpoints that get no calls, 1 to 100; 10 by default.
    pub max_ejection_percent: Option<Spanned<u32>>,
    /// With a smaller share left, all get calls; 0, the default, switches that off.
    pub min_health_percent: Option<Spanned<u32>>,
    /// Statuses that count instead of 5xx; 5xx when empty.
    pub http_error_codes: Vec<Spanned<u16>>,
}

// === impl OutlierDetection ===

impl OutlierDetection {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let errors = |name| spanned(reader, name, |field| int(field, u32::MAX));
        let percent = |name| spanned(reader, name, |field| int(field, 100));
        let old = reader.take("consecutiveErrors").and_then(|field| {
            let fix = "write `consecutiveGatewayErrors` or `consecutive5xxErrors`".into();
            let message = "`consecutiveErrors` is the old name of `consecutiveGatewayErrors`";
            field.warn(message, Some(fix));
            Some(field.spanned(int(&field, i32::MAX as u32)?))
        });
        let gateway_errors = errors("consecutiveGatewayErrors");
        let detection = Self {
            consecutive_5xx_errors: errors("consecutive5xxErrors"),
            consecutive_gateway_errors: gateway_errors.or(old.filter(|errors| **errors > 0)),
            consecutive_local_failures: errors("consecutiveLocalOriginFailures"),
            splits_local_errors: spanned(reader, "splitExternalLocalOriginErrors", |field| {
                field.bool()
            }),
            interval: spanned(reader, "interval", duration),
            base_ejection_time: spanned(reader, "baseEjectionTime", duration),
            max_ejection_percent: percent("maxEjectionPercent").filter(|percent| **percent > 0),
            min_health_percent: percent("minHealthPercent"),
            http_error_codes: reader.list("outlierDetectionHttpErrorCodes", |item| {
                Some(item.spanned(item.int(100, 599)? as u16))
            }),
        };
        let counts_local =
            detection.consecutive_local_failures.as_ref().is_some_and(|failures| **failures > 0);
        let splits = detection.splits_local_errors.as_ref().is_some_and(|splits| **splits);
        if counts_local && !splits {
            let fix = "write splitExternalLocalOriginErrors: true".into();
            let message = "`consecutiveLocalOriginFailures` needs these failures to be counted \
                           apart";
            reader.error(message, Some(fix));
        }
        Some(detection)
    }
}

fn int(field: &Field<'_, '_>, max: u32) -> Option<u32> {
    field.int(0, max.into()).map(|value| value as u32)
}
