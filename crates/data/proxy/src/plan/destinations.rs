//! Which listener stands for what a captured connection was meant for.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_model::id::ServiceName;
use weft_model::listener::{Destination, Direction, Intake, Listener};
use weft_model::mesh::{AddressRange, Directory, IndexEntry, Neighbours};

#[cfg(test)]
mod tests;

/// The destinations of a plan by address. A look-up costs the same however many there are.
#[derive(Debug, Default)]
pub(crate) struct Destinations {
    outbound: Table,
    inbound: Table,
    /// The addresses of the workload.
    own: HashSet<IpAddr>,
    /// Where the proxy itself listens.
    bound: HashMap<u16, Vec<IpAddr>>,
    services: Arc<Directory>,
    neighbours: Neighbours,
}

/// What stands for an address.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    /// The listener at this place of the plan.
    Listener(usize),
    /// A service that the plan says nothing about yet, because nobody here has dialled it so far; or
    /// the address of what may be a workload, of which nobody has asked whose it is.
    Unlearned(ServiceName),
    /// This service, which has no such port.
    NoPort(Box<IndexEntry>),
    /// Nothing.
    Nothing,
}

/// Destinations of one direction, by how closely they name an address.
#[derive(Debug, Default)]
struct Table {
    exact: HashMap<SocketAddr, usize>,
    by_ip: HashMap<IpAddr, usize>,
    /// Those of ranges of addresses, in order.
    ranges: Vec<(AddressRange, Option<u16>, usize)>,
    by_port: HashMap<u16, usize>,
    rest: Option<usize>,
}

// === impl Destinations ===

impl Destinations {
    /// Of several that name one address in the same way, the first has it.
    pub(crate) fn new<'a>(
        listeners: impl IntoIterator<Item = &'a Listener>,
        services: Arc<Directory>,
        neighbours: Neighbours,
    ) -> Self {
        let mut made = Self { services, neighbours, ..Self::default() };
        for (place, listener) in listeners.into_iter().enumerate() {
            match &listener.intake {
                Intake::Destination(destination) => made.add(destination, place),
                Intake::Bound | Intake::Captured(_) | Intake::Mesh | Intake::Explicit => {
                    made.bound.entry(listener.addr.port()).or_default().push(listener.addr.ip());
                }
            }
        }
        made
    }

    /// What stands for a connection from the workload to that address.
    pub(crate) fn outbound(&self, addr: SocketAddr) -> Standing {
        if let Some(place) = self.outbound.exact.get(&addr) {
            return Standing::Listener(*place);
        }
        if let Some(listed) = self.services.holder(addr) {
            return Standing::Unlearned(ServiceName::new(listed.name()));
        }
        if let Some(place) = self.outbound.by_ip.get(&addr.ip()) {
            return Standing::Listener(*place);
        }
        match self.neighbours.unlearned(addr.ip()) {
            Some(name) => Standing::Unlearned(name),
            None => self.rest(addr),
        }
    }

    /// What stands for an address that nobody is known to be called by.
    fn rest(&self, addr: SocketAddr) -> Standing {
        if let Some(service) = self.virtual_at(addr.ip()) {
            return Standing::NoPort(Box::new(service));
        }
        self.outbound.unnamed(addr).map_or(Standing::Nothing, Standing::Listener)
    }

    /// The service of the mesh whose virtual address that is. All are looked at: there is something
    /// wrong with such a call, so they are rare.
    fn virtual_at(&self, ip: IpAddr) -> Option<IndexEntry> {
        let mut services = self.services.iter().filter(|_| may_be_virtual(ip));
        let found = services.find(|listed| listed.addrs().any(|addr| addr == ip))?.entry();
        found.location.is_inside().then_some(found)
    }

    /// Whether the mesh knows a host by its name alone, at that port: a service elsewhere without
    /// addresses of its own, which is called at the address that its callers have for it.
    pub(crate) fn knows_host(&self, host: &str, port: u16) -> bool {
        // The name is whole.
        let host = format!("{}.", host.trim_end_matches('.'));
        let named = self.services.resolve(&host, "", "");
        named.filter(|named| named.hostname.is_none()).is_some_and(|named| {
            let entry = named.service.entry();
            entry.is_found_by_host() && entry.port(port).is_some()
        })
    }

    /// What stands for a connection to the workload, at that address of it.
    pub(crate) fn inbound(&self, addr: SocketAddr) -> Standing {
        let place = self.inbound.named(addr).or_else(|| self.inbound.unnamed(addr));
        place.map_or(Standing::Nothing, Standing::Listener)
    }

    /// Whether the workload has this address.
    pub(crate) fn is_own(&self, ip: IpAddr) -> bool {
        self.own.contains(&ip)
    }

    /// Whether it is the proxy itself that listens there. `local` is the address at which the
    /// connection has arrived.
    pub(crate) fn is_proxy(&self, addr: SocketAddr, local: SocketAddr) -> bool {
        let Some(bound) = self.bound.get(&addr.port()) else { return false };
        let ip = addr.ip();
        bound.iter().any(|bound| {
            *bound == ip
                || bound.is_unspecified()
                    && (ip.is_loopback() || ip == local.ip() || self.own.contains(&ip))
        })
    }

    fn add(&mut self, destination: &Destination, place: usize) {
        let table = match destination.direction {
            Direction::Outbound => &mut self.outbound,
            Direction::Inbound => {
                self.own.extend(destination.addrs.iter().copied());
                &mut self.inbound
            }
        };
        table.add(destination, place);
    }
}

// === impl Table ===

impl Table {
    fn add(&mut self, destination: &Destination, place: usize) {
        match (&*destination.addrs, destination.port) {
            ([], port) if let Some(range) = &destination.range => {
                self.ranges.push((range.clone(), port, place));
            }
            ([], None) => {
                self.rest.get_or_insert(place);
            }
            ([], Some(port)) => {
                self.by_port.entry(port).or_insert(place);
            }
            (addrs, None) => {
                for ip in addrs {
                    self.by_ip.entry(*ip).or_insert(place);
                }
            }
            (addrs, Some(port)) => {
                for ip in addrs {
                    self.exact.entry(SocketAddr::new(*ip, port)).or_insert(place);
                }
            }
        }
    }

    /// One that names the address.
    fn named(&self, addr: SocketAddr) -> Option<usize> {
        self.exact.get(&addr).or_else(|| self.by_ip.get(&addr.ip())).copied()
    }

    /// One that stands for whatever no other names.
    fn unnamed(&self, addr: SocketAddr) -> Option<usize> {
        let mut ranges = self.ranges.iter();
        let range = ranges.find(|(range, port, _)| {
            port.is_none_or(|port| port == addr.port()) && range.contains(addr.ip())
        });
        let place = range.map(|(_, _, place)| *place);
        place.or_else(|| self.by_port.get(&addr.port()).copied()).or(self.rest)
    }
}

/// Whether a service may have that address without it being anybody else's: what belongs to hosts
/// of the internet is not made up.
fn may_be_virtual(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || (first == 100 && second & 0xc0 == 64) || first >= 240
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}
