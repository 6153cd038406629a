//! Traefik's custom resources (`traefik.io/v1alpha1`, and the older `traefik.containo.us/v1alpha1`)
//! and its file provider, with Traefik's field names and defaults.
//!
//! The structs of routers, middlewares, transports and TLS settings are shared by both, as Traefik
//! shares them; [`mod@file`] holds what only the file provider has.

pub mod file;
pub mod middleware;
pub mod route;
pub mod service;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod transport;

use crate::kind::{Kind, KindInfo};
use crate::problem::Pos;
use crate::read::{Field, Reader};

pub use middleware::{Middleware, MiddlewareTcp};
pub use route::{IngressRoute, IngressRouteTcp};
pub use service::TraefikService;
pub use tls::{TlsOption, TlsStore};
pub use transport::{ServersTransport, ServersTransportTcp};

/// The API group of keys, whatever the version says.
pub const GROUP: &str = "traefik.io";

/// A name in a document, with its optional namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    /// Name; may carry `@provider`.
    pub name: Box<str>,
    /// Namespace; the referring object's when absent.
    pub namespace: Option<Box<str>>,
    /// Where it is written.
    pub at: Pos,
}

const API_VERSIONS: &[&str] = &["traefik.io/v1alpha1", "traefik.containo.us/v1alpha1"];

macro_rules! kinds {
    ($($kind:literal => $decode:expr;)*) => {
        /// The kinds of this dialect.
        pub const KINDS: &[KindInfo] = &[$(KindInfo {
            group: GROUP,
            api_versions: API_VERSIONS,
            kind: $kind,
            namespaced: true,
            decode: $decode,
        },)*];
    };
}

kinds! {
    "IngressRoute" => |r| spec(r, IngressRoute::read).map(Kind::IngressRoute);
    "IngressRouteTCP" => |r| spec(r, IngressRouteTcp::read).map(Kind::IngressRouteTcp);
    "IngressRouteUDP" => |r| {
        r.skip("spec");
        Some(Kind::Unsupported { why: "UDP is not served" })
    };
    "Middleware" => |r| spec(r, Middleware::read).map(Kind::Middleware);
    "MiddlewareTCP" => |r| spec(r, MiddlewareTcp::read).map(Kind::MiddlewareTcp);
    "TraefikService" => |r| spec(r, TraefikService::read).map(Kind::TraefikService);
    "ServersTransport" => |r| spec(r, ServersTransport::read).map(Kind::ServersTransport);
    "ServersTransportTCP" => |r| spec(r, ServersTransportTcp::read).map(Kind::ServersTransportTcp);
    "TLSOption" => |r| spec(r, TlsOption::read).map(Kind::TlsOption);
    "TLSStore" => |r| spec(r, TlsStore::read).map(Kind::TlsStore);
}

fn spec<T>(reader: &Reader<'_, '_>, read: fn(&Reader<'_, '_>) -> Option<T>) -> Option<Box<T>> {
    reader.require("spec")?.nested(read).map(Box::new)
}

// === impl ObjectRef ===

impl ObjectRef {
    /// Reads `{name, namespace}`.
    pub fn read(field: &Field<'_, '_>) -> Option<Self> {
        let at = field.at();
        field.nested(|r| {
            let namespace = r.string("namespace").filter(|text| !text.is_empty());
            Some(Self { name: r.require_string("name")?, namespace, at })
        })
    }

    /// Reads a bare name, as the file provider writes it.
    pub fn read_name(field: &Field<'_, '_>) -> Option<Self> {
        Some(Self { name: field.non_empty_string()?, namespace: None, at: field.at() })
    }
}
