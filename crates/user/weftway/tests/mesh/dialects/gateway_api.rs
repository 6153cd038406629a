//! Gateway API in the mesh beyond HTTP and gRPC routes, of which the conformance cases are: routes
//! of connections, sessions, and budgets.

use weft_testkit::Certificates;

use crate::echo::{Call, Load, Reply, Tally};
use crate::mesh::{Mesh, PYTHON, script};

use super::{SHOP, WEB_1, WEB_2, document, greeting, heard, mesh, service, service_with};

const GROUP: &str = "gateway.networking.k8s.io/v1";

/// A Service of that name, and one for each version with a number behind.
fn services(name: &str) -> String {
    let version = |number: u32| {
        service_with(&format!("{name}-{number}"), &format!("app: web, version: v{number}"), "")
    };
    [service(name), version(1), version(2)].concat()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_tcproute_shares_the_connections_of_a_service() {
    let route = document(
        "gateway.networking.k8s.io/v1alpha2",
        "TCPRoute",
        "bytes",
        "  parentRefs: [{group: \"\", kind: Service, name: bytes, port: 9090}]
  rules:
  - backendRefs:
    - {name: bytes-1, port: 9090, weight: 0}
    - {name: bytes-2, port: 9090, weight: 1}
",
    );
    let mesh = mesh(&[&services("bytes"), &route]);
    let names: Vec<String> = (0..4).map(|_| greeting(&mesh, "bytes")).collect();
    assert!(names.iter().all(|name| name == WEB_2), "{names:?}");
}

/// A Service without instances of the mesh: it is where the slice says.
fn outside(name: &str, port: u16) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: \
         default}}\nspec: {{ports: [{{name: tls, port: 443}}]}}\n---\napiVersion: \
         discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, namespace: default, \
         labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\nports: [{{name: tls, \
         port: {port}}}]\nendpoints: [{{addresses: [10.77.0.1]}}]\n"
    )
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_tlsroute_leads_by_the_name_that_is_asked_for() {
    let certificates = Certificates::new("the root of the applications");
    let leaf = certificates.leaf(&["red.test", "blue.test"]);
    let route = |name: &str| {
        let spec = format!(
            "  parentRefs: [{{group: \"\", kind: Service, name: front, port: 443}}]\n  hostnames: \
             [{name}.test]\n  rules: [{{backendRefs: [{{name: {name}, port: 443}}]}}]\n"
        );
        document(GROUP, "TLSRoute", name, &spec)
    };
    let documents = [
        outside("front", 9551),
        outside("red", 9551),
        outside("blue", 9552),
        route("red"),
        route("blue"),
    ];
    let mesh = mesh(&[&documents.concat()]);
    let pem = mesh.machine.write("colours.pem", &format!("{}{}", leaf.key, leaf.chain));
    let roots = mesh.machine.write("colours-roots.pem", certificates.pem());
    let script = script("service.py");
    let servers = [("red", "9551"), ("blue", "9552")].map(|(name, port)| {
        let argv = [PYTHON, &script, "tls", port, pem.to_str().unwrap(), name];
        let server = mesh.machine.spawn(name, &argv);
        server.until_printed("tls ");
        server
    });
    for name in ["red", "blue"] {
        let (url, to) = (format!("https://{name}.test/"), format!("{name}.test:443:front:443"));
        let answer =
            mesh.get(SHOP, &["--cacert", roots.to_str().unwrap(), "--connect-to", &to, &url]);
        assert_eq!(answer.json()["name"], name);
    }
    drop(servers);
}

