//! What follows from an attempt.

use std::time::{Duration, Instant};

use weft_message::{Known, grpc, peer};
use weft_model::outcome::Fault;
use weft_policy::buffering::{self, ExpressionFacts};
use weft_policy::retry::{self, AttemptFacts, AttemptOutcome};
use weft_resilience::deadline::Deadline;
use weft_resilience::pushback::Pushback;
use weft_resilience::retry::Backoff;
use weft_resilience::settings::BackoffSettings;
use weft_upstream::Lease;

use super::{Answered, Attempts, Failed, Judgement, Lost};
use crate::exchange::{Exchange, FallbackPlan};
use crate::fallback::Left;
use crate::request::{Scope, Stop};
use crate::{deadline, spent};

/// After this many stale connections in a row the next one is made new.
pub(super) const STALE_MAX: u32 = 2;

/// An upstream that wants to be left alone for longer is: its clients are not kept waiting for that.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// Where an expression asks for another try and no policy says when.
const NO_BACKOFF: BackoffSettings = BackoffSettings::traefik(Duration::ZERO);

/// Whether and why a failure is not tried again.
enum Verdict {
    /// No policy asks for it.
    Unasked,
    /// Again, after so long.
    Again(Duration),
    /// A policy asks for it, and this forbids it.
    Denied(String),
}

// === impl Attempts ===

impl Attempts {
    /// A response head has come: is it the answer?
    pub(super) fn judge_answer(
        &mut self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        answered: Answered,
    ) -> Result<Answered, Judgement> {
        self.counted += 1;
        let status = x.rsp.status();
        if falls_back(scope, x, |plan| retry::contains(&plan.statuses, status)) {
            answered.discard(scope);
            return Err(Judgement::FallBack(Left::answered(status)));
        }
        // Only a proxy of the mesh is believed that it is so.
        let is_spent = answered.lease.peer().is_some() && x.rsp.fields.contains(peer::RETRIED);
        if self.retry.is_none() && x.decided.retry_when.is_none() && !is_spent {
            return Ok(answered);
        }
        let grpc_status = grpc::status(&x.rsp.fields);
        let outcome = AttemptOutcome::Answered { status, grpc_status };
        match self.verdict(scope, x, outcome, is_spent) {
            Verdict::Again(wait) => {
                self.note_retry(&answered.lease);
                answered.discard(scope);
                Err(Judgement::Again(wait))
            }
            Verdict::Denied(why) => {
                x.record.detail = Some(why.into());
                spent::note(scope);
                Ok(answered)
            }
            Verdict::Unasked => {
                if is_spent {
                    spent::note(scope);
                }
                Ok(answered)
            }
        }
    }

    /// No response head has come.
    pub(super) fn judge_failure(
        &mut self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        lost: Lost,
    ) -> Judgement {
        let now = scope.conn.worker.now();
        let Lost { lease, failed } = lost;
        let Failed { reason, detail, sent, stale, everywhere } = failed;
        x.record.unsent = !sent;
        let ours = reason.fault() != Fault::Upstream;
        let outcome = AttemptOutcome::Failed { reason, request_bytes_written: sent };
        // Where a retry policy cares about failures like this, it counts this try like any other.
        let free = self.stale < STALE_MAX && !self.policy_covers(x, outcome);
        let safe = if sent { x.is_replayable() } else { x.body.is_kept() };
        if stale && !ours && free && safe {
            self.stale += 1;
            self.backend.cells().replays.inc();
            return Judgement::Again(Duration::ZERO);
        }
        deadline::note_failed(x, &lease, now, reason);
        if ours {
            return Judgement::Stop(Stop::because(reason, detail));
        }
        self.counted += 1;
        // What went into a connection that was closed already has reached no application, and adds
        // nothing to the load of one.
        let verdict = match stale && safe && self.wants_retry(now, x, outcome) {
            true => Verdict::Again(Duration::ZERO),
            false => self.verdict(scope, x, outcome, false),
        };
        if let Verdict::Again(wait) = verdict {
            self.note_retry(&lease);
            return Judgement::Again(wait);
        }
        // A request that reached nobody goes to another endpoint once, policy or not.
        self.tried.note(&lease);
        let others = !everywhere && self.backend.has_others(&self.tried);
        let in_time = !x.decided.deadline.expired(now);
        if !sent && x.body.is_kept() && others && in_time && !self.replayed {
            self.replayed = true;
            self.backend.cells().replays.inc();
            return Judgement::Again(Duration::ZERO);
        }
        let mut place =
            format!("{} at {}: {detail}", self.backend.settings().id, lease.endpoint().addr());
        if let Verdict::Denied(why) = verdict {
            place = format!("{place}; {why}");
            spent::note(scope);
        }
        self.stopped(scope, x, Stop::because(reason, place))
    }

    /// There is no more to try here: is there a second target?
    pub(super) fn stopped(&self, scope: &Scope<'_>, x: &mut Exchange, stop: Stop) -> Judgement {
        match &stop {
            Stop::Refuse(reason, _) if reason.fault() == Fault::Upstream => {
                if falls_back(scope, x, |_| true) {
                    return Judgement::FallBack(Left::failed(*reason));
                }
                if self.has_spent() {
                    spent::note(scope);
                }
            }
            Stop::Refuse(..) | Stop::Answer(_) | Stop::Cut(..) => {}
        }
        Judgement::Stop(stop)
    }

