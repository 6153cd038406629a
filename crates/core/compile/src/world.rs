//! The whole: resources in, snapshot and report out.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use weft_model::backend::Backend;
use weft_model::id::BackendId;
use weft_model::{Generation, Snapshot};
use weft_resources::set::{Index, Item};
use weft_resources::{Key, Kind, Pos, Problem, Resource, ResourceSet, Severity};

use crate::certificates;
use crate::context::{Context, Output, Place};
use crate::gateway_api;
use crate::ingress;
use crate::options::Options;
use crate::report::{Report, ResourceReport, Verdict};
use crate::services::Services;
use crate::traefik;

/// One generation: what to serve, what became of every resource, and what the next one builds on.
#[derive(Debug, Clone)]
pub struct World {
    /// What to serve.
    pub snapshot: Arc<Snapshot>,
    /// What became of every resource.
    pub report: Arc<Report>,
    memory: Arc<Memory>,
}

/// What the next generation builds on.
#[derive(Debug)]
struct Memory {
    options: Options,
    /// The resources in force, by key: as written, or the last good form.
    good: Index,
    services: Services,
    certificates: certificates::Known,
    traefik: traefik::Memo,
}

/// Compiles `set`. Parts that equal those of `previous` keep their `Arc`; resources that are broken
/// now and were good in `previous` stay in force in that form.
///
/// Never fails: what is wrong becomes a verdict.
pub fn compile(set: &ResourceSet, options: &Options, previous: Option<&World>) -> World {
    let before = previous.map(|world| &*world.memory);
    let mut effective = Effective::new(set, before.map(|memory| &memory.good));
    // A resource may decode well and yet mean nothing: a rule that does not parse, say.
    let same_options = before.is_some_and(|memory| memory.options == *options);
    let looked_at = before.map(|memory| &memory.traefik);
    let memo = looked_at.filter(|_| same_options);
    let mut prepared = traefik::Memo::prepare(&effective.resources, looked_at);
    effective.fall_back(&prepared, before);
    let certificates = certificates::Store::after(before.map(|memory| &memory.certificates));
    effective.fall_back_certificates(&certificates, before);
    prepared.prepare_missing(&effective.resources, looked_at);

    let services = Services::new(effective.resources.iter(), before.map(|memory| &memory.services));
    let mut output = Output::default();
    let context = Context {
        options,
        resources: &effective.resources,
        index: &effective.index,
        services: &services,
        rejected: &effective.rejected,
        certificates: &certificates,
    };
    gateway_api::compile(&context, &prepared, &mut output);
    let traefik = traefik::compile(&context, prepared, memo, &mut output);
    ingress::compile(&context, &traefik, &mut output);

    let snapshot = snapshot(&mut output, options, previous);
    let report = report(set, &effective, output);
    let memory = Memory {
        options: options.clone(),
        good: effective.index,
        services,
        certificates: certificates.into_known(),
        traefik,
    };
    World { snapshot, report: Arc::new(report), memory: Arc::new(memory) }
}

/// The files that resources of Traefik's file provider name, for the caller to read into
/// [`Options::files`].
pub fn referenced_files(set: &ResourceSet) -> Vec<Box<str>> {
    let mut files: Vec<Box<str>> =
        set.resources().flat_map(|resource| traefik::referenced_files(resource)).collect();
    files.sort();
    files.dedup();
    files
}

/// The resources in force.
struct Effective {
    resources: Vec<Arc<Resource>>,
    index: Index,
    /// Those that are written and not in force.
    rejected: HashMap<Key, Place>,
    /// Those that are in force in an older form, with what is wrong with the newer.
    last_good: HashMap<Key, Vec<Problem>>,
}

// === impl Effective ===

