//! Authorize, shape, admit: the steps of a route, in the order the user gave them.

mod fault;

use std::rc::Rc;
use std::time::Duration;

use weft_http::Leg;
use weft_message::InvalidFieldValue;
use weft_model::outcome::Reason;
use weft_model::policy::{BasicAuth, Fault, ForwardAuth, SourceCriterion};
use weft_policy::answer::{self, DirectResponse};
use weft_policy::basic::{self, Check};
use weft_policy::forward_auth::{self, AuthVerdict};
use weft_policy::source::source_key;
use weft_policy::step::{ClientFacts, RequestContext, Verdict, on_request, on_response};
use weft_resilience::bucket::{Admission, ClientBuckets, Exceeded, KeyedBuckets};
use weft_runtime::{task, time};

use crate::attempt::describe;
use crate::body::{HELD_BYTES_MAX, Hold, MEMORY_BYTES_MAX};
use crate::body_steps;
use crate::exchange::{Exchange, Record};
use crate::live;
use crate::request::{Scope, Stop};
use crate::runtime::{StepRuntime, StepRuntimeKind};
use crate::{respond, select, subrequest};

/// An authorizer's answer beyond this is refused unless the user says otherwise: it is read whole.
const AUTH_ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Takes a request through steps: those of its route, or of what was chosen on its way.
pub(crate) async fn pass(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    steps: &Rc<[StepRuntime]>,
) -> Result<(), Stop> {
    if steps.is_empty() {
        return Ok(());
    }
    x.decided.passed.enter(steps.clone());
    for (index, step) in steps.iter().enumerate() {
        // The response of a refusal passes the steps before this one only.
        x.decided.passed.note(index);
        run(scope, x, down, step).await?;
    }
    x.decided.passed.note(steps.len());
    Ok(())
}

/// Takes a response through the steps that its request has passed, in reverse.
pub(crate) fn response(x: &mut Exchange) -> Result<(), InvalidFieldValue> {
    let Exchange { rsp, decided, scratch, .. } = x;
    decided.passed.in_reverse().try_for_each(|(place, step)| {
        if let StepRuntimeKind::ForwardAuth(auth, _) = &step.kind
            && let Some((_, cookies)) = decided.auth_cookies.iter().find(|(at, _)| *at == place)
        {
            forward_auth::add_cookies(auth, cookies, rsp)?;
        }
        on_response(&step.step, &decided.facts, rsp, scratch)
    })
}

/// One step. Those that wait are boxed, so that the many requests without them stay small.
async fn run(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    step: &StepRuntime,
) -> Result<(), Stop> {
    match &step.kind {
        StepRuntimeKind::Pure => pure(scope, x, step),
        StepRuntimeKind::Rate(buckets, source) => rate(scope, x, buckets, source).await,
        StepRuntimeKind::Clients(buckets) => clients(scope, x, buckets),
        StepRuntimeKind::InFlight(limit, source) => {
            let key = source_key(source, &x.req, scope.conn.client.ip());
            match limit.acquire(key.as_bytes()) {
                Ok(permit) => {
                    x.decided.holds.push(live::Hold::InFlight { _permit: permit });
                    Ok(())
                }
                Err(_) => Err(Stop::Refuse(Reason::InFlightLimited, None)),
            }
        }
        StepRuntimeKind::Breaker(breaker, status) => {
            match breaker.admit(scope.conn.worker.now(), &scope.conn.worker.rng) {
                Ok(()) => {
                    x.decided.holds.push(live::Hold::Breaker(breaker.clone()));
                    Ok(())
                }
                Err(_) => {
                    let asker = respond::asker(scope, x);
                    let answer = answer::error_with_status(Reason::CircuitOpen, *status, asker);
                    Err(Stop::Answer(Box::new(answer)))
                }
            }
        }
        StepRuntimeKind::BasicAuth(auth) => Box::pin(basic_auth(scope, x, auth)).await,
        StepRuntimeKind::ForwardAuth(auth, backend) => {
            let backend = backend.clone().ok_or_else(|| {
                Stop::because(Reason::AuthorizerFailed, "the authorizer is not there")
            })?;
            Box::pin(ask_authorizer(scope, x, down, auth, &backend)).await
        }
        StepRuntimeKind::Retry(policy) => {
            x.decided.retry = Some(policy.clone());
            Ok(())
        }
        StepRuntimeKind::Hedge(hedge) => {
            x.decided.hedge = Some(hedge.clone());
            Ok(())
        }
        StepRuntimeKind::Fault(fault) => match fault::draw(scope, fault) {
            Fault { delay: None, abort: None } => Ok(()),
            fault => Box::pin(fault::inject(scope, x, fault)).await,
        },
        StepRuntimeKind::Buffering(buffering, retry) => {
            x.decided.retry_when = retry.clone();
            let hold = Hold {
                bytes_max: buffering.request_bytes_max.unwrap_or(HELD_BYTES_MAX),
                memory_bytes: buffering.request_memory_bytes,
            };
            body_steps::hold(scope, x, down, hold, Reason::BodyTooLarge).await
        }
        StepRuntimeKind::Mirror(parts_per_million, mirror) => {
            if select::draw(scope, *parts_per_million) {
                x.decided.mirrors.push(mirror.clone());
            }
            Ok(())
        }
        StepRuntimeKind::Errors(..) | StepRuntimeKind::Compress(_) => Ok(()),
    }
}

