//! Weftway's own TrafficPolicies, as rules for calls of the mesh know them.

use weft_resources::{Key, Kind};

use super::view::View;
use crate::calling::own::report::{self, Known};
use crate::calling::own::rules::{About, Added};
use crate::context::Output;
use crate::mesh::draft::Drafts;
use crate::mesh::scene::Scene;

/// What policies may be about in a mesh.
struct Seen<'s, 'a> {
    scene: &'s Scene<'a>,
    drafts: &'s Drafts<'a>,
}

/// What policies add to a rule of a route, which may be several at once ([`Added::of_rule`]).
pub(super) fn of_rule(view: &View<'_>, rules: &[About<'_>], out: &mut Output) -> Added {
    let policies = |route: &Key| view.policies(route);
    Added::of_rule(rules, policies, &view.scene().options.trust_domain, out)
}

/// What policies at the service itself add to all of its rules. Its rates are kept where calls
/// arrive.
pub(super) fn of_service(view: &View<'_>, service: &Key, out: &mut Output) -> Added {
    let whole = view.policies(service).iter().filter_map(|resource| match &resource.body {
        Kind::TrafficPolicy(policy) => {
            let mut targets = policy.targets.iter();
            let is_whole = targets.any(|target| {
                let object = &target.target.object;
                object.is_service() && *object.name == *service.name && target.is_whole()
            });
            is_whole.then_some((&***resource, &**policy))
        }
        _ => None,
    });
    Added::of_service(whole, out)
}

/// Says what of policies has no effect.
pub(super) fn report(scene: &Scene<'_>, drafts: &Drafts<'_>, out: &mut Output) {
    let seen = Seen { scene, drafts };
    for resource in scene.resources.iter().copied() {
        if let Kind::TrafficPolicy(policy) = &resource.body {
            report::report(resource, policy, &seen, out);
        }
    }
}

// === impl Seen ===

impl Known for Seen<'_, '_> {
    fn ports(&self, namespace: &str, name: &str) -> Option<Vec<&str>> {
        let draft = self.drafts.get(&self.scene.service_name(namespace, name))?;
        Some(draft.ports.iter().map(|port| &*port.name).collect())
    }

    fn route(&self, key: &Key) -> Option<&Kind> {
        self.scene.index.get(key).map(|route| &route.body)
    }
}
