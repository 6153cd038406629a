//! The little of DER (X.690) that certificates and their requests are made of.

#[cfg(test)]
mod tests;

/// BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// UTF8String.
pub(crate) const UTF8_STRING: u8 = 0x0c;
/// UTCTime.
pub(crate) const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// SET.
pub(crate) const SET: u8 = 0x31;

/// A context-specific tag of something primitive.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// A context-specific tag of something that has parts.
pub(crate) const fn context_parts(number: u8) -> u8 {
    0xa0 | number
}

/// Bytes that are not DER, or not what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Its tag.
    pub(crate) tag: u8,
    /// With tag and length.
    pub(crate) whole: &'a [u8],
    /// Without them.
    pub(crate) content: &'a [u8],
}

/// Takes values from the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// A value whose content is these pieces.
pub(crate) fn element(tag: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match length {
        0..=0x7f => out.push(length as u8),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            out.push(0x80 | (bytes.len() - zeros) as u8);
            out.extend_from_slice(&bytes[zeros..]);
        }
    }
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out
}

/// A SEQUENCE of these values.
pub(crate) fn sequence(pieces: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, pieces)
}

/// A BIT STRING of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes])
}

/// The one value that these bytes are, without anything after it.
pub(crate) fn only(bytes: &[u8], tag: u8) -> Result<Element<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let element = reader.expect(tag)?;
    reader.end()?;
    Ok(element)
}

// === impl Element ===

impl<'a> Element<'a> {
    /// The values inside.
    pub(crate) fn parts(&self) -> Reader<'a> {
        Reader(self.content)
    }

    /// The bytes of a BIT STRING, which must be whole.
    pub(crate) fn whole_bytes(&self) -> Result<&'a [u8], Malformed> {
        match self.content {
            [0, bytes @ ..] if self.tag == BIT_STRING => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next value, of whatever kind.
    pub(crate) fn next(&mut self) -> Result<Element<'a>, Malformed> {
        let [tag, first, rest @ ..] = self.0 else { return Err(Malformed) };
        // Tag numbers from 31 on take more bytes; nothing here has one.
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (length, rest) = length(*first, rest)?;
        let (content, after) = rest.split_at_checked(length).ok_or(Malformed)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Ok(Element { tag: *tag, whole, content })
    }

    /// The next value, which must be of this kind.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        let element = self.next()?;
        if element.tag == tag { Ok(element) } else { Err(Malformed) }
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// A length in its shortest form (X.690, 10.1), at most three bytes of it: 16 MiB.
fn length(first: u8, rest: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let count = match first {
        0..=0x7f => return Ok((usize::from(first), rest)),
        0x81..=0x83 => usize::from(first & 0x7f),
        _ => return Err(Malformed),
    };
    let (bytes, rest) = rest.split_at_checked(count).ok_or(Malformed)?;
    let length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
    let is_shortest = bytes[0] != 0 && length >= 0x80;
    if is_shortest { Ok((length, rest)) } else { Err(Malformed) }
}
