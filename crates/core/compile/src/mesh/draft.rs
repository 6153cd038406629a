//! The services there are, before they have addresses: those of documents, and those of registered
//! workloads that no document selects.

mod entry;
mod kubernetes;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use weft_model::Generation;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{Location, Peer, Phase, ServicePort};
use weft_resources::{Kind, Resource};

use crate::context::Output;
use crate::mesh::MeshOptions;
use crate::mesh::address::Assigned;
use crate::mesh::draft::kubernetes::Slices;
use crate::mesh::population::{Instance, Origin, Population};
use crate::mesh::protocol::{OpaquePorts, Said};
use crate::mesh::scene::{Labels, Scene};
use crate::remark::Place;

/// A service.
pub(super) struct Draft<'a> {
    pub(super) addrs: Virtual,
    pub(super) ports: Vec<ServicePort>,
    pub(super) location: Location,
    pub(super) runs: Runs,
    /// The document that it comes from; `None` for one of registered workloads.
    pub(super) origin: Option<&'a Resource>,
    /// The service that it is another name for (ExternalName).
    alias: Option<Alias>,
    /// Of two that want one address, the lesser one gets it.
    rank: usize,
}

/// Another name for a service: it runs where that one does, if that one is part of the mesh.
struct Alias {
    of: ServiceName,
    /// It has no ports of its own.
    takes_ports: bool,
}

/// The virtual addresses of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Virtual {
    /// These.
    Given(Vec<IpAddr>),
    /// To be assigned.
    Wanted,
    /// None: callers dial its endpoints.
    Headless,
    /// None: callers find it by its name alone.
    None,
}

/// Where a service runs.
#[derive(Debug, Clone)]
pub(super) enum Runs {
    /// At these places.
    Sites(Vec<Site>),
    /// Where DNS says; service ports with those of the addresses.
    Dns(Box<str>, Box<[(u16, u16)]>),
    /// At the address that the caller has dialled.
    Dialled,
}

/// A place where a service runs.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// The workload there, by its place in the population.
    pub(super) instance: Option<usize>,
    pub(super) workload: WorkloadName,
    /// Its labels, where the population does not know it.
    pub(super) labels: Box<Labels>,
    pub(super) ip: IpAddr,
    /// Service ports with those of the workload.
    pub(super) ports: Vec<(u16, u16)>,
    pub(super) weight: u32,
    /// Where it runs: `region/zone/subzone`.
    pub(super) locality: Option<Box<str>>,
    pub(super) hostname: Option<Box<str>>,
    pub(super) peer: Option<Peer>,
    /// Whether it takes calls.
    pub(super) is_ready: bool,
}

/// Services by name.
pub(super) type Drafts<'a> = BTreeMap<ServiceName, Draft<'a>>;

/// What services are collected with.
struct Collector<'s, 'a> {
    scene: &'s Scene<'a>,
    population: &'s Population<'a>,
    slices: Slices<'a>,
    drafts: Drafts<'a>,
    /// The workloads that some document selects.
    selected: HashSet<usize>,
}

/// Collects the services there are.
pub(super) fn collect<'a>(
    scene: &Scene<'a>,
    population: &Population<'a>,
    out: &mut Output,
) -> Drafts<'a> {
    let slices = Slices::new(scene);
    let (drafts, selected) = (BTreeMap::new(), HashSet::new());
    let mut collector = Collector { scene, population, slices, drafts, selected };
    for resource in scene.resources.iter().copied() {
        if let Some(service) = resource.body.as_service() {
            collector.service(resource, service, out);
        }
    }
    for resource in scene.resources.iter().copied() {
        collector.join(resource, out);
    }
    collector.slices_alone(out);
    for resource in scene.resources.iter().copied() {
        if let Kind::ServiceEntry(entry) = &resource.body {
            collector.entry(resource, entry, out);
        }
    }
    collector.implicit(out);
    collector.resolve_aliases(out);
    collector.drafts
}

