//! Shutdown as one primitive: signal, wait for guards, deadline, force.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::time;

/// Where a process (or one part of it) is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// Normal work.
    #[default]
    Serving,
    /// No new work; what runs may finish.
    Draining,
    /// What still runs is cut off.
    Forced,
}

/// The side that decides.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    guards: mpsc::Receiver<()>,
}

/// The side that obeys. While a clone lives, the drain is not complete: keep one in whatever has
/// to finish.
#[derive(Debug, Clone)]
pub struct Watch {
    phase: watch::Receiver<Phase>,
    _guard: mpsc::Sender<()>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything finished by itself.
    InTime,
    /// Something had to be cut off.
    Forced,
}

/// How long after [`Phase::Forced`] the rest may take to fall over; longer would be a bug, and the
/// process should end all the same.
const FORCE_GRACE: Duration = Duration::from_secs(2);

/// A connected pair. Further watches are clones of the first.
pub fn drain() -> (Drain, Watch) {
    let (phase, receiver) = watch::channel(Phase::Serving);
    let (guard, guards) = mpsc::channel(1);
    (Drain { phase, guards }, Watch { phase: receiver, _guard: guard })
}

// === impl Drain ===

impl Drain {
    /// Drains: tells every watch, waits until all are dropped, at most `deadline` or until `force`
    /// ends, then forces.
    ///
    /// Not cancel safe: dropping it leaves the phase where it is.
    pub async fn run(mut self, deadline: Duration, force: impl Future<Output = ()>) -> Drained {
        self.phase.send_replace(Phase::Draining);
        tokio::select! {
            _ = self.guards.recv() => return Drained::InTime,
            () = time::sleep(deadline) => {}
            () = force => {}
        }
        self.phase.send_replace(Phase::Forced);
        // Nothing more can be done about what outlives the grace.
        let _ = time::timeout(FORCE_GRACE, self.guards.recv()).await;
        Drained::Forced
    }
}

// === impl Watch ===

impl Watch {
    /// The present phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the phase is at least `phase`. If the deciding side is gone, that counts as
    /// [`Phase::Forced`].
    ///
    /// Cancel safe.
    pub async fn reached(&mut self, phase: Phase) -> Phase {
        match self.phase.wait_for(|now| *now >= phase).await {
            Ok(now) => *now,
            Err(_) => Phase::Forced,
        }
    }
}

#[cfg(test)]
mod tests;
