//! The proxy's end of the stream.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use weft_model::Generation;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::identity::Identity;
use weft_model::mesh::Changes;
use weft_wire::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Rejected, Resource,
};
use weft_wire::{VERSION, decode, resource};

use crate::state::{State, Versioned};

/// Versions in one message; one has some 70 bytes, and gRPC takes 4 MiB.
const VERSIONS_MAX: usize = 20_000;

/// The proxy's end of the stream to the control plane. It outlives streams.
#[derive(Debug)]
pub struct Client {
    node: Node,
    state: State,
    /// What came since `state` was whole, and is not in it.
    pending: State,
    /// What came for the index of `pending`, and is not in it.
    changes: Changes,
    /// Services that are used here.
    wanted: BTreeSet<ServiceName>,
    /// The newest generation of which all is in force.
    in_force: Generation,
    /// Whether `pending` differs from `state`.
    dirty: bool,
}

/// What became of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What to answer.
    pub answer: DeltaDiscoveryRequest,
    /// [`Client::state`] has changed: something newer is whole.
    pub changed: bool,
}

// === impl Client ===

impl Client {
    /// The client of the proxy beside `workload`, which believes to have that identity. `state` is what was saved by an earlier one, or
    /// nothing; the services in it stay wanted.
    pub fn new(
        workload: &WorkloadName,
        identity: Option<&Identity>,
        product_version: &str,
        state: State,
    ) -> Self {
        let node = Node {
            id: workload.to_string(),
            cluster: identity.map(ToString::to_string).unwrap_or_default(),
            user_agent_name: "weftway".into(),
            user_agent_version: product_version.into(),
            client_features: vec![Node::feature(VERSION)],
        };
        let wanted = state.services.keys().cloned().collect();
        Self {
            node,
            pending: state.clone(),
            state,
            changes: Changes::default(),
            wanted,
            in_force: Generation::default(),
            dirty: false,
        }
    }

    /// What is in force, or may be put in force: always whole.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What to say on a new stream. What an earlier stream left unfinished is forgotten.
    pub fn hello(&mut self) -> Vec<DeltaDiscoveryRequest> {
        self.pending = self.state.clone();
        self.changes = Changes::default();
        self.dirty = false;
        let versions = |names: &mut dyn Iterator<Item = (&str, &str)>| {
            names.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
        };
        let index = self.state.index.iter();
        let index = versions(&mut index.map(|listed| (listed.name(), listed.version())));
        let services = self.state.services.iter();
        let services = versions(&mut services.map(|(name, has)| (name.as_str(), &*has.version)));
        let workload = self.state.workload.iter();
        let workload = versions(&mut workload.map(|has| (has.value.name.as_str(), &*has.version)));
        let wanted = self.wanted.iter().map(ToString::to_string).collect();
        let all = || vec!["*".to_owned()];
        let request = |type_url: &str, names, versions: Vec<_>| DeltaDiscoveryRequest {
            type_url: type_url.into(),
            resource_names_subscribe: names,
            initial_resource_versions: versions.into_iter().collect(),
            generation: self.in_force.0,
            ..Default::default()
        };
        // Versions come before the wishes, in parts, so that a message has a bound. Services are wished
        // for before the workload, so that nothing is whole without them.
        let mut requests = Vec::new();
        for (type_url, names, versions) in [
            (resource::INDEX_ENTRY, all(), index),
            (resource::SERVICE, wanted, services),
            (resource::WORKLOAD, all(), workload),
        ] {
            let mut versions: Vec<(String, String)> = versions;
            while versions.len() > VERSIONS_MAX {
                let part = versions.split_off(versions.len() - VERSIONS_MAX);
                requests.push(request(type_url, vec![], part));
            }
            if !names.is_empty() {
                requests.push(request(type_url, names, versions));
            }
        }
        requests[0].node = Some(self.node.clone());
        requests
    }

