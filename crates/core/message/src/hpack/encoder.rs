//! Fields to field blocks (RFC 7541 sections 4.2 and 6).

use super::index::{Hashes, Index};
use super::policy::{self, Policy};
use super::table::Table;
use super::{Field, Name, TABLE_BYTES_DEFAULT, huffman, integer, statics};

/// The table takes no more memory than this, however much the peer allows.
const TABLE_BYTES_MAX: u32 = TABLE_BYTES_DEFAULT;

/// A field that takes more than this part of the table is not worth the entries it pushes out.
const FIELD_SHARE: usize = 2;

/// Of the fields whose name has enough values in the table already, each such is kept all the
/// same, so that the table follows when other values become frequent.
const RENEWAL: u8 = 16;

/// Scratch memory that is kept; what a rare long name needs is not.
const SCRATCH_BYTES_MAX: usize = 256;

/// The encoder of one direction of a connection.
pub struct Encoder {
    table: Table,
    index: Index,
    update: Option<SizeUpdate>,
    /// Fields not kept since one was for [`RENEWAL`].
    passed: u8,
    scratch: Vec<u8>,
}

/// A change of the table's size that the peer has not been told of.
#[derive(Clone, Copy)]
struct SizeUpdate {
    smallest: u32,
    last: u32,
}

/// How a literal field begins (RFC 7541 section 6.2).
#[derive(Clone, Copy)]
struct Literal {
    pattern: u8,
    prefix_bits: u32,
}

const INCREMENTAL: Literal = Literal { pattern: 0x40, prefix_bits: 6 };
const WITHOUT: Literal = Literal { pattern: 0, prefix_bits: 4 };
const NEVER: Literal = Literal { pattern: 0x10, prefix_bits: 4 };

// === impl Encoder ===

impl Encoder {
    /// An encoder whose table may take 4,096 bytes and takes none yet.
    pub const fn new() -> Self {
        Self {
            table: Table::new(),
            index: Index::new(),
            update: None,
            passed: 0,
            scratch: Vec::new(),
        }
    }

    /// Notes the `SETTINGS_HEADER_TABLE_SIZE` of the peer. No more than 4,096 bytes are used; less
    /// holds from the next block on.
    pub fn set_table_bytes_max(&mut self, table_bytes_max: u32) {
        let last = table_bytes_max.min(TABLE_BYTES_MAX);
        match &mut self.update {
            Some(update) => *update = SizeUpdate { smallest: update.smallest.min(last), last },
            None if last == self.table.bytes_max() => {}
            None => self.update = Some(SizeUpdate { smallest: last, last }),
        }
    }

