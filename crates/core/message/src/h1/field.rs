//! Field lines (RFC 9112 section 5).

use crate::bytes::{find, find_control, is_token, trim};
use crate::error::ParseError;
use crate::fields::{Entry, Fields};
use crate::h1::framing::Noted;
use crate::known::{Known, UNKNOWN, id_of};

/// Reads field lines from `start` up to and with the empty line, and copies them to `fields`.
/// Where the head ends; `None` when `buf` does not hold the empty line. After an error `fields` has
/// the lines before the one that is wrong.
///
/// `start` must be the start of a line. With `NOTE`, fields that decide framing are noted;
/// a Host field is then kept out of `fields`.
#[inline]
pub(super) fn parse_fields<'b, const NOTE: bool>(
    buf: &'b [u8],
    start: usize,
    fields_max: usize,
    fields: &mut Fields,
    noted: &mut Noted<'b>,
) -> Result<Option<usize>, ParseError> {
    fields.clear();
    let (at, read) = read_lines::<NOTE>(buf, start, fields_max, fields.entries_mut(), noted);
    // Offsets are 32 bits wide; a head is bounded far below.
    if at - start > u32::MAX as usize {
        fields.clear();
        return Err(ParseError::HeadTooLarge);
    }
    match read {
        Ok(false) => {
            fields.clear();
            Ok(None)
        }
        Ok(true) => {
            fields.load(&buf[start..at]);
            Ok(Some(at + 2))
        }
        Err(error) => {
            fields.load(&buf[start..at]);
            Err(error)
        }
    }
}

/// Reads lines into `entries`. Where it stopped, which is the start of a line; and whether that is
/// the empty one, or has not come to its end.
#[inline]
fn read_lines<'b, const NOTE: bool>(
    buf: &'b [u8],
    start: usize,
    fields_max: usize,
    entries: &mut Vec<Entry>,
    noted: &mut Noted<'b>,
) -> (usize, Result<bool, ParseError>) {
    let mut at = start;
    for count in 0.. {
        let line = match find_line_end(buf, at) {
            Ok(Some(line_end)) => &buf[at..line_end],
            Ok(None) => return (at, Ok(false)),
            Err(error) => return (at, Err(error)),
        };
        if line.is_empty() {
            break;
        }
        if count == fields_max {
            return (at, Err(ParseError::TooManyFields));
        }
        let mut entry = match parse_line(line) {
            Ok(entry) => entry,
            Err(error) => return (at, Err(error)),
        };
        if NOTE && entry.id <= Known::Expect as u8 {
            let value_start = entry.value_start as usize;
            let value = &line[value_start..value_start + entry.value_len as usize];
            if let Err(error) = noted.note(entry.id, value) {
                return (at, Err(error));
            }
        }
        if !NOTE || entry.id != Known::Host as u8 || !noted.takes_host {
            let base = (at - start) as u32;
            entry.start = base;
            entry.value_start += base;
            entries.push(entry);
        }
        at += line.len() + 2;
    }
    (at, Ok(true))
}

/// Reads one line without its end. Offsets count from the start of the line.
#[inline]
fn parse_line(line: &[u8]) -> Result<Entry, ParseError> {
    let Some(name_len) = find(b':', line) else {
        return Err(bad_name(line, ParseError::MissingColon));
    };
    let name = &line[..name_len];
    let id = id_of(name);
    if id == UNKNOWN && (!is_token(name) || name_len > usize::from(u16::MAX)) {
        return Err(bad_name(line, ParseError::FieldName));
    }
    let (value_start, value_end, whole) = match &line[name_len + 1..] {
        [b' ', first, .., last] if !is_blank(*first) && !is_blank(*last) => {
            (name_len + 2, line.len(), true)
        }
        padded => find_value(padded, name_len + 1),
    };
    Ok(Entry {
        start: 0,
        value_start: value_start as u32,
        value_len: (value_end - value_start) as u32,
        name_len: name_len as u16,
        id,
        whole,
    })
}

/// Start and end of the value in what follows the colon, which is at `base` in its line; and
/// whether exactly one space and no other white space is around it.
fn find_value(padded: &[u8], base: usize) -> (usize, usize, bool) {
    let leading = padded.iter().take_while(|&&byte| is_blank(byte)).count();
    let value = trim(padded);
    let end = base + leading + value.len();
    (base + leading, end, padded.first() == Some(&b' ') && value.len() + 1 == padded.len())
}

#[inline(always)]
const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cold]
fn bad_name(line: &[u8], otherwise: ParseError) -> ParseError {
    if matches!(line.first(), Some(b' ' | b'\t')) { ParseError::FoldedLine } else { otherwise }
}

/// Where the line that starts at `from` ends, before its CRLF; `None` when the end has not come.
/// Refuses every control byte but the tab.
#[inline(always)]
pub(super) fn find_line_end(buf: &[u8], from: usize) -> Result<Option<usize>, ParseError> {
    let mut at = from;
    loop {
        let Some(found) = find_control(&buf[at..]) else { return Ok(None) };
        at += found;
        if let Some(b"\r\n") = buf[at..].first_chunk::<2>() {
            return Ok(Some(at));
        }
        match (buf[at], buf.get(at + 1)) {
            (b'\r', None) => return Ok(None),
            (b'\t', _) => at += 1,
            (b'\r', _) => return Err(ParseError::BareCr),
            (b'\n', _) => return Err(ParseError::BareLf),
            _ => return Err(ParseError::ControlByte),
        }
    }
}
