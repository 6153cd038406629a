//! A gateway's plan, with the addresses at which services of the mesh run.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_model::Snapshot;
use weft_model::backend::{Backend, Endpoints};
use weft_model::id::{BackendId, ServiceName};
use weft_model::mesh::ServiceEndpoints;

use crate::assemble::endpoints;
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
/// have no endpoint. Endpoints that refuse connections are set aside as the service says, where the
/// plan does not say otherwise.
///
/// Pure. What is equal to the plan before, which this function has made, keeps its `Arc` from there.
pub fn settle(snapshot: &Snapshot, state: &State, before: Option<&Snapshot>) -> Snapshot {
    let backends = snapshot.backends.iter().map(|(id, backend)| {
        let settled = match &backend.endpoints {
            Endpoints::Service { name, port } => settled(backend, name, *port, state),
            _ => return (id.clone(), Arc::clone(backend)),
        };
        (id.clone(), keep(settled, id, before.map(|before| &before.backends)))
    });
    Snapshot { backends: backends.collect(), ..snapshot.clone() }
}

fn settled(backend: &Backend, name: &ServiceName, port: u16, state: &State) -> Backend {
    let mut settled = Backend { endpoints: Endpoints::Static([].into()), ..backend.clone() };
    let Some(service) = state.services.get(name).map(|has| &*has.value) else { return settled };
    let Some(known) = service.entry.port(port) else { return settled };
    settled.endpoints = match &service.endpoints {
        // No caller has dialled an address here; the name is what there is.
        ServiceEndpoints::Dialled => Endpoints::Dns { name: name.as_str().into(), port },
        ServiceEndpoints::Known(_) | ServiceEndpoints::Dns { .. } => endpoints(service, known),
    };
    settled.outlier = settled.outlier.or(service.defaults.outlier);
    settled
}

/// What was there before, if it is the same.
fn keep(
    mut settled: Backend,
    id: &BackendId,
    before: Option<&BTreeMap<BackendId, Arc<Backend>>>,
) -> Arc<Backend> {
    match before.and_then(|before| before.get(id)) {
        Some(before) if **before == settled => Arc::clone(before),
        Some(before) => {
            if let (Endpoints::Static(have), Endpoints::Static(new)) =
                (&before.endpoints, &mut settled.endpoints)
                && have == new
            {
                *new = Arc::clone(have);
            }
            Arc::new(settled)
        }
        None => Arc::new(settled),
    }
}
