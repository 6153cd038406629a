//! The rules in plain lists, and whether the machine agrees with them.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::super::{EndpointHealth, Outlier, Signal};
use crate::settings::{
    EjectionSettings, Growth, OutlierSettings, StatusSet, SuccessRateTrigger, WindowTrigger,
};
use crate::virtual_clock::{secs, start};

/// One endpoint behind an open gate. Times are in seconds.
struct Model {
    settings: OutlierSettings,
    /// Since the last ejection or probation.
    seen: Vec<Seen>,
    ejections: u32,
    usable_at: u64,
    on_probation: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    at: u64,
    /// Whether the answer was fine, if there was one.
    answered: Option<bool>,
    gateway_failed: bool,
    /// Whether a connection failed that is counted apart.
    local_failed: bool,
    /// Whether the answer is a success for the rate.
    rated: bool,
}

impl Model {
    fn new(settings: OutlierSettings) -> Self {
        Self { settings, seen: Vec::new(), ejections: 0, usable_at: 0, on_probation: false }
    }

    /// How long the signal ejects for.
    fn play(&mut self, now: u64, signal: Signal) -> Option<u64> {
        if now < self.usable_at {
            return None;
        }
        let seen = self.see(now, signal);
        if self.on_probation {
            let failed = seen.local_failed || seen.answered.map(|_| !seen.rated)?;
            if failed {
                return self.eject(now);
            }
            *self = Self { usable_at: self.usable_at, ..Self::new(self.settings) };
            return None;
        }
        self.seen.push(seen);
        if self.fires(now, seen) { self.eject(now) } else { None }
    }

    fn see(&self, at: u64, signal: Signal) -> Seen {
        let Self { settings, .. } = self;
        let down = signal == Signal::ConnectionFailure;
        let status = match signal {
            Signal::Status(status) => status,
            _ => 0,
        };
        let answered = match signal {
            Signal::Success => Some(true),
            Signal::Failure => Some(false),
            Signal::Connected => None,
            Signal::ConnectionFailure => (!settings.split_local).then_some(false),
            Signal::Status(status) => Some(!settings.errors.contains(status)),
        };
        let failed = answered == Some(false);
        Seen {
            at,
            answered,
            gateway_failed: failed && (down || (502..=504).contains(&status)),
            local_failed: down && settings.split_local,
            rated: !(failed || status == 429 && settings.success_rate.is_some()),
        }
    }

    fn fires(&self, now: u64, last: Seen) -> bool {
        let settings = &self.settings;
        let answers = || self.seen.iter().filter(|seen| seen.answered.is_some());
        let is_recent = |window: Duration, at: u64| {
            let slot = window.as_secs() / 10;
            now / slot - at / slot < 10
        };
        let is_run =
            |length: usize, max: Option<u32>| max.is_some_and(|max| length >= max as usize);
        let failed = |seen: &&Seen| seen.answered == Some(false);
        if failed(&&last) {
            let run = answers().rev().take_while(failed).count();
            let gateway = answers().rev().take_while(|seen| seen.gateway_failed).count();
            let in_window = settings.in_window.is_some_and(|trigger| {
                let recent =
                    answers().filter(failed).filter(|seen| is_recent(trigger.window, seen.at));
                recent.count() >= trigger.failures as usize
            });
            if is_run(run, settings.consecutive)
                || is_run(gateway, settings.consecutive_gateway)
                || in_window
            {
                return true;
            }
        }
        let local = self.seen.iter().rev().take_while(|seen| seen.local_failed).count();
        let low = |trigger: SuccessRateTrigger| {
            let recent = || answers().filter(|seen| is_recent(trigger.window, seen.at));
            let (all, fine) = (recent().count(), recent().filter(|seen| seen.rated).count());
            all >= trigger.requests_min as usize && (fine as f64) < all as f64 * trigger.ratio_min
        };
        last.local_failed && is_run(local, settings.consecutive_local)
            || last.answered.is_some() && settings.success_rate.is_some_and(low)
    }

    fn eject(&mut self, now: u64) -> Option<u64> {
        let ejection = self.settings.ejection;
        let good = now - self.usable_at;
        let forgiven = good.checked_div(ejection.forgiven_after.as_secs()).unwrap_or(0);
        let before = self.ejections.saturating_sub(forgiven as u32);
        let base = ejection.base.as_secs();
        let grown = match ejection.growth {
            Growth::Linear => base * u64::from(before + 1),
            Growth::Double => base << before.min(30),
        };
        let duration = grown.min(ejection.max.as_secs());
        (self.ejections, self.usable_at) = (before + 1, now + duration);
        self.on_probation = ejection.probation;
        self.seen.clear();
        Some(duration)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever is set and whatever happens, the machine does as the plain lists say.
    #[test]
    fn machine_agrees_with_the_model(
        limits in proptest::collection::vec(proptest::option::of(1u32..5), 5),
        flags: [bool; 4],
        signals in proptest::collection::vec((0u64..12, 0usize..8), 1..150),
    ) {
        let [split_local, double, probation, forgives] = flags;
        let settings = OutlierSettings {
            consecutive: limits[0],
            consecutive_gateway: limits[1],
            consecutive_local: limits[2],
            in_window: limits[3].map(|failures| WindowTrigger { failures, window: secs(20) }),
            success_rate: limits[4].map(|requests_min| SuccessRateTrigger {
                requests_min,
                ratio_min: 0.6,
                window: secs(10),
                errors: StatusSet::EMPTY.with(429),
            }),
            split_local,
            ejection: EjectionSettings {
                base: secs(10),
                max: secs(45),
                growth: if double { Growth::Double } else { Growth::Linear },
                jitter_ratio: 0.0,
                forgiven_after: if forgives { secs(15) } else { secs(0) },
                probation,
            },
            ejected_ratio_max: 1.0,
            ..OutlierSettings::NONE
        };
        let kinds = [
            Signal::Status(200), Signal::Status(500), Signal::Status(503), Signal::Status(429),
            Signal::ConnectionFailure, Signal::Connected, Signal::Failure, Signal::Success,
        ];
        let epoch = start();
        let (outlier, endpoint) = (Outlier::new(settings, 1), EndpointHealth::new(epoch));
        let (mut model, mut now) = (Model::new(settings), 0);
        for (wait, kind) in signals {
            now += wait;
            let at = epoch + secs(now);
            prop_assert_eq!(endpoint.is_usable(at), now >= model.usable_at);
            let ejection = outlier.record(&endpoint, at, kinds[kind]);
            let duration = ejection.map(|ejection| ejection.duration.as_secs());
            prop_assert_eq!(duration, model.play(now, kinds[kind]), "at {} {:?}", now, kinds[kind]);
            prop_assert!(ejection.is_none_or(|ejection| ejection.count == model.ejections));
        }
    }
}
