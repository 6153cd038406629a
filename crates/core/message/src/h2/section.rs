//! Header sections as they are decoded, and what they have to be (RFC 9113 section 8).

use crate::error::ParseError;
use crate::fields::Fields;
use crate::h1::{HeadLimits, is_trailer_allowed, parse_content_length};
use crate::hpack::{Answer, DecodeError, Decoder, FIELD_OVERHEAD, Field, ListLimits, Name, Pseudo};
use crate::known::{Known, UNKNOWN, ids_of};
use crate::path::{InvalidTarget, PathRules};
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::version::Scheme;

/// A header or trailer section that was received whole. The rules of HTTP/2 hold for it; what its
/// target and host mean is found out when it is read.
#[derive(Debug)]
pub struct Section {
    /// The values of pseudo-fields, one after the other.
    text: Vec<u8>,
    /// Where they are, in the order of [`Pseudo::ALL`].
    pseudo: [Option<Span>; Pseudo::ALL.len()],
    fields: Fields,
    list_bytes: usize,
    has_host: bool,
    /// How much content it promises.
    content_length: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

/// What a section is the beginning or the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    Trailers,
}

/// Why a section is not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It breaks the rules (RFC 9113 section 8.1.1).
    Malformed(&'static str),
    /// It is larger than any head may be.
    TooLarge,
}

/// Fields of a connection of HTTP/1.1 (RFC 9113 section 8.2.2).
const OF_CONNECTIONS: [bool; 256] = ids_of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
]);

// === impl Section ===

impl Section {
    /// What it takes, bytes as HTTP/2 counts them: 32 are added for each field (RFC 9113 section
    /// 6.5.2).
    pub fn list_bytes(&self) -> usize {
        self.list_bytes
    }

    /// Reads the head of a request; `scheme` is that of the connection. When that fails, what
    /// decides the form of the answer is still in `head`: `Accept` and `Content-Type`.
    ///
    /// The section is empty afterwards.
    ///
    /// # Errors
    ///
    /// When the method, the authority, the path or the content length is not acceptable, or the
    /// head exceeds `limits`.
    pub fn read_request(
        &mut self,
        scheme: Scheme,
        limits: &HeadLimits,
        rules: &PathRules,
        head: &mut RequestHead,
    ) -> Result<(), ParseError> {
        let begun = self.begin_request(scheme, limits, rules, head);
        std::mem::swap(&mut head.fields, &mut self.fields);
        let read = begun
            .and_then(|()| check_limits(&head.fields, limits))
            .and_then(|()| if self.has_host { take_host(head) } else { Ok(()) })
            .and_then(|()| head.finish_h2());
        if read.is_err() {
            head.keep_answer_form();
        }
        read
    }

    /// Reads the head of a response. The section is empty afterwards.
    ///
    /// # Errors
    ///
    /// When the head exceeds `limits`.
    pub fn read_response(
        &mut self,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<(), ParseError> {
        head.begin_h2(self.status());
        std::mem::swap(&mut head.fields, &mut self.fields);
        check_limits(&head.fields, limits)
    }

    /// Takes the fields of a trailer section; what may not be a trailer is left out.
    pub fn take_trailers(&mut self) -> Fields {
        let mut fields = std::mem::take(&mut self.fields);
        fields.retain(|name, _| is_trailer_allowed(name));
        fields
    }

    /// The status of a response.
    pub(super) fn status(&self) -> u16 {
        let digits = self.pseudo(Pseudo::Status).unwrap_or_default();
        digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0')))
    }

    pub(super) fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.pseudo = [None; Pseudo::ALL.len()];
        self.fields.clear();
        self.list_bytes = 0;
        self.has_host = false;
        self.content_length = None;
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.text.capacity() + self.fields.capacity_bytes()
    }

    /// Decodes a block into this section, which is empty.
    ///
    /// # Errors
    ///
    /// When the decoder's state is lost.
    pub(super) fn decode(
        &mut self,
        kind: Kind,
        decoder: &mut Decoder,
        block: &[u8],
        limits: ListLimits,
    ) -> Result<Result<(), Refused>, DecodeError> {
        let mut refused = None;
        let decoded = decoder.decode(block, limits, |field| match self.take(kind, field) {
            Ok(()) => Answer::Continue,
            Err(why) => {
                refused = Some(why);
                Answer::Skip
            }
        })?;
        self.list_bytes = decoded.list_bytes;
        Ok(match refused {
            _ if decoded.excess_bytes > 0 => Err(Refused::TooLarge),
            Some(why) => Err(Refused::Malformed(why)),
            None => self.check(kind).map_err(Refused::Malformed),
        })
    }

