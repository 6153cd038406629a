//! A matcher as alternatives, each with a key to file it under.
//!
//! The disjunctive form is taken of conditions on host and path only; everything else, and every
//! negation, stays what it is and is evaluated after the key has been found. Each arm is complete
//! by itself: its key, the conditions that the key implies, and the rest.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};
use weft_model::route::{Matcher, PathMatch};

use crate::literal::{self, Literals};
use crate::matching::without_slash;
use crate::names::{NameKey, NameKeys, NameKind};

/// Most arms of one matcher. A rule of 64 KiB names two thousand hosts; their product with a few
/// paths is better evaluated than stored.
const ARMS_MAX: usize = 2048;

/// Where a condition on the path is filed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathKey<'a> {
    pub(super) literal: Cow<'a, str>,
    pub(super) kind: PathKind,
}

/// The kinds of key, in the order of a node's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathKind {
    /// The literal is the path.
    Exact,
    /// The path starts with the literal.
    Prefix,
    /// The same, and what follows is nothing or a slash.
    Segments,
}

/// One alternative.
#[derive(Debug, Clone)]
pub(super) struct Arm<'a> {
    host: Option<Filed<'a, NameKey<'a>>>,
    path: Option<Filed<'a, PathKey<'a>>>,
    /// What must hold besides the keys.
    pub(super) rest: SmallVec<[&'a Matcher; 3]>,
}

/// A key, and the condition that it implies.
#[derive(Debug, Clone)]
struct Filed<'a, K> {
    key: K,
    /// `None` when the condition is among the rest.
    implied: Option<&'a Matcher>,
}

/// The matcher has too many arms.
struct TooMany;

/// Which conditions are keys.
#[derive(Clone, Copy, PartialEq)]
enum Keys {
    HostAndPath,
    Host,
}

/// The arms of `matcher`: it holds exactly when the keys and the rest of one of them do.
pub(super) fn arms(matcher: &Matcher) -> Vec<Arm<'_>> {
    expand(matcher, Keys::HostAndPath)
        .or_else(|TooMany| expand(matcher, Keys::Host))
        .unwrap_or_else(|TooMany| vec![Arm::only(matcher)])
}

// === impl Arm ===

impl<'a> Arm<'a> {
    /// Where it is filed by host.
    pub(super) fn host_key(&self) -> NameKey<'a> {
        self.host.as_ref().map_or(NameKey::REST, |filed| filed.key.clone())
    }

    /// Where it is filed by path.
    pub(super) fn path_key(&self) -> PathKey<'a> {
        self.path.as_ref().map_or(PathKey::ANY, |filed| filed.key.clone())
    }

    fn unconditional() -> Self {
        Self { host: None, path: None, rest: SmallVec::new() }
    }

    fn only(matcher: &'a Matcher) -> Self {
        Self { host: None, path: None, rest: smallvec![matcher] }
    }

    /// Both. Of two keys of a kind, the more selective stays one.
    fn and(&self, other: &Self) -> Self {
        let mut rest = self.rest.clone();
        rest.extend(other.rest.iter().copied());
        let host = join(&self.host, &other.host, &mut rest, |key: &NameKey<'_>| {
            (key.kind, key.text.len(), 0)
        });
        let path = join(&self.path, &other.path, &mut rest, |key: &PathKey<'_>| {
            let exact = match key.kind {
                PathKind::Exact => NameKind::Exact,
                PathKind::Prefix | PathKind::Segments => NameKind::Rest,
            };
            (exact, key.literal.len(), key.kind as usize)
        });
        Self { host, path, rest }
    }
}

fn join<'a, K: Clone + PartialEq, S: Ord>(
    left: &Option<Filed<'a, K>>,
    right: &Option<Filed<'a, K>>,
    rest: &mut SmallVec<[&'a Matcher; 3]>,
    selectivity: impl Fn(&K) -> S,
) -> Option<Filed<'a, K>> {
    let (Some(left), Some(right)) = (left, right) else {
        return left.as_ref().or(right.as_ref()).cloned();
    };
    let (kept, other) = if selectivity(&left.key) >= selectivity(&right.key) {
        (left, right)
    } else {
        (right, left)
    };
    if kept.key != other.key {
        rest.extend(other.implied);
    }
    Some(kept.clone())
}

// === impl PathKey ===

impl PathKey<'_> {
    const ANY: PathKey<'static> = PathKey { literal: Cow::Borrowed(""), kind: PathKind::Prefix };
}

