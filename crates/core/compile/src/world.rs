//! The whole: resources in, snapshot and report out.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use weft_model::backend::Backend;
use weft_model::id::BackendId;
use weft_model::mesh::Index as MeshIndex;
use weft_model::{Generation, Snapshot};
use weft_resources::set::{Index, Item, Placed};
use weft_resources::{Key, Kind, Pos, Problem, Resource, ResourceSet, Severity};

use crate::calling;
use crate::calling::own::policies::Policies;
use crate::certificates;
use crate::context::{Context, Output, Place};
use crate::drafts;
use crate::gateway_api;
use crate::ingress;
use crate::istio;
use crate::mesh::MeshDocument;
use crate::options::Options;
use crate::report::{Report, ResourceReport, Verdict};
use crate::services::{self, Meshed, Services};
use crate::shadow;
use crate::suggest;
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

// === impl World ===

impl World {
    /// How many of Traefik's resources were compiled to make this world of the one before.
    pub fn compiled(&self) -> usize {
        self.memory.traefik.made()
    }
}

/// Compiles `set` for a gateway by itself. Parts that equal those of `previous` keep their `Arc`;
/// resources that are broken now and were good in `previous` stay in force in that form.
///
/// Never fails: what is wrong becomes a verdict.
pub fn compile(set: &ResourceSet, options: &Options, previous: Option<&World>) -> World {
    compile_in_mesh(set, options, &MeshIndex::default(), previous)
}

/// The same for a gateway that is part of a mesh. A service that the mesh knows runs where the mesh
/// says ([`Endpoints::Service`](weft_model::backend::Endpoints::Service)), whatever documents say
/// besides.
pub fn compile_in_mesh(
    set: &ResourceSet,
    options: &Options,
    mesh: &MeshIndex,
    previous: Option<&World>,
) -> World {
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

    let known = Meshed { index: mesh, domain: &options.domain };
    let services =
        Services::new(&effective.resources, known, before.map(|memory| &memory.services));
    let policies = Policies::new(&effective.resources);
    let mesh_config = MeshDocument::find(&effective.index, calling::gateway::ROOT_NAMESPACE);
    let mut output = Output::default();
    let context = Context {
        options,
        resources: &effective.resources,
        index: &effective.index,
        services: &services,
        rejected: &effective.rejected,
        certificates: &certificates,
        policies: &policies,
        mesh_config: &mesh_config,
    };
    services::check(&context, &mut output);
    calling::gateway::check(&context, &mut output);
    gateway_api::compile(&context, &prepared, &mut output);
    istio::gateway::compile(&context, &mut output);
    let traefik = traefik::compile(&context, prepared, memo, &mut output);
    ingress::compile(&context, &traefik, &mut output);
    calling::gateway::extend(&mut output);
    shadow::report(&context, &mut output);
    drafts::judge(set, &context, &traefik, &mut output);
    suggest::complete(&context, set, &mut output);

    let snapshot = snapshot(&mut output, options, previous);
    let report = report(set, &effective, output, |resource| {
        let body = &resource.body;
        match body.is_for_mesh() || gateway_api::is_for_services(body) {
            // The control plane says what is to say of it.
            true if !mesh.entries.is_empty() => Effect::None(None),
            true if services.knows_workload(resource) => Effect::Has,
            _ => effect(resource),
        }
    });
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
    let named = |resource: &Arc<Resource>| match &resource.body {
        Kind::DestinationRule(rule) => calling::gateway::referenced_files(rule),
        Kind::IstioGateway(gateway) => istio::gateway::referenced_files(gateway),
        _ => traefik::referenced_files(resource),
    };
    let mut files: Vec<Box<str>> = set.resources().flat_map(named).collect();
    files.sort();
    files.dedup();
    files
}

/// The resources in force.
pub(crate) struct Effective {
    /// In the order of files and lines.
    pub(crate) resources: Vec<Arc<Resource>>,
    /// By key.
    pub(crate) index: Index,
    /// Those that are written and not in force.
    rejected: HashMap<Key, Place>,
    /// Those that are in force in an older form.
    last_good: HashMap<Key, LastGood>,
}

/// Whether a resource has an effect on what is compiled.
pub(crate) enum Effect {
    /// It may have one.
    Has,
    /// It has none, whatever it says, and this is to say about it.
    None(Option<Problem>),
}

