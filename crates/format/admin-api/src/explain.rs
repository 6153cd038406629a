//! What would become of a request, and what became of recent ones.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Answer to `GET /explain`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ExplanationView {
    /// The request.
    pub request: String,
    /// Where it arrives, in words.
    pub arrives: String,
    /// The generation of the configuration that was asked.
    pub generation: u64,
    /// The rule that takes it, then those that it outranks and that nearly took it.
    pub rules: Vec<RuleView>,
    /// What is done to it, in order.
    pub policies: Vec<PolicyView>,
    /// Where it may go.
    pub leads: Vec<LeadView>,
    /// Why it is answered by the proxy itself, where it is.
    pub refused: Option<String>,
    /// What became of it, when it was asked for by its id.
    pub past: Option<SampleView>,
    /// What else there is to say, for who expected something else.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Other requests of that id that proxies have seen.
    #[serde(default)]
    pub others: Vec<SampleView>,
    /// Whose answer this is, where several could be asked: `checkout`, `shop/checkout-2`.
    #[serde(default)]
    pub by: Option<String>,
    /// What other instances of the same workload say, where that is not the same.
    #[serde(default)]
    pub otherwise: Vec<ExplanationView>,
}

/// A rule, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// Stable name.
    pub id: String,
    /// `VirtualService shop/payments (payments.yaml:12)`.
    pub place: String,
    /// The rule as it is written, or a rendering of it.
    pub rule: String,
    /// `wins`, `outranked`, or the first condition that fails.
    pub verdict: String,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// What it is.
    pub name: String,
    /// Its effective value.
    pub value: String,
    /// Where it comes from.
    pub source: String,
}

/// A backend that a request may go to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeadView {
    /// Stable name.
    pub backend: String,
    /// Its share of the requests, in percent.
    pub percent: Option<f64>,
    /// `mirror`, `fallback`, or empty.
    pub role: String,
    /// How it is called.
    pub calling: Vec<PolicyView>,
    /// Its endpoints.
    pub endpoints: Vec<LeadEndpointView>,
    /// Where addresses come from that are not listed.
    pub found_by: Option<String>,
    /// What is done where requests arrive, beside the endpoints.
    #[serde(default)]
    pub arrival: Vec<PolicyView>,
}

/// An endpoint as the picker sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeadEndpointView {
    /// Address.
    pub addr: SocketAddr,
    /// Share among its siblings.
    pub weight: u32,
    /// Those of a greater number are used when lesser ones cannot take the load.
    pub tier: u8,
    /// Where it runs.
    pub locality: Option<String>,
    /// Who has to answer for it: the identity of the proxy beside it.
    pub identity: Option<String>,
    /// What keeps it from being picked at present; `None` where nobody has asked a running proxy.
    pub state: Option<String>,
    /// Why its own proxy would not let the request in.
    #[serde(default)]
    pub refuses: Option<String>,
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleView {
    /// Seconds since 1970 at which its head was there.
    pub at_unix_secs: u64,
    /// The request, as `GET http://host/path`.
    pub request: String,
    /// Its headers, `name: value`, without secrets.
    pub headers: Vec<String>,
    /// `outbound`, `inbound`, or empty at a gateway.
    pub direction: String,
    /// The listener that has served it.
    #[serde(default)]
    pub listener: String,
    /// Whose proxy has seen it, where several were asked.
    #[serde(default)]
    pub by: Option<String>,
    /// Who has sent it.
    pub client: SocketAddr,
    /// The identity that its sender has proved.
    pub identity: Option<String>,
    /// Its id.
    pub request_id: Option<String>,
    /// The generation that it was served by.
    pub generation: u64,
    /// The route that took it.
    pub route: Option<String>,
    /// The backend that it was sent to last.
    pub backend: Option<String>,
    /// The endpoint that it was sent to last.
    pub endpoint: Option<SocketAddr>,
    /// Status of the answer, 0 for none.
    pub status: u16,
    /// How it ended.
    pub reason: String,
    /// Why, in words.
    pub detail: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
    /// From its head to the end of its answer, milliseconds.
    pub duration_ms: f64,
}

/// Answer to `GET /recent`, the newest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RecentView {
    /// The requests.
    pub requests: Vec<SampleView>,
}
