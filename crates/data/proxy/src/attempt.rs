//! Pick, send, judge: the only loop of a request, bounded by its retry policy.

mod drive;
mod hedge;
mod judge;
mod key;
mod send;

use std::rc::Rc;
use std::time::Duration;

use weft_http::Leg;
use weft_message::h1::BodyFraming;
use weft_message::peer;
use weft_model::backend::UpstreamProtocol;
use weft_model::outcome::Reason;
use weft_model::policy::RetryPolicy;
use weft_policy::sticky::{self, Mark};
use weft_resilience::retry::Backoff;
use weft_runtime::time;
use weft_upstream::error::PickError;
use weft_upstream::{Ask, Backend, Call, Endpoint, Lease, Tried};

use crate::body::Sender;
use crate::exchange::Exchange;
use crate::fallback::Left;
use crate::request::{self, Scope, Stop};
use crate::respond;

pub(crate) use drive::{client_reason, describe};
pub(crate) use send::{Sending, speaks};

/// A response head that has arrived, and the leg that its body comes by.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) up: Leg,
    pub(crate) lease: Lease,
    pub(crate) sender: Sender,
    /// How the body is framed on the upstream leg.
    pub(crate) framing: BodyFraming,
    /// What the head says of the length, where no body follows.
    pub(crate) declared: BodyFraming,
    /// The upstream will take another request on this connection.
    pub(crate) keep_alive: bool,
    /// The connection is another protocol's from here on.
    pub(crate) tunnel: bool,
}

/// An attempt that gave no response head.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    /// Whether any byte of the request may have been acted upon.
    pub(crate) sent: bool,
    /// The connection had been used before, and nothing came back on it: most likely it was
    /// closed while it was idle. Or the upstream has ended it in order, new as it was, without having
    /// looked at the request.
    pub(crate) stale: bool,
    /// Every endpoint of the backend would have ended it so.
    pub(crate) everywhere: bool,
}

/// An attempt that gave no response head, with the lease that it had. Boxed, as failures are rare.
#[derive(Debug)]
struct Lost {
    lease: Lease,
    failed: Failed,
}

/// What the loop knows of the attempts so far.
struct Attempts {
    backend: Rc<Backend>,
    /// What the request is in the budget of the backend, until it has ended.
    call: Call,
    retry: Option<Rc<RetryPolicy>>,
    /// How often the request was sent before it came here.
    before: u32,
    /// What keeps requests together, for the pickers that ask.
    key: Option<u64>,
    tried: Tried,
    backoff: Option<Backoff>,
    /// Attempts that count: those on stale connections do not.
    counted: u32,
    /// Attempts that a policy has asked for.
    retries: u32,
    /// Stale connections in a row.
    stale: u32,
    /// The one replay on another endpoint that every request has, was used.
    replayed: bool,
    /// Retries were spent on a target that was left.
    spent_before: bool,
}

/// What the judge says.
enum Judgement {
    /// Send again, after so long.
    Again(Duration),
    /// Go on with the second target.
    FallBack(Left),
    /// Give up.
    Stop(Stop),
}

/// Sends the request and streams the answer back.
pub(crate) async fn forward(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    backend: Rc<Backend>,
) -> Result<Reason, Stop> {
    let mut attempts = Attempts::new(scope, x, backend);
    let mut slot = Some(attempts.run(scope, x, down).await?);
    x.body.answered();
    respond::upstream(scope, x, down, &mut slot).await
}

// === impl Attempts ===

impl Attempts {
    fn new(scope: &Scope<'_>, x: &mut Exchange, backend: Rc<Backend>) -> Self {
        let by_route = || x.route.as_ref().and_then(|route| route.retry.clone());
        let retry = x.decided.retry.clone().or_else(by_route);
        let retry = retry.filter(|policy| policy.attempts > 1 || policy.attempt_timeout.is_some());
        Self {
            call: begin(scope, x, &backend),
            before: retry.as_ref().map_or(0, |_| peer::attempts_before(&x.req.fields)),
            key: key::of(scope, x, &backend.settings().calling),
            backend,
            retry,
            tried: Tried::default(),
            backoff: None,
            counted: 0,
            retries: 0,
            stale: 0,
            replayed: false,
            spent_before: false,
        }
    }

    /// Tries until there is an answer, or nothing more to try.
    async fn run(
        &mut self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
    ) -> Result<Answered, Stop> {
        loop {
            let judgement = match self.pick(scope, x) {
                Ok(lease) => {
                    self.note_attempt(scope, x, &lease);
                    // Not in the `match`: its future would stay beside what follows.
                    let attempted = drive::attempt(scope, x, down, lease, self.next()).await;
                    match attempted {
                        Ok(answered) => match self.judge_answer(scope, x, answered) {
                            Ok(answered) => return Ok(answered),
                            Err(judgement) => judgement,
                        },
                        Err(lost) => self.judge_failure(scope, x, *lost),
                    }
                }
                Err(stop) => self.stopped(scope, x, stop),
            };
            match judgement {
                Judgement::Again(Duration::ZERO) => {}
                // Rare, so its state does not make every request's larger.
                Judgement::Again(wait) => Box::pin(time::sleep(wait)).await,
                Judgement::FallBack(left) => {
                    Box::pin(self.fall_back(scope, x, down, left)).await?;
                }
                Judgement::Stop(stop) => return Err(stop),
            }
        }
    }

