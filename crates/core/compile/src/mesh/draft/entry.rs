//! ServiceEntries.

use std::net::IpAddr;
use std::sync::Arc;

use weft_model::id::WorkloadName;
use weft_model::mesh::{Location, Protocol, ServicePort};
use weft_resources::istio::entry::Location as Written;
use weft_resources::istio::{Resolution, ServiceEntry, WorkloadEntry};
use weft_resources::{Pos, Resource};

use super::{Collector, Draft, Runs, Site, Virtual};
use crate::context::Output;
use crate::mesh::place;
use crate::mesh::population::{Origin, entry_peer};
use crate::mesh::protocol::{OpaquePorts, Said, declared};
use crate::remark::Place;

/// The label of ServiceEntries that are to have no address of their own, as in Istio.
const AUTO_ALLOCATE: &str = "networking.istio.io/enable-autoallocate-ip";

// === impl Collector ===

impl<'a> Collector<'_, 'a> {
    /// Adds the services of a ServiceEntry, one for each host.
    pub(super) fn entry(
        &mut self,
        resource: &'a Arc<Resource>,
        entry: &'a ServiceEntry,
        out: &mut Output,
    ) {
        let ports = self.entry_ports(resource, entry, out);
        let location = match entry.location {
            Written::Internal => Location::Mesh,
            Written::External => Location::External,
        };
        let sites = self.entry_sites(resource, entry);
        self.note_unopened(resource, entry, &ports, out);
        for host in &entry.hosts {
            let runs = runs(resource, entry, host, &sites, out);
            let addrs = match &*entry.addresses {
                [] if is_found_otherwise(resource, host, &runs) => Virtual::None,
                [] => Virtual::Wanted,
                addrs => Virtual::Given(addrs.to_vec()),
            };
            let name = self.scene.host(host, resource.namespace());
            let draft = Draft {
                addrs,
                ports: ports.clone(),
                location,
                runs,
                origin: Some(resource),
                alias: None,
                rank: 0,
            };
            self.add(name, draft, out);
        }
    }

    /// Says what calls a document does not open where only what the mesh knows may be called: where
    /// there are no addresses to know them by, the host has to be asked for by TLS or HTTP.
    fn note_unopened(
        &self,
        resource: &Resource,
        entry: &ServiceEntry,
        ports: &[ServicePort],
        out: &mut Output,
    ) {
        if entry.resolution != Resolution::None || !entry.addresses.is_empty() {
            return;
        }
        let place = Place::new(resource, Pos::default(), "spec.addresses");
        let unknown = "where only what the mesh knows may be called; list its `addresses`";
        if entry.location == Written::Internal {
            place.note(out, format!("without addresses it opens nothing {unknown}"));
            return;
        }
        for port in ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
            let number = port.number;
            place.note(
                out,
                format!("calls to port {number} name no host, and stay closed {unknown}"),
            );
        }
    }

    fn entry_ports(
        &self,
        resource: &Resource,
        entry: &ServiceEntry,
        out: &mut Output,
    ) -> Vec<ServicePort> {
        let opaque = OpaquePorts::of(self.scene, Some(resource), resource.namespace(), out);
        let place = Place::new(resource, Pos::default(), "spec.ports");
        let mut ports: Vec<ServicePort> = Vec::new();
        for port in &entry.ports {
            let protocol = Some(&*port.protocol).filter(|protocol| !protocol.is_empty());
            if let Some("UDP") = protocol {
                place.warn(out, format!("port {} is not TCP, and not carried", port.number));
                continue;
            }
            if let Some(word) = protocol.filter(|word| declared(word).is_none()) {
                place.note(out, format!("the protocol `{word}` is not known"));
            }
            if ports.iter().any(|other| other.number == port.number) {
                place.error(out, format!("port {} is there already", port.number));
                continue;
            }
            let said = Said {
                opaque: opaque.as_ref(),
                declared: protocol,
                name: &port.name,
                number: port.number,
            };
            let protocol = said.protocol();
            ports.push(ServicePort { number: port.number, name: port.name.clone(), protocol });
        }
        ports
    }

    /// Where a ServiceEntry runs, as far as addresses are written or workloads selected.
    fn entry_sites(&mut self, resource: &Resource, entry: &ServiceEntry) -> Vec<Site> {
        let namespace = resource.namespace();
        let mut sites = Vec::new();
        for index in self.population.select(namespace, &entry.selector) {
            self.selected.insert(index);
            let instance = &self.population.instances[index];
            let own = match instance.origin {
                Origin::Entry(_, own) => Some(own),
                Origin::Node(_) | Origin::Pod(..) => None,
            };
            let ports = entry
                .ports
                .iter()
                .map(|port| (port.number, own.map_or(port.target, |own| own.port(port))));
            if let Some(ip) = instance.addrs.first() {
                sites.push(self.site(index, *ip, ports.collect()));
            }
        }
        for endpoint in &entry.endpoints {
            let Ok(ip) = endpoint.address.parse() else { continue };
            sites.push(self.endpoint_site(namespace, entry, endpoint, ip));
        }
        sites
    }

    fn endpoint_site(
        &self,
        namespace: &str,
        entry: &ServiceEntry,
        endpoint: &WorkloadEntry,
        ip: IpAddr,
    ) -> Site {
        let ports: Vec<(u16, u16)> =
            entry.ports.iter().map(|port| (port.number, endpoint.port(port))).collect();
        let mut site = match self.population.at(ip) {
            Some(index) => self.site(index, ip, ports),
            None => Site {
                instance: None,
                workload: WorkloadName::new(format!("{namespace}/{ip}")),
                labels: endpoint.labels.clone(),
                ip,
                ports,
                weight: 1,
                locality: None,
                hostname: None,
                peer: entry_peer(self.scene, ip, namespace, endpoint),
                is_ready: true,
            },
        };
        site.weight = endpoint.weight;
        site.locality = place::of_entry(endpoint).or(site.locality);
        site
    }
}

