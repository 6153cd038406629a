//! The resolvers that know all other names.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// The resolvers that know all other names.
#[derive(Debug)]
pub struct Upstreams(Source);

#[derive(Debug)]
enum Source {
    Fixed(Rc<[SocketAddr]>),
    File(PathBuf, RefCell<Seen>),
}

/// What a file was when it was last read.
#[derive(Debug)]
struct Seen {
    /// `None` before it was read; then what tells one content from the next, if the file is there.
    stamp: Option<Option<Stamp>>,
    servers: Rc<[SocketAddr]>,
}

type Stamp = (SystemTime, u64);

/// The port of resolvers.
const PORT: u16 = 53;

/// The system's own resolver uses no more of them (resolv.conf(5)).
const SERVERS_MAX: usize = 3;

// === impl Upstreams ===

impl Upstreams {
    /// These, the first one preferred.
    pub fn fixed(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(Source::Fixed(servers.into_iter().collect()))
    }

    /// Those that a file in the form of `/etc/resolv.conf` names, at most three. Before each use the
    /// file is looked at, and read again if it has changed: machines move between networks. While it
    /// is not readable, what it said last holds.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let seen = Seen { stamp: None, servers: [].into() };
        Self(Source::File(path.into(), RefCell::new(seen)))
    }

    /// The present ones.
    pub(crate) fn servers(&self) -> Rc<[SocketAddr]> {
        match &self.0 {
            Source::Fixed(servers) => Rc::clone(servers),
            Source::File(path, seen) => seen.borrow_mut().look(path),
        }
    }
}

// === impl Seen ===

impl Seen {
    fn look(&mut self, path: &Path) -> Rc<[SocketAddr]> {
        let stamp = stamp(path);
        if self.stamp != Some(stamp) {
            self.stamp = Some(stamp);
            match std::fs::read_to_string(path) {
                Ok(text) => self.servers = parse(&text).into(),
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "upstream resolvers are not known");
                }
            }
        }
        Rc::clone(&self.servers)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The name servers of a resolv.conf. Those that are no plain address (link-local ones name an
/// interface too) are passed over.
fn parse(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let addr: IpAddr = match (words.next(), words.next()) {
            (Some("nameserver"), Some(addr)) => addr.parse().ok()?,
            _ => return None,
        };
        Some(SocketAddr::new(addr, PORT))
    });
    servers.take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests;
