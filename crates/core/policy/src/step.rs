//! One step at a time: what it does to a request on its way in and to the answer on its way out.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use weft_message::{InvalidFieldValue, RequestHead, ResponseHead};
use weft_model::outcome::Reason;
use weft_model::policy::{Step, StepKind};

use crate::answer::{self, Asker, DirectResponse};
use crate::cors::{self, Origin};
use crate::{fields, path, redirect, secure, source};

/// Who asks, as far as the connection knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientFacts {
    /// The peer's address, after a trusted PROXY header.
    pub peer: IpAddr,
    /// Its port.
    pub peer_port: u16,
    /// The connection is TLS.
    pub tls: bool,
    /// The port of the listener as its clients know it.
    pub listener_port: u16,
}

/// What steps on the request leave for the response. Starts empty with each request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseFacts {
    /// The request's `Origin`, noted by the first step with cross-origin rules.
    pub(crate) origin: Option<Origin>,
    /// The request came by TLS, at this hop or, as a trusted header says, at one before.
    pub(crate) secure: bool,
}

/// What a step on a request sees and may change.
#[derive(Debug)]
pub struct RequestContext<'a> {
    /// The request. What an untrusted peer said in `X-Forwarded-*` is gone. `X-Forwarded-For` does
    /// not name the peer yet, because depths are counted in the list as received: the path appends
    /// it after the last step.
    pub head: &'a mut RequestHead,
    /// Who asks.
    pub client: ClientFacts,
    /// For the response.
    pub facts: &'a mut ResponseFacts,
    /// Scratch space that keeps its memory from one request to the next. Its content means
    /// nothing.
    pub scratch: &'a mut String,
}

/// What one step says to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The next step.
    Continue,
    /// Answer at once. The response passes the steps before this one in reverse, as an upstream's
    /// would.
    Respond(Box<DirectResponse>),
}

/// Who carries a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepClass {
    /// [`on_request`] and [`on_response`].
    Pure,
    /// Needs a permit from live state.
    Admission,
    /// Asks something that takes time: another service, or a slow hash.
    Question,
    /// Shapes how often and where the request is sent.
    Attempt,
    /// Handles whole bodies.
    Body,
    /// Works on the response when its head or body is there.
    Response,
}

/// Who carries out a step of this kind.
pub fn class(kind: &StepKind) -> StepClass {
    match kind {
        StepKind::AddPrefix(_)
        | StepKind::StripPrefix(_)
        | StepKind::StripPrefixRegex(_)
        | StepKind::ReplacePath(_)
        | StepKind::ReplacePathRegex { .. }
        | StepKind::Rewrite(_)
        | StepKind::RedirectScheme { .. }
        | StepKind::RedirectRegex { .. }
        | StepKind::Redirect(_)
        | StepKind::RequestHeaders(_)
        | StepKind::ResponseHeaders(_)
        | StepKind::SecureHeaders(_)
        | StepKind::Cors(_)
        | StepKind::IpAllowList(_)
        | StepKind::Respond(_)
        | StepKind::Refuse(_) => StepClass::Pure,
        StepKind::RateLimit { .. }
        | StepKind::LocalRateLimit(_)
        | StepKind::InFlight { .. }
        | StepKind::CircuitBreaker(_) => StepClass::Admission,
        StepKind::BasicAuth(_) | StepKind::ForwardAuth(_) => StepClass::Question,
        StepKind::Retry(_) | StepKind::Hedge(_) | StepKind::Mirror { .. } | StepKind::Fault(_) => {
            StepClass::Attempt
        }
        StepKind::Buffering(_) => StepClass::Body,
        StepKind::Errors(_) | StepKind::Compress(_) => StepClass::Response,
    }
}

