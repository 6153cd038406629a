//! The options turned into what the workers use: addresses, request bytes, shares.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Uri, Version};
use rustls_pki_types::ServerName;

use crate::error::LoadError;
use crate::options::{Options, Protocol};
use crate::tls;

/// Everything a worker needs; checked once, then shared.
pub(crate) struct Plan {
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) tls: Option<TlsTarget>,
    pub(crate) protocol: Protocol,
    /// Head and body of an HTTP/1.1 request, ready to send.
    pub(crate) h1_request: Vec<u8>,
    pub(crate) h2_request: http::Request<()>,
    pub(crate) body: Bytes,
    pub(crate) is_head: bool,
    pub(crate) keep_alive: bool,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    pub(crate) threads: usize,
    pub(crate) requests: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) rate_per_sec: Option<f64>,
    pub(crate) timeout: Duration,
}

/// How to speak TLS to the target.
pub(crate) struct TlsTarget {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
}

/// Requests in flight, over all connections: beyond it memory ends before a server does.
const IN_FLIGHT_MAX: usize = 1_000_000;

/// Beyond it threads only wait for each other.
const THREADS_MAX: usize = 1024;

/// From one request in a quarter of an hour to one in a nanosecond: no instant of the schedule is
/// out of the clock's range.
const RATES_PER_SEC: std::ops::RangeInclusive<f64> = 0.001..=1e9;

/// Sent unless the user names another.
const USER_AGENT: &str = concat!("weftway-bench/", env!("CARGO_PKG_VERSION"));

// === impl Plan ===

impl Plan {
    pub(crate) fn new(options: &Options) -> Result<Self, LoadError> {
        check_numbers(options)?;
        let url = Url::parse(&options.url)?;
        let headers = Headers::parse(options)?;
        let method = Method::from_bytes(options.method.as_bytes())
            .map_err(|_| LoadError::InvalidMethod(options.method.clone()))?;
        let authority = headers.host.clone().unwrap_or_else(|| url.authority.clone());
        let tls = if url.is_tls {
            Some(TlsTarget {
                config: tls::client_config(&options.trust, options.protocol)?,
                server_name: server_name(&authority, &url)?,
            })
        } else {
            None
        };
        let addrs = match options.connect_to {
            Some(addr) => vec![addr],
            None => url.resolve()?,
        };
        let h1_request = h1_request(options, &method, &authority, &url, &headers);
        let h2_request = h2_request(options, &method, &authority, &url, &headers)?;
        Ok(Self {
            addrs,
            tls,
            protocol: options.protocol,
            h1_request,
            h2_request,
            body: Bytes::copy_from_slice(&options.body),
            is_head: method == Method::HEAD,
            keep_alive: options.keep_alive,
            connections: options.connections,
            streams: if options.protocol == Protocol::Http2 { options.streams } else { 1 },
            threads: options.threads.min(options.connections),
            requests: options.effective_requests(),
            duration: options.duration,
            rate_per_sec: options.rate_per_sec,
            timeout: options.timeout,
        })
    }
}

/// Deals `total` out over `parts`; the first ones get the remainder.
pub(crate) fn share(total: u64, parts: usize, index: usize) -> u64 {
    let parts = parts as u64;
    total / parts + u64::from((index as u64) < total % parts)
}

fn check_numbers(options: &Options) -> Result<(), LoadError> {
    let invalid = |option, reason| Err(LoadError::InvalidOption { option, reason });
    if options.connections == 0 {
        return invalid("connections", "must be at least 1");
    }
    if options.threads == 0 || options.threads > THREADS_MAX {
        return invalid("threads", "must be from 1 to 1,024");
    }
    if options.streams == 0 {
        return invalid("streams", "must be at least 1");
    }
    let in_flight = options.connections.checked_mul(options.streams);
    if in_flight.is_none_or(|in_flight| in_flight > IN_FLIGHT_MAX) {
        return invalid("connections", "with all their streams must be at most 1,000,000");
    }
    if options.timeout.is_zero() {
        return invalid("timeout", "must be longer than zero");
    }
    if options.rate_per_sec.is_some_and(|rate| !RATES_PER_SEC.contains(&rate)) {
        return invalid("rate", "must be from 0.001 to 1,000,000,000 requests per second");
    }
    Ok(())
}

