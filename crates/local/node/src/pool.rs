//! Which workload has which address. (Those of services follow from the mesh that is compiled.)
//!
//! A name keeps its address for as long as the pool is kept, also while nobody uses it: an address
//! that changes hands sends the old owner's last callers to a stranger. So names that come back
//! find what they had, fresh names get addresses that nobody had, and only when there are none left
//! does the address go on that has been free for the longest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::network::{Addrs, Range};

#[cfg(test)]
mod tests;

/// The form of [`Pool::encode`].
const VERSION: u32 = 1;

/// Addresses of a range by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    range: Range,
    /// The first offset that is given out.
    first: u32,
    entries: BTreeMap<String, Entry>,
    /// Goes up with every release, so that the longest free is the least.
    releases: u64,
}

/// All addresses are in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no address left for `{name}`: all {count} of {range} are in use; end what is not needed, \
     or configure a larger range"
)]
pub struct Exhausted {
    /// Who asked.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// Where.
    pub range: Range,
}

/// Bytes are no pool.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPool {
    /// They are not in the form of a pool.
    #[error("the kept addresses cannot be read")]
    Form(#[from] serde_json::Error),
    /// They are of a version that is not known here.
    #[error("the kept addresses are of version {0}, and this program reads version 1")]
    Version(u32),
    /// Two names have one address, or one is outside of the range.
    #[error("the kept addresses contradict themselves at `{0}`")]
    Contradiction(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    offset: u32,
    /// When it was released, counted in releases; `None` while it is held.
    released: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    version: u32,
    range: Range,
    entries: BTreeMap<String, Entry>,
}

// === impl Pool ===

impl Pool {
    /// All addresses of `range` from offset `first` on, at least 1: the range's own address is
    /// nobody's.
    pub fn new(range: Range, first: u32) -> Self {
        Self { range, first: first.max(1), entries: BTreeMap::new(), releases: 0 }
    }

    /// The addresses of `name`: those it has or had, or else fresh ones.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when every address is held.
    pub fn claim(&mut self, name: &str) -> Result<Addrs, Exhausted> {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.released = None;
            return self.addrs(name).ok_or_else(|| self.exhausted(name));
        }
        let offset = self.fresh().or_else(|| self.recycle());
        let offset = offset.ok_or_else(|| self.exhausted(name))?;
        self.entries.insert(name.into(), Entry { offset, released: None });
        self.addrs(name).ok_or_else(|| self.exhausted(name))
    }

    /// Lets go of the addresses of `name`; it finds them again unless they are needed.
    pub fn release(&mut self, name: &str) {
        self.releases += 1;
        if let Some(entry) = self.entries.get_mut(name) {
            entry.released.get_or_insert(self.releases);
        }
    }

    /// The addresses that `name` holds or had.
    pub fn addrs(&self, name: &str) -> Option<Addrs> {
        self.range.at(self.entries.get(name)?.offset)
    }

    /// How many addresses are held.
    pub fn held(&self) -> usize {
        self.entries.values().filter(|entry| entry.released.is_none()).count()
    }

    /// Everything, to be kept across restarts.
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries.clone();
        let encoded = Encoded { version: VERSION, range: self.range, entries };
        serde_json::to_vec(&encoded).expect("maps of texts and numbers have a form in JSON")
    }

    /// Takes up what was kept. Nobody holds anything any more, and every name finds again what it
    /// had. Addresses of another range than `range` are forgotten.
    ///
    /// # Errors
    ///
    /// [`InvalidPool`] when the bytes are not what [`Pool::encode`] has made.
    pub fn decode(range: Range, first: u32, bytes: &[u8]) -> Result<Self, InvalidPool> {
        let encoded: Encoded = serde_json::from_slice(bytes)?;
        if encoded.version != VERSION {
            return Err(InvalidPool::Version(encoded.version));
        }
        let mut pool = Self::new(range, first);
        if encoded.range != range {
            return Ok(pool);
        }
        let mut taken = BTreeSet::new();
        for (name, entry) in encoded.entries {
            let is_inside = (pool.first..range.end()).contains(&entry.offset);
            if !is_inside || !taken.insert(entry.offset) {
                return Err(InvalidPool::Contradiction(name));
            }
            let released = entry.released.unwrap_or(u64::MAX);
            pool.entries.insert(name, Entry { released: Some(released), ..entry });
        }
        pool.renumber();
        Ok(pool)
    }

    /// The least offset that nobody has or had.
    fn fresh(&self) -> Option<u32> {
        let taken: BTreeSet<u32> = self.entries.values().map(|entry| entry.offset).collect();
        (self.first..self.range.end()).find(|offset| !taken.contains(offset))
    }

    /// The offset that has been free for the longest; its last owner forgets it.
    fn recycle(&mut self) -> Option<u32> {
        let released = self.entries.iter().filter_map(|(name, entry)| {
            entry.released.map(|released| (released, entry.offset, name.clone()))
        });
        let (_, offset, name) = released.min()?;
        self.entries.remove(&name);
        Some(offset)
    }

    /// Numbers releases from 1 on, in their order; what a crash left held comes last.
    fn renumber(&mut self) {
        let mut order: Vec<(Option<u64>, String)> =
            self.entries.iter().map(|(name, entry)| (entry.released, name.clone())).collect();
        order.sort();
        for (_, name) in order {
            self.releases += 1;
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.released = Some(self.releases);
            }
        }
    }

    fn exhausted(&self, name: &str) -> Exhausted {
        let count = self.range.end().saturating_sub(self.first);
        Exhausted { name: name.into(), count, range: self.range }
    }
}
