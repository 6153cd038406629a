//! Resources by key, each stored once.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rapidhash::fast::SeedableState;

use crate::resource::{Key, Resource};

/// Resources by their key.
#[derive(Debug, Clone, Default)]
pub struct Index {
    resources: HashSet<ByKey, SeedableState<'static>>,
}

/// A resource that is equal to another by its key alone.
#[derive(Debug, Clone)]
struct ByKey(Arc<Resource>);

// === impl Index ===

impl Index {
    /// An empty index with room for that many.
    pub fn with_capacity(count: usize) -> Self {
        let state = SeedableState::default();
        Self { resources: HashSet::with_capacity_and_hasher(count, state) }
    }

    /// The resource of that name.
    pub fn get(&self, key: &Key) -> Option<&Arc<Resource>> {
        self.resources.get(key).map(|ByKey(resource)| resource)
    }

    /// Adds a resource; one of the same key is replaced.
    pub fn insert(&mut self, resource: Arc<Resource>) {
        self.resources.replace(ByKey(resource));
    }

    /// All resources, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter().map(|ByKey(resource)| resource)
    }
}

// === impl ByKey ===

impl Borrow<Key> for ByKey {
    fn borrow(&self) -> &Key {
        &self.0.key
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}
