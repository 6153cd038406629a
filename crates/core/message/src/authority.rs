//! Hosts and ports: `host[:port]` in one canonical form.

use std::io::Write;
use std::net::Ipv6Addr;

use thiserror::Error;

use crate::bytes::push_decimal;
use crate::error::ErrorClass;

/// Why a host or an authority is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidHost {
    /// There is no host before the port or the dot.
    #[error("the host is empty")]
    Empty,
    /// Longer than 255 bytes.
    #[error("the host is too long")]
    TooLong,
    /// A byte that no host has: paths, controls, escapes, or anything that is not ASCII.
    #[error("the host holds a byte that no host has")]
    Byte,
    /// User information before the host (RFC 9110 section 4.2.4).
    #[error("user information is before the host")]
    UserInfo,
    /// A label without a character.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// The port is empty, not decimal, zero, or above 65535.
    #[error("the port is malformed")]
    Port,
    /// No IPv6 address between the brackets.
    #[error("the IPv6 address is malformed")]
    Ipv6,
    /// A zone in an IPv6 address, which means something on one machine only.
    #[error("the IPv6 address has a zone")]
    Zone,
}

/// What was found in an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority {
    /// Length of the host in the canonical text.
    pub(crate) host_len: usize,
    pub(crate) port: Option<u16>,
}

/// Longest name in DNS, with its trailing dot and a little more.
const HOST_BYTES_MAX: usize = 255;

/// The canonical form of each byte that a host may have, 0 for the others: letters in lower case,
/// digits, hyphen, dot; and the underscore, which RFC 1123 does not have but which service names
/// in the wild do.
const HOST: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let lower = (byte as u8).to_ascii_lowercase();
        if lower.is_ascii_alphanumeric() || matches!(lower, b'-' | b'.' | b'_') {
            table[byte] = lower;
        }
        byte += 1;
    }
    table
};

// === impl InvalidHost ===

impl InvalidHost {
    pub(crate) fn class(self) -> ErrorClass {
        match self {
            Self::UserInfo | Self::Zone => ErrorClass::Ambiguous,
            Self::Empty
            | Self::TooLong
            | Self::Byte
            | Self::EmptyLabel
            | Self::Port
            | Self::Ipv6 => ErrorClass::Malformed,
        }
    }
}

// === functions ===

/// Appends the canonical form of `authority`, which is ASCII: host in lower case without a trailing
/// dot, IPv6 in its shortest text, port as given.
#[inline]
pub(crate) fn push_canonical(
    authority: &[u8],
    out: &mut Vec<u8>,
) -> Result<Authority, InvalidHost> {
    if authority.first() == Some(&b'[') {
        return push_ipv6(authority, out);
    }
    let base = out.len();
    out.extend_from_slice(authority);
    let mut before = b'.';
    let mut has_empty_label = false;
    let mut len = 0;
    for byte in &mut out[base..] {
        let lower = HOST[usize::from(*byte)];
        if lower == 0 {
            break;
        }
        has_empty_label |= (lower == b'.') & (before == b'.');
        before = lower;
        *byte = lower;
        len += 1;
    }
    out.truncate(base + len);
    let port = read_port(&authority[len..])?;
    if out[base..].ends_with(b".") {
        out.pop();
    }
    let host_len = out.len() - base;
    if host_len == 0 {
        return Err(InvalidHost::Empty);
    }
    if has_empty_label {
        return Err(InvalidHost::EmptyLabel);
    }
    if host_len > HOST_BYTES_MAX {
        return Err(InvalidHost::TooLong);
    }
    push_port(port, out);
    Ok(Authority { host_len, port })
}

fn push_ipv6(authority: &[u8], out: &mut Vec<u8>) -> Result<Authority, InvalidHost> {
    let close = memchr::memchr(b']', authority).ok_or(InvalidHost::Ipv6)?;
    let text = std::str::from_utf8(&authority[1..close]).map_err(|_| InvalidHost::Ipv6)?;
    if text.contains('%') {
        return Err(InvalidHost::Zone);
    }
    let addr: Ipv6Addr = text.parse().map_err(|_| InvalidHost::Ipv6)?;
    let port = read_port(&authority[close + 1..])?;
    let base = out.len();
    write!(out, "[{addr}]").map_err(|_| InvalidHost::Ipv6)?;
    let host_len = out.len() - base;
    push_port(port, out);
    Ok(Authority { host_len, port })
}

/// Reads what follows the host: nothing, or a colon and a port from 1 to 65535.
fn read_port(rest: &[u8]) -> Result<Option<u16>, InvalidHost> {
    let digits = match rest {
        [] => return Ok(None),
        [b':', digits @ ..] => digits,
        _ if rest.contains(&b'@') => return Err(InvalidHost::UserInfo),
        _ => return Err(InvalidHost::Byte),
    };
    if digits.contains(&b'@') {
        return Err(InvalidHost::UserInfo);
    }
    if digits.is_empty() || digits.len() > 5 || digits[0] == b'0' {
        return Err(InvalidHost::Port);
    }
    let mut port = 0u32;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return Err(InvalidHost::Port);
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).map(Some).map_err(|_| InvalidHost::Port)
}

fn push_port(port: Option<u16>, out: &mut Vec<u8>) {
    if let Some(port) = port {
        out.push(b':');
        push_decimal(u64::from(port), out);
    }
}

#[cfg(test)]
mod tests;
