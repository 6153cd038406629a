//! Building tables, from nothing or from the one before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rapidhash::fast::SeedableState;
use smallvec::SmallVec;
use weft_model::route::{Matcher, Route};

use crate::http::arm::{self, Arm};
use crate::http::tree::{Condition, Draft, Rest, Tree};
use crate::http::{Bucket, HttpTable};
use crate::names::{NameKey, Names};

type State = SeedableState<'static>;

/// The drafts of each host key.
type Drafts<'a> = HashMap<NameKey<'a>, Vec<Draft<'a>>, State>;

/// Positions by the address of the route.
type Positions = HashMap<*const Route, u32, State>;

/// A table built from nothing.
pub(super) fn fresh(routes: &[Arc<Route>]) -> HttpTable {
    let mut drafts = Drafts::with_hasher(State::fixed());
    for (position, route) in routes.iter().enumerate() {
        for (key, draft) in drafts_of(route, position) {
            drafts.entry(key).or_default().push(draft);
        }
    }
    let mut buckets = Names::default();
    for (key, drafts) in drafts {
        buckets.insert(&key, Bucket::new(drafts));
    }
    assemble(routes, buckets, &positions_of(routes))
}

/// A table that shares with `previous` the trees of all host keys whose routes kept their `Arc`.
pub(super) fn update(previous: &HttpTable, routes: &[Arc<Route>]) -> HttpTable {
    let old = positions_of(&previous.routes);
    let new = positions_of(routes);
    let is_old = |route: &Arc<Route>| old.contains_key(&Arc::as_ptr(route));
    let is_kept = |route: &Arc<Route>| new.contains_key(&Arc::as_ptr(route));

    // The keys that lose a route, then those that gain one, with their new drafts.
    let mut drafts = Drafts::with_hasher(State::fixed());
    for route in previous.routes.iter().filter(|route| !is_kept(route)) {
        for arm in arm::arms(&route.matcher) {
            drafts.entry(arm.host_key()).or_default();
        }
    }
    for (position, route) in routes.iter().enumerate().filter(|(_, route)| !is_old(route)) {
        for (key, draft) in drafts_of(route, position) {
            drafts.entry(key).or_default().push(draft);
        }
    }

    // What stays under those keys.
    let mut done = HashSet::with_hasher(State::fixed());
    let touched: Vec<_> = drafts.keys().cloned().collect();
    for key in touched {
        let Some(bucket) = previous.buckets.get(&key) else { continue };
        for route in bucket.tree.routes() {
            let Some(position) = new.get(&Arc::as_ptr(route)) else { continue };
            if !done.insert(*position) {
                continue;
            }
            for (key, draft) in drafts_of(&routes[*position as usize], *position as usize) {
                // Under other keys of the route nothing changed.
                drafts.entry(key).and_modify(|drafts| drafts.push(draft));
            }
        }
    }

    let mut buckets = previous.buckets.clone();
    for (key, drafts) in drafts {
        if drafts.is_empty() {
            buckets.remove(&key);
        } else {
            buckets.insert(&key, Bucket::new(drafts));
        }
    }
    assemble(routes, buckets, &new)
}

// === impl Bucket ===

impl Bucket {
    fn new(drafts: Vec<Draft<'_>>) -> Self {
        Self { tree: Arc::new(Tree::new(drafts)), positions_start: 0 }
    }
}

/// Puts the parts together and notes the position of every route of every tree.
fn assemble(routes: &[Arc<Route>], mut buckets: Names<Bucket>, positions: &Positions) -> HttpTable {
    let mut all = Vec::with_capacity(routes.len());
    for bucket in buckets.values_mut() {
        bucket.positions_start = all.len();
        let routes = bucket.tree.routes().iter();
        all.extend(routes.map(|route| {
            positions.get(&Arc::as_ptr(route)).expect("trees hold routes of this table only")
        }));
    }
    HttpTable { routes: routes.into(), buckets, positions: all.into() }
}

/// The position of each route; the first one of a route that is given twice.
fn positions_of(routes: &[Arc<Route>]) -> Positions {
    let mut positions = Positions::with_capacity_and_hasher(routes.len(), State::fixed());
    for (position, route) in routes.iter().enumerate() {
        positions.entry(Arc::as_ptr(route)).or_insert(position as u32);
    }
    positions
}

fn drafts_of(
    route: &Arc<Route>,
    position: usize,
) -> impl Iterator<Item = (NameKey<'_>, Draft<'_>)> {
    let mut shared = Shared::default();
    arm::arms(&route.matcher).into_iter().map(move |arm| {
        let condition = shared.condition(&arm, &route.matcher);
        (arm.host_key(), Draft { route, position, path: arm.path_key(), condition })
    })
}

/// The conditions of the last arm: those of the next are usually the same.
#[derive(Default)]
struct Shared<'a> {
    last: Option<(SmallVec<[&'a Matcher; 3]>, Rest)>,
}

impl<'a> Shared<'a> {
    fn condition(&mut self, arm: &Arm<'a>, whole: &Matcher) -> Condition {
        match &*arm.rest {
            [] => return Condition::None,
            [only] if std::ptr::eq(*only, whole) => return Condition::Whole,
            _ => {}
        }
        if let Some((last, rest)) = &self.last
            && last.len() == arm.rest.len()
            && last.iter().zip(&arm.rest).all(|(a, b)| std::ptr::eq(*a, *b))
        {
            return Condition::Rest(rest.clone());
        }
        let rest: Rest = arm.rest.iter().map(|one| (*one).clone()).collect();
        self.last = Some((arm.rest.clone(), rest.clone()));
        Condition::Rest(rest)
    }
}
