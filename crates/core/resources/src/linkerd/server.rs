//! Server: a port of some workloads, and who may call it.

use crate::kubernetes::LabelSelector;
use crate::kubernetes::service::PortRef;
use crate::read::Reader;

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

/// The annotation of a Namespace or Pod that says who may call ports without a [`Server`].
pub const DEFAULT_INBOUND_POLICY: &str = "config.linkerd.io/default-inbound-policy";

/// The annotation of a Namespace, Service or Pod that lists ports on which nothing is to be
/// detected, in the place of [`DEFAULT_OPAQUE_PORTS`].
pub const OPAQUE_PORTS: &str = "config.linkerd.io/opaque-ports";

/// Ports of protocols in which the server speaks first: SMTP, MySQL, Galera, PostgreSQL, Redis,
/// Elasticsearch and memcached.
pub const DEFAULT_OPAQUE_PORTS: &[u16] = &[25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

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

/// Reads a Server.
pub(super) fn read(reader: &Reader<'_, '_>) -> Server {
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
