//! Which pages of other origins may call.

use std::time::Duration;

use super::condition::StringMatch;
use crate::istio::header::is_field_name;
use crate::istio::value::{any_duration, spanned};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// Which pages of other origins may call (`corsPolicy`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins that may; the exact text `*` stands for all.
    pub allow_origins: Vec<Spanned<StringMatch>>,
    /// Methods that they may use.
    pub allow_methods: Vec<Box<str>>,
    /// Headers that they may send; `*` stands for all.
    pub allow_headers: Vec<Box<str>>,
    /// Headers of answers that they may see; `*` stands for all.
    pub expose_headers: Vec<Box<str>>,
    /// How long browsers may keep the answer to a preflight; whole seconds.
    pub max_age: Option<Spanned<Duration>>,
    /// Whether they may send credentials; `None` says nothing of it.
    pub allow_credentials: Option<bool>,
    /// What becomes of preflights of other origins.
    pub unmatched_preflights: UnmatchedPreflights,
}

/// What becomes of preflights of origins that may not call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnmatchedPreflights {
    /// They are sent on (`FORWARD`).
    #[default]
    Forward,
    /// They are answered here, without the headers that would allow the call (`IGNORE`).
    Answer,
}

/// The methods that Istio lets be named.
const METHODS: [&str; 11] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*", "PROPFIND",
];

// === impl Cors ===

impl Cors {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let mut allow_origins = reader.list("allowOrigins", |item| {
            let origin = StringMatch::read(item)?;
            let (StringMatch::Exact(text) | StringMatch::Prefix(text) | StringMatch::Regex(text)) =
                &origin;
            if text.is_empty() {
                item.error("an origin must not be empty", None);
                return None;
            }
            Some(item.spanned(origin))
        });
        // What stood here before.
        let exact =
            |item: &Field<'_, '_>| Some(item.spanned(StringMatch::Exact(item.non_empty_string()?)));
        let old = reader.list("allowOrigin", exact);
        if !old.is_empty() {
            let fix = "write `allowOrigins` with {exact: …}".into();
            let message = match allow_origins.is_empty() {
                true => "`allowOrigin` is the old name of `allowOrigins`",
                false => "`allowOrigin` has no effect beside `allowOrigins`",
            };
            reader.warn(message, Some(fix));
        }
        if allow_origins.is_empty() {
            allow_origins = old;
        }
        let preflights = [
            ("UNSPECIFIED", UnmatchedPreflights::Forward),
            ("FORWARD", UnmatchedPreflights::Forward),
            ("IGNORE", UnmatchedPreflights::Answer),
        ];
        let preflights =
            reader.take("unmatchedPreflights").and_then(|field| field.choice(&preflights));
        Some(Self {
            allow_origins,
            allow_methods: reader.list("allowMethods", method),
            allow_headers: reader.list("allowHeaders", header),
            expose_headers: reader.list("exposeHeaders", header),
            max_age: spanned(reader, "maxAge", max_age),
            allow_credentials: reader.bool("allowCredentials"),
            unmatched_preflights: preflights.unwrap_or_default(),
        })
    }
}

fn method(field: &Field<'_, '_>) -> Option<Box<str>> {
    Some(field.choice(&METHODS.map(|name| (name, name)))?.into())
}

fn header(field: &Field<'_, '_>) -> Option<Box<str>> {
    let name = field.non_empty_string()?;
    if !is_field_name(&name) {
        field.error(format!("`{name}` is not the name of a header"), None);
        return None;
    }
    Some(name)
}

fn max_age(field: &Field<'_, '_>) -> Option<Duration> {
    let age = any_duration(field)?;
    if age.subsec_nanos() != 0 || age.is_zero() {
        let fix = Some("write seconds, such as 600s".into());
        field.error("`maxAge` has whole seconds, and at least one", fix);
        return None;
    }
    Some(age)
}