/// Gives every service its virtual addresses.
pub(super) fn assign(
    drafts: &mut Drafts<'_>,
    before: &Assigned,
    options: &MeshOptions,
    generation: Generation,
    out: &mut Output,
) -> Assigned {
    let taken = settle_given(drafts, out);
    let wanted = |(name, draft): (&ServiceName, &Draft<'_>)| {
        (draft.addrs == Virtual::Wanted).then(|| name.clone())
    };
    let names: BTreeSet<ServiceName> = drafts.iter().filter_map(wanted).collect();
    let range = &options.service_range;
    let assigned = before.update(&names, &taken, range, generation);
    for (name, draft) in drafts.iter_mut().filter(|(_, draft)| draft.addrs == Virtual::Wanted) {
        let addrs = assigned.addrs(name, range).into_vec();
        if let (true, Some(origin)) = (addrs.is_empty(), draft.origin) {
            let message = format!("no virtual address is left in {} for `{name}`", range.v4);
            Place::whole(origin).error(out, message);
        }
        draft.addrs = if addrs.is_empty() { Virtual::None } else { Virtual::Given(addrs) };
    }
    assigned
}

/// Sees to it that no two services have one address and port, and answers the addresses that
/// documents give.
fn settle_given(drafts: &mut Drafts<'_>, out: &mut Output) -> HashSet<IpAddr> {
    let mut holders: HashMap<SocketAddr, &Resource> = HashMap::new();
    let mut taken = HashSet::new();
    let mut by_rank: Vec<(&ServiceName, &mut Draft<'_>)> = drafts.iter_mut().collect();
    by_rank.sort_by_key(|(_, draft)| draft.rank);
    for (name, draft) in by_rank {
        let (Virtual::Given(addrs), Some(origin)) = (&mut draft.addrs, draft.origin) else {
            continue;
        };
        let ports = &draft.ports;
        addrs.retain(|ip| {
            let mut dialled = ports.iter().map(|port| SocketAddr::new(*ip, port.number));
            let holder = dialled.find_map(|addr| {
                // The hosts of one ServiceEntry share its addresses.
                let holder = holders.get(&addr)?;
                (holder.key != origin.key).then_some((addr, *holder))
            });
            if let Some((addr, holder)) = holder {
                let message =
                    format!("{addr} belongs to {}, and is no address of `{name}`", holder.key);
                Place::whole(origin).warn(out, message);
                return false;
            }
            taken.insert(*ip);
            holders.extend(ports.iter().map(|port| (SocketAddr::new(*ip, port.number), origin)));
            true
        });
        if addrs.is_empty() {
            // What is dialled as it is must not be led to an address at which nothing is.
            let is_dialled = matches!(draft.runs, Runs::Dialled);
            draft.addrs = if is_dialled { Virtual::None } else { Virtual::Wanted };
        }
    }
    taken
}

// === impl Draft ===

impl Draft<'_> {
    /// The namespace that it belongs to: of its document, or of the name of registered workloads'.
    pub(super) fn namespace<'d>(&'d self, name: &'d ServiceName) -> &'d str {
        match self.origin {
            Some(origin) => origin.namespace(),
            None => name.as_str().split('.').nth(1).unwrap_or_default(),
        }
    }
}

// === impl Site ===

impl Site {
    /// Whether a proxy stands there that does what this mesh asks of it.
    pub(super) fn is_guarded(&self, population: &Population<'_>) -> bool {
        self.instance.is_some_and(|index| population.instances[index].is_served())
    }
}

// === impl Collector ===

