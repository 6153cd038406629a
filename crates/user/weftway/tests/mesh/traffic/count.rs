//! What an application counts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

/// Reasons that are shown.
const REASONS_MAX: usize = 5;

/// Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Rc<RefCell<BTreeMap<&'static str, Kind>>>);

#[derive(Debug, Default)]
struct Kind {
    /// Answers: to a request, to a line, to a message of a stream.
    calls: u64,
    connections: u64,
    /// Connections that were ended in order by the other side, before another call began.
    ended: u64,
    failed: u64,
    reasons: Vec<String>,
}

// === impl Counts ===

impl Counts {
    pub(crate) fn answered(&self, kind: &'static str) {
        self.0.borrow_mut().entry(kind).or_default().calls += 1;
    }

    pub(crate) fn connected(&self, kind: &'static str) {
        self.0.borrow_mut().entry(kind).or_default().connections += 1;
    }

    pub(crate) fn ended(&self, kind: &'static str) {
        self.0.borrow_mut().entry(kind).or_default().ended += 1;
    }

    pub(crate) fn failed(&self, kind: &'static str, reason: String) {
        let mut kinds = self.0.borrow_mut();
        let kind = kinds.entry(kind).or_default();
        kind.failed += 1;
        if kind.reasons.len() < REASONS_MAX {
            kind.reasons.push(reason);
        }
    }

    pub(crate) fn report(&self) -> Value {
        let kinds = self.0.borrow();
        let kind = |kind: &Kind| {
            let Kind { calls, connections, ended, failed, reasons } = kind;
            json!({
                "calls": calls,
                "connections": connections,
                "ended": ended,
                "failed": failed,
                "reasons": reasons,
            })
        };
        kinds.iter().map(|(name, counted)| ((*name).to_owned(), kind(counted))).collect()
    }
}
