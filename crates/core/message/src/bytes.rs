//! Classes of bytes, as tables, and small scanners over them.

/// A set of bytes.
pub(crate) struct ByteSet([bool; 256]);

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) const TOKEN: ByteSet = ByteSet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// One in every byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Every letter lower-cased, every other non-alphanumeric byte as `-`.
const FOLD: [u8; 256] = fold_table();

// === impl ByteSet ===

impl ByteSet {
    /// ASCII letters and digits, and the bytes of `more`.
    pub(crate) const fn alphanumeric_and(more: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        Self(table).and(more)
    }

    /// The bytes of `bytes`.
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self([false; 256]).and(bytes)
    }

    const fn and(mut self, more: &[u8]) -> Self {
        let mut at = 0;
        while at < more.len() {
            self.0[more[at] as usize] = true;
            at += 1;
        }
        self
    }

    /// Whether `byte` is in the set.
    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }

    /// Whether every byte of `bytes` is in the set.
    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().fold(true, |all, &byte| all & self.has(byte))
    }
}

// === functions ===

/// Whether `bytes` is a token: one or more `tchar`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && TOKEN.has_all(bytes)
}

/// Whether `bytes` may stand in a field value (RFC 9110 section 5.5): no control bytes but tab.
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |all, &byte| all & !is_control(byte))
}

/// Control bytes other than the horizontal tab.
pub(crate) const fn is_control(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f)
}

/// `bytes` without spaces and tabs at both ends.
#[inline]
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The non-empty elements of a comma-separated list, trimmed (RFC 9110 section 5.6.1).
pub(crate) fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether `bytes` equals `lower` when the case of letters is ignored. `lower` must hold lower-case
/// letters, digits and hyphens only. Compares eight bytes at a time: names are looked up often.
#[inline(always)]
pub(crate) fn eq_lower_case(bytes: &[u8], lower: &[u8]) -> bool {
    if bytes.len() != lower.len() {
        return false;
    }
    // First and last word overlap when there are fewer than sixteen bytes.
    if let (Some(&first), Some(&lower_first), Some(&last), Some(&lower_last)) = (
        bytes.first_chunk::<8>(),
        lower.first_chunk::<8>(),
        bytes.last_chunk::<8>(),
        lower.last_chunk::<8>(),
    ) {
        return eq_word(u64::from_le_bytes(first), u64::from_le_bytes(lower_first))
            && eq_word(u64::from_le_bytes(last), u64::from_le_bytes(lower_last))
            && (bytes.len() <= 16 || bytes.eq_ignore_ascii_case(lower));
    }
    if let (Some(&first), Some(&lower_first), Some(&last), Some(&lower_last)) = (
        bytes.first_chunk::<4>(),
        lower.first_chunk::<4>(),
        bytes.last_chunk::<4>(),
        lower.last_chunk::<4>(),
    ) {
        let both = |first, last| {
            u64::from(u32::from_le_bytes(first)) << 32 | u64::from(u32::from_le_bytes(last))
        };
        return eq_word(both(first, last), both(lower_first, lower_last));
    }
    bytes.eq_ignore_ascii_case(lower)
}

/// Eight bytes of [`eq_lower_case`]: they may differ in bit 5 where `lower` has a letter, which
/// bit 6 tells from a digit or a hyphen.
#[inline]
const fn eq_word(word: u64, lower: u64) -> bool {
    const BIT_6: u64 = 0x4040_4040_4040_4040;
    (word ^ lower) & !((lower & BIT_6) >> 1) == 0
}

/// Where `byte` first is in `bytes`. For short distances, where `memchr` takes longer to begin
/// than to search.
#[inline(always)]
pub(crate) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let pattern = u64::from(byte) * ONES;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let zeros = zero_bytes(u64::from_le_bytes(*word) ^ pattern);
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    tail.iter().position(|&other| other == byte).map(|found| at + found)
}

/// Where the first control byte is in `bytes`, the tab among them.
///
/// This is the one pass that sees every byte of a head: it ends each line and refuses what no
/// line may hold.
#[inline(always)]
pub(crate) fn find_control(bytes: &[u8]) -> Option<usize> {
    let (blocks, tail) = bytes.as_chunks::<16>();
    let mut at = 0;
    for block in blocks {
        // The compiler makes one vector comparison of this.
        let mut found = false;
        for &byte in block {
            found |= (byte < 0x20) | (byte == 0x7f);
        }
        if found {
            return Some(at + first_control(u128::from_le_bytes(*block)));
        }
        at += 16;
    }
    tail.iter().position(|&byte| (byte < 0x20) | (byte == 0x7f)).map(|found| at + found)
}

/// The index of the first control byte in `block`, which has one.
#[inline(always)]
const fn first_control(block: u128) -> usize {
    let low = control_bytes(block as u64);
    if low != 0 {
        return (low.trailing_zeros() / 8) as usize;
    }
    (control_bytes((block >> 64) as u64).trailing_zeros() / 8) as usize + 8
}

/// Bit 7 of each control byte, right up to the first one.
#[inline(always)]
const fn control_bytes(word: u64) -> u64 {
    zero_bytes(word & (0xe0 * ONES)) | zero_bytes(word ^ (0x7f * ONES))
}

/// Bit 7 of each byte of `word` that is zero, right up to the first one; bytes above that may be
/// marked wrongly.
#[inline]
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (0x80 * ONES)
}

/// Whether two names are equal when case and every non-alphanumeric byte are folded.
pub(crate) fn folded_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(&a, &b)| FOLD[usize::from(a)] == FOLD[usize::from(b)])
}

/// Appends `number` in decimal digits, without allocation.
#[inline]
pub(crate) fn push_decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn fold_table() -> [u8; 256] {
    let mut table = [b'-'; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
}
