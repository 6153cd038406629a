//! The table of HTTP routes.

mod arm;
mod build;
mod tree;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use weft_message::RequestHead;
use weft_model::route::Route;

use crate::explain::{self, Candidate};
use crate::http::tree::{Best, Tree};
use crate::matching::Ask;
use crate::names::Names;

/// HTTP routes that compete with each other, ready to be searched.
///
/// Routes are filed by host, then by path. The cost of a lookup depends on the lengths of the
/// request's host and path, on how many literals of paths are prefixes of its path, and on how many
/// routes share both host and literal and differ in other conditions only; not on the number of
/// routes.
///
/// Limits: what has no key is tried route by route, in the order of rank, until one takes the
/// request. These are conditions on host or path inside a negation, and patterns without a literal
/// at an anchored side (`^/api/v[0-9]+/` and `^.+\.shop\.example$` have one, `/v[0-9]+/` and
/// `^[a-z]+$` have none). A rule whose alternatives of hosts and paths multiply to more than two
/// thousand is filed by host only, then not at all.
pub struct HttpTable {
    /// As given.
    routes: Box<[Arc<Route>]>,
    /// By host.
    buckets: Names<Bucket>,
    /// For each bucket the positions of its routes.
    positions: Box<[u32]>,
}

/// Proof that a route has been found for a request; only [`HttpTable::find`] makes it.
#[derive(Clone, Copy)]
pub struct Matched<'a> {
    route: &'a Arc<Route>,
    index: usize,
}

/// The routes of one host key.
#[derive(Debug, Clone)]
struct Bucket {
    tree: Arc<Tree>,
    /// Where its part of the positions starts.
    positions_start: usize,
}

// === impl HttpTable ===

impl HttpTable {
    /// Builds the table of `routes`. Ranks must differ.
    pub fn new(routes: &[Arc<Route>]) -> Self {
        build::fresh(routes)
    }

    /// The same as [`HttpTable::new`], at a fraction of the cost when most routes kept their
    /// `Arc`: what was built for hosts without a new or gone route is shared with `previous`.
    pub fn update(previous: &Self, routes: &[Arc<Route>]) -> Self {
        build::update(previous, routes)
    }

    /// The route with the greatest rank that takes the request; `client_ip` is the peer's address.
    ///
    /// Allocates nothing, except the first time a thread uses a pattern, and for values that are
    /// not UTF-8 or escaped and longer than usual.
    pub fn find(&self, head: &RequestHead, client_ip: IpAddr) -> Option<Matched<'_>> {
        let ask = Ask::new(head, client_ip);
        let mut best: Option<Best<'_>> = None;
        self.buckets.visit(ask.host, |bucket| {
            let floor = best.map(|best| best.route.as_ref());
            if let Some(local) = bucket.tree.find(&ask, floor) {
                let route = &bucket.tree.routes()[local];
                best = Some(Best { route, position: bucket.positions_start + local });
            }
        });
        best.map(|Best { route, position }| Matched {
            route,
            index: self.positions[position] as usize,
        })
    }

    /// Why the request goes where it goes: the route that takes it, those that rank lower or
    /// nearly took it, and their first condition that fails. Looks at every route; not for the
    /// path of requests.
    pub fn explain(&self, head: &RequestHead, client_ip: IpAddr) -> Vec<Candidate> {
        explain::candidates(&self.routes, &Ask::new(head, client_ip))
    }

    /// The routes as given; [`Matched::index`] is an index into them.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }
}

impl Default for HttpTable {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl fmt::Debug for HttpTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTable").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}

// === impl Matched ===

impl<'a> Matched<'a> {
    /// The route.
    pub fn route(&self) -> &'a Arc<Route> {
        self.route
    }

    /// Its position among the routes that the table was built from.
    pub fn index(&self) -> usize {
        self.index
    }
}

impl fmt::Debug for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matched")
            .field("route", &self.route.id)
            .field("index", &self.index)
            .finish()
    }
}

#[cfg(test)]
mod tests;
