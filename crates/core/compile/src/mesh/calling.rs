//! How the services of the mesh are called: the calling aspect.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rapidhash::fast::SeedableState;
use weft_model::backend::TlsFiles;
use weft_model::calling::{Calling, CallingFor, Subset};
use weft_model::id::ServiceName;
use weft_model::mesh::ServicePort;
use weft_resources::gateway_api::policy::PolicyTarget;
use weft_resources::istio::destination_rule::{
    ClientTls, ClientTlsMode, DestinationRule, LocalityLb,
};
use weft_resources::istio::value::ExportTo;
use weft_resources::{Key, Kind, Problem, Resource, Spanned};

use crate::calling::Layers;
use crate::calling::documents::{Around, Documents, Rule, Variant};
use crate::calling::gateway::NO_CRL;
use crate::calling::istio::Loaded;
use crate::certificates;
use crate::context::Output;
use crate::in_step::InStep;
use crate::mesh::config::Config;
use crate::mesh::draft::{Draft, Drafts};
use crate::mesh::scene::{Labels, Scene};
use crate::remark::Place;

/// What documents make of every service that some speak of. What was made for a service is kept as
/// long as neither these documents nor what was looked up for them change.
#[derive(Debug)]
pub(super) struct Callings {
    made_for: Surroundings,
    services: BTreeMap<ServiceName, Arc<Entry>>,
}

/// What documents make of one service.
#[derive(Debug, Default)]
pub(super) struct Called {
    /// How it is called.
    pub(super) calling: Arc<[CallingFor]>,
    /// The names of labels that its endpoints are told apart by.
    pub(super) labels: BTreeSet<Box<str>>,
}

/// What bears on all services.
#[derive(Debug, PartialEq)]
struct Surroundings {
    root_namespace: Box<str>,
    default_export: Option<ExportTo>,
    locality: Option<LocalityLb>,
}

/// What was made for one service, and of what.
#[derive(Debug)]
struct Entry {
    /// The documents about it, each with the line at which it begins.
    documents: Box<[(Arc<Resource>, u32)]>,
    namespace: Box<str>,
    ports: Box<[ServicePort]>,
    /// The Secrets that were looked up.
    secrets: Box<[(Key, Option<Arc<Resource>>)]>,
    called: Called,
    /// What is to say about documents.
    problems: Box<[(Key, Problem)]>,
}

/// What documents are collected with.
struct Collector<'s, 'a> {
    scene: &'s Scene<'a>,
    drafts: &'s Drafts<'a>,
    /// Those about each service that there is, if any.
    by_service: HashMap<&'s ServiceName, Documents<'a>, SeedableState<'static>>,
}

/// One service in the mesh.
struct Seen<'s, 'a> {
    scene: &'s Scene<'a>,
    surroundings: &'s Surroundings,
    draft: &'s Draft<'a>,
    secrets: RefCell<Vec<(Key, Option<Arc<Resource>>)>>,
}

// === impl Callings ===

impl Callings {
    /// What documents make of the services of `drafts`. What is as in `before` is kept. A rule about
    /// no service that there is, is told.
    pub(super) fn new(
        scene: &Scene<'_>,
        drafts: &Drafts<'_>,
        config: &Config,
        before: Option<&Self>,
        out: &mut Output,
    ) -> Self {
        let written = &config.document.written;
        let made_for = Surroundings {
            root_namespace: scene.options.root_namespace.clone(),
            default_export: written.default_export_to.destination_rules.clone(),
            locality: written.locality.clone(),
        };
        let before = before.filter(|before| before.made_for == made_for);
        let by_service = drafts.keys().map(|name| (name, Documents::default())).collect();
        let mut collector = Collector { scene, drafts, by_service };
        for resource in scene.resources.iter().copied() {
            collector.document(resource, out);
        }
        let mut known = InStep::new(before.map(|before| &before.services));
        let mut services = Vec::new();
        for (name, draft) in drafts {
            let documents = collector.by_service.remove(name).unwrap_or_default();
            if documents.is_empty() {
                continue;
            }
            let secrets = RefCell::default();
            let seen = Seen { scene, surroundings: &made_for, draft, secrets };
            let namespace = draft.namespace(name);
            let old = known.get(name);
            let entry = match old.filter(|old| old.holds(&documents, namespace, &seen)) {
                Some(old) => Arc::clone(old),
                None => Arc::new(Entry::new(&documents, namespace, seen).after(old)),
            };
            for (key, problem) in &entry.problems {
                out.problem_once(key, problem);
            }
            services.push((name.clone(), entry));
        }
        Self { made_for, services: services.into_iter().collect() }
    }

