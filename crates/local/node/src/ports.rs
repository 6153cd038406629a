//! Sets of ports, and who claims which: an application that wants a port of its proxy learns so
//! before anything starts.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::network::{
    ADMIN_PORT, DNS_PORT, INBOUND_PORT, MESH_PORT, METRICS_PORT, OUTBOUND_PORT, PROXY_PORTS,
    READY_PORT,
};

#[cfg(test)]
mod tests;

/// A set of ports, as sorted ranges that do not touch. Written `22,9000-9010`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports(Vec<(u16, u16)>);

/// A text is not a set of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a port from 1 to 65535 nor a range such as 9000-9010")]
pub struct InvalidPorts(pub String);

/// A port that a workload listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub workload: Name,
    /// Which.
    pub port: u16,
    /// The address space it is claimed in: with namespaces every workload has its own, without
    /// all share one.
    pub scope: Scope,
}

/// An address space for ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The workload's own network namespace.
    Own,
    /// The machine's; an application that listens on all addresses takes the port from all.
    Machine,
}

/// Two want one port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortConflict {
    /// The application's port is one that its proxy listens on.
    #[error(
        "{workload} cannot listen on port {port}: its proxy uses it for {purpose}; \
         let the application listen on another port, outside of 15000-15021 and 15053"
    )]
    Proxy {
        /// Whose application.
        workload: Name,
        /// The port.
        port: u16,
        /// What the proxy uses it for.
        purpose: &'static str,
    },
    /// The application's port is one that is left alone because it is kept for proxies.
    #[error(
        "{workload} cannot listen on port {port}: 15000-15021 and 15053 are kept for proxies, \
         so connections to it would pass by the mesh; let the application listen on another port"
    )]
    Reserved {
        /// Whose application.
        workload: Name,
        /// The port.
        port: u16,
    },
    /// The application claims the port twice.
    #[error("{workload} names port {port} twice; name it once")]
    Twice {
        /// Whose application.
        workload: Name,
        /// The port.
        port: u16,
    },
    /// Another workload has it, in the same address space.
    #[error(
        "{workload} cannot listen on port {port}: {other} does, and without network namespaces \
         both share this machine's ports; use another port for one of them, or run as root so \
         that each gets a namespace of its own"
    )]
    Workload {
        /// Who asks.
        workload: Name,
        /// The port.
        port: u16,
        /// Who has it.
        other: Name,
    },
    /// A program outside of the mesh listens on it.
    #[error(
        "{workload} cannot listen on port {port} of {ip}: another program of this machine does; \
         `ss -ltnp sport = :{port}` shows which one"
    )]
    Machine {
        /// Who asks.
        workload: Name,
        /// The port.
        port: u16,
        /// The address.
        ip: IpAddr,
    },
}

// === impl Ports ===

impl Ports {
    /// No ports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// First and last port of each range, in order.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether it is among them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }
}

impl FromIterator<(u16, u16)> for Ports {
    fn from_iter<I: IntoIterator<Item = (u16, u16)>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }
}

impl FromStr for Ports {
    type Err = InvalidPorts;

    fn from_str(text: &str) -> Result<Self, InvalidPorts> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(range).collect()
    }
}

impl TryFrom<String> for Ports {
    type Error = InvalidPorts;

    fn try_from(text: String) -> Result<Self, InvalidPorts> {
        text.parse()
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> Self {
        ports.to_string()
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// Every reason why `wanted` cannot be had beside what is `held` by others.
pub fn conflicts(wanted: &[Claim], held: &[Claim]) -> Vec<PortConflict> {
    let mut found = Vec::new();
    for (index, claim) in wanted.iter().enumerate() {
        let Claim { workload, port, scope } = claim;
        let (workload, port) = (workload.clone(), *port);
        if let Some(purpose) = purpose(port) {
            found.push(PortConflict::Proxy { workload, port, purpose });
        } else if PROXY_PORTS.iter().any(|(first, last)| (*first..=*last).contains(&port)) {
            found.push(PortConflict::Reserved { workload, port });
        } else if wanted[..index].iter().any(|other| other.port == port) {
            found.push(PortConflict::Twice { workload, port });
        } else if let Some(other) = held.iter().find(|other| {
            other.port == port && *scope == Scope::Machine && other.scope == Scope::Machine
        }) {
            found.push(PortConflict::Workload { workload, port, other: other.workload.clone() });
        }
    }
    found
}

fn purpose(port: u16) -> Option<&'static str> {
    match port {
        ADMIN_PORT => Some("its admin endpoint"),
        OUTBOUND_PORT => Some("connections of the application"),
        INBOUND_PORT => Some("connections to the application"),
        MESH_PORT => Some("connections from other proxies"),
        METRICS_PORT => Some("metrics"),
        READY_PORT => Some("readiness"),
        DNS_PORT => Some("DNS"),
        _ => None,
    }
}

fn range(text: &str) -> Result<(u16, u16), InvalidPorts> {
    let invalid = || InvalidPorts(text.into());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| invalid());
    let (first, last) = (port(first)?, port(last)?);
    if first == 0 || last < first {
        return Err(invalid());
    }
    Ok((first, last))
}
