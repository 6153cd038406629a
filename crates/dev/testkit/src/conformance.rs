//! The surroundings that the upstream Gateway API conformance suite gives its cases: a namespace
//! with three versions of a backend, another one for a web backend, and Gateways in front.

use std::collections::BTreeMap;

use crate::gateway::{Gateway, GatewayBuilder};
use crate::raw_client::RawClient;
use crate::raw_origin::RawOrigin;
use crate::response::Response;

/// Namespace of Gateways, routes and backends.
pub const INFRA: &str = "gateway-conformance-infra";

/// Namespace of a backend that routes reach only by a grant.
pub const WEB: &str = "gateway-conformance-web-backend";

/// A GET and who answers it: host, target, headers, and the short name of a backend or a status.
pub type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

/// A gateway with the suite's backends: `v1`, `v2` and `v3` (Services `infra-backend-v1` and so
/// on), and `web` (Service `web-backend` in its own namespace), all on port 8080.
#[derive(Debug)]
pub struct Conformance {
    /// The gateway.
    pub gateway: Gateway,
    /// The origins by short name.
    pub origins: BTreeMap<&'static str, RawOrigin>,
}

// === impl Conformance ===

impl Conformance {
    /// Starts a gateway on these documents, with ports 80, 443 and 8080 of its listeners reserved.
    pub fn start(binary: &str, documents: &[&str]) -> Self {
        Self::start_with(Gateway::builder(binary), documents)
    }

    /// The same with more backends or options.
    pub fn start_with(builder: GatewayBuilder, documents: &[&str]) -> Self {
        let mut builder = builder.port(80).port(443).port(8080);
        let mut origins = BTreeMap::new();
        for name in ["v1", "v2", "v3"] {
            let origin = RawOrigin::start(name);
            let service = format!("{INFRA}/infra-backend-{name}:8080");
            builder = builder.backend(&service, origin.addr());
            origins.insert(name, origin);
        }
        let web = RawOrigin::start("web");
        builder = builder.backend(&format!("{WEB}/web-backend:8080"), web.addr());
        origins.insert("web", web);
        for (index, document) in documents.iter().enumerate() {
            builder = builder.document(&format!("{index}.yaml"), document);
        }
        Self { gateway: builder.start(), origins }
    }

    /// A request to port 80 on a connection of its own.
    pub fn send(
        &self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        self.send_to(80, method, host, target, headers)
    }

    /// A request to a port on a connection of its own.
    pub fn send_to(
        &self,
        port: u16,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("Connection: close\r\n\r\n");
        RawClient::connect(self.gateway.port(port)).request(request)
    }

    /// Who answers a GET on port 80: the short name of a backend, or the status.
    pub fn who(&self, host: &str, target: &str, headers: &[(&str, &str)]) -> String {
        self.send("GET", host, target, headers).who()
    }

    /// Checks who answers each GET: host, target, headers, and the backend or status.
    ///
    /// # Panics
    ///
    /// When another one does.
    pub fn check(&self, cases: &[Case<'_>]) {
        for (host, target, headers, expected) in cases {
            assert_eq!(self.who(host, target, headers), *expected, "{host}{target} {headers:?}");
        }
    }
}

/// A Gateway in [`INFRA`]: each listener is a flow map without braces.
pub fn gateway(name: &str, listeners: &[&str]) -> String {
    let mut text = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, \
         namespace: {INFRA}}}\nspec:\n  gatewayClassName: weftway\n  listeners:\n"
    );
    for listener in listeners {
        text.push_str(&format!("  - {{{listener}}}\n"));
    }
    text
}

/// The suite's Gateway `same-namespace`: HTTP on port 80 for routes of its namespace.
pub fn same_namespace() -> String {
    gateway("same-namespace", &["name: http, port: 80, protocol: HTTP"])
}

/// A route of any kind in [`INFRA`], attached to `same-namespace`, with its `rules` indented by two.
pub fn route(kind: &str, name: &str, rules: &str) -> String {
    route_to(kind, name, "[{name: same-namespace}]", &format!("  rules:\n{rules}"))
}

/// A route of any kind in [`INFRA`] with its parents (a flow list) and the rest of its spec.
pub fn route_to(kind: &str, name: &str, parents: &str, spec: &str) -> String {
    let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1" };
    format!(
        "---\napiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: \
         {name}, namespace: {INFRA}}}\nspec:\n  parentRefs: {parents}\n{spec}"
    )
}

/// A rule that leads matches (a flow list) to a backend by short name.
pub fn rule(matches: &str, backend: &str) -> String {
    format!("  - {{matches: [{matches}], backendRefs: [{}]}}\n", backend_ref(backend))
}

/// A rule with filters (a flow list) as well.
pub fn filtered(matches: &str, filters: &str, backend: &str) -> String {
    let backend = backend_ref(backend);
    format!("  - {{matches: [{matches}], filters: [{filters}], backendRefs: [{backend}]}}\n")
}

/// A reference to a backend by short name, as a flow map.
pub fn backend_ref(backend: &str) -> String {
    format!("{{name: infra-backend-{backend}, port: 8080}}")
}

/// A path match, as a flow map.
pub fn path(kind: &str, value: &str) -> String {
    format!("{{path: {{type: {kind}, value: {value}}}}}")
}
