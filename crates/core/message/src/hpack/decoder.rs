//! Field blocks to fields (RFC 7541 sections 3, 4.2 and 6).

use thiserror::Error;

use super::huffman::{self, InvalidHuffman};
use super::table::{TABLE_BYTES_CAP, Table};
use super::{
    Field, Kind, Name, TABLE_BYTES_DEFAULT, integer, is_lower_token, is_valid_value, statics,
};

/// Updates of the table's size that a block may begin with. An encoder needs no more: the smallest
/// size since the last block, and the last one (RFC 7541 section 4.2).
const SIZE_UPDATES_MAX: u32 = 2;

/// Scratch memory that is kept for the next block; what a rare large string needs is not.
const SCRATCH_BYTES_MAX: usize = 4096;

/// The decoder of one direction of a connection.
///
/// After an error the table no longer agrees with the encoder's, and the connection must end
/// (RFC 9113 section 4.3).
pub struct Decoder {
    table: Table,
    /// The largest size that an update may set.
    table_bytes_max: u32,
    /// Whether the next block must begin with an update of the size.
    must_update: bool,
    scratch: Vec<u8>,
}

/// What is to happen with the fields that follow in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// They are emitted.
    Continue,
    /// They are not; the rest of the block is decoded for the table only.
    Skip,
}

/// How large the list of a block's fields may be, each with 32 bytes for itself (RFC 9113
/// section 6.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimits {
    /// Fields beyond it are counted, not emitted. It refuses the message only.
    pub list_bytes_max: usize,
    /// A list beyond it is an error. It ends the connection, so it guards against blocks that grow
    /// a thousandfold when decoded.
    pub list_bytes_fatal: usize,
}

/// What a block came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// How many fields it had, emitted or not.
    pub fields: usize,
    /// The size of their list.
    pub list_bytes: usize,
    /// By how much that exceeds [`ListLimits::list_bytes_max`]; zero when it does not.
    pub excess_bytes: usize,
}

/// Why a block could not be decoded. It ends the connection: a compression error, but for
/// [`DecodeError::ListTooLarge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The block ends within a field.
    #[error("a field block is cut short")]
    Truncated,
    /// A number needs more than 32 bits or six bytes.
    #[error("a number in a field block is too large")]
    IntegerOverflow,
    /// There is no entry with this index.
    #[error("a field block refers to an entry that does not exist")]
    InvalidIndex,
    /// A string's code is wrong.
    #[error("a field block holds a malformed string")]
    Huffman(#[from] InvalidHuffman),
    /// The table was made larger than this endpoint allows.
    #[error("a field block makes the table larger than was allowed")]
    SizeUpdateTooLarge,
    /// The table's size changes after the first field, or more than twice.
    #[error("a field block changes the size of the table where it must not")]
    MisplacedSizeUpdate,
    /// The table's size had to change, and did not.
    #[error("a field block does not begin with the change of the table's size that is due")]
    MissingSizeUpdate,
    /// The list is larger than [`ListLimits::list_bytes_fatal`].
    #[error("the fields of a block are much too large")]
    ListTooLarge,
}

/// Where a string of a literal is, until what it borrows from is no longer changed.
enum Text<'a> {
    /// In the block.
    Block(&'a [u8]),
    /// In scratch memory.
    Scratch { start: usize, end: usize },
}

/// What becomes of a literal field (RFC 7541 section 6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Indexing {
    Incremental,
    Without,
    Never,
}

/// What has been handed out of a block.
struct Output<E> {
    emit: E,
    limits: ListLimits,
    answer: Answer,
    fields: usize,
    list_bytes: usize,
}

// === impl Decoder ===

impl Decoder {
    /// A decoder whose table may take `table_bytes_max` bytes: what this endpoint announces as
    /// `SETTINGS_HEADER_TABLE_SIZE` (4,096 when it announces nothing), 65,535 at most.
    ///
    /// Less than 4,096 binds once the peer has acknowledged it, with
    /// [`Decoder::set_table_bytes_max`].
    pub fn new(table_bytes_max: u32) -> Self {
        Self {
            table: Table::new(),
            table_bytes_max: table_bytes_max.clamp(TABLE_BYTES_DEFAULT, TABLE_BYTES_CAP),
            must_update: false,
            scratch: Vec::new(),
        }
    }

    /// Notes that the peer has acknowledged another `SETTINGS_HEADER_TABLE_SIZE`. If its table is
    /// larger, the next block has to begin with an update (RFC 9113 section 4.3.1).
    pub fn set_table_bytes_max(&mut self, table_bytes_max: u32) {
        self.table_bytes_max = table_bytes_max.min(TABLE_BYTES_CAP);
        self.must_update = self.table.bytes_max() > self.table_bytes_max;
    }

