//! One generation of configuration.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::backend::Backend;
use crate::calling::Source;
use crate::id::{BackendId, PolicyId, RouteId};
use crate::listener::Listener;
use crate::mesh::{Directory, Neighbours};
use crate::route::Route;

/// A number that grows with each published snapshot; the same in logs, metrics and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All a proxy needs to serve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Its generation.
    pub generation: Generation,
    /// Addresses and what is served on them.
    pub listeners: Vec<Arc<Listener>>,
    /// Every destination that a route names.
    pub backends: BTreeMap<BackendId, Arc<Backend>>,
    /// The lines of the users' files, from 1, at which the rules of routes stand. Kept apart from
    /// the routes, so that lines that move change nothing else.
    pub lines: HashMap<RouteId, u32>,
    /// Where the calling settings of backends come from, as far as documents say anything of them.
    pub sources: HashMap<BackendId, Arc<[Source]>>,
    /// The services of the mesh by address, whether they are in use here or not; empty outside of
    /// it.
    pub services: Arc<Directory>,
    /// The addresses at which workloads of the mesh may be that are not in use here.
    pub neighbours: Neighbours,
}

// === impl Snapshot ===

impl Snapshot {
    /// All HTTP routes, listener by listener; one that is served on several comes as often.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.listeners.iter().flat_map(|listener| {
            let plain = listener.plain.as_ref();
            let tls = listener.tls.as_ref().map(|tls| &tls.served);
            plain.into_iter().chain(tls).flat_map(|served| &served.http.routes)
        })
    }

    /// The names of all steps, under which live state is kept.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyId> {
        self.routes().flat_map(|route| route.steps.iter().map(|step| &step.id))
    }

    /// The line of its file at which the rule of a route stands, from 1; 0 when unknown.
    pub fn line(&self, id: &RouteId) -> u32 {
        self.lines.get(id).copied().unwrap_or(0)
    }

    /// The route of that name.
    pub fn route(&self, id: &RouteId) -> Option<&Arc<Route>> {
        self.routes().find(|route| route.id == *id)
    }
}
