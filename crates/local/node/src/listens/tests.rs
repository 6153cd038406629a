use std::net::{Ipv4Addr, TcpListener};

use super::*;

fn listens(ports: &[u16]) -> Listens {
    let addrs = Addrs { v4: Ipv4Addr::new(10, 77, 0, 5), v6: "fd77::5".parse().ok() };
    Listens { addrs, ports: ports.to_vec(), namespace: None }
}

fn open(text: &str) -> Vec<Open> {
    text.lines().filter_map(parse).collect()
}

#[cfg(target_endian = "little")]
#[test]
fn what_the_kernel_shows_is_read() {
    let tcp = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 05004D0A:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0
   2: 05004D0A:1F92 0101A8C0:0050 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0
";
    let tcp6 = "\
   0: 00000000000000000000000000000000:1F93 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0
   1: 0000000000000000FFFF000005004D0A:1F94 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0
   2: 000077FD000000000000000005000000:1F95 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0
";
    let seen = open(&format!("{tcp}{tcp6}"));
    let at = |ip: &str, port| Open { ip: ip.parse().unwrap(), port };
    let expected =
        [at("127.0.0.1", 8080), at("10.77.0.5", 8081), at("::", 8083), at("10.77.0.5", 8084)];
    assert_eq!(seen[..4], expected);
    assert_eq!(seen.len(), 5, "{seen:?}");
    let is_open = |ports: &[u16]| listens(ports).is_open(&seen);
    assert!(is_open(&[]) && is_open(&[8081]) && is_open(&[8083, 8084]));
    // Nobody reaches it by the loopback address of its namespace.
    assert!(!is_open(&[8080]));
    // A connection is no listener.
    assert!(!is_open(&[8082]));
    // All of them, or none.
    assert!(!is_open(&[8081, 9999]));
}

#[test]
fn what_is_no_line_of_the_kernel_is_nothing() {
    for line in ["", "0:", "0: zz:zz 0:0 0A", "0: 0100007F:1F90 0:0 01", "0: 01:1F90 0:0 0A"] {
        assert_eq!(parse(line), None, "{line}");
    }
}

#[test]
fn a_listener_of_this_machine_is_seen() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(listens(&[port]).is_open(&open_of(std::process::id())));
    let elsewhere =
        Listens { namespace: processes::namespace_of_handle("/".as_ref()), ..listens(&[]) };
    assert!(!elsewhere.is_there(std::process::id()));
    drop(listener);
    assert!(!listens(&[port]).is_open(&open_of(std::process::id())));
}
