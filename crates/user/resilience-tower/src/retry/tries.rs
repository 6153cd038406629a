//! The attempts of one call.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;
use weft_resilience::deadline::Deadline;
use weft_resilience::retry::{Active, Attempts, Backoff};

use super::Retry;
use crate::classify::{Class, Classify, Verdict};
use crate::clock;
use crate::error::Stop;
use crate::observe::Event;
use crate::replay::Replay;

pin_project! {
    /// Attempts, one after the other, until one is not worth another.
    pub(super) struct Tries<S, Req, C, R>
    where
        S: Service<Req>,
        R: Replay<Req>,
    {
        policy: Retry<C, R>,
        service: S,
        kept: Result<R::Kept, Stop>,
        run: Run,
        #[pin]
        state: State<S::Future, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, Req> {
        Ready { req: Option<Req> },
        Calling { #[pin] call: F },
        Waiting { #[pin] sleep: Sleep, req: Option<Req> },
    }
}

/// How a call with all its attempts ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) attempts: u32,
    /// Why the last attempt was the last, if it failed.
    pub(super) stop: Option<Stop>,
}

/// Where a call stands.
#[derive(Debug)]
struct Run {
    attempts: Attempts,
    backoff: Backoff,
    deadline: Deadline,
    /// The call, in the eyes of the budget.
    _call: Active,
    /// The retry under way, if it is one.
    retry: Option<Active>,
}

// === impl Tries ===

impl<S: Service<Req>, Req, C, R: Replay<Req>> Tries<S, Req, C, R> {
    pub(super) fn new(policy: Retry<C, R>, service: S, req: Req) -> Self {
        let (mut req, kept) = policy.replay.keep(req);
        if kept.is_ok() {
            policy.replay.number(&mut req, 1);
        }
        let run = Run::new(&policy, clock::now());
        Self { policy, service, kept, run, state: State::Ready { req: Some(req) } }
    }
}

impl<S, Req, C, R> Future for Tries<S, Req, C, R>
where
    S: Service<Req>,
    C: Classify<Result<S::Response, S::Error>>,
    R: Replay<Req>,
{
    type Output = (Result<S::Response, S::Error>, End);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Ready { req } => match ready!(this.service.poll_ready(cx)) {
                    Ok(()) => {
                        let req = req.take().expect("it is taken once, as the state changes");
                        let number = this.run.attempts.begun();
                        this.policy.observed.event(&Event::Attempt { number });
                        State::Calling { call: this.service.call(req) }
                    }
                    // A service that fails here must not be used again.
                    Err(error) => {
                        let stop = Some(Stop::NotRetryable);
                        return Poll::Ready((Err(error), this.run.end(this.policy, stop)));
                    }
                },
                StateProj::Calling { call } => {
                    let mut outcome = ready!(call.poll(cx));
                    let verdict = this.policy.classifier.classify(&outcome);
                    match this.run.next(this.policy, this.kept, &verdict) {
                        Ok((req, wait)) => {
                            State::Waiting { sleep: clock::sleep(wait), req: Some(req) }
                        }
                        Err(stop) => {
                            if stop.is_some_and(|stop| was_retried(stop, this.policy)) {
                                this.policy.classifier.mark_final(&mut outcome);
                            }
                            return Poll::Ready((outcome, this.run.end(this.policy, stop)));
                        }
                    }
                }
                StateProj::Waiting { sleep, req } => {
                    ready!(sleep.poll(cx));
                    State::Ready { req: req.take() }
                }
            };
            this.state.set(next);
        }
    }
}

// === impl Run ===

impl Run {
    /// Begins the first attempt.
    fn new<C, R>(policy: &Retry<C, R>, now: Instant) -> Self {
        let settings = &policy.shared.settings;
        let mut attempts = Attempts::new(settings.attempts);
        let _first = attempts.begin();
        Self {
            attempts,
            backoff: Backoff::new(settings.backoff),
            deadline: Deadline::after_some(now, settings.within),
            _call: policy.shared.budget.request(now),
            retry: None,
        }
    }

    /// The request of the next attempt and the wait before it; or why there is none, which is
    /// `None` for a success.
    fn next<C, R: Replay<Req>, Req>(
        &mut self,
        policy: &Retry<C, R>,
        kept: &Result<R::Kept, Stop>,
        verdict: &Verdict,
    ) -> Result<(Req, Duration), Option<Stop>> {
        // What has ended no longer counts as under way.
        self.retry = None;
        if verdict.class == Class::Success && !verdict.retryable {
            return Err(None);
        }
        let (req, wait) = self.plan(policy, kept, verdict)?;
        let number = self.attempts.begun();
        policy.observed.event(&Event::Retry { number, wait });
        Ok((req, wait))
    }

    /// Asks everyone who may object; the budget last, so that nothing is taken from it in vain.
    fn plan<C, R: Replay<Req>, Req>(
        &mut self,
        policy: &Retry<C, R>,
        kept: &Result<R::Kept, Stop>,
        verdict: &Verdict,
    ) -> Result<(Req, Duration), Stop> {
        if !verdict.retryable {
            return Err(Stop::NotRetryable);
        }
        let kept = kept.as_ref().map_err(|stop| *stop)?;
        if self.attempts.left() == 0 {
            return Err(Stop::Attempts);
        }
        let shared = &policy.shared;
        let longest = shared.settings.retry_after_max.min(Backoff::RETRY_AFTER_MAX);
        if verdict.retry_after.is_some_and(|asked| asked > longest) {
            return Err(Stop::RetryAfter);
        }
        let (now, rng) = (clock::now(), shared.chance.rng());
        let wait = self.backoff.next_within(now, verdict.retry_after, self.deadline, &rng);
        let wait = wait.ok_or(Stop::Deadline)?;
        let mut req = policy.replay.again(kept).ok_or(Stop::NotRepeatable)?;
        self.retry = Some(shared.budget.try_retry(now).ok_or(Stop::Budget)?);
        let _one_is_left = self.attempts.begin();
        policy.replay.number(&mut req, self.attempts.begun());
        Ok((req, wait))
    }

    fn end<C, R>(&self, policy: &Retry<C, R>, stop: Option<Stop>) -> End {
        let attempts = self.attempts.begun();
        if let Some(stop) = stop {
            policy.observed.event(&Event::GaveUp { attempts, stop });
        }
        End { attempts, stop }
    }
}

/// Whether a failure was retried, or would have been but for a bound: then nobody farther up should
/// retry it.
fn was_retried<C, R>(stop: Stop, policy: &Retry<C, R>) -> bool {
    let bounded = match stop {
        Stop::Attempts | Stop::Budget | Stop::RetryAfter | Stop::Deadline => true,
        Stop::NotRetryable | Stop::NotRepeatable | Stop::RetryOfRetry => false,
    };
    bounded && policy.shared.settings.attempts > 1
}
