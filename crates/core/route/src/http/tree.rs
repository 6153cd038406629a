//! The routes of one host key: a radix tree on the literals of their paths.
//!
//! A lookup walks down once, as far as literals agree with the path, then back up along the nodes
//! that end a literal, deepest first: with Traefik's default priority and Gateway API's precedence
//! alike the longest literal usually wins, and everything above it that ranks lower is skipped by
//! one comparison.

use std::collections::VecDeque;
use std::sync::Arc;

use memchr::memchr;
use weft_model::route::{Matcher, Route};

use crate::http::arm::{PathKey, PathKind};
use crate::matching::{Ask, holds};

/// The routes of one host key.
///
/// It knows nothing of the table around it, so that the next table may keep it.
#[derive(Debug)]
pub(super) struct Tree {
    /// The greatest rank first.
    routes: Box<[Arc<Route>]>,
    /// The root first, then level by level; children stand side by side.
    nodes: Box<[Node]>,
    /// The first byte of each node's label, at the node's index.
    firsts: Box<[u8]>,
    /// The labels without their first bytes.
    labels: Box<[u8]>,
    /// Grouped by node, then by kind, then in the order of rank.
    entries: Box<[Entry]>,
    /// What must hold besides the keys.
    rests: Box<[Rest]>,
}

/// Conditions that must hold besides the keys; routes with several keys share them.
pub(super) type Rest = Arc<[Matcher]>;

/// One arm of a route that is filed in the tree.
pub(super) struct Draft<'a> {
    /// The route.
    pub(super) route: &'a Arc<Route>,
    /// Its position in the table being built; the smaller wins where ranks are equal.
    pub(super) position: usize,
    /// Where it is filed.
    pub(super) path: PathKey<'a>,
    /// What must hold besides the keys.
    pub(super) condition: Condition,
}

/// What must hold besides the keys.
#[derive(Clone)]
pub(super) enum Condition {
    /// Nothing.
    None,
    /// The route's whole matcher.
    Whole,
    /// These.
    Rest(Rest),
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// The label without its first byte, in the tree's `labels`.
    label: u32,
    label_len: u32,
    /// Length of the literal that ends here.
    depth: u32,
    children: u32,
    children_len: u32,
    entries: u32,
    /// Entries for exactly this path.
    exact_len: u32,
    /// Entries for all paths that start so.
    prefix_len: u32,
    /// Entries for this path and what lies below it.
    segments_len: u32,
    /// The nearest node above with entries for longer paths.
    up: u32,
    /// The best route for longer paths here or above.
    best: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Index into the tree's routes.
    route: u32,
    /// [`NO_CONDITION`], [`WHOLE`] or an index into the tree's rests.
    condition: u32,
}

/// The best route found so far.
#[derive(Clone, Copy)]
pub(super) struct Best<'a> {
    pub(super) route: &'a Arc<Route>,
    /// Index into the table's positions.
    pub(super) position: usize,
}

const NONE: u32 = u32::MAX;
const NO_CONDITION: u32 = u32::MAX;
const WHOLE: u32 = u32::MAX - 1;

// === impl Tree ===

