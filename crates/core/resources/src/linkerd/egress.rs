//! EgressNetwork.

use std::net::IpAddr;

use ipnet::IpNet;

use super::annotations::{self, CallAnnotations};
use crate::metadata::Annotations;
use crate::read::Reader;

/// Addresses outside of the mesh, and whether they may be called. HTTPRoute, GRPCRoute, TLSRoute
/// and TCPRoute may have it as their parent.
#[derive(Debug, Clone, PartialEq)]
pub struct EgressNetwork {
    /// The addresses; `None` for all that are not in the cluster.
    pub networks: Option<Vec<Network>>,
    /// Whether calls that no route takes are made.
    pub allows: bool,
    /// What annotations say of the calls.
    pub calls: CallAnnotations,
    /// It has errors. It may have forbidden any call.
    pub is_broken: bool,
}

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The range.
    pub cidr: IpNet,
    /// Parts of it that do not belong.
    pub except: Vec<IpNet>,
}

// === impl EgressNetwork ===

impl EgressNetwork {
    /// The length of the longest prefix under which an address belongs to it. `is_cluster` says
    /// whether the address is one of the cluster's, which it has by default no claim to.
    pub fn prefix_len(&self, addr: IpAddr, is_cluster: bool) -> Option<u8> {
        let Some(networks) = &self.networks else { return (!is_cluster).then_some(0) };
        let holding = networks.iter().filter(|network| network.contains(addr));
        holding.map(|network| network.cidr.prefix_len()).max()
    }
}

// === impl Network ===

impl Network {
    /// Whether an address belongs to it.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.cidr.contains(&addr) && !self.except.iter().any(|net| net.contains(&addr))
    }
}

/// Reads an EgressNetwork.
pub(super) fn read(reader: &Reader<'_, '_>) -> EgressNetwork {
    let mut egress = EgressNetwork {
        networks: None,
        allows: false,
        calls: annotations::calls(&Annotations::of(reader), "EgressNetwork"),
        is_broken: false,
    };
    let read = reader.require("spec").and_then(|field| {
        field.nested(|spec| {
            let policies = [("Allow", true), ("Deny", false)];
            let policy = spec.require("trafficPolicy");
            egress.allows = policy.and_then(|field| field.choice(&policies)).unwrap_or(false);
            let networks = spec.take("networks");
            egress.networks = networks.map(|field| field.list(|item| item.nested(network)));
            Some(())
        })
    });
    egress.is_broken = read.is_none();
    egress
}

fn network(reader: &Reader<'_, '_>) -> Option<Network> {
    let except = reader.list("except", |item| item.ip_net());
    let cidr = reader.require("cidr")?.ip_net()?;
    Some(Network { cidr, except })
}
