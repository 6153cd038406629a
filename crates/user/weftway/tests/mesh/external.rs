//! Calls to what the mesh does not know, and services of addresses.

use weft_testkit::{Certificates, wait};

use crate::machine::Process;
use crate::mesh::{Mesh, PROBLEMS, PYTHON, script};

/// The machine itself, as workloads call it.
const HOST: &str = "host.weftway.internal";

/// The documents of a headless service with one endpoint elsewhere.
fn headless(addr: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: shards, namespace: default}}
spec: {{clusterIP: None, ports: [{{name: tcp, port: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: shards-1
  namespace: default
  labels: {{kubernetes.io/service-name: shards}}
addressType: IPv4
ports: [{{name: tcp, port: 8080}}]
endpoints: [{{addresses: [{addr}], hostname: shard-0}}]
"
    )
}

/// A server of HTTPS on the machine, outside of the mesh.
fn tls_server(mesh: &Mesh, certificates: &Certificates) -> Process {
    let leaf = certificates.leaf(&[HOST]);
    let pem = mesh.machine.write("tls.pem", &format!("{}{}", leaf.key, leaf.chain));
    let script = script("service.py");
    let argv = [PYTHON, &script, "tls", "8443", pem.to_str().unwrap()];
    let server = mesh.machine.spawn("tls", &argv);
    server.until_printed("tls ");
    server
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn tls_to_elsewhere_passes_untouched_unless_the_mesh_refuses_what_it_does_not_know() {
    let certificates = Certificates::new("the root of the outside");
    let url = format!("https://{HOST}:8443/out");
    for (how, is_allowed) in [("allow", true), ("refuse", false)] {
        let mut mesh = Mesh::with("", &["--unknown", how]);
        let _server = tls_server(&mesh, &certificates);
        let roots = mesh.machine.write("roots.pem", certificates.pem());
        mesh.caller("shop", &[]);
        let argv = ["curl", "-sS", "--max-time", "10", "--cacert", roots.to_str().unwrap(), &url];
        let argv = Mesh::beside("shop", &argv);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let output = mesh.machine.run(&argv);
        // The certificate is verified by the application: it is the server's own.
        assert_eq!(output.status.success(), is_allowed, "{how}: {output:?}");
        if is_allowed {
            let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(seen["headers"].get("x-forwarded-client-cert"), None);
        }
    }
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn who_calls_what_the_mesh_refuses_is_told_the_reason() {
    let mut mesh = Mesh::with("", &["--unknown", "refuse"]);
    let script = script("service.py");
    let server = mesh.machine.spawn("plain", &[PYTHON, &script, "http", "8081", "outside"]);
    server.until_printed("http ");
    mesh.caller("shop", &[]);
    let url = format!("http://{HOST}:8081/");
    let answer = mesh.get("shop", &["-H", PROBLEMS, &url]);
    assert_eq!((answer.status, &answer.json()["reason"]), (502, &"unknown_destination".into()));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn headless_services_are_called_by_name_and_by_the_names_of_their_endpoints() {
    let mut mesh = Mesh::start();
    mesh.serve("shard", "http", 8080, &[]);
    mesh.caller("shop", &[]);
    mesh.change(&headless(&mesh.addr("shard").to_string()));
    for name in ["shards", "shard-0.shards"] {
        let url = format!("http://{name}:8080/");
        let answer = wait::until("the service", || {
            let argv = Mesh::beside("shop", &["curl", "-sS", "-i", "--max-time", "5", &url]);
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            let output = mesh.machine.run(&argv);
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        });
        assert!(answer.contains("\"shard\""), "{name}: {answer}");
        assert!(answer.contains("x-forwarded-client-cert"), "{name} is called plain: {answer}");
    }
}
