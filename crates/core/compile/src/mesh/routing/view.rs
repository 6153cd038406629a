//! What compilation of the rules for a service looks up besides the documents that speak of it, with
//! a note of every answer: while the answers stay the same, so do the rules.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rapidhash::fast::SeedableState;
use weft_model::id::ServiceName;
use weft_model::mesh::ServicePort;
use weft_resources::gateway_api::{ObjectRef, ReferenceGrant};
use weft_resources::istio::value::ExportTo;
use weft_resources::istio::virtual_service::Retries;
use weft_resources::{Key, Kind, Pos, Resource};

use crate::calling::own::policies::Policies;
use crate::istio::virtual_service::Written;
use crate::mesh::config::Config;
use crate::mesh::draft::Drafts;
use crate::mesh::scene::Scene;

/// Everything there is to look up.
pub(super) struct World<'a> {
    pub(super) scene: &'a Scene<'a>,
    ports: Ports<'a>,
    config: &'a Config,
    /// By their namespace.
    grants: HashMap<&'a str, Vec<&'a ReferenceGrant>>,
    /// The names of subsets by host, as DestinationRules have them.
    subsets: HashMap<ServiceName, Vec<&'a str>, SeedableState<'static>>,
    /// The same for patterns of hosts.
    patterns: Vec<(ServiceName, &'a str)>,
    policies: Policies<'a>,
}

/// The ports of services by name.
type Ports<'a> = HashMap<&'a str, &'a [ServicePort], SeedableState<'static>>;

/// A world that notes what is looked up in it.
pub(super) struct View<'w> {
    world: &'w World<'w>,
    notes: RefCell<Vec<Note>>,
}

/// Something that was looked up, and the answer.
#[derive(Debug, Clone)]
pub(super) enum Note {
    /// The ports of a service, if there is one.
    Service(ServiceName, Option<Box<[ServicePort]>>),
    /// A resource, if there is one.
    Resource(Key, Option<Arc<Resource>>),
    /// Whether an object may refer to another.
    Permitted(Box<Reference>, bool),
    /// The TrafficPolicies about something.
    Policies(Key, Box<[Arc<Resource>]>),
    /// The file and the line at which a resource stands.
    Line(Key, Arc<str>, u32),
    /// What MeshConfig says of retries.
    Retries(Option<Retries>),
    /// Who sees VirtualServices that do not say so.
    Export(Option<ExportTo>),
    /// Whether some DestinationRule of a service has a subset of that name.
    Subset(ServiceName, Box<str>, bool),
}

/// A reference across namespaces.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    referrer: Key,
    target: ObjectRef,
}

// === impl World ===

impl<'a> World<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, drafts: &'a Drafts<'a>, config: &'a Config) -> Self {
        let (grants, subsets, patterns) = (HashMap::new(), HashMap::default(), Vec::new());
        let policies = Policies::new(scene.resources.iter().copied());
        let ports = drafts.iter().map(|(name, draft)| (name.as_str(), &*draft.ports)).collect();
        let mut world = Self { scene, ports, config, grants, subsets, patterns, policies };
        for resource in scene.resources.iter().copied() {
            match &resource.body {
                Kind::ReferenceGrant(grant) => {
                    world.grants.entry(resource.namespace()).or_default().push(grant);
                }
                Kind::DestinationRule(rule) if !rule.subsets.is_empty() => {
                    let host = scene.host(&rule.host, resource.namespace());
                    let names = rule.subsets.iter().map(|subset| &**subset.name);
                    if rule.host.starts_with('*') {
                        world.patterns.extend(names.map(|name| (host.clone(), name)));
                    } else {
                        world.subsets.entry(host).or_default().extend(names);
                    }
                }
                _ => {}
            }
        }
        world
    }

    fn ports(&self, name: &ServiceName) -> Option<&'a [ServicePort]> {
        self.ports.get(name.as_str()).copied()
    }

    fn permits(&self, reference: &Reference) -> bool {
        let Reference { referrer, target } = reference;
        let from = (&*referrer.group, &*referrer.kind, &*referrer.namespace);
        // What Linkerd calls the group `core` has no name elsewhere.
        let group = if target.is_service() { "" } else { &*target.group };
        let to = (group, &*target.kind, &*target.name);
        self.grants
            .get(target.namespace_or(&referrer.namespace))
            .is_some_and(|grants| grants.iter().any(|grant| grant.allows(from, to)))
    }

    fn has_subset(&self, service: &ServiceName, subset: &str) -> bool {
        let of_host = self.subsets.get(service);
        of_host.is_some_and(|names| names.contains(&subset))
            // A rule for a pattern of hosts is as good.
            || self.patterns.iter().any(|(host, name)| {
                let suffix = host.as_str().strip_prefix('*');
                suffix.is_some_and(|suffix| service.as_str().ends_with(suffix)) && *name == subset
            })
    }
}

