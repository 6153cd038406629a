//! Answers of our own.
//!
//! One place says what a client reads when no upstream answered: a short text, a problem document
//! (RFC 9457) for those who accept one, or a trailers-only answer for gRPC. The text comes from
//! [`Reason::text`] and names nothing internal; what is missing and where goes to the log.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use weft_message::{AsFieldName, Known, RequestHead, ResponseHead, reason_phrase};
use weft_model::outcome::Reason;
use weft_model::policy::{Abort, FixedAnswer, Refusal};
use weft_resilience::grpc;

use crate::media;

/// An answer that no upstream gave.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectResponse {
    /// Status and fields. The framing (`Content-Length`) is the codec's.
    pub head: ResponseHead,
    /// The body. In an answer to `HEAD` it says the length only: whoever sends it leaves it out.
    pub body: Cow<'static, [u8]>,
    /// Sets the label of metrics and the field of the access log.
    pub reason: Reason,
    /// For the log. Never sent.
    pub detail: Option<Arc<str>>,
}

/// How an error is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// A line of text.
    #[default]
    Text,
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// Status 200 with `grpc-status` and `grpc-message`, and no body.
    Grpc,
}

/// What an error answer depends on, taken from the request before steps edit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asker<'a> {
    /// How to tell.
    pub form: Form,
    /// Identifies the request, for a problem document; empty when there is none.
    pub request_id: &'a str,
    /// The service that was called, to be named to a workload of its mesh; empty for all others, who
    /// are told nothing internal.
    pub service: &'a str,
}

/// The answer for `reason`, with the status that goes with it.
pub fn error(reason: Reason, asker: Asker<'_>) -> DirectResponse {
    error_with_status(reason, reason.status(), asker)
}

/// The answer for `reason` with another status, where configuration names one.
///
/// A status that is no final one (below 200 or above 599) becomes 500.
pub fn error_with_status(reason: Reason, status: u16, asker: Asker<'_>) -> DirectResponse {
    let status = if (200..=599).contains(&status) { status } else { 500 };
    let mut head = ResponseHead::default();
    let body = match asker.form {
        Form::Text => text_answer(reason, status, asker, &mut head),
        Form::Problem => problem_answer(reason, status, asker, &mut head),
        Form::Grpc => grpc_answer(reason, status, asker, &mut head),
    };
    DirectResponse { head, body, reason, detail: None }
}

/// The answer of a [`Refusal`].
pub fn refusal(refusal: &Refusal, asker: Asker<'_>) -> DirectResponse {
    DirectResponse { detail: Some(refusal.detail.clone()), ..error(refusal.reason, asker) }
}

/// The answer when a limit is reached, saying when to come again: `Retry-After` in whole seconds,
/// rounded up, and `X-Retry-In` as Traefik writes it.
pub fn limited(reason: Reason, wait: Duration, asker: Asker<'_>) -> DirectResponse {
    let mut answer = error(reason, asker);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    put(&mut answer.head, Known::RetryAfter, &seconds.to_string());
    put(&mut answer.head, Known::XRetryIn, &go_duration(wait));
    answer
}

/// An answer of fixed content: text, as far as anybody has said.
pub fn fixed(fixed: &FixedAnswer) -> DirectResponse {
    let FixedAnswer { status, body } = fixed;
    let mut answer = DirectResponse::direct(*status);
    if !body.is_empty() {
        put(&mut answer.head, Known::ContentType, "text/plain");
        answer.body = body.to_vec().into();
    }
    answer
}

/// The answer in place of the upstream's that a fault asks for. A gRPC status becomes the HTTP
/// status that clients make the same of, where the request is not gRPC (as Envoy does).
pub fn abort(abort: Abort, asker: Asker<'_>) -> DirectResponse {
    match abort {
        Abort::Http(status) => error_with_status(Reason::FaultInjected, status, asker),
        Abort::Grpc(code) if asker.form == Form::Grpc => {
            let mut answer = error_with_status(Reason::FaultInjected, 200, asker);
            put(&mut answer.head, Known::GrpcStatus, &code.to_string());
            answer
        }
        Abort::Grpc(code) => {
            error_with_status(Reason::FaultInjected, grpc::http_status(code), asker)
        }
    }
}

/// The answer when user and password are missing or wrong: 401 and what is asked for
/// (RFC 7617 section 2).
pub fn unauthorized(realm: &str, asker: Asker<'_>) -> DirectResponse {
    let mut answer = error(Reason::Unauthorized, asker);
    let mut challenge = String::from("Basic realm=\"");
    for c in realm.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            challenge.push('\\');
        }
        challenge.push(c);
    }
    challenge.push('"');
    put(&mut answer.head, Known::WwwAuthenticate, &challenge);
    answer
}