fn expand(matcher: &Matcher, keys: Keys) -> Result<Vec<Arm<'_>>, TooMany> {
    match matcher {
        Matcher::All(list) => all(list, keys),
        Matcher::Any(list) if list.iter().any(|one| has_keys(one, keys)) => {
            let mut arms = Vec::new();
            for one in list {
                arms.extend(expand(one, keys)?);
                bounded(arms.len())?;
            }
            Ok(arms)
        }
        Matcher::Not(outer) => match &**outer {
            Matcher::Not(inner) => expand(inner, keys),
            _ => Ok(vec![Arm::only(matcher)]),
        },
        Matcher::Host(host) => Ok(host_arms(matcher, NameKeys::of(host))),
        Matcher::Path(path) if keys == Keys::HostAndPath => Ok(path_arms(matcher, path)),
        _ => Ok(vec![Arm::only(matcher)]),
    }
}

fn all(list: &[Matcher], keys: Keys) -> Result<Vec<Arm<'_>>, TooMany> {
    let mut arms = vec![Arm::unconditional()];
    for one in list {
        if !has_keys(one, keys) {
            arms.iter_mut().for_each(|arm| arm.rest.push(one));
            continue;
        }
        let alternatives = expand(one, keys)?;
        bounded(arms.len().saturating_mul(alternatives.len()))?;
        let product = arms.iter().flat_map(|arm| alternatives.iter().map(|other| arm.and(other)));
        arms = product.collect();
    }
    Ok(arms)
}

fn bounded(arms: usize) -> Result<(), TooMany> {
    if arms > ARMS_MAX { Err(TooMany) } else { Ok(()) }
}

/// Whether something in there, not negated, can be a key.
fn has_keys(matcher: &Matcher, keys: Keys) -> bool {
    match matcher {
        Matcher::All(list) | Matcher::Any(list) => list.iter().any(|one| has_keys(one, keys)),
        Matcher::Not(outer) => match &**outer {
            Matcher::Not(inner) => has_keys(inner, keys),
            _ => false,
        },
        Matcher::Host(_) => true,
        Matcher::Path(_) => keys == Keys::HostAndPath,
        Matcher::Method(_)
        | Matcher::Header(..)
        | Matcher::Query(..)
        | Matcher::ClientIp(_)
        | Matcher::Authority(_)
        | Matcher::Scheme(_) => false,
    }
}

fn host_arms<'a>(matcher: &'a Matcher, names: NameKeys<'a>) -> Vec<Arm<'a>> {
    let NameKeys { keys, exhaustive } = names;
    let arm = |key: NameKey<'a>| {
        let implied = exhaustive.then_some(matcher);
        let rest = if exhaustive { SmallVec::new() } else { smallvec![matcher] };
        let host = (key.kind != NameKind::Rest).then_some(Filed { key, implied });
        Arm { host, path: None, rest }
    };
    keys.into_iter().map(arm).collect()
}

fn path_arms<'a>(matcher: &'a Matcher, path: &'a PathMatch) -> Vec<Arm<'a>> {
    let (kind, literal) = match path {
        PathMatch::Exact(path) => (PathKind::Exact, &**path),
        PathMatch::Prefix(prefix) => (PathKind::Prefix, &**prefix),
        PathMatch::Segments(prefix) => (PathKind::Segments, without_slash(prefix)),
        PathMatch::Regex(pattern) => {
            return match literal::prefixes(pattern) {
                Literals::Whole(paths) => pattern_arms(matcher, paths, PathKind::Exact),
                Literals::Part(starts) => pattern_arms(matcher, starts, PathKind::Prefix),
                Literals::None => vec![Arm::only(matcher)],
            };
        }
    };
    let key = PathKey { kind, literal: Cow::Borrowed(literal) };
    let path = Some(Filed { key, implied: Some(matcher) });
    vec![Arm { host: None, path, rest: SmallVec::new() }]
}

fn pattern_arms(matcher: &Matcher, literals: Vec<String>, kind: PathKind) -> Vec<Arm<'_>> {
    let arm = |literal: String| {
        let key = PathKey { kind, literal: Cow::Owned(literal) };
        let path = Some(Filed { key, implied: None });
        Arm { host: None, path, rest: smallvec![matcher] }
    };
    literals.into_iter().map(arm).collect()
}

#[cfg(test)]
mod tests;
