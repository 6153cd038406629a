//! What becomes of a field: documents compiled with it and without it.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use weft_compile::{Report, compile, compile_mesh};
use weft_model::Snapshot;
use weft_model::mesh::Mesh;
use weft_resources::catalogue::{Deletion, FieldPath, Step, Subject};
use weft_resources::{ResourceSet, load, load_incremental};

use crate::adjust::{adjusted, with_another};
use crate::arrangements;
use crate::scene::Scene;

/// What becomes of a field.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// A gateway or a mesh is another one without it.
    pub(crate) differs: bool,
    /// Something is said of it.
    pub(crate) is_said: bool,
}

/// Compiles documents in the scene.
pub(crate) struct Observer {
    scene: Scene,
    known: HashMap<String, Rc<Outcome>>,
    /// The other documents of a sample's, by the document.
    others: HashMap<String, Rc<str>>,
    /// What stands beside documents, read.
    beside: HashMap<String, ResourceSet>,
    /// The arrangement that showed enough of the last field.
    last: usize,
}

/// What is compiled of a set of documents.
struct Outcome {
    snapshot: Snapshot,
    mesh: Mesh,
    said: BTreeSet<(String, String)>,
    /// The document, or a part of it, has no effect, as it is not valid.
    is_rejected: bool,
}

// === impl Outcome ===

impl Outcome {
    /// Whether a valid document made something else of the world.
    fn is_other(&self, other: &Self) -> bool {
        !other.is_rejected && (self.snapshot != other.snapshot || self.mesh != other.mesh)
    }
}

// === impl Observer ===

impl Observer {
    pub(crate) fn new() -> Self {
        let scene = Scene::new();
        let (known, others, beside) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { scene, known, others, beside, last: 0 }
    }

    /// Looks at a field in one arrangement after the other, until enough is known; first in the one
    /// that showed enough of the field before, as neighbours need the same.
    pub(crate) fn observe(
        &mut self,
        subject: &Subject,
        path: &FieldPath,
        is_enough: impl Fn(&Observed) -> bool,
    ) -> Observed {
        let mut observed = Observed::default();
        for deletion in &subject.deletions(path) {
            let beside = self.others(subject, &deletion.with);
            let own = arrangements::ALL
                .iter()
                .filter(|one| one.of == (subject.group, subject.kind))
                .map(|one| (one.changes, one.beside));
            let plain = [(&[] as &[&str], ""), (&[], &*beside)];
            let mut all: Vec<_> = plain.into_iter().chain(own).enumerate().collect();
            all.sort_by_key(|(number, _)| *number != self.last);
            for (number, (changes, beside)) in all {
                self.look(path, deletion, (changes, beside), &mut observed);
                if is_enough(&observed) {
                    self.last = number;
                    return observed;
                }
            }
        }
        observed
    }

    /// The other documents of the sample.
    fn others(&mut self, subject: &Subject, document: &str) -> Rc<str> {
        if let Some(known) = self.others.get(document) {
            return Rc::clone(known);
        }
        let others: Rc<str> = others(subject, document).into();
        self.others.insert(document.to_owned(), Rc::clone(&others));
        others
    }

    fn look(
        &mut self,
        path: &FieldPath,
        deletion: &Deletion,
        (changes, beside): (&[&str], &str),
        observed: &mut Observed,
    ) {
        let with = self.outcome(&deletion.with, changes, beside);
        let without = self.outcome(&deletion.without, changes, beside);
        let is_new = |said: &(String, String)| !without.said.contains(said);
        observed.is_said |= with.said.iter().any(|said| {
            let (at, message) = said;
            is_of_all(message)
                || is_above(&path.steps, at) && is_in_vain(message)
                || is_named(path, at, message) && (is_new(said) || is_in_vain(message))
        });
        observed.differs |= with.is_other(&without) || {
            // What is left out may mean the same as what was there, and what is needed has to be
            // there: another value tells. Where none is valid, it is looked at.
            let another = with_another(&adjusted(&deletion.with, changes), path);
            another.map_or(without.is_rejected, |(same, other)| {
                let same = self.outcome(&same, &[], beside);
                let other = self.outcome(&other, &[], beside);
                same.is_other(&other) || without.is_rejected && other.is_rejected
            })
        };
    }

