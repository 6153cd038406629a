//! Services of Kubernetes, those of several clusters (KEP-1645), and EndpointSlices without one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use rapidhash::fast::SeedableState;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{Location, Phase, Protocol, ServicePort};
use weft_resources::kubernetes::Service;
use weft_resources::kubernetes::endpoints::{EndpointSlice, SERVICE_NAME_LABEL, SliceEndpoint};
use weft_resources::kubernetes::service::{
    PortRef, ServicePort as WrittenPort, ServiceType, Transport,
};
use weft_resources::{Kind, Resource, multicluster};

use super::{Alias, Collector, Draft, Runs, Site, Virtual};
use crate::context::Output;
use crate::mesh::place;
use crate::mesh::population::{Instance, Origin};
use crate::mesh::protocol::{OpaquePorts, Said, declared};
use crate::mesh::scene::{Clusters, Labels, Scene};
use crate::remark::Place;
use crate::services::{check_part, part_of, slice_port};

/// The label by which Istio knows the cluster of an endpoint.
const CLUSTER_LABEL: &str = "topology.istio.io/cluster";

/// EndpointSlices by service, those of Endpoints included.
#[derive(Default)]
pub(super) struct Slices<'a> {
    by_service: HashMap<(Clusters, &'a str, &'a str), Found<'a>, SeedableState<'static>>,
}

/// The EndpointSlices of one service.
struct Found<'a> {
    /// The first resource.
    origin: &'a Resource,
    slices: Vec<Slice<'a>>,
}

/// An EndpointSlice, and the cluster that it was imported from.
#[derive(Clone, Copy)]
struct Slice<'a> {
    body: &'a EndpointSlice,
    cluster: Option<&'a str>,
}

// === impl Slices ===

impl<'a> Slices<'a> {
    pub(super) fn new(scene: &Scene<'a>) -> Self {
        let mut all = Self::default();
        let mut older: Vec<(&Arc<Resource>, &[EndpointSlice])> = Vec::new();
        for resource in scene.resources.iter().copied() {
            match &resource.body {
                Kind::EndpointSlice(slice) => {
                    for (clusters, label) in [
                        (Clusters::This, SERVICE_NAME_LABEL),
                        (Clusters::Several, multicluster::SERVICE_NAME_LABEL),
                    ] {
                        if let Some(name) = resource.label(label) {
                            all.add((clusters, name), resource, std::slice::from_ref(slice));
                        }
                    }
                }
                Kind::Endpoints(endpoints) => older.push((resource, &endpoints.subsets)),
                _ => {}
            }
        }
        // The cluster mirrors one into the other.
        older.retain(|(resource, _)| all.of(resource).is_empty());
        for (resource, subsets) in older {
            all.add((Clusters::This, resource.name()), resource, subsets);
        }
        all
    }

    fn add(
        &mut self,
        (clusters, service): (Clusters, &'a str),
        origin: &'a Resource,
        slices: &'a [EndpointSlice],
    ) {
        let found = self.by_service.entry((clusters, origin.namespace(), service));
        let found = found.or_insert_with(|| Found { origin, slices: Vec::new() });
        let cluster = origin.label(multicluster::SOURCE_CLUSTER_LABEL);
        found.slices.extend(slices.iter().map(|body| Slice { body, cluster }));
    }

    /// Those of the service that has the name of a document.
    fn of<'s>(&'s self, of: &'s Resource) -> &'s [Slice<'a>] {
        let found = self.by_service.get(&(Clusters::of(of), of.namespace(), of.name()));
        found.map(|found| &*found.slices).unwrap_or_default()
    }
}

/// What hosts elsewhere are called at, where a document says nothing of it.
fn usual_ports() -> Vec<ServicePort> {
    let port = |number, name: &str, protocol| ServicePort { number, name: name.into(), protocol };
    vec![port(80, "http", Protocol::Http), port(443, "https", Protocol::Tls)]
}

// === impl Collector ===

impl<'a> Collector<'_, 'a> {
    /// Adds a Service, or a ServiceImport.
    pub(super) fn service(
        &mut self,
        resource: &'a Arc<Resource>,
        service: &'a Service,
        out: &mut Output,
    ) {
        let name = self.scene.name_of(resource);
        let slices = self.slices.of(resource).to_vec();
        let mut ports = self.ports(resource, service, &slices, out);
        let mut draft = Draft {
            addrs: match &*service.cluster_ips {
                _ if service.is_headless => Virtual::Headless,
                [] => Virtual::Wanted,
                addrs => Virtual::Given(addrs.to_vec()),
            },
            ports: Vec::new(),
            location: Location::Mesh,
            runs: Runs::Sites(Vec::new()),
            origin: Some(resource),
            alias: None,
            rank: 0,
        };
        match &service.kind {
            ServiceType::ExternalName(target) => {
                let mut pairs: Vec<(u16, u16)> =
                    service.ports.iter().filter(|port| is_tcp(port)).map(numbers).collect();
                let takes_ports = service.ports.is_empty();
                if takes_ports {
                    ports = usual_ports();
                    pairs = ports.iter().map(|port| (port.number, port.number)).collect();
                }
                draft.addrs = Virtual::Wanted;
                draft.location = Location::External;
                let of = self.scene.host(target, resource.namespace());
                draft.alias = Some(Alias { of, takes_ports });
                draft.runs = Runs::Dns(target.clone(), pairs.into());
            }
            ServiceType::Cluster => {
                let sites = self.sites(resource, service, &slices, out);
                if service.is_headless {
                    ports.extend(target_ports(service, &ports));
                }
                draft.runs = Runs::Sites(sites);
            }
        }
        draft.ports = ports;
        self.add(name, draft, out);
    }

