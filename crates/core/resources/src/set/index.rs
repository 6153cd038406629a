//! Resources by key, each stored once, with the line at which it stands.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rapidhash::fast::SeedableState;

use crate::key::Key;
use crate::resource::Resource;

/// Resources by their key.
#[derive(Debug, Clone, Default)]
pub struct Index {
    resources: HashSet<ByKey, SeedableState<'static>>,
}

/// A resource that is equal to another by its key alone.
#[derive(Debug, Clone)]
struct ByKey {
    resource: Arc<Resource>,
    line: u32,
}

// === impl Index ===

impl Index {
    /// An empty index with room for that many.
    pub fn with_capacity(count: usize) -> Self {
        let state = SeedableState::default();
        Self { resources: HashSet::with_capacity_and_hasher(count, state) }
    }

    /// The resource of that name.
    pub fn get(&self, key: &Key) -> Option<&Arc<Resource>> {
        self.resources.get(key).map(|entry| &entry.resource)
    }

    /// The line of its file at which the resource of that name stands, from 1.
    pub fn line(&self, key: &Key) -> Option<u32> {
        self.resources.get(key).map(|entry| entry.line)
    }

    /// Adds a resource that stands at `line`; one of the same key is replaced.
    pub fn insert(&mut self, resource: Arc<Resource>, line: u32) {
        self.resources.replace(ByKey { resource, line });
    }

    /// All resources with their lines, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Resource>, u32)> {
        self.resources.iter().map(|entry| (&entry.resource, entry.line))
    }
}

// === impl ByKey ===

impl Borrow<Key> for ByKey {
    fn borrow(&self) -> &Key {
        &self.resource.key
    }
}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.resource.key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.resource.key == other.resource.key
    }
}

impl Eq for ByKey {}
