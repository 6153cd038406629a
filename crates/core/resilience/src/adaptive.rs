//! A bound on concurrency that finds itself.
//!
//! A server serves ever more requests at one time without any taking longer, up to some number;
//! beyond it they wait for each other, and more at one time only means longer each. That number,
//! the knee, differs by server, by request and by day. [`AdaptiveLimit`] finds it from latencies
//! alone, by the rules of Envoy's gradient controller:
//!
//! - From time to time the *ideal* latency is measured, with so few requests at one time that none
//!   waits for another.
//! - In between, the limit is multiplied by the *gradient*, the ideal latency (with some tolerance)
//!   over the present one, and gets the square root of itself as headroom to grow into. As long as
//!   nothing waits the limit grows; the longer the waits, the more it falls.
//!
//! Near the knee both balance. What is refused can go elsewhere or come back, and those who are let
//! in are served in time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Epoch, nanos};
use crate::inflight::LimitReached;
use crate::jitter;
use crate::settings::AdaptiveSettings;
use crate::window::Histogram;

/// Bounds of the factor in one step.
const GRADIENT_RANGE: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// A measurement of the ideal latency ends after so long with what it has: it holds load off, and
/// slow requests could make it last for ever.
const MEASUREMENT_MAX: Duration = Duration::from_secs(10);

/// A bound on what is under way that follows latency, shared by threads. Clones share it.
///
/// A mutex is held to change the bound, once per update period by one thread; others go on without
/// waiting for it.
///
/// ```
/// # use std::time::{Duration, Instant};
/// use weft_resilience::{adaptive::AdaptiveLimit, settings::AdaptiveSettings};
///
/// let now = Instant::now();
/// let limit = AdaptiveLimit::new(AdaptiveSettings::DEFAULT, now);
/// let permit = limit.acquire(now).expect("nothing else is under way");
/// // The request was answered:
/// permit.complete(now + Duration::from_millis(20));
/// assert_eq!(limit.count(), 0);
/// ```
#[derive(Debug, Clone)]
pub struct AdaptiveLimit {
    shared: Arc<Shared>,
}

/// The right to be under way, until it is dropped or [completed](Self::complete).
#[derive(Debug)]
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct AdaptivePermit {
    shared: Arc<Shared>,
    started: Instant,
}

#[derive(Debug)]
struct Shared {
    settings: AdaptiveSettings,
    epoch: Epoch,
    limit: AtomicU32,
    count: AtomicU32,
    /// The most under way at one time since the last update.
    peak: AtomicU32,
    /// Latencies since the last update, or since the measurement began.
    latencies: Histogram,
    /// Latencies counted in it.
    samples: AtomicU32,
    /// Latencies of requests begun before this are not counted.
    sampled_from: AtomicU64,
    /// When the bound is to be looked at again.
    update_at: AtomicU64,
    course: Mutex<Course>,
}

/// Where the bound is heading.
#[derive(Debug)]
struct Course {
    /// The bound between measurements, with its fraction.
    limit: f64,
    ideal: Option<Duration>,
    /// When the measurement under way began.
    measuring_since: Option<u64>,
    /// When the next one begins.
    measure_at: u64,
}

// === impl AdaptiveLimit ===

impl AdaptiveLimit {
    /// Nothing known. It begins with a measurement of the ideal latency.
    #[must_use]
    pub fn new(settings: AdaptiveSettings, epoch: Instant) -> Self {
        let limit_min = settings.limit_min.max(1);
        let limit_max = settings.limit_max.max(limit_min);
        let settings = AdaptiveSettings { limit_min, limit_max, ..settings };
        let limit = settings.limit_initial.clamp(limit_min, limit_max);
        let course =
            Course { limit: limit.into(), ideal: None, measuring_since: Some(0), measure_at: 0 };
        let shared = Shared {
            settings,
            epoch: Epoch::new(epoch),
            limit: AtomicU32::new(limit_min),
            count: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            latencies: Histogram::new(),
            samples: AtomicU32::new(0),
            sampled_from: AtomicU64::new(0),
            update_at: AtomicU64::new(0),
            course: Mutex::new(course),
        };
        Self { shared: Arc::new(shared) }
    }

    /// One more, until the permit is dropped or completed.
    ///
    /// # Errors
    ///
    /// [`LimitReached`] when as many are under way as the bound allows at present.
    pub fn acquire(&self, now: Instant) -> Result<AdaptivePermit, LimitReached> {
        let shared = &self.shared;
        shared.update(now);
        let limit = shared.limit.load(Ordering::Relaxed);
        // Relaxed: the counts guard no other memory.
        let order = Ordering::Relaxed;
        let more = |count: u32| (count < limit).then(|| count + 1);
        match shared.count.fetch_update(order, order, more) {
            Ok(before) => {
                shared.peak.fetch_max(before + 1, order);
                Ok(AdaptivePermit { shared: Arc::clone(shared), started: now })
            }
            Err(_) => Err(LimitReached { limit }),
        }
    }

