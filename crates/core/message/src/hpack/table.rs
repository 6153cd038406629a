//! The dynamic table (RFC 7541 sections 2.3.2 and 4).
//!
//! The text of all entries lies in one piece of memory, oldest first. What is new goes to its end,
//! what is evicted leaves a gap at its front, and the gap is closed when the end is reached. A
//! well-known name takes no room there.

use std::collections::VecDeque;

use super::{FIELD_OVERHEAD, Field, Kind, Name, TABLE_BYTES_DEFAULT, eq};

/// A table can be made no larger, so that the lengths of an entry fit 16 bits.
pub(super) const TABLE_BYTES_CAP: u32 = u16::MAX as u32;

/// The first piece of memory that is asked for; enough for the usual fields of one client.
const TEXT_BYTES_MIN: usize = 256;

/// Entries, newest first.
pub(super) struct Table {
    text: Vec<u8>,
    /// The position of `text[0]`.
    base: u32,
    bytes_max: u32,
    /// The size as RFC 7541 section 4.1 counts it.
    bytes: u32,
    entries: VecDeque<Entry>,
}

/// One field of the table.
#[derive(Clone, Copy)]
struct Entry {
    /// Where its text begins; the first position of all is arbitrary, and numbers wrap.
    position: u32,
    /// The length of the name in the text: zero when `kind` implies it.
    name_len: u16,
    value_len: u16,
    kind: Kind,
    is_name_valid: bool,
    is_value_valid: bool,
}

const _: () = assert!(size_of::<Entry>() == 12);

// === impl Table ===

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            text: Vec::new(),
            base: 0,
            bytes_max: TABLE_BYTES_DEFAULT,
            bytes: 0,
            entries: VecDeque::new(),
        }
    }

    pub(super) const fn bytes_max(&self) -> u32 {
        self.bytes_max
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Changes the largest size; an empty table gives its memory back.
    pub(super) fn set_bytes_max(&mut self, bytes_max: u32) {
        self.bytes_max = bytes_max.min(TABLE_BYTES_CAP);
        self.evict(0);
        if self.bytes_max == 0 {
            self.entries = VecDeque::new();
            self.text = Vec::new();
        }
    }

    /// The field at `index`, the newest at zero.
    #[inline]
    pub(super) fn field(&self, index: usize) -> Option<Field<'_>> {
        let entry = self.entries.get(index)?;
        let (name, value) = self.text_of(entry);
        Some(Field {
            name: entry.kind.with_text(name),
            value,
            is_name_valid: entry.is_name_valid,
            is_value_valid: entry.is_value_valid,
            is_never_indexed: false,
        })
    }

    /// Whether the field at `index` has this name.
    #[inline]
    pub(super) fn has_name(&self, index: usize, name: Name<'_>) -> bool {
        self.entries.get(index).is_some_and(|entry| {
            entry.kind == name.kind() && self.text_of(entry).0 == text_to_keep(name)
        })
    }

    /// Whether the field at `index` is this one.
    #[inline]
    pub(super) fn has_field(&self, index: usize, name: Name<'_>, value: &[u8]) -> bool {
        self.entries.get(index).is_some_and(|entry| {
            if usize::from(entry.value_len) != value.len() || entry.kind != name.kind() {
                return false;
            }
            let (entry_name, entry_value) = self.text_of(entry);
            eq(entry_value, value)
                && (entry.kind != Kind::Other || entry_name == text_to_keep(name))
        })
    }

    /// Makes `field` the newest entry, and evicts the oldest for it. A field that is larger than
    /// the whole table empties it, which is no error (RFC 7541 section 4.4). Whether it is there
    /// now.
    pub(super) fn insert(&mut self, field: &Field<'_>) -> bool {
        let size = field.list_bytes();
        if size > self.bytes_max as usize {
            self.evict(self.bytes_max);
            return false;
        }
        self.evict(size as u32);
        let name = text_to_keep(field.name);
        self.make_room(name.len() + field.value.len());
        self.entries.push_front(Entry {
            position: self.base.wrapping_add(self.text.len() as u32),
            name_len: name.len() as u16,
            value_len: field.value.len() as u16,
            kind: field.name.kind(),
            is_name_valid: field.is_name_valid,
            is_value_valid: field.is_value_valid,
        });
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(field.value);
        self.bytes += size as u32;
        true
    }

    /// Evicts the oldest entries until `more` bytes fit.
    fn evict(&mut self, more: u32) {
        while self.bytes > self.bytes_max - more {
            let Some(oldest) = self.entries.pop_back() else { break };
            let (name, value) = self.text_of(&oldest);
            let size = oldest.kind.with_text(name).as_bytes().len() + value.len() + FIELD_OVERHEAD;
            self.bytes -= size as u32;
        }
    }

    /// Makes room for `more` bytes at the end of the text: closes the gap at its front, and asks
    /// for more memory unless a quarter of it has become free, so that bytes are moved rarely.
    fn make_room(&mut self, more: usize) {
        let capacity = self.text.capacity();
        if self.text.len() + more <= capacity {
            return;
        }
        let gap = self.entries.back().map_or(self.text.len(), |oldest| self.start(oldest));
        self.text.copy_within(gap.., 0);
        self.text.truncate(self.text.len() - gap);
        self.base = self.base.wrapping_add(gap as u32);
        let needed = self.text.len() + more;
        if needed > capacity - capacity / 4 {
            let bound = self.bytes_max as usize * 5 / 4;
            let wanted = (2 * capacity).clamp(TEXT_BYTES_MIN, bound.max(TEXT_BYTES_MIN));
            self.text.reserve_exact(wanted.max(needed) - self.text.len());
        }
    }

    #[inline]
    fn text_of(&self, entry: &Entry) -> (&[u8], &[u8]) {
        let (name_len, value_len) = (usize::from(entry.name_len), usize::from(entry.value_len));
        self.text[self.start(entry)..][..name_len + value_len].split_at(name_len)
    }

    #[inline]
    const fn start(&self, entry: &Entry) -> usize {
        entry.position.wrapping_sub(self.base) as usize
    }
}

// === functions ===

/// The part of a name that its kind does not imply.
#[inline]
const fn text_to_keep(name: Name<'_>) -> &[u8] {
    match name {
        Name::Other(name) => name,
        Name::Pseudo(_) | Name::Known(_) => &[],
    }
}

#[cfg(test)]
mod tests;
