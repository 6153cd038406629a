//! Which rules hold for calls of each service: the routing aspect.
//!
//! Documents are found by the service that they speak of ([`speakers`]). What the documents of one
//! service say is compiled as a whole ([`table`]) and kept as long as neither these documents nor
//! what was looked up for them ([`view`]) change, so that a change costs as much as the services that
//! it speaks of.

mod gamma;
mod outside;
mod policy;
mod precedence;
mod profile;
mod speakers;
mod split;
mod table;
mod view;
mod virtual_service;

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_model::backend::Backend;
use weft_model::calling::CallingFor;
use weft_model::id::{BackendId, RouteId, ServiceName};
use weft_model::identity::TrustDomain;
use weft_model::mesh::Traffic;
use weft_model::route::RouteSet;
use weft_resources::{Key, Pos, Problem, Resource};

use crate::context::Output;
use crate::in_step::InStep;
use crate::mesh::config::Config;
use crate::mesh::draft::Drafts;
use crate::mesh::routing::speakers::Speakers;
use crate::mesh::routing::view::{Note, World};
use crate::mesh::scene::Scene;

/// The rules of every service that some document speaks of.
#[derive(Debug)]
pub(super) struct Routing {
    /// What names of services end in, and whose identities are meant: rules have both in them.
    made_for: (Box<str>, TrustDomain),
    /// Each with whether it is that of the generation before.
    services: BTreeMap<ServiceName, (Arc<Entry>, bool)>,
}

/// What was made for one service, and of what.
#[derive(Debug)]
struct Entry {
    /// The documents that speak of it, oldest first.
    documents: Box<[Arc<Resource>]>,
    /// What was looked up for them.
    notes: Box<[Note]>,
    made: Made,
}

/// What was made for one service.
#[derive(Debug, Default)]
struct Made {
    sets: Box<[RouteSet]>,
    backends: BTreeMap<BackendId, Arc<Backend>>,
    /// Where the rules are written.
    places: BTreeMap<RouteId, (Key, Pos)>,
    /// What is to say about documents.
    problems: Box<[(Key, Problem)]>,
}

// === impl Routing ===

impl Routing {
    /// The rules for the services of `drafts`. Those whose documents and surroundings are as in
    /// `before` are kept.
    pub(super) fn new(
        scene: &Scene<'_>,
        drafts: &Drafts<'_>,
        config: &Config,
        before: Option<&Self>,
        out: &mut Output,
    ) -> Self {
        let options = scene.options;
        let made_for = (options.domain.clone(), options.trust_domain.clone());
        let before = before.filter(|before| before.made_for == made_for);
        let speakers = Speakers::new(scene, drafts, out);
        policy::report(scene, drafts, out);
        let world = World::new(scene, drafts, config);
        let mut known = InStep::new(before.map(|before| &before.services));
        let mut services = Vec::new();
        for (name, documents) in speakers.into_documents() {
            let old = known.get(&name);
            let (entry, is_kept) = match old {
                Some((old, _)) if old.holds(&documents, &world) => (Arc::clone(old), true),
                _ => (Arc::new(Entry::new(&name, &documents, &world)), false),
            };
            for (key, problem) in &entry.made.problems {
                // Documents that speak of several services may have the same fault for each.
                out.problem_once(key, problem);
            }
            services.push((name, (entry, is_kept)));
        }
        Self { made_for, services: services.into_iter().collect() }
    }

    /// How many services were compiled, and not kept.
    pub(super) fn made(&self) -> usize {
        self.services.values().filter(|(_, is_kept)| !is_kept).count()
    }

    /// What documents say of calls to a service, with how it is called; that of the generation before
    /// where nothing is different.
    pub(super) fn traffic(
        &self,
        name: &ServiceName,
        calling: &Arc<[CallingFor]>,
        scene: &Scene<'_>,
        old: Option<&Arc<Traffic>>,
    ) -> Arc<Traffic> {
        let Some((entry, is_kept)) = self.services.get(name) else {
            let calling = Arc::clone(calling);
            let traffic = Traffic { calling, ..Traffic::default() };
            return super::emit::keep(traffic, old);
        };
        if let Some(old) = old
            && *is_kept
            && Arc::ptr_eq(&old.calling, calling)
            && entry.made.stands_at(&old.lines, scene)
        {
            return Arc::clone(old);
        }
        let Made { sets, backends, places, problems: _ } = &entry.made;
        let line = |(id, (key, at)): (&RouteId, &(Key, Pos))| (id.clone(), line(scene, key, *at));
        let lines = places.iter().map(line).collect();
        let (routing, backends) = (sets.clone(), backends.clone());
        let calling = Arc::clone(calling);
        super::emit::keep(Traffic { calling, routing, backends, lines }, old)
    }
}

// === impl Entry ===

impl Entry {
    fn new(name: &ServiceName, documents: &[&Arc<Resource>], world: &World<'_>) -> Self {
        let (made, notes) = table::make(name, documents, world);
        let documents = documents.iter().map(|document| Arc::clone(document)).collect();
        Self { documents, notes, made }
    }

    /// Whether everything that it was made of is as it was.
    fn holds(&self, documents: &[&Arc<Resource>], world: &World<'_>) -> bool {
        self.documents.len() == documents.len()
            && self.documents.iter().zip(documents).all(|(old, new)| Arc::ptr_eq(old, new))
            && self.notes.iter().all(|note| note.holds(world))
    }
}

// === impl Made ===

impl Made {
    /// Whether its rules stand at these lines.
    fn stands_at(&self, lines: &BTreeMap<RouteId, u32>, scene: &Scene<'_>) -> bool {
        // Rules of one document stand together more often than not.
        let mut last: Option<(&Key, u32)> = None;
        self.places.len() == lines.len()
            && self.places.iter().zip(lines).all(|((id, (key, at)), (known, written))| {
                let first = match last {
                    Some((known, first)) if known == key => first,
                    _ => scene.index.line(key).unwrap_or(0),
                };
                last = Some((key, first));
                id == known && from_line(first, *at) == *written
            })
    }
}

/// The line of its file at which a place of a resource stands.
fn line(scene: &Scene<'_>, key: &Key, at: Pos) -> u32 {
    from_line(scene.index.line(key).unwrap_or(0), at)
}

fn from_line(first: u32, at: Pos) -> u32 {
    let at = if at == Pos::default() { Pos::FIRST } else { at };
    at.from_line(first).line
}