impl Tree {
    /// Builds the tree of some arms, at least one.
    pub(super) fn new(mut drafts: Vec<Draft<'_>>) -> Self {
        drafts.sort_unstable_by(|a, b| {
            (b.route.rank.cmp(&a.route.rank)).then(a.position.cmp(&b.position))
        });
        let mut routes: Vec<Arc<Route>> = Vec::new();
        let mut rests: Vec<Rest> = Vec::new();
        let mut filed: Vec<(PathKey<'_>, Entry)> = Vec::with_capacity(drafts.len());
        let mut last = None;
        for draft in drafts {
            if last.replace(draft.position) != Some(draft.position) {
                routes.push(draft.route.clone());
            }
            let condition = condition_index(draft.condition, &mut rests);
            filed.push((draft.path, Entry { route: routes.len() as u32 - 1, condition }));
        }
        filed.sort_unstable_by(|(a, x), (b, y)| {
            a.cmp(b).then((x.route, x.condition).cmp(&(y.route, y.condition)))
        });
        let mut tree = Planting::of(&filed);
        tree.grow();
        Self {
            routes: routes.into(),
            nodes: tree.nodes.into(),
            firsts: tree.firsts.into(),
            labels: tree.labels.into(),
            entries: filed.into_iter().map(|(_, entry)| entry).collect(),
            rests: rests.into(),
        }
    }

    /// The routes, the greatest rank first.
    pub(super) fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The index of the best route that takes the request, if its rank is above that of `floor`.
    #[inline]
    pub(super) fn find(&self, ask: &Ask<'_>, floor: Option<&Route>) -> Option<usize> {
        if let (Some(floor), Some(first)) = (floor, self.routes.first())
            && floor.rank >= first.rank
        {
            return None;
        }
        let path = ask.path.as_bytes();
        let (mut node, depth) = self.descend(path);
        let mut search = Search { tree: self, ask, floor, best: NONE };
        if depth == path.len() {
            search.entries(node.entries, node.exact_len);
        }
        // Nothing at or above this node ranks higher than its `best`.
        while node.best < search.best {
            let prefix = node.entries + node.exact_len;
            search.entries(prefix, node.prefix_len);
            if node.segments_len > 0 && ends_segment(path, node.depth as usize) {
                search.entries(prefix + node.prefix_len, node.segments_len);
            }
            match self.nodes.get(node.up as usize) {
                Some(above) => node = above,
                None => break,
            }
        }
        (search.best != NONE).then_some(search.best as usize)
    }

    /// The deepest node whose literal the path starts with, and the literal's length.
    #[inline]
    fn descend(&self, path: &[u8]) -> (&Node, usize) {
        let mut node = &self.nodes[0];
        let mut rest = path;
        while let Some((first, behind)) = rest.split_first() {
            let start = node.children as usize;
            let children = &self.firsts[start..start + node.children_len as usize];
            let Some(child) = position(*first, children) else { break };
            let below = &self.nodes[start + child];
            let label = below.label as usize;
            let label = &self.labels[label..label + below.label_len as usize];
            let Some(behind) = strip_prefix(behind, label) else { break };
            node = below;
            rest = behind;
        }
        (node, path.len() - rest.len())
    }

    fn condition_holds(&self, entry: Entry, ask: &Ask<'_>) -> bool {
        match entry.condition {
            NO_CONDITION => true,
            WHOLE => holds(&self.routes[entry.route as usize].matcher, ask),
            index => self.rests[index as usize].iter().all(|one| holds(one, ask)),
        }
    }
}

fn condition_index(condition: Condition, rests: &mut Vec<Rest>) -> u32 {
    match condition {
        Condition::None => NO_CONDITION,
        Condition::Whole => WHOLE,
        Condition::Rest(rest) => {
            let known = rests.last().is_some_and(|last| Arc::ptr_eq(last, &rest));
            if !known {
                rests.push(rest);
            }
            rests.len() as u32 - 1
        }
    }
}

/// Where `byte` is. Most nodes have so few children that a call costs more than a look at each.
#[inline]
fn position(byte: u8, bytes: &[u8]) -> Option<usize> {
    match bytes.len() {
        0..=16 => bytes.iter().position(|one| *one == byte),
        _ => memchr(byte, bytes),
    }
}

/// What follows `prefix`. Most labels are shorter than what a call pays for.
#[inline]
fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    let is_equal = match prefix.len() {
        0..=16 => start.iter().zip(prefix).all(|(a, b)| a == b),
        _ => start == prefix,
    };
    is_equal.then_some(rest)
}

/// Whether an element of the path ends at `depth`.
#[inline]
fn ends_segment(path: &[u8], depth: usize) -> bool {
    path.get(depth).is_none_or(|next| *next == b'/')
}

// === impl Search ===

struct Search<'t, 'a> {
    tree: &'t Tree,
    ask: &'t Ask<'a>,
    /// Found elsewhere; only greater ranks count.
    floor: Option<&'t Route>,
    /// The best index so far.
    best: u32,
}

