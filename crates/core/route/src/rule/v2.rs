//! The matchers of v2: lists of values, templates, `Headers`, `Query` as `key=value`.

use weft_model::route::{HostMatch, Matcher, PathMatch, TcpMatcher};
use weft_model::text::TextMatch;

use crate::rule::catalogue::{Call, Entry, Hints, Text, call};
use crate::rule::http::method;
use crate::rule::tcp::{self, alpn};
use crate::rule::template::{self, Template};
use crate::rule::{regexp, value};
use crate::syntax::{Fault, Grammar, Tokens};

/// The language of HTTP rules.
pub(super) struct Http;

/// The language of TCP rules.
pub(super) struct Tcp;

#[derive(Clone, Copy)]
enum HttpKind {
    Host,
    HostRegexp,
    Path,
    PathPrefix,
    Headers,
    HeadersRegexp,
    Query,
    Method,
    ClientIp,
}

#[derive(Clone, Copy)]
enum TcpKind {
    HostSni,
    HostSniRegexp,
    ClientIp,
    Alpn,
}

const MANY: usize = usize::MAX;

const HTTP: &[Entry<HttpKind>] = &[
    Entry { name: "Host", kind: HttpKind::Host, least: 1, most: MANY },
    Entry { name: "HostHeader", kind: HttpKind::Host, least: 1, most: MANY },
    Entry { name: "HostRegexp", kind: HttpKind::HostRegexp, least: 1, most: MANY },
    Entry { name: "Path", kind: HttpKind::Path, least: 1, most: MANY },
    Entry { name: "PathPrefix", kind: HttpKind::PathPrefix, least: 1, most: MANY },
    Entry { name: "Headers", kind: HttpKind::Headers, least: 2, most: 2 },
    Entry { name: "HeadersRegexp", kind: HttpKind::HeadersRegexp, least: 2, most: 2 },
    Entry { name: "Query", kind: HttpKind::Query, least: 1, most: MANY },
    Entry { name: "Method", kind: HttpKind::Method, least: 1, most: MANY },
    Entry { name: "ClientIP", kind: HttpKind::ClientIp, least: 1, most: MANY },
];

const TCP: &[Entry<TcpKind>] = &[
    Entry { name: "HostSNI", kind: TcpKind::HostSni, least: 1, most: MANY },
    Entry { name: "HostSNIRegexp", kind: TcpKind::HostSniRegexp, least: 1, most: MANY },
    Entry { name: "ClientIP", kind: TcpKind::ClientIp, least: 1, most: MANY },
    Entry { name: "ALPN", kind: TcpKind::Alpn, least: 1, most: MANY },
];

const HTTP_HINTS: Hints = &[
    ("Header", "v2 calls it `Headers`; leave out `syntax: v2` for the current language"),
    (
        "HeaderRegexp",
        "v2 calls it `HeadersRegexp`; leave out `syntax: v2` for the current language",
    ),
    (
        "PathRegexp",
        "v2 has `Path` with `{name:pattern}`; leave out `syntax: v2` for the current language",
    ),
    (
        "QueryRegexp",
        "v2 has `Query` with `{name:pattern}`; leave out `syntax: v2` for the current language",
    ),
    ("HostSNI", "that is for TCP routes; HTTP routes use `Host`"),
];

/// One label of a host.
const LABEL: &str = "[^.]+";
/// One element of a path.
const SEGMENT: &str = "[^/]+";

// === impl Http ===

