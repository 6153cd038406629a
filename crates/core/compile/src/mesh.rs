//! From resources and registered workloads to the mesh that its proxies know.
//!
//! [`compile_mesh`] finds the workloads there are ([`population`]), what documents ask of each
//! ([`policy`]), the services ([`draft`]) with their virtual addresses ([`address`]), and makes the
//! model's services and workloads of them ([`emit`]).

mod address;
mod calling;
mod config;
mod draft;
mod emit;
mod networks;
mod outside;
mod place;
mod policy;
mod population;
mod protocol;
mod routing;
mod scene;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_model::Generation;
use weft_model::identity::TrustDomain;
use weft_model::mesh::{Index, Mesh, Registered, UnknownDestinations};
use weft_resources::set::Index as ResourceIndex;
use weft_resources::{Kind, Resource, ResourceSet};

use crate::context::Output;
use crate::gateway_api;
use crate::mesh::calling::Callings;
use crate::mesh::config::Config;
use crate::mesh::policy::{Policies, Unread};
use crate::mesh::population::Population;
use crate::mesh::routing::Routing;
use crate::mesh::scene::Scene;
use crate::report::Report;
use crate::world::{self, Effect, Effective};

pub use address::{Assigned, InvalidAssigned, ServiceRange};
pub(crate) use config::MeshDocument;

/// What compilation of a mesh is told besides resources and registered workloads.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshOptions {
    /// What the mesh's authority signs for.
    pub trust_domain: TrustDomain,
    /// What names of services end in, after `svc`: `cluster.local`.
    pub domain: Box<str>,
    /// The namespace whose security documents hold for all others, as in Istio.
    pub root_namespace: Box<str>,
    /// What becomes of calls to what the mesh does not know, where no document says so.
    pub outbound: UnknownDestinations,
    /// Where services get their virtual addresses from that documents give none.
    pub service_range: ServiceRange,
    /// Virtual addresses that services had before this process began.
    pub assigned: Assigned,
    /// The number of the first generation, 1 by default. Greater than any that proxies may have
    /// seen, so that "in force" is never said of another process' generation.
    pub first_generation: Generation,
}

/// One generation of a mesh: what its proxies know, what became of every resource, and what the
/// next one builds on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MeshWorld {
    /// What proxies know.
    pub mesh: Arc<Mesh>,
    /// What became of every resource, as far as a mesh is concerned.
    pub report: Arc<Report>,
    memory: Arc<Memory>,
}

/// What the next generation builds on.
#[derive(Debug)]
struct Memory {
    /// The resources in force, by key: as written, or the last good form.
    good: ResourceIndex,
    /// The same, the oldest first.
    in_order: Vec<Arc<Resource>>,
    assigned: Assigned,
    /// What closes all workloads.
    unread: Unread,
    /// What rules hold for calls.
    routing: Routing,
    /// How services are called.
    callings: Callings,
}

