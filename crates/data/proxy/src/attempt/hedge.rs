//! A second try beside the first, for a request that takes longer than most do.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use weft_http::Leg;
use weft_resilience::hedge::Hedge;
use weft_runtime::time;
use weft_upstream::{Ask, Dialled, Lease};

use super::drive::{Head, Sent, Try, dial, start};
use super::{Answered, Failed, Lost, send};
use crate::deadline;
use crate::exchange::Exchange;
use crate::request::Scope;

/// A connection that is looked for, with the lease that it is for.
type Dialling = Pin<Box<dyn Future<Output = (Lease, Result<Dialled, Failed>)>>>;

/// How far the second try has got.
enum Second {
    /// The first one still has time.
    Waiting(Pin<Box<dyn Future<Output = ()>>>),
    /// A connection is looked for.
    Dialling(Dialling),
    /// It is sent.
    Sent(Box<Sent>),
    /// There is none, or no more.
    None,
}

/// Two tries of one request.
struct Race<'a> {
    first: Option<Sent>,
    /// What became of the first, if it failed.
    lost: Option<Box<Lost>>,
    second: Second,
    hedge: &'a Hedge,
    how: Try<'a>,
}

/// Who has ended the race.
enum Ended {
    First(Result<Head, Failed>),
    Second(Head),
    Nobody,
}

/// What says when a second try is sent; `None` for a request that may not be sent twice, or whose
/// body is not there whole.
pub(super) fn of(x: &Exchange, lease: &Lease) -> Option<Arc<Hedge>> {
    let hedge = x.decided.hedge.as_ref().or_else(|| lease.backend().hedge())?;
    (x.stays_replayable() && x.facts.upgrade.is_none()).then(|| hedge.clone())
}

/// Waits for the response head; if it takes longer than usual and the budget allows, asks another
/// endpoint as well. The first answer is the answer, and the other try is given up.
pub(super) async fn race(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    first: Sent,
    hedge: &Hedge,
    how: Try<'_>,
) -> Result<Answered, Box<Lost>> {
    let began = first.lease.started();
    let second = match hedge.request(began) {
        Some(delay) => Second::Waiting(Box::pin(time::sleep(delay))),
        None => Second::None,
    };
    let mut race = Race { first: Some(first), lost: None, second, hedge, how };
    let ended = poll_fn(|cx| race.poll(cx, scope, x, down)).await;
    let result = race.end(scope, x, ended);
    if result.is_ok() {
        let now = scope.conn.worker.now();
        // Of the one that was given up it is known that it takes this long at least.
        hedge.observe(now, now.saturating_duration_since(began));
    }
    result
}

// === impl Race ===

impl Race<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
    ) -> Poll<Ended> {
        if let Some(first) = &mut self.first
            && let Poll::Ready(result) = first.poll(cx, scope, x, down)
        {
            let is_alone = matches!(self.second, Second::Waiting(_) | Second::None);
            match (result, is_alone) {
                (Err(failed), false) => {
                    let first = self.first.take().expect("it was just polled");
                    self.lost = first.end(scope, x, Err(failed)).err();
                }
                (result, _) => return Poll::Ready(Ended::First(result)),
            }
        }
        loop {
            match &mut self.second {
                Second::None if self.first.is_none() => return Poll::Ready(Ended::Nobody),
                Second::None => return Poll::Pending,
                Second::Waiting(delay) => {
                    std::task::ready!(delay.as_mut().poll(cx));
                    self.second = self.ask(scope, x);
                }
                Second::Dialling(dialling) => {
                    let (lease, dialled) = std::task::ready!(dialling.as_mut().poll(cx));
                    self.second = self.send(scope, x, lease, dialled);
                }
                Second::Sent(second) => match std::task::ready!(second.poll(cx, scope, x, down)) {
                    Ok(head) => return Poll::Ready(Ended::Second(head)),
                    Err(failed) => {
                        if let Second::Sent(second) =
                            std::mem::replace(&mut self.second, Second::None)
                            && let Err(lost) = second.end(scope, x, Err(failed))
                        {
                            note_lost(scope, x, &lost);
                        }
                    }
                },
            }
        }
    }

    /// Looks for another endpoint and a connection to it, if a second try may be sent.
    fn ask(&self, scope: &Scope<'_>, x: &mut Exchange) -> Second {
        let Some(first) = &self.first else { return Second::None };
        let worker = scope.conn.worker.clone();
        let backend = first.lease.backend();
        let mut tried = self.how.tried.clone();
        tried.note(&first.lease);
        if backend.is_dialled() || !backend.has_others(&tried) || !self.hedge.try_hedge() {
            return Second::None;
        }
        let ask = Ask::new(worker.now(), &tried);
        let Ok(lease) = backend.pick(&ask, &worker.rng) else { return Second::None };
        backend.cells().hedges.inc();
        backend.cells().attempts.inc();
        x.record.attempts += 1;
        x.record.hedged = true;
        lease.on_behalf_of(scope.conn.client, scope.conn.local);
        let speaks = send::speaks(scope, x);
        let host: Box<str> = send::with_host(x, &lease, |x| x.req.host().into());
        let deadline = x.decided.deadline;
        Second::Dialling(Box::pin(async move {
            let dialled = match lease.pooled(lease.started(), true, speaks) {
                Some(dialled) => Ok(dialled),
                None => dial(&worker, &lease, &host, speaks, deadline).await,
            };
            (lease, dialled)
        }))
    }

    fn send(
        &self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        lease: Lease,
        dialled: Result<Dialled, Failed>,
    ) -> Second {
        match start(scope, x, lease, dialled, self.how.timeout) {
            Ok(sent) => Second::Sent(Box::new(sent)),
            Err(lost) => {
                note_lost(scope, x, &lost);
                Second::None
            }
        }
    }

    fn end(self, scope: &Scope<'_>, x: &mut Exchange, ended: Ended) -> Result<Answered, Box<Lost>> {
        let Self { first, lost, second, .. } = self;
        match (ended, first, second) {
            (Ended::First(result), Some(first), second) => {
                if let Second::Sent(second) = second {
                    second.abandon();
                }
                first.end(scope, x, result)
            }
            (Ended::Second(head), first, Second::Sent(second)) => {
                if let Some(first) = first {
                    first.abandon();
                }
                if let Some(lost) = &lost {
                    note_lost(scope, x, lost);
                }
                x.record.upstream = Some(second.lease.endpoint().addr());
                second.end(scope, x, Ok(head))
            }
            // Both have failed: the first says why.
            _ => Err(lost.expect("nobody is left only where the first has failed")),
        }
    }
}

// === functions ===

/// A try has failed beside another, which goes on. What went into a connection that was closed
/// while it was idle says nothing of the endpoint.
fn note_lost(scope: &Scope<'_>, x: &Exchange, lost: &Lost) {
    if !lost.failed.stale {
        deadline::note_failed(x, &lost.lease, scope.conn.worker.now(), lost.failed.reason);
    }
}
