//! Rules for HTTP.

use std::time::Duration;

use super::action::{HttpAction, Rewrite};
use super::condition::HttpMatch;
use super::cors::Cors;
use super::fault::Fault;
use super::mirror::Mirror;
use super::retry::Retries;
use crate::istio::destination::Destination;
use crate::istio::header::HeaderEdits;
use crate::istio::value::{block, duration, has_items, spanned};
use crate::problem::Pos;
use crate::read::Reader;
use crate::resource::Spanned;

/// A rule for HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRoute {
    /// Name.
    pub name: Option<Box<str>>,
    /// Takes a request when one of them does; every request when empty.
    pub matches: Vec<HttpMatch>,
    /// What becomes of requests.
    pub action: HttpAction,
    /// What of the request is changed before it is sent.
    pub rewrite: Option<Spanned<Rewrite>>,
    /// From the request to the end of the answer; `None` for no bound.
    pub timeout: Option<Spanned<Duration>>,
    /// Sends again what failed; `None` leaves it to MeshConfig.
    pub retries: Option<Spanned<Retries>>,
    /// Faults that are made up.
    pub fault: Option<Spanned<Fault>>,
    /// Who gets copies of requests.
    pub mirrors: Vec<Mirror>,
    /// Which pages of other origins may call.
    pub cors: Option<Spanned<Cors>>,
    /// What is done to headers, whatever the destination.
    pub headers: HeaderEdits,
    /// Where it is written.
    pub at: Pos,
}

/// One of the destinations of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteDestination {
    /// Where calls go.
    pub destination: Destination,
    /// Share among its siblings; at least one of them has more than 0.
    pub weight: u32,
    /// What is done to headers after what the rule does; nothing in rules for TLS and TCP.
    pub headers: HeaderEdits,
    /// Where it is written.
    pub at: Pos,
}

// === impl HttpRoute ===

impl HttpRoute {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let name = reader.string("name");
        let matches = reader.list("match", |item| item.nested(HttpMatch::read));
        let rewrite = block(reader, "rewrite", Rewrite::read);
        let timeout = spanned(reader, "timeout", duration);
        let retries = block(reader, "retries", Retries::read);
        let fault = block(reader, "fault", Fault::read);
        let mirrors = Mirror::take_all(reader);
        let cors = block(reader, "corsPolicy", Cors::read);
        let headers = HeaderEdits::take(reader);
        if let (Some(rewrite), Some(other)) = (&rewrite, headers.request.authority())
            && rewrite.authority.is_some()
        {
            let message = format!("the authority is set twice, here to `{}`", other.value);
            reader.error(message, Some("keep `rewrite.authority` or the header".into()));
        }
        let action = HttpAction::read(reader, &matches)?;
        let at = reader.at();
        Some(Self {
            name,
            matches,
            action,
            rewrite,
            timeout,
            retries,
            fault,
            mirrors,
            cors,
            headers,
            at,
        })
    }
}

// === impl RouteDestination ===

impl RouteDestination {
    /// Takes `route` of a rule for HTTP.
    pub(super) fn take_http(reader: &Reader<'_, '_>) -> Vec<Self> {
        Self::take_all(reader, HeaderEdits::take)
    }

    /// Takes `route` of a rule for TLS or TCP.
    pub(super) fn take_l4(reader: &Reader<'_, '_>) -> Vec<Self> {
        reader.require("route");
        Self::take_all(reader, |_| HeaderEdits::default())
    }

    fn take_all(reader: &Reader<'_, '_>, headers: fn(&Reader<'_, '_>) -> HeaderEdits) -> Vec<Self> {
        let Some(field) = reader.take("route") else { return Vec::new() };
        let one = |reader: &Reader<'_, '_>| {
            let weight = reader.int("weight", 0, i32::MAX.into()).unwrap_or(0) as u32;
            let headers = headers(reader);
            let destination = reader.require("destination")?.nested(Destination::read)?;
            Some(Self { destination, weight, headers, at: reader.at() })
        };
        let mut all = field.list(|item| item.nested(one));
        match all.as_mut_slice() {
            // The only one gets everything, whatever its weight.
            [only] => only.weight = only.weight.max(1),
            [] if !has_items(reader, "route") => {
                field.error("a route needs at least one destination", None);
            }
            [] => {}
            all if all.iter().all(|one| one.weight == 0) => {
                let fix = Some("give each its `weight`".into());
                field.error("of several destinations none has a weight", fix);
            }
            _ => {}
        }
        all
    }
}
