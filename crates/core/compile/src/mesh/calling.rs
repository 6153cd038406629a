//! How the services of the mesh are called: the calling aspect.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_model::calling::{Calling, CallingFor, Subset};
use weft_model::id::ServiceName;
use weft_resources::gateway_api::policy::PolicyTarget;
use weft_resources::istio::destination_rule::{
    ClientTls, ClientTlsMode, DestinationRule, LocalityLb,
};
use weft_resources::istio::value::ExportTo;
use weft_resources::{Kind, Resource};

use crate::calling::Layers;
use crate::calling::documents::{Around, Documents, Rule, Variant};
use crate::calling::istio::Loaded;
use crate::context::Output;
use crate::mesh::config::Config;
use crate::mesh::draft::{Draft, Drafts};
use crate::mesh::scene::{Labels, Scene};
use crate::remark::Place;

/// The documents about calls of each service.
pub(super) struct Callings<'s, 'a> {
    scene: &'s Scene<'a>,
    config: &'s Config,
    by_service: BTreeMap<&'s ServiceName, Documents<'a>>,
}

/// What documents make of one service.
#[derive(Debug, Default)]
pub(super) struct Called {
    /// How it is called.
    pub(super) calling: Box<[CallingFor]>,
    /// The names of labels that its endpoints are told apart by.
    pub(super) labels: BTreeSet<Box<str>>,
}

/// One service in the mesh.
struct Seen<'d, 's, 'a> {
    scene: &'s Scene<'a>,
    config: &'s Config,
    draft: &'d Draft<'a>,
}

// === impl Callings ===

impl<'s, 'a> Callings<'s, 'a> {
    /// Finds the documents. A rule about no service that there is, is told.
    pub(super) fn new(
        scene: &'s Scene<'a>,
        drafts: &'s Drafts<'a>,
        config: &'s Config,
        out: &mut Output,
    ) -> Self {
        let mut all = Self { scene, config, by_service: BTreeMap::new() };
        for resource in scene.resources.iter().copied() {
            let home = resource.namespace();
            match &resource.body {
                Kind::DestinationRule(rule) => all.rule(resource, rule, drafts, out),
                Kind::Service(_) => {
                    let name = scene.service_name(home, resource.name());
                    if let Some(documents) = all.about(&name, drafts) {
                        documents.service = Some(resource);
                    }
                }
                Kind::ServiceProfile(_) => {
                    let name = ServiceName::new(resource.name());
                    if let Some(documents) = all.about(&name, drafts) {
                        documents.profile.get_or_insert(resource);
                    }
                }
                Kind::BackendTrafficPolicy(policy) => {
                    for target in policy.targets.iter().filter(|one| one.object.is_service()) {
                        let name = scene.service_name(home, &target.object.name);
                        match all.about(&name, drafts) {
                            Some(documents) => {
                                documents.gateway_api.push((resource, policy, target));
                            }
                            None => no_service(resource, target, &name, out),
                        }
                    }
                }
                Kind::TrafficPolicy(policy) => {
                    let targets = policy.targets.iter();
                    for target in targets.filter(|one| one.target.object.is_service()) {
                        let name = scene.service_name(home, &target.target.object.name);
                        match all.about(&name, drafts) {
                            Some(documents) => documents.own.push((resource, policy, target)),
                            None => no_service(resource, &target.target, &name, out),
                        }
                    }
                }
                _ => {}
            }
        }
        all
    }

    fn about(&mut self, name: &ServiceName, drafts: &'s Drafts<'a>) -> Option<&mut Documents<'a>> {
        let (name, _) = drafts.get_key_value(name)?;
        Some(self.by_service.entry(name).or_default())
    }

    fn rule(
        &mut self,
        resource: &'a Arc<Resource>,
        body: &'a DestinationRule,
        drafts: &'s Drafts<'a>,
        out: &mut Output,
    ) {
        let host = &*body.host.value;
        let found: Vec<(&'s ServiceName, usize)> = match host.strip_prefix('*') {
            Some(suffix) => {
                let meant = drafts.keys().filter(|name| name.as_str().ends_with(suffix));
                meant.map(|name| (name, suffix.len())).collect()
            }
            None => {
                let name = self.scene.host(host, resource.namespace());
                let known = drafts.get_key_value(&name);
                known.map(|(name, _)| (name, usize::MAX)).into_iter().collect()
            }
        };
        if found.is_empty() {
            let message = format!("the mesh has no service `{host}`: the rule has no effect");
            let fix = "write the whole name of the service, or add a ServiceEntry for the host";
            Place::new(resource, body.host.at, "spec.host").warn_with(out, message, fix);
        }
        for (name, exactness) in found {
            let documents = self.by_service.entry(name).or_default();
            documents.rules.push(Rule { resource, body, exactness });
        }
    }

    /// What documents make of a service.
    pub(super) fn of(&self, name: &ServiceName, draft: &Draft<'a>, out: &mut Output) -> Called {
        let Some(documents) = self.by_service.get(name) else { return Called::default() };
        let seen = Seen { scene: self.scene, config: self.config, draft };
        let variants = documents.variants(&seen, draft.namespace(name), out);
        let labels = variants.iter().flat_map(Variant::labels).collect();
        let mut calling = Vec::new();
        for variant in &variants {
            settings(documents, &seen, variant, &mut calling, out);
        }
        Called { calling: calling.into(), labels }
    }
}

