//! TrafficPolicies by what they are about.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use weft_resources::gateway_api::ObjectRef;
use weft_resources::{Key, Kind, Resource};

use crate::age::age;

/// TrafficPolicies by what they are about, oldest first: of two that exclude each other, the older
/// one wins.
#[derive(Debug, Default)]
pub(crate) struct Policies<'a>(HashMap<Key, Vec<&'a Arc<Resource>>>);

// === impl Policies ===

impl<'a> Policies<'a> {
    /// Those of `resources`, which may come in any order.
    pub(crate) fn new(resources: impl IntoIterator<Item = &'a Arc<Resource>>) -> Self {
        let is_policy = |resource: &&Arc<Resource>| matches!(resource.body, Kind::TrafficPolicy(_));
        let mut policies: Vec<_> = resources.into_iter().filter(is_policy).collect();
        policies.sort_by(|a, b| age(a).cmp(&age(b)));
        let mut by_target: HashMap<Key, Vec<&'a Arc<Resource>>> = HashMap::new();
        for resource in policies {
            let Kind::TrafficPolicy(policy) = &resource.body else { continue };
            for target in &policy.targets {
                let key = about(&target.target.object, resource.namespace());
                let known = by_target.entry(key).or_default();
                if !known.iter().any(|known| Arc::ptr_eq(known, resource)) {
                    known.push(resource);
                }
            }
        }
        Self(by_target)
    }

    /// Those about an object, oldest first.
    pub(crate) fn about(&self, object: &Key) -> &[&'a Arc<Resource>] {
        self.0.get(object).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The key of what a policy of the namespace `home` is about.
pub(super) fn about(object: &ObjectRef, home: &str) -> Key {
    let group = if object.is_service() { "" } else { &*object.group };
    Key {
        group: Cow::Owned(group.to_owned()),
        kind: Cow::Owned(object.kind.to_string()),
        namespace: object.namespace_or(home).into(),
        name: object.name.clone(),
    }
}