/// Compiles the mesh of `set` and of the workloads that are registered. Services and workloads that
/// equal those of `previous` keep their `Arc`, services keep their virtual addresses, and resources
/// that are broken now and were good in `previous` stay in force in that form.
///
/// Never fails: what is wrong becomes a verdict.
pub fn compile_mesh(
    set: &ResourceSet,
    registered: &Registered,
    options: &MeshOptions,
    previous: Option<&MeshWorld>,
) -> MeshWorld {
    let memory = previous.map(|world| &*world.memory);
    let effective = Effective::new(set, memory.map(|memory| &memory.good));
    let mut out = Output::default();
    let in_order = memory.map_or(&[][..], |memory| &memory.in_order);
    let in_order = scene::by_age(&effective.resources, in_order);
    let scene = Scene::new(&in_order, &effective.index, options);
    let config = Config::new(&scene, &mut out);
    let population = Population::new(&scene, registered, &mut out);
    let unread = Unread::new(set, memory.map(|memory| &memory.unread), &mut out);
    let policies = Policies::new(&scene, &population, &config, &unread, &mut out);
    let rules = policies.rules(&mut out);
    let mut drafts = draft::collect(&scene, &population, &mut out);

    let assigned = memory.map_or(&options.assigned, |memory| &memory.assigned);
    let next = |world: &MeshWorld| Generation(world.mesh.generation.0 + 1);
    let generation = previous.map_or(options.first_generation, next);
    let assigned = draft::assign(&mut drafts, assigned, options, generation, &mut out);
    let before = previous.map(|world| &*world.mesh);
    let known = memory.map(|memory| &memory.routing);
    let routing = Routing::new(&scene, &drafts, &config, known, &mut out);
    let known = memory.map(|memory| &memory.callings);
    let callings = Callings::new(&scene, &drafts, &config, known, &mut out);
    let material = emit::Material {
        scene: &scene,
        population: &population,
        drafts: &drafts,
        rules: &rules,
        routing: &routing,
        callings: &callings,
    };
    let services = emit::services(&material, before);
    let limits = policy::of_services(&scene, &population, &drafts, &mut out);
    let members = emit::Members::new(&scene, &population, &rules, &drafts, &limits, &mut out);
    let addresses = members.addresses(before);
    let workloads = members.workloads(&networks::cover(addresses.keys().copied()), before);
    let entries: BTreeMap<_, _> =
        services.iter().map(|(name, service)| (name.clone(), Arc::clone(&service.entry))).collect();
    let networks = outside::services(&scene, &routing, before);
    let index = Index { entries };
    let mesh = Mesh { generation, index, services, addresses, networks, workloads };
    let report = world::report(set, &effective, out, |resource| effect(resource, options));
    drop(drafts);
    let good = effective.index;
    let memory = Memory { good, in_order, assigned, unread, routing, callings };
    MeshWorld { mesh: Arc::new(mesh), report: Arc::new(report), memory: Arc::new(memory) }
}

/// The trust domain that MeshConfig names, for whoever is about to make an authority: one that is
/// there already keeps its own.
pub fn written_trust_domain(set: &ResourceSet, root_namespace: &str) -> Option<TrustDomain> {
    let written = set.resources().find_map(|resource| config::of(resource, root_namespace));
    TrustDomain::new(&written?.0.trust_domain?).ok()
}

// === impl MeshOptions ===

impl MeshOptions {
    /// Those of `cluster.local`: root namespace `istio-system`, unknown destinations pass, services
    /// in 10.78.0.0/16 and fd78::/64.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            outbound: UnknownDestinations::Allow,
            service_range: ServiceRange::default(),
            assigned: Assigned::default(),
            first_generation: Generation(1),
        }
    }
}

// === impl MeshWorld ===

impl MeshWorld {
    /// The virtual addresses that services have and had, to be kept across restarts
    /// ([`MeshOptions::assigned`]).
    pub fn assigned(&self) -> &Assigned {
        &self.memory.assigned
    }

    /// Of how many services the rules were compiled to make this world of the one before.
    pub fn compiled(&self) -> usize {
        self.memory.routing.made()
    }
}

/// Whether a resource has an effect on a mesh.
fn effect(resource: &Resource, options: &MeshOptions) -> Effect {
    match &resource.body {
        Kind::WorkloadGroup(_) | Kind::ExternalWorkload(_) => world::effect(resource),
        Kind::VirtualService(_)
        | Kind::DestinationRule(_)
        | Kind::BackendTrafficPolicy(_)
        | Kind::TrafficPolicy(_)
        | Kind::ReferenceGrant(_) => Effect::Has,
        body if gateway_api::parents(body)
            .is_some_and(|parents| parents.iter().any(|parent| parent.object.is_service())) =>
        {
            Effect::Has
        }
        body if body.is_for_mesh() => Effect::Has,
        Kind::Service(_)
        | Kind::ServiceImport(_)
        | Kind::ServiceExport(_)
        | Kind::Endpoints(_)
        | Kind::EndpointSlice(_)
        | Kind::ServiceEntry(_)
        | Kind::Namespace(_) => Effect::Has,
        Kind::ConfigMap(_) if config::of(resource, &options.root_namespace).is_some() => {
            Effect::Has
        }
        Kind::Unsupported { .. } | Kind::Unknown { .. } => world::effect(resource),
        _ => Effect::None(None),
    }
}
