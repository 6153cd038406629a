//! Who is at the other end.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::SystemTime;

use weft_distribute::Published;
use weft_model::id::WorkloadName;
use weft_model::identity::Identity;

/// Says who a process is that has connected to a Unix socket.
pub trait Attest {
    /// Who that process is, if it is on that side of its workload: an application has no business
    /// where proxies report what they hold. What it claims is only to be believed as far as something
    /// else, such as its user id, allows.
    ///
    /// # Errors
    ///
    /// [`NotAttested`], which the process gets to read.
    fn attest(&self, caller: Process, side: Side, claim: &Claim) -> Result<Attested, NotAttested>;
}

/// The two sides of a workload. Each has a socket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The proxy.
    Proxy,
    /// The application.
    Application,
}

/// A process, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its user.
    pub uid: u32,
    /// Its id at the time it connected, where the system tells.
    pub pid: Option<i32>,
}

/// Who somebody says to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// The workload, empty when it says nothing.
    pub workload: String,
    /// The identity, if it says one.
    pub identity: Option<Identity>,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The workload.
    pub workload: WorkloadName,
    /// Its identity.
    pub identity: Identity,
}

/// Nobody knows who it is, or it is not who it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAttested(pub String);

/// Believes processes of some users whatever workload they claim to be. For machines without a
/// node, where these users are the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByUid(BTreeSet<u32>);

/// The other end of a connection, as far as the connection itself proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process on this machine.
    Process(Process),
    /// A process on this machine, at the socket for applications.
    Application(Process),
    /// Somebody with a certificate of the mesh.
    Certified { addr: Option<SocketAddr>, identity: Identity, not_after: SystemTime },
    /// Somebody whose certificate of the mesh has ended not long ago. It is good for another one.
    Returning { addr: Option<SocketAddr>, identity: Identity, not_after: SystemTime },
    /// Somebody on the network.
    Unknown { addr: Option<SocketAddr> },
    /// A part of this process.
    Own(Attested),
}

// === impl Claim ===

impl Claim {
    /// From two texts of a message.
    ///
    /// # Errors
    ///
    /// When the identity is none.
    pub(crate) fn parse(workload: &str, identity: &str) -> Result<Self, NotAttested> {
        let identity = match identity {
            "" => None,
            text => Some(text.parse().map_err(|error| {
                NotAttested(format!("the identity `{text}` that is claimed is none: {error}"))
            })?),
        };
        Ok(Self { workload: workload.into(), identity })
    }

    /// The workload, if one is claimed that can be believed for an identity: its namespace has to
    /// be the identity's.
    fn workload_of(&self, identity: &Identity) -> Result<WorkloadName, NotAttested> {
        let namespace = self.workload.split_once('/').map(|(namespace, _)| namespace);
        if namespace == Some(identity.namespace()) {
            return Ok(WorkloadName::new(self.workload.as_str()));
        }
        Err(NotAttested(format!(
            "the workload `{}` is not in the namespace of {identity}",
            self.workload
        )))
    }
}

// === impl Attested ===

impl Attested {
    /// Somebody who has proved an identity, and says of which workload. The mesh knows best; of a
    /// workload that it does not know, the namespace has to fit.
    pub(crate) fn by_identity(
        identity: &Identity,
        claim: &Claim,
        published: &Published,
    ) -> Result<Self, NotAttested> {
        if claim.identity.as_ref().is_some_and(|claimed| claimed != identity) {
            return Err(NotAttested(format!("the caller is {identity}, not who it claims to be")));
        }
        let workload = match published.workload(&claim.workload) {
            Some(known) if known.identity == *identity => known.name.clone(),
            Some(known) => {
                let (name, expected) = (&claim.workload, &known.identity);
                return Err(NotAttested(format!("{name} is {expected}, not {identity}")));
            }
            None => claim.workload_of(identity)?,
        };
        Ok(Self { workload, identity: identity.clone() })
    }
}

// === impl ByUid ===

impl ByUid {
    /// Believes processes of these users.
    pub fn new(uids: impl IntoIterator<Item = u32>) -> Self {
        Self(uids.into_iter().collect())
    }
}

impl Attest for ByUid {
    fn attest(&self, caller: Process, _: Side, claim: &Claim) -> Result<Attested, NotAttested> {
        if !self.0.contains(&caller.uid) {
            let uid = caller.uid;
            return Err(NotAttested(format!("processes of user {uid} may not join the mesh")));
        }
        let identity = claim.identity.clone();
        let identity = identity.ok_or_else(|| NotAttested("no identity is claimed".into()))?;
        Ok(Attested { workload: claim.workload_of(&identity)?, identity })
    }
}

// === impl Process ===

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uid = self.uid;
        match self.pid {
            Some(pid) => write!(f, "process {pid} of user {uid}"),
            None => write!(f, "a process of user {uid}"),
        }
    }
}

// === impl Peer ===

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) | Self::Application(process) => process.fmt(f),
            Self::Certified { addr: Some(addr), .. }
            | Self::Returning { addr: Some(addr), .. }
            | Self::Unknown { addr: Some(addr) } => write!(f, "{addr}"),
            Self::Certified { .. } | Self::Returning { .. } | Self::Unknown { .. } => {
                f.write_str("an unnamed connection")
            }
            Self::Own(_) => f.write_str("this process"),
        }
    }
}