// === impl View ===

impl<'w> View<'w> {
    pub(super) fn new(world: &'w World<'w>) -> Self {
        Self { world, notes: RefCell::default() }
    }

    /// The resources in force, of which only what does not change with them may be used without a
    /// note: names.
    pub(super) fn scene(&self) -> &'w Scene<'w> {
        self.world.scene
    }

    /// The ports of a service, if there is one of that name.
    pub(super) fn ports(&self, name: &ServiceName) -> Option<&'w [ServicePort]> {
        let found = self.world.ports(name);
        let is_noted = |note: &Note| matches!(note, Note::Service(known, _) if known == name);
        if !self.notes.borrow().iter().any(is_noted) {
            self.note(Note::Service(name.clone(), found.map(Into::into)));
        }
        found
    }

    /// A resource by name.
    pub(super) fn get(&self, key: Key) -> Option<&'w Arc<Resource>> {
        let found = self.world.scene.index.get(&key);
        self.note(Note::Resource(key, found.cloned()));
        found
    }

    /// Whether `referrer` may refer to `target`.
    pub(super) fn permits(&self, referrer: &Resource, target: &ObjectRef) -> bool {
        let home = referrer.namespace();
        if target.namespace_or(home) == home {
            return true;
        }
        let reference = Reference { referrer: referrer.key.clone(), target: target.clone() };
        let is_permitted = self.world.permits(&reference);
        self.note(Note::Permitted(Box::new(reference), is_permitted));
        is_permitted
    }

    /// The TrafficPolicies about a resource, oldest first.
    pub(super) fn policies(&self, about: &Key) -> &'w [&'w Arc<Resource>] {
        let found = self.world.policies.about(about);
        let noted = found.iter().map(|policy| Arc::clone(policy)).collect();
        self.note(Note::Policies(about.clone(), noted));
        found
    }

    /// The line of its file at which a resource begins. Where it is kept, a line that moves is a
    /// change.
    pub(super) fn first_line(&self, resource: &Resource) -> u32 {
        let first = self.world.scene.index.line(&resource.key).unwrap_or(0);
        self.note(Note::Line(resource.key.clone(), Arc::clone(&resource.file), first));
        first
    }

    /// Where a resource stands, in words.
    pub(super) fn place(&self, resource: &Resource, at: Pos) -> String {
        let first = self.first_line(resource);
        let line = super::from_line(first, at);
        format!("{} ({}:{line})", resource.key, resource.file)
    }

    /// What MeshConfig says of retries.
    pub(super) fn default_retries(&self) -> Option<Written<'w, &'w Retries>> {
        let retries = self.world.config.document.retries();
        self.note(Note::Retries(retries.map(|retries| retries.value.clone())));
        retries
    }

    /// Who sees VirtualServices that do not say so; everyone when `None`.
    pub(super) fn default_export(&self) -> Option<&'w ExportTo> {
        let export = self.world.config.document.written.default_export_to.virtual_services.as_ref();
        self.note(Note::Export(export.cloned()));
        export
    }

    /// Whether some DestinationRule of a service has a subset of that name.
    pub(super) fn has_subset(&self, service: &ServiceName, subset: &str) -> bool {
        let answer = self.world.has_subset(service, subset);
        self.note(Note::Subset(service.clone(), subset.into(), answer));
        answer
    }

    pub(super) fn into_notes(self) -> Box<[Note]> {
        self.notes.into_inner().into()
    }

    fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }
}

// === impl Note ===

impl Note {
    /// Whether a lookup now has the same answer.
    pub(super) fn holds(&self, world: &World<'_>) -> bool {
        match self {
            Self::Service(name, ports) => world.ports(name) == ports.as_deref(),
            Self::Resource(key, found) => match (world.scene.index.get(key), found) {
                (Some(now), Some(found)) => Arc::ptr_eq(now, found),
                (now, found) => now.is_none() && found.is_none(),
            },
            Self::Permitted(reference, answer) => world.permits(reference) == *answer,
            Self::Policies(about, found) => {
                let now = world.policies.about(about);
                now.len() == found.len()
                    && now.iter().zip(found).all(|(now, found)| Arc::ptr_eq(now, found))
            }
            Self::Line(key, file, line) => {
                let index = world.scene.index;
                index.get(key).is_some_and(|now| now.file == *file)
                    && index.line(key).unwrap_or(0) == *line
            }
            Self::Export(found) => {
                world.config.document.written.default_export_to.virtual_services == *found
            }
            Self::Subset(service, subset, answer) => world.has_subset(service, subset) == *answer,
            Self::Retries(found) => world.config.document.written.default_http_retries == *found,
        }
    }
}