impl Grammar for Http {
    type Node = Matcher;

    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<Matcher, Fault> {
        let Call { kind, values } = call(tokens, HTTP, HTTP_HINTS)?;
        if let (HttpKind::Headers | HttpKind::HeadersRegexp, [name, text]) = (kind, &*values) {
            let text = match kind {
                HttpKind::HeadersRegexp => TextMatch::Regex(regexp::pattern(text)?),
                _ => TextMatch::Exact(text.text.as_ref().into()),
            };
            return Ok(Matcher::Header(value::header_name(name)?, text));
        }
        let matchers = values.iter().map(|value| http_matcher(kind, value));
        let matchers = matchers.collect::<Result<Vec<_>, _>>()?;
        // A query must have all of its parameters; of the others one suffices.
        Ok(match kind {
            HttpKind::Query => single(matchers, Matcher::All),
            _ => single(matchers, Matcher::Any),
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

fn http_matcher(kind: HttpKind, value: &Text<'_>) -> Result<Matcher, Fault> {
    Ok(match kind {
        HttpKind::Host => Matcher::Host(value::host(value)?),
        HttpKind::HostRegexp => Matcher::Host(host_template(value)?),
        HttpKind::Path => Matcher::Path(path_template(value, true)?),
        HttpKind::PathPrefix => Matcher::Path(path_template(value, false)?),
        HttpKind::Query => query(value)?,
        HttpKind::Method => method(value)?,
        HttpKind::ClientIp => Matcher::ClientIp(value::network(value)?),
        HttpKind::Headers | HttpKind::HeadersRegexp => {
            return Err(value.fault("expected a name and a value"));
        }
    })
}

// === impl Tcp ===

impl Grammar for Tcp {
    type Node = TcpMatcher;

    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<TcpMatcher, Fault> {
        let Call { kind, values } = call(tokens, TCP, tcp::HINTS)?;
        let matchers = values.iter().map(|value| {
            Ok(match kind {
                TcpKind::HostSni => TcpMatcher::Sni(value::host(value)?),
                TcpKind::HostSniRegexp => TcpMatcher::Sni(host_template(value)?),
                TcpKind::ClientIp => TcpMatcher::ClientIp(value::network(value)?),
                TcpKind::Alpn => alpn(value)?,
            })
        });
        Ok(single(matchers.collect::<Result<_, Fault>>()?, TcpMatcher::Any))
    }

    fn all(&mut self, nodes: Vec<TcpMatcher>) -> TcpMatcher {
        TcpMatcher::All(nodes)
    }

    fn any(&mut self, nodes: Vec<TcpMatcher>) -> TcpMatcher {
        TcpMatcher::Any(nodes)
    }

    fn not(&mut self, node: TcpMatcher) -> TcpMatcher {
        TcpMatcher::Not(Box::new(node))
    }
}

/// The only matcher, or all of them joined.
fn single<M>(mut matchers: Vec<M>, join: impl Fn(Vec<M>) -> M) -> M {
    match matchers.len() {
        1 => matchers.swap_remove(0),
        _ => join(matchers),
    }
}

fn host_template(value: &Text<'_>) -> Result<HostMatch, Fault> {
    let lower = |literal: &str| literal.to_ascii_lowercase();
    match template::read(value, &value.text, LABEL, lower)? {
        Template::Literal => value::host(value),
        Template::Pattern(pattern) => {
            Ok(HostMatch::Regex(template::compile(value, &format!("^{pattern}$"))?))
        }
    }
}

fn path_template(value: &Text<'_>, whole: bool) -> Result<PathMatch, Fault> {
    let read = template::read(value, &value.text, SEGMENT, value::canonical_literal)?;
    Ok(match (read, whole) {
        (Template::Literal, true) => PathMatch::Exact(value::path(value)?),
        (Template::Literal, false) => PathMatch::Prefix(value::path_prefix(value)?),
        (Template::Pattern(_), _) if !value.text.starts_with('/') => {
            return Err(value.fault("the path does not start with a slash"));
        }
        (Template::Pattern(pattern), whole) => {
            let end = if whole { "$" } else { "" };
            PathMatch::Regex(template::compile(value, &format!("^{pattern}{end}"))?)
        }
    })
}

fn query(value: &Text<'_>) -> Result<Matcher, Fault> {
    let Some((key, text)) = value.text.split_once('=') else {
        let fault = value.fault("the query parameter has no `=`");
        return Err(fault.remedy(format!("v2 writes `{}=value`", value.text)));
    };
    let text = match template::read(value, text, ".*", str::to_owned)? {
        Template::Literal if text.is_empty() => TextMatch::Present,
        Template::Literal => TextMatch::Exact(text.into()),
        Template::Pattern(pattern) => {
            TextMatch::Regex(template::compile(value, &format!("^{pattern}$"))?)
        }
    };
    Ok(Matcher::Query(key.into(), text))
}