/// Why a resource is in force in an older form.
struct LastGood {
    /// Where the newer one stands.
    place: Place,
    /// What is wrong with it, with places in it.
    problems: Vec<Problem>,
}

// === impl Effective ===

impl Effective {
    /// Those of `set`; broken ones in the form that was good before, if there is one.
    pub(crate) fn new(set: &ResourceSet, good: Option<&Index>) -> Self {
        let count = set.items().len();
        let mut effective = Self {
            resources: Vec::with_capacity(count),
            index: Index::with_capacity(count),
            rejected: HashMap::new(),
            last_good: HashMap::new(),
        };
        let mut unreadable: Vec<&Placed> = Vec::new();
        for placed in set.items() {
            let item = &placed.item;
            match (&item.resource, item.key()) {
                (Some(resource), Some(key)) if resource.body.is_broken() && is_good(good, key) => {
                    effective.keep_or_reject(key, placed, good);
                }
                (Some(resource), _) => effective.add(Arc::clone(resource), placed.at.line),
                (None, Some(key)) if set.get(key).is_none() => {
                    effective.keep_or_reject(key, placed, good);
                }
                (None, Some(_)) => {}
                (None, None) => unreadable.push(placed),
            }
        }
        effective.keep_unreadable(&unreadable, good);
        effective
    }

    fn add(&mut self, resource: Arc<Resource>, line: u32) {
        self.index.insert(Arc::clone(&resource), line);
        self.resources.push(resource);
    }

    /// Keeps the last good form of a resource that is broken now, or notes that there is none.
    fn keep_or_reject(&mut self, key: &Key, placed: &Placed, good: Option<&Index>) {
        self.keep(key, placed, good);
        if self.index.get(key).is_none() {
            self.rejected.insert(key.clone(), place(placed));
        }
    }

    /// Keeps the last good form of a resource that is broken now. It counts as standing where the
    /// broken one does.
    fn keep(&mut self, key: &Key, placed: &Placed, good: Option<&Index>) {
        let Some(resource) = good.and_then(|good| good.get(key)) else { return };
        if self.index.get(key).is_some() {
            return;
        }
        let problems = vec![still_in_force(key, &placed.item.file)];
        self.last_good.insert(key.clone(), LastGood { place: place(placed), problems });
        self.add(Arc::clone(resource), placed.at.line);
    }