/// The parts of the URL that matter here.
struct Url {
    is_tls: bool,
    host: String,
    port: u16,
    authority: String,
    path_and_query: PathAndQuery,
}

impl Url {
    fn parse(text: &str) -> Result<Self, LoadError> {
        let invalid = |reason| LoadError::InvalidUrl { url: text.to_owned(), reason };
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = full.parse().map_err(|_| invalid("it is not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid("the scheme must be http or https")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("user information is not supported, use a header"));
        }
        if authority.host().is_empty() {
            return Err(invalid("it names no host"));
        }
        let path_and_query = match uri.path_and_query() {
            Some(path) => path.clone(),
            None => PathAndQuery::from_static("/"),
        };
        Ok(Self {
            is_tls,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path_and_query,
        })
    }

    fn resolve(&self) -> Result<Vec<SocketAddr>, LoadError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let failed = |source| LoadError::Resolve { host: host.to_owned(), source };
        let addrs: Vec<_> = (host, self.port).to_socket_addrs().map_err(failed)?.collect();
        if addrs.is_empty() {
            return Err(failed(io::Error::other("no address")));
        }
        Ok(addrs)
    }
}

/// The user's headers, checked, with `Host` taken out.
struct Headers {
    host: Option<String>,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Headers {
    fn parse(options: &Options) -> Result<Self, LoadError> {
        let mut host = options.host.clone();
        let mut fields = Vec::with_capacity(options.headers.len() + 1);
        for (name, value) in &options.headers {
            let invalid = |reason| LoadError::InvalidHeader { name: name.clone(), reason };
            let field = HeaderName::from_bytes(name.trim().as_bytes())
                .map_err(|_| invalid("the name is not a token"))?;
            let content = HeaderValue::from_str(value.trim())
                .map_err(|_| invalid("the value has forbidden characters"))?;
            if field == HOST {
                host = Some(value.trim().to_owned());
            } else if field == CONTENT_LENGTH || field == TRANSFER_ENCODING {
                return Err(invalid("the framing follows the body"));
            } else {
                fields.push((field, content));
            }
        }
        if !fields.iter().any(|(name, _)| name == http::header::USER_AGENT) {
            fields.push((http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
        }
        if let Some(host) = &host
            && host.parse::<http::uri::Authority>().is_err()
        {
            return Err(LoadError::InvalidHeader {
                name: "host".to_owned(),
                reason: "it is not a host with an optional port",
            });
        }
        Ok(Self { host, fields })
    }
}

fn server_name(authority: &str, url: &Url) -> Result<ServerName<'static>, LoadError> {
    let host = authority.parse::<http::uri::Authority>();
    let host = host.as_ref().map_or(url.host.as_str(), |authority| authority.host());
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(bare).map_err(|_| LoadError::InvalidUrl {
        url: url.authority.clone(),
        reason: "the host is no TLS server name",
    })
}

/// Whether a request says how long its body is: always with a body, and for methods that usually
/// have one (RFC 9110 section 8.6).
fn has_length(options: &Options, method: &Method) -> bool {
    !options.body.is_empty()
        || *method == Method::POST
        || *method == Method::PUT
        || *method == Method::PATCH
}

fn h1_request(
    options: &Options,
    method: &Method,
    authority: &str,
    url: &Url,
    headers: &Headers,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + options.body.len());
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(url.path_and_query.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(authority.as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &headers.fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if has_length(options, method) {
        out.extend_from_slice(format!("content-length: {}\r\n", options.body.len()).as_bytes());
    }
    if !options.keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&options.body);
    out
}

fn h2_request(
    options: &Options,
    method: &Method,
    authority: &str,
    url: &Url,
    headers: &Headers,
) -> Result<http::Request<()>, LoadError> {
    let invalid = |reason| LoadError::InvalidUrl { url: options.url.clone(), reason };
    let uri = Uri::builder()
        .scheme(if url.is_tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(authority)
        .path_and_query(url.path_and_query.clone())
        .build()
        .map_err(|_| invalid("it makes no HTTP/2 request target"))?;
    let mut request = http::Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    for (name, value) in &headers.fields {
        // Connection-specific fields do not exist in HTTP/2 (RFC 9113 section 8.2.2).
        if name != http::header::CONNECTION && name.as_str() != "keep-alive" {
            request.headers_mut().append(name.clone(), value.clone());
        }
    }
    if has_length(options, method) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(options.body.len()));
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
