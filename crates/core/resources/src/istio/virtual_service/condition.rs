//! Conditions on calls.

use super::GatewayRef;
use crate::istio::header::is_field_name;
use crate::istio::value::{is_label, port, spanned, text};
use crate::kubernetes::Labels;
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A condition on a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringMatch {
    /// All of it.
    Exact(Box<str>),
    /// Its beginning, letter by letter.
    Prefix(Box<str>),
    /// All of it, by pattern (RE2).
    Regex(Box<str>),
}

/// A condition on a value that may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// It is there.
    Present,
    /// It is there, and this holds of it.
    Text(StringMatch),
}

/// A condition on a named value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMatch {
    /// Its name, of headers in lower case. It may be one of HTTP/2's pseudo-headers (`:path`), or a
    /// claim of the caller's token (`@request.auth.claims.…`, in the case as written).
    pub name: Spanned<Box<str>>,
    /// What must hold.
    pub condition: Spanned<ValueMatch>,
}

/// A condition on a request: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpMatch {
    /// Name.
    pub name: Option<Box<str>>,
    /// On the path without the query.
    pub uri: Option<Spanned<StringMatch>>,
    /// Whether case makes no difference to an exact path or a prefix.
    pub ignores_uri_case: bool,
    /// On the scheme.
    pub scheme: Option<Spanned<StringMatch>>,
    /// On the method.
    pub method: Option<Spanned<StringMatch>>,
    /// On the authority as the request names it.
    pub authority: Option<Spanned<StringMatch>>,
    /// On headers.
    pub headers: Vec<NamedMatch>,
    /// On headers, none of which may hold.
    pub without_headers: Vec<NamedMatch>,
    /// On query parameters.
    pub query: Vec<NamedMatch>,
    /// On what does not depend on the protocol.
    pub call: CallMatch,
    /// What statistics are to be counted under.
    pub stat_prefix: Option<Spanned<Box<str>>>,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on a call of any protocol: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallMatch {
    /// The port of the service, or of the gateway's server.
    pub port: Option<Spanned<u16>>,
    /// Labels of the caller, all of which it must have; no condition when empty. Of sidecars alone.
    pub source_labels: Labels,
    /// The namespace of the caller. Of sidecars alone.
    pub source_namespace: Option<Spanned<Box<str>>>,
    /// What it is for, instead of what the whole document is for; no condition when empty.
    pub gateways: Vec<Spanned<GatewayRef>>,
}

/// Which names of values a map has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Headers,
    Query,
}

/// What has fields of its own, and no meaning among headers.
const OWN_FIELDS: &[&str] = &["uri", "scheme", "method", "authority"];

/// The pseudo-headers of requests (RFC 9113, 8.3.1), and that of answers, which Istio lets pass.
const PSEUDO_HEADERS: &[&str] = &[":method", ":scheme", ":authority", ":path", ":status"];

/// How names of claims begin.
const CLAIMS: &str = "@request.auth.claims";

// === impl StringMatch ===

impl StringMatch {
    /// Reads a condition that must say something; an empty prefix says that all fit.
    pub(crate) fn read(field: &Field<'_, '_>) -> Option<Self> {
        match one(field)? {
            Some(found) => Some(found),
            None => {
                field.error(NEEDS_ONE, None);
                None
            }
        }
    }

    /// Reads a condition whose prefix is not empty.
    fn read_full(field: &Field<'_, '_>) -> Option<Self> {
        let found = Self::read(field)?;
        if let Self::Prefix(prefix) = &found
            && prefix.is_empty()
        {
            field.error("the prefix must not be empty", None);
            return None;
        }
        Some(found)
    }
}

impl std::fmt::Display for StringMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "exact {text}"),
            Self::Prefix(text) => write!(f, "prefix {text}"),
            Self::Regex(text) => write!(f, "regex {text}"),
        }
    }
}

const NEEDS_ONE: &str = "one of `exact`, `prefix` and `regex` is required";

/// A condition, or the lack of one.
#[expect(clippy::option_option, reason = "the outer one is for what could not be read")]
fn one(field: &Field<'_, '_>) -> Option<Option<StringMatch>> {
    if let Some(scalar) = field.node().as_scalar().filter(|_| !field.is_null()) {
        let fix = format!("write {{exact: {}}}", scalar.text);
        field.error(format!("expected a map, found {}", field.node().describe()), Some(fix));
        return None;
    }
    field.nested(|map| {
        let part = |name| map.take(name).map(|field| field.string());
        let (exact, prefix, regex) = (part("exact"), part("prefix"), part("regex"));
        match (exact, prefix, regex) {
            (None, None, None) => Some(None),
            (Some(text), None, None) => Some(Some(StringMatch::Exact(text?))),
            (None, Some(text), None) => Some(Some(StringMatch::Prefix(text?))),
            (None, None, Some(text)) => {
                let text = text?;
                if text.is_empty() {
                    map.error("the pattern must not be empty", None);
                    return None;
                }
                Some(Some(StringMatch::Regex(text)))
            }
            _ => {
                let fix = Some("keep one of them".into());
                map.error("`exact`, `prefix` and `regex` exclude each other", fix);
                None
            }
        }
    })
}