    /// What documents make of a service, if any speaks of it.
    pub(super) fn of(&self, name: &ServiceName) -> Option<&Called> {
        self.services.get(name).map(|entry| &entry.called)
    }
}

// === impl Collector ===

impl<'s, 'a> Collector<'s, 'a> {
    fn document(&mut self, resource: &'a Arc<Resource>, out: &mut Output) {
        let home = resource.namespace();
        match &resource.body {
            Kind::DestinationRule(rule) => self.rule(resource, rule, out),
            Kind::Service(_) | Kind::ServiceImport(_) => {
                let name = self.scene.name_of(resource);
                if let Some(documents) = self.about(&name) {
                    documents.service = Some(resource);
                }
            }
            Kind::ServiceEntry(entry) if entry.distribution.is_some() => {
                for host in &entry.hosts {
                    let name = self.scene.host(host, home);
                    let origin = self.drafts.get(&name).and_then(|draft| draft.origin);
                    let is_own = origin.is_some_and(|origin| origin.key == resource.key);
                    if let Some(documents) = self.about(&name).filter(|_| is_own) {
                        documents.service = Some(resource);
                    }
                }
            }
            Kind::Namespace(namespace) if namespace.distribution.is_some() => {
                let is_there = |(name, draft): &(&ServiceName, &Draft<'_>)| {
                    draft.namespace(name) == resource.name()
                };
                for (name, _) in self.drafts.iter().filter(is_there) {
                    if let Some(documents) = self.by_service.get_mut(name) {
                        documents.namespace = Some(resource);
                    }
                }
            }
            Kind::ServiceProfile(_) => {
                let name = ServiceName::new(resource.name());
                if let Some(documents) = self.about(&name) {
                    documents.profile.get_or_insert(resource);
                }
            }
            Kind::BackendTrafficPolicy(policy) => {
                for target in policy.targets.iter().filter(|one| one.object.is_service()) {
                    let name = self.scene.service_name(home, &target.object.name);
                    match self.about(&name) {
                        Some(documents) => documents.gateway_api.push((resource, policy, target)),
                        None => no_service(resource, target, &name, out),
                    }
                }
            }
            Kind::TrafficPolicy(policy) => {
                let targets = policy.targets.iter();
                for target in targets.filter(|one| one.target.object.is_service()) {
                    let name = self.scene.service_name(home, &target.target.object.name);
                    match self.about(&name) {
                        Some(documents) => documents.own.push((resource, policy, target)),
                        None => no_service(resource, &target.target, &name, out),
                    }
                }
            }
            _ => {}
        }
    }

    fn about(&mut self, name: &ServiceName) -> Option<&mut Documents<'a>> {
        self.by_service.get_mut(name)
    }

    fn rule(&mut self, resource: &'a Arc<Resource>, body: &'a DestinationRule, out: &mut Output) {
        let host = &*body.host.value;
        let mut is_about_any = false;
        let mut note = |documents: &mut Documents<'a>, exactness| {
            documents.rules.push(Rule { resource, body, exactness });
            is_about_any = true;
        };
        match host.strip_prefix('*') {
            Some(suffix) => {
                let about = self.by_service.iter_mut();
                about
                    .filter(|(name, _)| name.as_str().ends_with(suffix))
                    .for_each(|(_, documents)| note(documents, suffix.len()));
            }
            None => {
                let name = self.scene.host(host, resource.namespace());
                if let Some(documents) = self.about(&name) {
                    note(documents, usize::MAX);
                }
            }
        }
        if !is_about_any {
            let message = format!("the mesh has no service `{host}`: the rule has no effect");
            let fix = "write the whole name of the service, or add a ServiceEntry for the host";
            Place::new(resource, body.host.at, "spec.host").warn_with(out, message, fix);
        }
    }
}

// === impl Entry ===

