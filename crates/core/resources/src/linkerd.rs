//! Linkerd's policy kinds, as far as they say which ports are protected.
//!
//! A Server closes a port to everybody whom no authorization lets in. Authorizations only open, so
//! where they are not evaluated there is nothing to read of them.

#[cfg(test)]
mod tests;

use crate::gateway_api::ObjectRef;
use crate::kind::{Kind, KindInfo};
use crate::kubernetes::LabelSelector;
use crate::kubernetes::service::PortRef;
use crate::read::{Field, Reader};

/// The group of Linkerd's policy kinds.
pub const GROUP: &str = "policy.linkerd.io";

/// A port of some workloads, and who may call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The workloads of its namespace; `None` when it is about workloads outside of the cluster.
    pub selector: Option<LabelSelector>,
    /// The port; `None` when it cannot be read.
    pub port: Option<PortRef>,
    /// What is spoken on it.
    pub protocol: ProxyProtocol,
    /// Who may call it where no authorization says so.
    pub access: Access,
    /// It has errors. It may have asked for anything.
    pub is_broken: bool,
}

/// What is spoken on the port of a [`Server`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// To be found out.
    #[default]
    Unknown,
    /// HTTP/1.
    Http1,
    /// HTTP/2, gRPC included.
    Http2,
    /// Anything.
    Opaque,
    /// TLS of the application's own.
    Tls,
}

/// Who may call where no authorization says so: `accessPolicy` of a Server, and the annotation
/// [`DEFAULT_INBOUND_POLICY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    AllUnauthenticated,
    /// Whoever has an identity of the mesh.
    AllAuthenticated,
    /// Everybody in the networks of the cluster.
    ClusterUnauthenticated,
    /// Whoever has an identity of the mesh and is in the networks of the cluster.
    ClusterAuthenticated,
    /// Everybody, and who should not is noted down.
    Audit,
    /// Nobody.
    Deny,
}

/// A document that restricts what Servers take: a route of one, or a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerGuard {
    /// The names of the Servers, in its namespace.
    pub servers: Vec<Box<str>>,
    /// It has errors. It may have been about any Server of its namespace.
    pub is_broken: bool,
}

/// The annotation of a Namespace or Pod that says who may call ports without a [`Server`].
pub const DEFAULT_INBOUND_POLICY: &str = "config.linkerd.io/default-inbound-policy";

/// The annotation of a Namespace, Service or Pod that lists ports on which nothing is to be
/// detected, in the place of [`DEFAULT_OPAQUE_PORTS`].
pub const OPAQUE_PORTS: &str = "config.linkerd.io/opaque-ports";

/// Ports of protocols in which the server speaks first: SMTP, MySQL, Galera, PostgreSQL, Redis,
/// Elasticsearch and memcached.
pub const DEFAULT_OPAQUE_PORTS: &[u16] = &[25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

const SERVER_VERSIONS: &[&str] =
    &["policy.linkerd.io/v1beta3", "policy.linkerd.io/v1beta2", "policy.linkerd.io/v1beta1"];

const ROUTE_VERSIONS: &[&str] = &[
    "policy.linkerd.io/v1beta3",
    "policy.linkerd.io/v1beta2",
    "policy.linkerd.io/v1beta1",
    "policy.linkerd.io/v1alpha1",
];

const AUTHORIZATION_VERSIONS: &[&str] =
    &["policy.linkerd.io/v1beta1", "policy.linkerd.io/v1alpha1"];

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        group: GROUP,
        api_versions: SERVER_VERSIONS,
        kind: "Server",
        namespaced: true,
        decode: |reader| Some(Kind::Server(Box::new(read_server(reader)))),
    },
    KindInfo {
        group: GROUP,
        api_versions: ROUTE_VERSIONS,
        kind: "HTTPRoute",
        namespaced: true,
        decode: |reader| Some(Kind::ServerGuard(Box::new(read_guard(reader, "parentRefs")))),
    },
    KindInfo {
        group: GROUP,
        api_versions: &["policy.linkerd.io/v1alpha1"],
        kind: "HTTPLocalRateLimitPolicy",
        namespaced: true,
        decode: |reader| Some(Kind::ServerGuard(Box::new(read_guard(reader, "targetRef")))),
    },
    authorization("ServerAuthorization"),
    authorization("AuthorizationPolicy"),
    authorization("MeshTLSAuthentication"),
    authorization("NetworkAuthentication"),
];

