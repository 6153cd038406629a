//! What other dialects borrow: middlewares that their filters and annotations name.

use std::sync::Arc;

use weft_model::policy::{Refusal, Step};
use weft_resources::Resource;
use weft_resources::traefik::ObjectRef;

use super::Memo;
use super::link::Link;
use super::locate::Home;
use crate::context::{Context, Output};

/// The steps of middlewares that `resource` names at `path`; those that count do so under `place`.
///
/// # Errors
///
/// A refusal when one of them cannot be enforced; the reason was reported.
pub(crate) fn middlewares(
    context: &Context<'_>,
    memo: &Memo,
    resource: &Arc<Resource>,
    references: &[ObjectRef],
    path: &str,
    place: &str,
    output: &mut Output,
) -> Result<Vec<Arc<Step>>, Refusal> {
    let scope = context.scope();
    let mut link = Link::new(&scope, memo, resource);
    let steps = link.steps(references, Home::of(resource), path, place);
    let (backends, problems) = (link.backends, link.problems);
    for backend in backends {
        output.backend(backend);
    }
    for problem in problems {
        output.problem(&resource.key, problem);
    }
    steps
}
