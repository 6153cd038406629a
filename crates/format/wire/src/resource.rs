//! The mesh's resources as messages.
//!
//! The enums of the model travel as numbers that are fixed here; 0 is always the default, so that it
//! costs no byte.

pub mod calling;
pub mod route;
pub mod step;
pub mod traffic;

use calling::Calling;
use step::Step;
use traffic::Traffic;

/// Type of [`IndexEntry`].
pub const INDEX_ENTRY: &str = "type.googleapis.com/weftway.wire.v1.IndexEntry";

/// Type of [`Service`].
pub const SERVICE: &str = "type.googleapis.com/weftway.wire.v1.Service";

/// Type of [`Workload`].
pub const WORKLOAD: &str = "type.googleapis.com/weftway.wire.v1.Workload";

/// What every proxy knows of one service; its name is the resource's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IndexEntry {
    /// Virtual addresses, 4 or 16 bytes each.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub addrs: Vec<Vec<u8>>,
    /// Ports.
    #[prost(message, repeated, tag = "2")]
    pub ports: Vec<ServicePort>,
    /// 0 in the mesh, 1 elsewhere.
    #[prost(uint32, tag = "3")]
    pub location: u32,
    /// Addresses of the endpoints of a headless service, 4 or 16 bytes each.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub endpoint_addrs: Vec<Vec<u8>>,
    /// In the mesh, with endpoints that have no proxy.
    #[prost(bool, tag = "5")]
    pub unguarded: bool,
}

/// A port of a service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServicePort {
    /// Number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// 0 detect, 1 HTTP, 2 HTTP/2, 3 TLS, 4 TCP.
    #[prost(uint32, tag = "3")]
    pub protocol: u32,
}

/// A service in full; its name is the resource's.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Service {
    /// What everybody knows of it.
    #[prost(message, optional, tag = "1")]
    pub entry: Option<IndexEntry>,
    /// Its endpoints, if they are known.
    #[prost(message, repeated, tag = "2")]
    pub endpoints: Vec<Endpoint>,
    /// The name to resolve, if they are not.
    #[prost(string, tag = "3")]
    pub dns_name: String,
    /// Ports of the resolved addresses.
    #[prost(message, repeated, tag = "4")]
    pub dns_ports: Vec<PortPair>,
    /// Where endpoints come from: 0 known, 1 DNS, 2 the address that was dialled.
    #[prost(uint32, tag = "5")]
    pub resolution: u32,
    // 6 had another meaning once.
    /// What documents say of calls to it.
    #[prost(message, optional, tag = "7")]
    pub traffic: Option<Traffic>,
    /// The sets of labels that endpoints have.
    #[prost(message, repeated, tag = "8")]
    pub label_sets: Vec<LabelSet>,
}

/// Labels.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelSet {
    /// The labels.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// Its key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A port of a service, and the port of an endpoint that stands for it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PortPair {
    /// The service's.
    #[prost(uint32, tag = "1")]
    pub service: u32,
    /// The endpoint's.
    #[prost(uint32, tag = "2")]
    pub endpoint: u32,
}

/// One place where a service runs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Endpoint {
    /// The workload.
    #[prost(string, tag = "1")]
    pub workload: String,
    /// Address, 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub ip: Vec<u8>,
    /// Ports; none at all for one that takes every port as it was dialled.
    #[prost(message, repeated, tag = "3")]
    pub ports: Vec<PortPair>,
    /// Share among its siblings; 0 stands for 1.
    #[prost(uint32, tag = "4")]
    pub weight: u32,
    /// `region/zone/subzone`, empty when unknown.
    #[prost(string, tag = "5")]
    pub locality: String,
    /// Own name below the service's, empty without one.
    #[prost(string, tag = "6")]
    pub hostname: String,
    /// The proxy beside it, if it has one.
    #[prost(message, optional, tag = "7")]
    pub peer: Option<Peer>,
    /// Its labels: the position of a set in [`Service::label_sets`], from 1; 0 for none.
    #[prost(uint32, tag = "8")]
    pub labels: u32,
}

