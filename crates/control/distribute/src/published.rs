//! One generation of the mesh, encoded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use weft_model::Generation;
use weft_model::mesh::{IndexEntry, Mesh, Service, Workload};
use weft_wire::{encode, resource};
use xxhash_rust::xxh64::xxh64;

/// How many generations back it is remembered what has changed. A proxy that is further behind is
/// compared resource by resource.
const REMEMBERED: usize = 64;

/// The kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`weft_model::mesh::IndexEntry`].
    Index,
    /// [`weft_model::mesh::Service`].
    Service,
    /// [`weft_model::mesh::Workload`].
    Workload,
}

/// A resource as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The hash of its bytes: equal versions of one name are equal resources, in every process.
    pub version: u64,
    /// The message.
    pub bytes: Bytes,
}

/// One generation, encoded once for all proxies. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Published {
    generation: Generation,
    kinds: [Arc<Table>; 3],
    /// What each of the last generations changed, newest last.
    changes: Arc<VecDeque<Change>>,
}

/// The resources of one kind, with what they were encoded from.
#[derive(Debug, Default)]
struct Table {
    by_name: BTreeMap<Arc<str>, (Source, Encoded)>,
}

/// What a resource was encoded from; the same pointer means the same resource.
#[derive(Debug, Clone)]
enum Source {
    Index(Arc<IndexEntry>),
    Service(Arc<Service>),
    Workload(Arc<Workload>),
}

#[derive(Debug, Clone)]
struct Change {
    generation: Generation,
    names: Arc<[(Kind, Arc<str>)]>,
}

// === impl Kind ===

impl Kind {
    /// Every kind, in the order in which they are sent.
    pub const ALL: [Self; 3] = [Self::Index, Self::Service, Self::Workload];

    /// Its type on the wire.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Index => resource::INDEX_ENTRY,
            Self::Service => resource::SERVICE,
            Self::Workload => resource::WORKLOAD,
        }
    }

    /// The word shown to users, and the label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Service => "service",
            Self::Workload => "workload",
        }
    }

    /// The kind of that type.
    pub fn of_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }
}

// === impl Published ===

impl Published {
    /// Encodes `mesh`, taking over what has not changed since `self`.
    #[must_use]
    pub fn next(&self, mesh: &Mesh) -> Self {
        let mut changed = Vec::new();
        let index = mesh.index.entries.iter();
        let index = index.map(|(name, entry)| (name.as_str(), Source::Index(entry.clone())));
        let services = mesh.services.values().chain(mesh.addresses.values());
        let services = services.chain(mesh.networks.values());
        let services =
            services.map(|service| (service.entry.name.as_str(), Source::Service(service.clone())));
        let workloads = mesh.workloads.iter();
        let workloads =
            workloads.map(|(name, workload)| (name.as_str(), Source::Workload(workload.clone())));
        let kinds = [
            self.table(Kind::Index, index, &mut changed),
            self.table(Kind::Service, services, &mut changed),
            self.table(Kind::Workload, workloads, &mut changed),
        ];
        let mut changes = VecDeque::clone(&self.changes);
        if changes.len() == REMEMBERED {
            changes.pop_front();
        }
        changes.push_back(Change { generation: mesh.generation, names: changed.into() });
        Self { generation: mesh.generation, kinds, changes: Arc::new(changes) }
    }

    /// Its generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The resource of that name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Encoded> {
        self.kinds[kind as usize].by_name.get(name).map(|(_, encoded)| encoded)
    }

    /// The workload of that name.
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        match self.kinds[Kind::Workload as usize].by_name.get(name) {
            Some((Source::Workload(workload), _)) => Some(workload),
            _ => None,
        }
    }

    /// Every name of a kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Arc<str>> {
        self.kinds[kind as usize].by_name.keys()
    }

    /// How many resources of a kind there are.
    pub fn len(&self, kind: Kind) -> usize {
        self.kinds[kind as usize].by_name.len()
    }

    /// The names that may differ between an earlier generation and this one; `None` when that is
    /// not remembered any more.
    pub(crate) fn changed_since(
        &self,
        generation: Generation,
    ) -> Option<impl Iterator<Item = &(Kind, Arc<str>)>> {
        let known = self.changes.iter().position(|change| change.generation == generation)?;
        Some(self.changes.range(known + 1..).flat_map(|change| change.names.iter()))
    }

    fn table<'a>(
        &self,
        kind: Kind,
        sources: impl Iterator<Item = (&'a str, Source)>,
        changed: &mut Vec<(Kind, Arc<str>)>,
    ) -> Arc<Table> {
        let before = &self.kinds[kind as usize];
        let first = changed.len();
        let mut by_name = BTreeMap::new();
        for (name, source) in sources {
            match before.by_name.get_key_value(name) {
                Some((name, (known, encoded))) if known.is(&source) => {
                    by_name.insert(name.clone(), (source, encoded.clone()));
                }
                known => {
                    let name = known.map_or_else(|| name.into(), |(name, _)| name.clone());
                    let encoded = source.encode();
                    if known.is_none_or(|(_, (_, before))| before.version != encoded.version) {
                        changed.push((kind, name.clone()));
                    }
                    by_name.insert(name, (source, encoded));
                }
            }
        }
        for name in before.by_name.keys().filter(|name| !by_name.contains_key(*name)) {
            changed.push((kind, name.clone()));
        }
        if changed.len() == first && by_name.len() == before.by_name.len() {
            // Sources may be other pointers to equal values; the older ones do as well.
            return before.clone();
        }
        Arc::new(Table { by_name })
    }
}

// === impl Source ===

impl Source {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Index(one), Self::Index(two)) => Arc::ptr_eq(one, two),
            (Self::Service(one), Self::Service(two)) => Arc::ptr_eq(one, two),
            (Self::Workload(one), Self::Workload(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    fn encode(&self) -> Encoded {
        let bytes = match self {
            Self::Index(entry) => encode::index_entry(entry),
            Self::Service(service) => encode::service(service),
            Self::Workload(workload) => encode::workload(workload),
        };
        Encoded { version: xxh64(&bytes, 0), bytes: bytes.into() }
    }
}
