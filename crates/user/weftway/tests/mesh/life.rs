//! How workloads begin and end, and that nothing stays.

use weft_testkit::wait;

use crate::mesh::{Mesh, PYTHON, script};

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: default}
spec:
  selector: {app: payments}
  ports: [{name: http, port: 8080}]
";

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_job_ends_with_its_exit_code_and_its_proxy_with_it() {
    let mut mesh = Mesh::start();
    mesh.serve("payments", "http", 8080, &[]);
    // Its only call is its first act: the proxy was there before.
    let call = "curl -sSf --max-time 10 http://payments:8080/ && exit 7";
    let mut job = mesh.spawn("job", &[], &["sh", "-c", call]);
    assert_eq!(job.code(), Some(7), "{}", job.printed());
    assert!(job.printed().contains("\"payments\""), "{}", job.printed());
    wait::until_true("the end of the job's namespace", || {
        !mesh.machine.output(&["ls", "/run/netns"]).contains("wf-job")
    });
    assert!(!mesh.machine.output(&["ps", "-e", "-o", "args"]).contains("default/job"));
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn nobody_is_led_to_an_instance_before_it_listens() {
    let mut mesh = Mesh::with(SERVICE, &[]);
    let label = ["--label", "app=payments"];
    mesh.serve("payments-a", "http", 8080, &label);
    mesh.caller("shop", &[]);
    let open = mesh.machine.folder().join("open");
    let (script, open_path) = (script("service.py"), open.display());
    let serve = format!(
        "until [ -e {open_path} ]; do sleep 0.05; done; exec {PYTHON} {script} http 8080 payments-b"
    );
    let arguments = ["--port", "8080", label[0], label[1]];
    let late = mesh.spawn("payments-b", &arguments, &["sh", "-c", &serve]);
    late.until_printed("the application is being started");
    let called = |mesh: &Mesh| {
        let answer = mesh.get("shop", &["http://payments:8080/"]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["name"].as_str().unwrap().to_owned()
    };
    mesh.until_in_force();
    for _ in 0..10 {
        assert_eq!(called(&mesh), "payments-a");
    }
    late.until_printed("the application does not listen");
    std::fs::write(&open, "").unwrap();
    late.until_printed("the application listens");
    wait::until_true("calls of the instance that listens now", || called(&mesh) == "payments-b");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn a_mesh_that_ends_leaves_nothing() {
    let mut mesh = Mesh::start();
    mesh.serve("payments", "http", 8080, &[]);
    mesh.caller("shop", &[]);
    assert_eq!(mesh.get("shop", &["http://payments:8080/"]).status, 200);
    let machine = mesh.stop();
    assert_eq!(machine.output(&["sh", "-c", "ls /run/netns /etc/netns | grep wf- || true"]), "");
    assert_eq!(machine.output(&["ls", "/sys/class/net"]), "lo\n");
    assert_eq!(machine.output(&["nft", "list", "tables"]), "");
    let processes = machine.output(&["ps", "-e", "-o", "args"]);
    // Nobody waits for the orphans of this machine.
    let alive = processes.lines().filter(|line| !line.contains("<defunct>"));
    let left: Vec<&str> = alive.filter(|line| line.contains("weftway")).collect();
    assert!(left.is_empty(), "{left:?}");
}
