//! Header and trailer fields: one byte arena and a compact table.

mod edit;

use std::fmt;

use thiserror::Error;

use crate::known::{Known, UNKNOWN};
use crate::name::AsFieldName;
use crate::secret;

/// The fields of one message, in order.
///
/// The arena holds the lines as they were received; the table says where each name and value
/// lies. Removing touches only the table, setting appends to the arena, and writing out copies
/// runs of untouched lines at once. [`Fields::clear`] keeps the memory for the next message.
#[derive(Clone, Default)]
pub struct Fields {
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

/// The field cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidFieldValue {
    /// The name is not a token (RFC 9110 section 5.1).
    #[error("the field name is not a token")]
    Name,
    /// The value holds a control byte other than the tab (RFC 9110 section 5.5).
    #[error("the field value holds a control byte")]
    Value,
    /// The fields of one message would outgrow their bounds.
    #[error("the fields are too large")]
    TooLarge,
}

/// The values of one name, in order. See [`Fields::get_all`].
#[derive(Clone)]
pub struct Values<'a, N> {
    fields: &'a Fields,
    rest: std::slice::Iter<'a, Entry>,
    id: u8,
    name: N,
}

/// All fields, in order. See [`Fields::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    fields: &'a Fields,
    rest: std::slice::Iter<'a, Entry>,
}

/// Where one field lies in the arena.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Start of the name.
    pub(crate) start: u32,
    /// Start of the value, without white space around it.
    pub(crate) value_start: u32,
    /// Length of the value.
    pub(crate) value_len: u32,
    /// Length of the name.
    pub(crate) name_len: u16,
    /// The well-known name, or [`UNKNOWN`].
    pub(crate) id: u8,
    /// The line in the arena is exactly `name: value\r\n`, so it may be copied as it is.
    pub(crate) whole: bool,
}

// === impl Fields ===

impl Fields {
    /// No fields, no memory.
    pub const fn new() -> Self {
        Self { arena: Vec::new(), entries: Vec::new() }
    }

    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Size as HTTP/1.1 lines, bytes: name, value and four bytes for each line.
    pub fn size_bytes(&self) -> usize {
        self.entries.iter().map(|e| usize::from(e.name_len) + e.value_len as usize + 4).sum()
    }

    /// Memory held, bytes; [`Fields::clear`] does not lower it.
    pub fn capacity_bytes(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// The first value of `name`, without white space around it.
    #[inline]
    pub fn get(&self, name: impl AsFieldName) -> Option<&[u8]> {
        self.find(&name).map(|entry| self.value(entry))
    }

    /// The first value of `name` as text; `None` also when it is not UTF-8.
    pub fn get_str(&self, name: impl AsFieldName) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Every value of `name`, in order.
    pub fn get_all<N: AsFieldName>(&self, name: N) -> Values<'_, N> {
        let id = raw_id(&name);
        Values { fields: self, rest: self.entries.iter(), id, name }
    }

    /// Whether a field of this name is there.
    #[inline]
    pub fn contains(&self, name: impl AsFieldName) -> bool {
        self.find(&name).is_some()
    }

    /// Every field, in order: well-known names in lower case, others as received, and the value.
    pub fn iter(&self) -> Iter<'_> {
        Iter { fields: self, rest: self.entries.iter() }
    }

    #[inline]
    fn find(&self, name: &impl AsFieldName) -> Option<&Entry> {
        let id = raw_id(name);
        if id == UNKNOWN {
            let name = name.as_str().as_bytes();
            return self.entries.iter().find(|entry| self.is_named(entry, UNKNOWN, name));
        }
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// Whether the entry has this id and, where the id is [`UNKNOWN`], this name.
    #[inline]
    fn is_named(&self, entry: &Entry, id: u8, name: &[u8]) -> bool {
        entry.id == id
            && (id != UNKNOWN
                || (usize::from(entry.name_len) == name.len()
                    && self.name(entry).eq_ignore_ascii_case(name)))
    }

    #[inline]
    pub(crate) fn value(&self, entry: &Entry) -> &[u8] {
        let start = entry.value_start as usize;
        &self.arena[start..start + entry.value_len as usize]
    }

    /// The name as it lies in the arena.
    #[inline]
    pub(crate) fn name(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        &self.arena[start..start + usize::from(entry.name_len)]
    }

    pub(crate) fn name_text(&self, entry: &Entry) -> &str {
        match Known::from_id(entry.id) {
            Some(known) => known.as_str(),
            None => std::str::from_utf8(self.name(entry)).unwrap_or_default(),
        }
    }

    /// Replaces everything by a parsed block of lines; the parser fills `entries` beforehand.
    pub(crate) fn load(&mut self, block: &[u8]) {
        self.arena.clear();
        self.arena.extend_from_slice(block);
    }

    pub(crate) fn arena_bytes(&self) -> usize {
        self.arena.len()
    }

    /// The table, for the parser.
    pub(crate) fn entries_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.entries
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Appends every field line to `out`, but those for which `skip` says so.
    #[inline]
    pub(crate) fn write_to(&self, out: &mut Vec<u8>, skip: impl Fn(u8) -> bool) {
        let (mut run_start, mut run_end) = (0usize, 0usize);
        for entry in &self.entries {
            if skip(entry.id) {
                continue;
            }
            if entry.whole {
                let start = entry.start as usize;
                if start != run_end {
                    out.extend_from_slice(&self.arena[run_start..run_end]);
                    run_start = start;
                }
                run_end = (entry.value_start + entry.value_len) as usize + 2;
            } else {
                out.extend_from_slice(&self.arena[run_start..run_end]);
                (run_start, run_end) = (0, 0);
                out.extend_from_slice(self.name(entry));
                out.extend_from_slice(b": ");
                out.extend_from_slice(self.value(entry));
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(&self.arena[run_start..run_end]);
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    /// Values that hold secrets are left out (see [`secret::shown`]): this ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for entry in &self.entries {
            let name = self.name_text(entry);
            let value = secret::shown(name, self.value(entry));
            map.entry(&name, &String::from_utf8_lossy(value));
        }
        map.finish()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

// === impl Values ===

impl<'a, N: AsFieldName> Iterator for Values<'a, N> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let name = self.name.as_str().as_bytes();
        let entry = self.rest.find(|entry| self.fields.is_named(entry, self.id, name))?;
        Some(self.fields.value(entry))
    }
}

// === impl Iter ===

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.rest.next()?;
        Some((self.fields.name_text(entry), self.fields.value(entry)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

// === functions ===

#[inline]
pub(crate) fn raw_id(name: &impl AsFieldName) -> u8 {
    name.id().map_or(UNKNOWN, |known| known as u8)
}

#[cfg(test)]
mod tests;