    /// Whether a policy asks for another try, and whether it may be made; takes it from the budget.
    fn verdict(
        &mut self,
        scope: &Scope<'_>,
        x: &Exchange,
        outcome: AttemptOutcome,
        is_spent: bool,
    ) -> Verdict {
        let now = scope.conn.worker.now();
        let by_expression = x.decided.retry_when.as_ref().is_some_and(|expression| {
            x.body.is_kept()
                && buffering::may_retry(expression, expression_facts(self.counted, outcome))
        });
        let is_answer = matches!(outcome, AttemptOutcome::Answered { .. });
        if !by_expression && !self.policy_covers(x, outcome) {
            return Verdict::Unasked;
        }
        let denied = |why: &str| Verdict::Denied(format!("not sent again: {why}"));
        let crosses = self.backend.settings().calling.retries_across_hops;
        if is_spent && !crosses {
            return denied("retries were spent further down");
        }
        if is_answer && x.rsp.fields.contains(Known::XEnvoyOverloaded) {
            return denied("the upstream has more to do than it can");
        }
        if is_answer && self.before > 0 && !crosses {
            return denied("it is a retry of another hop itself");
        }
        if !by_expression && !self.wants_retry(now, x, outcome) {
            return denied("the policy allows no more tries");
        }
        let said = match is_answer {
            true => Pushback::of(|name| x.rsp.fields.get(name)),
            false => Pushback::Unsaid,
        };
        let Some(wait) = self.wait(scope, x, said) else {
            return denied("there is no time for it, or the upstream wants none so soon");
        };
        match self.call.try_retry(now) {
            Ok(()) => Verdict::Again(wait),
            Err(refused) => denied(&format!("{refused} ({})", self.backend.settings().id)),
        }
    }

    /// How long to wait before another try: as the policy says, after as long as the upstream says.
    /// `None` when it would come too late for that.
    fn wait(&mut self, scope: &Scope<'_>, x: &Exchange, said: Pushback) -> Option<Duration> {
        let worker = &scope.conn.worker;
        let (now, policy) = (worker.now(), self.retry.as_deref());
        let limit = policy.and_then(|policy| policy.timeout);
        let by_policy = Deadline::after_some(x.record.started.unwrap_or(now), limit);
        let settings = policy.map_or(NO_BACKOFF, |policy| policy.backoff);
        let retry_after = match said {
            Pushback::Unsaid => None,
            Pushback::Wait(wait) if wait <= RETRY_AFTER_MAX => Some(wait),
            Pushback::Wait(_) | Pushback::Never => return None,
        };
        let backoff = self.backoff.get_or_insert_with(|| Backoff::new(settings));
        let deadline = x.decided.deadline.earliest(by_policy);
        backoff.next_within(now, retry_after, deadline, &worker.rng)
    }

    /// Whether the retry policy asks for another try now.
    fn wants_retry(&self, now: Instant, x: &Exchange, outcome: AttemptOutcome) -> bool {
        let facts = AttemptFacts {
            attempts: self.counted,
            elapsed: x.record.started.map_or(Duration::ZERO, |started| now - started),
            outcome,
            body_is_kept: x.body.is_kept(),
        };
        let method = x.req.method();
        self.retry.as_ref().is_some_and(|policy| retry::may_retry(policy, method, facts))
    }

    /// Whether the retry policy would ever send again after such a failure.
    fn policy_covers(&self, x: &Exchange, outcome: AttemptOutcome) -> bool {
        let facts =
            AttemptFacts { attempts: 0, elapsed: Duration::ZERO, outcome, body_is_kept: true };
        self.retry.as_ref().is_some_and(|policy| {
            policy.attempts > 1 && retry::may_retry(policy, x.req.method(), facts)
        })
    }

    fn note_retry(&mut self, lease: &Lease) {
        self.retries += 1;
        self.backend.cells().retries.inc();
        let stays = self.retry.as_ref().is_some_and(|policy| policy.same_endpoint);
        if !stays {
            self.tried.note(lease);
        }
    }
}

/// Whether the request goes on with a second target, of those that are for this. It is the last of
/// them, which is the innermost: any inside of it go with the first.
fn falls_back(
    scope: &Scope<'_>,
    x: &mut Exchange,
    is_for_this: impl Fn(&FallbackPlan) -> bool,
) -> bool {
    let fallbacks = &mut x.decided.fallbacks;
    let Some(index) = fallbacks.iter().rposition(|fallback| is_for_this(fallback.plan())) else {
        return false;
    };
    let is_possible = x.body.is_kept() && !x.decided.deadline.expired(scope.conn.worker.now());
    if is_possible {
        fallbacks.truncate(index + 1);
    }
    is_possible
}

/// An attempt in the terms of a buffering step's expression.
fn expression_facts(attempts: u32, outcome: AttemptOutcome) -> ExpressionFacts {
    let (response_code, is_network_error) = match outcome {
        AttemptOutcome::Answered { status, .. } => (status, false),
        AttemptOutcome::Failed { reason, .. } => (reason.status(), true),
    };
    ExpressionFacts { attempts, response_code, is_network_error }
}