// === impl Seen ===

impl Around for Seen<'_, '_, '_> {
    fn root_namespace(&self) -> &str {
        &self.scene.options.root_namespace
    }

    fn default_export(&self) -> Option<&ExportTo> {
        self.config.written.default_export_to.destination_rules.as_ref()
    }

    fn locality(&self) -> Option<&LocalityLb> {
        self.config.written.locality.as_ref()
    }

    fn first_line(&self, document: &Resource) -> u32 {
        self.scene.index.line(&document.key).unwrap_or(0)
    }

    fn port(&self, name: &str) -> Option<u16> {
        self.draft.ports.iter().find(|port| *port.name == *name).map(|port| port.number)
    }

    fn load(&self, namespace: &str, tls: &ClientTls) -> Result<Loaded, String> {
        let files = [&tls.ca_certificates, &tls.client_certificate, &tls.private_key, &tls.ca_crl];
        if let Some(file) = files.into_iter().flatten().next() {
            return Err(format!(
                "`{}` is a file of the proxy's machine, which is not read",
                **file
            ));
        }
        if *tls.mode == ClientTlsMode::Mutual {
            return Err("a proxy beside a workload shows no certificate but its own".into());
        }
        let Some(name) = &tls.credential_name else { return Ok(Loaded::default()) };
        let secret = self.scene.get("", "Secret", namespace, name);
        let Some(Kind::Secret(secret)) = secret.map(|secret| &secret.body) else {
            return Err(format!("there is no Secret {}/{}", namespace, **name));
        };
        let roots = ["ca.crt", "cacert"].into_iter().find_map(|key| secret.value(key));
        match roots {
            Some(roots) => Ok(Loaded { roots_pem: Some(roots.into()), client: None }),
            None => Err(format!("the Secret {}/{} has no `ca.crt`", namespace, **name)),
        }
    }
}

// === functions ===

/// Adds the settings of a variant: for each subset and the whole, for each port and the rest.
fn settings<'a>(
    documents: &Documents<'a>,
    seen: &Seen<'_, '_, 'a>,
    variant: &Variant<'a>,
    all: &mut Vec<CallingFor>,
    out: &mut Output,
) {
    let ports = documents.ports(seen, variant);
    let subsets = variant.subsets.iter().map(|subset| Some(*subset)).chain([None]);
    for subset in subsets {
        for port in ports.iter().map(|port| Some(*port)).chain([None]) {
            let mut layers = Layers::new(Calling::mesh());
            documents.service(seen, &mut layers, out);
            documents.policies(seen, variant, (subset, port), &mut layers, out);
            if layers.is_empty() && subset.is_none() {
                continue;
            }
            let (calling, sources) = layers.finish();
            let subset = subset.map(|(_, subset)| Subset {
                name: subset.name.value.clone(),
                labels: subset.labels.clone(),
            });
            let audience = variant.audience.clone();
            all.push(CallingFor { audience, port, subset, calling, sources });
        }
    }
}

fn no_service(resource: &Resource, target: &PolicyTarget, name: &ServiceName, out: &mut Output) {
    let message = format!("the mesh has no service `{name}`: the policy has no effect on it");
    Place::new(resource, target.object.at, "spec.targetRefs").warn(out, message);
}

/// Those of a workload's labels that its service is told apart by.
pub(super) fn told_apart(
    labels: &Labels,
    names: &BTreeSet<Box<str>>,
) -> Arc<[(Box<str>, Box<str>)]> {
    if names.is_empty() {
        return Arc::default();
    }
    labels.iter().filter(|(name, _)| names.contains(name)).cloned().collect()
}