    /// The bound at present.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.shared.limit.load(Ordering::Relaxed)
    }

    /// Number under way.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// The ideal latency as it was measured last.
    #[must_use]
    pub fn ideal(&self) -> Option<Duration> {
        self.shared.course.lock().unwrap_or_else(PoisonError::into_inner).ideal
    }
}

// === impl AdaptivePermit ===

impl AdaptivePermit {
    /// The request was answered, well or badly, or was too late: its latency counts. One that was
    /// called off, or failed before it was sent, is dropped instead.
    pub fn complete(self, now: Instant) {
        let shared = &self.shared;
        if shared.epoch.nanos(self.started) >= shared.sampled_from.load(Ordering::Relaxed) {
            shared.latencies.record(now.saturating_duration_since(self.started));
            shared.samples.fetch_add(1, Ordering::Relaxed);
        }
        shared.update(now);
    }
}

impl Drop for AdaptivePermit {
    fn drop(&mut self) {
        self.shared.count.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Shared ===

impl Shared {
    /// Changes the bound if it is time.
    fn update(&self, now: Instant) {
        let present = self.epoch.nanos(now);
        if present < self.update_at.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut course) = self.course.try_lock() else {
            return; // another thread does it
        };
        let samples = self.samples.load(Ordering::Relaxed);
        let settings = &self.settings;
        if let Some(since) = course.measuring_since {
            let overdue = present.saturating_sub(since) >= nanos(MEASUREMENT_MAX);
            if samples >= settings.ideal_samples.max(1) || overdue {
                let measured = self.latencies.quantile(settings.quantile);
                course.ideal = measured.or(course.ideal);
                self.end_measurement(&mut course, present);
            }
            return;
        }
        if present >= course.measure_at {
            course.measuring_since = Some(present);
            self.limit.store(settings.limit_min, Ordering::Relaxed);
            self.sampled_from.store(present, Ordering::Relaxed);
            self.forget_samples();
            return;
        }
        if samples >= settings.samples_min.max(1) {
            self.step(&mut course);
            self.forget_samples();
        }
        self.postpone(present);
    }

    /// Moves the bound by the gradient.
    fn step(&self, course: &mut Course) {
        let settings = &self.settings;
        let latency = self.latencies.quantile(settings.quantile);
        let (Some(ideal), Some(latency)) = (course.ideal, latency) else { return };
        let tolerated = ideal.as_secs_f64() * (1.0 + settings.tolerance_ratio.max(0.0));
        // Latencies are whole microseconds; none is quicker than one.
        let gradient = tolerated.max(1e-6) / latency.as_secs_f64().max(1e-6);
        let gradient = gradient.clamp(*GRADIENT_RANGE.start(), *GRADIENT_RANGE.end());
        let wanted = gradient * course.limit + course.limit.sqrt();
        let is_used = f64::from(self.peak.load(Ordering::Relaxed)) * 2.0 >= course.limit;
        // Latencies at half the bound or less say nothing of what lies above it.
        if wanted > course.limit && !is_used {
            return;
        }
        let smoothing = if settings.smoothing > 0.0 { settings.smoothing.min(1.0) } else { 1.0 };
        let moved = course.limit + (wanted - course.limit) * smoothing;
        let (min, max) = (settings.limit_min.into(), settings.limit_max.into());
        course.limit = moved.clamp(min, max);
        self.limit.store(course.limit as u32, Ordering::Relaxed);
    }

    fn end_measurement(&self, course: &mut Course, present: u64) {
        let settings = &self.settings;
        let longer = settings.ideal_jitter_ratio.max(0.0) * jitter::chance_of(present, 0);
        let period = jitter::scale(settings.ideal_period, 1.0 + longer);
        course.measuring_since = None;
        course.measure_at = present.saturating_add(nanos(period));
        self.limit.store(course.limit as u32, Ordering::Relaxed);
        self.forget_samples();
        self.postpone(present);
    }

    fn forget_samples(&self) {
        self.latencies.clear();
        self.samples.store(0, Ordering::Relaxed);
        self.peak.store(self.count.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// To the next time that the bound is looked at.
    fn postpone(&self, present: u64) {
        let period = nanos(self.settings.update_period).max(1);
        self.update_at.store(present.saturating_add(period), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