/// The gRPC status that a client makes of an HTTP status, from the table of the gRPC documents
/// (`http-grpc-status-mapping`).
pub fn grpc_status(http_status: u16) -> u8 {
    match http_status {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

// === impl DirectResponse ===

impl DirectResponse {
    /// An answer that was configured: a redirect, a preflight. Its reason is [`Reason::Direct`].
    pub(crate) fn direct(status: u16) -> Self {
        let mut head = ResponseHead::default();
        head.set_status(status);
        Self { head, body: Cow::Borrowed(b""), reason: Reason::Direct, detail: None }
    }

    /// The same answer with a note for the log.
    pub fn with_detail(self, detail: impl Into<Arc<str>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status()
    }
}

// === impl Asker ===

impl<'a> Asker<'a> {
    /// Reads `Accept`, `Content-Type` and `X-Request-Id`.
    pub fn of(head: &'a RequestHead) -> Self {
        let content_type = head.fields.get(Known::ContentType);
        let is_grpc = content_type.is_some_and(weft_resilience::grpc::is_content_type);
        let form = if is_grpc {
            Form::Grpc
        } else if head.fields.get_all(Known::Accept).any(accepts_problem) {
            Form::Problem
        } else {
            Form::Text
        };
        let request_id = head.fields.get_str(Known::XRequestId).unwrap_or_default();
        Self { form, request_id, service: "" }
    }

    /// What went wrong, and where if that may be said.
    fn text(&self, reason: Reason) -> Cow<'static, str> {
        match self.service {
            "" => reason.text().into(),
            service => format!("{}: {service}", reason.text()).into(),
        }
    }
}

// === functions ===

/// Sets a field to a value that is valid by construction.
pub(crate) fn put(head: &mut ResponseHead, name: impl AsFieldName, value: &str) {
    let set = head.fields.set(name, value.as_bytes());
    debug_assert!(set.is_ok(), "values of our own are valid");
}

fn text_answer(
    reason: Reason,
    status: u16,
    asker: Asker<'_>,
    head: &mut ResponseHead,
) -> Cow<'static, [u8]> {
    head.set_status(status);
    put(head, Known::ContentType, "text/plain; charset=utf-8");
    put(head, Known::XContentTypeOptions, "nosniff");
    format!("{}\n", asker.text(reason)).into_bytes().into()
}

fn problem_answer(
    reason: Reason,
    status: u16,
    asker: Asker<'_>,
    head: &mut ResponseHead,
) -> Cow<'static, [u8]> {
    head.set_status(status);
    put(head, Known::ContentType, "application/problem+json");
    put(head, Known::XContentTypeOptions, "nosniff");
    let mut body = String::from(r#"{"type":"about:blank","title":"#);
    push_json(reason_phrase(status), &mut body);
    push(&mut body, format_args!(r#","status":{status},"detail":"#));
    push_json(&asker.text(reason), &mut body);
    let Asker { request_id, service, .. } = asker;
    if !service.is_empty() {
        body.push_str(r#","service":"#);
        push_json(service, &mut body);
        body.push_str(r#","reason":"#);
        push_json(reason.label(), &mut body);
    }
    if !request_id.is_empty() {
        body.push_str(r#","instance":"#);
        let mut reference = String::new();
        media::percent_encode(request_id.as_bytes(), media::is_unreserved, &mut reference);
        push_json(&reference, &mut body);
    }
    body.push('}');
    body.into_bytes().into()
}

/// A trailers-only answer: status and message stand in the head, and there is no body.
fn grpc_answer(
    reason: Reason,
    status: u16,
    asker: Asker<'_>,
    head: &mut ResponseHead,
) -> Cow<'static, [u8]> {
    head.set_status(200);
    put(head, Known::ContentType, "application/grpc");
    let code = match reason {
        // gRPC has a status of its own for a deadline that has passed.
        Reason::RequestTimeout | Reason::UpstreamTimeout => 4,
        _ if status == 200 => 2,
        _ => grpc_status(status),
    };
    put(head, Known::GrpcStatus, &code.to_string());
    let mut message = String::new();
    let plain = |byte| matches!(byte, b' '..=b'~') && byte != b'%';
    media::percent_encode(asker.text(reason).as_bytes(), plain, &mut message);
    put(head, Known::GrpcMessage, &message);
    Cow::Borrowed(b"")
}

fn accepts_problem(accept: &[u8]) -> bool {
    media::list(accept).any(|element| {
        let (name, parameters) = media::split_parameters(element);
        name.eq_ignore_ascii_case(b"application/problem+json") && media::quality(parameters) > 0
    })
}

/// A JSON string (RFC 8259 section 7).
fn push_json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => push(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A duration as Go prints it: `1h2m3.5s`, `100ms`, `0s`. Traefik writes `X-Retry-In` so;
/// microseconds are `us` here, which Go reads as well and which is ASCII.
fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, name) = match nanos {
        0 => return "0s".into(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let mut out = String::new();
    let mut whole = nanos / unit;
    if name == "s" {
        let (hours, minutes) = (whole / 3600, whole / 60 % 60);
        if hours > 0 {
            push(&mut out, format_args!("{hours}h"));
        }
        if whole >= 60 {
            push(&mut out, format_args!("{minutes}m"));
        }
        whole %= 60;
    }
    push(&mut out, format_args!("{whole}"));
    let rest = nanos % unit;
    if rest > 0 {
        let digits = unit.ilog10() as usize;
        let fraction = format!("{rest:0digits$}");
        push(&mut out, format_args!(".{}", fraction.trim_end_matches('0')));
    }
    out.push_str(name);
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}