async fn rate(
    scope: &Scope<'_>,
    x: &Exchange,
    buckets: &KeyedBuckets,
    source: &SourceCriterion,
) -> Result<(), Stop> {
    let key = source_key(source, &x.req, scope.conn.client.ip());
    match buckets.take(key.as_bytes(), scope.conn.worker.now()) {
        Admission::Pass => Ok(()),
        Admission::Wait(wait) => {
            Box::pin(time::sleep(wait)).await;
            Ok(())
        }
        Admission::Refuse { retry_after } => {
            Err(limited(scope, x, Reason::RateLimited, retry_after))
        }
    }
}

fn clients(scope: &Scope<'_>, x: &mut Exchange, buckets: &ClientBuckets) -> Result<(), Stop> {
    let caller = caller(scope, &x.record, &mut x.scratch);
    let (retry_after, which) = match buckets.take(caller, scope.conn.worker.now()) {
        Ok(()) => return Ok(()),
        Err(Exceeded::Total { retry_after }) => (retry_after, "of all clients together"),
        Err(Exceeded::Client { retry_after }) => (retry_after, "of each client"),
        Err(Exceeded::Override { retry_after }) => (retry_after, "of this group of clients"),
    };
    let asker = respond::asker(scope, x);
    let answer = answer::limited(Reason::RateLimited, retry_after, asker);
    Err(Stop::Answer(Box::new(answer.with_detail(format!("the rate {which} was exceeded")))))
}

/// Who calls, as far as that was proved: a workload of the mesh, the user that a step before has
/// found out, or the owner of the client's certificate. What has to be written for that is written
/// to `scratch`.
fn caller<'x>(scope: &'x Scope<'_>, record: &Record, scratch: &'x mut String) -> Option<&'x str> {
    if let Some(peer) = scope.conn.meant().and_then(|meant| meant.peer.as_ref()) {
        return Some(peer.caller.identity().as_str());
    }
    if let Some(user) = &record.user {
        scratch.clear();
        // No name in a certificate looks like this.
        scratch.extend(["user ", user]);
        return Some(scratch);
    }
    scope.conn.tls.as_ref().and_then(|tls| tls.client.as_deref())
}

fn pure(scope: &Scope<'_>, x: &mut Exchange, step: &StepRuntime) -> Result<(), Stop> {
    let mut context = RequestContext {
        head: &mut x.req,
        client: client_facts(scope),
        facts: &mut x.decided.facts,
        scratch: &mut x.scratch,
    };
    match on_request(&step.step, &mut context) {
        Verdict::Continue => Ok(()),
        Verdict::Respond(answer) => Err(Stop::Answer(answer)),
    }
}

