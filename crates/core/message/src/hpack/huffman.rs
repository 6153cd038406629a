//! The Huffman code of strings (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: the lengths alone give every code, and what longer codes stand for is
//! found by comparing with the first code of each length.

use thiserror::Error;

/// Why a string is not Huffman-coded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidHuffman {
    /// The last bits are no beginning of the end-of-string symbol, or there are eight or more.
    #[error("the padding of a huffman-coded string is wrong")]
    Padding,
    /// The end-of-string symbol stands in the text.
    #[error("a huffman-coded string holds the end-of-string symbol")]
    EndOfString,
}

/// The length in bits of the code of each byte.
static LENGTHS: [u8; 256] = LENGTH_OF;

#[rustfmt::skip]
const LENGTH_OF: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The lengths of the shortest and of the longest codes.
const LENGTH_MIN: usize = 5;
const LENGTH_MAX: usize = 30;

/// Thirty ones: the code of the end-of-string symbol, which is the last of all.
const END_OF_STRING: u64 = (1 << LENGTH_MAX) - 1;

/// Bits that find a symbol in one step. The codes of letters, digits and what is usual between
/// them are no longer, and the table takes only half a KiB of the processor's nearest cache.
const FAST_BITS: u32 = 8;

/// Symbols that are found without filling the window again; it has 56 bits or more.
const FAST_SYMBOLS: u32 = 56 / FAST_BITS;

/// Symbols are written by the word, so up to eight bytes more than there are.
const WORD_BYTES: usize = size_of::<u64>();

/// The code of each byte, in its low bits.
static CODES: [u32; 256] = CANONICAL.codes;

/// By the next bits: a symbol in the low byte and its length above; zero where the code is longer.
static FAST: [u16; 1 << FAST_BITS] = fast_table();

/// Bytes in the order of their codes.
static SORTED: [u8; 256] = CANONICAL.sorted;

/// The codes that are longer than [`FAST_BITS`], by length.
static LONG: [Length; LENGTH_MAX + 1] = CANONICAL.lengths;

const CANONICAL: Canonical = Canonical::new();

struct Canonical {
    codes: [u32; 256],
    sorted: [u8; 256],
    lengths: [Length; LENGTH_MAX + 1],
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// The first code.
    first: u32,
    /// The place of the first code in [`SORTED`].
    rank: u32,
    /// The code after the last one; behind it stand longer codes.
    end: u32,
}

// === impl Canonical ===

impl Canonical {
    const fn new() -> Self {
        let none = Length { first: 0, rank: 0, end: 0 };
        let mut all = Self { codes: [0; 256], sorted: [0; 256], lengths: [none; LENGTH_MAX + 1] };
        let (mut code, mut rank, mut length) = (0, 0, LENGTH_MIN);
        while length <= LENGTH_MAX {
            all.lengths[length].first = code;
            all.lengths[length].rank = rank;
            let mut byte = 0;
            while byte < 256 {
                if LENGTH_OF[byte] as usize == length {
                    all.codes[byte] = code;
                    all.sorted[rank as usize] = byte as u8;
                    code += 1;
                    rank += 1;
                }
                byte += 1;
            }
            all.lengths[length].end = code;
            code <<= 1;
            length += 1;
        }
        // All codes are given away but the last, which ends a string.
        assert!(rank == 256 && all.lengths[LENGTH_MAX].end as u64 == END_OF_STRING);
        all
    }
}

// === functions ===

/// How many bytes the code of `text` takes.
#[inline]
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum();
    bits.div_ceil(8)
}

/// Appends the code of `text`, which takes `length` bytes ([`encoded_len`]).
pub(super) fn encode(text: &[u8], length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + length, 0);
    let mut room = &mut out[start..];
    let (mut window, mut bits) = (0u64, 0u32);
    for &byte in text {
        let code_bits = u32::from(LENGTHS[usize::from(byte)]);
        window = window << code_bits | u64::from(CODES[usize::from(byte)]);
        bits += code_bits;
        if bits >= 32 {
            bits -= 32;
            let Some((word, rest)) = room.split_first_chunk_mut() else { return };
            *word = ((window >> bits) as u32).to_be_bytes();
            room = rest;
        }
    }
    // At most 31 bits are left; ones fill the last byte.
    let left = ((window << (32 - bits)) as u32) | u32::MAX >> bits;
    room.iter_mut().zip(left.to_be_bytes()).for_each(|(byte, last)| *byte = last);
}

