//! A gateway's plan, with the addresses at which services of the mesh run.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoints};
use weft_model::id::{ServiceName, WorkloadName};

use crate::resolve::{Caller, Resolved, Resolver, keep};
use crate::state::State;

/// The services of the mesh that a plan leads to.
pub fn services(snapshot: &Snapshot) -> BTreeSet<ServiceName> {
    let named = |backend: &Arc<Backend>| match &backend.endpoints {
        Endpoints::Service { name, .. } => Some(name.clone()),
        _ => None,
    };
    snapshot.backends.values().filter_map(named).collect()
}

/// The plan with addresses in place of services, as far as `state` has those in full; the others
/// have no endpoint. `workload` is the gateway's own: services may say how it calls them, which holds
/// where the plan does not say otherwise.
///
/// Pure. What is equal to the plan before, which this function has made, keeps its `Arc` from there.
pub fn settle(
    snapshot: &Snapshot,
    state: &State,
    workload: &WorkloadName,
    before: Option<&Snapshot>,
) -> Snapshot {
    let own = state.workload.as_ref().map(|has| &*has.value);
    let resolver = Resolver::gateway(&state.services, Caller::new(workload, own));
    let mut settled = snapshot.clone();
    for (id, backend) in &mut settled.backends {
        if !matches!(backend.endpoints, Endpoints::Service { .. }) {
            continue;
        }
        let Resolved { backend: resolved, sources } = resolver.resolve(backend);
        *backend = keep(resolved, before.and_then(|before| before.backends.get(id)));
        if let Some(sources) = sources {
            // What the plan says comes first.
            let all = settled.sources.entry(id.clone()).or_default();
            *all = all.iter().chain(sources.iter()).cloned().collect();
        }
    }
    settled
}