    fn note_attempt(&self, scope: &Scope<'_>, x: &mut Exchange, lease: &Lease) {
        if lease.peer().is_some() {
            x.body.keep_until_answered(&scope.conn.worker.spool);
        }
        x.record.attempts += 1;
        x.record.upstream = Some(lease.endpoint().addr());
        self.backend.cells().attempts.inc();
    }

    fn pick(&self, scope: &Scope<'_>, x: &mut Exchange) -> Result<Lease, Stop> {
        let worker = &scope.conn.worker;
        // The first attempt begins when the request did, as far as anybody can tell, unless a fault
        // has held it up.
        let now = match x.record.started {
            Some(started) if x.record.attempts == 0 && x.decided.delayed.is_zero() => started,
            _ => worker.now(),
        };
        let backend = &self.backend;
        let settings = backend.settings();
        let refused = |error: PickError| {
            Stop::because(error.reason(), format!("backend {}: {error}", settings.id))
        };
        if backend.is_dialled() {
            if !self.tried.is_empty() {
                return Err(Stop::because(Reason::NoHealthyEndpoint, "it was tried already"));
            }
            return backend.pick_addr(now, scope.conn.local).map_err(refused);
        }
        let is_retry = self.retries > 0;
        let elsewhere = is_retry && self.retry.as_ref().is_some_and(|policy| policy.elsewhere);
        let ask = Ask { key: self.key, elsewhere, is_retry, ..Ask::new(now, &self.tried) };
        if let Some(value) = x.decided.affinity {
            let is_it = |endpoint: &Endpoint| mark_of(backend, endpoint) == value;
            if let Some(lease) = backend.pick_where(&ask, is_it).map_err(refused)? {
                return Ok(lease);
            }
        }
        let lease = backend.pick(&ask, &worker.rng).map_err(refused)?;
        if let Some(sticky) = &settings.calling.sticky {
            let mark = mark_of(backend, lease.endpoint());
            x.decided.marks.retain(|(one, _)| !sticky.replaces(one));
            x.decided.marks.push((Rc::new(sticky.clone()), mark));
        }
        Ok(lease)
    }

    /// How the next attempt is made.
    fn next(&self) -> drive::Try<'_> {
        let policy = self.retry.as_deref();
        let tells = policy.is_some_and(|policy| policy.attempts > 1);
        drive::Try {
            fresh: self.stale >= judge::STALE_MAX,
            // How often it was sent before is what the client says.
            number: tells.then_some(self.before.saturating_add(self.counted).saturating_add(1)),
            timeout: policy.and_then(|policy| policy.attempt_timeout),
            tried: &self.tried,
        }
    }

    /// Goes on with the second target: from where the request was when it was led to the first.
    async fn fall_back(
        &mut self,
        scope: &Scope<'_>,
        x: &mut Exchange,
        down: &mut Leg,
        left: Left,
    ) -> Result<(), Stop> {
        let fallback = x.decided.fallbacks.pop();
        let fallback = fallback.ok_or_else(|| Stop::internal("there is no second target"))?;
        let plan = fallback.restore(scope, x, left);
        let backend = request::lead(scope, x, down, &plan.target).await?;
        *self = Self {
            replayed: self.replayed,
            spent_before: self.has_spent(),
            ..Self::new(scope, x, backend)
        };
        Ok(())
    }

    /// Whether the request was retried here or on a target before.
    fn has_spent(&self) -> bool {
        self.retries > 0 || self.spent_before
    }
}

/// What clients are kept on an endpoint by: its URL, as in Traefik.
fn mark_of(backend: &Backend, endpoint: &Endpoint) -> Mark {
    let settings = backend.settings();
    let scheme = match (&settings.calling.tls, settings.protocol) {
        (Some(_), _) => "https",
        (None, UpstreamProtocol::Http2) => "h2c",
        (None, UpstreamProtocol::Auto | UpstreamProtocol::Http1 | UpstreamProtocol::AsClient) => {
            "http"
        }
    };
    Mark::of(&format!("{scheme}://{}", endpoint.addr()))
}

/// A request to a backend begins: retries are a share of those.
fn begin(scope: &Scope<'_>, x: &mut Exchange, backend: &Rc<Backend>) -> Call {
    let sticky = backend.settings().calling.sticky.as_ref();
    x.decided.affinity = sticky.and_then(|sticky| sticky::read(sticky, &x.req.fields));
    backend.cells().requests.inc();
    if let Some(sample) = &mut x.sample {
        sample.backend = Some(backend.settings().id.clone());
    }
    backend.call(x.record.started.unwrap_or_else(|| scope.conn.worker.now()))
}

// === impl Answered ===

impl Answered {
    /// Lets an answer go that nobody is to see. Its connection is kept when the answer had no
    /// body; otherwise closing it is cheaper than reading on.
    pub(crate) fn discard(self, scope: &Scope<'_>) {
        let now = scope.conn.worker.now();
        self.lease.ended(now, self.up.trailers());
        if let Leg::H1(conn) = self.up
            && self.keep_alive
        {
            self.lease.give_back(now, conn);
        }
    }
}
