//! Networks outside of the mesh that documents speak of: Linkerd's EgressNetwork.
//!
//! The rules of one travel like those of a service, under a name that no host has.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use weft_model::id::ServiceName;
use weft_model::mesh::{
    AddressRange, IndexEntry, Location, Mesh, Outside, Service, ServiceEndpoints,
};
use weft_resources::linkerd::EGRESS_NAMESPACE;
use weft_resources::linkerd::egress::EgressNetwork;
use weft_resources::{Kind, Resource};

use crate::context::Output;
use crate::mesh::emit::keep;
use crate::mesh::routing::Routing;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// What names of networks begin with.
const PREFIX: &str = "EgressNetwork/";

/// All EgressNetworks, oldest first.
pub(super) struct Networks<'a>(Vec<(&'a Resource, &'a EgressNetwork)>);

// === impl Networks ===

impl<'a> Networks<'a> {
    /// Finds them, and says which cannot be read.
    pub(super) fn new(scene: &Scene<'a>, out: &mut Output) -> Self {
        let network = |resource: &&'a Arc<Resource>| match &resource.body {
            Kind::EgressNetwork(network) => Some((&***resource, &**network)),
            _ => None,
        };
        let all: Vec<_> = scene.resources.iter().filter_map(network).collect();
        for (resource, _) in all.iter().filter(|(_, network)| network.is_broken) {
            let message = "calls to what the mesh does not know are refused until it can be read";
            Place::whole(resource).error(out, message);
        }
        Self(all)
    }

    /// What holds for callers of a namespace: first what networks of their own namespace say, then
    /// those for all. Of each, longer prefixes come first, and among equals older documents; before
    /// them one that cannot be read, as it may have forbidden any call.
    pub(super) fn of(&self, namespace: &str) -> Box<[Outside]> {
        let mut found = Vec::new();
        let mut add = |namespace: &str| {
            let first = found.len();
            for (resource, network) in &self.0 {
                if resource.namespace() == namespace {
                    found.extend(ranges(network).map(|range| (network, resource, range)));
                }
            }
            found[first..].sort_by_key(|(network, _, range)| {
                (!network.is_broken, u8::MAX - range.within.prefix_len())
            });
        };
        add(namespace);
        if namespace != EGRESS_NAMESPACE {
            add(EGRESS_NAMESPACE);
        }
        let outside = |(_, resource, range): (_, &&Resource, AddressRange)| Outside {
            range,
            network: name(resource.namespace(), resource.name()),
        };
        found.into_iter().map(outside).collect()
    }
}

// === functions ===

/// The name under which the rules of a network travel.
pub(super) fn name(namespace: &str, name: &str) -> ServiceName {
    ServiceName::new(format!("{PREFIX}{namespace}/{name}"))
}

/// The namespace and name of the network whose rules travel under that name, if any do.
pub(super) fn named(service: &ServiceName) -> Option<(&str, &str)> {
    service.as_str().strip_prefix(PREFIX)?.split_once('/')
}

/// What is known of each; those that are as before keep their `Arc`.
pub(super) fn services(
    scene: &Scene<'_>,
    routing: &Routing,
    before: Option<&Mesh>,
) -> BTreeMap<ServiceName, Arc<Service>> {
    let networks =
        scene.resources.iter().filter(|resource| matches!(resource.body, Kind::EgressNetwork(_)));
    let service = |resource: &&Arc<Resource>| {
        let name = name(resource.namespace(), resource.name());
        let old = before.and_then(|before| before.networks.get(&name));
        let entry = IndexEntry {
            name: name.clone(),
            addrs: Box::default(),
            endpoint_addrs: Box::default(),
            ports: Box::default(),
            location: Location::External,
        };
        let traffic = routing.traffic(&name, &Arc::default(), scene, old.map(|old| &old.traffic));
        let entry = keep(entry, old.map(|old| &old.entry));
        let service = Service { entry, endpoints: ServiceEndpoints::Dialled, traffic };
        (name, keep(service, old))
    };
    networks.map(service).collect()
}

/// The addresses of a network; all of them where it names none.
fn ranges(network: &EgressNetwork) -> impl Iterator<Item = AddressRange> + '_ {
    let all = |within: IpNet| AddressRange { within, except: Box::default() };
    let everywhere: [IpNet; 2] = [
        Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into(),
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into(),
    ];
    let written = network.networks.as_deref().filter(|_| !network.is_broken);
    let is_everywhere = written.is_none();
    let written = written.unwrap_or_default().iter().map(|network| AddressRange {
        within: network.cidr,
        except: network.except.as_slice().into(),
    });
    written.chain(everywhere.into_iter().filter(move |_| is_everywhere).map(all))
}
