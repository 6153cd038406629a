//! One entry as bytes. They never leave the process, so their form may change at any time.
//!
//! ```text
//! flags, name, version, addresses, endpoint addresses, ports
//! ```
//!
//! A text has its length in front, a list its count, both as LEB128. An address has the number of its
//! bytes in front.

use std::net::{IpAddr, SocketAddr};

use crate::id::ServiceName;
use crate::mesh::{IndexEntry, Location, Protocol, ServicePort};

/// The service is to be taken out; only its name follows.
const REMOVED: u8 = 1;

/// Its endpoints run elsewhere.
const EXTERNAL: u8 = 2;

/// Some of its endpoints have no proxy.
const UNGUARDED: u8 = 4;

/// An entry of which the name was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    /// The whole of it.
    pub(super) bytes: &'a [u8],
    pub(super) is_removed: bool,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    location: Location,
    addrs: List<'a>,
    endpoint_addrs: List<'a>,
    ports: List<'a>,
}

/// So many items, at the beginning of these bytes.
#[derive(Debug, Clone, Copy)]
struct List<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// What is still to be read.
#[derive(Debug, Clone, Copy)]
struct Reader<'a>(&'a [u8]);

/// A port as it is packed.
#[derive(Debug, Clone, Copy)]
struct PackedPort<'a> {
    number: u16,
    protocol: Protocol,
    name: &'a str,
}

// === writing ===

/// Appends an entry.
pub(super) fn write(packed: &mut Vec<u8>, entry: &IndexEntry, version: &str) {
    let IndexEntry { name, addrs, endpoint_addrs, ports, location } = entry;
    packed.push(match location {
        Location::Mesh => 0,
        Location::Unguarded => UNGUARDED,
        Location::External => EXTERNAL,
    });
    write_text(packed, name.as_str());
    write_text(packed, version);
    write_addrs(packed, addrs);
    write_addrs(packed, endpoint_addrs);
    write_number(packed, ports.len());
    for ServicePort { number, name, protocol } in ports {
        packed.extend_from_slice(&number.to_be_bytes());
        packed.push(protocol_code(*protocol));
        write_text(packed, name);
    }
}

/// Appends that the service of that name is to be taken out.
pub(super) fn write_removed(packed: &mut Vec<u8>, name: &str) {
    packed.push(REMOVED);
    write_text(packed, name);
}

fn write_addrs(packed: &mut Vec<u8>, addrs: &[IpAddr]) {
    write_number(packed, addrs.len());
    for addr in addrs {
        match addr {
            IpAddr::V4(ip) => {
                packed.push(4);
                packed.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                packed.push(16);
                packed.extend_from_slice(&ip.octets());
            }
        }
    }
}

fn write_text(packed: &mut Vec<u8>, text: &str) {
    write_number(packed, text.len());
    packed.extend_from_slice(text.as_bytes());
}

fn write_number(packed: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn protocol_code(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Detect => 0,
        Protocol::Http => 1,
        Protocol::Http2 => 2,
        Protocol::Tls => 3,
        Protocol::Tcp => 4,
    }
}

fn protocol(code: u8) -> Protocol {
    match code {
        1 => Protocol::Http,
        2 => Protocol::Http2,
        3 => Protocol::Tls,
        4 => Protocol::Tcp,
        _ => Protocol::Detect,
    }
}

// === reading ===

/// The entry at the beginning of the bytes, which [`write()`] or [`write_removed`] has made.
pub(super) fn read(bytes: &[u8]) -> Record<'_> {
    let mut reader = Reader(bytes);
    let flags = reader.byte();
    let name = reader.text();
    let is_removed = flags & REMOVED != 0;
    let none = List { count: 0, bytes: &[] };
    let (version, [addrs, endpoint_addrs, ports]) = match is_removed {
        true => ("", [none; 3]),
        false => (
            reader.text(),
            [reader.list(Reader::addr), reader.list(Reader::addr), reader.list(Reader::port)],
        ),
    };
    Record {
        bytes: &bytes[..bytes.len() - reader.0.len()],
        is_removed,
        name,
        version,
        location: location(flags),
        addrs,
        endpoint_addrs,
        ports,
    }
}

fn location(flags: u8) -> Location {
    match flags {
        _ if flags & EXTERNAL != 0 => Location::External,
        _ if flags & UNGUARDED != 0 => Location::Unguarded,
        _ => Location::Mesh,
    }
}

/// The name in such an entry.
pub(super) fn name(bytes: &[u8]) -> &str {
    let mut reader = Reader(bytes);
    reader.byte();
    reader.text()
}

// === impl Record ===

impl<'a> Record<'a> {
    /// As [`IndexEntry::is_found_by_host`].
    pub(super) fn is_found_by_host(self) -> bool {
        !self.location.is_inside() && self.addrs.count == 0
    }

    pub(super) fn entry(self) -> IndexEntry {
        IndexEntry {
            name: ServiceName::new(self.name),
            addrs: self.addrs().collect(),
            endpoint_addrs: self.endpoint_addrs().collect(),
            ports: self.ports.ports().map(ServicePort::from).collect(),
            location: self.location,
        }
    }

    pub(super) fn addrs(self) -> impl Iterator<Item = IpAddr> + 'a {
        self.addrs.addrs()
    }

    pub(super) fn endpoint_addrs(self) -> impl Iterator<Item = IpAddr> + 'a {
        self.endpoint_addrs.addrs()
    }

    /// The addresses and ports that callers dial.
    pub(super) fn dialled(self) -> impl Iterator<Item = SocketAddr> + 'a {
        let addrs = self.addrs().chain(self.endpoint_addrs());
        addrs.flat_map(move |ip| self.ports.ports().map(move |port| (ip, port.number).into()))
    }

    /// Whether it is a virtual address of the service.
    pub(super) fn is_virtual(self, ip: IpAddr) -> bool {
        self.addrs().any(|addr| addr == ip)
    }
}

// === impl List ===

impl<'a> List<'a> {
    fn addrs(self) -> impl Iterator<Item = IpAddr> + 'a {
        let mut reader = Reader(self.bytes);
        (0..self.count).map(move |_| reader.addr())
    }

    fn ports(self) -> impl Iterator<Item = PackedPort<'a>> + 'a {
        let mut reader = Reader(self.bytes);
        (0..self.count).map(move |_| reader.port())
    }
}

// === impl PackedPort ===

impl From<PackedPort<'_>> for ServicePort {
    fn from(port: PackedPort<'_>) -> Self {
        let PackedPort { number, protocol, name } = port;
        Self { number, name: name.into(), protocol }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> T) -> List<'a> {
        let count = self.number();
        let bytes = self.0;
        for _ in 0..count {
            item(self);
        }
        List { count, bytes }
    }

    fn addr(&mut self) -> IpAddr {
        match self.byte() {
            4 => IpAddr::from(self.array::<4>()),
            _ => IpAddr::from(self.array::<16>()),
        }
    }

    fn port(&mut self) -> PackedPort<'a> {
        let number = u16::from_be_bytes(self.array());
        let protocol = protocol(self.byte());
        PackedPort { number, protocol, name: self.text() }
    }

    fn text(&mut self) -> &'a str {
        let length = self.number();
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(text).expect("only texts were written")
    }

    fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (array, rest) = self.0.split_first_chunk().expect("records are whole");
        self.0 = rest;
        *array
    }
}
