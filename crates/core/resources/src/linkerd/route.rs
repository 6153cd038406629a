//! Linkerd's own HTTPRoute, which has the shape of the Gateway API's.

use super::GROUP;
use crate::gateway_api::{self, ParentRef, http};
use crate::read::Reader;

/// An HTTPRoute of Linkerd: a Server as parent restricts what comes in, a Service or EgressNetwork
/// says where calls go.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRoute {
    /// Its parents, hosts and rules. Where it is broken, the rules that could be read.
    pub route: gateway_api::HttpRoute,
    /// It has errors. It may have been about any Server of its namespace, and says nothing of
    /// where calls go.
    pub is_broken: bool,
}

// === impl HttpRoute ===

impl HttpRoute {
    /// The parents that are Servers.
    pub fn servers(&self) -> impl Iterator<Item = &ParentRef> {
        servers(&self.route.parents)
    }
}

/// The parents of a route that are Servers, of whichever group the route is.
pub fn servers(parents: &[ParentRef]) -> impl Iterator<Item = &ParentRef> {
    parents.iter().filter(|parent| parent.object.is(GROUP, "Server"))
}

/// Reads an HTTPRoute.
pub(super) fn read(reader: &Reader<'_, '_>) -> HttpRoute {
    match http::read(reader) {
        Some(route) => HttpRoute { route, is_broken: false },
        None => HttpRoute { route: gateway_api::HttpRoute::default(), is_broken: true },
    }
}
