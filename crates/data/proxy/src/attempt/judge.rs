//! What follows from an attempt.

use std::time::Duration;

use weft_model::outcome::{Fault, Reason};
use weft_model::policy::RetryPolicy;
use weft_policy::buffering::{self, ExpressionFacts};
use weft_policy::retry::{self, AttemptFacts, AttemptOutcome};
use weft_resilience::settings::BackoffSettings;
use weft_upstream::{Lease, Report};

use super::{Answered, Attempts, Failed, Judgement};
use crate::exchange::Exchange;
use crate::request::{Scope, Stop};

/// After this many stale connections in a row the next one is made new.
pub(super) const STALE_MAX: u32 = 2;

// === impl Attempts ===

impl Attempts {
    /// A response head has come: is it the answer?
    pub(super) fn judge_answer(
        &mut self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        answered: Answered,
    ) -> Result<Result<Answered, Judgement>, Stop> {
        self.counted += 1;
        let status = x.rsp.status();
        let falls_back = x.decided.fallback.as_ref().is_some_and(|fallback| {
            retry::contains(&fallback.statuses, status) && x.body.is_kept()
        });
        if falls_back {
            answered.discard(scope, status);
            self.fall_back(scope, x, Stop::Refuse(Reason::UpstreamReset, None))?;
            return Ok(Err(Judgement::Again { wait: false }));
        }
        let outcome = AttemptOutcome::Answered(status);
        if !self.wants_retry(scope, x, outcome) {
            return Ok(Ok(answered));
        }
        if !self.backend.try_retry(scope.conn.worker.now()) {
            x.record.detail = Some(self.budget_spent().into());
            return Ok(Ok(answered));
        }
        self.note_retry(&answered.lease);
        answered.discard(scope, status);
        Ok(Err(Judgement::Again { wait: true }))
    }

    /// No response head has come.
    pub(super) fn judge_failure(
        &mut self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        lease: &Lease,
        failed: Failed,
    ) -> Judgement {
        let now = scope.conn.worker.now();
        let Failed { reason, detail, sent, stale } = failed;
        x.record.unsent = !sent;
        let ours = reason.fault() != Fault::Upstream;
        let outcome = AttemptOutcome::Failed { reason, request_bytes_written: sent };
        // Where a retry policy cares about failures like this, it counts this try like any other.
        let free = self.stale < STALE_MAX && !self.policy_covers(x, outcome);
        let safe = if sent { x.is_replayable() } else { x.body.is_kept() };
        if stale && !ours && free && safe {
            self.stale += 1;
            self.backend.cells().replays.inc();
            return Judgement::Again { wait: false };
        }
        lease.report(now, if ours { Report::Unknown } else { Report::Failed });
        if ours {
            return Judgement::Stop(Stop::because(reason, detail));
        }
        self.counted += 1;
        let wanted = self.wants_retry(scope, x, outcome);
        // What went into a connection that was closed already has reached no application, and adds
        // nothing to the load of one.
        if wanted && ((stale && safe) || self.backend.try_retry(now)) {
            self.note_retry(lease);
            return Judgement::Again { wait: true };
        }
        // A request that reached nobody goes to another endpoint once, policy or not.
        self.tried.note(lease);
        let others = self.backend.has_others(&self.tried);
        if !sent && x.body.is_kept() && others && !self.replayed {
            self.replayed = true;
            self.backend.cells().replays.inc();
            return Judgement::Again { wait: false };
        }
        let mut place =
            format!("{} at {}: {detail}", self.backend.settings().id, lease.endpoint().addr());
        if wanted {
            place = format!("{place}; {}", self.budget_spent());
        }
        Judgement::Stop(Stop::because(reason, place))
    }

    /// Whether a policy asks for another try.
    fn wants_retry(&self, scope: &Scope<'_>, x: &Exchange, outcome: AttemptOutcome) -> bool {
        if let Some(expression) = &x.decided.retry_when
            && x.body.is_kept()
            && buffering::may_retry(expression, expression_facts(self.counted, outcome))
        {
            return true;
        }
        let Some(policy) = &self.retry else { return false };
        let now = scope.conn.worker.now();
        let facts = AttemptFacts {
            attempts: self.counted,
            elapsed: x.record.started.map_or(Duration::ZERO, |started| now - started),
            outcome,
            body_is_kept: x.body.is_kept(),
        };
        retry::may_retry(policy, x.req.method(), facts)
    }

    /// Whether the retry policy would ever send again after such a failure.
    fn policy_covers(&self, x: &Exchange, outcome: AttemptOutcome) -> bool {
        let facts =
            AttemptFacts { attempts: 0, elapsed: Duration::ZERO, outcome, body_is_kept: true };
        self.retry.as_ref().is_some_and(|policy| {
            policy.attempts > 1 && retry::may_retry(policy, x.req.method(), facts)
        })
    }

    /// For the log: why what a policy asks for is not done.
    fn budget_spent(&self) -> String {
        format!("not sent again: the retry budget of {} is spent", self.backend.settings().id)
    }

    fn note_retry(&mut self, lease: &Lease) {
        self.tried.note(lease);
        self.backend.cells().retries.inc();
    }
}

/// An attempt in the terms of a buffering step's expression.
fn expression_facts(attempts: u32, outcome: AttemptOutcome) -> ExpressionFacts {
    let (response_code, is_network_error) = match outcome {
        AttemptOutcome::Answered(status) => (status, false),
        AttemptOutcome::Failed { reason, .. } => (reason.status(), true),
    };
    ExpressionFacts { attempts, response_code, is_network_error }
}

/// The waits of a retry policy.
pub(super) fn backoff_settings(policy: &RetryPolicy) -> BackoffSettings {
    BackoffSettings {
        interval_min: policy.interval_min,
        ..BackoffSettings::traefik(policy.initial_interval)
    }
}
