//! What routes of Services are bound to: Services, their ports, and callers.

use crate::echo::{Call, answered, check};

use super::{CONSUMER, NAMESPACE, V1, V2, check_route, mesh, route};

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_basic() {
    let mesh = mesh(&[]);
    let names = [mesh.call(V1, &Call::get("echo/")), mesh.call(V1, &Call::get("echo/"))];
    let names = names.map(|reply| (reply.status, reply.name().unwrap()));
    assert!(names.iter().all(|(status, name)| *status == 200 && name.starts_with("echo-")));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_traffic_split() {
    let rules = "  - matches: [{path: {type: Exact, value: /v1}}]
    backendRefs: [{name: echo-v1, port: 80}]
  - matches: [{path: {type: Exact, value: /v2}}]
    backendRefs: [{name: echo-v2, port: 80}]
";
    check_route(
        route("HTTPRoute", "mesh-split", "name: echo", rules),
        &[(Call::get("echo/v1"), answered("echo-v1")), (Call::get("echo/v2"), answered("echo-v2"))],
    );
}

/// A route of a Service, or of one of its ports, that sets a header of answers.
fn marked(name: &str, parent: &str, value: &str) -> String {
    let backend = parent.split(',').next().unwrap();
    let rules = format!(
        "  - filters:\n    - type: ResponseHeaderModifier\n      responseHeaderModifier: {{set: \
         [{{name: X-Header-Set, value: {value}}}]}}\n    backendRefs: [{{{backend}, port: 80}}]\n"
    );
    route("HTTPRoute", name, parent, &rules)
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_ports() {
    let v1 = marked("mesh-split-v1", "name: echo-v1, port: 80", "v1");
    let v2 = marked("mesh-split-v2", "name: echo-v2", "v2");
    let mesh = mesh(&[v1, v2]);
    let v1 = || answered("echo-v1");
    let v2 = || answered("echo-v2").response("x-header-set", "v2");
    check(
        &mesh,
        V1,
        &[
            (Call::get("echo-v1/"), v1().response("x-header-set", "v1")),
            (Call::get("echo-v1:8080/"), v1().no_response("x-header-set")),
            (Call::get("echo-v2/"), v2()),
            (Call::get("echo-v2:8080/"), v2()),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_frontend() {
    let mesh = mesh(&[marked("mesh-split-v1", "name: echo-v2", "set")]);
    let by_address = format!("{}:8080/", mesh.addr(V2));
    check(
        &mesh,
        V1,
        &[
            (Call::get("echo-v2/"), answered("echo-v2").response("x-header-set", "set")),
            (Call::get(&by_address), answered("echo-v2").no_response("x-header-set")),
        ],
    );
}

/// What counts is the address of the Service that is called, and not the host of the request.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_frontend_hostname() {
    check_route(
        marked("mesh-split-v1", "name: echo-v2", "set"),
        &[
            (
                Call::get("echo-v2/").header("host", "echo-v1"),
                answered("echo-v2").response("x-header-set", "set"),
            ),
            (
                Call::get("echo-v1/").header("host", "echo-v2"),
                answered("echo-v1").no_response("x-header-set"),
            ),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_consumer_route() {
    let route = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: \
         mesh-echo-add-header, namespace: gateway-conformance-mesh-consumer}}\nspec:\n  \
         parentRefs: [{{group: \"\", kind: Service, name: echo-v1, namespace: {NAMESPACE}}}]\n  \
         rules:\n  - filters:\n    - type: ResponseHeaderModifier\n      responseHeaderModifier: \
         {{set: [{{name: X-Header-Set, value: set}}]}}\n    backendRefs: [{{name: echo-v1, \
         namespace: {NAMESPACE}, port: 80}}]\n"
    );
    let mesh = mesh(&[route]);
    let call = || Call::get("echo-v1.gateway-conformance-mesh/");
    let answered = || answered("echo-v1");
    check(&mesh, CONSUMER, &[(call(), answered().response("x-header-set", "set"))]);
    check(&mesh, V1, &[(call(), answered().no_response("x-header-set"))]);
}
