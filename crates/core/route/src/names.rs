//! Values by host name: exact names, wildcards, ends of names, and a rest for all other
//! conditions.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use memchr::memchr_iter;
use rapidhash::fast::SeedableState;
use smallvec::{SmallVec, smallvec};
use weft_model::route::HostMatch;

use crate::literal::{self, Literals};

/// Where a condition on the host is filed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NameKey<'a> {
    pub(crate) kind: NameKind,
    pub(crate) text: Cow<'a, str>,
}

/// The kinds of key, the least selective first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum NameKind {
    /// Any name, or none; the text is empty.
    Rest,
    /// The name ends with a dot and the text, whatever is in front (patterns).
    Ends,
    /// At least one character, a dot, the text.
    AnyLabels,
    /// One label, a dot, the text.
    OneLabel,
    /// The text.
    Exact,
}

/// The keys that a condition on the host is filed under.
pub(crate) struct NameKeys<'a> {
    /// Every name that satisfies the condition is found by one of them.
    pub(crate) keys: SmallVec<[NameKey<'a>; 1]>,
    /// Whether being found by one of them satisfies the condition.
    pub(crate) exhaustive: bool,
}

/// A value for each key.
#[derive(Debug, Clone)]
pub(crate) struct Names<V> {
    rest: Option<V>,
    /// By [`NameKind`], without `Rest`.
    maps: [Map<V>; 4],
}

/// The seeds are fixed: keys come from the configuration alone, never from a peer, so nobody can
/// choose them to collide; and equal tables cost equal instructions.
type State = SeedableState<'static>;

#[derive(Debug, Clone)]
struct Map<V> {
    /// Keys are shared by the tables of one generation and the next.
    values: HashMap<Arc<str>, V, State>,
    /// Lengths that occur, so that most lookups end before hashing. The last bit stands for
    /// itself and all greater ones.
    lengths: [u64; 4],
}

// === impl NameKey ===

impl<'a> NameKey<'a> {
    pub(crate) const REST: NameKey<'static> =
        NameKey { kind: NameKind::Rest, text: Cow::Borrowed("") };

    fn borrowed(kind: NameKind, text: &'a str) -> Self {
        Self { kind, text: Cow::Borrowed(text) }
    }
}

// === impl NameKeys ===

impl<'a> NameKeys<'a> {
    pub(crate) fn of(host: &'a HostMatch) -> Self {
        let (kind, text) = match host {
            HostMatch::Exact(name) => (NameKind::Exact, &**name),
            HostMatch::OneLabel(suffix) => (NameKind::OneLabel, &**suffix),
            HostMatch::AnyLabels(suffix) => (NameKind::AnyLabels, &**suffix),
            HostMatch::Any => (NameKind::Rest, ""),
            HostMatch::Regex(pattern) => {
                let keys = from_literals(literal::suffixes(pattern));
                return Self { keys, exhaustive: false };
            }
        };
        Self { keys: smallvec![NameKey::borrowed(kind, text)], exhaustive: true }
    }
}

fn from_literals<'a>(literals: Literals) -> SmallVec<[NameKey<'a>; 1]> {
    let key = |kind, text: &str| NameKey { kind, text: Cow::Owned(text.to_owned()) };
    match literals {
        Literals::Whole(names) => names.iter().map(|name| key(NameKind::Exact, name)).collect(),
        Literals::Part(ends) => {
            let mut keys = SmallVec::new();
            for end in ends {
                // The part of the first label may have been cut short; what follows is whole.
                match end.split_once('.') {
                    Some((_, suffix)) if !suffix.is_empty() => {
                        let key = key(NameKind::Ends, suffix);
                        if !keys.contains(&key) {
                            keys.push(key);
                        }
                    }
                    _ => return smallvec![NameKey::REST],
                }
            }
            keys
        }
        Literals::None => smallvec![NameKey::REST],
    }
}

// === impl Names ===

impl<V> Names<V> {
    pub(crate) fn insert(&mut self, key: &NameKey<'_>, value: V) {
        match self.map_index(key.kind) {
            None => self.rest = Some(value),
            Some(index) => self.maps[index].insert(&key.text, value),
        }
    }

    pub(crate) fn get(&self, key: &NameKey<'_>) -> Option<&V> {
        match self.map_index(key.kind) {
            None => self.rest.as_ref(),
            Some(index) => self.maps[index].get(&key.text),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &NameKey<'_>) -> Option<&mut V> {
        match self.map_index(key.kind) {
            None => self.rest.as_mut(),
            Some(index) => self.maps[index].values.get_mut(&*key.text),
        }
    }

    pub(crate) fn remove(&mut self, key: &NameKey<'_>) {
        match self.map_index(key.kind) {
            None => self.rest = None,
            // The lengths may keep a bit too many, which costs time only.
            Some(index) => drop(self.maps[index].values.remove(&*key.text)),
        }
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.maps.iter_mut().flat_map(|map| map.values.values_mut()).chain(&mut self.rest)
    }

    /// Calls `visit` with the value of every key that `name` satisfies, the most selective first.
    #[inline]
    pub(crate) fn visit<'a>(&'a self, name: &str, mut visit: impl FnMut(&'a V)) {
        let [ends, any_labels, one_label, exact] = &self.maps;
        if let Some(value) = exact.get(name) {
            visit(value);
        }
        if !(one_label.is_empty() && any_labels.is_empty() && ends.is_empty()) {
            let mut first = true;
            for dot in memchr_iter(b'.', name.as_bytes()) {
                let suffix = &name[dot + 1..];
                if std::mem::replace(&mut first, false) && dot > 0 {
                    one_label.get(suffix).into_iter().for_each(&mut visit);
                }
                if dot > 0 {
                    any_labels.get(suffix).into_iter().for_each(&mut visit);
                }
                ends.get(suffix).into_iter().for_each(&mut visit);
            }
        }
        self.rest.iter().for_each(visit);
    }

    /// The value for conditions that hold without a name.
    pub(crate) fn rest(&self) -> Option<&V> {
        self.rest.as_ref()
    }

    fn map_index(&self, kind: NameKind) -> Option<usize> {
        (kind as usize).checked_sub(1)
    }
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self { rest: None, maps: [Map::new(), Map::new(), Map::new(), Map::new()] }
    }
}

// === impl Map ===

impl<V> Map<V> {
    fn new() -> Self {
        Self { values: HashMap::with_hasher(State::fixed()), lengths: [0; 4] }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn insert(&mut self, name: &str, value: V) {
        let (word, bit) = length_bit(name.len());
        self.lengths[word] |= bit;
        self.values.insert(name.into(), value);
    }

    #[inline]
    fn get(&self, name: &str) -> Option<&V> {
        let (word, bit) = length_bit(name.len());
        if self.lengths[word] & bit == 0 {
            return None;
        }
        self.values.get(name)
    }
}

#[inline]
fn length_bit(length: usize) -> (usize, u64) {
    let length = length.min(255);
    (length / 64, 1 << (length % 64))
}

#[cfg(test)]
mod tests;
