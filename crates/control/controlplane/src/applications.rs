//! Applications that hold an SVID, each by a stream that is open.
//!
//! A rotation of the root waits for them beside the proxies, and for as long as their stream is open:
//! who has ended it could not be told to renew, and gets another SVID when it comes back. That is
//! also why none of it is written down, since no stream outlives its control plane.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weft_authority::ProxyReport;
use weft_model::id::WorkloadName;
use weft_resilience::settings::RateSettings;

use crate::metrics::Given;
use crate::pace::Pace;

/// Streams of one workload at one time. Each of its processes needs one or two.
const STREAMS_MAX: usize = 128;

/// SVIDs for one workload: a root that takes over means another one for each stream at once.
const PACE: RateSettings =
    RateSettings { average: 1, period: Duration::from_secs(1), burst: STREAMS_MAX as u64 };

/// The open streams. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Applications(Rc<Shared>);

/// A stream. Dropping it says that it has ended.
#[derive(Debug)]
pub(crate) struct Holder {
    applications: Applications,
    workload: WorkloadName,
    stream: u64,
}

/// The workload has as many streams as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{STREAMS_MAX} streams are open for this workload already")]
pub(crate) struct TooManyStreams;

#[derive(Debug)]
struct Shared {
    open: RefCell<Open>,
    pace: Pace<WorkloadName>,
    /// Says that a workload has ended: who is still there has to be looked at again.
    ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Open {
    /// What each stream has last been given.
    by_stream: BTreeMap<u64, Option<ProxyReport>>,
    counts: BTreeMap<WorkloadName, usize>,
    streams: u64,
}

// === impl Applications ===

impl Applications {
    pub(crate) fn new() -> Self {
        let (open, pace, ended) = (RefCell::default(), Pace::new(PACE), watch::Sender::new(()));
        Self(Rc::new(Shared { open, pace, ended }))
    }

    /// A process of a workload opens a stream.
    pub(crate) fn open(&self, workload: &WorkloadName) -> Result<Holder, TooManyStreams> {
        let mut open = self.0.open.borrow_mut();
        let count = open.counts.entry(workload.clone()).or_default();
        if *count >= STREAMS_MAX {
            return Err(TooManyStreams);
        }
        *count += 1;
        open.streams += 1;
        let stream = open.streams;
        open.by_stream.insert(stream, None);
        Ok(Holder { applications: self.clone(), workload: workload.clone(), stream })
    }

    /// A workload has ended.
    pub(crate) fn forget(&self) {
        self.0.ended.send_replace(());
    }

    /// What they hold, as the authority takes it.
    pub(crate) fn reports(&self) -> Vec<ProxyReport> {
        self.0.open.borrow().by_stream.values().flatten().cloned().collect()
    }
}

// === impl Holder ===

impl Holder {
    /// Says whenever a workload has ended, perhaps this one.
    pub(crate) fn ended(&self) -> watch::Receiver<()> {
        self.applications.0.ended.subscribe()
    }

    /// Whether it may be given an SVID now; else how long it has to wait before it asks again.
    pub(crate) fn may_have(&self, now: Instant) -> Result<(), Duration> {
        self.applications.0.pace.take(&self.workload, now)
    }

    /// It is given an SVID, in place of what it had.
    pub(crate) fn issued(&self, report: ProxyReport) -> Given {
        let mut open = self.applications.0.open.borrow_mut();
        let had = open.by_stream.insert(self.stream, Some(report));
        if had.flatten().is_some() { Given::Renewed } else { Given::First }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let mut open = self.applications.0.open.borrow_mut();
        open.by_stream.remove(&self.stream);
        if let Some(count) = open.counts.get_mut(&self.workload) {
            *count -= 1;
            if *count == 0 {
                open.counts.remove(&self.workload);
            }
        }
    }
}
