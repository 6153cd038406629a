//! What time it is, for certificates and for TLS alike.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

/// What time it is, for certificates and for TLS alike. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn TimeProvider>);

// === impl Clock ===

impl Clock {
    /// The system's.
    pub fn wall() -> Self {
        Self(Arc::new(DefaultTimeProvider))
    }

    /// Another one, which has to go on by itself.
    pub fn new(provider: Arc<dyn TimeProvider>) -> Self {
        Self(provider)
    }

    /// The present, to the second. A clock that cannot be read stands at 1970, when no certificate
    /// is valid.
    pub fn now(&self) -> SystemTime {
        let secs = self.0.current_time().map_or(0, |now| now.as_secs());
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    /// The same, as rustls takes it.
    pub fn provider(&self) -> Arc<dyn TimeProvider> {
        self.0.clone()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
