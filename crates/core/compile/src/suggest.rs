//! What was perhaps meant by a name that nothing has.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use weft_resources::read::nearest;
use weft_resources::{Key, Pos, Problem, Resource, ResourceSet};

use crate::context::{Context, Output};

/// Adds a fix to problems that come of a name which nothing has.
pub(crate) fn complete(context: &Context<'_>, set: &ResourceSet, out: &mut Output) {
    let is_wanting = |problem: &Problem| problem.wanted.is_some();
    let drafts = out.draft_problems.values();
    if !out.problems.values().chain(drafts).flatten().any(is_wanting) {
        return;
    }
    // In the order of the files, so that the same set always gets the same advice.
    let mut suggestions = Suggestions { context, set, by_kind: None, known: HashMap::new() };
    for placed in set.items() {
        let said = placed.item.key().and_then(|key| out.problems.get_mut(key));
        let more = out.draft_problems.get_mut(&Arc::as_ptr(&placed.item));
        for problem in said.into_iter().chain(more).flatten() {
            suggestions.complete(problem);
        }
    }
}

/// Finds what comes nearest to names that nothing has.
struct Suggestions<'a> {
    context: &'a Context<'a>,
    set: &'a ResourceSet,
    /// By group and kind; made when first needed.
    by_kind: Option<ByKind<'a>>,
    known: HashMap<Key, Box<str>>,
}

type ByKind<'a> = HashMap<(&'a str, &'a str), Vec<&'a Arc<Resource>>>;

/// Names that are searched for. A set in which more are missing lacks a whole file, and the time for
/// it is better spent on serving what is there.
const SEARCHES_MAX: usize = 200;

/// Resources of a kind that are compared with a name.
const CANDIDATES_MAX: usize = 2_000;

/// Names in a list.
const LISTED_MAX: usize = 3;

// === impl Suggestions ===

impl<'a> Suggestions<'a> {
    fn complete(&mut self, problem: &mut Problem) {
        if let (None, Some(wanted)) = (&problem.fix, &problem.wanted) {
            problem.fix = Some(self.advice(wanted));
        }
    }

    fn advice(&mut self, wanted: &Key) -> Box<str> {
        if let Some(known) = self.known.get(wanted) {
            return known.clone();
        }
        if self.known.len() >= SEARCHES_MAX {
            return self.add(wanted);
        }
        let advice = match self.meant(wanted) {
            Some(found) => {
                let line = self.context.line(found, Pos::FIRST);
                format!("did you mean {} ({}:{line})?", found.key, found.file).into()
            }
            None => self.add(wanted),
        };
        self.known.insert(wanted.clone(), advice.clone());
        advice
    }

    /// The same name in another namespace, or one that is nearly the same.
    fn meant(&mut self, wanted: &Key) -> Option<&'a Arc<Resource>> {
        let resources = self.context.resources;
        let by_kind = self.by_kind.get_or_insert_with(|| {
            let mut by_kind = ByKind::new();
            for resource in resources {
                let kind = (&*resource.key.group, &*resource.key.kind);
                by_kind.entry(kind).or_default().push(resource);
            }
            by_kind
        });
        let candidates = by_kind.get(&(&*wanted.group, &*wanted.kind))?;
        let candidates = &candidates[..candidates.len().min(CANDIDATES_MAX)];
        let near = |resources: &mut dyn Iterator<Item = &'a Arc<Resource>>| {
            let all: Vec<&Arc<Resource>> = resources.collect();
            let name = nearest(&wanted.name, all.iter().map(|resource| resource.name()))?;
            all.into_iter().find(|resource| resource.name() == name)
        };
        let is_near = |resource: &&&'a Arc<Resource>| *resource.namespace() == *wanted.namespace;
        let same = candidates.iter().find(|resource| resource.name() == &*wanted.name).copied();
        near(&mut candidates.iter().filter(is_near).copied())
            .or(same)
            .or_else(|| near(&mut candidates.iter().copied()))
    }

    fn add(&self, wanted: &Key) -> Box<str> {
        let mut files = self.set.files().iter().map(|file| &*file.path);
        let named: Vec<&str> = files.by_ref().take(LISTED_MAX).collect();
        let more = match files.count() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        format!("add {wanted} to what is read, which is {}{more}", named.join(", ")).into()
    }
}
