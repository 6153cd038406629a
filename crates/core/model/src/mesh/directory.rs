//! What a proxy knows of every service, in few bytes.
//!
//! A mesh may be large, and there is a proxy beside each of its workloads. So what all of them know
//! is packed: the entries lie one behind the other in one buffer, by name, and are unpacked when
//! somebody looks at them. A service of one port with two addresses takes about 130 bytes.

mod record;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::IndexEntry;
use record::Record;

/// The services of a mesh, by name and by the addresses that callers dial: virtual ones, and those of
/// the endpoints of headless services.
#[derive(Clone, Default, PartialEq)]
pub struct Directory {
    entries: Records,
    /// Places of `entries`, by a hash of an address and port that callers dial; [`FREE`] between
    /// them. Whoever looks goes on from the slot of the hash to the first one whose entry is dialled
    /// there, or that is free. Slots are taken and never taken away, so that is the first comer.
    dialled: Box<[u32]>,
    /// Places of `entries` that are found by their hosts.
    by_host: Box<[u32]>,
}

/// Entries that were put into a [`Directory`] or taken out of it, still to be carried out. Of several
/// for one name the last one counts.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    entries: Records,
}

/// One service of a [`Directory`].
#[derive(Clone, Copy)]
pub struct Listed<'a>(Record<'a>);

/// Records one behind the other.
#[derive(Debug, Clone, Default, PartialEq)]
struct Records {
    packed: Vec<u8>,
    /// Where each begins.
    starts: Vec<u32>,
}

/// Room for the entries of a mesh of two thousand services. What is not written to takes no memory,
/// and a buffer that grows leaves its smaller forms behind.
const RESERVED_BYTES: usize = 256 << 10;

/// No place.
const FREE: u32 = u32::MAX;

// === impl Directory ===

impl Directory {
    /// These services, of a version without a name. Of two with one name the later one counts.
    pub fn new(entries: impl IntoIterator<Item = impl AsRef<IndexEntry>>) -> Self {
        let mut changes = Changes::default();
        for entry in entries {
            changes.put(entry.as_ref(), "");
        }
        Self::default().with(changes)
    }

    /// The directory after these changes.
    #[must_use]
    pub fn with(&self, changes: Changes) -> Self {
        let entries = match self.is_empty() && changes.is_directory() {
            // All of a mesh comes by name: what a proxy hears first is not copied.
            true => changes.entries,
            false => self.merged(&changes),
        };
        let by_host = (0..).zip(entries.iter()).filter(|(_, record)| record.is_found_by_host());
        let by_host = by_host.map(|(place, _)| place).collect();
        Self { dialled: dialled(&entries), by_host, entries }
    }

    fn merged(&self, changes: &Changes) -> Records {
        let mut merged = Records::default();
        merged.packed.reserve_exact(self.entries.packed.len() + changes.entries.packed.len());
        merged.starts.reserve_exact(self.entries.len() + changes.entries.len());
        let changes = changes.by_name();
        let mut changes = changes.into_iter().peekable();
        let mut known = self.entries.iter().peekable();
        loop {
            let order = match (known.peek(), changes.peek()) {
                (Some(known), Some(change)) => known.name.cmp(change.name),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let kept = if order.is_le() { known.next() } else { None };
            let change = if order.is_ge() { changes.next() } else { None };
            match (change, kept) {
                (Some(change), _) if change.is_removed => {}
                (Some(record), _) | (None, Some(record)) => merged.push(record.bytes),
                (None, None) => {}
            }
        }
        merged
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'_>> {
        self.entries.iter().map(Listed)
    }

    /// Those that are found by their hosts alone ([`IndexEntry::is_found_by_host`]), by name.
    pub fn found_by_host(&self) -> impl Iterator<Item = Listed<'_>> {
        self.by_host.iter().filter_map(|place| self.entries.nth(*place)).map(Listed)
    }

    /// The service of that name.
    pub fn get(&self, name: &str) -> Option<Listed<'_>> {
        let starts = &self.entries.starts;
        let packed = &self.entries.packed;
        let order = |start: &u32| record::name(&packed[*start as usize..]).cmp(name);
        let place = starts.binary_search_by(order).ok()?;
        Some(Listed(self.entries.at(starts[place])))
    }

    /// The service to which a connection to that address belongs. Of two with one address and port,
    /// a virtual address wins over an endpoint, and then the lesser name.
    pub fn holder(&self, addr: SocketAddr) -> Option<Listed<'_>> {
        self.entries.nth(self.dialled[slot(&self.entries, &self.dialled, addr)?]).map(Listed)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

// === impl Changes ===

impl Changes {
    /// Adds a service, or replaces the one of its name. `version` is for whoever has given it.
    pub fn put(&mut self, entry: &IndexEntry, version: &str) {
        self.entries.add(|packed| record::write(packed, entry, version));
    }

