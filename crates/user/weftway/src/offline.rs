//! A mesh that was compiled a moment ago, and what its proxies would have of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_compile::{MeshOptions, MeshWorld, compile_mesh};
use weft_link::{Mode, ProxyRole, State, Versioned, assemble};
use weft_model::Snapshot;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::Identity;
use weft_model::mesh::{Directory, Registered, Workload};
use weft_resources::ResourceSet;

/// The mesh of some documents and workloads.
pub(crate) struct Stage {
    pub(crate) world: MeshWorld,
    options: MeshOptions,
}

/// The namespace and name of a caller: `shop/checkout`, or `checkout` of the namespace `default`.
pub(crate) fn caller(from: &str) -> (&str, &str) {
    from.split_once('/').unwrap_or(("default", from))
}

// === impl Stage ===

impl Stage {
    /// Compiles it.
    pub(crate) fn new(set: &ResourceSet, registered: &Registered, options: &MeshOptions) -> Self {
        let world = compile_mesh(set, registered, options, None);
        Self { world, options: options.clone() }
    }

    /// The plan of the proxy beside a workload that uses every service of the mesh, or those that
    /// `hosts` lead to. A workload that does not exist is one without labels.
    pub(crate) fn snapshot(&self, namespace: &str, name: &str, hosts: &[&str]) -> Arc<Snapshot> {
        let mesh = &self.world.mesh;
        let workload = self.workload(namespace, name);
        let index = Directory::new(mesh.index.entries.values());
        let mut wanted: Vec<ServiceName> = match hosts {
            [] => mesh.services.keys().cloned().collect(),
            hosts => hosts
                .iter()
                .filter_map(|host| index.resolve(host, namespace, &self.options.domain))
                .map(|named| ServiceName::new(named.service.name()))
                .collect(),
        };
        let mut services: BTreeMap<ServiceName, Versioned<_>> = BTreeMap::new();
        while let Some(name) = wanted.pop() {
            let Some(service) = mesh.services.get(&name) else { continue };
            if services.contains_key(&name) {
                continue;
            }
            // What its rules lead to is needed as well.
            wanted.extend(service.traffic.backends.values().filter_map(|backend| {
                match &backend.endpoints {
                    weft_model::backend::Endpoints::Service { name, .. } => Some(name.clone()),
                    _ => None,
                }
            }));
            let value = Arc::clone(service);
            services.insert(name, Versioned { version: "1".into(), value });
        }
        let role = ProxyRole {
            workload: workload.name.clone(),
            ports: Default::default(),
            mode: Mode::Captured,
        };
        let state = State {
            generation: mesh.generation,
            index: Arc::new(index),
            services: Arc::new(services),
            missing: Arc::default(),
            workload: Some(Versioned { version: "1".into(), value: workload }),
        };
        Arc::new(assemble(&state, &role, None))
    }

    /// The workload of that name, or the first instance of it.
    fn workload(&self, namespace: &str, name: &str) -> Arc<Workload> {
        let whole = WorkloadName::new(format!("{namespace}/{name}"));
        let known = &self.world.mesh.workloads;
        let is_instance = |id: &&WorkloadName| {
            let rest = id.as_str().strip_prefix(whole.as_str());
            rest.is_some_and(|rest| rest.starts_with('-'))
        };
        if let Some(found) = known.get(&whole) {
            return Arc::clone(found);
        }
        if let Some(found) = known.keys().find(is_instance) {
            return Arc::clone(&known[found]);
        }
        let identity = Identity::new(&self.options.trust_domain, namespace, "default");
        // A name that cannot be in an identity is that of nobody.
        let identity = identity.unwrap_or_else(|_| {
            Identity::new(&self.options.trust_domain, "default", "default")
                .expect("these are names")
        });
        Arc::new(Workload::new(whole, identity))
    }
}
