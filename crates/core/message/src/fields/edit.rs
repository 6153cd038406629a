//! Changing fields: set, append, remove.

use crate::bytes::{folded_eq, is_field_value, is_token, trim};
use crate::fields::{Entry, Fields, InvalidFieldValue, raw_id};
use crate::known::{Known, UNKNOWN};
use crate::name::AsFieldName;

/// Most bytes the arena of one message may hold. Edits leave dead lines behind, so this also
/// bounds how often one message may be edited.
const ARENA_BYTES_MAX: usize = 16 << 20;

// === impl Fields ===

impl Fields {
    /// Sets `name` to this one value, where its first line stood, else at the end.
    ///
    /// White space around the value is dropped, as a recipient would.
    ///
    /// # Errors
    ///
    /// When the name is no token or the value holds a control byte; nothing changes then.
    pub fn set(&mut self, name: impl AsFieldName, value: &[u8]) -> Result<(), InvalidFieldValue> {
        let entry = self.checked_line(&name, value)?;
        self.replace(entry, name.as_str().as_bytes());
        Ok(())
    }

    /// Adds a line after the others.
    ///
    /// # Errors
    ///
    /// When the name is no token or the value holds a control byte; nothing changes then.
    pub fn append(
        &mut self,
        name: impl AsFieldName,
        value: &[u8],
    ) -> Result<(), InvalidFieldValue> {
        let entry = self.checked_line(&name, value)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Removes every line of `name`; how many there were.
    pub fn remove(&mut self, name: impl AsFieldName) -> usize {
        let id = raw_id(&name);
        let before = self.entries.len();
        if id != UNKNOWN {
            self.entries.retain(|entry| entry.id != id);
        } else {
            let name = name.as_str().as_bytes();
            self.retain_entries(|_, other, _| !other.eq_ignore_ascii_case(name));
        }
        before - self.entries.len()
    }

    /// Removes every line whose name equals `name` when case and every non-alphanumeric byte are
    /// folded into one class: `X_Auth.User` goes with `x-auth-user`. How many there were.
    ///
    /// CGI-like origins read those names as one.
    pub fn remove_folded(&mut self, name: impl AsFieldName) -> usize {
        let before = self.entries.len();
        let name = name.as_str().as_bytes();
        self.retain_entries(|_, other, _| !folded_eq(other, name));
        before - self.entries.len()
    }

    /// Sets `name` to this one value and removes every other name that folds to it, as
    /// [`Fields::remove_folded`] has it: no origin can read another value than this one.
    ///
    /// # Errors
    ///
    /// As [`Fields::set`].
    pub fn set_folded(
        &mut self,
        name: impl AsFieldName + Copy,
        value: &[u8],
    ) -> Result<(), InvalidFieldValue> {
        self.set(name, value)?;
        let name = name.as_str().as_bytes();
        self.retain_entries(|_, other, _| {
            other.len() != name.len() || other.eq_ignore_ascii_case(name) || !folded_eq(other, name)
        });
        Ok(())
    }

    /// Keeps the lines for which `keep(name, value)` says so. Well-known names come in lower
    /// case, others as received.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        self.retain_entries(|id, name, value| match Known::from_id(id) {
            Some(known) => keep(known.as_str(), value),
            None => keep(std::str::from_utf8(name).unwrap_or_default(), value),
        });
    }

    /// Keeps the lines for which `keep(id, name, value)` says so.
    pub(crate) fn retain_entries(&mut self, mut keep: impl FnMut(u8, &[u8], &[u8]) -> bool) {
        let arena = &self.arena;
        self.entries.retain(|entry| {
            let (start, value_start) = (entry.start as usize, entry.value_start as usize);
            keep(
                entry.id,
                &arena[start..start + usize::from(entry.name_len)],
                &arena[value_start..value_start + entry.value_len as usize],
            )
        });
    }

    /// Removes by id alone.
    pub(crate) fn retain_ids(&mut self, mut keep: impl FnMut(u8) -> bool) {
        self.entries.retain(|entry| keep(entry.id));
    }

    /// Adds a well-known name with the value that `write` appends, which must be a valid one: what
    /// is written here comes from numbers and addresses, not from peers.
    pub(crate) fn append_with(&mut self, name: Known, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(entry) = self.line_with(name, write) {
            self.entries.push(entry);
        }
    }

    /// The same, in the place of the fields of this name.
    pub(crate) fn set_with(&mut self, name: Known, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(entry) = self.line_with(name, write) {
            self.replace(entry, name.as_str().as_bytes());
        }
    }

    #[inline]
    fn line_with(&mut self, name: Known, write: impl FnOnce(&mut Vec<u8>)) -> Option<Entry> {
        if self.arena.len() > ARENA_BYTES_MAX {
            return None;
        }
        let start = self.begin_line(name.as_str().as_bytes());
        write(&mut self.arena);
        Some(self.end_line(start, name.as_str().len(), name as u8))
    }

    /// Joins every value of a well-known name with `separator`, then adds what `write` appends
    /// as one more element, all in the place of the first line.
    pub(crate) fn join_with(
        &mut self,
        name: Known,
        separator: &[u8],
        write: Option<impl FnOnce(&mut Vec<u8>)>,
    ) {
        if self.arena.len() > ARENA_BYTES_MAX {
            return;
        }
        let start = self.begin_line(name.as_str().as_bytes());
        let value_start = self.arena.len();
        for at in 0..self.entries.len() {
            let entry = self.entries[at];
            if entry.id != name as u8 || entry.value_len == 0 {
                continue;
            }
            if self.arena.len() > value_start {
                self.arena.extend_from_slice(separator);
            }
            let from = entry.value_start as usize;
            self.arena.extend_from_within(from..from + entry.value_len as usize);
        }
        if let Some(write) = write {
            if self.arena.len() > value_start {
                self.arena.extend_from_slice(separator);
            }
            write(&mut self.arena);
        }
        let entry = self.end_line(start, name.as_str().len(), name as u8);
        self.replace(entry, name.as_str().as_bytes());
    }

    /// Writes a line into the arena and returns its entry, not yet in the table.
    fn checked_line(
        &mut self,
        name: &impl AsFieldName,
        value: &[u8],
    ) -> Result<Entry, InvalidFieldValue> {
        let (id, name) = (raw_id(name), name.as_str().as_bytes());
        self.line(id, name, value)
    }

    /// The same for a name whose id is known already.
    pub(crate) fn line(
        &mut self,
        id: u8,
        name: &[u8],
        value: &[u8],
    ) -> Result<Entry, InvalidFieldValue> {
        if id == UNKNOWN && !is_token(name) {
            return Err(InvalidFieldValue::Name);
        }
        let value = trim(value);
        if !is_field_value(value) {
            return Err(InvalidFieldValue::Value);
        }
        let size = name.len() + value.len() + 4;
        if name.len() > usize::from(u16::MAX) || self.arena.len() + size > ARENA_BYTES_MAX {
            return Err(InvalidFieldValue::TooLarge);
        }
        let start = self.begin_line(name);
        self.arena.extend_from_slice(value);
        Ok(self.end_line(start, name.len(), id))
    }

    /// Adds a line whose parts were checked, and which is no larger than a header section may be.
    #[inline]
    pub(crate) fn push_line(&mut self, id: u8, name: &[u8], value: &[u8]) {
        let start = self.begin_line(name);
        self.arena.extend_from_slice(value);
        let entry = self.end_line(start, name.len(), id);
        self.entries.push(entry);
    }

    pub(crate) fn push_entry(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    fn begin_line(&mut self, name: &[u8]) -> usize {
        let start = self.arena.len();
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(b": ");
        start
    }

    fn end_line(&mut self, start: usize, name_len: usize, id: u8) -> Entry {
        let value_start = start + name_len + 2;
        let value_len = self.arena.len() - value_start;
        self.arena.extend_from_slice(b"\r\n");
        Entry {
            start: start as u32,
            value_start: value_start as u32,
            value_len: value_len as u32,
            name_len: name_len as u16,
            id,
            whole: true,
        }
    }

    /// Puts `entry` where the first line of its name is, removes the others; else adds it.
    fn replace(&mut self, entry: Entry, name: &[u8]) {
        let is_old = |old: &Entry| self.is_named(old, entry.id, name);
        let Some(first) = self.entries.iter().position(is_old) else {
            self.entries.push(entry);
            return;
        };
        let mut kept = first + 1;
        for at in first + 1..self.entries.len() {
            let old = self.entries[at];
            if !self.is_named(&old, entry.id, name) {
                self.entries[kept] = old;
                kept += 1;
            }
        }
        self.entries.truncate(kept);
        self.entries[first] = entry;
    }
}
