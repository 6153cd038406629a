//! What is said on the node's Unix socket.
//!
//! A message is its length (4 bytes, big-endian) and a JSON object with the protocol's version.
//! Fields that are not known are left aside, so that a client and a node of neighbouring versions
//! understand each other; the version changes only when they would not.
//!
//! A client sends a [`Request`] and gets an [`Answer`] for each, in order. After
//! [`Request::Run`], which brings the application's standard input, output and error as
//! descriptors (`SCM_RIGHTS`), the connection is the workload's: the node tells what happens to it
//! up to [`Answer::Ended`], and when the client goes away before, the workload is stopped unless it
//! was detached.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::attest::Attested;
use crate::launch::{Application, User};
use crate::life::{Event, Outcome};
use crate::network::Addrs;
use crate::plan::Exclusions;

pub(crate) mod channel;

pub use channel::{ChannelError, read_message, write_message};

#[cfg(test)]
mod tests;

/// The version of the protocol that is spoken here.
pub const VERSION: u32 = 1;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Start a workload. Brings three descriptors.
    Run(Box<Run>),
    /// Tell which workloads there are.
    List,
    /// End a workload as it should; again: at once.
    Stop {
        /// Which.
        workload: Name,
    },
    /// Pass a signal to an application.
    Signal {
        /// Which.
        workload: Name,
        /// The signal's number.
        signal: i32,
    },
    /// Put another proxy in the place of a workload's. For root and the node's owner.
    Upgrade {
        /// Which.
        workload: Name,
        /// What the proxy runs, from the root on.
        program: PathBuf,
    },
    /// Have all proxies that are started from now on run that program. For root and the node's
    /// owner.
    Program {
        /// Which, from the root on.
        program: PathBuf,
    },
    /// Tell whose process that is.
    Who {
        /// Its id.
        pid: u32,
        /// Its user.
        uid: u32,
    },
}

/// A workload to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its name. Another one of the same name gets a number behind it.
    pub name: Name,
    /// The account that its identity is made of; `default` if `None`.
    #[serde(default)]
    pub service_account: Option<String>,
    /// Labels, by which services find it beside its name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where the application listens.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// What is not captured.
    #[serde(default)]
    pub exclusions: Exclusions,
    /// What is run.
    pub application: Application,
    /// As whom, for callers who may choose (root); others run their own.
    #[serde(default)]
    pub user: Option<User>,
    /// How long application and proxy may take to end, milliseconds; 30,000 if `None`.
    #[serde(default)]
    pub grace_ms: Option<u64>,
    /// Whether it goes on when the client goes away.
    #[serde(default)]
    pub detach: bool,
}

/// A port that an application listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Its name (`grpc-api`), which may tell what is spoken as in Istio.
    #[serde(default)]
    pub name: String,
    /// What is spoken on it, as `appProtocol` of a Kubernetes Service; found out if `None`.
    #[serde(default)]
    pub protocol: Option<String>,
}

/// A workload as the node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its own name, `shop/payments-2`.
    pub name: Name,
    /// The name it was asked for under, which is that of its service: `shop/payments`.
    pub service: Name,
    /// The account that its identity is made of.
    pub service_account: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where its application listens.
    pub ports: Vec<Port>,
    /// Its addresses.
    pub addrs: Addrs,
    /// The network namespace, unless it is the machine's.
    pub namespace: Option<String>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whose it is.
    pub uid: u32,
    /// The process of its application.
    pub application_pid: Option<u32>,
    /// The process of its proxy.
    pub proxy_pid: Option<u32>,
}

/// Where a workload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its proxy is not ready yet, and its application waits; or that does not listen on all of its
    /// ports yet.
    Starting,
    /// Both run, and the application listens.
    Running,
    /// The proxy has died and is on its way back; connections are refused.
    WithoutProxy,
    /// It ends; nobody should call it any more.
    Stopping,
}

/// What the node answers, and tells by itself of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The workload begins; its proxy is being started.
    Started(Box<Registered>),
    /// Something happened to it.
    Event(Event),
    /// It has ended, and everything of it is removed.
    Ended(Outcome),
    /// The workloads there are.
    Workloads(Vec<Registered>),
    /// It is done.
    Done,
    /// Whose process it is; nobody's of this node if `None`.
    Who(Option<Attested>),
    /// It is not done.
    Refused(Refusal),
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// The reason and the way out, for people.
    pub reason: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The request cannot be meant so.
    Invalid,
    /// Ports or addresses are taken.
    Conflict,
    /// The caller may not.
    Forbidden,
    /// There is no such workload.
    Unknown,
    /// The node is about to end.
    Closing,
    /// The machine does not let us.
    Machine,
}

// === impl Run ===

impl Run {
    /// The account that its identity is made of.
    pub fn service_account(&self) -> &str {
        self.service_account.as_deref().unwrap_or("default")
    }
}

// === impl Refusal ===

impl Refusal {
    /// A refusal with its reason.
    pub fn new(kind: RefusalKind, reason: impl ToString) -> Self {
        Self { kind, reason: reason.to_string() }
    }
}
