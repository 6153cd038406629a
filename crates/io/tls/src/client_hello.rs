//! What a ClientHello asks for, read before any handshake: server name and protocols.
//!
//! Sans-I/O and strict: it reads the bytes as they arrive, through records of any size (RFC 8446
//! section 5.1 lets a hello be cut anywhere), and never keeps them. What it reads are the outer
//! values: with Encrypted Client Hello that is the public name.

use rustls_pki_types::DnsName;

/// Longest hello that is accepted, bytes, record headers included. One with a post-quantum key
/// share has some 1,800; the bound keeps a slow hello within one small buffer.
pub const HELLO_BYTES_MAX: usize = weft_net::buffer::SMALL_BYTES;

/// What is known so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// A valid beginning; call again with more bytes.
    NeedMore,
    /// The hello is whole.
    Hello(Hello),
}

/// The facts of a ClientHello that choose a configuration or a route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The server name (SNI), lower case, without a trailing dot. `None` when absent or no DNS
    /// name: an IP address is not allowed there (RFC 6066 section 3).
    pub server_name: Option<Box<str>>,
    /// The protocols offered (ALPN), in the client's order.
    pub alpn: Vec<Box<[u8]>>,
}

/// The bytes are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHello {
    /// Not a TLS handshake record.
    #[error("the first bytes are not TLS")]
    NotTls,
    /// A handshake message, but not the one that starts a connection.
    #[error("the first TLS message is not a client hello")]
    NotHello,
    /// Longer than we accept.
    #[error("the client hello is over the bound of {HELLO_BYTES_MAX} bytes")]
    TooLong,
    /// A length inside does not fit.
    #[error("the client hello is malformed")]
    Malformed,
}

const CONTENT_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_TYPE_HOST: u8 = 0;

/// Bytes of plaintext in one record (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;

/// Reads the first bytes of a connection.
///
/// Every proper prefix of a hello gives [`Peek::NeedMore`]; bytes after it are not looked at.
///
/// # Errors
///
/// When the bytes cannot become a hello, as early as that is known.
pub fn parse_client_hello(bytes: &[u8]) -> Result<Peek, InvalidHello> {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        let whole = take_record(&mut rest, &mut message)?;
        if let Some(kind) = message.first()
            && *kind != MESSAGE_CLIENT_HELLO
        {
            return Err(InvalidHello::NotHello);
        }
        if let [_, high, middle, low, body @ ..] = &message[..] {
            let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if len + 9 > HELLO_BYTES_MAX {
                return Err(InvalidHello::TooLong);
            }
            if let Some(body) = body.get(..len) {
                return hello(body).map(Peek::Hello);
            }
        }
        if !whole {
            return if bytes.len() < HELLO_BYTES_MAX {
                Ok(Peek::NeedMore)
            } else {
                Err(InvalidHello::TooLong)
            };
        }
    }
}

/// Moves the payload of the next record to `message`, as much as there is of it. Returns whether
/// the record was there in full.
fn take_record(rest: &mut &[u8], message: &mut Vec<u8>) -> Result<bool, InvalidHello> {
    let bytes = *rest;
    let wrong = bytes.iter().take(3).zip([CONTENT_HANDSHAKE, 3]).any(|(is, want)| *is != want);
    if wrong || bytes.get(2).is_some_and(|minor| *minor > 4) {
        return Err(InvalidHello::NotTls);
    }
    let Some(([_, _, _, high, low], payload)) = bytes.split_first_chunk::<5>() else {
        return Ok(false);
    };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    // "Implementations MUST NOT send zero-length fragments of Handshake types".
    if len == 0 || len > RECORD_BYTES_MAX {
        return Err(InvalidHello::Malformed);
    }
    let there = payload.len().min(len);
    message.extend_from_slice(&payload[..there]);
    *rest = &payload[there..];
    Ok(there == len)
}

/// The body of a ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).
fn hello(body: &[u8]) -> Result<Hello, InvalidHello> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    let session = reader.prefixed_u8()?;
    let suites = reader.prefixed_u16()?;
    let compressions = reader.prefixed_u8()?;
    let sane = session.len() <= 32 && !suites.is_empty() && suites.len() % 2 == 0;
    if !sane || compressions.is_empty() {
        return Err(InvalidHello::Malformed);
    }
    let mut hello = Hello::default();
    if reader.0.is_empty() {
        // TLS 1.2 allows a hello without extensions.
        return Ok(hello);
    }
    let mut extensions = Reader(reader.prefixed_u16()?);
    reader.end()?;
    let (mut seen_name, mut seen_alpn) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let data = Reader(extensions.prefixed_u16()?);
        match kind {
            // "There MUST NOT be more than one extension of the same type".
            EXTENSION_SERVER_NAME if std::mem::replace(&mut seen_name, true) => {
                return Err(InvalidHello::Malformed);
            }
            EXTENSION_ALPN if std::mem::replace(&mut seen_alpn, true) => {
                return Err(InvalidHello::Malformed);
            }
            EXTENSION_SERVER_NAME => hello.server_name = server_name(data)?,
            EXTENSION_ALPN => hello.alpn = alpn(data)?,
            _ => {}
        }
    }
    Ok(hello)
}

/// RFC 6066 section 3.
fn server_name(mut data: Reader<'_>) -> Result<Option<Box<str>>, InvalidHello> {
    let mut names = Reader(data.prefixed_u16()?);
    data.end()?;
    let mut host = None;
    while !names.0.is_empty() {
        let kind = names.take(1)?;
        let name = names.prefixed_u16()?;
        // "MUST NOT contain more than one name of the same name_type".
        if kind == [NAME_TYPE_HOST] && host.replace(name).is_some() {
            return Err(InvalidHello::Malformed);
        }
    }
    Ok(host.and_then(canonical_name))
}

fn canonical_name(name: &[u8]) -> Option<Box<str>> {
    let name = DnsName::try_from(name).ok()?;
    let name = name.as_ref();
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into())
}

/// RFC 7301 section 3.1.
fn alpn(mut data: Reader<'_>) -> Result<Vec<Box<[u8]>>, InvalidHello> {
    let mut protocols = Reader(data.prefixed_u16()?);
    data.end()?;
    let mut offered = Vec::new();
    while !protocols.0.is_empty() {
        let protocol = protocols.prefixed_u8()?;
        if protocol.is_empty() {
            return Err(InvalidHello::Malformed);
        }
        offered.push(protocol.into());
    }
    Ok(offered)
}

/// Takes parts from the front; running out is malformed, because the whole message is there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], InvalidHello> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(InvalidHello::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, InvalidHello> {
        let taken = self.take(2)?;
        Ok(u16::from_be_bytes([taken[0], taken[1]]))
    }

    fn prefixed_u8(&mut self) -> Result<&'a [u8], InvalidHello> {
        let len = self.take(1)?[0];
        self.take(usize::from(len))
    }

    fn prefixed_u16(&mut self) -> Result<&'a [u8], InvalidHello> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    fn end(&self) -> Result<(), InvalidHello> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidHello::Malformed) }
    }
}

#[cfg(test)]
mod tests;
