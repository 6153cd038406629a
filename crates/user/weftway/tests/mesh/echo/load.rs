//! Many calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Process;
use crate::mesh::Mesh;
use crate::role;

use super::asked::Reply;
use super::call::Call;

/// Before the replies, in what a client prints.
pub(super) const MARK: &str = "REPLIES ";

/// Calls, one after the other or so many at one time, over and over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    calls: Vec<Call>,
    /// How many calls in all.
    count: Option<usize>,
    /// Until there is such a file.
    until: Option<PathBuf>,
    pub(super) at_once: usize,
    /// No faster than this.
    per_second: Option<u32>,
}

/// A load that is under way.
pub(crate) struct UnderWay {
    stop: PathBuf,
    process: Process,
}

/// How many replies were what.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By status; 0 is none at all.
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// By the application that has answered.
    pub(crate) names: BTreeMap<String, usize>,
    /// What proxies have said instead, for who reads it.
    said: BTreeSet<String>,
}

// === impl Load ===

impl Load {
    /// One call.
    pub(crate) fn once(call: &Call) -> Self {
        Self::each(std::slice::from_ref(call))
    }

    /// Each of these once, one after the other.
    pub(crate) fn each(calls: &[Call]) -> Self {
        let count = Some(calls.len());
        Self { calls: calls.to_vec(), count, until: None, at_once: 1, per_second: None }
    }

    /// One call so many times.
    pub(crate) fn times(call: &Call, count: usize) -> Self {
        Self { count: Some(count), ..Self::once(call) }
    }

    /// So many at one time.
    pub(crate) fn at_once(self, at_once: usize) -> Self {
        Self { at_once, ..self }
    }

    /// No more than this in a second, whether or not those before are answered, as long as 200 at
    /// most are not.
    pub(crate) fn per_second(self, rate: u32) -> Self {
        Self { per_second: Some(rate), at_once: 200, ..self }
    }

    /// The command that makes the calls in a workload.
    pub(super) fn argv(&self, from: &str) -> Vec<String> {
        let argv = role::command("ask", &serde_json::to_string(self).unwrap());
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Mesh::beside(from, &argv)
    }

    pub(super) fn is_over(&self, made: usize) -> bool {
        self.count.is_some_and(|count| made >= count)
            || self.until.as_deref().is_some_and(Path::exists)
    }

    /// When the call with that number is made, after the first one.
    pub(super) fn due(&self, number: usize) -> Duration {
        let rate = self.per_second.map_or(f64::INFINITY, f64::from);
        Duration::from_secs_f64(number as f64 / rate)
    }

    pub(super) fn call(&self, number: usize) -> &Call {
        &self.calls[number % self.calls.len()]
    }
}

impl Mesh {
    /// Calls from a workload, so many at one time, until [`UnderWay::stop`].
    pub(crate) fn flow(&self, from: &str, call: &Call, at_once: usize) -> UnderWay {
        let stop = self.machine.folder().join("stop");
        let _ = std::fs::remove_file(&stop);
        let until = Some(stop.clone());
        let load = Load { count: None, until, at_once, ..Load::once(call) };
        let argv = load.argv(from);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        UnderWay { process: self.machine.spawn("flow", &argv), stop }
    }
}

// === impl UnderWay ===

impl UnderWay {
    /// Ends it; what became of its calls.
    pub(crate) fn stop(mut self) -> Tally {
        std::fs::write(&self.stop, "").unwrap();
        assert_eq!(self.process.code(), Some(0), "{}", self.process.printed());
        Tally::of(&replies(&self.process.printed()))
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn of(replies: &[Reply]) -> Self {
        let mut tally = Self::default();
        for reply in replies {
            *tally.statuses.entry(reply.status).or_default() += 1;
            match reply.name() {
                Some(name) => *tally.names.entry(name).or_default() += 1,
                None => _ = tally.said.insert(reply.body.clone()),
            }
        }
        tally
    }

    pub(crate) fn total(&self) -> usize {
        self.statuses.values().sum()
    }

    pub(crate) fn status(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// All that were not answered with 200.
    pub(crate) fn failed(&self) -> usize {
        self.total() - self.status(200)
    }

    /// The part of all that this application has answered, from 0 to 1.
    pub(crate) fn share(&self, name: &str) -> f64 {
        self.names.get(name).copied().unwrap_or(0) as f64 / self.total() as f64
    }

    /// Requires that applications have answered these parts, with the tolerance of the upstream
    /// conformance suite, and nobody else anything.
    #[track_caller]
    pub(crate) fn check_shares(&self, expected: &[(&str, f64)]) {
        const TOLERANCE: f64 = 0.05;
        for (name, share) in expected {
            let found = self.share(name);
            assert!(
                (found - share).abs() <= TOLERANCE,
                "{name} has {found}, not {share}: {self:?}"
            );
        }
        let names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
        assert!(self.names.keys().all(|name| names.contains(&&**name)), "{self:?}");
        assert_eq!(self.status(200), self.total(), "{self:?}");
    }
}

/// What a client has printed.
pub(super) fn replies(printed: &str) -> Vec<Reply> {
    let (_, text) = printed.split_once(MARK).unwrap_or_else(|| panic!("{printed}"));
    let line = text.lines().next().unwrap();
    serde_json::from_str(line).unwrap()
}