/// Carries a pure step out on a request.
///
/// Steps of another [`class`] are the request path's; given here, they are answered 500, so that
/// a protecting one is never passed over by mistake.
pub fn on_request(step: &Step, ctx: &mut RequestContext<'_>) -> Verdict {
    match &step.kind {
        StepKind::AddPrefix(prefix) => path::add_prefix(prefix, ctx),
        StepKind::StripPrefix(prefixes) => path::strip_prefix(prefixes, ctx),
        StepKind::StripPrefixRegex(patterns) => path::strip_prefix_regex(patterns, ctx),
        StepKind::ReplacePath(path) => path::replace_path(path, ctx),
        StepKind::ReplacePathRegex { pattern, replacement } => {
            path::replace_path_regex(pattern, replacement, ctx)
        }
        StepKind::Rewrite(rewrite) => path::rewrite(rewrite, ctx),
        StepKind::RedirectScheme { scheme, port, permanent } => {
            redirect::by_scheme(scheme, port, *permanent, ctx)
        }
        StepKind::RedirectRegex { pattern, replacement, permanent } => {
            redirect::by_regex(pattern, replacement, *permanent, ctx)
        }
        StepKind::Redirect(redirect) => redirect::by_parts(redirect, ctx),
        StepKind::RequestHeaders(edits) => fields::edit_request(edits, ctx),
        StepKind::SecureHeaders(settings) => secure::on_request(settings, ctx),
        StepKind::Cors(cors) => cors::on_request(cors, ctx),
        StepKind::IpAllowList(list) => source::allow(list, ctx),
        StepKind::Refuse(refusal) => {
            Verdict::respond(answer::refusal(refusal, Asker::of(ctx.head)))
        }
        StepKind::Respond(fixed) => Verdict::respond(answer::fixed(fixed)),
        StepKind::ResponseHeaders(_) => Verdict::Continue,
        StepKind::BasicAuth(_)
        | StepKind::ForwardAuth(_)
        | StepKind::RateLimit { .. }
        | StepKind::LocalRateLimit(_)
        | StepKind::InFlight { .. }
        | StepKind::CircuitBreaker(_)
        | StepKind::Retry(_)
        | StepKind::Hedge(_)
        | StepKind::Fault(_)
        | StepKind::Buffering(_)
        | StepKind::Errors(_)
        | StepKind::Compress(_)
        | StepKind::Mirror { .. } => {
            ctx.refuse(Reason::Internal, format!("step {} is not a pure one", step.id))
        }
    }
}

/// Carries a pure step out on a response, whoever it comes from. Other kinds leave it as it is.
///
/// # Errors
///
/// When an edit does not fit the response; it is then to be replaced by an error, because a
/// protecting header may be the one that is missing.
pub fn on_response(
    step: &Step,
    facts: &ResponseFacts,
    head: &mut ResponseHead,
    scratch: &mut String,
) -> Result<(), InvalidFieldValue> {
    match &step.kind {
        StepKind::ResponseHeaders(edits) => fields::edit_response(edits, head, scratch),
        StepKind::SecureHeaders(settings) => secure::on_response(settings, facts, head),
        StepKind::Cors(cors) => cors::on_response(cors, facts, head, scratch),
        StepKind::AddPrefix(_)
        | StepKind::StripPrefix(_)
        | StepKind::StripPrefixRegex(_)
        | StepKind::ReplacePath(_)
        | StepKind::ReplacePathRegex { .. }
        | StepKind::Rewrite(_)
        | StepKind::RedirectScheme { .. }
        | StepKind::RedirectRegex { .. }
        | StepKind::Redirect(_)
        | StepKind::RequestHeaders(_)
        | StepKind::IpAllowList(_)
        | StepKind::BasicAuth(_)
        | StepKind::ForwardAuth(_)
        | StepKind::RateLimit { .. }
        | StepKind::LocalRateLimit(_)
        | StepKind::InFlight { .. }
        | StepKind::CircuitBreaker(_)
        | StepKind::Retry(_)
        | StepKind::Hedge(_)
        | StepKind::Fault(_)
        | StepKind::Buffering(_)
        | StepKind::Errors(_)
        | StepKind::Compress(_)
        | StepKind::Mirror { .. }
        | StepKind::Respond(_)
        | StepKind::Refuse(_) => Ok(()),
    }
}

/// Whether [`on_response`] may do something for a step of this kind.
pub fn edits_response(kind: &StepKind) -> bool {
    matches!(kind, StepKind::ResponseHeaders(_) | StepKind::SecureHeaders(_) | StepKind::Cors(_))
}

// === impl ResponseFacts ===

impl ResponseFacts {
    /// Forgets the request before.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

// === impl RequestContext ===

impl RequestContext<'_> {
    /// The answer for `reason`, with `detail` for the log.
    pub(crate) fn refuse(&self, reason: Reason, detail: impl Into<Arc<str>>) -> Verdict {
        self.refuse_with_status(reason, reason.status(), detail)
    }

    /// The same with a status that configuration names.
    pub(crate) fn refuse_with_status(
        &self,
        reason: Reason,
        status: u16,
        detail: impl Into<Arc<str>>,
    ) -> Verdict {
        let answer = answer::error_with_status(reason, status, Asker::of(self.head));
        Verdict::respond(answer.with_detail(detail))
    }

    /// The answer when a field could not be set: the request has no room for it, or configuration
    /// holds a value that is none.
    pub(crate) fn refuse_field(&self, name: &str, error: InvalidFieldValue) -> Verdict {
        let reason = match error {
            InvalidFieldValue::TooLarge => Reason::HeadTooLarge,
            InvalidFieldValue::Name | InvalidFieldValue::Value => Reason::Internal,
        };
        self.refuse(reason, format!("field {name}: {error}"))
    }
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn respond(answer: DirectResponse) -> Self {
        Self::Respond(Box::new(answer))
    }
}