    /// A document that cannot even be parsed does not say which resource it is. What its file held
    /// before and nothing holds now stays.
    fn keep_unreadable(&mut self, unreadable: &[&Placed], good: Option<&Index>) {
        let Some(good) = good else { return };
        for placed in unreadable {
            let mut lost: Vec<(&Arc<Resource>, u32)> = good
                .iter()
                .filter(|(resource, _)| resource.file == placed.item.file)
                .filter(|(resource, _)| self.index.get(&resource.key).is_none())
                .collect();
            // Those that were kept before stand at one line.
            lost.sort_by_key(|(resource, line)| (*line, &resource.key));
            for (resource, _) in lost {
                self.keep(&resource.key, placed, Some(good));
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
            let mut problems = problems.to_vec();
            problems.push(still_in_force(&resource.key, &resource.file));
            replace(resource, old, problems, &mut self.index, &mut self.last_good);
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
            let (key, file) = (&resource.key, &resource.file);
            let broken = Problem::new(Severity::Error, file, Pos::FIRST, "data", error.to_string());
            let problems = vec![broken, still_in_force(key, file)];
            replace(resource, old, problems, &mut self.index, &mut self.last_good);
        }
    }
}

/// Puts the last good form of a resource in its place.
fn replace(
    resource: &mut Arc<Resource>,
    old: &Arc<Resource>,
    problems: Vec<Problem>,
    index: &mut Index,
    last_good: &mut HashMap<Key, LastGood>,
) {
    let line = index.line(&resource.key).unwrap_or(0);
    let place = (Arc::clone(&resource.file), line);
    last_good.insert(resource.key.clone(), LastGood { place, problems });
    *resource = Arc::clone(old);
    index.insert(Arc::clone(old), line);
}

/// Where something stands.
fn place(placed: &Placed) -> Place {
    (Arc::clone(&placed.item.file), placed.at.line)
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

fn still_in_force(key: &Key, file: &Arc<str>) -> Problem {
    let message = format!("the last good form of {key} is still in force");
    Problem::new(Severity::Note, file, Pos::FIRST, "", message)
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
    let lines = std::mem::take(&mut output.lines);
    let said = std::mem::take(&mut output.said).into_iter();
    let sources = said.map(|(id, said)| (id, said.sources)).filter(|(_, all)| !all.is_empty());
    let sources = sources.collect();
    Arc::new(Snapshot { generation, listeners, backends, lines, sources, ..Snapshot::default() })
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

/// What became of every resource of `set`, of which `output` tells what compilation found.
pub(crate) fn report(
    set: &ResourceSet,
    effective: &Effective,
    mut output: Output,
    effect: impl Fn(&Resource) -> Effect,
) -> Report {
    let items = set.items().iter();
    let mut resources: Vec<ResourceReport> =
        items.map(|placed| resource_report(placed, effective, &mut output, &effect)).collect();
    resources.extend(general(output.general));
    Report { resources }
}

/// What is to say about the command line.
fn general(problems: Vec<Problem>) -> Option<ResourceReport> {
    let file = Arc::clone(&problems.first()?.file);
    let item = Arc::new(Item::unread(&file, problems));
    let placed = Placed { at: Pos::default(), item };
    Some(ResourceReport::new(placed, Verdict::Rejected, Vec::new()))
}

fn resource_report(
    placed: &Placed,
    effective: &Effective,
    output: &mut Output,
    effect: &impl Fn(&Resource) -> Effect,
) -> ResourceReport {
    let item = &placed.item;
    let mut further = Vec::new();
    let mut verdict = if item.is_rejected() { Verdict::Rejected } else { Verdict::Accepted };
    let key = item.key();
    let is_own = |old: &&LastGood| old.place == (Arc::clone(&item.file), placed.at.line);
    match key {
        // Of two items with one key, the note belongs to the one that it was made for.
        Some(key) => {
            let old = effective.last_good.get(key).filter(is_own);
            further.extend(old.into_iter().flat_map(|old| old.problems.iter().cloned()));
        }
        // What could not be read may stand for several.
        None if !effective.last_good.is_empty() => {
            let mut kept: Vec<_> =
                effective.last_good.iter().filter(|(_, old)| is_own(old)).collect();
            kept.sort_by_key(|(key, _)| *key);
            further.extend(kept.into_iter().flat_map(|(_, old)| old.problems.iter().cloned()));
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
        if let Effect::None(problem) = effect(resource) {
            verdict = Verdict::Ignored;
            further.extend(problem);
        }
    }
    further.extend(output.draft_problems.remove(&Arc::as_ptr(item)).unwrap_or_default());
    ResourceReport::new(placed.clone(), verdict, further)
}

/// Whether a resource has an effect on a gateway.
pub(crate) fn effect(resource: &Resource) -> Effect {
    let (severity, message) = match &resource.body {
        Kind::Unsupported { why } => {
            (Severity::Warning, format!("{} is not served: {why}", resource.key))
        }
        Kind::WorkloadGroup(_) => {
            let why = "workloads are registered by the node that runs them";
            (Severity::Warning, format!("{} is not served: {why}", resource.key))
        }
        Kind::ExternalWorkload(_) => {
            (Severity::Warning, format!("{} is not served: it is not supported yet", resource.key))
        }
        Kind::Unknown { api_version, kind } => {
            // What runs in a cluster beside the gateway is none of its business.
            let others = ["v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"];
            let severity =
                if others.contains(&&**api_version) { Severity::Note } else { Severity::Warning };
            (severity, format!("{kind} ({api_version}) has no effect here"))
        }
        body if body.is_for_mesh() => {
            let is_usual = matches!(body, Kind::Pod(_) | Kind::ServiceAccount(_));
            let severity = if is_usual { Severity::Note } else { Severity::Warning };
            (severity, format!("{} has no effect on a gateway", resource.key.kind))
        }
        _ => return Effect::Has,
    };
    let problem = Problem::new(severity, &resource.file, Pos::FIRST, "kind", message);
    Effect::None(Some(problem))
}