/// The proxy beside an endpoint.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Peer {
    /// Who it has to prove to be.
    #[prost(string, tag = "1")]
    pub identity: String,
    /// Its address where that is not the endpoint's.
    #[prost(bytes = "vec", tag = "2")]
    pub ip: Vec<u8>,
    /// Its port; 0 stands for 15008.
    #[prost(uint32, tag = "3")]
    pub port: u32,
}

/// What a proxy knows of the workload beside it; its name is the resource's.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Workload {
    /// Who it is.
    #[prost(string, tag = "1")]
    pub identity: String,
    /// Its addresses.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub addrs: Vec<Vec<u8>>,
    /// Ports of which something is known.
    #[prost(message, repeated, tag = "3")]
    pub ports: Vec<WorkloadPort>,
    /// Mutual TLS on all other ports: 0 permissive, 1 strict, 2 disable.
    #[prost(uint32, tag = "4")]
    pub mtls: u32,
    /// Why nobody may call it.
    #[prost(message, optional, tag = "5")]
    pub closed: Option<Refusal>,
    /// Calls to what the mesh does not know: 0 pass, 1 are refused.
    #[prost(uint32, tag = "6")]
    pub unknown: u32,
    /// Where workloads have their addresses.
    #[prost(message, repeated, tag = "7")]
    pub networks: Vec<Network>,
    /// Its labels.
    #[prost(message, repeated, tag = "8")]
    pub labels: Vec<Label>,
    /// `region/zone/subzone`, empty when unknown.
    #[prost(string, tag = "9")]
    pub locality: String,
    /// The only services that it may call; all when absent.
    #[prost(message, optional, tag = "10")]
    pub egress: Option<EgressList>,
    /// What is done to requests for its ports.
    #[prost(message, repeated, tag = "11")]
    pub steps: Vec<Step>,
    /// The addresses outside of the mesh that documents speak of; the first that has an address
    /// holds for it.
    #[prost(message, repeated, tag = "12")]
    pub outside: Vec<Outside>,
}

/// Addresses outside of the mesh that a document speaks of.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Outside {
    /// The addresses.
    #[prost(message, optional, tag = "1")]
    pub within: Option<Network>,
    /// Those of them that do not belong.
    #[prost(message, repeated, tag = "2")]
    pub except: Vec<Network>,
    /// The service that has the rules.
    #[prost(string, tag = "3")]
    pub network: String,
}

/// Services that a workload may call.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EgressList {
    /// The services.
    #[prost(message, repeated, tag = "1")]
    pub all: Vec<Egress>,
}

/// Services that a workload may call, or may not.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Egress {
    /// Their namespace; `*` for all.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Their host; `*` for all.
    #[prost(string, tag = "2")]
    pub host: String,
    /// Port; 0 for all.
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// Whether they may not.
    #[prost(bool, tag = "4")]
    pub excluded: bool,
}

/// A network.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Network {
    /// Its address, 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub ip: Vec<u8>,
    /// Bits of it that count.
    #[prost(uint32, tag = "2")]
    pub prefix: u32,
}

/// A port of a workload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkloadPort {
    /// Number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// As in [`ServicePort`].
    #[prost(uint32, tag = "2")]
    pub protocol: u32,
    /// As in [`Workload`].
    #[prost(uint32, tag = "3")]
    pub mtls: u32,
    /// Why nobody may call it.
    #[prost(message, optional, tag = "4")]
    pub closed: Option<Refusal>,
    /// What is done to requests for it.
    #[prost(message, repeated, tag = "5")]
    pub steps: Vec<Step>,
    /// How the application is called.
    #[prost(message, optional, tag = "6")]
    pub calling: Option<Calling>,
    /// The port of the application; 0 for the same.
    #[prost(uint32, tag = "7")]
    pub forward: u32,
}

/// Why nobody may call something.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Refusal {
    /// The label of the reason.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// For the log.
    #[prost(string, tag = "2")]
    pub detail: String,
}
