//! The mesh cases of the upstream Gateway API conformance suite, each as a test of its name, and in
//! [`policy`] those of its gateway cases that a mesh has to hold as well.
//!
//! The suite has two versions of an application that answers with what it got, each with a Service,
//! a Service for both of them, and a caller in another namespace. Calls are made beside the
//! application of version 1 where nothing else is said.

mod grpcroute;
mod httproute;
mod mesh;
mod policy;
mod redirect;

use std::sync::Mutex;

use crate::echo::{App, Call, Expected, check};
use crate::mesh::Mesh;
use crate::shared::{Borrowed, Shared};

/// The namespace of the cases.
const NAMESPACE: &str = "gateway-conformance-mesh";

const V1: &str = "gateway-conformance-mesh/echo-v1";

const V2: &str = "gateway-conformance-mesh/echo-v2";

/// A caller in another namespace.
const CONSUMER: &str = "gateway-conformance-mesh-consumer/echo-v1";

/// The suite's Services.
const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: echo-v1, namespace: gateway-conformance-mesh}
spec:
  selector: {app: echo, version: v1}
  ports:
  - {name: http, port: 80, appProtocol: http, targetPort: 8080}
  - {name: http-alt, port: 8080, appProtocol: http}
  - {name: https, port: 443, targetPort: 8443}
  - {name: tcp, port: 9090}
  - {name: grpc, port: 7070}
---
apiVersion: v1
kind: Service
metadata: {name: echo-v2, namespace: gateway-conformance-mesh}
spec:
  selector: {app: echo, version: v2}
  ports:
  - {name: http, port: 80, appProtocol: http, targetPort: 8080}
  - {name: http-alt, port: 8080, appProtocol: http}
  - {name: https, port: 443, targetPort: 8443}
  - {name: tcp, port: 9090}
  - {name: grpc, port: 7070}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: gateway-conformance-mesh}
spec:
  selector: {app: echo}
  ports:
  - {name: http, port: 80, appProtocol: http, targetPort: 8080}
  - {name: http-alt, port: 8080, appProtocol: http}
  - {name: https, port: 443, targetPort: 8443}
  - {name: tcp, port: 9090}
  - {name: grpc, port: 7070, appProtocol: kubernetes.io/h2c}
";

static MESH: Shared = Shared::new(|| {
    let v1 = ["app=echo", "version=v1"];
    let v2 = ["app=echo", "version=v2"];
    let apps = [App::new(V1).labels(&v1), App::new(V2).labels(&v2), App::new(CONSUMER).labels(&v1)];
    Mutex::new(Mesh::of(SERVICES, &apps))
});

/// The mesh with these routes.
fn mesh(routes: &[String]) -> Borrowed {
    MESH.with(&format!("{SERVICES}{}", routes.concat()))
}

/// A route of the case's namespace: its parents as flow maps without braces, and its rules,
/// indented by two.
fn route(kind: &str, name: &str, parent: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, \
         namespace: {NAMESPACE}}}\nspec:\n  parentRefs: [{{group: \"\", kind: Service, {parent}}}]\
         \n  rules:\n{rules}"
    )
}

/// An HTTPRoute of port 80 of both versions.
fn of_echo(name: &str, rules: &str) -> String {
    route("HTTPRoute", name, "name: echo, port: 80", rules)
}

/// Calls beside version 1, with a rule of that kind.
#[track_caller]
fn check_route(route: String, cases: &[(Call, Expected)]) {
    check(&mesh(&[route]), V1, cases);
}
