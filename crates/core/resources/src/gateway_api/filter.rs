//! What a route does to requests and responses.

use super::reference::{BackendRef, ObjectRef, hostname};
use crate::problem::Pos;
use crate::read::{Field, Reader};

/// One filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// What it does.
    pub kind: FilterKind,
    /// Where it is written.
    pub at: Pos,
}

/// The types of filter.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterKind {
    /// Edits headers of the request.
    RequestHeaders(HeaderFilter),
    /// Edits headers of the response.
    ResponseHeaders(HeaderFilter),
    /// Copies the request.
    Mirror {
        /// To here.
        backend: BackendRef,
        /// Share of requests copied, in parts per million.
        parts_per_million: u32,
    },
    /// Answers with a redirect.
    Redirect(RedirectFilter),
    /// Rewrites host and path.
    Rewrite(RewriteFilter),
    /// Cross-origin rules.
    Cors(CorsFilter),
    /// Asks another service, which is not supported.
    ExternalAuth,
    /// Something else of the same namespace.
    Extension(ObjectRef),
}

/// Edits of headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderFilter {
    /// Replaces all values.
    pub set: Vec<(Box<str>, Box<str>)>,
    /// Adds a value.
    pub add: Vec<(Box<str>, Box<str>)>,
    /// Removes all values.
    pub remove: Vec<Box<str>>,
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectFilter {
    /// `http` or `https`; that of the request when absent.
    pub scheme: Option<Box<str>>,
    /// Host; that of the request when absent.
    pub host: Option<Box<str>>,
    /// Port.
    pub port: Option<u16>,
    /// Path; that of the request when absent.
    pub path: Option<PathModifier>,
    /// Status.
    pub status: u16,
}

/// A rewrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewriteFilter {
    /// New host.
    pub host: Option<Box<str>>,
    /// New path.
    pub path: Option<PathModifier>,
}

/// How a path changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathModifier {
    /// All of it.
    Full(Box<str>),
    /// The part that the match named.
    Prefix(Box<str>),
}

/// Cross-origin rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CorsFilter {
    /// Origins, with `*` for any run of characters of the host.
    pub origins: Vec<Box<str>>,
    /// Whether credentials may be sent.
    pub credentials: bool,
    /// Methods, or `*`.
    pub methods: Vec<Box<str>>,
    /// Request headers, or `*`.
    pub headers: Vec<Box<str>>,
    /// Response headers that scripts may read, or `*`.
    pub expose: Vec<Box<str>>,
    /// Seconds that a preflight may be kept.
    pub max_age_secs: u32,
}

/// The types by name, each with the field that holds it.
const TYPES: [(&str, &str); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestMirror", "requestMirror"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
    ("ExtensionRef", "extensionRef"),
];

/// Seconds that a preflight may be kept when nothing is said.
const CORS_MAX_AGE_SECS: u32 = 5;

/// Takes `filters` of a rule or backend.
pub(crate) fn take_all(reader: &Reader<'_, '_>) -> Vec<Filter> {
    let mut seen: Vec<&str> = Vec::new();
    reader.list("filters", |item| {
        let (name, filter) = item.nested(one)?;
        if !matches!(name, "RequestMirror" | "ExtensionRef") && seen.contains(&name) {
            item.error(format!("the filter {name} is given twice"), Some("merge the two".into()));
        }
        if (name, true) == ("URLRewrite", seen.contains(&"RequestRedirect"))
            || (name, true) == ("RequestRedirect", seen.contains(&"URLRewrite"))
        {
            item.error("RequestRedirect and URLRewrite exclude each other", None);
        }
        seen.push(name);
        Some(filter)
    })
}

fn one(reader: &Reader<'_, '_>) -> Option<(&'static str, Filter)> {
    let kind = reader.require("type");
    let kind = kind.and_then(|kind| kind.choice(&TYPES.map(|(name, own)| (name, (name, own)))));
    let Some((name, own)) = kind else {
        // Which of these fields belongs here is not known, so none is said to be wrong.
        for (_, field) in TYPES {
            reader.take(field);
        }
        return None;
    };
    for (_, other) in TYPES {
        if other != own && reader.has(other) {
            reader.take(other);
            reader.error(format!("`{other}` does not fit the filter type {name}"), None);
        }
    }
    let kind = body(name, &reader.require(own)?)?;
    Some((name, Filter { kind, at: reader.at() }))
}

fn body(name: &str, field: &Field<'_, '_>) -> Option<FilterKind> {
    Some(match name {
        "RequestHeaderModifier" => FilterKind::RequestHeaders(field.nested(headers)?),
        "ResponseHeaderModifier" => FilterKind::ResponseHeaders(field.nested(headers)?),
        "RequestMirror" => field.nested(mirror)?,
        "RequestRedirect" => FilterKind::Redirect(field.nested(redirect)?),
        "URLRewrite" => FilterKind::Rewrite(field.nested(rewrite)?),
        "CORS" => FilterKind::Cors(field.nested(cors)?),
        // Taken with all it holds: `compile` refuses the whole rule and says why.
        "ExternalAuth" => FilterKind::ExternalAuth,
        _ => FilterKind::Extension(field.nested(ObjectRef::take_local)?),
    })
}

