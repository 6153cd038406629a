//! What is refused, by the headings of the checklist of bad inputs:
//!
//! - framing and smuggling: [`framing`] (how a message of HTTP/1.1 is cut), [`sequence`] (what
//!   follows what on a connection), [`http2_heads`] (what HTTP/2 can say and HTTP/1.1 cannot),
//!   [`answers`] (the same from origins);
//! - HTTP/2 exhaustion: [`exhaustion`] (resets and heads), [`floods`] (frames and readers);
//! - slow and big: [`slow`], [`big`];
//! - path and host views: [`paths`], [`hosts`], [`redirects`];
//! - header trust: [`forwarded`] (who the client is), [`identity`] (what the gateway and its
//!   authorizers set). The PROXY protocol of untrusted peers is in `tcp`.
//!
//! Each test names the row of the list that it stands for (`Row:`), and asks over HTTP/1.1 and over
//! HTTP/2 where both can say it ([`Wire`]). Rows about JWTs and keys, bodies that are parsed (JSON,
//! XML, GraphQL, multipart), decompression, caches, and HTTP/3 are for features that are not there.

mod answers;
mod big;
mod exhaustion;
mod floods;
mod forwarded;
mod framing;
mod hosts;
mod http2_heads;
mod identity;
mod paths;
mod redirects;
mod sequence;
mod slow;

use weft_testkit::{
    Echo, Gateway, H2Client, H2Frames, H2Request, Outcome, RawOrigin, Response, flags,
};

/// Sent behind every attack: it must never arrive anywhere.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
const CALM: u32 = 11;

/// REFUSED_STREAM (RFC 9113 section 7).
const REFUSED_STREAM: u32 = 7;

/// HEADERS that are whole and end their stream.
const WHOLE: u8 = flags::END_HEADERS | flags::END_STREAM;

/// More than this a gateway that keeps its bounds does not grow by, whatever one peer does.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// The version that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Http1,
    Http2,
}

const WIRES: [Wire; 2] = [Wire::Http1, Wire::Http2];

/// A request without a body that both versions can say. Nothing of it is checked: what is wrong is sent as it is.
#[derive(Debug, Clone)]
struct Ask {
    method: &'static str,
    host: String,
    target: String,
    fields: Vec<(String, String)>,
}

/// Memory of a gateway before an attack.
struct Memory<'a> {
    gateway: &'a Gateway,
    before: u64,
}

// === impl Wire ===

impl Wire {
    /// How a request ends, on a connection of its own.
    fn outcome(self, gateway: &Gateway, ask: &Ask) -> Outcome {
        match self {
            Self::Http1 => {
                let mut client = gateway.client();
                // It may be refused before it was sent to its end.
                let _ = client.try_send(ask.to_http1());
                Outcome::Status(client.response().status)
            }
            Self::Http2 => {
                let mut frames = H2Frames::connect(gateway.web(), &[]);
                frames.headers(1, &ask.to_block(), true);
                frames.outcome(1)
            }
        }
    }

    /// The response to a request that is well-formed, on a connection of its own.
    fn response(self, gateway: &Gateway, ask: &Ask) -> Response {
        match self {
            Self::Http1 => gateway.client().request(ask.to_http1()),
            Self::Http2 => {
                let mut request = H2Request::new(ask.method, &ask.host, &ask.target);
                for (name, value) in &ask.fields {
                    request = request.header(&name.to_lowercase(), value);
                }
                H2Client::connect(gateway.web()).request(request).into()
            }
        }
    }

    /// What the origin saw of such a request.
    fn echo(self, gateway: &Gateway, ask: &Ask) -> Echo {
        self.response(gateway, ask).echo()
    }

    /// The request is refused with that status, or by an error of its stream.
    fn check_refused(self, gateway: &Gateway, ask: &Ask, status: u16) {
        let outcome = self.outcome(gateway, ask);
        let is_refused = match (self, outcome) {
            (_, Outcome::Status(found)) => found == status,
            (Self::Http2, Outcome::Reset(code)) => code == 1,
            _ => false,
        };
        assert!(is_refused, "{self:?}: {outcome:?} for {ask:?}");
    }
}

// === impl Ask ===

impl Ask {
    fn get(target: &str) -> Self {
        let (method, host, target) = ("GET", "a.test".into(), target.into());
        Self { method, host, target, fields: Vec::new() }
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    fn fields<'a>(self, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        fields.into_iter().fold(self, |ask, (name, value)| ask.field(name, value))
    }

    fn to_http1(&self) -> String {
        let Self { method, host, target, fields } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    }

    fn to_block(&self) -> Vec<u8> {
        let fields: Vec<(String, &str)> =
            self.fields.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect();
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        H2Frames::request(self.method, &self.host, &self.target, &fields)
    }
}

// === impl Memory ===

impl<'a> Memory<'a> {
    fn of(gateway: &'a Gateway) -> Self {
        Self { gateway, before: gateway.memory_bytes() }
    }

    fn is_flat(&self, what: &str) {
        let grown = self.gateway.memory_bytes().saturating_sub(self.before);
        assert!(grown < GROWTH_BYTES_MAX, "{what}: memory grew by {grown} bytes");
    }

    /// The same, and others are served as ever.
    fn is_flat_and_others_are_served(&self, what: &str) {
        self.is_flat(what);
        assert_eq!(self.gateway.get("a.test", "/well").status, 200, "{what}");
    }
}

/// Every request that was begun upstream was broken off by the gateway; `requests` have come so far.
fn check_none_is_complete(origin: &RawOrigin, gateway: &Gateway, requests: usize) {
    let all_ended = |count| count == requests as f64;
    gateway.wait_metric("weftway_requests_total", &[], all_ended);
    let connects = gateway.metric("weftway_upstream_connects_total", &[]) as usize;
    origin.wait_for("the ends", |_, all| {
        all.len() >= connects && all.iter().all(|connection| connection.is_closed)
    });
    for connection in origin.connections() {
        let shown = String::from_utf8_lossy(&connection.bytes).into_owned();
        assert!(connection.closed_by_peer, "{shown:?}");
        assert!(!connection.bytes.ends_with(b"0\r\n\r\n"), "{shown:?} looks complete");
    }
    assert!(origin.requests_for("/smuggled").is_empty());
}

/// A GET for `a.test` as a block of HTTP/2.
fn get(path: &str) -> Vec<u8> {
    H2Frames::get("a.test", path, &[])
}

/// A POST to `/` of `a.test` as a block of HTTP/2, with more fields.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    H2Frames::request("POST", "a.test", "/", more)
}
