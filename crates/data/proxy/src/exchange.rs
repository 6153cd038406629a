//! A request and its response while they are under way.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use weft_message::h1::BodyFraming;
use weft_message::{RequestHead, ResponseHead, UpgradeToken};
use weft_model::policy::{AnswerDiff, RetryExpression, RetryPolicy};
use weft_model::route::Affinity;
use weft_policy::answer::Form;
use weft_policy::deadline::Told;
use weft_policy::forward_auth::AuthCookies;
use weft_policy::step::ResponseFacts;
use weft_policy::sticky::Mark;
use weft_resilience::deadline::Deadline;
use weft_resilience::hedge::Hedge;

use crate::body::RequestBody;
use crate::compare::Seen;
use crate::fallback::Fallback;
use crate::live::Hold;
use crate::passed::{Passed, Place};
use crate::plan::Plan;
use crate::runtime::{RouteRuntime, TargetRuntime};
use crate::sample::Draft;

/// One request, its response, and what was decided about them. Used again for the next request,
/// so that none of it is allocated anew.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) req: RequestHead,
    pub(crate) rsp: ResponseHead,
    pub(crate) facts: Facts,
    pub(crate) body: RequestBody,
    pub(crate) plan: Option<Rc<Plan>>,
    pub(crate) route: Option<Rc<RouteRuntime>>,
    pub(crate) decided: Decided,
    pub(crate) record: Record,
    /// A copy of the head as it came, if it is kept.
    pub(crate) sample: Option<Box<Draft>>,
    pub(crate) scratch: String,
}

/// What the request's head said of the connection it came by.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// How its body is framed (on HTTP/2: whether there is one, and its length).
    pub(crate) framing: BodyFraming,
    /// The client will keep the connection.
    pub(crate) keep_alive: bool,
    /// The client waits for 100 before it sends the body.
    pub(crate) expect_continue: bool,
    /// The client asks for another protocol.
    pub(crate) upgrade: Option<UpgradeToken>,
    /// The client takes trailers.
    pub(crate) te_trailers: bool,
    /// HTTP/1.0: no chunks, no interim responses.
    pub(crate) http10: bool,
}

/// What steps and target decided for the way back.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// The steps that the request has passed; the response passes them in reverse.
    pub(crate) passed: Passed,
    /// Released when the exchange ends, or leaves the target on the way to which they were taken.
    pub(crate) holds: SmallVec<[Hold; 2]>,
    /// The retry policy in force.
    pub(crate) retry: Option<Rc<RetryPolicy>>,
    /// When a buffering step wants the request sent again.
    pub(crate) retry_when: Option<Rc<RetryExpression>>,
    /// What the client is given to come back to what was chosen.
    pub(crate) marks: SmallVec<[(Rc<Affinity>, Mark); 1]>,
    /// What keeps the client on its endpoint.
    pub(crate) affinity: Option<Mark>,
    /// Copies to send, once the body is known.
    pub(crate) mirrors: SmallVec<[Rc<MirrorPlan>; 1]>,
    /// Used when the first target fails or answers so; the innermost is the last.
    pub(crate) fallbacks: Vec<Fallback>,
    /// What steps remember of the request for the response.
    pub(crate) facts: ResponseFacts,
    /// Cookies that an authorizer sets on the response, by the place of its step.
    pub(crate) auth_cookies: SmallVec<[(Place, AuthCookies); 1]>,
    /// The form of our own answers, which a step may take the grounds for away.
    pub(crate) form: Form,
    /// For how long a fault has held the request up.
    pub(crate) delayed: Duration,
    /// Until when the request has to be answered.
    pub(crate) deadline: Deadline,
    /// That is what the client has asked for, and earlier than the route would have it.
    pub(crate) by_client: bool,
    /// The time of the present attempt was over while it was the client that was waited for.
    pub(crate) client_lags: bool,
    /// In which fields the upstream is told of that.
    pub(crate) told: Told,
    /// Until when the answer has to be whole, once the request was sent.
    pub(crate) answer_by: Deadline,
    /// What is known of the answer, if mirrors' are compared with it.
    pub(crate) seen: Option<Box<Seen>>,
    /// When a second try is sent beside the first, if a step says so.
    pub(crate) hedge: Option<Arc<Hedge>>,
}

/// A copy to be sent.
#[derive(Debug)]
pub(crate) struct MirrorPlan {
    pub(crate) target: TargetRuntime,
    pub(crate) body: bool,
    pub(crate) body_bytes_max: Option<u64>,
    /// Compares answers to copies with that of the main target.
    pub(crate) compared: Option<AnswerDiff>,
}

/// A second target.
#[derive(Debug)]
pub(crate) struct FallbackPlan {
    pub(crate) target: TargetRuntime,
    pub(crate) statuses: Vec<(u16, u16)>,
    pub(crate) body_bytes_max: u64,
}

/// What the access log and metrics want to know in the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) started: Option<Instant>,
    pub(crate) upstream_started: Option<Instant>,
    pub(crate) response_head: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) attempts: u32,
    /// A second try was sent beside a slow one.
    pub(crate) hedged: bool,
    /// The last attempt has failed before anything was sent. Those before it were followed by
    /// another one, so they do not forbid one more.
    pub(crate) unsent: bool,
    pub(crate) status: u16,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// In words, for the log only.
    pub(crate) detail: Option<Arc<str>>,
    /// Who authenticated.
    pub(crate) user: Option<Arc<str>>,
}

// === impl Exchange ===

impl Exchange {
    /// What the heads take in memory, about.
    pub(crate) fn head_bytes(&self) -> usize {
        self.req.fields.capacity_bytes() + self.rsp.fields.capacity_bytes()
    }

    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        self.req.clear();
        self.rsp.clear();
        self.facts = Facts::default();
        self.body = RequestBody::default();
        self.plan = None;
        self.route = None;
        let Decided {
            passed,
            holds,
            retry,
            retry_when,
            marks,
            affinity,
            mirrors,
            fallbacks,
            facts,
            auth_cookies,
            form,
            delayed,
            deadline,
            by_client,
            client_lags,
            told,
            answer_by,
            seen,
            hedge,
        } = &mut self.decided;
        passed.clear();
        holds.clear();
        *retry = None;
        *retry_when = None;
        marks.clear();
        *affinity = None;
        mirrors.clear();
        fallbacks.clear();
        facts.clear();
        auth_cookies.clear();
        *form = Form::default();
        *delayed = Duration::ZERO;
        *deadline = Deadline::NEVER;
        *by_client = false;
        *client_lags = false;
        *told = Told::default();
        *answer_by = Deadline::NEVER;
        *seen = None;
        *hedge = None;
        self.record = Record::default();
        self.sample = None;
    }

    /// Whether the request could be sent again now: its body is there from the beginning, and
    /// sending it twice does no harm (RFC 9110 section 9.2.2).
    pub(crate) fn is_replayable(&self) -> bool {
        self.req.method().is_idempotent() && self.body.is_kept()
    }

    /// Whether that will be so whatever is sent: nothing has to come from the client any more.
    pub(crate) fn stays_replayable(&self) -> bool {
        self.is_replayable() && self.body.is_held()
    }
}

// === impl Facts ===

impl Default for Facts {
    fn default() -> Self {
        Self {
            framing: BodyFraming::None,
            keep_alive: true,
            expect_continue: false,
            upgrade: None,
            te_trailers: false,
            http10: false,
        }
    }
}
