//! Version 1: a line of text.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    Header, InvalidProxyHeader, Parsed, Relayed, Tlvs, V1_BYTES_MAX, V1_STARTS, is_prefix,
};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Appends a version 1 header to `out`.
///
/// Addresses of two families are both written as IPv6, the IPv4 one mapped.
pub fn write(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (source, destination) = same_family(source, destination);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
}

pub(super) fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), addr.port()),
        IpAddr::V6(_) => addr,
    };
    (mapped(source), mapped(destination))
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, InvalidProxyHeader> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(line_len) = window.iter().position(|byte| *byte == b'\r') else {
        check_start(window)?;
        return match window.len() {
            // A line end needs two more bytes than there is room for.
            V1_BYTES_MAX.. => Err(InvalidProxyHeader::LineTooLong),
            _ => Ok(Parsed::NeedMore),
        };
    };
    let relayed = line(&window[..line_len])?;
    match bytes.get(line_len + 1) {
        None if line_len + 2 > V1_BYTES_MAX => Err(InvalidProxyHeader::LineTooLong),
        None => Ok(Parsed::NeedMore),
        Some(b'\n') if line_len + 2 <= V1_BYTES_MAX => Ok(Parsed::Complete {
            consumed: line_len + 2,
            header: Header { version: 1, relayed, local: false, tlvs: Tlvs::EMPTY },
        }),
        Some(b'\n') => Err(InvalidProxyHeader::LineTooLong),
        Some(_) => Err(InvalidProxyHeader::Line),
    }
}

/// Refuses a line that cannot become valid before its end was seen.
fn check_start(bytes: &[u8]) -> Result<(), InvalidProxyHeader> {
    let possible = V1_STARTS.iter().any(|start| is_prefix(bytes, start));
    if possible && is_text(bytes) { Ok(()) } else { Err(InvalidProxyHeader::Line) }
}

/// The line is text, what `UNKNOWN` lets be ignored too: a bare LF in it would be a line end to
/// another reader.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

fn line(line: &[u8]) -> Result<Option<Relayed>, InvalidProxyHeader> {
    if !is_text(line) {
        return Err(InvalidProxyHeader::Line);
    }
    let line = std::str::from_utf8(line).map_err(|_| InvalidProxyHeader::Line)?;
    let rest = line.strip_prefix("PROXY ").ok_or(InvalidProxyHeader::Line)?;
    // "UNKNOWN ... the receiver must ignore anything presented before the CRLF".
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let (v4, rest) = match (rest.strip_prefix("TCP4 "), rest.strip_prefix("TCP6 ")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(InvalidProxyHeader::Line),
    };
    let mut parts = rest.split(' ');
    let mut next = || parts.next().ok_or(InvalidProxyHeader::Line);
    let (source, destination) = (address(next()?, v4)?, address(next()?, v4)?);
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    if next().is_ok() {
        return Err(InvalidProxyHeader::Line);
    }
    Ok(Some(Relayed {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    }))
}

fn address(text: &str, v4: bool) -> Result<IpAddr, InvalidProxyHeader> {
    let parsed = if v4 {
        text.parse::<Ipv4Addr>().map(IpAddr::V4)
    } else {
        text.parse::<Ipv6Addr>().map(IpAddr::V6)
    };
    parsed.map_err(|_| InvalidProxyHeader::Address)
}

fn port(text: &str) -> Result<u16, InvalidProxyHeader> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if canonical {
        text.parse().map_err(|_| InvalidProxyHeader::Port)
    } else {
        Err(InvalidProxyHeader::Port)
    }
}
