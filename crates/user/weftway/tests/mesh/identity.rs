//! Who is taken for whom by the control plane's sockets.

use std::path::Path;

use crate::mesh::{Answer, Mesh};

/// Asks for a certificate as proxies do, and without a key for it; beside the application of a
/// workload, as that user.
fn sign(mesh: &Mesh, workload: &str, user: &str, request: &Path) -> Answer {
    let (socket, body) = (mesh.state().join("control.sock"), format!("@{}", request.display()));
    let argv = [
        &["setpriv", "--reuid", user, "--regid", user, "--clear-groups"][..],
        &["curl", "-sS", "-i", "--max-time", "10", "--http2-prior-knowledge"],
        &["--unix-socket", socket.to_str().unwrap(), "--data-binary", &body],
        &["-H", "content-type: application/grpc", "-H", "te: trailers"],
        &["http://control/weftway.wire.v1.Certificates/Sign"],
    ];
    let argv = Mesh::beside(workload, &argv.concat());
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    Answer::read(&mesh.machine.output(&argv))
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn an_application_is_not_taken_for_its_proxy() {
    let mut mesh = Mesh::start();
    mesh.caller("shop", &[]);
    // A message of two bytes: the field `version` is 1.
    let request = mesh.machine.write("sign", "\0\0\0\0\u{2}\u{20}\u{1}");
    for user in ["0", "65534"] {
        let refused = sign(&mesh, "shop", user, &request);
        assert!(refused.head.contains("grpc-status: 7"), "{refused:?}");
        assert!(refused.head.contains("is%20not%20its%20proxy"), "{refused:?}");
    }
    // The proxy is believed, and told that this is no request.
    let proxy = sign(&mesh, "shop", "2102", &request);
    assert!(proxy.head.contains("grpc-status: 3"), "{proxy:?}");
}