impl Effective {
    fn new(set: &ResourceSet, good: Option<&Index>) -> Self {
        let count = set.items().len();
        let mut effective = Self {
            resources: Vec::with_capacity(count),
            index: Index::with_capacity(count),
            rejected: HashMap::new(),
            last_good: HashMap::new(),
        };
        let mut unreadable: Vec<&Item> = Vec::new();
        for item in set.items() {
            match (&item.resource, item.key()) {
                (Some(resource), Some(key)) if resource.body.is_broken() && is_good(good, key) => {
                    effective.keep(key, item.file.clone(), item.at, good);
                    if effective.index.get(key).is_none() {
                        let place = (Arc::clone(&item.file), item.at.line);
                        effective.rejected.insert(key.clone(), place);
                    }
                }
                (Some(resource), _) => effective.add(Arc::clone(resource)),
                (None, Some(key)) if set.get(key).is_none() => {
                    effective.keep(key, item.file.clone(), item.at, good);
                    if effective.index.get(key).is_none() {
                        let place = (Arc::clone(&item.file), item.at.line);
                        effective.rejected.insert(key.clone(), place);
                    }
                }
                (None, Some(_)) => {}
                (None, None) => unreadable.push(item),
            }
        }
        effective.keep_unreadable(&unreadable, good);
        effective
    }

    fn add(&mut self, resource: Arc<Resource>) {
        self.index.insert(Arc::clone(&resource));
        self.resources.push(resource);
    }

    /// Keeps the last good form of a resource that is broken now.
    fn keep(&mut self, key: &Key, file: Arc<str>, at: Pos, good: Option<&Index>) {
        let Some(resource) = good.and_then(|good| good.get(key)) else { return };
        if self.index.get(key).is_some() {
            return;
        }
        self.last_good.insert(key.clone(), vec![still_in_force(key, &file, at)]);
        self.add(Arc::clone(resource));
    }

    /// A document that cannot even be parsed does not say which resource it is. What its file held
    /// before and nothing holds now stays.
    fn keep_unreadable(&mut self, unreadable: &[&Item], good: Option<&Index>) {
        let Some(good) = good else { return };
        for item in unreadable {
            let mut lost: Vec<&Arc<Resource>> = good
                .iter()
                .filter(|resource| resource.file == item.file)
                .filter(|resource| self.index.get(&resource.key).is_none())
                .collect();
            lost.sort_by_key(|resource| resource.line);
            for resource in lost {
                self.keep(&resource.key, item.file.clone(), item.at, Some(good));
            }
        }
    }

    /// Replaces resources that mean nothing by their last good form.
    fn fall_back(&mut self, prepared: &traefik::Memo, before: Option<&Memory>) {
        let Some(before) = before else { return };
        for resource in &mut self.resources {
            let Some(problems) = prepared.broken(resource) else { continue };
            let Some(old) = before.good.get(&resource.key) else { continue };
            if Arc::ptr_eq(old, resource) || before.traefik.broken(old).is_some() {
                continue;
            }
            let at = Pos { line: resource.line, column: 1 };
            let mut problems = problems.to_vec();
            problems.push(still_in_force(&resource.key, &resource.file, at));
            self.last_good.insert(resource.key.clone(), problems);
            *resource = Arc::clone(old);
            self.index.insert(Arc::clone(old));
        }
    }

    /// Replaces certificates that cannot be served by their last good form.
    fn fall_back_certificates(
        &mut self,
        certificates: &certificates::Store<'_>,
        before: Option<&Memory>,
    ) {
        let Some(before) = before else { return };
        for resource in &mut self.resources {
            let Some(error) = invalid_certificate(certificates, resource) else { continue };
            let Some(old) = before.good.get(&resource.key) else { continue };
            if Arc::ptr_eq(old, resource) || invalid_certificate(certificates, old).is_some() {
                continue;
            }
            let at = Pos { line: resource.line, column: 1 };
            let (key, file) = (&resource.key, &resource.file);
            let broken = Problem::new(Severity::Error, file, at, "data", error.to_string());
            self.last_good.insert(key.clone(), vec![broken, still_in_force(key, file, at)]);
            *resource = Arc::clone(old);
            self.index.insert(Arc::clone(old));
        }
    }
}

/// Why a Secret of certificates cannot be served. Secrets of other types are not looked at.
fn invalid_certificate(
    certificates: &certificates::Store<'_>,
    resource: &Arc<Resource>,
) -> Option<certificates::InvalidCertificate> {
    match &resource.body {
        Kind::Secret(secret) if &*secret.kind == "kubernetes.io/tls" => {
            certificates.of_secret(resource, secret).err()
        }
        _ => None,
    }
}

fn still_in_force(key: &Key, file: &Arc<str>, at: Pos) -> Problem {
    let message = format!("the last good form of {key} is still in force");
    Problem::new(Severity::Note, file, at, "", message)
}

