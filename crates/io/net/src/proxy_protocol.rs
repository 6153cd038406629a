//! The PROXY protocol, versions 1 and 2: who is behind the peer.
//!
//! Source: "The PROXY protocol, versions 1 & 2", revision of 2020-03-05 with the CRC32c and
//! unique-id records. The parser is strict: a header is believed only from listed peers, and a
//! listed peer that sends something else is misconfigured or an attack.

mod crc32c;
mod v1;
mod v2;

use std::net::SocketAddr;

pub use v1::write as write_v1;
pub use v2::{Records, Tlvs, write as write_v2};

/// Longest version 1 line with its CRLF, bytes (section 2.1).
pub const V1_BYTES_MAX: usize = 107;

/// How a version 1 header starts.
pub(crate) const V1_STARTS: [&[u8]; 3] = [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];

/// Longest version 2 header that is accepted, bytes. The format allows 65,551; 536 is what the
/// standard asks every sender to stay within for the addresses, and 4 KiB leaves room for TLS
/// records with a client certificate's names while one small buffer holds it all.
pub const V2_BYTES_MAX: usize = 4 << 10;

/// How a version 2 header starts (section 2.2).
pub(crate) const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the first bytes of a connection hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A valid beginning; call again with more bytes.
    NeedMore,
    /// A whole header.
    Complete {
        /// Its length in bytes; the application's bytes follow.
        consumed: usize,
        /// What it says.
        header: Header<'a>,
    },
}

/// A PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Version of the format, 1 or 2.
    pub version: u8,
    /// The connection that the peer relays. `None` when the header says that it speaks for itself
    /// (`LOCAL`), or that it does not know (`UNKNOWN`), or when the addresses are of a kind that
    /// has no IP (UNIX sockets): then the real ends of the connection count (section 2.2).
    pub relayed: Option<Relayed>,
    /// Whether the peer speaks for itself (version 2 `LOCAL`, as health checks of load balancers
    /// do).
    pub local: bool,
    /// Further records of version 2; empty in version 1.
    pub tlvs: Tlvs<'a>,
}

/// The ends of a relayed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client connected to.
    pub destination: SocketAddr,
}

/// The bytes are not a valid PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyHeader {
    /// Neither version's signature. Either the peer should not be listed as a sender of PROXY
    /// headers, or it has to be told to send them.
    #[error("the peer is trusted to send a PROXY header but did not send one")]
    Missing,
    /// Version 1: no line end within its bound.
    #[error("PROXY v1 line is longer than {V1_BYTES_MAX} bytes")]
    LineTooLong,
    /// Version 1: not `PROXY TCP4|TCP6|UNKNOWN` with single spaces.
    #[error("PROXY v1 line is malformed")]
    Line,
    /// Version 1: an address is not of the stated family or not in canonical form.
    #[error("PROXY v1 line has an invalid address")]
    Address,
    /// Version 1: a port is not a decimal number of 0 to 65535 without leading zeros.
    #[error("PROXY v1 line has an invalid port")]
    Port,
    /// Version 2: the version is not 2 or the command neither LOCAL nor PROXY.
    #[error("PROXY v2 version and command byte {0:#04x} is not known")]
    Command(u8),
    /// Version 2: the family or transport is not known.
    #[error("PROXY v2 family and transport byte {0:#04x} is not known")]
    Family(u8),
    /// Version 2: the length does not hold the addresses of the family.
    #[error("PROXY v2 length {0} is too short for its addresses")]
    TooShort(u16),
    /// Version 2: longer than we accept.
    #[error("PROXY v2 length {0} is over the bound of {V2_BYTES_MAX} bytes")]
    TooLong(u16),
    /// Version 2: the records do not fill the rest of the header exactly.
    #[error("PROXY v2 records are malformed")]
    Records,
    /// Version 2: a checksum is present and wrong.
    #[error("PROXY v2 checksum does not match")]
    Checksum,
}

/// Reads a header of either version from the start of `bytes`.
///
/// Every proper prefix of a valid header gives [`Parsed::NeedMore`].
///
/// # Errors
///
/// When the bytes cannot become a valid header, as early as that is known. The connection should
/// be closed then, without an answer.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, InvalidProxyHeader> {
    if bytes.is_empty() {
        return Ok(Parsed::NeedMore);
    }
    if is_prefix(bytes, V2_SIGNATURE) {
        return v2::parse(bytes);
    }
    if is_prefix(bytes, v1::SIGNATURE) {
        return v1::parse(bytes);
    }
    Err(InvalidProxyHeader::Missing)
}

/// Whether the two agree as far as both go.
fn is_prefix(bytes: &[u8], signature: &[u8]) -> bool {
    let common = bytes.len().min(signature.len());
    bytes[..common] == signature[..common]
}

#[cfg(test)]
mod tests;
