//! Matches of routes as conditions, with their place in the order of precedence.

use weft_message::{FieldName, Method};
use weft_model::route::{Matcher, PathMatch};
use weft_model::text::{Pattern, TextMatch};
use weft_resources::gateway_api::grpc::{GrpcMatch, GrpcMethod};
use weft_resources::gateway_api::http::{self, HttpMatch, ValueMatch};

use crate::literal;

/// A condition with its precedence, and what it says in words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    /// What must hold, besides the host.
    pub(crate) matchers: Vec<Matcher>,
    /// Kind and length of the path.
    pub(crate) minor: u64,
    /// Method, headers and query parameters.
    pub(crate) detail: u64,
    /// The path prefix it names, if it names one.
    pub(crate) prefix: Option<Box<str>>,
    /// The match in words.
    pub(crate) words: String,
}

/// The order of path kinds. That of patterns is ours to choose: who writes a pattern means
/// something special, and a catch-all prefix stands beside it.
const EXACT: u64 = 3;
const REGEX: u64 = 2;
const PREFIX: u64 = 1;

// === impl Condition ===

impl Condition {
    /// From a match of an HTTPRoute.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn http(found: &HttpMatch) -> Result<Self, String> {
        let (path, minor, prefix) = path(&found.path)?;
        let mut matchers = Vec::new();
        matchers.extend(path);
        let mut words = found.path.to_string();
        if let Some(method) = &found.method {
            let method = Method::parse(method.as_bytes()).map_err(|error| error.to_string())?;
            words = format!("{} {words}", method.as_str());
            matchers.push(Matcher::Method(method));
        }
        headers(&found.headers, &mut matchers, &mut words)?;
        for query in &found.query {
            words.push_str(&format!(", query {}", in_words(query)));
            matchers.push(Matcher::Query(query.name.clone(), text(query)?));
        }
        let detail = u64::from(found.method.is_some()) << 32
            | (found.headers.len() as u64) << 16
            | found.query.len() as u64;
        Ok(Self { matchers, minor, detail, prefix, words })
    }

    /// From a match of a GRPCRoute.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn grpc(found: &GrpcMatch) -> Result<Self, String> {
        let mut condition = Self::all();
        condition.words = "every method".into();
        if let Some(method) = &found.method {
            let (path, minor) = grpc_path(method)?;
            condition.words = format!(
                "method {}/{}",
                method.service.as_deref().unwrap_or("*"),
                method.method.as_deref().unwrap_or("*")
            );
            condition.matchers.push(Matcher::Path(path));
            condition.minor = minor;
        }
        headers(&found.headers, &mut condition.matchers, &mut condition.words)?;
        condition.detail = (found.headers.len() as u64) << 16;
        Ok(condition)
    }

    /// Every request.
    pub(crate) fn all() -> Self {
        Self {
            matchers: Vec::new(),
            minor: PREFIX << 32 | 1,
            detail: 0,
            prefix: Some("/".into()),
            words: "PathPrefix /".into(),
        }
    }
}

type Path = (Option<Matcher>, u64, Option<Box<str>>);

fn path(found: &http::PathMatch) -> Result<Path, String> {
    Ok(match found {
        http::PathMatch::Exact(text) => {
            let path = canonical(text)?;
            let minor = EXACT << 32 | path.len() as u64;
            (Some(Matcher::Path(PathMatch::Exact(path))), minor, None)
        }
        http::PathMatch::Prefix(text) => {
            let path = canonical(text)?;
            let minor = PREFIX << 32 | path.len() as u64;
            // `/` holds for every request; without a condition it holds for `OPTIONS *` too.
            let matcher = (*path != *"/").then(|| Matcher::Path(PathMatch::Segments(path.clone())));
            (matcher, minor, Some(path))
        }
        http::PathMatch::Regex(text) => {
            let pattern = Pattern::anchored(text).map_err(|error| error.to_string())?;
            let minor = REGEX << 32 | text.len() as u64;
            (Some(Matcher::Path(PathMatch::Regex(pattern))), minor, None)
        }
    })
}

fn canonical(text: &str) -> Result<Box<str>, String> {
    literal::path(text).map_err(|error| format!("no request has the path `{text}`: {error}"))
}

/// Most characters of the service first, then most characters of the method, then headers: the
/// service is in the upper half.
fn grpc_path(method: &GrpcMethod) -> Result<(PathMatch, u64), String> {
    let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len() as u64);
    let minor = (length(&method.service) << 16) | length(&method.method);
    let kind = match (&method.service, &method.method, method.is_regex) {
        (Some(_), Some(_), false) => EXACT,
        (_, _, true) => REGEX,
        _ => PREFIX,
    };
    let path = match (method.service.as_deref(), method.method.as_deref(), method.is_regex) {
        (Some(service), Some(method), false) => {
            PathMatch::Exact(canonical(&format!("/{service}/{method}"))?)
        }
        (Some(service), None, false) => PathMatch::Segments(canonical(&format!("/{service}"))?),
        (service, method, is_regex) => {
            let part = |text: Option<&str>| match text {
                Some(text) if is_regex => format!("(?:{text})"),
                Some(text) => regex::escape(text),
                None => "[^/]+".into(),
            };
            // Each part on its own first: `)|(` would join two of them.
            for text in [service, method].into_iter().flatten().filter(|_| is_regex) {
                Pattern::new(text).map_err(|error| error.to_string())?;
            }
            let pattern = format!("/{}/{}", part(service), part(method));
            PathMatch::Regex(Pattern::anchored(&pattern).map_err(|error| error.to_string())?)
        }
    };
    Ok((path, kind << 32 | minor))
}

fn headers(
    found: &[ValueMatch],
    matchers: &mut Vec<Matcher>,
    words: &mut String,
) -> Result<(), String> {
    for header in found {
        let name = FieldName::new(&header.name)
            .map_err(|error| format!("`{}` is not a header name: {error}", header.name))?;
        words.push_str(&format!(", header {}", in_words(header)));
        matchers.push(Matcher::Header(name, text(header)?));
    }
    Ok(())
}

fn text(found: &ValueMatch) -> Result<TextMatch, String> {
    if !found.is_regex {
        return Ok(TextMatch::Exact(found.value.clone()));
    }
    Pattern::anchored(&found.value).map(TextMatch::Regex).map_err(|error| error.to_string())
}

fn in_words(found: &ValueMatch) -> String {
    let sign = if found.is_regex { "=~" } else { "=" };
    format!("{}{sign}{}", found.name, found.value)
}
