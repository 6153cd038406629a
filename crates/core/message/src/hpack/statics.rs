//! The static table (RFC 7541 appendix A).

use crate::known::Known;

use super::{Kind, Pseudo, eq};

/// Names and values. Indices begin with one; entries with the same name follow each other.
static TABLE: [(Kind, &[u8]); LEN] = ENTRIES;

/// How many entries there are.
pub(super) const LEN: usize = 61;

/// The index of the first entry with a name, by [`Kind::code`]; zero where there is none.
static FIRST: [u8; 256] = first_table();

const ENTRIES: [(Kind, &[u8]); LEN] = [
    (Kind::Pseudo(Pseudo::Authority), b""),
    (Kind::Pseudo(Pseudo::Method), b"GET"),
    (Kind::Pseudo(Pseudo::Method), b"POST"),
    (Kind::Pseudo(Pseudo::Path), b"/"),
    (Kind::Pseudo(Pseudo::Path), b"/index.html"),
    (Kind::Pseudo(Pseudo::Scheme), b"http"),
    (Kind::Pseudo(Pseudo::Scheme), b"https"),
    (Kind::Pseudo(Pseudo::Status), b"200"),
    (Kind::Pseudo(Pseudo::Status), b"204"),
    (Kind::Pseudo(Pseudo::Status), b"206"),
    (Kind::Pseudo(Pseudo::Status), b"304"),
    (Kind::Pseudo(Pseudo::Status), b"400"),
    (Kind::Pseudo(Pseudo::Status), b"404"),
    (Kind::Pseudo(Pseudo::Status), b"500"),
    (Kind::Known(Known::AcceptCharset), b""),
    (Kind::Known(Known::AcceptEncoding), b"gzip, deflate"),
    (Kind::Known(Known::AcceptLanguage), b""),
    (Kind::Known(Known::AcceptRanges), b""),
    (Kind::Known(Known::Accept), b""),
    (Kind::Known(Known::AccessControlAllowOrigin), b""),
    (Kind::Known(Known::Age), b""),
    (Kind::Known(Known::Allow), b""),
    (Kind::Known(Known::Authorization), b""),
    (Kind::Known(Known::CacheControl), b""),
    (Kind::Known(Known::ContentDisposition), b""),
    (Kind::Known(Known::ContentEncoding), b""),
    (Kind::Known(Known::ContentLanguage), b""),
    (Kind::Known(Known::ContentLength), b""),
    (Kind::Known(Known::ContentLocation), b""),
    (Kind::Known(Known::ContentRange), b""),
    (Kind::Known(Known::ContentType), b""),
    (Kind::Known(Known::Cookie), b""),
    (Kind::Known(Known::Date), b""),
    (Kind::Known(Known::Etag), b""),
    (Kind::Known(Known::Expect), b""),
    (Kind::Known(Known::Expires), b""),
    (Kind::Known(Known::From), b""),
    (Kind::Known(Known::Host), b""),
    (Kind::Known(Known::IfMatch), b""),
    (Kind::Known(Known::IfModifiedSince), b""),
    (Kind::Known(Known::IfNoneMatch), b""),
    (Kind::Known(Known::IfRange), b""),
    (Kind::Known(Known::IfUnmodifiedSince), b""),
    (Kind::Known(Known::LastModified), b""),
    (Kind::Known(Known::Link), b""),
    (Kind::Known(Known::Location), b""),
    (Kind::Known(Known::MaxForwards), b""),
    (Kind::Known(Known::ProxyAuthenticate), b""),
    (Kind::Known(Known::ProxyAuthorization), b""),
    (Kind::Known(Known::Range), b""),
    (Kind::Known(Known::Referer), b""),
    (Kind::Known(Known::Refresh), b""),
    (Kind::Known(Known::RetryAfter), b""),
    (Kind::Known(Known::Server), b""),
    (Kind::Known(Known::SetCookie), b""),
    (Kind::Known(Known::StrictTransportSecurity), b""),
    (Kind::Known(Known::TransferEncoding), b""),
    (Kind::Known(Known::UserAgent), b""),
    (Kind::Known(Known::Vary), b""),
    (Kind::Known(Known::Via), b""),
    (Kind::Known(Known::WwwAuthenticate), b""),
];

// === functions ===

/// The entry at `index`, from one.
#[inline]
pub(super) fn entry(index: usize) -> Option<(Kind, &'static [u8])> {
    TABLE.get(index.wrapping_sub(1)).copied()
}

/// The index of the first entry with this name.
#[inline]
pub(super) fn find_name(kind: Kind) -> Option<usize> {
    match FIRST[usize::from(kind.code())] {
        0 => None,
        index => Some(usize::from(index)),
    }
}

/// The index of the entry with this name and value.
#[inline]
pub(super) fn find(kind: Kind, value: &[u8]) -> Option<usize> {
    // Few names have values, and most of those begin with a colon.
    let has_values = matches!(kind, Kind::Pseudo(_) | Kind::Known(Known::AcceptEncoding));
    if !has_values && !value.is_empty() {
        return None;
    }
    let first = find_name(kind)?;
    for (index, (other, text)) in (first..).zip(&TABLE[first - 1..]) {
        if *other != kind {
            return None;
        }
        if eq(text, value) {
            return Some(index);
        }
    }
    None
}

const fn first_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = LEN;
    // From the last to the first, so that the first of a name stays.
    while at > 0 {
        table[ENTRIES[at - 1].0.code() as usize] = at as u8;
        at -= 1;
    }
    table
}

#[cfg(test)]
mod tests;