/// Whether a form of a resource is known that was in force as written.
fn is_good(good: Option<&Index>, key: &Key) -> bool {
    good.and_then(|good| good.get(key)).is_some_and(|resource| !resource.body.is_broken())
}

fn snapshot(output: &mut Output, options: &Options, previous: Option<&World>) -> Arc<Snapshot> {
    let before = previous.map(|world| &world.snapshot);
    let listeners = std::mem::take(&mut output.drafts)
        .finish(options, before.map_or(&[], |snapshot| &*snapshot.listeners));
    let mut backends = std::mem::take(&mut output.backends);
    if let Some(before) = before {
        for (id, backend) in &mut backends {
            reuse(id, backend, &before.backends);
        }
    }
    // Even if nothing came out different: the number says that this change has been looked at.
    let generation = Generation(before.map_or(1, |snapshot| snapshot.generation.0 + 1));
    Arc::new(Snapshot { generation, listeners, backends })
}

fn reuse(
    id: &BackendId,
    backend: &mut Arc<Backend>,
    before: &std::collections::BTreeMap<BackendId, Arc<Backend>>,
) {
    if let Some(old) = before.get(id)
        && !Arc::ptr_eq(old, backend)
        && **old == **backend
    {
        *backend = Arc::clone(old);
    }
}

fn report(set: &ResourceSet, effective: &Effective, mut output: Output) -> Report {
    let items = set.items().iter();
    let mut resources: Vec<ResourceReport> =
        items.map(|item| resource_report(item, effective, &mut output)).collect();
    resources.extend(general(output.general));
    Report { resources }
}

/// What is to say about the command line.
fn general(problems: Vec<Problem>) -> Option<ResourceReport> {
    let file = Arc::clone(&problems.first()?.file);
    let item = Item { rejected: None, file, at: Pos::default(), resource: None, problems };
    Some(ResourceReport::new(Arc::new(item), Verdict::Rejected, Vec::new()))
}

fn resource_report(item: &Arc<Item>, effective: &Effective, output: &mut Output) -> ResourceReport {
    let mut further = Vec::new();
    let mut verdict = if item.is_rejected() { Verdict::Rejected } else { Verdict::Accepted };
    let key = item.key();
    let is_own = |notes: &&Vec<Problem>| {
        notes.last().is_some_and(|note| note.at == item.at && note.file == item.file)
    };
    let last_good = effective.last_good.iter().filter(|(_, notes)| is_own(notes));
    match key {
        // Of two items with one key, the note belongs to the one that it was made for.
        Some(key) => {
            let notes = effective.last_good.get(key).filter(is_own);
            further.extend(notes.into_iter().flatten().cloned());
        }
        // What could not be read may stand for several.
        None if !effective.last_good.is_empty() => {
            let mut kept: Vec<_> = last_good.collect();
            kept.sort_by_key(|(key, _)| *key);
            further.extend(kept.into_iter().flat_map(|(_, notes)| notes.iter().cloned()));
        }
        None => {}
    }
    if !further.is_empty() {
        verdict = Verdict::LastGood;
    } else if let (Some(key), Some(resource)) = (key, &item.resource) {
        further = output.problems.remove(key).unwrap_or_default();
        if item.problems.iter().chain(&further).any(Problem::is_error) {
            verdict = Verdict::Degraded;
        }
        verdict = output.verdicts.remove(key).unwrap_or(verdict);
        if let Some(problem) = without_effect(resource) {
            verdict = Verdict::Ignored;
            further.push(problem);
        }
    }
    ResourceReport::new(Arc::clone(item), verdict, further)
}

/// What to say of kinds that have no effect.
fn without_effect(resource: &Resource) -> Option<Problem> {
    let at = Pos { line: resource.line, column: 1 };
    let (severity, message) = match &resource.body {
        Kind::Unsupported { why } => {
            (Severity::Warning, format!("{} is not served: {why}", resource.key))
        }
        Kind::Unknown { api_version, kind } => {
            // What runs in a cluster beside the gateway is none of its business.
            let others = ["v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"];
            let severity =
                if others.contains(&&**api_version) { Severity::Note } else { Severity::Warning };
            (severity, format!("{kind} ({api_version}) has no effect here"))
        }
        _ => return None,
    };
    Some(Problem::new(severity, &resource.file, at, "kind", message))
}
