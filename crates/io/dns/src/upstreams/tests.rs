use super::*;

fn shown(servers: &[SocketAddr]) -> Vec<String> {
    servers.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_names_at_most_three() {
    let text = "# nameserver 9.9.9.9\n; nameserver 9.9.9.9\nsearch example.com\nnameserver\n\
                nameserver fe80::1%eth0\n  nameserver   10.0.0.1 # first\nnameserver\tfd00::1\n\
                options ndots:5\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
    assert_eq!(shown(&parse(text)), ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
    assert!(parse("").is_empty());
}

#[test]
fn a_file_is_read_again_when_it_changes_and_holds_when_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    let upstreams = Upstreams::file(&path);
    assert!(upstreams.servers().is_empty());
    std::fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
    assert_eq!(shown(&upstreams.servers()), ["10.0.0.1:53"]);
    std::fs::write(&path, "nameserver 10.0.0.1\nnameserver 10.0.0.2\n").unwrap();
    assert_eq!(shown(&upstreams.servers()), ["10.0.0.1:53", "10.0.0.2:53"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(shown(&upstreams.servers()), ["10.0.0.1:53", "10.0.0.2:53"]);
    std::fs::write(&path, "").unwrap();
    assert!(upstreams.servers().is_empty());
}
