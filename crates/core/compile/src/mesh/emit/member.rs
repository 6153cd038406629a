//! Workloads: as the proxies beside them know them, and as others find them who call an address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{
    IndexEntry, Location, Mesh, MeshEndpoint, Mtls, Peer, Protocol, Service, ServiceEndpoints,
    ServicePort, Transport, Workload, WorkloadPort,
};

use super::keep;
use crate::context::Output;
use crate::mesh::draft::{Drafts, Runs};
use crate::mesh::policy::{Limits, OfServices, Rules};
use crate::mesh::population::{Instance, Population};
use crate::mesh::protocol::{OpaquePorts, Said};
use crate::mesh::scene::Scene;

/// What is spoken on ports of workloads, as services say: by workload, then by port.
type Spoken = HashMap<usize, BTreeMap<u16, Protocol>>;

/// The workloads that have a proxy, with what holds for each.
pub(in crate::mesh) struct Members<'s> {
    members: Vec<Member<'s>>,
}

struct Member<'s> {
    instance: &'s Instance<'s>,
    peer: &'s Peer,
    rules: &'s Rules,
    ports: Box<[WorkloadPort]>,
}

// === impl Members ===

impl<'s> Members<'s> {
    pub(in crate::mesh) fn new(
        scene: &Scene<'s>,
        population: &'s Population<'s>,
        rules: &'s [Rules],
        drafts: &Drafts<'_>,
        limits: &OfServices,
        out: &mut Output,
    ) -> Self {
        let (spoken, unknown) = (spoken(drafts), BTreeMap::new());
        let unlimited = BTreeMap::new();
        let all = population.instances.iter().zip(rules).enumerate();
        let member = |(index, (instance, rules)): (usize, (&'s Instance<'s>, &'s Rules))| {
            Some(Member {
                instance,
                peer: instance.peer.as_ref()?,
                rules,
                ports: ports(
                    scene,
                    instance,
                    rules,
                    spoken.get(&index).unwrap_or(&unknown),
                    limits.get(&index).unwrap_or(&unlimited),
                    out,
                ),
            })
        };
        Self { members: all.filter_map(member).collect() }
    }

    /// What their proxies know of them; those that are as before keep their `Arc`.
    pub(in crate::mesh) fn workloads(
        &self,
        networks: &[IpNet],
        before: Option<&Mesh>,
    ) -> BTreeMap<WorkloadName, Arc<Workload>> {
        let served = self.members.iter().filter(|member| member.instance.is_served());
        let workload = |member: &Member<'_>| {
            let Member { instance, peer, rules, ports } = member;
            let name = &instance.name;
            let workload = Workload {
                addrs: (*instance.addrs).into(),
                ports: ports.clone(),
                mtls: rules.mtls,
                closed: rules.closed.clone(),
                unknown: rules.unknown,
                outside: rules.outside.clone(),
                egress: rules.egress.clone(),
                networks: networks.into(),
                labels: (*instance.labels).into(),
                locality: instance.locality.clone(),
                ..Workload::new(name.clone(), peer.identity.clone())
            };
            let old = before.and_then(|before| before.workloads.get(name));
            (name.clone(), keep(workload, old))
        };
        served.map(workload).collect()
    }

    /// What finds who calls one of their addresses; those that are as before keep their `Arc`. Of two
    /// with one address the first one has it.
    pub(in crate::mesh) fn addresses(
        &self,
        before: Option<&Mesh>,
    ) -> BTreeMap<IpAddr, Arc<Service>> {
        let mut found = BTreeMap::new();
        for member in &self.members {
            for ip in &*member.instance.addrs {
                let old = before.and_then(|before| before.addresses.get(ip));
                found.entry(*ip).or_insert_with(|| keep(member.at(*ip), old));
            }
        }
        found
    }
}

// === impl Member ===