    /// Takes a service out.
    pub fn remove(&mut self, name: &str) {
        self.entries.add(|packed| record::write_removed(packed, name));
    }

    /// Whether they are what a directory holds: each name once, in order, and none to take out.
    fn is_directory(&self) -> bool {
        let mut before = None;
        self.entries.iter().all(|record| {
            let is_next = before.replace(record.name).is_none_or(|before| before < record.name);
            is_next && !record.is_removed
        })
    }

    /// Whether there is nothing to carry out.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// What is to be done to each name.
    fn by_name(&self) -> Vec<Record<'_>> {
        let mut all: Vec<Record<'_>> = self.entries.iter().collect();
        // The sort is stable: of one name, the last one comes first and stays.
        all.reverse();
        all.sort_by_key(|record| record.name);
        all.dedup_by_key(|record| record.name);
        all
    }
}

// === impl Listed ===

impl<'a> Listed<'a> {
    /// Its name.
    pub fn name(self) -> &'a str {
        self.0.name
    }

    /// Its version, as it was put in.
    pub fn version(self) -> &'a str {
        self.0.version
    }

    /// Its virtual addresses.
    pub fn addrs(self) -> impl Iterator<Item = IpAddr> + 'a {
        self.0.addrs()
    }

    /// The addresses of its endpoints, if callers dial those.
    pub fn endpoint_addrs(self) -> impl Iterator<Item = IpAddr> + 'a {
        self.0.endpoint_addrs()
    }

    /// The entry itself.
    pub fn entry(self) -> IndexEntry {
        self.0.entry()
    }
}

impl PartialEq for Listed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Listed<'_> {}

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listed").field(&self.version()).field(&self.entry()).finish()
    }
}

// === impl Records ===

impl Records {
    fn len(&self) -> usize {
        self.starts.len()
    }

    fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.starts.iter().map(|start| self.at(*start))
    }

    fn at(&self, start: u32) -> Record<'_> {
        record::read(&self.packed[start as usize..])
    }

    fn nth(&self, place: u32) -> Option<Record<'_>> {
        self.starts.get(place as usize).map(|start| self.at(*start))
    }

    fn push(&mut self, record: &[u8]) {
        self.add(|packed| packed.extend_from_slice(record));
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.packed.capacity() == 0 {
            self.packed.reserve_exact(RESERVED_BYTES);
        }
        // 4 GiB of names are no mesh.
        self.starts.push(self.packed.len() as u32);
        write(&mut self.packed);
    }
}

// === functions ===

/// The table of addresses of these entries.
fn dialled(entries: &Records) -> Box<[u32]> {
    let count: usize = entries.iter().map(|record| record.dialled().count()).sum();
    if count == 0 {
        return Box::default();
    }
    let mut table = vec![FREE; (count * 4 / 3 + 1).next_power_of_two()].into_boxed_slice();
    // The first one that comes to an address has it: places are in the order of names.
    for is_virtual in [true, false] {
        for (place, record) in (0..).zip(entries.iter()) {
            for addr in record.dialled().filter(|addr| record.is_virtual(addr.ip()) == is_virtual) {
                // There is a slot: the table has more of them than there are addresses.
                let Some(slot) = slot_or_free(entries, &table, addr) else { continue };
                if table[slot] == FREE {
                    table[slot] = place;
                }
            }
        }
    }
    table
}

/// The slot of an address that somebody holds.
fn slot(entries: &Records, table: &[u32], addr: SocketAddr) -> Option<usize> {
    slot_or_free(entries, table, addr).filter(|slot| table[*slot] != FREE)
}

/// The slot of an address, or the free one where it would be; `None` for a table without slots.
fn slot_or_free(entries: &Records, table: &[u32], addr: SocketAddr) -> Option<usize> {
    let first = hash(addr) as usize;
    (0..table.len()).map(|step| first.wrapping_add(step) & (table.len() - 1)).find(|slot| {
        entries.nth(table[*slot]).is_none_or(|record| record.dialled().any(|has| has == addr))
    })
}

/// Spreads addresses that differ in a few bits of their ends. Who names addresses is the control
/// plane, so nobody can choose them to fall together.
fn hash(addr: SocketAddr) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (high, low) = match addr.ip() {
        IpAddr::V4(ip) => (0, u64::from(ip.to_bits())),
        IpAddr::V6(ip) => ((ip.to_bits() >> 64) as u64, ip.to_bits() as u64),
    };
    let mixed = (high.wrapping_mul(ODD) ^ low).wrapping_mul(ODD) ^ u64::from(addr.port());
    mixed.wrapping_mul(ODD) >> 32
}
