//! What documents say of calls to a service.

use std::collections::BTreeMap;

use super::calling::Calling;
use super::route::{RoutedHttp, RoutedTcp};
use super::{Label, Peer};

/// [`weft_model::mesh::Traffic`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Traffic {
    /// How it is called.
    #[prost(message, repeated, tag = "1")]
    pub calling: Vec<CallingFor>,
    /// The rules.
    #[prost(message, repeated, tag = "2")]
    pub routing: Vec<RouteSet>,
    /// What the rules lead to.
    #[prost(message, repeated, tag = "3")]
    pub backends: Vec<Backend>,
    /// The lines at which rules stand in their files, by name.
    #[prost(btree_map = "string, uint32", tag = "4")]
    pub lines: BTreeMap<String, u32>,
}

/// The workloads that something is for. What narrows it further gets a kind of its own: a reader that
/// passed over a field of it would take it for more workloads than are meant.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Audience {
    /// Their namespaces.
    #[prost(string, repeated, tag = "1")]
    pub namespaces: Vec<String>,
    /// Their labels.
    #[prost(message, repeated, tag = "2")]
    pub labels: Vec<Label>,
    /// What it is told by: [`BY_NAMESPACE_AND_LABELS`].
    #[prost(uint32, tag = "3")]
    pub kind: u32,
}

/// The kind of an [`Audience`] that is told by namespaces and labels.
pub const BY_NAMESPACE_AND_LABELS: u32 = 0;

/// Calling settings with whom and what they are for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CallingFor {
    /// The callers; all when absent.
    #[prost(message, optional, tag = "1")]
    pub audience: Option<Audience>,
    /// The port; 0 stands for all.
    #[prost(uint32, tag = "2")]
    pub port: u32,
    /// The part of the endpoints.
    #[prost(message, optional, tag = "3")]
    pub subset: Option<Subset>,
    /// The settings; those without any when absent.
    #[prost(message, optional, tag = "4")]
    pub calling: Option<Calling>,
    /// Where they come from.
    #[prost(message, repeated, tag = "5")]
    pub sources: Vec<Source>,
}

/// Where a setting comes from.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Source {
    /// The field.
    #[prost(string, tag = "1")]
    pub setting: String,
    /// The document.
    #[prost(string, tag = "2")]
    pub document: String,
    /// Its file.
    #[prost(string, tag = "3")]
    pub file: String,
    /// The line of its file.
    #[prost(uint32, tag = "4")]
    pub line: u32,
}

/// A named part of a service's endpoints.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Subset {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Labels.
    #[prost(message, repeated, tag = "2")]
    pub labels: Vec<Label>,
}

/// The rules of one source.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RouteSet {
    /// The callers; all when absent.
    #[prost(message, optional, tag = "1")]
    pub audience: Option<Audience>,
    /// The ports; none stands for all.
    #[prost(uint32, repeated, tag = "2")]
    pub ports: Vec<u32>,
    /// Rules of HTTP; absent when it leaves HTTP to the next set.
    #[prost(message, optional, tag = "3")]
    pub http: Option<HttpRules>,
    /// Rules for connections of bytes.
    #[prost(message, optional, tag = "4")]
    pub tcp: Option<TcpRules>,
}

/// Rules of HTTP.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpRules {
    /// The rules.
    #[prost(message, repeated, tag = "1")]
    pub routes: Vec<RoutedHttp>,
}

/// Rules for connections of bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TcpRules {
    /// The rules.
    #[prost(message, repeated, tag = "1")]
    pub routes: Vec<RoutedTcp>,
}

/// What a rule leads to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Backend {
    /// Name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Where the addresses come from; nowhere when absent.
    #[prost(oneof = "Endpoints", tags = "2, 3, 4, 5, 6")]
    pub endpoints: Option<Endpoints>,
    /// 0 HTTP/1.1 or what ALPN agrees on, 1 HTTP/1.1, 2 HTTP/2, 3 as the client.
    #[prost(uint32, tag = "7")]
    pub protocol: u32,
    /// The `Host` sent: 0 the client's, 1 the endpoint's, 2 the one in `host`.
    #[prost(uint32, tag = "8")]
    pub host_kind: u32,
    /// The `Host` sent.
    #[prost(string, tag = "9")]
    pub host: String,
    /// How long one side of a connection may go on alone, nanoseconds.
    #[prost(uint64, optional, tag = "10")]
    pub termination_delay: Option<u64>,
    /// How it is called, besides what the service says.
    #[prost(message, optional, tag = "11")]
    pub calling: Option<Calling>,
}

/// Where addresses come from.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Endpoints {
    /// A port of a service.
    #[prost(message, tag = "2")]
    Service(ServicePart),
    /// A name to resolve.
    #[prost(message, tag = "3")]
    Dns(HostPort),
    /// Known addresses.
    #[prost(message, tag = "4")]
    Known(Addresses),
    /// The address that was dialled; always 1.
    #[prost(uint32, tag = "5")]
    Dialled(u32),
    /// The same, through this proxy.
    #[prost(message, tag = "6")]
    DialledThrough(Peer),
}

/// A port of a service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServicePart {
    /// The service.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
    /// A part of the endpoints, or all.
    #[prost(string, optional, tag = "3")]
    pub subset: Option<String>,
}

/// A name to resolve.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HostPort {
    /// The name.
    #[prost(string, tag = "1")]
    pub host: String,
    /// The port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
}

/// Known addresses.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Addresses {
    /// The addresses.
    #[prost(message, repeated, tag = "1")]
    pub all: Vec<Address>,
}

/// A known address.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Address {
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub ip: Vec<u8>,
    /// Port.
    #[prost(uint32, tag = "2")]
    pub port: u32,
    /// Share among its siblings; 0 stands for 1.
    #[prost(uint32, tag = "3")]
    pub weight: u32,
    /// `region/zone/subzone`.
    #[prost(string, optional, tag = "4")]
    pub locality: Option<String>,
    /// Order of use.
    #[prost(uint32, tag = "5")]
    pub tier: u32,
    /// The proxy beside it.
    #[prost(message, optional, tag = "6")]
    pub peer: Option<Peer>,
}
