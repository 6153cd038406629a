use super::*;
use crate::network::Range;

#[test]
fn the_machines_rules() {
    let rules = rules::rules(&Network::default(), External { v4: true, v6: false }, true);
    let expected = r#"table inet weft {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "weft0" oifname "weft0" accept
    iifname "weft0" tcp flags syn tcp option maxseg size set rt mtu
    iifname "weft0" accept
    oifname "weft0" ct state established,related accept
    oifname "weft0" drop
    meta nfproto ipv4 drop
  }

  chain leave {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.77.0.0/16 oifname != "weft0" masquerade
  }
}
"#;
    assert_eq!(rules, expected);
}

#[test]
fn a_machine_that_does_not_forward_hides_nobody() {
    let rules = rules::rules(&Network::default(), External::default(), false);
    assert!(!rules.contains("masquerade"), "{rules}");
    assert!(!rules.contains("nfproto"), "{rules}");
    let rules = rules::rules(&Network::default(), External { v4: true, v6: true }, false);
    assert!(rules.contains("ip6 saddr fd77::/64 oifname != \"weft0\" masquerade"), "{rules}");
}

#[test]
fn taken_addresses_are_found() {
    let range = Network::default().workloads;
    let check = |range: Range, dst: &str| {
        let listing =
            format!(r#"[{{"dst":"default","dev":"eth0"}},{{"dst":"{dst}","dev":"vpn0"}}]"#);
        routes::taken(&range, &[&listing])
    };
    assert_eq!(check(range, "10.77.4.0/24"), Some("vpn0 (10.77.4.0/24)".into()));
    assert_eq!(check(range, "10.0.0.0/8"), Some("vpn0 (10.0.0.0/8)".into()));
    assert_eq!(check(range, "10.77.0.9"), Some("vpn0 (10.77.0.9)".into()));
    assert_eq!(check(range, "fd77::/16"), Some("vpn0 (fd77::/16)".into()));
    assert_eq!(check(Range { v6: None, ..range }, "fd77::/16"), None);
    for dst in ["10.76.0.0/16", "0.0.0.0/0", "fd79::/64", "192.168.0.1", "fe80::/64"] {
        assert_eq!(check(range, dst), None, "{dst}");
    }
}

#[test]
fn only_what_has_the_prefix_is_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["wf-a", "wf-b.c", "weftx", "other", "xwf-a"] {
        fs::write(folder.path().join(name), "").expect("a file");
    }
    let path = folder.path().to_str().expect("a plain path");
    assert_eq!(names_in(path, "wf-"), ["wf-a", "wf-b.c"]);
    assert_eq!(names_in("/no/such/folder", "wf-"), [""; 0]);
}

#[test]
fn a_lock_is_held_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = Lock::take(folder.path()).expect("nobody has it");
    let Err(HostError::Busy { pid, .. }) = Lock::take(folder.path()) else { panic!("two have it") };
    assert_eq!(pid, std::process::id().to_string());
    drop(held);
    Lock::take(folder.path()).expect("it was released");
}

#[test]
fn the_kernel_tells_who_is_whose_child() {
    let own = std::process::id();
    let line = processes::ancestors(own);
    assert_eq!(line[0], own);
    assert_eq!(line.get(1), Some(&std::os::unix::process::parent_id()).filter(|pid| **pid > 1));
    assert!(processes::namespace_of(own).is_some());
    assert_eq!(
        processes::namespace_of(own),
        processes::namespace_of_handle(Path::new("/proc/self/ns/net"))
    );
}

#[test]
fn what_is_missing_is_named_with_the_way_out() {
    let check = |is_root: bool, capabilities: u64, absent: &str| {
        let is_there = |name: &str| name != absent;
        let facts =
            check::Facts { is_root, capabilities, has_program: &is_there, exists: &is_there };
        check::missing(&facts).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(check(true, u64::MAX, ""), [""; 0]);
    for (absent, expected) in [
        ("ip", "the program ip (install the package iproute2)"),
        ("nft", "the program nft (install the package nftables)"),
        ("setpriv", "the program setpriv (install the package util-linux)"),
        ("/proc/self/ns/net", "network namespaces (use a kernel with CONFIG_NET_NS)"),
        ("/proc/sys/net/ipv4", "/proc/sys/net (mount proc: `mount -t proc proc /proc`)"),
    ] {
        assert_eq!(check(true, u64::MAX, absent), [expected]);
    }
    let user = check(false, 0, "nft");
    assert_eq!(user.len(), 2);
    assert!(user[0].contains("sudo"), "{user:?}");
    // What Docker leaves to root in a container.
    let container = check(true, 0xa804_25fb, "");
    assert_eq!(container.len(), 1);
    assert!(
        container[0].starts_with("the capabilities CAP_NET_ADMIN, CAP_SYS_ADMIN ("),
        "{container:?}"
    );
}