/// Appends the text of a code; what is appended after an error means nothing.
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidHuffman> {
    let start = out.len();
    // One more than there can be, as a code may seem to reach into the padding.
    out.resize(start + code.len() * 8 / LENGTH_MIN + 1 + WORD_BYTES, 0);
    let length = decode_into(code, &mut out[start..])?;
    out.truncate(start + length);
    Ok(())
}

/// Writes the text to `out`, which must have the room; how long it is.
fn decode_into(code: &[u8], out: &mut [u8]) -> Result<usize, InvalidHuffman> {
    // The next bits, from the top; `bits` of them are of the bytes before `at`.
    let (mut window, mut bits) = (0u64, 0u32);
    let (mut at, mut length) = (0, 0);
    loop {
        window |= word_at(code, at) >> bits;
        at += ((63 - bits) / 8) as usize;
        bits |= 56;
        let (mut symbols, mut found) = (0u64, 0);
        while found < FAST_SYMBOLS {
            let entry = FAST[(window >> (64 - FAST_BITS)) as usize];
            if entry == 0 {
                break;
            }
            let code_bits = u32::from(entry >> 8);
            symbols |= u64::from(entry as u8) << (8 * found);
            window <<= code_bits;
            bits -= code_bits;
            found += 1;
        }
        // A long code is looked at when the window is full.
        if found == 0 {
            if window >> (64 - LENGTH_MAX) == END_OF_STRING {
                return end(code.len(), at, bits).map(|()| length);
            }
            let (byte, code_bits) = long_symbol(window);
            (symbols, found) = (u64::from(byte), 1);
            window <<= code_bits;
            bits -= code_bits;
        }
        out[length..length + WORD_BYTES].copy_from_slice(&symbols.to_le_bytes());
        length += found as usize;
    }
}

/// Eight bytes of `code`, which ones follow without end. So the text ends where the
/// end-of-string symbol seems to come.
#[inline]
fn word_at(code: &[u8], at: usize) -> u64 {
    let rest = code.get(at..).unwrap_or_default();
    if let Some(word) = rest.first_chunk() {
        return u64::from_be_bytes(*word);
    }
    rest.iter().rev().fold(u64::MAX, |word, &byte| word >> 8 | u64::from(byte) << 56)
}

/// Whether a text may end when all ones follow, and `bits` before the byte at `at` are not used.
fn end(code_bytes: usize, at: usize, bits: u32) -> Result<(), InvalidHuffman> {
    let (used, all) = (at * 8 - bits as usize, code_bytes * 8);
    match all.checked_sub(used) {
        Some(0..8) => Ok(()),
        Some(LENGTH_MAX..) => Err(InvalidHuffman::EndOfString),
        // Eight ones or more, or a code that the padding completed.
        _ => Err(InvalidHuffman::Padding),
    }
}

/// The byte whose long code stands at the top of `window`, and the length of the code.
#[cold]
fn long_symbol(window: u64) -> (u8, u32) {
    let mut length = FAST_BITS + 1;
    while (window >> (64 - length)) as u32 >= LONG[length as usize].end {
        length += 1;
    }
    let codes = LONG[length as usize];
    let rank = codes.rank + (window >> (64 - length)) as u32 - codes.first;
    (SORTED[rank as usize], length)
}

const fn fast_table() -> [u16; 1 << FAST_BITS] {
    let mut table = [0; 1 << FAST_BITS];
    let mut byte = 0;
    while byte < 256 {
        let length = LENGTH_OF[byte] as u32;
        if length <= FAST_BITS {
            let free = FAST_BITS - length;
            let mut at = CANONICAL.codes[byte] << free;
            let end = (CANONICAL.codes[byte] + 1) << free;
            while at < end {
                table[at as usize] = (length as u16) << 8 | byte as u16;
                at += 1;
            }
        }
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests;
