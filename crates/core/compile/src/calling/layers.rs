//! Settings while they are put together.

use std::sync::Arc;

use weft_model::calling::{Calling, Source};
use weft_resources::{Pos, Resource};

use crate::context::Output;
use crate::remark::Place;

/// Settings, with the document that each part comes from.
#[derive(Debug, Clone)]
pub(crate) struct Layers<'a> {
    /// As they are by now.
    pub(crate) calling: Calling,
    parts: Vec<(Part, From<'a>)>,
}

/// Where a part of the settings comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From<'a> {
    /// The document.
    pub(crate) resource: &'a Resource,
    /// The field as its dialect names it.
    pub(crate) field: &'static str,
    /// Where it is written.
    pub(crate) at: Pos,
    /// The line of its file at which the document begins.
    pub(crate) first_line: u32,
}

/// A part of the settings that one document decides as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// How an endpoint is chosen, and by what.
    Balancing,
    /// Which endpoints come first, by their places.
    Locality,
    /// What keeps a client on its endpoint.
    Session,
    /// The share of new endpoints.
    Warmup,
    /// Passive health.
    Outlier,
    /// What answers cost that ask for less load.
    Bias,
    /// The bound on retries.
    Budget,
    /// Bounds and connections.
    Pool,
    /// Bounds of each endpoint.
    EndpointLimits,
    /// The bound that finds itself.
    Adaptive,
    /// Second requests.
    Hedge,
    /// Retries of what other hops have retried.
    Hops,
    /// What becomes of the caller's deadline.
    Deadline,
    /// TLS.
    Tls,
    /// Tunnel and PROXY protocol.
    Wrapping,
}

// === impl Layers ===

impl<'a> Layers<'a> {
    /// Settings of which no document has said anything.
    pub(crate) fn new(calling: Calling) -> Self {
        Self { calling, parts: Vec::new() }
    }

    /// Whether no document has said anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether a document has decided a part.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.iter().any(|(known, _)| *known == part)
    }

    /// Leaves out what documents say of a part, which means nothing to the caller.
    pub(crate) fn leave(&mut self, part: Part) {
        part.copy(&Calling::default(), &mut self.calling);
        self.parts.retain(|(known, _)| *known != part);
    }

    /// Notes that a document decides a part, which the caller then sets. When another has done so
    /// before, both are told.
    pub(crate) fn decide(&mut self, part: Part, from: From<'a>, out: &mut Output) -> &mut Calling {
        let before = self.parts.iter().position(|(known, _)| *known == part);
        if let Some(before) = before {
            let (_, old) = self.parts.remove(before);
            if old.resource.key != from.resource.key {
                tell(old, from, out);
            }
        }
        self.parts.push((part, from));
        &mut self.calling
    }

    /// Puts the part of other settings on top. When another document has decided it before, both
    /// are told.
    pub(crate) fn put(&mut self, part: Part, from: From<'a>, settings: &Calling, out: &mut Output) {
        part.copy(settings, self.decide(part, from, out));
    }

    /// The settings, and where they come from.
    pub(crate) fn finish(self) -> (Arc<Calling>, Arc<[Source]>) {
        let sources = self.parts.into_iter().map(|(_, from)| from.source());
        (Arc::new(self.calling), sources.collect())
    }
}

// === impl Part ===

impl Part {
    /// Takes this part of other settings.
    fn copy(self, from: &Calling, to: &mut Calling) {
        match self {
            Self::Balancing => {
                (to.picker, to.as_dialled) = (from.picker, from.as_dialled);
                to.key.clone_from(&from.key);
            }
            Self::Locality => to.locality.clone_from(&from.locality),
            Self::Session => to.sticky.clone_from(&from.sticky),
            Self::Warmup => to.slow_start = from.slow_start,
            Self::Outlier => to.outlier = from.outlier,
            Self::Bias => to.bias = from.bias,
            Self::Budget => to.retry_budget = from.retry_budget,
            Self::Pool => {
                (to.limits, to.upgrade) = (from.limits, from.upgrade);
                to.pool.clone_from(&from.pool);
            }
            Self::EndpointLimits => to.endpoint_limits = from.endpoint_limits,
            Self::Adaptive => to.adaptive = from.adaptive,
            Self::Hedge => to.hedge = from.hedge,
            Self::Hops => to.retries_across_hops = from.retries_across_hops,
            Self::Deadline => to.ignores_deadlines = from.ignores_deadlines,
            Self::Tls => {
                to.tls.clone_from(&from.tls);
                to.without_mesh_tls = from.without_mesh_tls;
            }
            Self::Wrapping => {
                to.tunnel.clone_from(&from.tunnel);
                to.proxy_protocol = from.proxy_protocol;
            }
        }
    }
}

fn tell(loser: From<'_>, winner: From<'_>, out: &mut Output) {
    let message = format!("`{}` of {} holds instead", winner.field, winner.place());
    Place::new(loser.resource, loser.at, loser.field).warn(out, message);
    let message = format!("it holds instead of `{}` of {}", loser.field, loser.place());
    Place::new(winner.resource, winner.at, winner.field).note(out, message);
}

// === impl From ===

impl<'a> From<'a> {
    /// Another field of the same document.
    pub(crate) fn field(self, field: &'static str, at: Pos) -> Self {
        Self { field, at, ..self }
    }

    /// Where it can be reported.
    pub(crate) fn report(self) -> Place<'a> {
        Place::new(self.resource, self.at, self.field)
    }

    /// The same for `explain`.
    pub(crate) fn source(self) -> Source {
        Source {
            setting: match self.at == Pos::default() {
                // The document says nothing of it, and its dialect has another default than we have.
                true => format!("{} (its default)", self.field).into(),
                false => self.field.into(),
            },
            document: self.document().into(),
            file: (&*self.resource.file).into(),
            line: self.line(),
        }
    }

    fn document(self) -> String {
        let Resource { key, .. } = self.resource;
        format!("{} {}/{}", key.kind, key.namespace, key.name)
    }

    fn line(self) -> u32 {
        let at = if self.at == Pos::default() { Pos::FIRST } else { self.at };
        at.from_line(self.first_line).line
    }

    fn place(self) -> String {
        format!("{} ({}:{})", self.document(), self.resource.file, self.line())
    }
}
