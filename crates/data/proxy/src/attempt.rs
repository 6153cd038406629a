//! Pick, send, judge: the only loop of a request, bounded by its retry policy.

mod drive;
mod judge;

use std::rc::Rc;

use weft_http::Leg;
use weft_message::h1::BodyFraming;
use weft_model::backend::UpstreamProtocol;
use weft_model::outcome::Reason;
use weft_model::policy::RetryPolicy;
use weft_policy::sticky::{self, CookieValue};
use weft_resilience::retry::Backoff;
use weft_resilience::settings::PickerKind;
use weft_runtime::time;
use weft_upstream::{Backend, Endpoint, Lease, Report, Tried};

use crate::body::Sender;
use crate::exchange::Exchange;
use crate::request::{Scope, Stop};
use crate::{respond, select};

pub(crate) use drive::{client_reason, describe};

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
    /// closed while it was idle.
    pub(crate) stale: bool,
}

/// What the loop knows of the attempts so far.
struct Attempts {
    backend: Rc<Backend>,
    retry: Option<Rc<RetryPolicy>>,
    tried: Tried,
    backoff: Option<Backoff>,
    /// Attempts that count: those on stale connections do not.
    counted: u32,
    /// Stale connections in a row.
    stale: u32,
    /// The one replay on another endpoint that every request has, was used.
    replayed: bool,
}

/// What the judge says.
enum Judgement {
    /// Send again; first wait as the policy says, or not.
    Again { wait: bool },
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
    let mut attempts = Attempts::new(x, backend);
    loop {
        let lease = match attempts.pick(scope, x) {
            Ok(lease) => lease,
            Err(stop) => {
                attempts.fall_back(scope, x, stop)?;
                continue;
            }
        };
        if lease.peer().is_some() {
            x.body.keep_until_answered(&scope.conn.worker.spool);
        }
        x.record.attempts += 1;
        x.record.upstream = Some(lease.endpoint().addr());
        let fresh = attempts.stale >= judge::STALE_MAX;
        let judgement = match drive::attempt(scope, x, down, lease, fresh).await {
            Ok(answered) => match attempts.judge_answer(scope, x, answered)? {
                Ok(answered) => {
                    x.body.answered();
                    return respond::upstream(scope, x, down, answered).await;
                }
                Err(judgement) => judgement,
            },
            Err((lease, failed)) => attempts.judge_failure(scope, x, &lease, failed),
        };
        match judgement {
            Judgement::Again { wait: false } => {}
            Judgement::Again { wait: true } => attempts.wait(scope).await,
            Judgement::Stop(stop) => attempts.fall_back(scope, x, stop)?,
        }
    }
}

// === impl Attempts ===

impl Attempts {
    fn new(x: &mut Exchange, backend: Rc<Backend>) -> Self {
        let by_route = || x.route.as_ref().and_then(|route| route.retry.clone());
        let retry = x.decided.retry.clone().or_else(by_route);
        note_affinity(x, &backend);
        note_request(x, &backend);
        Self {
            backend,
            retry,
            tried: Tried::default(),
            backoff: None,
            counted: 0,
            stale: 0,
            replayed: false,
        }
    }

    fn pick(&self, scope: &Scope<'_>, x: &mut Exchange) -> Result<Lease, Stop> {
        let worker = &scope.conn.worker;
        // The first attempt begins when the request did, as far as anybody can tell.
        let now = match x.record.started {
            Some(started) if x.record.attempts == 0 => started,
            _ => worker.now(),
        };
        let backend = &self.backend;
        if backend.is_dialled() {
            return match self.tried.is_empty() {
                true => Ok(backend.pick_addr(now, scope.conn.local)),
                false => Err(Stop::because(Reason::NoHealthyEndpoint, "it was tried already")),
            };
        }
        let settings = backend.settings();
        if let Some(value) = x.decided.affinity
            && let Some(lease) = backend
                .pick_where(now, &self.tried, |endpoint| cookie_of(backend, endpoint) == value)
        {
            return Ok(lease);
        }
        let key = (settings.picker == PickerKind::Rendezvous).then(|| scope.conn.client_key());
        let lease = backend.pick(now, &worker.rng, key, &self.tried).map_err(|error| {
            Stop::because(error.reason(), format!("backend {}: {error}", settings.id))
        })?;
        if let Some(sticky) = &settings.sticky {
            let value = cookie_of(backend, lease.endpoint());
            x.decided.set_cookies.retain(|(cookie, _)| cookie.name != sticky.name);
            x.decided.set_cookies.push((Rc::new(sticky.clone()), value));
        }
        Ok(lease)
    }

    /// Goes on with the second target, if there is one; else with the stop.
    fn fall_back(&mut self, scope: &Scope<'_>, x: &mut Exchange, stop: Stop) -> Result<(), Stop> {
        let upstream_failed = match &stop {
            Stop::Refuse(reason, _) => reason.fault() == weft_model::outcome::Fault::Upstream,
            Stop::Answer(_) | Stop::Cut(..) => false,
        };
        let fallback = x.decided.fallback.take().filter(|_| upstream_failed && x.body.is_kept());
        let Some(fallback) = fallback else { return Err(stop) };
        self.backend = select::select(scope, x, &fallback.target)?;
        note_request(x, &self.backend);
        self.tried = Tried::default();
        Ok(())
    }

    async fn wait(&mut self, scope: &Scope<'_>) {
        let Some(policy) = &self.retry else { return };
        let backoff =
            self.backoff.get_or_insert_with(|| Backoff::new(judge::backoff_settings(policy)));
        let wait = backoff.next(&scope.conn.worker.rng);
        if !wait.is_zero() {
            time::sleep(wait).await;
        }
    }
}

/// What a sticky cookie names an endpoint by: its URL, as in Traefik.
fn cookie_of(backend: &Backend, endpoint: &Endpoint) -> CookieValue {
    let settings = backend.settings();
    let scheme = match (&settings.tls, settings.protocol) {
        (Some(_), _) => "https",
        (None, UpstreamProtocol::Http2) => "h2c",
        (None, UpstreamProtocol::Auto | UpstreamProtocol::Http1 | UpstreamProtocol::AsClient) => {
            "http"
        }
    };
    CookieValue::of(&format!("{scheme}://{}", endpoint.addr()))
}

/// Retries are a share of first tries, and this is one.
fn note_request(x: &Exchange, backend: &Backend) {
    if let Some(started) = x.record.started {
        backend.note_request(started);
    }
}

fn note_affinity(x: &mut Exchange, backend: &Backend) {
    let sticky = backend.settings().sticky.as_ref();
    x.decided.affinity = sticky.and_then(|sticky| sticky::read(sticky, &x.req.fields));
}

// === impl Answered ===

impl Answered {
    /// Lets an answer go that nobody is to see. Its connection is kept when the answer had no
    /// body; otherwise closing it is cheaper than reading on.
    pub(crate) fn discard(self, scope: &Scope<'_>, status: u16) {
        let now = scope.conn.worker.now();
        let latency = now.saturating_duration_since(self.lease.started());
        self.lease.report(now, Report::Answered { status, latency });
        if let Leg::H1(conn) = self.up
            && self.keep_alive
        {
            self.lease.give_back(now, conn);
        }
    }
}
