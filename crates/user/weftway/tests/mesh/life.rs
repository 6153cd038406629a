//! How workloads begin and end, and that nothing stays.

use weft_testkit::wait;

use crate::mesh::Mesh;

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