    fn outcome(&mut self, document: &str, changes: &[&str], beside: &str) -> Rc<Outcome> {
        let document = self.scene.written(&adjusted(document, changes));
        let key = format!("{document}\n---\n{beside}");
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        let beside = self
            .beside
            .entry(beside.to_owned())
            .or_insert_with(|| load(&[("beside.yaml", beside)]));
        let own = load_incremental(beside, &[("sample.yaml", Some(&*document))]);
        let set = self.scene.with(&own);
        let world = compile(&set, &self.scene.options, None);
        let mesh_world = compile_mesh(&set, &self.scene.registered, &self.scene.mesh_options, None);
        let outcome = Outcome {
            snapshot: without_places(&world.snapshot),
            mesh: mesh_without_places(&mesh_world.mesh),
            is_rejected: is_rejected(&own),
            said: [said(&world.report), said(&mesh_world.report)].concat().into_iter().collect(),
        };
        let outcome = Rc::new(outcome);
        self.known.insert(key, Rc::clone(&outcome));
        outcome
    }
}

/// Whether a part of the sample is not valid.
fn is_rejected(own: &ResourceSet) -> bool {
    let of_sample = own.items().iter().filter(|placed| &*placed.item.file == "sample.yaml");
    of_sample.into_iter().any(|placed| placed.item.is_rejected())
}

/// The other documents of the sample.
fn others(subject: &Subject, document: &str) -> String {
    let own = load(&[("own.yaml", document)]);
    let own: Vec<_> = own.resources().map(|one| one.key.clone()).collect();
    let is_other = |part: &&str| {
        let set = load(&[("part.yaml", *part)]);
        set.resources().all(|one| !own.contains(&one.key))
    };
    subject.sample.split("\n---\n").filter(is_other).collect::<Vec<_>>().join("\n---\n")
}

/// Whether something is said of a document as a whole: that it has no effect at all.
fn is_of_all(message: &str) -> bool {
    [" is not served: ", " is not evaluated: "].iter().any(|words| message.contains(words))
}

/// Whether a message says that something has no effect.
fn is_in_vain(message: &str) -> bool {
    let words = ["no effect", "not supported", "not ended here", "called directly"];
    words.iter().any(|word| message.contains(word))
}

fn said(report: &Report) -> Vec<(String, String)> {
    let problems = report.problems();
    let of_sample = problems.iter().filter(|problem| &*problem.file == "sample.yaml");
    of_sample.map(|problem| (problem.path.to_string(), problem.message.to_string())).collect()
}

/// Whether something that is said at a place is said of a field.
fn is_named(path: &FieldPath, at: &str, message: &str) -> bool {
    is_at(&path.steps, at) || {
        let mut names = path.steps.iter().filter_map(|step| match step {
            Step::Field(name) => Some(&**name),
            _ => None,
        });
        let last = names.next_back().unwrap_or_default();
        message.contains(&format!("`{last}`"))
            || message.contains(&format!("`{last}: "))
            || at.rsplit('.').next().is_some_and(|name| name == last)
    }
}

/// Whether a place is that of a field above another, and not the document or an item of a list.
fn is_above(steps: &[Step], at: &str) -> bool {
    let fields = |steps: &[Step]| matches!(steps.last(), Some(Step::Field(_)));
    (2..steps.len()).any(|end| fields(&steps[..end]) && is_just(&steps[..end], at))
}

/// Whether a place is that of a field itself.
fn is_just(steps: &[Step], at: &str) -> bool {
    is_at(steps, at) && {
        let parts = |at: &str| at.matches(['.', '[']).count() + 1;
        parts(at) == steps.len()
    }
}

/// Whether a place is that of a field, or in it.
fn is_at(steps: &[Step], at: &str) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match step {
        Step::Field(name) => at
            .strip_prefix('.')
            .unwrap_or(at)
            .strip_prefix(&**name)
            .filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            .is_some_and(|at| is_at(rest, at)),
        Step::Item => at
            .strip_prefix('[')
            .and_then(|at| at.split_once(']'))
            .is_some_and(|(_, at)| is_at(rest, at)),
        Step::Any => {
            let at = at.strip_prefix('.').unwrap_or(at);
            let ends = at.match_indices(['.', '[']).map(|(index, _)| index).chain([at.len()]);
            !at.is_empty() && ends.into_iter().any(|end| is_at(rest, &at[end..]))
        }
    }
}

fn without_places(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.lines.clear();
    snapshot.sources.clear();
    snapshot
}

fn mesh_without_places(mesh: &Mesh) -> Mesh {
    let mut mesh = mesh.clone();
    for service in mesh.services.values_mut().chain(mesh.networks.values_mut()) {
        let service = Arc::make_mut(service);
        let traffic = Arc::make_mut(&mut service.traffic);
        traffic.lines.clear();
        for calling in Arc::make_mut(&mut traffic.calling) {
            calling.sources = Arc::default();
        }
    }
    mesh
}