impl Member<'_> {
    /// The service that it is at one of its addresses.
    fn at(&self, ip: IpAddr) -> Service {
        let port = |port: &WorkloadPort| ServicePort {
            number: port.number,
            name: "".into(),
            protocol: port.protocol,
        };
        let entry = IndexEntry {
            name: ServiceName::new(ip.to_string()),
            addrs: [ip].into(),
            endpoint_addrs: [].into(),
            ports: self.ports.iter().map(port).collect(),
            location: Location::Mesh,
        };
        let endpoint = |ports: Vec<(u16, u16)>, is_mesh: bool| MeshEndpoint {
            workload: self.instance.name.clone(),
            ip,
            ports: ports.into(),
            weight: 1,
            locality: None,
            labels: Arc::default(),
            hostname: None,
            transport: match is_mesh {
                true => Transport::Mesh(self.peer.clone()),
                false => Transport::Plain,
            },
        };
        let takes_mtls = |mtls: Mtls| mtls != Mtls::Disable;
        let (meshed, plain): (Vec<&WorkloadPort>, Vec<&WorkloadPort>) =
            self.ports.iter().partition(|port| takes_mtls(port.mtls));
        let mut endpoints = Vec::new();
        for (ports, is_mesh) in [(meshed, true), (plain, false)] {
            if !ports.is_empty() {
                let pairs = ports.iter().map(|port| (port.number, port.number));
                endpoints.push(endpoint(pairs.collect(), is_mesh));
            }
        }
        endpoints.push(endpoint(Vec::new(), takes_mtls(self.rules.mtls)));
        Service {
            entry: Arc::new(entry),
            endpoints: ServiceEndpoints::Known(endpoints.into()),
            traffic: Arc::default(),
        }
    }
}

// === functions ===

/// What services say is spoken on ports of workloads. Where they disagree it is found out.
fn spoken(drafts: &Drafts<'_>) -> Spoken {
    let mut spoken = Spoken::new();
    for draft in drafts.values() {
        let Runs::Sites(sites) = &draft.runs else { continue };
        for site in sites {
            let Some(index) = site.instance else { continue };
            for (number, target) in &site.ports {
                let port = draft.ports.iter().find(|port| port.number == *number);
                let Some(protocol) = port.map(|port| port.protocol) else { continue };
                let known = spoken.entry(index).or_default().entry(*target).or_insert(protocol);
                if *known != protocol {
                    *known = Protocol::Detect;
                }
            }
        }
    }
    spoken
}

/// The ports of a workload that something is known of.
fn ports(
    scene: &Scene<'_>,
    instance: &Instance<'_>,
    rules: &Rules,
    spoken: &BTreeMap<u16, Protocol>,
    limits: &BTreeMap<u16, Limits>,
    out: &mut Output,
) -> Box<[WorkloadPort]> {
    // Of the namespace it is reported where services are made, and said once.
    let opaque = OpaquePorts::of(scene, instance.resource(), instance.namespace, out);
    let own = instance.ports();
    let mut numbers: BTreeSet<u16> = own.iter().map(|port| port.number).collect();
    numbers.extend(rules.ports.keys());
    numbers.extend(spoken.keys());
    numbers.extend(limits.keys());
    let port = |number: u16| {
        let asked = rules.port(number);
        let own = own.iter().find(|port| port.number == number);
        let said = Said {
            opaque: opaque.as_ref(),
            declared: own.and_then(|port| port.app_protocol),
            name: own.map_or("", |port| port.name),
            number,
        };
        let known = spoken.get(&number).copied();
        let protocol = asked.protocol.or_else(|| said.explicit()).or(known);
        let protocol = protocol.unwrap_or_else(|| said.usual());
        let limits = limits.get(&number);
        let further = limits.map(|limits| &*limits.steps).unwrap_or_default();
        WorkloadPort {
            closed: asked.closed.or_else(|| limits.and_then(|limits| limits.closed.clone())),
            steps: asked.steps.iter().chain(further).map(Arc::clone).collect(),
            calling: asked.calling,
            forward: asked.forward,
            ..WorkloadPort::new(number, protocol, asked.mtls)
        }
    };
    numbers.into_iter().map(port).collect()
}
