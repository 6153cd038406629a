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

/// A caller as its proxy is called where people read it: without the namespace `default`.
pub(crate) fn name(from: &str) -> &str {
    from.strip_prefix("default/").unwrap_or(from)
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
        // What is not dialled by addresses of its own is needed at all times.
        wanted.extend(index.found_by_host().map(|listed| ServiceName::new(listed.name())));
        wanted.extend(workload.outside.iter().map(|outside| outside.network.clone()));
        let role = ProxyRole {
            workload: workload.name.clone(),
            ports: Default::default(),
            mode: Mode::Captured,
        };
        Arc::new(assemble(&self.state(workload, index, wanted), &role, None))
    }

    /// The plan of a gateway of the mesh, with the places where services run.
    pub(crate) fn settled(&self, snapshot: &Snapshot, (namespace, name): (&str, &str)) -> Snapshot {
        let workload = self.workload(namespace, name);
        let index = Directory::new(self.world.mesh.index.entries.values());
        let wanted = weft_link::services(snapshot).into_iter().collect();
        let own = workload.name.clone();
        weft_link::settle(snapshot, &self.state(workload, index, wanted), &own, None)
    }

    /// What a proxy has that uses these services, and what their rules lead to.
    fn state(
        &self,
        workload: Arc<Workload>,
        index: Directory,
        mut wanted: Vec<ServiceName>,
    ) -> State {
        let mesh = &self.world.mesh;
        let mut services: BTreeMap<ServiceName, Versioned<_>> = BTreeMap::new();
        while let Some(name) = wanted.pop() {
            let network = || mesh.networks.get(&name);
            let Some(service) = mesh.services.get(&name).or_else(network) else { continue };
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
        State {
            generation: mesh.generation,
            index: Arc::new(index),
            services: Arc::new(services),
            missing: Arc::default(),
            workload: Some(Versioned { version: "1".into(), value: workload }),
        }
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