// === impl Access ===

impl Access {
    /// The words of the dialect.
    pub const CHOICES: [(&'static str, Self); 6] = [
        ("all-unauthenticated", Self::AllUnauthenticated),
        ("all-authenticated", Self::AllAuthenticated),
        ("cluster-unauthenticated", Self::ClusterUnauthenticated),
        ("cluster-authenticated", Self::ClusterAuthenticated),
        ("audit", Self::Audit),
        ("deny", Self::Deny),
    ];

    /// From a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::CHOICES.iter().find(|(word, _)| *word == text).map(|(_, access)| *access)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        let found = Self::CHOICES.iter().find(|(_, access)| *access == self);
        found.map_or("", |(word, _)| word)
    }
}

/// A kind that opens what a Server closes.
const fn authorization(kind: &'static str) -> KindInfo {
    KindInfo {
        group: GROUP,
        api_versions: AUTHORIZATION_VERSIONS,
        kind,
        namespaced: true,
        decode: |reader| {
            reader.skip("spec");
            let why =
                "authorizations are not evaluated, and the Servers that they open stay closed";
            Some(Kind::Unsupported { why })
        },
    }
}

fn read_server(reader: &Reader<'_, '_>) -> Server {
    let protocols = [
        ("unknown", ProxyProtocol::Unknown),
        ("HTTP/1", ProxyProtocol::Http1),
        ("HTTP/2", ProxyProtocol::Http2),
        ("gRPC", ProxyProtocol::Http2),
        ("opaque", ProxyProtocol::Opaque),
        ("TLS", ProxyProtocol::Tls),
    ];
    let mut server = Server {
        // Whatever cannot be read is about the most.
        selector: Some(LabelSelector::default()),
        port: None,
        protocol: ProxyProtocol::Unknown,
        access: Access::Deny,
        is_broken: false,
    };
    let read = reader.require("spec").and_then(|field| {
        field.nested(|spec| {
            let pods = spec.nested("podSelector", LabelSelector::read);
            if spec.has("externalWorkloadSelector") && pods.is_none() {
                spec.ignored("externalWorkloadSelector", "there are no workloads of that kind");
                server.selector = None;
            } else if let Some(pods) = pods {
                server.selector = Some(pods);
            } else {
                spec.require("podSelector");
            }
            server.port = spec.require("port").and_then(|field| PortRef::read(&field));
            let protocol = spec.take("proxyProtocol").and_then(|field| field.choice(&protocols));
            server.protocol = protocol.unwrap_or_default();
            let access = spec.take("accessPolicy").and_then(|field| field.choice(&Access::CHOICES));
            server.access = access.unwrap_or(Access::Deny);
            Some(())
        })
    });
    server.is_broken = read.is_none();
    server
}

fn read_guard(reader: &Reader<'_, '_>, name: &'static str) -> ServerGuard {
    let mut guard = ServerGuard { servers: Vec::new(), is_broken: false };
    reader.nested("spec", |spec| {
        let object = |field: &Field<'_, '_>| {
            field.nested(|object| {
                ["sectionName", "port"].iter().for_each(|name| object.skip(name));
                ObjectRef::take(object, GROUP, "Server")
            })
        };
        let objects = match spec.take(name) {
            Some(field) if field.node().as_map().is_some() => object(&field).into_iter().collect(),
            Some(field) => field.list(object),
            None => Vec::new(),
        };
        let servers = objects.into_iter().filter(|object| object.is(GROUP, "Server"));
        guard.servers = servers.map(|object| object.name).collect();
        spec.rest().for_each(drop);
        Some(())
    });
    guard
}
