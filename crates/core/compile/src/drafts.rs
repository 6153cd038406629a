//! What else is wrong with documents that are rejected.
//!
//! A field that is not known rejects its document. If all else of it could be read, its rules and
//! references are judged all the same, so that a user learns of everything at once. Nothing of it
//! comes into force.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use weft_resources::set::{Index, Item};
use weft_resources::{Kind, Problem, Resource, ResourceSet};

use crate::context::{Context, Output};
use crate::{gateway_api, ingress, istio, traefik};

/// Judges all documents that are rejected and could be read.
pub(crate) fn judge(
    set: &ResourceSet,
    context: &Context<'_>,
    traefik: &traefik::Memo,
    out: &mut Output,
) {
    let drafts: Vec<(&Arc<Item>, &Arc<Resource>)> = set
        .items()
        .iter()
        .filter_map(|placed| Some((&placed.item, placed.item.draft.as_ref()?)))
        .collect();
    if drafts.is_empty() {
        return;
    }
    let mut said = Output::default();
    of_gateways(&drafts, context, traefik, &mut said);
    for (item, draft) in drafts {
        let mut problems = match &draft.body {
            Kind::Ingress(_) => {
                ingress::judge(context, traefik, draft, &mut said);
                said.problems.remove(&draft.key).unwrap_or_default()
            }
            _ if is_gateway_route(&draft.body) => {
                said.problems.remove(&draft.key).unwrap_or_default()
            }
            _ => traefik::judge(context, traefik, draft),
        };
        // What follows from what is known to be wrong is no news.
        problems.retain(|problem| !item.problems.iter().any(|known| is_about(problem, known)));
        out.draft_problems.insert(Arc::as_ptr(item), problems);
    }
}

/// Routes of Gateway API and of Istio are judged by what they attach to, so they are compiled beside
/// all Gateways and without other routes.
fn of_gateways(
    drafts: &[(&Arc<Item>, &Arc<Resource>)],
    context: &Context<'_>,
    traefik: &traefik::Memo,
    said: &mut Output,
) {
    let routes = drafts.iter().filter(|(_, draft)| is_gateway_route(&draft.body));
    let routes: Vec<Arc<Resource>> = routes.map(|(_, draft)| Arc::clone(draft)).collect();
    if routes.is_empty() {
        return;
    }
    let others = context.resources.iter().filter(|other| !is_gateway_route(&other.body));
    let resources: Vec<Arc<Resource>> = others.cloned().chain(routes).collect();
    let index: &Index = context.index;
    let context = Context { resources: &resources, index, ..*context };
    gateway_api::compile(&context, traefik, said);
    istio::gateway::compile(&context, said);
}

fn is_gateway_route(body: &Kind) -> bool {
    matches!(
        body,
        Kind::HttpRoute(_)
            | Kind::GrpcRoute(_)
            | Kind::TlsRoute(_)
            | Kind::TcpRoute(_)
            | Kind::VirtualService(_)
    )
}

/// Whether a problem is about the same field as a known one, about a part of it or about what it
/// is a part of.
fn is_about(problem: &Problem, known: &Problem) -> bool {
    let is_part = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    known.is_error() && (is_part(&problem.path, &known.path) || is_part(&known.path, &problem.path))
}
