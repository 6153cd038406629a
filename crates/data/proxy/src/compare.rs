//! Answers of mirrors, compared with the one that the client was given.
//!
//! Of the main answer only the status, some fields and, if wanted, a digest of the body are kept. A
//! mirror's is read up to a bound, and no more than some at a time.

use std::cell::Cell;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};
use weft_message::{Known, RequestHead, ResponseHead};
use weft_model::policy::AnswerDiff;

use crate::exchange::Exchange;
use crate::request::Scope;
use crate::select;
use crate::worker::Worker;

#[cfg(test)]
mod tests;

/// What is read of a mirror's answer to be compared.
pub(crate) const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Comparisons under way on a worker: they hold an answer each.
const AT_A_TIME_MAX: u32 = 16;

/// Fields that are compared.
const FIELDS: [Known; 3] = [Known::ContentType, Known::ContentEncoding, Known::Location];

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Compared {
    /// Nothing differs.
    Same,
    /// The statuses differ.
    Status,
    /// A field differs.
    Fields,
    /// The bodies differ.
    Body,
    /// The mirror gave no answer that could be compared.
    Failed,
    /// Too many were compared at that moment.
    Skipped,
}

/// Outcomes with their words in metrics and logs.
pub(crate) const OUTCOMES: [(Compared, &str); 6] = [
    (Compared::Same, "same"),
    (Compared::Status, "status"),
    (Compared::Fields, "headers"),
    (Compared::Body, "body"),
    (Compared::Failed, "failed"),
    (Compared::Skipped, "skipped"),
];

/// What is known of one answer.
#[derive(Debug)]
pub(crate) struct Seen {
    status: u16,
    grpc_status: Option<Box<[u8]>>,
    fields: [Option<Box<[u8]>>; FIELDS.len()],
    /// Of the body, if any mirror's is compared.
    digest: Option<Sha256>,
    /// Whether all of the body was seen.
    is_whole: bool,
    /// The share of requests for which it was drawn, in parts per million.
    share: u32,
}

/// One of the comparisons under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Rc<Cell<u32>>);

// === impl Compared ===

impl Compared {
    pub(crate) fn label(self) -> &'static str {
        OUTCOMES[self as usize].1
    }
}

// === impl Seen ===

impl Seen {
    /// An answer that so many parts per million are drawn of, for whom its body counts or not.
    fn new(head: &ResponseHead, share: u32, with_body: bool) -> Self {
        let value = |name| head.fields.get(name).map(Into::into);
        Self {
            status: head.status(),
            grpc_status: value(Known::GrpcStatus),
            fields: FIELDS.map(value),
            digest: with_body.then(Sha256::new),
            is_whole: false,
            share,
        }
    }

    /// Takes in a part of the body.
    pub(crate) fn note(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
    }

    /// The body is complete.
    pub(crate) fn note_end(&mut self) {
        self.is_whole = true;
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether a mirror of which that is compared is, this time.
    pub(crate) fn is_drawn(&self, scope: &Scope<'_>, how: &AnswerDiff) -> bool {
        let part = u64::from(how.parts_per_million) * 1_000_000 / u64::from(self.share.max(1));
        part > 0 && select::draw(scope, u32::try_from(part).unwrap_or(u32::MAX))
    }

    /// Compares with a mirror's answer, of whose body `None` is known where it does not count.
    pub(crate) fn compare(
        &self,
        how: &AnswerDiff,
        head: &ResponseHead,
        body: Option<&[u8]>,
    ) -> Compared {
        let other = Self::new(head, 0, false);
        let differs = |body| match &self.digest {
            Some(digest) => self.is_whole && digest.clone().finalize() != Sha256::digest(body),
            None => false,
        };
        if how.status && (self.status, &self.grpc_status) != (other.status, &other.grpc_status) {
            Compared::Status
        } else if how.headers && self.fields != other.fields {
            Compared::Fields
        } else if how.body && body.is_some_and(differs) {
            Compared::Body
        } else {
            Compared::Same
        }
    }
}

// === impl Turn ===

impl Turn {
    /// A turn, if there is one.
    pub(crate) fn take(worker: &Worker) -> Option<Self> {
        let turns = &worker.comparing;
        (turns.get() < AT_A_TIME_MAX).then(|| {
            turns.set(turns.get() + 1);
            Self(turns.clone())
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

// === functions ===

/// Begins to look at the answer whose head is in `x.rsp`, as it came, if a mirror's is to be
/// compared with it.
pub(crate) fn begin(scope: &Scope<'_>, x: &mut Exchange) {
    let compared = || x.decided.mirrors.iter().filter_map(|mirror| mirror.compared);
    let Some(share) = compared().map(|how| how.parts_per_million).max() else { return };
    if share > 0 && select::draw(scope, share) {
        let with_body = compared().any(|how| how.body);
        x.decided.seen = Some(Box::new(Seen::new(&x.rsp, share, with_body)));
    }
}

/// Notes what came of a comparison.
pub(crate) fn record(
    worker: &Worker,
    head: &RequestHead,
    backend: &str,
    seen: &Seen,
    (outcome, status): (Compared, u16),
) {
    worker.metrics.compared(outcome);
    if let Some(log) = worker.log.as_ref().filter(|_| outcome != Compared::Same) {
        log.comparison(head, backend, outcome.label(), (seen.status(), status));
    }
}
