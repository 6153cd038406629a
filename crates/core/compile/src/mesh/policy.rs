//! What documents ask of each workload: mutual TLS, who may call it, and what it may call.
//!
//! What cannot be enforced closes what it is about, for everybody.

mod authorization;
mod ingress;
mod limits;
mod outbound;
mod peer;
mod server;
mod unread;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use weft_model::calling::Calling;
use weft_model::mesh::{Egress, Mtls, Outside, Protocol, UnknownDestinations};
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step};
use weft_resources::Resource;

use crate::context::Output;
use crate::mesh::config::Config;
use crate::mesh::policy::authorization::Authorizations;
use crate::mesh::policy::ingress::Arriving;
pub(super) use crate::mesh::policy::limits::{Limits, OfServices, of_services};
use crate::mesh::policy::outbound::{Outbound, Sidecars};
use crate::mesh::policy::peer::Peers;
use crate::mesh::policy::server::Servers;
pub(super) use crate::mesh::policy::unread::Unread;
use crate::mesh::population::{Instance, Population};
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// What documents ask of one workload.
pub(super) struct Rules {
    /// Mutual TLS on all other ports.
    pub(super) mtls: Mtls,
    /// Why nobody may call all other ports.
    pub(super) closed: Option<Refusal>,
    /// The ports that something special is asked of.
    pub(super) ports: BTreeMap<u16, PortRules>,
    /// What becomes of calls to what the mesh does not know.
    pub(super) unknown: UnknownDestinations,
    /// What is said of addresses outside of the mesh.
    pub(super) outside: Box<[Outside]>,
    /// The only services that it may call; all when `None`.
    pub(super) egress: Option<Box<[Egress]>>,
    /// How the application is called on all other ports.
    pub(super) calling: Option<Arc<Calling>>,
}

/// What documents ask of one port.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PortRules {
    pub(super) mtls: Mtls,
    pub(super) closed: Option<Refusal>,
    /// What is spoken on it, if a policy says so.
    pub(super) protocol: Option<Protocol>,
    /// What is done to requests for it.
    pub(super) steps: Vec<Arc<Step>>,
    /// How the application is called.
    pub(super) calling: Option<Arc<Calling>>,
    /// The port of the application, where it is another one.
    pub(super) forward: Option<u16>,
}

/// All documents that ask something of workloads.
pub(super) struct Policies<'a> {
    population: &'a Population<'a>,
    peers: Peers<'a>,
    authorizations: Authorizations<'a>,
    servers: Servers<'a>,
    sidecars: Sidecars<'a>,
    /// Why all workloads are closed.
    closed: Option<Refusal>,
}

// === impl Rules ===

impl Rules {
    /// What holds for a port.
    pub(super) fn port(&self, number: u16) -> PortRules {
        self.ports.get(&number).cloned().unwrap_or_else(|| PortRules {
            mtls: self.mtls,
            closed: self.closed.clone(),
            protocol: None,
            steps: Vec::new(),
            calling: self.calling.clone(),
            forward: None,
        })
    }

    /// Mutual TLS on a port.
    pub(super) fn mtls(&self, port: u16) -> Mtls {
        self.ports.get(&port).map_or(self.mtls, |port| port.mtls)
    }
}

// === impl Policies ===

impl<'a> Policies<'a> {
    pub(super) fn new(
        scene: &Scene<'a>,
        population: &'a Population<'a>,
        config: &'a Config,
        unread: &Unread,
        out: &mut Output,
    ) -> Self {
        Self {
            population,
            peers: Peers::new(scene, out),
            authorizations: Authorizations::new(scene, population, out),
            servers: Servers::new(scene, out),
            sidecars: Sidecars::new(scene, config, out),
            closed: unread.closed(),
        }
    }

    /// What is asked of each workload, in the order of the population.
    pub(super) fn rules(&self, out: &mut Output) -> Vec<Rules> {
        let instances = self.population.instances.iter().enumerate();
        instances.map(|(index, instance)| self.rules_of(index, instance, out)).collect()
    }

    fn rules_of(&self, index: usize, instance: &Instance<'_>, out: &mut Output) -> Rules {
        let peer = self.peers.of(instance, out);
        let authorization = self.authorizations.of(index, instance);
        let server = self.servers.of(instance);
        let sidecar = self.sidecars.document(instance, out);
        let at = |port: Option<u16>| {
            let asked = server.at(port);
            let Arriving { protocol, forward, calling } = ingress::of(sidecar, port);
            PortRules {
                mtls: if asked.is_strict { Mtls::Strict } else { peer.at(port) },
                closed: authorization.at(port).or(asked.closed).or_else(|| self.closed.clone()),
                protocol: asked.protocol.or(protocol),
                steps: asked.steps,
                calling,
                forward,
            }
        };
        let mut numbers: BTreeSet<u16> = peer.ports().collect();
        numbers.extend(authorization.ports());
        numbers.extend(server.ports());
        numbers.extend(ingress::ports(sidecar));
        let others = at(None);
        let Outbound { unknown, outside, egress } = self.sidecars.of(sidecar, instance);
        Rules {
            mtls: others.mtls,
            closed: others.closed,
            ports: numbers.into_iter().map(|number| (number, at(Some(number)))).collect(),
            unknown,
            outside,
            egress,
            calling: others.calling,
        }
    }
}

/// Why something is closed that a document protects in a way that is not enforced here.
fn unenforceable(resource: &Resource) -> Refusal {
    let detail = format!("closed: {} asks for what this version cannot enforce", resource.key);
    Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() }
}

/// Why something is closed that a document closes.
fn forbidden(resource: &Resource) -> Refusal {
    let detail = format!("{} lets nobody in", resource.key);
    Refusal { reason: Reason::Forbidden, detail: detail.into() }
}

/// Keeps the older of two documents of which only one can hold, and tells the younger one.
fn keep_oldest<'a, K: Eq + Hash, T>(
    kept: &mut HashMap<K, (&'a Resource, T)>,
    key: K,
    resource: &'a Arc<Resource>,
    body: T,
    out: &mut Output,
) {
    match kept.get(&key) {
        Some((older, _)) => overruled(resource, older, out),
        None => {
            kept.insert(key, (resource, body));
        }
    }
}

/// Says that an older document holds instead.
fn overruled(resource: &Resource, older: &Resource, out: &mut Output) {
    let message = format!("{} is older and holds instead", older.key);
    Place::whole(resource).warn_with(out, message, "remove one of the two");
}
