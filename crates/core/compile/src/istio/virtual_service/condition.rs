//! Conditions on requests.

use weft_message::{FieldName, Method, Scheme};
use weft_model::calling::Audience;
use weft_model::route::{Matcher, PathMatch};
use weft_model::text::{Pattern, TextMatch};
use weft_resources::istio::virtual_service::{
    CallMatch, HttpMatch, NamedMatch, StringMatch, ValueMatch,
};

use super::action::Prefix;
use crate::literal;

/// A condition on requests and those who make them.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    /// What must hold of the request.
    pub(super) matchers: Vec<Matcher>,
    /// The same in words.
    pub(super) words: String,
    /// What must hold of the caller.
    pub(super) audience: Audience,
    /// The port; every one when `None`.
    pub(super) port: Option<u16>,
    /// The part of the path that it names.
    pub(super) path: Option<Prefix>,
}

/// Methods that patterns are tried on: all that have a meaning (RFC 9110, 9.3, and RFC 5789).
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

// === impl Condition ===

impl Condition {
    /// One that every request fulfils.
    pub(super) fn any() -> Self {
        Self { words: "every request".into(), ..Self::default() }
    }

    /// One that no request of those callers fulfils.
    pub(super) fn never(call: &CallMatch) -> Self {
        let mut condition = Self { words: "nothing".into(), ..Self::default() };
        condition.call(call);
        condition.matchers.push(Matcher::Any(Vec::new()));
        condition
    }

    /// Of one entry of `match`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn new(found: &HttpMatch) -> Result<Self, String> {
        let mut condition = Self::default();
        condition.call(&found.call);
        let mut say = Words(Vec::new());
        if let Some(uri) = &found.uri {
            say.text("uri", uri);
            condition.uri(uri, found.ignores_uri_case)?;
        }
        if let Some(method) = &found.method {
            say.text("method", method);
            condition.matchers.push(self::method(method)?);
        }
        if let Some(authority) = &found.authority {
            say.text("authority", authority);
            condition.matchers.push(self::authority(authority)?);
        }
        if let Some(scheme) = &found.scheme {
            say.text("scheme", scheme);
            condition.matchers.push(self::scheme(scheme)?);
        }
        for header in &found.headers {
            say.value("header", header);
            condition.matchers.push(self::header(header)?);
        }
        for header in &found.without_headers {
            say.value("without header", header);
            condition.matchers.push(Matcher::Not(Box::new(self::header(header)?)));
        }
        for query in &found.query {
            say.value("query", query);
            let name = query.name.value.clone();
            condition.matchers.push(Matcher::Query(name, self::value(&query.condition)?));
        }
        let words = match say.0.is_empty() {
            true => "every request".into(),
            false => say.0.join(", "),
        };
        condition.words = match &found.name {
            Some(name) => format!("{name}: {words}"),
            None => words,
        };
        Ok(condition)
    }

    /// What both take; `None` when that is nothing.
    pub(super) fn and(mut self, inner: Self) -> Option<Self> {
        self.port = match (self.port, inner.port) {
            (Some(one), Some(other)) if one != other => return None,
            (one, other) => one.or(other),
        };
        let (own, other) = (&self.audience.namespaces, inner.audience.namespaces);
        if own.is_empty() {
            self.audience.namespaces = other;
        } else if !other.is_empty() && *own != other {
            return None;
        }
        let mut labels = self.audience.labels.to_vec();
        for label in inner.audience.labels {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        self.audience.labels = labels.into();
        if inner.matchers.is_empty() {
            return Some(self);
        }
        self.words = match self.matchers.is_empty() {
            true => inner.words,
            false => format!("{}, {}", self.words, inner.words),
        };
        self.matchers.extend(inner.matchers);
        self.path = inner.path.or(self.path);
        Some(self)
    }

    /// Adds a condition on who calls, and where.
    pub(super) fn call(&mut self, call: &CallMatch) {
        let (audience, port) = caller(call);
        self.audience = audience;
        self.port = port;
    }

    fn uri(&mut self, uri: &StringMatch, ignores_case: bool) -> Result<(), String> {
        let path = |text: &str| -> Result<Box<str>, String> {
            literal::path(text)
                .map_err(|error| format!("no request has the path `{text}`: {error}"))
        };
        let folded = |text: &str, end: &str| {
            Pattern::new(&format!("(?i)^{}{end}", regex::escape(text)))
                .map(PathMatch::Regex)
                .map_err(|error| error.to_string())
        };
        let (matched, part) = match uri {
            StringMatch::Exact(text) => {
                let text = path(text)?;
                let matched = match ignores_case {
                    true => folded(&text, "$")?,
                    false => PathMatch::Exact(text),
                };
                (Some(matched), Prefix::Whole)
            }
            StringMatch::Prefix(text) if matches!(&**text, "" | "/") => {
                (None, Prefix::Part { text: "/".into(), ignores_case: false })
            }
            StringMatch::Prefix(text) => {
                let text = path(text)?;
                let matched = match ignores_case {
                    true => folded(&text, "")?,
                    false => PathMatch::Prefix(text.clone()),
                };
                (Some(matched), Prefix::Part { text, ignores_case })
            }
            StringMatch::Regex(text) => {
                let pattern = Pattern::anchored(text).map_err(|error| error.to_string())?;
                (Some(PathMatch::Regex(pattern)), Prefix::Whole)
            }
        };
        self.matchers.extend(matched.map(Matcher::Path));
        self.path = Some(part);
        Ok(())
    }
}

