//! Second targets: a request goes to one as it was when the first was preferred to it.

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;
use weft_message::{Known, RequestHead};
use weft_model::outcome::Reason;
use weft_model::policy::{RetryExpression, RetryPolicy};
use weft_model::route::Affinity;
use weft_policy::step::ResponseFacts;
use weft_policy::sticky::Mark;
use weft_resilience::hedge::Hedge;

use crate::exchange::{Exchange, FallbackPlan};
use crate::passed::Place;
use crate::record;
use crate::request::Scope;

/// A second target, and what the request was before anything was done for the first. What steps,
/// choices and attempts may change is here; what has happened for good (bytes that were read, time
/// that has passed, tokens that were taken) is not.
#[derive(Debug)]
pub(crate) struct Fallback {
    plan: Rc<FallbackPlan>,
    req: RequestHead,
    user: Option<Arc<str>>,
    facts: ResponseFacts,
    passed: Place,
    retry: Option<Rc<RetryPolicy>>,
    retry_when: Option<Rc<RetryExpression>>,
    hedge: Option<Arc<Hedge>>,
    marks: SmallVec<[(Rc<Affinity>, Mark); 1]>,
    // Of these, the first so many were there.
    holds: usize,
    mirrors: usize,
    auth_cookies: usize,
}

/// How the first target has ended: what breakers on the way to it are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) reason: Reason,
    pub(crate) status: u16,
}

// === impl Fallback ===

impl Fallback {
    /// Remembers what the request is now.
    pub(crate) fn new(x: &Exchange, plan: Rc<FallbackPlan>) -> Self {
        let decided = &x.decided;
        Self {
            plan,
            req: x.req.clone(),
            user: x.record.user.clone(),
            facts: decided.facts.clone(),
            passed: decided.passed.place(),
            retry: decided.retry.clone(),
            retry_when: decided.retry_when.clone(),
            hedge: decided.hedge.clone(),
            marks: decided.marks.clone(),
            holds: decided.holds.len(),
            mirrors: decided.mirrors.len(),
            auth_cookies: decided.auth_cookies.len(),
        }
    }

    /// What it is and when it is used.
    pub(crate) fn plan(&self) -> &FallbackPlan {
        &self.plan
    }

    /// Makes the request what it was, and lets go what it held on the way to the target that it
    /// leaves.
    pub(crate) fn restore(
        self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        left: Left,
    ) -> Rc<FallbackPlan> {
        let Self { plan, req, user, facts, passed, retry, retry_when, hedge, marks, .. } = self;
        let Left { reason, status } = left;
        record::release(x, self.holds, scope.conn.worker.now(), reason, status);
        x.req = req;
        if !x.facts.expect_continue {
            // It was told to go on.
            x.req.fields.remove(Known::Expect);
        }
        x.record.user = user;
        let decided = &mut x.decided;
        decided.facts = facts;
        decided.passed.go_back(passed);
        decided.retry = retry;
        decided.retry_when = retry_when;
        decided.hedge = hedge;
        decided.marks = marks;
        decided.mirrors.truncate(self.mirrors);
        decided.auth_cookies.truncate(self.auth_cookies);
        plan
    }
}

// === impl Left ===

impl Left {
    /// Without an answer.
    pub(crate) fn failed(reason: Reason) -> Self {
        Self { reason, status: reason.status() }
    }

    /// With an answer that the second target is there for.
    pub(crate) fn answered(status: u16) -> Self {
        Self { reason: Reason::Upstream, status }
    }
}
