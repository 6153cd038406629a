//! Values of matchers: hosts, paths, header names, networks.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use weft_message::{FieldName, Known};
use weft_model::route::HostMatch;

use crate::rule::catalogue::Text;
use crate::rule::{regexp, template};
use crate::syntax::Fault;

/// A host: exact, `*.suffix` for one label in front of it, or `*` for all.
pub(super) fn host(value: &Text<'_>) -> Result<HostMatch, Fault> {
    ascii(value)?;
    let text = value.text.to_ascii_lowercase();
    if text == "*" {
        return Ok(HostMatch::Any);
    }
    if let Some(address) = ipv6(&text) {
        return Ok(HostMatch::Exact(format!("[{address}]").into()));
    }
    let name = text.strip_suffix('.').unwrap_or(&text);
    let (wildcard, name) = match name.strip_prefix("*.") {
        Some(suffix) => (true, suffix),
        None => (false, name),
    };
    if let Some(fault) = never_a_host(value, name) {
        return Err(fault);
    }
    Ok(if wildcard { HostMatch::OneLabel(name.into()) } else { HostMatch::Exact(name.into()) })
}

/// A host by pattern.
pub(super) fn host_pattern(value: &Text<'_>) -> Result<HostMatch, Fault> {
    ascii(value)?;
    let pattern = regexp::pattern(value);
    // In Go's language the braces of the older form are a syntax error, or plain text.
    if template::is_template(&value.text) {
        let fault = value.fault("`{name:pattern}` is the form of the older rule language");
        let remedy = "write a pattern, such as `^[a-z]+\\.example\\.com$`, or say `syntax: v2`";
        return Err(fault.remedy(remedy));
    }
    Ok(HostMatch::Regex(pattern?))
}

/// A whole path, in the form that requests are compared in.
pub(super) fn path(value: &Text<'_>) -> Result<Box<str>, Fault> {
    let path = path_prefix(value)?;
    match path.rsplit('/').next() {
        Some("." | "..") => Err(never_a_path(value)),
        _ => Ok(path),
    }
}

/// The beginning of a path, in the form that requests are compared in.
pub(super) fn path_prefix(value: &Text<'_>) -> Result<Box<str>, Fault> {
    let text = &*value.text;
    if !text.starts_with('/') {
        let fault = value.fault("the path does not start with a slash");
        return Err(if text.contains(['`', '\n']) {
            fault
        } else {
            fault.remedy(format!("write `/{text}`, backticks included"))
        });
    }
    if text.contains('?') {
        let fault = value.fault("the query is no part of the path");
        return Err(fault.remedy("use the matcher `Query`, or write `%3F` for a question mark"));
    }
    if text.contains('#') {
        let fault = value.fault("requests carry no fragment");
        return Err(fault.remedy("write `%23` for a hash sign"));
    }
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(value.fault("a control character cannot occur in a path"));
    }
    let path = canonical_literal(text);
    let mut inner = path.split('/').skip(1).peekable();
    while let Some(segment) = inner.next() {
        if inner.peek().is_some() && matches!(segment, "" | "." | "..") {
            return Err(never_a_path(value));
        }
    }
    Ok(path.into())
}

/// The name of a header other than `Host`.
pub(super) fn header_name(value: &Text<'_>) -> Result<FieldName, Fault> {
    let name = FieldName::new(&value.text).map_err(|_| {
        value.fault("not the name of a header").remedy("use letters, digits and `-`, and no spaces")
    })?;
    match name.id() {
        Some(Known::Host) => {
            let fault = value.fault("the host is not among the headers");
            Err(fault.remedy("use `Host` or `HostRegexp`"))
        }
        _ => Ok(name),
    }
}

/// An address or a range of addresses.
pub(super) fn network(value: &Text<'_>) -> Result<IpNet, Fault> {
    let text = value.text.trim();
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            value
                .fault("neither an address nor a range in CIDR notation")
                .remedy("write for instance `10.1.2.3`, `10.0.0.0/8` or `2001:db8::/32`")
        })?,
    };
    Ok(unmapped(net).trunc())
}

/// IPv4 addresses written as IPv6 are compared as IPv4, as the peers' are.
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(wide) = net else { return net };
    let Some(address) = wide.addr().to_ipv4_mapped() else { return net };
    let length = wide.prefix_len().checked_sub(96);
    length.and_then(|length| Ipv4Net::new(address, length).ok()).map_or(net, IpNet::V4)
}

fn ascii(value: &Text<'_>) -> Result<(), Fault> {
    if value.text.is_ascii() {
        return Ok(());
    }
    let fault = value.fault("the host has characters beyond ASCII");
    Err(fault.remedy("write its labels in punycode (`xn--…`), as clients send them"))
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

/// What keeps `name` from ever being the host of a request.
fn never_a_host(value: &Text<'_>, name: &str) -> Option<Fault> {
    if name.contains("://") {
        let fault = value.fault("a URL is no host");
        return Some(fault.remedy("leave out the scheme and the path"));
    }
    if name.contains('/') {
        let fault = value.fault("a host has no path");
        return Some(fault.remedy("use `Path` or `PathPrefix` for it"));
    }
    if name.contains(['{', '}', '^', '$', '(', ')', '|', '\\', '+']) {
        let fault = value.fault("the host is a pattern");
        return Some(fault.remedy("use `HostRegexp`, or `HostSNIRegexp` for TCP"));
    }
    if name.contains(':') {
        let fault = value.fault("the port is no part of the host");
        return Some(fault.remedy("leave it out; the entry point decides the port"));
    }
    if name.contains('*') {
        let fault = value.fault("a star stands for the first label only");
        return Some(fault.remedy("write `*.example.com`, or use a pattern"));
    }
    if name.contains(|c: char| !c.is_ascii_graphic()) {
        return Some(value.fault("the host contains white space or a control character"));
    }
    if name.split('.').any(str::is_empty) {
        return Some(value.fault("the host has an empty label"));
    }
    None
}

fn never_a_path(value: &Text<'_>) -> Fault {
    value
        .fault("no request has that path")
        .remedy("requests are compared after `//`, `.` and `..` have been resolved")
}

/// The path as requests are compared: unreserved characters decoded, everything that may not
/// stand in a path encoded, escapes in upper case (RFC 3986 section 6.2.2).
pub(super) fn canonical_literal(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut canonical = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| bytes.get(at + 1..at + 3).and_then(hexadecimal));
        let (byte, literal, length) = match escaped.flatten() {
            Some(decoded) => (decoded, is_unreserved(decoded), 3),
            None => (byte, is_path_byte(byte), 1),
        };
        if literal {
            canonical.push(char::from(byte));
        } else {
            canonical.push_str(&format!("%{byte:02X}"));
        }
        at += length;
    }
    canonical
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 section 3.3: `pchar` and the slash; and brackets, which requests keep as they are.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':'
                | b'@'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b'['
                | b']'
        )
}

#[cfg(test)]
mod tests;
