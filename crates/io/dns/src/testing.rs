//! A small mesh, and messages as clients write and read them.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{
    Directory, IndexEntry, Location, MeshEndpoint, Protocol, Service, ServiceEndpoints,
    ServicePort, Transport,
};

use crate::names::{Names, Zone};

pub(crate) const DB: &str = "db.shop.svc.cluster.local";

pub(crate) fn zone() -> Zone {
    Zone::new("cluster.local", "shop").unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn entry(name: &str, addrs: &[&str], endpoint_addrs: &[&str]) -> Arc<IndexEntry> {
    let port =
        |name: &str, number| ServicePort { number, name: name.into(), protocol: Protocol::Detect };
    Arc::new(IndexEntry {
        name: ServiceName::new(name),
        addrs: addrs.iter().map(|addr| ip(addr)).collect(),
        endpoint_addrs: endpoint_addrs.iter().map(|addr| ip(addr)).collect(),
        ports: [port("http", 80), port("grpc", 9000), port("", 7)].into(),
        location: Location::Mesh,
    })
}

/// What every proxy knows of these services.
pub(crate) fn index(entries: &[Arc<IndexEntry>]) -> Arc<Directory> {
    Arc::new(Directory::new(entries))
}

pub(crate) fn entries() -> Arc<Directory> {
    index(&[
        entry("payments.shop.svc.cluster.local", &["10.78.0.1", "fd78::1"], &[]),
        entry("payments.other.svc.cluster.local", &["10.78.0.2"], &[]),
        entry("empty.shop.svc.cluster.local", &[], &[]),
        entry(DB, &[], &["10.77.0.8", "10.77.0.9", "fd77::9"]),
        entry("api.example.com", &["10.78.0.3"], &[]),
        entry("elsewhere.example.com", &[], &[]),
        entry("*.wild.example", &["10.78.0.4"], &[]),
    ])
}

/// `db` in full: two endpoints with names of their own, one with two addresses.
pub(crate) fn db() -> Arc<Service> {
    let endpoint = |ip_text: &str, hostname: Option<&str>| MeshEndpoint {
        workload: WorkloadName::new("shop/db"),
        ip: ip(ip_text),
        ports: [(80, 8080), (9000, 9000)].into(),
        weight: 1,
        locality: None,
        labels: Arc::default(),
        hostname: hostname.map(Into::into),
        transport: Transport::Plain,
    };
    Arc::new(Service {
        entry: entry(DB, &[], &["10.77.0.8", "10.77.0.9", "fd77::9"]),
        endpoints: ServiceEndpoints::Known(
            [
                endpoint("10.77.0.8", None),
                endpoint("10.77.0.9", Some("db-0")),
                endpoint("fd77::9", Some("db-0")),
            ]
            .into(),
        ),
        traffic: Arc::default(),
    })
}

/// The mesh, with `db` in full.
pub(crate) fn names() -> Names {
    Names::new(&zone(), entries(), [db()])
}

pub(crate) fn name(text: &str) -> Name {
    let labels = text.split('.').filter(|label| !label.is_empty());
    Name::from_labels(labels.map(str::as_bytes)).unwrap()
}

/// A query as clients write it.
pub(crate) fn message(id: u16, host: &str, query_type: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(host), query_type));
    message
}

/// The same with EDNS, by which the client takes replies of that many bytes.
pub(crate) fn with_edns(mut message: Message, bytes: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(bytes);
    message.set_edns(edns);
    message
}

/// A query in bytes, number 0.
pub(crate) fn query(host: &str, query_type: RecordType) -> Vec<u8> {
    message(0, host, query_type).to_vec().unwrap()
}

pub(crate) fn read(reply: &[u8]) -> Message {
    Message::from_vec(reply).unwrap()
}

/// Code and answers of a reply.
pub(crate) fn shown(reply: &[u8]) -> String {
    let message = read(reply);
    let mut text = format!("{:?}", message.metadata.response_code);
    for record in &message.answers {
        text.push_str(&format!(" {}", show_data(record)));
    }
    text
}

fn show_data(record: &Record) -> String {
    match &record.data {
        RData::A(a) => a.0.to_string(),
        RData::AAAA(aaaa) => aaaa.0.to_string(),
        RData::SRV(srv) => format!("{}:{}", srv.target, srv.port),
        RData::PTR(ptr) => ptr.0.to_string(),
        other => other.record_type().to_string(),
    }
}

pub(crate) fn block_on<F: Future>(test: F) -> F::Output {
    weft_runtime::worker::block_on(test).unwrap()
}