    /// Decodes a whole block: the fragments of a HEADERS or PUSH_PROMISE frame and of its
    /// CONTINUATION frames, joined. `emit` gets the fields in order.
    ///
    /// # Errors
    ///
    /// When the block is malformed or its list larger than [`ListLimits::list_bytes_fatal`].
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: ListLimits,
        emit: impl FnMut(Field<'_>) -> Answer,
    ) -> Result<Decoded, DecodeError> {
        let mut output =
            Output { emit, limits, answer: Answer::Continue, fields: 0, list_bytes: 0 };
        let mut rest = self.update_size(block)?;
        while let Some(&first) = rest.first() {
            match first {
                0x80.. => {
                    let index = integer::decode(&mut rest, 7)? as usize;
                    output.put(&lookup(&self.table, index)?)?;
                }
                0x40.. => self.literal(&mut rest, Indexing::Incremental, &mut output)?,
                0x20.. => return Err(DecodeError::MisplacedSizeUpdate),
                0x10.. => self.literal(&mut rest, Indexing::Never, &mut output)?,
                _ => self.literal(&mut rest, Indexing::Without, &mut output)?,
            }
        }
        if self.scratch.capacity() > SCRATCH_BYTES_MAX {
            self.shrink();
        }
        Ok(Decoded {
            fields: output.fields,
            list_bytes: output.list_bytes,
            excess_bytes: output.list_bytes.saturating_sub(limits.list_bytes_max),
        })
    }

    /// Gives scratch memory back, for a connection that rests.
    pub fn shrink(&mut self) {
        self.scratch = Vec::new();
    }

    /// Takes the updates of the table's size from the front of `block`.
    fn update_size<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        let mut rest = block;
        let mut updates = 0;
        while let Some(0x20..0x40) = rest.first() {
            let bytes_max = integer::decode(&mut rest, 5)?;
            if bytes_max > self.table_bytes_max {
                return Err(DecodeError::SizeUpdateTooLarge);
            }
            updates += 1;
            if updates > SIZE_UPDATES_MAX {
                return Err(DecodeError::MisplacedSizeUpdate);
            }
            self.table.set_bytes_max(bytes_max);
            self.must_update = false;
        }
        if self.must_update { Err(DecodeError::MissingSizeUpdate) } else { Ok(rest) }
    }

    fn literal<E: FnMut(Field<'_>) -> Answer>(
        &mut self,
        rest: &mut &[u8],
        indexing: Indexing,
        output: &mut Output<E>,
    ) -> Result<(), DecodeError> {
        let prefix_bits = if indexing == Indexing::Incremental { 6 } else { 4 };
        let index = integer::decode(rest, prefix_bits)? as usize;
        self.scratch.clear();
        let (kind, is_name_valid, name) = self.literal_name(index, rest)?;
        let value = take_string(rest, &mut self.scratch)?;
        let value = value.bytes(&self.scratch);
        let field = Field {
            name: kind.with_text(name.bytes(&self.scratch)),
            value,
            is_name_valid,
            is_value_valid: is_valid_value(value),
            is_never_indexed: indexing == Indexing::Never,
        };
        output.put(&field)?;
        if indexing == Indexing::Incremental {
            self.table.insert(&field);
        }
        Ok(())
    }

    /// The name of a literal field: that of the entry at `index`, or a string when that is zero.
    /// It is copied from the table, where the entry may be evicted for the field itself.
    fn literal_name<'a>(
        &mut self,
        index: usize,
        rest: &mut &'a [u8],
    ) -> Result<(Kind, bool, Text<'a>), DecodeError> {
        if index == 0 {
            let text = take_string(rest, &mut self.scratch)?;
            let name = text.bytes(&self.scratch);
            let kind = Kind::of(name);
            return Ok((kind, kind != Kind::Other || is_lower_token(name), text));
        }
        let Field { name, is_name_valid, .. } = lookup(&self.table, index)?;
        if let Name::Other(name) = name {
            self.scratch.extend_from_slice(name);
        }
        Ok((name.kind(), is_name_valid, Text::Scratch { start: 0, end: self.scratch.len() }))
    }
}

// === impl Text ===

impl<'a> Text<'a> {
    #[inline]
    fn bytes<'b>(&self, scratch: &'b [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Block(bytes) => bytes,
            Self::Scratch { start, end } => &scratch[start..end],
        }
    }
}

// === impl Output ===

impl<E: FnMut(Field<'_>) -> Answer> Output<E> {
    /// Counts a field, and emits it unless that is no longer wanted.
    #[inline]
    fn put(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        self.fields += 1;
        self.list_bytes += field.list_bytes();
        if self.list_bytes > self.limits.list_bytes_max {
            self.answer = Answer::Skip;
            if self.list_bytes > self.limits.list_bytes_fatal {
                return Err(DecodeError::ListTooLarge);
            }
        }
        if self.answer == Answer::Continue {
            self.answer = (self.emit)(*field);
        }
        Ok(())
    }
}

// === functions ===

/// The field at `index` of both tables, the static one first (RFC 7541 section 2.3.3).
#[inline]
fn lookup(table: &Table, index: usize) -> Result<Field<'_>, DecodeError> {
    if let Some((kind, value)) = statics::entry(index) {
        return Ok(Field {
            name: kind.with_text(&[]),
            value,
            is_name_valid: true,
            is_value_valid: true,
            is_never_indexed: false,
        });
    }
    let index = index.checked_sub(statics::LEN + 1).ok_or(DecodeError::InvalidIndex)?;
    table.field(index).ok_or(DecodeError::InvalidIndex)
}

/// Takes a string from the front of `rest` (RFC 7541 section 5.2).
fn take_string<'a>(rest: &mut &'a [u8], scratch: &mut Vec<u8>) -> Result<Text<'a>, DecodeError> {
    let is_huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::decode(rest, 7)? as usize;
    let (bytes, after) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
    *rest = after;
    if !is_huffman {
        return Ok(Text::Block(bytes));
    }
    let start = scratch.len();
    huffman::decode(bytes, scratch)?;
    Ok(Text::Scratch { start, end: scratch.len() })
}

#[cfg(test)]
mod tests;
