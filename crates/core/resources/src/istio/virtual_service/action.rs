//! What becomes of requests: sent, redirected, answered, or left to another document.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::condition::{HttpMatch, StringMatch};
use super::http::RouteDestination;
use crate::istio::value::{block, is_label, spanned, text};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// What becomes of requests.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpAction {
    /// They are sent.
    Route(Vec<RouteDestination>),
    /// They are answered with another place.
    Redirect(Spanned<Redirect>),
    /// They are answered.
    Respond(Spanned<DirectResponse>),
    /// Another document says.
    Delegate(Spanned<Delegate>),
}

/// An answer that names another place. What it does not say stays as the request has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The path.
    pub path: Option<Spanned<RedirectPath>>,
    /// The host.
    pub authority: Option<Spanned<Box<str>>>,
    /// The port.
    pub port: Option<Spanned<RedirectPort>>,
    /// The scheme.
    pub scheme: Option<Spanned<RedirectScheme>>,
    /// The status: 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The path of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectPath {
    /// This one, perhaps with a query.
    Full(Box<str>),
    /// This one instead of the prefix that was matched.
    Prefix(Box<str>),
}

/// The port of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// That of the scheme (`FROM_PROTOCOL_DEFAULT`).
    OfScheme,
    /// That of the request (`FROM_REQUEST_PORT`).
    OfRequest,
}

/// The scheme of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectScheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// An answer of a rule's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// The status, 200 to 599.
    pub status: u16,
    /// The body, at most a megabyte.
    pub body: Box<[u8]>,
}

/// Another document that says what becomes of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegate {
    /// The name of a VirtualService without hosts.
    pub name: Box<str>,
    /// Its namespace; `None` for that of the document.
    pub namespace: Option<Box<str>>,
}

/// What of a request is changed before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The path.
    pub path: Option<Spanned<PathRewrite>>,
    /// The authority.
    pub authority: Option<Spanned<Box<str>>>,
}

/// What is done to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// This takes the place of the prefix that was matched, or of the whole path where no prefix
    /// was.
    Replace(Box<str>),
    /// This takes the place of each part that fits a pattern.
    Regex {
        /// The pattern (RE2).
        pattern: Spanned<Box<str>>,
        /// What takes the place: `\1` to `\9` are the parts in parentheses, `\0` is all.
        substitution: Spanned<Box<str>>,
    },
}

/// The status of redirects that name none.
const DEFAULT_REDIRECT: u16 = 301;

/// The longest body of a direct response (Istio's own bound).
const BODY_BYTES_MAX: usize = 1024 * 1024;

// === impl HttpAction ===

impl HttpAction {
    /// Reads what becomes of the requests of a rule, on which `matches` are the conditions.
    pub(super) fn read(reader: &Reader<'_, '_>, matches: &[HttpMatch]) -> Option<Self> {
        let redirect = block(reader, "redirect", |redirect| Redirect::read(redirect, matches));
        let direct = block(reader, "directResponse", DirectResponse::read);
        let delegate = block(reader, "delegate", Delegate::read);
        let destinations = RouteDestination::take_http(reader);
        let said: Vec<&str> = ["route", "redirect", "directResponse", "delegate"]
            .into_iter()
            .filter(|name| reader.take(name).is_some())
            .collect();
        match said.as_slice() {
            ["route"] => {
                // Why there is none was said.
                (!destinations.is_empty()).then_some(Self::Route(destinations))
            }
            ["redirect"] => {
                check_unsent(reader, "redirect");
                redirect.map(Self::Redirect)
            }
            ["directResponse"] => {
                check_unsent(reader, "directResponse");
                direct.map(Self::Respond)
            }
            ["delegate"] => delegate.map(Self::Delegate),
            [] => {
                let message = "one of `route`, `redirect`, `directResponse` and `delegate` is \
                               required";
                reader.error(message, None);
                None
            }
            several => {
                let message = format!("{} exclude each other", listed(several));
                reader.error(message, Some("keep one of them".into()));
                None
            }
        }
    }
}

