//! Ordered maps walked side by side.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

/// Finds keys that are asked for in ascending order: a step for each, where a search takes as many as
/// the map is deep.
pub(crate) struct InStep<'m, K, V> {
    rest: Option<Peekable<btree_map::Iter<'m, K, V>>>,
}

// === impl InStep ===

impl<'m, K: Ord, V> InStep<'m, K, V> {
    /// From the first key on; without a map nothing is found.
    pub(crate) fn new(map: Option<&'m BTreeMap<K, V>>) -> Self {
        Self { rest: map.map(|map| map.iter().peekable()) }
    }

    /// What is known of `key`, which is no less than the one before.
    pub(crate) fn get(&mut self, key: &K) -> Option<&'m V> {
        let rest = self.rest.as_mut()?;
        while let Some((known, value)) = rest.peek() {
            match (*known).cmp(key) {
                Ordering::Less => drop(rest.next()),
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            }
        }
        None
    }
}
