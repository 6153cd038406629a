//! Whether an application listens where it is said to, as `/proc` shows it: nobody connects to it, so
//! nothing is seen of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::host::processes::{self, NamespaceId};
use crate::network::Addrs;

#[cfg(test)]
mod tests;

/// How often is looked in the first seconds, when most applications come ...
const POLL_MIN: Duration = Duration::from_millis(20);

/// ... and later on.
const POLL_MAX: Duration = Duration::from_millis(500);

/// The state of a socket that listens (`TCP_LISTEN` of Linux).
const LISTEN: &str = "0A";

/// Where an application is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listens {
    /// On one of these addresses, or on all of the machine's.
    pub(crate) addrs: Addrs,
    /// On each of these ports.
    pub(crate) ports: Vec<u16>,
    /// In this network namespace, unless it is the machine's.
    pub(crate) namespace: Option<NamespaceId>,
}

/// A port that somebody listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    ip: IpAddr,
    port: u16,
}

// === impl Listens ===

impl Listens {
    /// Waits until every port is open where that process is.
    ///
    /// Cancel safe.
    pub(crate) async fn until_open(self, process: u32) {
        let mut pause = POLL_MIN;
        while !(self.is_there(process) && self.is_open(&open_of(process))) {
            weft_runtime::time::sleep(pause).await;
            pause = (pause + POLL_MIN / 10).min(POLL_MAX);
        }
    }

    /// A process that is just being started is in the machine's namespace for a moment.
    fn is_there(&self, process: u32) -> bool {
        self.namespace.is_none() || processes::namespace_of(process) == self.namespace
    }

    fn is_open(&self, open: &[Open]) -> bool {
        let reaches = |ip: IpAddr| ip.is_unspecified() || self.addrs.iter().any(|own| own == ip);
        let is_open = |port: &u16| open.iter().any(|open| open.port == *port && reaches(open.ip));
        self.ports.iter().all(is_open)
    }
}

/// The ports that are listened on in the network namespace of a process; none when it is gone.
fn open_of(process: u32) -> Vec<Open> {
    let folder = PathBuf::from(format!("/proc/{process}/net"));
    let tables = ["tcp", "tcp6"].map(|name| std::fs::read_to_string(folder.join(name)));
    tables.iter().flatten().flat_map(|table| table.lines().filter_map(parse)).collect()
}

/// A line of `/proc/net/tcp` or `tcp6`: the second field is the own address, the fourth the state
/// (proc_pid_net(5)).
fn parse(line: &str) -> Option<Open> {
    let mut fields = line.split_ascii_whitespace();
    let (ip, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    Some(Open { ip: parse_ip(ip)?.to_canonical(), port: u16::from_str_radix(port, 16).ok()? })
}

/// The bytes of an address as they lie in memory, four at a time as a number of this machine.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = text.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index)?);
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}