/// Says what has no meaning for requests that are not sent.
fn check_unsent(reader: &Reader<'_, '_>, action: &str) {
    for name in ["fault", "rewrite"] {
        if reader.take(name).is_some() {
            let fix =
                Some(format!("remove one of the two from this rule: `{name}` is for `route`"));
            reader.error(format!("`{action}` and `{name}` exclude each other"), fix);
        }
    }
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

// === impl Redirect ===

impl Redirect {
    fn read(reader: &Reader<'_, '_>, matches: &[HttpMatch]) -> Option<Self> {
        let (full, prefix) = (text(reader, "uri"), text(reader, "prefixRewrite"));
        let path = match (full, prefix) {
            (Some(_), Some(_)) => {
                let fix = Some("keep one of them".into());
                reader.error("`uri` and `prefixRewrite` exclude each other", fix);
                None
            }
            (Some(full), None) => Some(Spanned::new(RedirectPath::Full(full.value), full.at)),
            (None, Some(prefix)) => {
                check_prefixes(reader, matches);
                Some(Spanned::new(RedirectPath::Prefix(prefix.value), prefix.at))
            }
            (None, None) => None,
        };
        let schemes = [("http", RedirectScheme::Http), ("https", RedirectScheme::Https)];
        let redirect = Self {
            path,
            authority: text(reader, "authority"),
            port: redirect_port(reader),
            scheme: spanned(reader, "scheme", |field| field.choice(&schemes)),
            status: reader
                .take("redirectCode")
                .map_or(Some(DEFAULT_REDIRECT), |field| redirect_status(&field))?,
        };
        let known = ["uri", "prefixRewrite", "authority", "port", "derivePort", "scheme"];
        if !known.into_iter().any(|name| reader.take(name).is_some()) {
            reader.error("a redirect needs a path, an authority, a port or a scheme", None);
            return None;
        }
        Some(redirect)
    }
}

fn redirect_status(field: &Field<'_, '_>) -> Option<u16> {
    let status = field.int(0, u16::MAX.into())?;
    match status {
        0 => Some(DEFAULT_REDIRECT),
        301 | 302 | 303 | 307 | 308 => Some(status as u16),
        _ => {
            let fix = Some("use 301, 302, 303, 307 or 308".into());
            field.error(format!("{status} is not the status of a redirect"), fix);
            None
        }
    }
}

fn redirect_port(reader: &Reader<'_, '_>) -> Option<Spanned<RedirectPort>> {
    let derived = [
        ("FROM_PROTOCOL_DEFAULT", RedirectPort::OfScheme),
        ("FROM_REQUEST_PORT", RedirectPort::OfRequest),
    ];
    let number = spanned(reader, "port", |field| field.port().map(RedirectPort::Number));
    let derived = spanned(reader, "derivePort", |field| field.choice(&derived));
    if number.is_some() && derived.is_some() {
        let fix = Some("keep one of them".into());
        reader.error("`port` and `derivePort` exclude each other", fix);
    }
    number.or(derived)
}

/// Where the prefix is replaced, there has to be one.
fn check_prefixes(reader: &Reader<'_, '_>, matches: &[HttpMatch]) {
    let is_other = |matching: &HttpMatch| {
        matching.uri.as_deref().is_some_and(|uri| !matches!(uri, StringMatch::Prefix(_)))
    };
    if matches.iter().any(is_other) {
        let fix = "match `uri` by `prefix`, or use `uri` for the whole path".into();
        reader.error("`prefixRewrite` needs conditions on the prefix of the path", Some(fix));
    }
}

// === impl DirectResponse ===

impl DirectResponse {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let body = reader.take("body").map_or(Some(Box::default()), |field| body(&field));
        let status = reader.require("status")?.int(200, 599)? as u16;
        Some(Self { status, body: body? })
    }
}

fn body(field: &Field<'_, '_>) -> Option<Box<[u8]>> {
    let read = |body: &Reader<'_, '_>| {
        let text = body.take("string").map(|field| field.string());
        let bytes = body.take("bytes").map(|field| bytes(&field));
        match (text, bytes) {
            (Some(_), Some(_)) => {
                let fix = Some("keep one of them".into());
                body.error("`string` and `bytes` exclude each other", fix);
                None
            }
            (Some(text), None) => Some(text?.into_boxed_bytes()),
            (None, Some(bytes)) => bytes,
            (None, None) => Some(Box::default()),
        }
    };
    let body = field.nested(read)?;
    if body.len() > BODY_BYTES_MAX {
        field.error(format!("the body has {} bytes, and at most 1 MiB fits", body.len()), None);
        return None;
    }
    Some(body)
}

/// Bytes as protobuf has them in JSON: base64 of either alphabet, with or without padding.
fn bytes(field: &Field<'_, '_>) -> Option<Box<[u8]>> {
    let text = field.string()?;
    let engines = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
    let bytes = engines.iter().find_map(|engine| engine.decode(text.as_bytes()).ok());
    if bytes.is_none() {
        let fix = "write it in base64, or as `string`".into();
        field.error("the text is not base64", Some(fix));
    }
    bytes.map(Into::into)
}

// === impl Delegate ===

impl Delegate {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let namespace = reader.string("namespace").filter(|namespace| !namespace.is_empty());
        if let Some(namespace) = namespace.as_ref().filter(|namespace| !is_label(namespace)) {
            reader.error(format!("`{namespace}` is not the name of a namespace"), None);
        }
        Some(Self { name: reader.require_string("name")?, namespace })
    }
}

// === impl Rewrite ===

impl Rewrite {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let authority = text(reader, "authority");
        let replaced = text(reader, "uri");
        let replaced = replaced.map(|text| Spanned::new(PathRewrite::Replace(text.value), text.at));
        let regex = block(reader, "uriRegexRewrite", regex_rewrite);
        if replaced.is_some() && regex.is_some() {
            let fix = Some("keep one of them".into());
            reader.error("`uri` and `uriRegexRewrite` exclude each other", fix);
        }
        let known = ["uri", "uriRegexRewrite", "authority"];
        if !known.into_iter().any(|name| reader.take(name).is_some()) {
            reader.error("a rewrite needs `uri`, `uriRegexRewrite` or `authority`", None);
        }
        Some(Self { path: replaced.or(regex), authority })
    }
}

fn regex_rewrite(reader: &Reader<'_, '_>) -> Option<PathRewrite> {
    let part = |name| {
        let field = reader.require(name)?;
        Some(field.spanned(field.non_empty_string()?))
    };
    let (pattern, substitution) = (part("match"), part("rewrite"));
    Some(PathRewrite::Regex { pattern: pattern?, substitution: substitution? })
}
