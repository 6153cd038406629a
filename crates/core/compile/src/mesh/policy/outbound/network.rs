//! Linkerd's EgressNetwork: whether what the mesh does not know may be called.

use std::collections::HashMap;

use weft_resources::linkerd::EGRESS_NAMESPACE;
use weft_resources::linkerd::egress::EgressNetwork;
use weft_resources::{Kind, Pos, Resource};

use crate::context::Output;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// All EgressNetworks.
pub(super) struct Networks<'a> {
    /// By the namespace of the callers: whether calls are forbidden.
    forbidden: HashMap<&'a str, bool>,
}

// === impl Networks ===

impl<'a> Networks<'a> {
    pub(super) fn new(scene: &Scene<'a>, out: &mut Output) -> Self {
        let mut forbidden = HashMap::new();
        for resource in scene.resources.iter().copied() {
            let Kind::EgressNetwork(network) = &resource.body else { continue };
            let is_forbidden = !network.allows || network.is_broken;
            remark(resource, network, out);
            *forbidden.entry(resource.namespace()).or_insert(false) |= is_forbidden;
        }
        Self { forbidden }
    }

    /// Whether callers of a namespace may not call what the mesh does not know. What their own
    /// namespace says holds, else what the global one does.
    pub(super) fn forbids(&self, namespace: &str) -> bool {
        let namespaces = [namespace, EGRESS_NAMESPACE];
        namespaces
            .iter()
            .find_map(|namespace| self.forbidden.get(namespace))
            .copied()
            .unwrap_or(false)
    }
}

fn remark(resource: &Resource, network: &EgressNetwork, out: &mut Output) {
    let is_for_all = network.networks.as_ref().is_none_or(|networks| {
        networks.iter().any(|network| network.cidr.prefix_len() == 0 && network.except.is_empty())
    });
    if network.is_broken {
        let message = "calls to what the mesh does not know are refused until it can be read";
        Place::whole(resource).error(out, message);
    } else if !network.allows && !is_for_all {
        let message = "networks are not told apart: calls to all that the mesh does not know are \
                       refused";
        Place::new(resource, Pos::default(), "spec.networks").error(out, message);
    }
}