impl Entry {
    fn new(documents: &Documents<'_>, namespace: &str, seen: Seen<'_, '_>) -> Self {
        let mut out = Output::default();
        let variants = documents.variants(&seen, namespace, &mut out);
        let mut labels: BTreeSet<_> = variants.iter().flat_map(Variant::labels).collect();
        // What the mesh says of places holds where some rule speaks of the service.
        if let Some(locality) = seen.locality().filter(|_| !documents.rules.is_empty()) {
            labels.extend(locality.failover_priority.iter().map(|label| label.name.clone()));
        }
        let mut calling = Vec::new();
        for variant in &variants {
            settings(documents, &seen, variant, &mut calling, &mut out);
        }
        let with_line =
            |document: &Arc<Resource>| (Arc::clone(document), seen.first_line(document));
        Self {
            documents: documents.all().map(with_line).collect(),
            namespace: namespace.into(),
            ports: seen.draft.ports.as_slice().into(),
            called: Called { calling: calling.into(), labels },
            problems: out.into_problems(),
            secrets: seen.secrets.into_inner().into(),
        }
    }

    /// Keeps what came out equal.
    fn after(mut self, old: Option<&Arc<Self>>) -> Self {
        if let Some(old) = old.filter(|old| old.called.calling == self.called.calling) {
            self.called.calling = Arc::clone(&old.called.calling);
        }
        self
    }

    /// Whether everything that it was made of is as it was.
    fn holds(&self, documents: &Documents<'_>, namespace: &str, seen: &Seen<'_, '_>) -> bool {
        let mut known = self.documents.iter();
        let is_known = |document: &Arc<Resource>| {
            known.next().is_some_and(|(known, line)| {
                Arc::ptr_eq(known, document) && seen.first_line(document) == *line
            })
        };
        let is_same = |(key, found): &(Key, Option<Arc<Resource>>)| match (
            seen.scene.index.get(key),
            found,
        ) {
            (Some(now), Some(found)) => Arc::ptr_eq(now, found),
            (now, found) => now.is_none() && found.is_none(),
        };
        documents.all().all(is_known)
            && known.next().is_none()
            && *self.namespace == *namespace
            && *self.ports == *seen.draft.ports
            && self.secrets.iter().all(is_same)
    }
}

// === impl Seen ===

impl Around for Seen<'_, '_> {
    fn root_namespace(&self) -> &str {
        &self.surroundings.root_namespace
    }

    fn default_export(&self) -> Option<&ExportTo> {
        self.surroundings.default_export.as_ref()
    }

    fn locality(&self) -> Option<&LocalityLb> {
        self.surroundings.locality.as_ref()
    }

    fn first_line(&self, document: &Resource) -> u32 {
        self.scene.index.line(&document.key).unwrap_or(0)
    }

    fn port(&self, name: &str) -> Option<u16> {
        self.draft.ports.iter().find(|port| *port.name == *name).map(|port| port.number)
    }

    fn load(&self, namespace: &str, tls: &ClientTls) -> Result<Loaded, String> {
        if tls.ca_crl.is_some() {
            return Err(NO_CRL.into());
        }
        if let Some(name) = &tls.credential_name {
            if *tls.mode == ClientTlsMode::Mutual {
                let message = "the key of a Secret is handed to no proxy beside a workload (name \
                               files of its machine as `clientCertificate` and `privateKey`)";
                return Err(message.into());
            }
            let roots = certificates::needed_authorities(&|key| self.secret(key), namespace, name);
            let roots_pem = Some(roots.map_err(|error| error.to_string())?);
            return Ok(Loaded { roots_pem, ..Loaded::default() });
        }
        let roots = tls.roots_file().map(path).transpose()?;
        let client =
            tls.pair_files().map(|[chain, key]| Ok::<_, String>((path(chain)?, path(key)?)));
        let files = TlsFiles { roots, client: client.transpose()? };
        let is_any = files.roots.is_some() || files.client.is_some();
        Ok(Loaded { files: is_any.then(|| Arc::new(files)), ..Loaded::default() })
    }
}

impl<'a> Seen<'_, 'a> {
    /// A Secret, of which it is noted that it was looked up.
    fn secret(&self, key: Key) -> Option<&'a Arc<Resource>> {
        let found = self.scene.index.get(&key);
        self.secrets.borrow_mut().push((key, found.cloned()));
        found
    }
}

// === functions ===

/// The whole path of a file of the proxy's machine, whose folders are not known here.
fn path(file: &Spanned<Box<str>>) -> Result<Box<str>, String> {
    match file.starts_with('/') {
        true => Ok(file.value.clone()),
        false => Err(format!("`{}` is no whole path, which begins with `/`", **file)),
    }
}

/// Adds the settings of a variant: for each subset and the whole, for each port and the rest.
fn settings<'a>(
    documents: &Documents<'a>,
    seen: &Seen<'_, 'a>,
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
