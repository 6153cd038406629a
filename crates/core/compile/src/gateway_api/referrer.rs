//! What compilation of a rule asks of whatever the route is in: a gateway, or a mesh.

use std::sync::Arc;

use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step};
use weft_model::route::{Affinity, Target};
use weft_resources::Resource;
use weft_resources::gateway_api::{BackendRef, ObjectRef};

use crate::context::Output;
use crate::remark::Place;

/// A route with the world around it, which knows what the route refers to.
pub(crate) trait Referrer {
    /// The route.
    fn route(&self) -> &Resource;

    /// What it speaks.
    fn speaks(&self) -> Speaks;

    /// The backend of a reference, which keeps a client on its endpoint by `sticky`.
    ///
    /// # Errors
    ///
    /// The answer instead, with the reason.
    fn backend(
        &self,
        reference: &BackendRef,
        sticky: Option<Affinity>,
        place: Place<'_>,
        out: &mut Output,
    ) -> Result<BackendId, Refusal>;

    /// Where a rule leads that names no backend: nowhere, unless the dialect has it otherwise.
    fn otherwise(&self, _out: &mut Output) -> Option<BackendId> {
        None
    }

    /// The steps of an object that a filter names.
    ///
    /// # Errors
    ///
    /// The answer instead, with the reason.
    fn extension(
        &self,
        reference: &ObjectRef,
        path: &str,
        id: &str,
        out: &mut Output,
    ) -> Result<Vec<Arc<Step>>, Refusal>;

    /// The answer where a backend cannot be used. gRPC clients take 503 for `UNAVAILABLE`, which
    /// is what they are to see; 500 would be `UNKNOWN` to them.
    fn invalid(&self, message: String) -> Refusal {
        let reason = match self.speaks() {
            Speaks::Grpc => Reason::NoEndpoint,
            Speaks::Http | Speaks::Bytes | Speaks::Passthrough => Reason::InvalidBackend,
        };
        Refusal { reason, detail: message.into() }
    }
}

/// What a route speaks to its backends unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP.
    Http,
    /// gRPC.
    Grpc,
    /// Bytes, of which TLS has been ended here.
    Bytes,
    /// TLS that goes through untouched.
    Passthrough,
}

/// A target that answers instead.
pub(crate) fn refuse(refusal: Refusal) -> Target {
    Target::Refuse(refusal)
}