    #[inline]
    fn take(&mut self, kind: Kind, field: Field<'_>) -> Result<(), &'static str> {
        if !field.is_name_valid || field.name.as_bytes().len() > usize::from(u16::MAX) {
            return Err("a field name is malformed");
        }
        if !field.is_value_valid {
            return Err("a field value is malformed");
        }
        let id = match field.name {
            Name::Pseudo(pseudo) => return self.take_pseudo(kind, pseudo, field.value),
            Name::Known(known) => known as u8,
            Name::Other(_) => UNKNOWN,
        };
        if id <= Known::Http2Settings as u8 {
            self.take_special(id, field.value)?;
        }
        self.fields.push_line(id, field.name.as_bytes(), field.value);
        Ok(())
    }

    fn take_pseudo(
        &mut self,
        kind: Kind,
        pseudo: Pseudo,
        value: &[u8],
    ) -> Result<(), &'static str> {
        let is_allowed = match kind {
            Kind::Request => !matches!(pseudo, Pseudo::Status),
            Kind::Response => matches!(pseudo, Pseudo::Status),
            Kind::Trailers => false,
        };
        if !is_allowed {
            return Err("a pseudo-field has no place there");
        }
        if !self.fields.is_empty() {
            return Err("a pseudo-field follows a field");
        }
        let place = &mut self.pseudo[pseudo as usize];
        if place.is_some() {
            return Err("a pseudo-field is repeated");
        }
        *place = Some(Span { start: self.text.len() as u32, len: value.len() as u32 });
        self.text.extend_from_slice(value);
        Ok(())
    }

    /// Fields that belong to HTTP/1.1, and those that say something about the message.
    fn take_special(&mut self, id: u8, value: &[u8]) -> Result<(), &'static str> {
        if OF_CONNECTIONS[usize::from(id)] || (id == Known::Te as u8 && value != b"trailers") {
            return Err("a field of a connection of HTTP/1.1");
        }
        self.has_host |= id == Known::Host as u8;
        if id == Known::ContentLength as u8 {
            let length =
                parse_content_length(value).map_err(|_| "the content length is malformed")?;
            if self.content_length.replace(length).is_some() {
                return Err("the content length is repeated");
            }
        }
        Ok(())
    }

    /// Whether all is there that has to be (RFC 9113 section 8.3).
    fn check(&self, kind: Kind) -> Result<(), &'static str> {
        match kind {
            Kind::Request => self.check_request(),
            Kind::Response => match self.pseudo(Pseudo::Status) {
                Some([b'1', b'0', b'1']) => Err("101 has no place in HTTP/2"),
                Some([b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']) => Ok(()),
                _ => Err("the status is missing or malformed"),
            },
            Kind::Trailers => Ok(()),
        }
    }

    fn check_request(&self) -> Result<(), &'static str> {
        let is_there = |pseudo| self.pseudo[pseudo as usize].is_some();
        let method = self.pseudo(Pseudo::Method).ok_or("the method is missing")?;
        if is_there(Pseudo::Protocol) {
            return Err("extended CONNECT was not announced");
        }
        if method == b"CONNECT" {
            return match (
                is_there(Pseudo::Authority),
                is_there(Pseudo::Scheme),
                is_there(Pseudo::Path),
            ) {
                (true, false, false) => Ok(()),
                _ => Err("a CONNECT request has an authority, and neither scheme nor path"),
            };
        }
        match (self.pseudo(Pseudo::Scheme), self.pseudo(Pseudo::Path)) {
            (Some(scheme), Some([_, ..])) if is_scheme(scheme) => Ok(()),
            _ => Err("the scheme or the path is missing or malformed"),
        }
    }

    fn begin_request(
        &self,
        scheme: Scheme,
        limits: &HeadLimits,
        rules: &PathRules,
        head: &mut RequestHead,
    ) -> Result<(), ParseError> {
        head.clear();
        let text = |pseudo| self.pseudo(pseudo).map(std::str::from_utf8).transpose();
        let method = text(Pseudo::Method).map_err(|_| ParseError::Method)?.unwrap_or_default();
        let path = text(Pseudo::Path).map_err(|_| ParseError::Target(InvalidTarget::NonAscii))?;
        let authority = text(Pseudo::Authority)
            .map_err(|_| ParseError::Host(crate::authority::InvalidHost::Byte))?;
        head.begin_h2(method, scheme, authority, path.unwrap_or_default(), limits, rules)
    }

    fn pseudo(&self, pseudo: Pseudo) -> Option<&[u8]> {
        let Span { start, len } = self.pseudo[pseudo as usize]?;
        self.text.get(start as usize..(start + len) as usize)
    }
}

impl Default for Section {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            pseudo: [None; Pseudo::ALL.len()],
            fields: Fields::new(),
            list_bytes: 0,
            has_host: false,
            content_length: None,
        }
    }
}

// === functions ===

/// Whether it has the form of a scheme (RFC 3986 section 3.1). Which one it is does not matter: what
/// the connection is decides.
fn is_scheme(scheme: &[u8]) -> bool {
    let is_rest = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(is_rest)
}

fn check_limits(fields: &Fields, limits: &HeadLimits) -> Result<(), ParseError> {
    if fields.len() > limits.fields_max {
        return Err(ParseError::TooManyFields);
    }
    if fields.arena_bytes() + fields.len() * FIELD_OVERHEAD > limits.head_bytes_max {
        return Err(ParseError::HeadTooLarge);
    }
    Ok(())
}

/// Makes the Host fields the authority, or sees that they equal it.
fn take_host(head: &mut RequestHead) -> Result<(), ParseError> {
    let fields = std::mem::take(&mut head.fields);
    let mut hosts = fields.get_all(Known::Host);
    let taken = hosts.try_for_each(|host| head.take_host_h2(host));
    head.fields = fields;
    head.fields.retain_ids(|id| id != Known::Host as u8);
    taken
}