/// Begins sessions by so many calls; whoever brings the header that `brings` makes of the first answer
/// of an instance stays there. The answers to those.
fn stay(
    mesh: &Mesh,
    target: &str,
    calls: usize,
    brings: impl Fn(&Reply) -> (&'static str, String),
) -> Vec<Reply> {
    let call = Call::get(target);
    let begun = mesh.calls(SHOP, &Load::times(&call, calls));
    let later = [WEB_1, WEB_2].map(|app| {
        let first = begun.iter().find(|reply| reply.name().as_deref() == Some(app)).unwrap();
        let (name, value) = brings(first);
        let later = mesh.calls(SHOP, &Load::times(&call.clone().header(name, &value), 20));
        Tally::of(&later).check_shares(&[(app, 1.0)]);
        later
    });
    later.into_iter().flatten().collect()
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_session_stays_with_the_instance_that_began_it() {
    let route = document(
        GROUP,
        "HTTPRoute",
        "sessions",
        "  parentRefs: [{group: \"\", kind: Service, name: sessions, port: 80}]
  rules:
  - backendRefs: [{name: sessions, port: 80}]
    sessionPersistence: {sessionName: session, type: Cookie}
",
    );
    let mesh = mesh(&[&service("sessions"), &route]);
    stay(&mesh, "sessions/", 40, |first| {
        let cookie = first.header("set-cookie").expect("a session has begun");
        let (cookie, _) = cookie.split_once(';').unwrap_or((&cookie, ""));
        assert!(cookie.starts_with("session="), "{cookie}");
        ("cookie", cookie.to_owned())
    });
}

/// One word of the header stands for the version, the other for the instance.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_session_by_header_stays_with_the_instance_that_began_it() {
    let route = document(
        GROUP,
        "HTTPRoute",
        "visits",
        "  parentRefs: [{group: \"\", kind: Service, name: visits, port: 80}]
  rules:
  - backendRefs: [{name: visits-1, port: 80}, {name: visits, port: 80}]
    sessionPersistence: {sessionName: x-visit, type: Header}
",
    );
    let mesh = mesh(&[&services("visits"), &route]);
    let later = stay(&mesh, "visits/", 60, |first| {
        let visit = first.header("x-visit").expect("a session has begun");
        assert_eq!(visit.split('.').count(), 2, "{visit}");
        ("x-visit", visit)
    });
    assert!(later.iter().all(|reply| reply.header("x-visit").is_none()), "it has it already");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn retries_of_a_route_have_the_budget_of_the_backends_policy() {
    const REQUESTS: u64 = 200;
    let route = document(
        GROUP,
        "HTTPRoute",
        "constrained",
        "  parentRefs: [{group: \"\", kind: Service, name: constrained, port: 80}]
  rules:
  - retry: {codes: [500], attempts: 3, backoff: 1ms}
    backendRefs: [{name: constrained, port: 80}]
",
    );
    let policy = document(
        "gateway.networking.x-k8s.io/v1alpha1",
        "XBackendTrafficPolicy",
        "constrained",
        "  targetRefs: [{group: \"\", kind: Service, name: constrained}]
  retryConstraint: {budget: {percent: 15, interval: 10s}, minRetryRate: {count: 1, interval: 10s}}
",
    );
    let mesh = mesh(&[&service("constrained"), &policy, &route]);
    [WEB_1, WEB_2].iter().for_each(|app| mesh.tell(app, "status=500"));
    mesh.calls(SHOP, &Load::times(&Call::get("constrained/"), REQUESTS as usize));
    let retries = mesh.seen(WEB_1) + mesh.seen(WEB_2) - REQUESTS;
    assert!((20..=30).contains(&retries), "{retries} retries");
}

/// One instance is of this cluster, which exports it; the other was imported.
#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_service_of_several_clusters_is_called_in_all_of_them() {
    let there = mesh(&[]).addr("far");
    let clusters =
        |kind: &str, spec: &str| document("multicluster.x-k8s.io/v1beta1", kind, "spread", spec);
    let slice = format!(
        "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: spread-east
  namespace: default
  labels:
    multicluster.kubernetes.io/service-name: spread
    multicluster.kubernetes.io/source-cluster: east
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{{addresses: [{there}]}}]
"
    );
    let route = document(
        GROUP,
        "HTTPRoute",
        "led",
        "  parentRefs: [{group: \"\", kind: Service, name: led, port: 80}]
  rules:
  - backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: spread, port: 80}]
",
    );
    let mesh = mesh(&[
        &service_with("spread", "app: web, version: v1", ""),
        &clusters("ServiceExport", "  {}\n"),
        &clusters("ServiceImport", "  type: ClusterSetIP\n  ports: [{name: http, port: 80}]\n"),
        &slice,
        &service("led"),
        &route,
    ]);
    for host in ["spread.default.svc.clusterset.local", "led"] {
        let found = Tally::of(&mesh.calls(SHOP, &Load::times(&Call::get(&format!("{host}/")), 40)));
        let names: Vec<&str> = found.names.keys().map(String::as_str).collect();
        assert_eq!((names, found.failed()), (vec!["far", WEB_1], 0), "{host}: {found:?}");
    }
    let own = Tally::of(&mesh.calls(SHOP, &Load::times(&Call::get("spread/"), 20)));
    own.check_shares(&[(WEB_1, 1.0)]);
    // What the mesh knows of the instance of the other cluster holds: mutual TLS.
    for caller in heard(&mesh, "far", |request| request["headers"]["l5d-client-id"].clone()) {
        assert!(caller.as_str().is_some_and(|name| name.starts_with("shop.")), "{caller}");
    }
}
