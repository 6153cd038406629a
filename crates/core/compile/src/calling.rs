//! How destinations are called: the settings of documents of every dialect as values of the model.
//!
//! Settings are put together in layers ([`layers`]), the dialect with the least to say first:
//! what Kubernetes has words for, Linkerd, Istio, Gateway API, and last our own kind, which exists
//! for what none of the others can say. A layer replaces the parts that it speaks of and leaves the
//! others, so that a retry budget of one dialect does not void the load balancing of another.
//! Where two speak of one part, both documents' reports say so.

pub(crate) mod documents;
pub(crate) mod gateway;
pub(crate) mod gateway_api;
pub(crate) mod istio;
pub(crate) mod kubernetes;
pub(crate) mod layers;
pub(crate) mod linkerd;
pub(crate) mod own;

pub(crate) use layers::{From, Layers};