// === impl ValueMatch ===

impl ValueMatch {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        if field.is_null() {
            return Some(Self::Present);
        }
        match one(field)? {
            None => Some(Self::Present),
            // No pattern, but what Istio takes for "anything".
            Some(StringMatch::Regex(pattern)) if &*pattern == "*" => Some(Self::Present),
            Some(StringMatch::Prefix(prefix)) if prefix.is_empty() => {
                field.error("the prefix must not be empty", Some("write {} for any value".into()));
                None
            }
            Some(text) => Some(Self::Text(text)),
        }
    }
}

// === impl NamedMatch ===

impl NamedMatch {
    fn take_all(reader: &Reader<'_, '_>, name: &'static str, names: Names) -> Vec<Self> {
        let Some(field) = reader.take(name) else { return Vec::new() };
        let Some(map) = field.reader() else { return Vec::new() };
        let mut all: Vec<Self> = Vec::new();
        for (text, field) in map.rest() {
            let Some(name) = value_name(&field, text, names) else { continue };
            let Some(condition) = ValueMatch::read(&field) else { continue };
            if all.iter().any(|other| *other.name.value == *name) {
                field.error(format!("`{name}` is there already in another case"), None);
            }
            let condition = field.spanned(condition);
            all.push(Self { name: Spanned::new(name, field.key_at()), condition });
        }
        all
    }
}

fn value_name(field: &Field<'_, '_>, text: &str, names: Names) -> Option<Box<str>> {
    let is_claim = text.starts_with(CLAIMS);
    if names == Names::Query || is_claim || PSEUDO_HEADERS.contains(&text) {
        return Some(text.into());
    }
    if OWN_FIELDS.contains(&text) {
        let fix = Some(format!("write it as `{text}` beside `headers`"));
        field.warn(format!("`{text}` is no header and has no effect here"), fix);
        return None;
    }
    if !is_field_name(text) {
        field.error(format!("`{text}` is not the name of a header"), None);
        return None;
    }
    let name = text.to_ascii_lowercase();
    if name != text {
        let message = format!("names of headers are compared in lower case, `{text}` as `{name}`");
        field.warn(message, Some(format!("write {name}")));
    }
    Some(name.into())
}

// === impl HttpMatch ===

impl HttpMatch {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let full = |name| spanned(reader, name, StringMatch::read_full);
        let found = Self {
            name: reader.string("name"),
            uri: spanned(reader, "uri", StringMatch::read),
            ignores_uri_case: reader.bool_or("ignoreUriCase", false),
            scheme: full("scheme"),
            method: full("method"),
            authority: full("authority"),
            headers: NamedMatch::take_all(reader, "headers", Names::Headers),
            without_headers: NamedMatch::take_all(reader, "withoutHeaders", Names::Headers),
            query: NamedMatch::take_all(reader, "queryParams", Names::Query),
            call: CallMatch::read(reader),
            stat_prefix: text(reader, "statPrefix"),
            at: reader.at(),
        };
        if found.ignores_uri_case && found.uri.as_deref().is_some_and(is_regex) {
            let fix = "write (?i) at the beginning of the pattern".into();
            reader.warn("`ignoreUriCase` has no effect on a regex", Some(fix));
        }
        Some(found)
    }
}

fn is_regex(text: &StringMatch) -> bool {
    matches!(text, StringMatch::Regex(_))
}

// === impl CallMatch ===

impl CallMatch {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Self {
        let labels = reader.take("sourceLabels").map(|field| field.text_map());
        let namespace = text(reader, "sourceNamespace");
        if let Some(namespace) = namespace.as_ref().filter(|namespace| !is_label(namespace)) {
            reader.error(format!("`{}` is not the name of a namespace", namespace.value), None);
        }
        Self {
            port: port(reader, "port"),
            source_labels: labels.unwrap_or_default().into(),
            source_namespace: namespace,
            gateways: GatewayRef::take_all(reader),
        }
    }

    /// Whether it holds of every call.
    pub fn is_any(&self) -> bool {
        let Self { port, source_labels, source_namespace, gateways } = self;
        port.is_none()
            && source_labels.is_empty()
            && source_namespace.is_none()
            && gateways.is_empty()
    }
}
