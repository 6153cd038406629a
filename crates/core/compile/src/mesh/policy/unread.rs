//! Documents of which nothing can be read but that they may protect workloads.
//!
//! They may be about any workload. So a mesh that begins with one closes all of them, until it can be
//! read. One that comes later closes nobody: what was in force before is not forgotten because of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_resources::set::Placed;
use weft_resources::{Pos, Problem, ResourceSet, Severity};

use crate::context::Output;

/// Documents that may protect any workload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread {
    /// The files with one that closes all workloads.
    files: BTreeSet<Arc<str>>,
    /// The first of them.
    first: Option<(Arc<str>, u32)>,
}

// === impl Unread ===

impl Unread {
    /// Those of `set`, in a mesh where those of `before` close all workloads.
    pub(crate) fn new(set: &ResourceSet, before: Option<&Self>, out: &mut Output) -> Self {
        let mut unread = Self::default();
        for placed in set.items().iter().filter(|placed| placed.item.may_protect) {
            let file = &placed.item.file;
            let is_closing = before.is_none_or(|before| before.files.contains(file));
            if is_closing {
                unread.files.insert(Arc::clone(file));
                unread.first.get_or_insert((Arc::clone(file), placed.at.line));
            }
            let problems = out.draft_problems.entry(Arc::as_ptr(&placed.item)).or_default();
            problems.push(problem(placed, is_closing));
        }
        unread
    }

    /// Why all workloads are closed, if they are.
    pub(crate) fn closed(&self) -> Option<Refusal> {
        let (file, line) = self.first.as_ref()?;
        let detail = format!("closed: {file}:{line} cannot be read, and may protect any workload");
        Some(Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() })
    }
}

fn problem(placed: &Placed, is_closing: bool) -> Problem {
    let message = if is_closing {
        "all workloads refuse all calls until it can be read: it may protect any of them"
    } else {
        "it may protect workloads, and is not in force; what was in force before stays"
    };
    Problem::new(Severity::Error, &placed.item.file, Pos::FIRST, "", message)
}
