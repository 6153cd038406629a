//! Version 2: a binary header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc32c::Crc32c;
use super::v1::same_family;
use super::{Header, InvalidProxyHeader, Parsed, Relayed, V2_BYTES_MAX, V2_SIGNATURE};

/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// `PP2_TYPE_CRC32C`.
const TYPE_CRC32C: u8 = 0x03;

/// The type-length-value records of a version 2 header, already checked for form.
///
/// Iterating gives type and value. Types are in section 2.2 of the specification.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

/// Iterates over the records of a [`Tlvs`].
#[derive(Debug, Clone)]
pub struct Records<'a>(&'a [u8]);

/// Appends a version 2 header for a TCP connection to `out`, without records.
///
/// Addresses of two families are both written as IPv6, the IPv4 one mapped.
pub fn write(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (source, destination) = same_family(source, destination);
    out.extend_from_slice(V2_SIGNATURE);
    out.push(PROXY);
    let (family, len) = if source.is_ipv4() { (0x11, 12u16) } else { (0x21, 36) };
    out.push(family);
    out.extend_from_slice(&len.to_be_bytes());
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, InvalidProxyHeader> {
    if let Some(command) = bytes.get(12).copied()
        && command != LOCAL
        && command != PROXY
    {
        return Err(InvalidProxyHeader::Command(command));
    }
    if let Some(family) = bytes.get(13).copied()
        && addresses_len(family).is_none()
    {
        return Err(InvalidProxyHeader::Family(family));
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Parsed::NeedMore);
    };
    let (local, family) = (fixed[12] == LOCAL, fixed[13]);
    let len = u16::from_be_bytes([fixed[14], fixed[15]]);
    // With LOCAL "the receiver must accept the connection as valid and must use the real
    // connection endpoints and discard the protocol block including the family which is ignored".
    let addresses_len = if local { 0 } else { addresses_len(family).unwrap_or_default() };
    if usize::from(len) < addresses_len {
        return Err(InvalidProxyHeader::TooShort(len));
    }
    if FIXED_BYTES + usize::from(len) > V2_BYTES_MAX {
        return Err(InvalidProxyHeader::TooLong(len));
    }
    let Some(body) = rest.get(..usize::from(len)) else {
        return Ok(Parsed::NeedMore);
    };
    let consumed = FIXED_BYTES + body.len();
    let tlvs = if local { Tlvs::EMPTY } else { records(&body[addresses_len..])? };
    verify_checksum(&bytes[..consumed], tlvs)?;
    let relayed = if local { None } else { addresses(family, body) };
    Ok(Parsed::Complete { consumed, header: Header { version: 2, relayed, local, tlvs } })
}

/// Length of the address block of a family and transport byte; `None` if that is not known.
fn addresses_len(family: u8) -> Option<usize> {
    match family {
        0x00 => Some(0),
        0x11 | 0x12 => Some(12),
        0x21 | 0x22 => Some(36),
        0x31 | 0x32 => Some(216),
        _ => None,
    }
}

/// The ends, for TCP only: a datagram's or a UNIX socket's ends say nothing about this connection.
fn addresses(family: u8, body: &[u8]) -> Option<Relayed> {
    match family {
        0x11 => {
            let block = body.first_chunk::<12>()?;
            let ip = |at: usize| {
                Ipv4Addr::from([block[at], block[at + 1], block[at + 2], block[at + 3]])
            };
            Some(ends(ip(0).into(), ip(4).into(), &block[8..]))
        }
        0x21 => {
            let block = body.first_chunk::<36>()?;
            let source = Ipv6Addr::from(*block.first_chunk::<16>()?);
            let destination = Ipv6Addr::from(*block[16..].first_chunk::<16>()?);
            Some(ends(source.into(), destination.into(), &block[32..]))
        }
        _ => None,
    }
}

fn ends(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Relayed {
    Relayed {
        source: SocketAddr::new(source, u16::from_be_bytes([ports[0], ports[1]])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([ports[2], ports[3]])),
    }
}

fn records(bytes: &[u8]) -> Result<Tlvs<'_>, InvalidProxyHeader> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (_, _, after) = split_record(rest).ok_or(InvalidProxyHeader::Records)?;
        rest = after;
    }
    Ok(Tlvs(bytes))
}

fn split_record(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((*kind, value, after))
}

/// The checksum covers the whole header with the checksum's own four bytes as zeros.
fn verify_checksum(header: &[u8], tlvs: Tlvs<'_>) -> Result<(), InvalidProxyHeader> {
    let mut at = header.len() - tlvs.0.len();
    let mut found = None;
    for (kind, value) in tlvs {
        at += 3;
        if kind == TYPE_CRC32C {
            let value: [u8; 4] = value.try_into().map_err(|_| InvalidProxyHeader::Checksum)?;
            if found.replace((at, u32::from_be_bytes(value))).is_some() {
                return Err(InvalidProxyHeader::Checksum);
            }
        }
        at += value.len();
    }
    let Some((at, wanted)) = found else { return Ok(()) };
    let mut crc = Crc32c::new();
    crc.update(&header[..at]);
    crc.update(&[0; 4]);
    crc.update(&header[at + 4..]);
    if crc.finish() == wanted { Ok(()) } else { Err(InvalidProxyHeader::Checksum) }
}

// === impl Tlvs ===

impl<'a> Tlvs<'a> {
    pub(super) const EMPTY: Self = Self(&[]);

    /// The value of the first record of a type.
    pub fn find(self, kind: u8) -> Option<&'a [u8]> {
        self.into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Tlvs<'a> {
    type Item = (u8, &'a [u8]);
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        Records(self.0)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, value, rest) = split_record(self.0)?;
        self.0 = rest;
        Some((kind, value))
    }
}

impl std::fmt::Debug for Tlvs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}