/// Who calls, and on which port.
pub(super) fn caller(call: &CallMatch) -> (Audience, Option<u16>) {
    let namespace = call.source_namespace.as_ref().map(|namespace| namespace.value.clone());
    let audience = Audience {
        namespaces: namespace.into_iter().collect(),
        labels: call.source_labels.clone(),
    };
    (audience, call.port.map(|port| port.value))
}

fn method(found: &StringMatch) -> Result<Matcher, String> {
    let parse = |name: &str| Method::parse(name.as_bytes()).map_err(|error| error.to_string());
    if let StringMatch::Exact(name) = found {
        return parse(name).map(Matcher::Method);
    }
    let text = text(found)?;
    let fits = METHODS.iter().filter(|name| text.is_match(name));
    let fits: Result<Vec<_>, _> = fits.map(|name| parse(name).map(Matcher::Method)).collect();
    Ok(Matcher::Any(fits?))
}

fn scheme(found: &StringMatch) -> Result<Matcher, String> {
    let text = text(found)?;
    let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
    let mut fits = schemes.into_iter().filter(|(name, _)| text.is_match(name));
    Ok(match (fits.next(), fits.next()) {
        (Some(_), Some(_)) => Matcher::All(Vec::new()),
        (Some((_, scheme)), None) => Matcher::Scheme(scheme),
        (None, _) => Matcher::Any(Vec::new()),
    })
}

fn authority(found: &StringMatch) -> Result<Matcher, String> {
    let lower = match found {
        StringMatch::Exact(text) => StringMatch::Exact(text.to_ascii_lowercase().into()),
        StringMatch::Prefix(text) => StringMatch::Prefix(text.to_ascii_lowercase().into()),
        StringMatch::Regex(pattern) => {
            // Patterns may have classes that do not bear being put in lower case.
            return Pattern::anchored(&format!("(?i:{pattern})"))
                .map(|pattern| Matcher::Authority(TextMatch::Regex(pattern)))
                .map_err(|error| error.to_string());
        }
    };
    text(&lower).map(Matcher::Authority)
}

fn header(found: &NamedMatch) -> Result<Matcher, String> {
    let name = &*found.name.value;
    if name.starts_with('@') {
        return Err(format!("`{name}` is not known: claims of tokens are not looked at"));
    }
    let said = match &found.condition.value {
        ValueMatch::Text(said) => Some(said),
        ValueMatch::Present => None,
    };
    match (name, said) {
        (":method", Some(said)) => method(said),
        (":scheme", Some(said)) => scheme(said),
        (":authority" | "host", Some(said)) => authority(said),
        (":path", Some(said)) => {
            let mut condition = Condition::default();
            condition.uri(said, false)?;
            Ok(Matcher::All(condition.matchers))
        }
        (":method" | ":scheme" | ":authority" | "host" | ":path", None) => {
            Ok(Matcher::All(Vec::new()))
        }
        // Requests have no status.
        (":status", _) => Ok(Matcher::Any(Vec::new())),
        _ => {
            let field = FieldName::new(name)
                .map_err(|error| format!("`{name}` is not a header name: {error}"))?;
            Ok(Matcher::Header(field, value(&found.condition)?))
        }
    }
}

fn value(found: &ValueMatch) -> Result<TextMatch, String> {
    match found {
        ValueMatch::Present => Ok(TextMatch::Present),
        ValueMatch::Text(found) => text(found),
    }
}

/// A condition on a text.
pub(super) fn text(found: &StringMatch) -> Result<TextMatch, String> {
    let pattern = match found {
        StringMatch::Exact(text) => return Ok(TextMatch::Exact(text.clone())),
        StringMatch::Prefix(text) if text.is_empty() => return Ok(TextMatch::Present),
        StringMatch::Prefix(text) => Pattern::new(&format!("^{}", regex::escape(text))),
        StringMatch::Regex(text) => Pattern::anchored(text),
    };
    pattern.map(TextMatch::Regex).map_err(|error| error.to_string())
}

/// Conditions in words.
struct Words(Vec<String>);

// === impl Words ===

impl Words {
    fn text(&mut self, what: &str, found: &StringMatch) {
        self.0.push(format!("{what} {found}"));
    }

    fn value(&mut self, what: &str, found: &NamedMatch) {
        let name = &*found.name.value;
        self.0.push(match &found.condition.value {
            ValueMatch::Present => format!("{what} {name}"),
            ValueMatch::Text(text) => format!("{what} {name} {text}"),
        });
    }
}
