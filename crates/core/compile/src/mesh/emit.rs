//! From drafts and rules to the values of the model.

mod member;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use weft_model::id::ServiceName;
use weft_model::mesh::{
    IndexEntry, Location, Mesh, MeshEndpoint, Mtls, Service, ServiceEndpoints, Transport,
};

use crate::in_step::InStep;
use crate::mesh::calling::{Called, Callings, told_apart};
use crate::mesh::draft::{Draft, Drafts, Runs, Site, Virtual};
use crate::mesh::policy::Rules;
use crate::mesh::population::Population;
use crate::mesh::routing::Routing;
use crate::mesh::scene::Scene;

pub(super) use member::Members;

/// What services are made of.
pub(super) struct Material<'m> {
    pub(super) scene: &'m Scene<'m>,
    pub(super) population: &'m Population<'m>,
    pub(super) drafts: &'m Drafts<'m>,
    pub(super) rules: &'m [Rules],
    pub(super) routing: &'m Routing,
    pub(super) callings: &'m Callings,
}

/// The services of the model; those that are as before keep their `Arc`.
pub(super) fn services(
    material: &Material<'_>,
    before: Option<&Mesh>,
) -> BTreeMap<ServiceName, Arc<Service>> {
    let Material { scene, population, drafts, rules, routing, callings } = *material;
    let unspoken = Called::default();
    let mut known = InStep::new(before.map(|before| &before.services));
    let service = |(name, draft): (&ServiceName, &Draft<'_>)| {
        let old = known.get(name);
        let called = callings.of(name).unwrap_or(&unspoken);
        let entry = keep(entry(name, draft, population), old.map(|old| &old.entry));
        let endpoints = match &draft.runs {
            Runs::Sites(sites) => {
                ServiceEndpoints::Known(endpoints(sites, draft.location, rules, population, called))
            }
            Runs::Dns(name, ports) => {
                ServiceEndpoints::Dns { name: name.clone(), ports: ports.clone() }
            }
            Runs::Dialled => ServiceEndpoints::Dialled,
        };
        let traffic = routing.traffic(name, &called.calling, scene, old.map(|old| &old.traffic));
        // What is equal in these two has been kept by now.
        let is_same = |old: &&Arc<Service>| {
            Arc::ptr_eq(&old.entry, &entry)
                && Arc::ptr_eq(&old.traffic, &traffic)
                && old.endpoints == endpoints
        };
        let service = match old.filter(is_same) {
            Some(old) => Arc::clone(old),
            None => Arc::new(Service { entry, endpoints, traffic }),
        };
        (name.clone(), service)
    };
    drafts.iter().map(service).collect()
}

/// The old value where the new one is equal to it.
pub(super) fn keep<T: PartialEq>(new: T, old: Option<&Arc<T>>) -> Arc<T> {
    match old {
        Some(old) if **old == new => Arc::clone(old),
        _ => Arc::new(new),
    }
}

fn entry(name: &ServiceName, draft: &Draft<'_>, population: &Population<'_>) -> IndexEntry {
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
        location: match &draft.runs {
            Runs::Sites(sites) if sites.iter().all(|site| site.is_guarded(population)) => {
                draft.location
            }
            _ if draft.location.is_inside() => Location::Unguarded,
            _ => draft.location,
        },
    }
}

/// The endpoints at places that take calls. A workload whose ports are not all reached in the same
/// way comes once for each way.
fn endpoints(
    sites: &[Site],
    location: Location,
    rules: &[Rules],
    population: &Population<'_>,
    called: &Called,
) -> Arc<[MeshEndpoint]> {
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
        let labels = match site.instance {
            Some(index) => told_apart(&population.instances[index].labels, &called.labels),
            None => told_apart(&site.labels, &called.labels),
        };
        for (ports, transport) in [(meshed, peer), (plain, Transport::Plain)] {
            if ports.is_empty() {
                continue;
            }
            endpoints.push(MeshEndpoint {
                workload: site.workload.clone(),
                ip: site.ip,
                ports: share(ports),
                weight: site.weight,
                locality: site.locality.clone(),
                labels: Arc::clone(&labels),
                hostname: site.hostname.clone(),
                transport,
            });
        }
    }
    // The order of documents says nothing.
    endpoints.sort_by(|a, b| (&a.workload, a.ip, &a.ports).cmp(&(&b.workload, b.ip, &b.ports)));
    endpoints.into()
}
