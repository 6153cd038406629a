//! Which coding a response gets, if any, and what changes in its head (RFC 9110 section 8.4).
//!
//! The compressing itself is the request path's: it owns the body.

#[cfg(test)]
mod tests;

use weft_message::{Fields, InvalidFieldValue, Known, ResponseHead};
use weft_model::policy::{Coding, Compress};
use weft_resilience::grpc;

use crate::cors::varies;
use crate::media;

/// The coding for a request with this `Accept-Encoding` (RFC 9110 section 12.5.3).
///
/// The client's weights decide, then the order of the settings. `None` leaves the response as it
/// is: without the field there is no coding but the default one of the settings, and an empty field
/// or `identity` above all else asks for none.
pub fn negotiate(accept_encoding: Option<&[u8]>, settings: &Compress) -> Option<Coding> {
    negotiate_lines(accept_encoding.into_iter(), settings)
}

/// The same for all lines of `Accept-Encoding` in a request.
pub fn negotiate_fields(fields: &Fields, settings: &Compress) -> Option<Coding> {
    negotiate_lines(fields.get_all(Known::AcceptEncoding), settings)
}

/// Whether a response with this head may be compressed, `body_bytes` being its length if known.
///
/// Not when it has no body or is part of one (`HEAD`, 204, 206, 304, `Content-Range`), is encoded
/// already, must not be transformed, is gRPC, is too small, or is of a type that the settings leave
/// out.
pub fn applies(
    settings: &Compress,
    head: &ResponseHead,
    is_head_request: bool,
    body_bytes: Option<u64>,
) -> bool {
    let Compress { codings, default: _, body_bytes_min, excluded_types, included_types } = settings;
    let fields = &head.fields;
    let has_whole_body = !is_head_request
        && !matches!(head.status(), 0..200 | 204 | 205 | 206 | 304)
        && !fields.contains(Known::ContentRange);
    has_whole_body
        && !codings.is_empty()
        && body_bytes.is_none_or(|length| length >= *body_bytes_min)
        && !is_encoded(fields)
        && !forbids_transform(fields)
        && fields
            .get(Known::ContentType)
            .is_none_or(|found| is_type_wanted(found, excluded_types, included_types))
}

/// Changes the head of a response whose body is being compressed: names the coding, makes a strong
/// entity tag weak, and drops the length and what was said about the plain bytes.
///
/// # Errors
///
/// When the head has no room; the response is then to be sent as it is.
pub fn edit(coding: Coding, head: &mut ResponseHead) -> Result<(), InvalidFieldValue> {
    let fields = &mut head.fields;
    fields.set(Known::ContentEncoding, name(coding).as_bytes())?;
    weaken_etag(fields)?;
    fields.remove(Known::ContentLength);
    fields.remove(Known::AcceptRanges);
    for digest in ["content-md5", "content-digest", "digest"] {
        fields.remove(digest);
    }
    Ok(())
}

/// Says to caches that the response depends on `Accept-Encoding`. For every response that
/// [`applies`] to, compressed or not.
///
/// # Errors
///
/// When the head has no room.
pub fn add_vary(head: &mut ResponseHead) -> Result<(), InvalidFieldValue> {
    if varies(&head.fields, b"accept-encoding") {
        return Ok(());
    }
    head.fields.append(Known::Vary, b"Accept-Encoding")
}

/// The name of a coding in `Content-Encoding`.
pub fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Gzip => "gzip",
        Coding::Brotli => "br",
        Coding::Zstd => "zstd",
    }
}

/// Weights in thousandths; `None` where the client says nothing.
#[derive(Debug, Default)]
struct Weights {
    gzip: Option<u16>,
    brotli: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

fn negotiate_lines<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    settings: &Compress,
) -> Option<Coding> {
    let mut weights = Weights::default();
    let mut is_there = false;
    for line in lines {
        is_there = true;
        for element in media::list(line) {
            weights.read(element);
        }
    }
    if !is_there {
        return settings.default;
    }
    let best = settings.codings.iter().map(|coding| weights.of(*coding)).max()?;
    if best == 0 || weights.identity.is_some_and(|identity| identity > best) {
        return None;
    }
    let is_best = |coding: &Coding| weights.of(*coding) == best;
    // A star as good as the best leaves the choice to us.
    let default = settings.default.filter(|coding| weights.any == Some(best) && is_best(coding));
    default.or_else(|| settings.codings.iter().copied().find(is_best))
}

fn is_encoded(fields: &Fields) -> bool {
    fields
        .get_all(Known::ContentEncoding)
        .flat_map(media::list)
        .any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

fn forbids_transform(fields: &Fields) -> bool {
    fields
        .get_all(Known::CacheControl)
        .flat_map(media::list)
        .any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

fn is_type_wanted(found: &[u8], excluded: &[Box<str>], included: &[Box<str>]) -> bool {
    let is_in = |list: &[Box<str>]| {
        list.iter().any(|setting| media::is_media_type(setting.as_bytes(), found))
    };
    !grpc::is_content_type(found) && !is_in(excluded) && (included.is_empty() || is_in(included))
}

/// Equal tags of a plain and a compressed body would be the same bytes (RFC 9110 section 8.8.3).
fn weaken_etag(fields: &mut Fields) -> Result<(), InvalidFieldValue> {
    let weak = match fields.get(Known::Etag) {
        Some(tag) if !tag.starts_with(b"W/") => [b"W/", tag].concat(),
        _ => return Ok(()),
    };
    fields.set(Known::Etag, &weak)
}

// === impl Weights ===

impl Weights {
    /// Takes one element of the field in; of repeated ones the first counts.
    fn read(&mut self, element: &[u8]) {
        let (name, parameters) = media::split_parameters(element);
        let slot = match name.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => &mut self.gzip,
            b"br" => &mut self.brotli,
            b"zstd" => &mut self.zstd,
            b"identity" => &mut self.identity,
            b"*" => &mut self.any,
            _ => return,
        };
        slot.get_or_insert_with(|| media::quality(parameters));
    }

    fn of(&self, coding: Coding) -> u16 {
        let named = match coding {
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
        };
        named.or(self.any).unwrap_or(0)
    }
}