    /// Takes a response.
    pub fn receive(&mut self, response: DeltaDiscoveryResponse) -> Taken {
        let mut answer = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce,
            ..Default::default()
        };
        for received in response.resources {
            self.dirty = true;
            if let Err(rejected) = self.take(&response.type_url, received) {
                answer.rejected.push(rejected);
            }
        }
        for name in &response.removed_resources {
            self.dirty = true;
            self.remove(&response.type_url, name);
        }
        let mut changed = false;
        if let Ok(generation) = response.system_version_info.parse() {
            let generation = Generation(generation);
            changed = self.dirty || generation != self.state.generation;
            self.dirty = false;
            self.pending.generation = generation;
            let changes = std::mem::take(&mut self.changes);
            if !changes.is_empty() {
                self.pending.index = Arc::new(self.pending.index.with(changes));
            }
            self.state = self.pending.clone();
        }
        answer.generation = self.in_force.0;
        Taken { answer, changed }
    }

    /// All of that generation is in force; what to tell the control plane, if it does not know.
    pub fn put_in_force(&mut self, generation: Generation) -> Option<DeltaDiscoveryRequest> {
        if self.in_force == generation {
            return None;
        }
        self.in_force = generation;
        Some(DeltaDiscoveryRequest {
            type_url: resource::INDEX_ENTRY.into(),
            generation: generation.0,
            ..Default::default()
        })
    }

    /// A service is used for the first time; what to ask for, if it was not asked for already.
    pub fn want(&mut self, name: &ServiceName) -> Option<DeltaDiscoveryRequest> {
        self.wanted.insert(name.clone()).then(|| DeltaDiscoveryRequest {
            type_url: resource::SERVICE.into(),
            resource_names_subscribe: vec![name.to_string()],
            ..Default::default()
        })
    }

    /// Services have not been used for long; what to tell the control plane.
    pub fn forget<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a ServiceName>,
    ) -> Option<DeltaDiscoveryRequest> {
        let mut gone = Vec::new();
        for name in names {
            if self.wanted.remove(name) {
                for state in [&mut self.state, &mut self.pending] {
                    Arc::make_mut(&mut state.services).remove(name);
                    Arc::make_mut(&mut state.missing).remove(name);
                }
                gone.push(name.to_string());
            }
        }
        (!gone.is_empty()).then(|| DeltaDiscoveryRequest {
            type_url: resource::SERVICE.into(),
            resource_names_unsubscribe: gone,
            ..Default::default()
        })
    }

    /// Puts a resource into `pending`. One that cannot be read leaves its last good form in place.
    fn take(&mut self, type_url: &str, received: Resource) -> Result<(), Rejected> {
        let Resource { name, version, resource: any } = received;
        let rejected = |error: &dyn Error| Rejected {
            name: name.clone(),
            version: version.clone(),
            reason: describe(error),
        };
        let bytes = any.map(|any| any.value).unwrap_or_default();
        match type_url {
            resource::INDEX_ENTRY => {
                let entry = decode::index_entry(&name, &bytes).map_err(|error| rejected(&error))?;
                self.changes.put(&entry, &version);
            }
            resource::SERVICE => {
                let value = decode::service(&name, &bytes).map_err(|error| rejected(&error))?;
                let name = ServiceName::new(name.as_str());
                Arc::make_mut(&mut self.pending.missing).remove(&name);
                if self.wanted.contains(&name) {
                    let (version, value) = (version.as_str().into(), Arc::new(value));
                    let services = Arc::make_mut(&mut self.pending.services);
                    services.insert(name, Versioned { version, value });
                }
            }
            resource::WORKLOAD => {
                let value = decode::workload(&name, &bytes).map_err(|error| rejected(&error))?;
                let (version, value) = (version.as_str().into(), Arc::new(value));
                self.pending.workload = Some(Versioned { version, value });
            }
            // A kind of a later version, that nobody here has asked for.
            _ => {}
        }
        Ok(())
    }

    fn remove(&mut self, type_url: &str, name: &str) {
        match type_url {
            resource::INDEX_ENTRY => self.changes.remove(name),
            resource::SERVICE => {
                let name = ServiceName::new(name);
                Arc::make_mut(&mut self.pending.services).remove(&name);
                Arc::make_mut(&mut self.pending.missing).insert(name);
            }
            resource::WORKLOAD => self.pending.workload = None,
            _ => {}
        }
    }
}

fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
