//! BackendTLSPolicies by what they are about.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use weft_model::backend::{SubjectAltName, UpstreamTls};
use weft_resources::Resource;
use weft_resources::gateway_api::BackendTlsPolicy;
use weft_resources::gateway_api::policy::PolicyName;

use super::authority;
use super::objects::Objects;
use crate::context::Output;
use crate::remark::Place;

/// TLS towards services: what the policy in force says, or why it cannot be obeyed.
pub(super) struct Policies<'a> {
    /// By namespace, service and port name; an empty port name is for the whole service.
    by_target: HashMap<Target, (&'a Arc<Resource>, Demand)>,
}

type Target = (Box<str>, Box<str>, Box<str>);

/// What a policy demands.
pub(super) type Demand = Result<Arc<UpstreamTls>, String>;

// === impl Policies ===

impl<'a> Policies<'a> {
    /// Reads all policies; of several with one target the oldest counts.
    pub(super) fn new(objects: &Objects<'a>, out: &mut Output) -> Self {
        let mut by_target: HashMap<Target, (&Arc<Resource>, Demand)> = HashMap::new();
        for (resource, policy) in &objects.policies {
            let demand = demand(objects, resource, policy, out);
            for (index, target) in policy.targets.iter().enumerate() {
                let path = format!("spec.targetRefs[{index}]");
                let place = Place::new(resource, target.object.at, &path);
                if !target.object.is("", "Service") {
                    let message = format!("it has no effect on a {}", target.object.kind);
                    place.error(out, message);
                    continue;
                }
                let section = target.section.as_deref().unwrap_or_default();
                match by_target.entry(key(resource.namespace(), &target.object.name, section)) {
                    Entry::Vacant(entry) => {
                        entry.insert((*resource, demand.clone()));
                    }
                    Entry::Occupied(entry) => {
                        let message =
                            format!("{} is older and has the same target", entry.get().0.key);
                        place.error(out, message);
                    }
                }
            }
        }
        Self { by_target }
    }

    /// What is demanded for a port of a service, and by whom.
    pub(super) fn find(
        &self,
        namespace: &str,
        service: &str,
        port_name: &str,
    ) -> Option<&(&'a Arc<Resource>, Demand)> {
        let of_port = self.by_target.get(&key(namespace, service, port_name));
        of_port.or_else(|| self.by_target.get(&key(namespace, service, "")))
    }
}

fn key(namespace: &str, service: &str, port_name: &str) -> Target {
    (namespace.into(), service.into(), port_name.into())
}

fn demand(
    objects: &Objects<'_>,
    resource: &Arc<Resource>,
    policy: &BackendTlsPolicy,
    out: &mut Output,
) -> Demand {
    let broken = || format!("{} cannot be obeyed: it has errors", resource.key);
    let mut roots = Vec::new();
    let mut failed = policy.is_broken;
    for (index, reference) in policy.authorities.iter().enumerate() {
        match authority::pem(objects, resource, reference) {
            Ok(pem) => {
                roots.extend_from_slice(pem);
                roots.push(b'\n');
            }
            Err(message) => {
                let path = format!("spec.validation.caCertificateRefs[{index}]");
                Place::new(resource, reference.at, &path).error(out, message);
                failed = true;
            }
        }
    }
    let hostname = policy.hostname.clone().filter(|_| !failed).ok_or_else(broken)?;
    if roots.is_empty() && !policy.system_authorities {
        return Err(broken());
    }
    let names = policy.names.iter().map(|name| match name {
        PolicyName::Dns(name) => SubjectAltName::Dns(name.clone()),
        PolicyName::Uri(uri) => SubjectAltName::Uri(uri.clone()),
    });
    Ok(Arc::new(UpstreamTls {
        server_name: Some(hostname),
        roots_pem: (!roots.is_empty()).then(|| roots.into()),
        subject_alt_names: names.collect(),
        ..UpstreamTls::default()
    }))
}
