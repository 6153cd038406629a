//! Finds entries of an encoder's table by name and by name and value.
//!
//! Entries are numbered as they come, and a chain for each hash leads from the newest number to
//! older ones. An evicted entry ends a chain by being older than the oldest entry there is, so
//! eviction costs nothing here. A stale number that seems to be of an entry again does no harm:
//! what a chain leads to is always compared.

use super::table::Table;
use super::{Name, statics};

/// Room for entries at first.
const CAPACITY_MIN: usize = 16;

/// Steps of a search for a value. Peers choose values, and may choose such that hash alike.
const STEPS_MAX: usize = 16;

/// Odd, without a pattern: the fraction of the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The chains of fields and those of names, in the order of their tables.
const FIELDS: usize = 0;
const NAMES: usize = 1;

/// Chains through the numbers of entries.
pub(super) struct Index {
    /// Four tables as long as there is room for entries: the newest number by hash of the field,
    /// the newest by hash of the name, and the next older number by number, for both.
    cells: Vec<u16>,
    /// The number of the next entry; numbers wrap.
    next: u16,
}

/// The two hashes of a field.
#[derive(Clone, Copy)]
pub(super) struct Hashes {
    name: u32,
    field: u32,
}

/// What is known of a name in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names {
    /// The newest entry with the name.
    pub(super) index: Option<usize>,
    /// How many there are, as far as it was counted.
    pub(super) count: usize,
}

// === impl Names ===

impl Names {
    /// The index of the newest entry as it is sent, after those of the static table.
    pub(super) fn dynamic_index(self) -> Option<usize> {
        self.index.map(|index| statics::LEN + 1 + index)
    }
}

// === impl Hashes ===

impl Hashes {
    #[inline]
    pub(super) fn of(name: Name<'_>, value: &[u8]) -> Self {
        let name = match name {
            Name::Other(text) => word(text),
            Name::Pseudo(_) | Name::Known(_) => u64::from(name.kind().code()),
        };
        let name = name.wrapping_mul(MULTIPLIER);
        let field = (name ^ word(value)).wrapping_mul(MULTIPLIER);
        Self { name: (name >> 32) as u32, field: (field >> 32) as u32 }
    }
}

// === impl Index ===

impl Index {
    pub(super) const fn new() -> Self {
        Self { cells: Vec::new(), next: 0 }
    }

    /// The entry with this name and value; the newest is zero.
    #[inline]
    pub(super) fn find(
        &self,
        table: &Table,
        hashes: Hashes,
        name: Name<'_>,
        value: &[u8],
    ) -> Option<usize> {
        let mut index = self.newest(FIELDS, hashes.field)?;
        for _ in 0..STEPS_MAX {
            if table.has_field(index, name, value) {
                return Some(index);
            }
            index = self.older(FIELDS, index, table)?;
        }
        None
    }

    /// The entries with this name, of which no more than `count_max` are counted. However names
    /// hash, a table has at most 128 entries to look at.
    pub(super) fn find_name(
        &self,
        table: &Table,
        hashes: Hashes,
        name: Name<'_>,
        count_max: usize,
    ) -> Names {
        let mut names = Names { index: None, count: 0 };
        let mut next = self.newest(NAMES, hashes.name);
        while let Some(index) = next
            && names.count < count_max
        {
            if table.has_name(index, name) {
                names.index.get_or_insert(index);
                names.count += 1;
            }
            next = self.older(NAMES, index, table);
        }
        names
    }

    /// Notes that a field was made the newest entry of `table`.
    pub(super) fn insert(&mut self, table: &Table, hashes: Hashes) {
        self.next = self.next.wrapping_add(1);
        if table.len() > self.capacity() {
            self.rebuild(table);
        } else {
            self.link(self.next.wrapping_sub(1), hashes);
        }
    }

    fn capacity(&self) -> usize {
        self.cells.len() / 4
    }

    /// Makes room for the entries of `table`, twice as many at least.
    fn rebuild(&mut self, table: &Table) {
        let capacity = (2 * self.capacity()).max(CAPACITY_MIN).max(table.len().next_power_of_two());
        self.cells = vec![0; 4 * capacity];
        for index in (0..table.len()).rev() {
            if let Some(field) = table.field(index) {
                let number = self.next.wrapping_sub(1).wrapping_sub(index as u16);
                self.link(number, Hashes::of(field.name, field.value));
            }
        }
    }

    /// Puts an entry in front of both chains.
    fn link(&mut self, number: u16, hashes: Hashes) {
        let capacity = self.capacity();
        for (chain, hash) in [(FIELDS, hashes.field), (NAMES, hashes.name)] {
            let head = chain * capacity + slot(hash, capacity);
            let link = (2 + chain) * capacity + slot(u32::from(number), capacity);
            self.cells[link] = self.cells[head];
            self.cells[head] = number;
        }
    }

    /// The entry that a chain begins with, if it is still there.
    #[inline]
    fn newest(&self, chain: usize, hash: u32) -> Option<usize> {
        let capacity = self.capacity();
        let number = *self.cells.get(chain * capacity + slot(hash, capacity))?;
        Some(self.index_of(number))
    }

    /// The entry that follows the one at `index` in a chain.
    #[cold]
    fn older(&self, chain: usize, index: usize, table: &Table) -> Option<usize> {
        let capacity = self.capacity();
        let number = u32::from(self.next.wrapping_sub(1).wrapping_sub(index as u16));
        let older = *self.cells.get((2 + chain) * capacity + slot(number, capacity))?;
        // Each is older than the one before, or the number is stale.
        let is_older = (index + 1..table.len()).contains(&self.index_of(older));
        is_older.then(|| self.index_of(older))
    }

    #[inline]
    fn index_of(&self, number: u16) -> usize {
        usize::from(self.next.wrapping_sub(number).wrapping_sub(1))
    }
}

// === functions ===

/// The low bits; `capacity` is zero or a power of two.
#[inline]
const fn slot(hash: u32, capacity: usize) -> usize {
    hash as usize & capacity.wrapping_sub(1)
}

/// The length, the first and the last bytes of a text, mixed: enough to tell apart what is sent on
/// one connection.
#[inline]
fn word(text: &[u8]) -> u64 {
    let ends = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first).rotate_left(29) ^ u64::from_le_bytes(*last)
        }
        _ => short_word(text),
    };
    let mixed = ends.wrapping_add((text.len() as u64) << 56).wrapping_mul(MULTIPLIER);
    // A product's low bits know nothing of the high bits of what was multiplied.
    mixed ^ mixed >> 32
}

/// The bytes of a text of less than eight.
#[inline]
fn short_word(text: &[u8]) -> u64 {
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 24 ^ u64::from(u32::from_le_bytes(*last))
        }
        _ => text.iter().take(3).fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[cfg(test)]
mod tests;
