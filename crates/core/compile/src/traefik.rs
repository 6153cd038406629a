//! Traefik's resources and its file provider.
//!
//! Each resource is first looked at alone ([`prepare`]): rules are parsed, patterns compiled, names
//! checked. Then each router is linked to what it refers to, which makes a [`Piece`]. Both results
//! are kept and used again while what they were made from stays the same.

mod auth;
mod borrow;
mod headers;
mod health;
mod link;
mod locate;
mod middleware;
mod prepare;
mod router;
mod server;
mod service;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashMap;
use std::sync::Arc;

use rapidhash::fast::SeedableState;
use weft_model::backend::Backend;
use weft_model::id::{BackendId, ListenerId, RouteId};
use weft_model::route::{Route, TcpRoute};
use weft_resources::{Key, Kind, Pos, Problem, Resource};

use crate::calling::gateway::Said;
use crate::context::{Context, Dependency, Output};
use crate::listeners::Draft;
use crate::options::EntryPoint;
use crate::traefik::prepare::Prepared;

pub(crate) use borrow::Borrower;
pub(crate) use tls::referenced_files;

/// What was made of resources, by the address of the resource that it was made from. Each entry
/// holds that resource, so that the address stays its own.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    prepared: ByAddress<Prepared>,
    pieces: ByAddress<Piece>,
    /// How many pieces were made, not taken from before.
    made: usize,
}

type ByAddress<T> = HashMap<usize, (Arc<Resource>, Arc<T>), SeedableState<'static>>;

/// What one resource with routers adds.
#[derive(Debug, Default)]
struct Piece {
    /// Entry points by index, and whether on their TLS side.
    placement: Vec<(usize, bool)>,
    http: Vec<Arc<Route>>,
    tcp: Vec<Arc<TcpRoute>>,
    /// Where in the resource the rule of each route stands.
    places: Vec<(RouteId, Pos)>,
    backends: Vec<Arc<Backend>>,
    said: Vec<(BackendId, Said)>,
    tls: Option<Box<tls::Use>>,
    problems: Vec<Problem>,
    /// What is to say about documents that speak of services behind backends.
    told: Vec<(Key, Problem)>,
    dependencies: Box<[Dependency]>,
}

// === impl Memo ===

impl Memo {
    /// Looks at each resource alone. What `before` knows is taken from there.
    pub(crate) fn prepare(resources: &[Arc<Resource>], before: Option<&Self>) -> Self {
        let mut memo = Self::default();
        memo.prepare_missing(resources, before);
        memo
    }

    /// The same for resources that came later.
    pub(crate) fn prepare_missing(&mut self, resources: &[Arc<Resource>], before: Option<&Self>) {
        // Most resources have nothing to prepare and nothing to say.
        let nothing = Arc::new(Prepared::nothing());
        for resource in resources.iter().filter(|resource| is_ours(&resource.body)) {
            let address = address(resource);
            if self.prepared.contains_key(&address) {
                continue;
            }
            let known = before.and_then(|before| before.prepared.get(&address));
            let prepared = match known {
                Some((_, prepared)) => Arc::clone(prepared),
                None => match prepare::prepare(resource) {
                    prepared if prepared.is_nothing() => Arc::clone(&nothing),
                    prepared => Arc::new(prepared),
                },
            };
            self.prepared.insert(address, (Arc::clone(resource), prepared));
        }
    }

    /// What is wrong with a resource by itself, if something is that keeps it from being used as
    /// it is written.
    pub(crate) fn broken(&self, resource: &Arc<Resource>) -> Option<&[Problem]> {
        let (_, prepared) = self.prepared.get(&address(resource))?;
        prepared.problems.iter().any(Problem::is_error).then_some(&prepared.problems)
    }

    /// How many resources were linked to what they refer to because they, or something they refer
    /// to, are not as before.
    pub(crate) fn made(&self) -> usize {
        self.made
    }

    fn prepared(&self, resource: &Arc<Resource>) -> Option<&Arc<Prepared>> {
        self.prepared.get(&address(resource)).map(|(_, prepared)| prepared)
    }
}

