//! From drafts and rules to the values of the model.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{
    IndexEntry, Location, Mesh, MeshEndpoint, Mtls, Protocol, Service, ServiceDefaults,
    ServiceEndpoints, Transport, Workload, WorkloadPort,
};

use crate::context::Output;
use crate::mesh::draft::{Draft, Drafts, Runs, Site, Virtual};
use crate::mesh::policy::Rules;
use crate::mesh::population::{Instance, Origin, Population};
use crate::mesh::protocol::{OpaquePorts, Said};
use crate::mesh::scene::Scene;

/// What is spoken on ports of workloads, as services say: by workload, then by port.
type Spoken = HashMap<usize, BTreeMap<u16, Protocol>>;

/// The services of the model; those that are as before keep their `Arc`.
pub(super) fn services(
    drafts: &Drafts<'_>,
    rules: &[Rules],
    before: Option<&Mesh>,
) -> BTreeMap<ServiceName, Arc<Service>> {
    let service = |(name, draft): (&ServiceName, &Draft<'_>)| {
        let old = before.and_then(|before| before.services.get(name));
        let entry = keep(entry(name, draft), old.map(|old| &old.entry));
        let endpoints = match &draft.runs {
            Runs::Sites(sites) => ServiceEndpoints::Known(endpoints(sites, draft.location, rules)),
            Runs::Dns(name, ports) => {
                ServiceEndpoints::Dns { name: name.clone(), ports: ports.clone() }
            }
            Runs::Dialled => ServiceEndpoints::Dialled,
        };
        let service = Service { entry, endpoints, defaults: ServiceDefaults::DEFAULT };
        (name.clone(), keep(service, old))
    };
    drafts.iter().map(service).collect()
}

/// The workloads of the model: those that have a proxy and either run on a node of ours, or are
/// WorkloadEntries, whose proxies are started by others. Those that are as before keep their `Arc`.
pub(super) fn workloads(
    scene: &Scene<'_>,
    population: &Population<'_>,
    rules: &[Rules],
    drafts: &Drafts<'_>,
    before: Option<&Mesh>,
) -> BTreeMap<WorkloadName, Arc<Workload>> {
    let (spoken, unknown) = (spoken(drafts), BTreeMap::new());
    let mut workloads = BTreeMap::new();
    for (index, (instance, rules)) in population.instances.iter().zip(rules).enumerate() {
        let (Origin::Node(_) | Origin::Entry(..), Some(peer)) = (instance.origin, &instance.peer)
        else {
            continue;
        };
        let workload = Workload {
            name: instance.name.clone(),
            identity: peer.identity.clone(),
            addrs: instance.addrs.iter().copied().collect(),
            ports: ports(scene, instance, rules, spoken.get(&index).unwrap_or(&unknown)),
            mtls: rules.mtls,
            closed: rules.closed.clone(),
            unknown: rules.unknown,
        };
        let old = before.and_then(|before| before.workloads.get(&instance.name));
        workloads.insert(instance.name.clone(), keep(workload, old));
    }
    workloads
}

/// The old value where the new one is equal to it.
fn keep<T: PartialEq>(new: T, old: Option<&Arc<T>>) -> Arc<T> {
    match old {
        Some(old) if **old == new => Arc::clone(old),
        _ => Arc::new(new),
    }
}

fn entry(name: &ServiceName, draft: &Draft<'_>) -> IndexEntry {
    let (addrs, endpoint_addrs) = match (&draft.addrs, &draft.runs) {
        (Virtual::Given(addrs), _) => (addrs.as_slice().into(), Box::default()),
        (Virtual::Headless, Runs::Sites(sites)) => {
            let ready = sites.iter().filter(|site| site.is_ready);
            let ips: BTreeSet<IpAddr> = ready.map(|site| site.ip).collect();
            (Box::default(), ips.into_iter().collect())
        }
        (Virtual::Headless | Virtual::Wanted | Virtual::None, _) => {
            (Box::default(), Box::default())
        }
    };
    IndexEntry {
        name: name.clone(),
        addrs,
        endpoint_addrs,
        ports: draft.ports.as_slice().into(),
        location: draft.location,
    }
}

/// The endpoints at places that take calls. A workload whose ports are not all reached in the same
/// way comes once for each way.
fn endpoints(sites: &[Site], location: Location, rules: &[Rules]) -> Arc<[MeshEndpoint]> {
    let mut shared: Vec<Arc<[(u16, u16)]>> = Vec::new();
    let mut share = |ports: Vec<(u16, u16)>| -> Arc<[(u16, u16)]> {
        if let Some(known) = shared.iter().find(|known| ***known == *ports) {
            return Arc::clone(known);
        }
        let ports: Arc<[(u16, u16)]> = ports.into();
        shared.push(Arc::clone(&ports));
        ports
    };
    let mut endpoints = Vec::new();
    for site in sites.iter().filter(|site| site.is_ready) {
        let is_mesh = |target: u16| {
            let mtls = site.instance.map_or(Mtls::Permissive, |index| rules[index].mtls(target));
            location == Location::Mesh && site.peer.is_some() && mtls != Mtls::Disable
        };
        let (meshed, plain): (Vec<_>, Vec<_>) =
            site.ports.iter().partition(|(_, target)| is_mesh(*target));
        let peer = site.peer.clone().map_or(Transport::Plain, Transport::Mesh);
        for (ports, transport) in [(meshed, peer), (plain, Transport::Plain)] {
            if ports.is_empty() {
                continue;
            }
            endpoints.push(MeshEndpoint {
                workload: site.workload.clone(),
                ip: site.ip,
                ports: share(ports),
                weight: site.weight,
                zone: site.zone.clone(),
                hostname: site.hostname.clone(),
                transport,
            });
        }
    }
    // The order of documents says nothing.
    endpoints.sort_by(|a, b| (&a.workload, a.ip, &a.ports).cmp(&(&b.workload, b.ip, &b.ports)));
    endpoints.into()
}

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
) -> Box<[WorkloadPort]> {
    // Reported where services are made.
    let opaque = OpaquePorts::of(scene, None, instance.namespace, &mut Output::default());
    let own = instance.ports();
    let mut numbers: BTreeSet<u16> = own.iter().map(|port| port.number).collect();
    numbers.extend(rules.ports.keys());
    numbers.extend(spoken.keys());
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
        WorkloadPort {
            number,
            protocol: protocol.unwrap_or_else(|| said.usual()),
            mtls: asked.mtls,
            closed: asked.closed,
        }
    };
    numbers.into_iter().map(port).collect()
}