pub(crate) fn client_facts(scope: &Scope<'_>) -> ClientFacts {
    ClientFacts {
        peer: scope.conn.client.ip(),
        peer_port: scope.conn.client.port(),
        tls: scope.conn.tls.is_some(),
        listener_port: scope.conn.local.port(),
    }
}

fn limited(scope: &Scope<'_>, x: &Exchange, reason: Reason, wait: Duration) -> Stop {
    Stop::Answer(Box::new(answer::limited(reason, wait, respond::asker(scope, x))))
}

async fn basic_auth(scope: &Scope<'_>, x: &mut Exchange, auth: &BasicAuth) -> Result<(), Stop> {
    let worker = &scope.conn.worker;
    let check = {
        let cache = worker.credentials.borrow();
        match basic::authenticate(auth, &x.req, &cache) {
            Check::Ok(user) => Ok(user.to_owned()),
            Check::Wrong => Err(None),
            Check::Costly(job) => Err(Some(job)),
        }
    };
    let user = match check {
        Ok(user) => user,
        Err(None) => return Err(unauthorized(scope, x, auth)),
        Err(Some(job)) => {
            let user = job.user().to_owned();
            let digest = job.digest(&worker.credentials.borrow());
            if !task::blocking(move || job.run()).await.unwrap_or(false) {
                return Err(unauthorized(scope, x, auth));
            }
            worker.credentials.borrow_mut().insert(digest);
            user
        }
    };
    basic::accept(auth, &user, &mut x.req)
        .map_err(|error| Stop::because(Reason::HeadTooLarge, error.to_string()))?;
    x.record.user = Some(user.into());
    Ok(())
}

fn unauthorized(scope: &Scope<'_>, x: &Exchange, auth: &BasicAuth) -> Stop {
    Stop::Answer(Box::new(basic::unauthorized(auth, respond::asker(scope, x))))
}

async fn ask_authorizer(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    auth: &ForwardAuth,
    backend: &Rc<weft_upstream::Backend>,
) -> Result<(), Stop> {
    let failed = |detail: String| Stop::because(Reason::AuthorizerFailed, detail);
    if auth.forward_body {
        let bytes_max = auth.body_bytes_max.unwrap_or(MEMORY_BYTES_MAX);
        let hold = Hold { bytes_max, memory_bytes: MEMORY_BYTES_MAX };
        body_steps::hold(scope, x, down, hold, Reason::Unauthorized).await?;
    }
    let question = forward_auth::question(auth, &x.req, client_facts(scope))
        .map_err(|error| failed(describe(&error)))?;
    let body = if auth.forward_body { x.body.whole() } else { None };
    let answer_max = auth.answer_bytes_max.unwrap_or(AUTH_ANSWER_BYTES_MAX);
    let fetched = subrequest::fetch(scope, backend, question, body, answer_max).await;
    let (head, body) = match fetched {
        Ok(fetched) => fetched,
        Err(subrequest::FetchError::TooLarge(_)) => {
            return Err(Stop::because(
                Reason::Unauthorized,
                "the authorizer's answer is too large",
            ));
        }
        Err(error) => return Err(failed(describe(&error))),
    };
    let full = |_| Stop::because(Reason::HeadTooLarge, "no room for the authorizer's headers");
    match forward_auth::apply_answer(auth, &head, &mut x.req).map_err(full)? {
        AuthVerdict::Pass { cookies } => {
            x.decided.auth_cookies.push((x.decided.passed.place(), cookies));
            if let Some(user) = forward_auth::user(auth, &head) {
                x.record.user = Some(user.into());
            }
            Ok(())
        }
        AuthVerdict::Deny => {
            let denial =
                forward_auth::denial(auth, &head, backend.settings().calling.tls.is_some());
            Err(Stop::Answer(Box::new(DirectResponse {
                reason: forward_auth::denial_reason(head.status()),
                head: denial.map_err(full)?,
                body: body.into(),
                detail: Some("the authorizer refused".into()),
            })))
        }
    }
}
