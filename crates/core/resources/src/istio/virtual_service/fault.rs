//! Faults that are made up, to see how callers take them.

use std::time::Duration;

use crate::istio::value::{Percent, block, duration, foreign};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// Faults that are made up, each by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Requests wait before they are sent.
    pub delay: Option<Spanned<Delay>>,
    /// Requests are answered with an error, and not sent.
    pub abort: Option<Spanned<Abort>>,
}

/// A wait before a request is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    /// How long.
    pub duration: Duration,
    /// Of how many requests; none by default.
    pub percent: Percent,
}

/// An error in place of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Abort {
    /// Which one.
    pub status: AbortStatus,
    /// For how many requests; none by default.
    pub percent: Percent,
}

/// The error of an [`Abort`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortStatus {
    /// A status of HTTP, 200 to 599.
    Http(u16),
    /// A status of gRPC, 0 to 16.
    Grpc(u8),
}

/// The statuses of gRPC in the order of their numbers.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

// === impl Fault ===

impl Fault {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        if !["delay", "abort"].into_iter().any(|name| reader.take(name).is_some()) {
            reader.error("a fault needs `delay` or `abort`", None);
        }
        Some(Self {
            delay: block(reader, "delay", Delay::read),
            abort: block(reader, "abort", Abort::read),
        })
    }
}

// === impl Delay ===

impl Delay {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let old = reader.take("percent").and_then(|field| Percent::read(&field));
        let percent = reader.take("percentage").map(|field| Percent::message(&field));
        if old.is_some() {
            let fix = Some("write percentage: {value: N}".into());
            let message = match percent.is_some() {
                true => "`percent` has no effect beside `percentage`",
                false => "`percent` is the old name of `percentage`",
            };
            reader.warn(message, fix);
        }
        foreign(
            reader,
            "exponentialDelay",
            "`exponentialDelay` is not supported",
            "write `fixedDelay`",
        );
        let duration = reader.require("fixedDelay").and_then(|field| duration(&field));
        let percent = share(reader, percent.or(old.map(Some)))?;
        Some(Self { duration: duration?, percent })
    }
}

// === impl Abort ===

impl Abort {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let percent = reader.take("percentage").map(|field| Percent::message(&field));
        let fix = "write `httpStatus` or `grpcStatus`";
        foreign(reader, "http2Error", "`http2Error` is not supported", fix);
        let http = reader.take("httpStatus").map(|field| field.int(200, 599));
        let grpc = reader.take("grpcStatus").map(|field| grpc(&field));
        let status = match (http, grpc) {
            (Some(_), Some(_)) => {
                let fix = Some("keep one of them".into());
                reader.error("`httpStatus` and `grpcStatus` exclude each other", fix);
                return None;
            }
            (Some(status), None) => AbortStatus::Http(status? as u16),
            (None, Some(status)) => AbortStatus::Grpc(status?),
            (None, None) => {
                let fix = Some("write `httpStatus` or `grpcStatus`".into());
                reader.error("an abort without a status has no effect", fix);
                return None;
            }
        };
        Some(Self { status, percent: share(reader, percent)? })
    }
}

/// The share of requests; where none is named, no request is meant.
#[expect(clippy::option_option, reason = "the inner one is for what could not be read")]
fn share(reader: &Reader<'_, '_>, percent: Option<Option<Percent>>) -> Option<Percent> {
    percent.unwrap_or_else(|| {
        let fix = Some("write percentage: {value: 100} for all requests".into());
        reader.warn("without `percentage` no request is concerned", fix);
        Some(Percent::NONE)
    })
}

fn grpc(field: &Field<'_, '_>) -> Option<u8> {
    let numbered: Vec<(&str, u8)> = GRPC_STATUSES.into_iter().zip(0..).collect();
    field.choice(&numbered)
}
