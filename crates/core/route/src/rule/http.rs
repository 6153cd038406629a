//! HTTP matchers of v3.

use weft_message::Method;
use weft_model::route::{Matcher, PathMatch};
use weft_model::text::TextMatch;

use crate::rule::catalogue::{Call, Entry, Hints, Text, call};
use crate::rule::{regexp, value};
use crate::syntax::{Fault, Grammar, Tokens};

/// The language.
pub(super) struct Http;

#[derive(Clone, Copy)]
enum Kind {
    Host,
    HostRegexp,
    Path,
    PathPrefix,
    PathRegexp,
    Header,
    HeaderRegexp,
    Query,
    QueryRegexp,
    Method,
    ClientIp,
}

const ENTRIES: &[Entry<Kind>] = &[
    Entry { name: "Host", kind: Kind::Host, least: 1, most: 1 },
    Entry { name: "HostRegexp", kind: Kind::HostRegexp, least: 1, most: 1 },
    Entry { name: "Path", kind: Kind::Path, least: 1, most: 1 },
    Entry { name: "PathPrefix", kind: Kind::PathPrefix, least: 1, most: 1 },
    Entry { name: "PathRegexp", kind: Kind::PathRegexp, least: 1, most: 1 },
    Entry { name: "Header", kind: Kind::Header, least: 2, most: 2 },
    Entry { name: "HeaderRegexp", kind: Kind::HeaderRegexp, least: 2, most: 2 },
    Entry { name: "Query", kind: Kind::Query, least: 1, most: 2 },
    Entry { name: "QueryRegexp", kind: Kind::QueryRegexp, least: 1, most: 2 },
    Entry { name: "Method", kind: Kind::Method, least: 1, most: 1 },
    Entry { name: "ClientIP", kind: Kind::ClientIp, least: 1, most: 1 },
];

const HINTS: Hints = &[
    ("Headers", "v3 calls it `Header`; set `syntax: v2` to keep the old language"),
    ("HeadersRegexp", "v3 calls it `HeaderRegexp`; set `syntax: v2` to keep the old language"),
    ("HostHeader", "v3 calls it `Host`; set `syntax: v2` to keep the old language"),
    ("HostSNI", "that is for TCP routes; HTTP routes use `Host`"),
    ("HostSNIRegexp", "that is for TCP routes; HTTP routes use `HostRegexp`"),
    ("ALPN", "that is for TCP routes"),
];

// === impl Http ===

impl Grammar for Http {
    type Node = Matcher;

    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<Matcher, Fault> {
        let Call { kind, values } = call(tokens, ENTRIES, HINTS)?;
        let [first, rest @ ..] = &*values else { return Ok(Matcher::All(Vec::new())) };
        Ok(match kind {
            Kind::Host => Matcher::Host(value::host(first)?),
            Kind::HostRegexp => Matcher::Host(value::host_pattern(first)?),
            Kind::Path => Matcher::Path(PathMatch::Exact(value::path(first)?)),
            Kind::PathPrefix => Matcher::Path(PathMatch::Prefix(value::path_prefix(first)?)),
            Kind::PathRegexp => Matcher::Path(PathMatch::Regex(regexp::pattern(first)?)),
            Kind::Header => {
                Matcher::Header(value::header_name(first)?, TextMatch::Exact(text(rest)))
            }
            Kind::HeaderRegexp => Matcher::Header(value::header_name(first)?, pattern(rest)?),
            Kind::Query => Matcher::Query(first.text.as_ref().into(), TextMatch::Exact(text(rest))),
            Kind::QueryRegexp => Matcher::Query(first.text.as_ref().into(), pattern(rest)?),
            Kind::Method => method(first)?,
            Kind::ClientIp => Matcher::ClientIp(value::network(first)?),
        })
    }

    fn all(&mut self, nodes: Vec<Matcher>) -> Matcher {
        Matcher::All(nodes)
    }

    fn any(&mut self, nodes: Vec<Matcher>) -> Matcher {
        Matcher::Any(nodes)
    }

    fn not(&mut self, node: Matcher) -> Matcher {
        Matcher::Not(Box::new(node))
    }
}

/// A method by its name in any letter case.
pub(super) fn method(name: &Text<'_>) -> Result<Matcher, Fault> {
    Method::parse(name.text.to_ascii_uppercase().as_bytes())
        .map(Matcher::Method)
        .map_err(|_| name.fault("not the name of a method"))
}

/// The second value; empty when it was left out.
fn text(rest: &[Text<'_>]) -> Box<str> {
    rest.first().map(|value| value.text.as_ref().into()).unwrap_or_default()
}

/// The second value as a pattern; when it was left out, the value must be empty.
fn pattern(rest: &[Text<'_>]) -> Result<TextMatch, Fault> {
    match rest.first() {
        Some(value) => Ok(TextMatch::Regex(regexp::pattern(value)?)),
        None => Ok(TextMatch::Exact(Box::default())),
    }
}
