//! What policies tell whoever keeps metrics or logs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Refused, Stop};

/// Hears what a policy does.
///
/// Give one to a policy by its `observed_by`; without one nothing is told. A closure will do. Calls
/// come from within a request: count, log, or send to a channel, and return. To tell policies
/// apart, give each an observer that knows its name.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use resilience_tower::{Retry, observe::{Event, Observer}, retry::RetrySettings};
///
/// #[derive(Default)]
/// struct Metrics { attempts: AtomicU64, refused: AtomicU64 }
///
/// impl Observer for Metrics {
///     fn event(&self, event: &Event<'_>) {
///         match event {
///             Event::Attempt { .. } => self.attempts.fetch_add(1, Ordering::Relaxed),
///             Event::Refused { .. } => self.refused.fetch_add(1, Ordering::Relaxed),
///             _ => 0,
///         };
///     }
/// }
///
/// let metrics = Arc::new(Metrics::default());
/// let retry = Retry::new(RetrySettings::DEFAULT).observed_by(metrics.clone());
/// # drop(retry);
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something has happened. By default nothing follows from it.
    fn event(&self, event: &Event<'_>) {
        let _ = event;
    }
}

/// Something that a policy did.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// [`Retry`](crate::Retry) begins an attempt. Number 1 is a call's first, so attempts with it
    /// are the calls, and the others the retries.
    Attempt {
        /// From 1.
        number: u32,
    },
    /// [`Retry`](crate::Retry) will make attempt `number` after a wait.
    Retry {
        /// From 2.
        number: u32,
        /// Back-off, and what the upstream has asked for.
        wait: Duration,
    },
    /// [`Retry`](crate::Retry) returns a failure.
    GaveUp {
        /// Attempts made.
        attempts: u32,
        /// Why there is no further one.
        stop: Stop,
    },
    /// A call was refused.
    Refused {
        /// By what, and the details.
        by: Refused,
    },
    /// [`Breaker`](crate::Breaker) has changed its state.
    Breaker {
        /// The new one.
        state: crate::breaker::State,
    },
    /// [`Endpoints`](crate::Endpoints) have set one aside.
    Ejected {
        /// Its key.
        endpoint: &'a dyn fmt::Debug,
        /// For so long.
        duration: Duration,
        /// Ejections of it in a row.
        count: u32,
    },
    /// [`Hedge`](crate::Hedge) sends a call a second time while the first still runs.
    Hedged {
        /// The first had taken so long.
        after: Duration,
    },
    /// [`Hedge`](crate::Hedge): the second was answered first.
    HedgeWon,
    /// [`RateLimit`](crate::RateLimit) lets a call wait for its turn.
    Waited {
        /// For so long.
        wait: Duration,
    },
    /// [`ConcurrencyLimit`](crate::ConcurrencyLimit) has a new bound.
    LimitChanged {
        /// Calls at one time.
        limit: u32,
    },
}

/// The observer of a policy, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Observed(Option<Arc<dyn Observer>>);

// === impl Observer ===

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

impl<O: Observer> Observer for Arc<O> {
    fn event(&self, event: &Event<'_>) {
        O::event(self, event);
    }
}

// === impl Event ===

impl Event<'_> {
    /// The kind, as a label of metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Attempt { .. } => "attempt",
            Self::Retry { .. } => "retry",
            Self::GaveUp { .. } => "gave_up",
            Self::Refused { .. } => "refused",
            Self::Breaker { .. } => "breaker",
            Self::Ejected { .. } => "ejected",
            Self::Hedged { .. } => "hedged",
            Self::HedgeWon => "hedge_won",
            Self::Waited { .. } => "waited",
            Self::LimitChanged { .. } => "limit_changed",
        }
    }
}

// === impl Observed ===

impl Observed {
    pub(crate) fn by(observer: impl Observer) -> Self {
        Self(Some(Arc::new(observer)))
    }

    pub(crate) fn event(&self, event: &Event<'_>) {
        if let Some(observer) = &self.0 {
            observer.event(event);
        }
    }

    /// Tells of a refusal, and gives it back for the caller.
    pub(crate) fn refused(&self, by: Refused) -> Refused {
        self.event(&Event::Refused { by });
        by
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observed" } else { "Unobserved" })
    }
}
