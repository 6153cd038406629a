//! Compression of fields in HTTP/2 (HPACK, RFC 7541), without I/O.
//!
//! A [`Decoder`] takes whole field blocks and hands out each field as borrowed bytes; an
//! [`Encoder`] writes fields to a buffer. Neither allocates for a block once its table and its
//! scratch memory have grown to what the connection needs, and both are empty until then.
//!
//! What is known of a name is kept with the table's entry: a mesh sees the same ten fields in each
//! request, so a name is looked up and a value is checked once for each entry, not once for each
//! request.

mod decoder;
mod encoder;
mod huffman;
mod index;
mod integer;
mod policy;
mod statics;
mod table;

pub use decoder::{Answer, DecodeError, Decoded, Decoder, ListLimits};
pub use encoder::Encoder;
pub use huffman::InvalidHuffman;

use crate::bytes::ByteSet;
use crate::known::{Known, id_of};

/// The size of the dynamic table until an endpoint announces another one (RFC 9113 section 6.5.2:
/// `SETTINGS_HEADER_TABLE_SIZE`).
pub const TABLE_BYTES_DEFAULT: u32 = 4096;

/// What an entry of the table and a field of a list count beside their text, so that many tiny ones
/// count for the memory they take (RFC 7541 section 4.1, RFC 9113 section 6.5.2).
pub(crate) const FIELD_OVERHEAD: usize = 32;

/// `tchar` without upper case (RFC 9113 section 8.2).
const LOWER_TOKEN: ByteSet = ByteSet::of(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

/// A pseudo-field (RFC 9113 section 8.3, RFC 8441 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Pseudo {
    /// `:authority`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:protocol`, of an extended CONNECT.
    Protocol,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
}

/// A field's name. The first two imply their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// A pseudo-field.
    Pseudo(Pseudo),
    /// A well-known name.
    Known(Known),
    /// Any other text; from a decoder as it was received, valid or not. A well-known name in this
    /// form is not recognized as a secret, so names are made with [`Name::new`].
    Other(&'a [u8]),
}

/// A field as it was decoded. It borrows from the block, from the table or from scratch memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// Its value.
    pub value: &'a [u8],
    /// Whether the name is a token in lower case, or a pseudo-field that exists.
    pub is_name_valid: bool,
    /// Whether the value holds no control byte but the tab, and neither begins nor ends with white
    /// space (RFC 9113 section 8.2.1).
    pub is_value_valid: bool,
    /// Whether the sender forbids every table on the way to keep it (RFC 7541 section 6.2.3). It
    /// must be sent on with [`Encoder::encode_never_indexed`].
    pub is_never_indexed: bool,
}

/// A name whose text, where it is not implied, is kept elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pseudo(Pseudo),
    Known(Known),
    Other,
}

// === impl Pseudo ===

impl Pseudo {
    /// Every pseudo-field, in the order of the discriminants.
    pub const ALL: [Self; 6] =
        [Self::Authority, Self::Method, Self::Path, Self::Protocol, Self::Scheme, Self::Status];

    /// The name, with its colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Protocol => ":protocol",
            Self::Scheme => ":scheme",
            Self::Status => ":status",
        }
    }
}

// === impl Name ===

impl<'a> Name<'a> {
    /// Looks a name up. Upper case is not folded, as a name of HTTP/2 has none.
    pub fn new(name: &'a [u8]) -> Self {
        match Kind::of(name) {
            Kind::Pseudo(pseudo) => Self::Pseudo(pseudo),
            Kind::Known(known) => Self::Known(known),
            Kind::Other => Self::Other(name),
        }
    }

    /// A name in any case whose id ([`crate::known`]) is already known.
    #[inline]
    pub(crate) fn with_id(id: u8, name: &'a [u8]) -> Self {
        Known::from_id(id).map_or(Self::Other(name), Self::Known)
    }

    /// The text; in lower case unless it is [`Name::Other`].
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        match *self {
            Self::Pseudo(pseudo) => pseudo.as_str().as_bytes(),
            Self::Known(known) => known.as_str().as_bytes(),
            Self::Other(name) => name,
        }
    }

    #[inline]
    const fn kind(self) -> Kind {
        match self {
            Self::Pseudo(pseudo) => Kind::Pseudo(pseudo),
            Self::Known(known) => Kind::Known(known),
            Self::Other(_) => Kind::Other,
        }
    }
}

// === impl Field ===

impl Field<'_> {
    /// What the field counts in the size of a list (RFC 9113 section 6.5.2).
    #[inline]
    pub fn list_bytes(&self) -> usize {
        self.name.as_bytes().len() + self.value.len() + FIELD_OVERHEAD
    }
}

// === impl Kind ===

impl Kind {
    fn of(name: &[u8]) -> Self {
        if name.first() == Some(&b':') {
            let mut all = Pseudo::ALL.into_iter();
            let found = all.find(|pseudo| pseudo.as_str().as_bytes() == name);
            return found.map_or(Self::Other, Self::Pseudo);
        }
        match Known::from_id(id_of(name)) {
            Some(known) if known.as_str().as_bytes() == name => Self::Known(known),
            _ => Self::Other,
        }
    }

    /// The name, given the text that is kept elsewhere.
    #[inline]
    fn with_text(self, text: &[u8]) -> Name<'_> {
        match self {
            Self::Pseudo(pseudo) => Name::Pseudo(pseudo),
            Self::Known(known) => Name::Known(known),
            Self::Other => Name::Other(text),
        }
    }

    /// A number of one byte; [`Kind::Other`] has the highest.
    #[inline]
    const fn code(self) -> u8 {
        match self {
            Self::Known(known) => known as u8,
            Self::Pseudo(pseudo) => 0xf0 | pseudo as u8,
            Self::Other => u8::MAX,
        }
    }
}

/// Ids of well-known names and codes of pseudo-fields do not meet.
const _: () = assert!(Known::ALL.len() < 0xf0);

// === functions ===

/// Whether a name that is not known is a token in lower case.
fn is_lower_token(name: &[u8]) -> bool {
    !name.is_empty() && LOWER_TOKEN.has_all(name)
}

/// Whether a value may stand in a field of HTTP/2 (RFC 9113 section 8.2.1).
fn is_valid_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_space(value.first()) && !is_space(value.last()) && crate::bytes::is_field_value(value)
}

/// Whether two texts are equal. They are mostly short, and then compared by the word.
#[inline(always)]
fn eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // First and last word overlap when there are fewer than sixteen bytes.
    if let (Some(first), Some(last)) = (a.first_chunk::<8>(), a.last_chunk::<8>()) {
        return b.first_chunk() == Some(first)
            && b.last_chunk() == Some(last)
            && (a.len() <= 16 || a == b);
    }
    if let (Some(first), Some(last)) = (a.first_chunk::<4>(), a.last_chunk::<4>()) {
        return b.first_chunk() == Some(first) && b.last_chunk() == Some(last);
    }
    a.iter().zip(b).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests;