    /// Adds services of which there are EndpointSlices only.
    pub(super) fn slices_alone(&mut self, out: &mut Output) {
        let slices = std::mem::take(&mut self.slices);
        let alone = slices.by_service.into_iter().filter_map(|(service, found)| {
            let (clusters, namespace, name) = service;
            let name = self.scene.name(clusters, namespace, name);
            (!self.drafts.contains_key(&name)).then_some((name, found))
        });
        let mut alone: Vec<(ServiceName, Found<'_>)> = alone.collect();
        alone.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (name, found) in alone {
            let draft = self.slices_draft(found.origin.namespace(), &found, out);
            self.add(name, draft, out);
        }
    }

    fn slices_draft(&self, namespace: &str, found: &Found<'a>, out: &mut Output) -> Draft<'a> {
        let opaque = OpaquePorts::of(self.scene, None, namespace, out);
        let mut ports: BTreeMap<u16, ServicePort> = BTreeMap::new();
        let mut sites = Sites::default();
        for slice in &found.slices {
            let tcp = slice.body.ports.iter().filter(|port| port.transport == Transport::Tcp);
            let mut pairs = Vec::new();
            for (port, number) in tcp.filter_map(|port| Some((port, port.port?))) {
                let said = Said {
                    opaque: opaque.as_ref(),
                    declared: port.app_protocol.as_deref(),
                    name: &port.name,
                    number,
                };
                ports.entry(number).or_insert_with(|| ServicePort {
                    number,
                    name: port.name.clone(),
                    protocol: said.protocol(),
                });
                pairs.push((number, number));
            }
            for endpoint in &slice.body.endpoints {
                sites.add(self.slice_sites(namespace, (*slice, endpoint), &pairs, false));
            }
        }
        Draft {
            addrs: Virtual::Wanted,
            ports: ports.into_values().collect(),
            location: Location::Mesh,
            runs: Runs::Sites(sites.finish()),
            origin: Some(found.origin),
            alias: None,
            rank: 0,
        }
    }

    /// Lets a Service be a part of one of several clusters: of that which it is exported as, which is
    /// there by that alone, or of the federated one that names it.
    pub(super) fn join(&mut self, resource: &'a Resource, out: &mut Output) {
        let Some((name, place)) = part_of(resource) else { return };
        let namespace = resource.namespace();
        let local = self.scene.get("", "Service", namespace, name);
        let service = local.and_then(|local| local.body.as_service());
        check_part((namespace, name), service, place, out);
        let own = self.drafts.get(&self.scene.service_name(namespace, name));
        let (Some(service), Some(own)) = (service, own) else { return };
        let Runs::Sites(of_own) = &own.runs else { return };
        let whole = self.scene.name_of(resource);
        let mut sites = Sites::default();
        match self.drafts.get(&whole) {
            Some(Draft { runs: Runs::Sites(found), .. }) => sites.add(found.iter().cloned()),
            Some(_) => return,
            None => {
                let slices = self.slices.of(resource).iter();
                slices.for_each(|slice| self.add_slice(namespace, service, *slice, &mut sites));
            }
        }
        sites.add(of_own.iter().cloned());
        let (runs, ports) = (Runs::Sites(sites.all), own.ports.clone());
        if let Some(draft) = self.drafts.get_mut(&whole) {
            draft.runs = runs;
            return;
        }
        let draft = Draft {
            addrs: if service.is_headless { Virtual::Headless } else { Virtual::Wanted },
            ports,
            location: Location::Mesh,
            runs,
            origin: Some(resource),
            alias: None,
            rank: 0,
        };
        self.add(whole, draft, out);
    }

    /// The ports of a Service, TCP only.
    fn ports(
        &self,
        resource: &Resource,
        service: &Service,
        slices: &[Slice<'a>],
        out: &mut Output,
    ) -> Vec<ServicePort> {
        let opaque = OpaquePorts::of(self.scene, Some(resource), resource.namespace(), out);
        let mut ports: Vec<ServicePort> = Vec::new();
        for port in &service.ports {
            let place = Place::new(resource, port.at, "spec.ports");
            if !is_tcp(port) {
                place.warn(out, format!("port {} is not TCP, and not carried", port.port));
                continue;
            }
            if let Some(word) = port.app_protocol.as_deref().filter(|word| declared(word).is_none())
            {
                place.note(out, format!("appProtocol `{word}` is not known"));
            }
            if ports.iter().any(|other| other.number == port.port) {
                place.error(out, format!("port {} is there already", port.port));
                continue;
            }
            let of_slices = || {
                let found = slices.iter().filter_map(|slice| slice_port(slice.body, service, port));
                found.filter_map(|port| port.app_protocol.as_deref()).next()
            };
            let said = Said {
                opaque: opaque.as_ref(),
                declared: port.app_protocol.as_deref().or_else(of_slices),
                name: &port.name,
                number: port.port,
            };
            let (name, protocol) = (port.name.clone(), said.protocol());
            ports.push(ServicePort { number: port.port, name, protocol });
        }
        ports
    }

    /// Where a Service runs: at the workloads that it selects, and where EndpointSlices say.
    fn sites(
        &mut self,
        resource: &Resource,
        service: &Service,
        slices: &[Slice<'a>],
        out: &mut Output,
    ) -> Vec<Site> {
        let (namespace, name) = (resource.namespace(), resource.name());
        let mut sites = Sites::default();
        for index in self.workloads(resource, service, slices.is_empty()) {
            self.selected.insert(index);
            let instance = &self.population.instances[index];
            let ports = instance_ports(instance, service);
            let addrs = if service.is_headless {
                &*instance.addrs
            } else {
                instance.addrs.get(..1).unwrap_or_default()
            };
            sites.add(addrs.iter().map(|ip| {
                let mut site = self.site(index, *ip, ports.clone());
                site.is_ready |= service.publishes_unready && instance.phase == Phase::Unready;
                if service.is_headless {
                    site.hostname = instance.hostname(name).map(Into::into);
                }
                site
            }));
        }
        for slice in slices {
            self.add_slice(namespace, service, *slice, &mut sites);
        }
        let sites = if service.is_headless { sites.all } else { sites.finish() };
        check_targets(resource, service, &sites, out);
        sites
    }

    /// Adds where an EndpointSlice says that a Service runs.
    fn add_slice(&self, namespace: &str, service: &Service, slice: Slice<'_>, sites: &mut Sites) {
        let tcp = service.ports.iter().filter(|port| is_tcp(port));
        let mut pairs: Vec<(u16, u16)> = tcp
            .filter_map(|port| Some((port.port, slice_port(slice.body, service, port)?.port?)))
            .collect();
        if service.is_headless {
            add_targets(&mut pairs);
        }
        for endpoint in &slice.body.endpoints {
            let is_ready = service.publishes_unready;
            let mut found = self.slice_sites(namespace, (slice, endpoint), &pairs, is_ready);
            if service.is_headless {
                let hostname = endpoint.hostname.clone();
                found.iter_mut().for_each(|site| site.hostname.clone_from(&hostname));
            } else {
                found.truncate(1);
            }
            sites.add(found);
        }
    }

    /// The workloads of a Service. One that says nowhere where it runs has those that were
    /// registered under its name.
    fn workloads(
        &self,
        resource: &Resource,
        service: &Service,
        is_without_slices: bool,
    ) -> Vec<usize> {
        let (namespace, name) = (resource.namespace(), resource.name());
        if !service.selector.is_empty() {
            return self.population.select(namespace, &service.selector);
        }
        if let Kind::ServiceImport(_) = resource.body {
            return Vec::new();
        }
        let is_meant = |index: &usize| match self.population.instances[*index].origin {
            Origin::Node(workload) => is_without_slices && *workload.service == *name,
            Origin::Pod(..) | Origin::Entry(..) => false,
        };
        self.population.of_namespace(namespace).iter().copied().filter(is_meant).collect()
    }

    /// The addresses of an endpoint of a slice.
    fn slice_sites(
        &self,
        namespace: &str,
        (slice, endpoint): (Slice<'_>, &SliceEndpoint),
        ports: &[(u16, u16)],
        publishes_unready: bool,
    ) -> Vec<Site> {
        let is_ready = (endpoint.ready || publishes_unready) && !endpoint.terminating;
        let cluster = slice.cluster.map(|cluster| (CLUSTER_LABEL.into(), cluster.into()));
        let labels: Box<Labels> = cluster.into_iter().collect();
        let site = |ip: &IpAddr| {
            let mut site = match self.population.at(*ip) {
                Some(index) => {
                    let mut site = self.site(index, *ip, ports.to_vec());
                    // A node knows its workloads better; of a Pod, the slice is as good a source.
                    site.is_ready |= match self.population.instances[index].origin {
                        Origin::Node(_) => false,
                        Origin::Pod(..) | Origin::Entry(..) => {
                            self.population.instances[index].phase != Phase::Terminating
                        }
                    };
                    site
                }
                None => Site {
                    instance: None,
                    workload: WorkloadName::new(format!("{namespace}/{ip}")),
                    labels: labels.clone(),
                    ip: *ip,
                    ports: ports.to_vec(),
                    weight: 1,
                    locality: None,
                    hostname: None,
                    peer: None,
                    is_ready: true,
                },
            };
            site.is_ready &= is_ready;
            site.locality =
                site.locality.or_else(|| place::of_labels(&[], endpoint.zone.as_deref()));
            site
        };
        endpoint.addresses.iter().map(site).collect()
    }
}

/// Places, each once.
#[derive(Default)]
struct Sites {
    all: Vec<Site>,
    ips: HashSet<IpAddr>,
}

// === impl Sites ===

impl Sites {
    fn add(&mut self, sites: impl IntoIterator<Item = Site>) {
        for site in sites {
            if self.ips.insert(site.ip) {
                self.all.push(site);
            }
        }
    }

    /// One place for each workload. Of addresses whose workload is not known, those of IPv6 are
    /// left out beside those of IPv4: the two families of one service lead to the same workloads.
    fn finish(self) -> Vec<Site> {
        let mut known = HashSet::new();
        let has_v4 = self.all.iter().any(|site| site.instance.is_none() && site.ip.is_ipv4());
        let is_kept = |site: &Site| match site.instance {
            Some(index) => known.insert(index),
            None => site.ip.is_ipv4() || !has_v4,
        };
        let mut is_kept = is_kept;
        self.all.into_iter().filter(|site| is_kept(site)).collect()
    }
}

fn is_tcp(port: &WrittenPort) -> bool {
    port.transport == Transport::Tcp
}

/// A port with that of addresses whose own ports nobody knows.
fn numbers(port: &WrittenPort) -> (u16, u16) {
    match port.target {
        PortRef::Number(target) => (port.port, target),
        PortRef::Name(_) => (port.port, port.port),
    }
}

/// The ports of a Service with those of a workload. A WorkloadEntry may have its own.
fn instance_ports(instance: &Instance<'_>, service: &Service) -> Vec<(u16, u16)> {
    let target = |port: &WrittenPort| {
        let own = match instance.origin {
            Origin::Entry(_, entry) => entry.named_port(&port.name),
            Origin::Node(_) | Origin::Pod(..) => None,
        };
        own.or_else(|| match &port.target {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => instance.named_port(name),
        })
    };
    let tcp = service.ports.iter().filter(|port| is_tcp(port));
    let mut pairs: Vec<(u16, u16)> =
        tcp.filter_map(|port| Some((port.port, target(port)?))).collect();
    if service.is_headless {
        add_targets(&mut pairs);
    }
    pairs
}

/// Callers of a headless service dial its endpoints, so the endpoints' own ports are its ports, too.
fn add_targets(pairs: &mut Vec<(u16, u16)>) {
    let known: HashSet<u16> = pairs.iter().map(|(port, _)| *port).collect();
    let targets: Vec<u16> =
        pairs.iter().map(|(_, target)| *target).filter(|target| !known.contains(target)).collect();
    for target in targets {
        if !pairs.contains(&(target, target)) {
            pairs.push((target, target));
        }
    }
}

/// The same for the ports that everybody knows, as far as numbers are written.
fn target_ports(service: &Service, ports: &[ServicePort]) -> Vec<ServicePort> {
    let mut found: Vec<ServicePort> = Vec::new();
    for port in service.ports.iter().filter(|port| is_tcp(port)) {
        let PortRef::Number(target) = port.target else { continue };
        let is_known = ports.iter().chain(&found).any(|known| known.number == target);
        let twin = ports.iter().find(|known| known.number == port.port);
        if let (false, Some(twin)) = (is_known, twin) {
            found.push(ServicePort { number: target, ..twin.clone() });
        }
    }
    found
}

/// Says which named ports no workload has.
fn check_targets(resource: &Resource, service: &Service, sites: &[Site], out: &mut Output) {
    for port in service.ports.iter().filter(|port| is_tcp(port)) {
        let PortRef::Name(name) = &port.target else { continue };
        let is_reached =
            sites.iter().any(|site| site.ports.iter().any(|(number, _)| *number == port.port));
        if !sites.is_empty() && !is_reached {
            let message = format!("no workload of this service has a port `{name}`");
            Place::new(resource, port.at, "spec.ports").error(out, message);
        }
    }
}