impl<'a> Collector<'_, 'a> {
    /// Adds a service unless there is one of its name, which its document is told.
    fn add(&mut self, name: ServiceName, mut draft: Draft<'a>, out: &mut Output) {
        draft.rank = self.drafts.len();
        let other = match self.drafts.entry(name) {
            Entry::Vacant(free) => {
                free.insert(draft);
                return;
            }
            Entry::Occupied(other) => other,
        };
        let (name, Some(holder)) = (other.key(), other.get().origin) else { return };
        if let Some(origin) = draft.origin {
            let message = format!("`{name}` is defined by {} and is not used here", holder.key);
            Place::whole(origin).error_with(out, message, "remove one of the two");
        } else {
            let message = "it does not select the workloads that were registered under its name";
            Place::whole(holder).warn_with(out, message, "give them the labels that it asks for");
        }
    }

    /// The place where a workload runs, as seen by one of its addresses.
    fn site(&self, index: usize, ip: IpAddr, ports: Vec<(u16, u16)>) -> Site {
        let instance = &self.population.instances[index];
        Site {
            instance: Some(index),
            workload: instance.name.clone(),
            labels: Box::default(),
            ip,
            ports,
            weight: instance.weight,
            locality: instance.locality.clone(),
            hostname: None,
            peer: instance.peer.clone(),
            is_ready: instance.phase == Phase::Ready,
        }
    }

    /// Services of registered workloads that no document selects, by the names that they were asked
    /// for under.
    fn implicit(&mut self, out: &mut Output) {
        let mut groups: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (index, instance) in self.population.instances.iter().enumerate() {
            if let Origin::Node(workload) = instance.origin
                && !self.selected.contains(&index)
            {
                let name = (&*workload.namespace, &*workload.service);
                groups.entry(name).or_default().push(index);
            }
        }
        for ((namespace, name), members) in groups {
            let name = self.scene.service_name(namespace, &name.to_ascii_lowercase());
            let draft = self.implicit_draft(namespace, &members, out);
            self.add(name, draft, out);
        }
    }

    fn implicit_draft(&self, namespace: &str, members: &[usize], out: &mut Output) -> Draft<'a> {
        let opaque = OpaquePorts::of(self.scene, None, namespace, out);
        let mut ports: BTreeMap<u16, ServicePort> = BTreeMap::new();
        for instance in members.iter().map(|index| &self.population.instances[*index]) {
            for port in instance.ports() {
                let said = Said {
                    opaque: opaque.as_ref(),
                    declared: port.app_protocol,
                    name: port.name,
                    number: port.number,
                };
                ports.entry(port.number).or_insert_with(|| ServicePort {
                    number: port.number,
                    name: port.name.into(),
                    protocol: said.protocol(),
                });
            }
        }
        let pairs = |instance: &Instance<'_>| {
            instance.ports().iter().map(|port| (port.number, port.number)).collect()
        };
        let sites = members.iter().filter_map(|index| {
            let instance = &self.population.instances[*index];
            Some(self.site(*index, *instance.addrs.first()?, pairs(instance)))
        });
        Draft {
            addrs: Virtual::Wanted,
            ports: ports.into_values().collect(),
            location: Location::Mesh,
            runs: Runs::Sites(sites.collect()),
            origin: None,
            alias: None,
            rank: 0,
        }
    }

    /// Lets services that are another name for one of the mesh run where that one does. Of those that
    /// are found elsewhere and have no ports, the usual ones are told.
    fn resolve_aliases(&mut self, out: &mut Output) {
        let target = |draft: &Draft<'_>| {
            let alias = draft.alias.as_ref()?;
            let target = self.drafts.get(&alias.of)?;
            let ports = alias.takes_ports.then(|| target.ports.clone());
            target.alias.is_none().then(|| (target.runs.clone(), target.location, ports))
        };
        let found: Vec<_> = self
            .drafts
            .iter()
            .filter_map(|(name, draft)| Some((name.clone(), target(draft)?)))
            .collect();
        for (name, (runs, location, ports)) in found {
            if let Some(draft) = self.drafts.get_mut(&name) {
                (draft.runs, draft.location, draft.alias) = (runs, location, None);
                draft.ports = ports.unwrap_or_else(|| std::mem::take(&mut draft.ports));
            }
        }
        for draft in self.drafts.values() {
            if let (Some(Alias { takes_ports: true, .. }), Some(origin)) =
                (&draft.alias, draft.origin)
            {
                let message = "it names no ports: 80 and 443 lead to the host that it names";
                Place::whole(origin).note(out, message);
            }
        }
    }
}