impl Search<'_, '_> {
    /// Looks for a better one among entries of one kind, which stand in the order of rank.
    #[inline]
    fn entries(&mut self, start: u32, len: u32) {
        let entries = &self.tree.entries[start as usize..(start + len) as usize];
        for entry in entries {
            if entry.route >= self.best || self.is_below_floor(*entry) {
                return;
            }
            if self.tree.condition_holds(*entry, self.ask) {
                self.best = entry.route;
                return;
            }
        }
    }

    #[inline]
    fn is_below_floor(&self, entry: Entry) -> bool {
        self.floor.is_some_and(|floor| self.tree.routes[entry.route as usize].rank <= floor.rank)
    }
}

// === impl Planting ===

/// A tree on its way up.
struct Planting<'a> {
    /// Sorted by literal, kind and rank.
    filed: &'a [(PathKey<'a>, Entry)],
    nodes: Vec<Node>,
    firsts: Vec<u8>,
    labels: Vec<u8>,
    /// Nodes without children yet, and the range of `filed` under each. A queue instead of
    /// recursion: literals may be as long as rules.
    queue: VecDeque<(usize, std::ops::Range<usize>)>,
}

impl<'a> Planting<'a> {
    fn of(filed: &'a [(PathKey<'a>, Entry)]) -> Self {
        let root = Node { up: NONE, best: NONE, ..Node::default() };
        Self {
            filed,
            nodes: vec![root],
            firsts: vec![0],
            labels: Vec::new(),
            queue: VecDeque::from([(0, 0..filed.len())]),
        }
    }

    fn grow(&mut self) {
        while let Some((at, range)) = self.queue.pop_front() {
            let depth = self.nodes[at].depth as usize;
            let below = self.place_entries(at, range.clone(), depth);
            self.nodes[at].children = self.nodes.len() as u32;
            let mut start = below;
            while start < range.end {
                let first = self.literal(start)[depth];
                let group = self.filed[start..range.end]
                    .partition_point(|(key, _)| key.literal.as_bytes()[depth] == first);
                self.branch(at, start..start + group);
                start += group;
            }
            self.nodes[at].children_len = self.nodes.len() as u32 - self.nodes[at].children;
        }
    }

    /// Notes the entries whose literal ends at this node, and returns where those behind begin.
    fn place_entries(&mut self, at: usize, range: std::ops::Range<usize>, depth: usize) -> usize {
        let here = &self.filed[range.clone()];
        let here = &here[..here.partition_point(|(key, _)| key.literal.len() == depth)];
        let count = |kind| here.iter().filter(|(key, _)| key.kind == kind).count() as u32;
        let node = &mut self.nodes[at];
        node.entries = range.start as u32;
        node.exact_len = count(PathKind::Exact);
        node.prefix_len = count(PathKind::Prefix);
        node.segments_len = count(PathKind::Segments);
        let open = here.iter().filter(|(key, _)| key.kind != PathKind::Exact);
        let best = open.map(|(_, entry)| entry.route).min().unwrap_or(NONE);
        // Until here `best` is the one of the nodes above.
        node.best = node.best.min(best);
        range.start + here.len()
    }

    /// Adds a child for literals that agree in their next byte.
    fn branch(&mut self, above: usize, range: std::ops::Range<usize>) {
        let (parent, depth) = (self.nodes[above], self.nodes[above].depth as usize);
        let (first, last) = (self.literal(range.start), self.literal(range.end - 1));
        let common = first[depth..].iter().zip(&last[depth..]).take_while(|(a, b)| a == b).count();
        let is_open = parent.prefix_len + parent.segments_len > 0;
        let label = &first[depth + 1..depth + common];
        let node = Node {
            label: self.labels.len() as u32,
            label_len: label.len() as u32,
            depth: (depth + common) as u32,
            up: if is_open { above as u32 } else { parent.up },
            best: parent.best,
            ..Node::default()
        };
        self.labels.extend_from_slice(label);
        self.firsts.push(first[depth]);
        self.nodes.push(node);
        self.queue.push_back((self.nodes.len() - 1, range));
    }

    fn literal(&self, index: usize) -> &'a [u8] {
        let filed: &'a [(PathKey<'a>, Entry)] = self.filed;
        filed[index].0.literal.as_bytes()
    }
}
