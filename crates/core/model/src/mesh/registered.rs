//! What is known of workloads that no document speaks of: those that run here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::id::WorkloadName;

/// The workloads that nodes have registered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registered {
    /// By name.
    pub workloads: BTreeMap<WorkloadName, Arc<RegisteredWorkload>>,
}

/// A workload that runs beside a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredWorkload {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its own name in it: `payments-2`.
    pub name: Box<str>,
    /// The name that it was asked for under, which is that of its service when no document selects
    /// it: `payments`.
    pub service: Box<str>,
    /// Labels, by which services and policies select it.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// The account that its identity is made of.
    pub service_account: Box<str>,
    /// Its addresses, the first one preferred.
    pub addrs: Box<[IpAddr]>,
    /// Where its application listens.
    pub ports: Box<[RegisteredPort]>,
    /// Where its proxy takes connections of the mesh; `None` when it has no proxy.
    pub proxy: Option<SocketAddr>,
    /// Zone it runs in.
    pub zone: Option<Box<str>>,
    /// Where it is in its life.
    pub phase: Phase,
}

/// A port that an application listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredPort {
    /// Its number.
    pub number: u16,
    /// Its name, perhaps empty, which may tell what is spoken: `grpc-api`.
    pub name: Box<str>,
    /// What is spoken, as `appProtocol` of a Kubernetes Service.
    pub app_protocol: Option<Box<str>>,
}

/// Where a workload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// It does not take calls yet, or not at the moment.
    #[default]
    Unready,
    /// It takes calls.
    Ready,
    /// It ends; nobody should call it any more.
    Terminating,
}

// === impl Registered ===

impl Registered {
    /// Adds a workload, or replaces the one of its name.
    pub fn insert(&mut self, workload: RegisteredWorkload) {
        self.workloads.insert(workload.id(), Arc::new(workload));
    }
}

impl FromIterator<RegisteredWorkload> for Registered {
    fn from_iter<I: IntoIterator<Item = RegisteredWorkload>>(workloads: I) -> Self {
        let mut registered = Self::default();
        workloads.into_iter().for_each(|workload| registered.insert(workload));
        registered
    }
}

// === impl RegisteredWorkload ===

impl RegisteredWorkload {
    /// Its name among all: `shop/payments-2`.
    pub fn id(&self) -> WorkloadName {
        WorkloadName::new(format!("{}/{}", self.namespace, self.name))
    }
}
