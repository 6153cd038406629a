//! As much of Protocol Buffers as reports of load and health need.
//!
//! ```
//! use weft_resilience::protobuf::{Reader, Value};
//!
//! let mut reader = Reader::new(&[0x08, 0x01]); // field 1 is 1
//! assert_eq!(reader.next(), Some(Some((1, Value::Varint(1)))));
//! assert_eq!(reader.next(), Some(None));
//! ```

/// The fields of a message, one after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// A field's value, in the form that it has on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Varint(u64),
    /// Eight bytes: a number, or a double's bits.
    Fixed64(u64),
    /// Four bytes, or many.
    Other,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// At the first field of a message.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value, or nothing at the end. `None` when the message is
    /// malformed.
    #[expect(clippy::should_implement_trait, reason = "an iterator has no room for the malformed")]
    pub fn next(&mut self) -> Option<Option<(u64, Value)>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.take(length)?;
                Value::Other
            }
            5 => {
                self.take(4)?;
                Value::Other
            }
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}
