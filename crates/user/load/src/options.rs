//! What to send, where, how fast and for how long.

use std::net::SocketAddr;
use std::time::Duration;

/// A load to run; see [`run`](crate::run). Start from [`Options::new`] and change fields.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http://host[:port][/path]` or `https://...`; without a scheme `http://` is assumed.
    pub url: String,
    /// Request method. Default `GET`.
    pub method: String,
    /// Extra request headers in order. A `Host` entry acts like [`Options::host`]. Content-Length
    /// and Transfer-Encoding are refused: the framing follows [`Options::body`].
    pub headers: Vec<(String, String)>,
    /// Request body. Default empty.
    pub body: Vec<u8>,
    /// Host (`:authority`) to send, and the TLS server name, instead of the URL's.
    pub host: Option<String>,
    /// Address to connect to instead of the URL's host.
    pub connect_to: Option<SocketAddr>,
    /// Connections over all threads. Default 50.
    pub connections: usize,
    /// Requests over all connections. Default: none when a duration is given, else 200.
    pub requests: Option<u64>,
    /// Stop starting requests after this time. Default: none.
    pub duration: Option<Duration>,
    /// Requests per second over all connections: open loop. Default none: closed loop.
    pub rate_per_sec: Option<f64>,
    /// HTTP version. Default HTTP/1.1.
    pub protocol: Protocol,
    /// Requests in flight on one HTTP/2 connection. Default 1; HTTP/1.1 always has one.
    pub streams: usize,
    /// Reuse connections. Default true; false opens one for each request and sends
    /// `Connection: close` on HTTP/1.1.
    pub keep_alive: bool,
    /// Longest wait for one request, connecting included. Default 20 s.
    pub timeout: Duration,
    /// Threads; connections are dealt out evenly. Default 1.
    pub threads: usize,
    /// How the server's certificate is judged. Default [`Trust::System`].
    pub trust: Trust,
}

/// The HTTP version of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on each connection.
    #[default]
    Http1,
    /// HTTP/2: with prior knowledge on `http`, by ALPN on `https` (RFC 9113 section 3).
    Http2,
}

/// Whose certificates are believed on `https`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The roots of the operating system.
    #[default]
    System,
    /// These roots, as PEM, and no others.
    Pem(Vec<u8>),
    /// Any certificate (`-k`).
    Insecure,
}

/// Requests of a run that names neither a count nor a duration; what `hey` does.
pub(crate) const DEFAULT_REQUESTS: u64 = 200;

// === impl Options ===

impl Options {
    /// A closed-loop HTTP/1.1 GET run of 200 requests over 50 connections against `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            host: None,
            connect_to: None,
            connections: 50,
            requests: None,
            duration: None,
            rate_per_sec: None,
            protocol: Protocol::Http1,
            streams: 1,
            keep_alive: true,
            timeout: Duration::from_secs(20),
            threads: 1,
            trust: Trust::System,
        }
    }

    /// The count that bounds the run, if one does: the given one, or the default when no duration
    /// is given either.
    #[must_use]
    pub fn effective_requests(&self) -> Option<u64> {
        match (self.requests, self.duration) {
            (Some(requests), _) => Some(requests),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_REQUESTS),
        }
    }
}

// === impl Protocol ===

impl Protocol {
    /// `HTTP/1.1` or `HTTP/2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}