    /// Begins a block: appends the changes of the table's size that the peer must learn of, the
    /// smallest and the last (RFC 7541 section 4.2).
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(SizeUpdate { smallest, last }) = self.update.take() {
            if smallest < last {
                self.resize(smallest, out);
            }
            self.resize(last, out);
        }
    }

    /// Appends a field. Its name is sent in lower case.
    pub fn encode(&mut self, name: Name<'_>, value: &[u8], out: &mut Vec<u8>) {
        match name {
            Name::Other(text) if has_upper_case(text) => {
                self.in_lower_case(text, |encoder, name| encoder.encode(name, value, out));
            }
            _ => match policy::of(name, value) {
                Policy::Keep(values_max) => self.keep(name, value, values_max, out),
                Policy::Pass => self.pass(name, value, out),
                Policy::Never => self.never(name, value, out),
            },
        }
    }

    /// Appends a field that no table on the way may keep (RFC 7541 section 6.2.3): one that was
    /// received as such, or a secret.
    pub fn encode_never_indexed(&mut self, name: Name<'_>, value: &[u8], out: &mut Vec<u8>) {
        match name {
            Name::Other(text) if has_upper_case(text) => {
                self.in_lower_case(text, |encoder, name| encoder.never(name, value, out));
            }
            _ => self.never(name, value, out),
        }
    }

    fn resize(&mut self, bytes_max: u32, out: &mut Vec<u8>) {
        integer::encode(bytes_max as usize, 5, 0x20, out);
        self.table.set_bytes_max(bytes_max);
        if self.table.len() == 0 {
            self.index = Index::new();
        }
    }

    #[cold]
    fn in_lower_case(&mut self, text: &[u8], then: impl FnOnce(&mut Self, Name<'_>)) {
        let mut lower = std::mem::take(&mut self.scratch);
        lower.clear();
        lower.extend(text.iter().map(u8::to_ascii_lowercase));
        then(self, Name::new(&lower));
        if lower.capacity() <= SCRATCH_BYTES_MAX {
            self.scratch = lower;
        }
    }

    /// Appends the index of a field, or the field itself, which is kept then.
    #[inline]
    fn keep(&mut self, name: Name<'_>, value: &[u8], values_max: u8, out: &mut Vec<u8>) {
        if let Some(index) = statics::find(name.kind(), value) {
            return integer::encode(index, 7, 0x80, out);
        }
        let hashes = Hashes::of(name, value);
        if let Some(index) = self.index.find(&self.table, hashes, name, value) {
            return integer::encode(statics::LEN + 1 + index, 7, 0x80, out);
        }
        self.keep_new(name, value, usize::from(values_max), hashes, out);
    }

    /// Appends a field that the table does not have, and keeps it unless its name has other values
    /// enough.
    #[inline(never)]
    fn keep_new(
        &mut self,
        name: Name<'_>,
        value: &[u8],
        values_max: usize,
        hashes: Hashes,
        out: &mut Vec<u8>,
    ) {
        let static_name = statics::find_name(name.kind());
        let names = self.index.find_name(&self.table, hashes, name, values_max);
        let name_index = static_name.or(names.dynamic_index());
        if self.is_worth(names.count < values_max) {
            self.insert(name_index, name, value, hashes, out);
        } else {
            literal(WITHOUT, name_index, name, value, out);
        }
    }

    /// Whether a field is to be kept whose name has few values in the table, or not so few.
    const fn is_worth(&mut self, has_few_values: bool) -> bool {
        if has_few_values {
            return true;
        }
        self.passed = (self.passed + 1) % RENEWAL;
        self.passed == 0
    }

    /// Appends a field whose value does not come again. It is kept all the same where that makes
    /// an entry for its name, which does.
    fn pass(&mut self, name: Name<'_>, value: &[u8], out: &mut Vec<u8>) {
        let hashes = Hashes::of(name, value);
        match self.name_index(name, hashes) {
            None => self.insert(None, name, value, hashes, out),
            name_index => literal(WITHOUT, name_index, name, value, out),
        }
    }

    /// Appends a field that nobody may keep.
    fn never(&self, name: Name<'_>, value: &[u8], out: &mut Vec<u8>) {
        let name_index = self.name_index(name, Hashes::of(name, &[]));
        literal(NEVER, name_index, name, value, out);
    }

    /// The index of an entry with this name in both tables.
    fn name_index(&self, name: Name<'_>, hashes: Hashes) -> Option<usize> {
        statics::find_name(name.kind())
            .or_else(|| self.index.find_name(&self.table, hashes, name, 1).dynamic_index())
    }

    /// Appends a field and keeps it, unless it is too large.
    fn insert(
        &mut self,
        name_index: Option<usize>,
        name: Name<'_>,
        value: &[u8],
        hashes: Hashes,
        out: &mut Vec<u8>,
    ) {
        let field = Field {
            name,
            value,
            is_name_valid: true,
            is_value_valid: true,
            is_never_indexed: false,
        };
        if field.list_bytes() > self.table.bytes_max() as usize / FIELD_SHARE {
            return literal(WITHOUT, name_index, name, value, out);
        }
        literal(INCREMENTAL, name_index, name, value, out);
        if self.table.insert(&field) {
            self.index.insert(&self.table, hashes);
        }
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

// === functions ===

/// Whether there is an upper-case letter. Looks at every byte, as there is mostly none.
#[inline]
fn has_upper_case(text: &[u8]) -> bool {
    text.iter().fold(false, |any, byte| any | byte.is_ascii_uppercase())
}

/// Appends a literal field, with its name unless an entry has it.
fn literal(
    how: Literal,
    name_index: Option<usize>,
    name: Name<'_>,
    value: &[u8],
    out: &mut Vec<u8>,
) {
    integer::encode(name_index.unwrap_or(0), how.prefix_bits, how.pattern, out);
    if name_index.is_none() {
        string(name.as_bytes(), out);
    }
    string(value, out);
}

/// Appends a string, in Huffman's code where that is shorter (RFC 7541 section 5.2).
fn string(text: &[u8], out: &mut Vec<u8>) {
    let length = huffman::encoded_len(text);
    if length < text.len() {
        integer::encode(length, 7, 0x80, out);
        huffman::encode(text, length, out);
    } else {
        integer::encode(text.len(), 7, 0, out);
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests;