fn headers(reader: &Reader<'_, '_>) -> Option<HeaderFilter> {
    Some(HeaderFilter {
        set: header_list(reader, "set"),
        add: header_list(reader, "add"),
        remove: reader.strings("remove"),
    })
}

fn header_list(reader: &Reader<'_, '_>, name: &'static str) -> Vec<(Box<str>, Box<str>)> {
    let mut pairs: Vec<(Box<str>, Box<str>)> = Vec::new();
    reader.list(name, |item| {
        let (name, value) = item.nested(|header| {
            let name = header.require_string("name");
            let value = header.require("value").and_then(|field| field.string());
            Some((name?, value?))
        })?;
        if pairs.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            item.warn(
                format!("the header `{name}` is already named above; this one is not used"),
                None,
            );
            return None;
        }
        pairs.push((name, value));
        Some(())
    });
    pairs
}

fn mirror(reader: &Reader<'_, '_>) -> Option<FilterKind> {
    let percent = reader.int("percent", 0, 100);
    let fraction = reader.nested("fraction", |fraction| {
        let numerator = fraction.require("numerator")?.int(0, i32::MAX.into())?;
        let denominator = fraction.int("denominator", 1, i32::MAX.into()).unwrap_or(100);
        if numerator > denominator {
            fraction.error("the numerator is larger than the denominator", None);
            return None;
        }
        Some((numerator * 1_000_000 / denominator) as u32)
    });
    if percent.is_some() && fraction.is_some() {
        reader.error("a mirror has either `percent` or `fraction`, not both", None);
    }
    let backend = reader.require("backendRef")?.nested(BackendRef::target)?;
    let percent = percent.map(|percent| percent as u32 * 10_000);
    let parts_per_million = fraction.or(percent).unwrap_or(1_000_000);
    Some(FilterKind::Mirror { backend, parts_per_million })
}

fn redirect(reader: &Reader<'_, '_>) -> Option<RedirectFilter> {
    let scheme =
        reader.take("scheme").map(|field| field.choice(&[("http", "http"), ("https", "https")]));
    let host = reader.take("hostname").map(|field| hostname(&field, false));
    let port = reader.take("port").map(|field| field.port());
    let path = reader.take("path").map(|field| field.nested(path_modifier));
    let status = reader.take("statusCode").map(|field| {
        let status = field.int(300, 399)? as u16;
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let fix = Some("use 301, 302, 303, 307 or 308".into());
            field.error(format!("a redirect cannot have the status {status}"), fix);
            return None;
        }
        Some(status)
    });
    Some(RedirectFilter {
        scheme: flip(scheme)?.map(Into::into),
        host: flip(host)?.map(|host| host.value),
        port: flip(port)?,
        path: flip(path)?,
        status: flip(status)?.unwrap_or(302),
    })
}

fn rewrite(reader: &Reader<'_, '_>) -> Option<RewriteFilter> {
    let host = reader.take("hostname").map(|field| hostname(&field, false));
    let path = reader.take("path").map(|field| field.nested(path_modifier));
    Some(RewriteFilter { host: flip(host)?.map(|host| host.value), path: flip(path)? })
}

fn path_modifier(reader: &Reader<'_, '_>) -> Option<PathModifier> {
    let types = [("ReplaceFullPath", false), ("ReplacePrefixMatch", true)];
    let is_prefix = reader.require("type").and_then(|field| field.choice(&types));
    let full = reader.string("replaceFullPath");
    let prefix = reader.string("replacePrefixMatch");
    match (is_prefix?, full, prefix) {
        (false, Some(path), None) => Some(PathModifier::Full(path)),
        (true, None, Some(path)) => Some(PathModifier::Prefix(path)),
        (false, ..) => {
            reader.error("the type ReplaceFullPath needs `replaceFullPath` and nothing else", None);
            None
        }
        (true, ..) => {
            let message = "the type ReplacePrefixMatch needs `replacePrefixMatch` and nothing else";
            reader.error(message, None);
            None
        }
    }
}

fn cors(reader: &Reader<'_, '_>) -> Option<CorsFilter> {
    let cors = CorsFilter {
        origins: reader.strings("allowOrigins"),
        credentials: reader.bool_or("allowCredentials", false),
        methods: reader.strings("allowMethods"),
        headers: reader.strings("allowHeaders"),
        expose: reader.strings("exposeHeaders"),
        max_age_secs: reader
            .int("maxAge", 1, i32::MAX.into())
            .map_or(CORS_MAX_AGE_SECS, |secs| secs as u32),
    };
    for (name, list) in [
        ("allowOrigins", &cors.origins),
        ("allowMethods", &cors.methods),
        ("allowHeaders", &cors.headers),
    ] {
        if list.len() > 1 && list.iter().any(|item| **item == *"*") {
            reader.error(format!("`{name}` cannot have `*` beside other values"), None);
        }
    }
    Some(cors)
}

/// A field that is absent is fine, one that does not decode is not.
fn flip<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}