/// Where a host runs.
fn runs(
    resource: &Resource,
    entry: &ServiceEntry,
    host: &str,
    sites: &[Site],
    out: &mut Output,
) -> Runs {
    let place = |path| Place::new(resource, Pos::default(), path);
    match entry.resolution {
        Resolution::Static => {
            if entry.endpoints.is_empty() && entry.selector.is_empty() {
                place("spec").error(out, "the resolution STATIC needs endpoints or a selector");
            }
            Runs::Sites(sites.to_vec())
        }
        Resolution::DynamicDns => {
            let message =
                "the resolution DYNAMIC_DNS is not supported yet, and no call gets through";
            place("spec.resolution").error_with(out, message, "use NONE or DNS");
            Runs::Sites(Vec::new())
        }
        Resolution::None => {
            if !entry.endpoints.is_empty() {
                let message = "endpoints have no effect with the resolution NONE";
                place("spec.endpoints").warn(out, message);
            }
            Runs::Dialled
        }
        Resolution::Dns | Resolution::DnsRoundRobin => {
            let mut names = entry
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.address.parse::<IpAddr>().is_err());
            let name = match (names.next(), entry.endpoints.is_empty()) {
                (Some(name), _) => Some(name),
                (None, true) => None,
                (None, false) => return Runs::Sites(sites.to_vec()),
            };
            if entry.endpoints.len() > 1 {
                let message = "of several endpoints, one of which is a name, only the first name \
                               is resolved";
                place("spec.endpoints").warn(out, message);
            }
            if name.is_none() && host.contains('*') {
                place("spec.hosts").error(out, format!("`{host}` is no name that DNS resolves"));
            }
            let pairs = entry.ports.iter().map(|port| {
                (port.number, name.map_or(port.target, |endpoint| endpoint.port(port)))
            });
            let name = name.map_or(host, |endpoint| &endpoint.address);
            Runs::Dns(name.into(), pairs.collect())
        }
    }
}

/// Whether callers find it without an address of the mesh: nothing else stands for a wildcard, and
/// what is dialled anyhow must not change.
fn is_found_otherwise(resource: &Resource, host: &str, runs: &Runs) -> bool {
    host.contains('*')
        || matches!(runs, Runs::Dialled)
        || resource.label(AUTO_ALLOCATE) == Some("false")
}