/// Adds all that Traefik's resources ask for. Pieces of `before` are used again where what they
/// depend on is the same; it must come from equal options.
pub(crate) fn compile(
    context: &Context<'_>,
    mut memo: Memo,
    before: Option<&Memo>,
    output: &mut Output,
) -> Memo {
    let mut pieces = Vec::new();
    for resource in context.resources.iter().filter(|resource| is_ours(&resource.body)) {
        if let Some(prepared) = memo.prepared(resource) {
            for problem in &prepared.problems {
                output.problem(&resource.key, problem.clone());
            }
        }
        if !is_linked(&resource.body) {
            continue;
        }
        let known = before.and_then(|before| before.pieces.get(&address(resource)));
        let piece = known
            .map(|(_, piece)| piece)
            .filter(|piece| piece.dependencies.iter().all(|dependency| dependency.holds(context)));
        let piece = match piece {
            Some(piece) => Arc::clone(piece),
            None => {
                let mut piece = router::piece(context, &memo, resource);
                share_backends(&mut piece, output);
                memo.made += 1;
                Arc::new(piece)
            }
        };
        pieces.push((Arc::clone(resource), piece));
    }
    place(context, &pieces, output);
    tls::finish(context, &memo, &pieces, output);
    memo.pieces = pieces.into_iter().map(|entry| (address(&entry.0), entry)).collect();
    memo
}

/// What is wrong with a resource that is not in force.
pub(crate) fn judge(context: &Context<'_>, memo: &Memo, resource: &Arc<Resource>) -> Vec<Problem> {
    if !is_ours(&resource.body) {
        return Vec::new();
    }
    let mut problems = prepare::prepare(resource).problems;
    if is_linked(&resource.body) {
        problems.extend(router::piece(context, memo, resource).problems);
    }
    problems
}

/// Routers often lead to the same service; it is kept once.
fn share_backends(piece: &mut Piece, output: &mut Output) {
    for backend in &mut piece.backends {
        match output.backends.get(&backend.id) {
            Some(known) if **known == **backend => *backend = Arc::clone(known),
            Some(_) => {}
            None => {
                output.backend(Arc::clone(backend));
            }
        }
    }
}

/// Puts what the pieces hold where it belongs.
fn place(context: &Context<'_>, pieces: &[(Arc<Resource>, Arc<Piece>)], output: &mut Output) {
    for entry_point in &context.options.entry_points {
        let draft = draft(output, entry_point);
        // An entry point answers 404 even when no router is there.
        draft.plain.http_enabled |= !entry_point.tls;
        draft.tls.http_enabled |= entry_point.tls;
    }
    for (resource, piece) in pieces {
        for (index, is_tls) in &piece.placement {
            let entry_point = &context.options.entry_points[*index];
            let draft = draft(output, entry_point);
            let side = if *is_tls { &mut draft.tls } else { &mut draft.plain };
            side.http_enabled |= !piece.http.is_empty();
            side.http.extend(piece.http.iter().map(Arc::clone));
            side.tcp.extend(piece.tcp.iter().map(Arc::clone));
        }
        for (id, at) in &piece.places {
            output.lines.insert(id.clone(), context.line(resource, *at));
        }
        for backend in &piece.backends {
            output.backend(Arc::clone(backend));
        }
        for (id, said) in &piece.said {
            output.said.entry(id.clone()).or_insert_with(|| said.clone());
        }
        for problem in &piece.problems {
            output.problem(&resource.key, problem.clone());
        }
        for (key, problem) in &piece.told {
            output.problem_once(key, problem);
        }
    }
}

/// The draft of an entry point.
fn draft<'a>(output: &'a mut Output, entry_point: &EntryPoint) -> &'a mut Draft {
    output.drafts.at(entry_point.addr, || ListenerId::new(&*entry_point.name))
}

fn address(resource: &Arc<Resource>) -> usize {
    Arc::as_ptr(resource) as usize
}

fn has_routers(body: &Kind) -> bool {
    matches!(
        body,
        Kind::IngressRoute(_) | Kind::IngressRouteTcp(_) | Kind::Router(_) | Kind::RouterTcp(_)
    )
}

/// Whether it refers to others.
fn is_linked(body: &Kind) -> bool {
    has_routers(body)
        || matches!(
            body,
            Kind::Middleware(_)
                | Kind::TraefikService(_)
                | Kind::FileService(_)
                | Kind::FileServiceTcp(_)
        )
}

fn is_ours(body: &Kind) -> bool {
    has_routers(body)
        || matches!(
            body,
            Kind::Middleware(_)
                | Kind::MiddlewareTcp(_)
                | Kind::TraefikService(_)
                | Kind::ServersTransport(_)
                | Kind::ServersTransportTcp(_)
                | Kind::TlsOption(_)
                | Kind::TlsStore(_)
                | Kind::FileService(_)
                | Kind::FileServiceTcp(_)
                | Kind::FileCertificate(_)
        )
}
