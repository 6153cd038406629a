use super::*;

fn ports(text: &str) -> Ports {
    text.parse().expect("valid ports")
}

fn claim(workload: &str, port: u16, scope: Scope) -> Claim {
    Claim { workload: workload.parse().expect("a valid name"), port, scope }
}

#[test]
fn ranges_are_sorted_and_joined() {
    assert_eq!(ports("9000-9010, 22,9005-9020,23").to_string(), "22-23,9000-9020");
    assert_eq!(ports("").ranges(), &[]);
    assert_eq!(ports("1-65535").ranges(), &[(1, 65535)]);
    assert!(ports("22,9000-9010").contains(9010));
    assert!(!ports("22,9000-9010").contains(9011));
}

#[test]
fn what_is_no_port_is_refused() {
    for text in ["0", "65536", "a", "10-5", "1-2-3", "-5", "5-"] {
        assert_eq!(text.parse::<Ports>(), Err(InvalidPorts(text.into())), "{text}");
    }
}

#[test]
fn ports_of_the_proxy_are_explained() {
    let proxy_ports = [
        (15000, "its admin endpoint"),
        (15001, "connections of the application"),
        (15006, "connections to the application"),
        (15008, "connections from other proxies"),
        (15020, "metrics"),
        (15021, "readiness"),
        (15053, "DNS"),
    ];
    for (port, purpose) in proxy_ports {
        let found = conflicts(&[claim("web", port, Scope::Own)], &[]);
        let [PortConflict::Proxy { purpose: found_purpose, .. }] = &found[..] else {
            panic!("{port}: {found:?}");
        };
        assert_eq!(*found_purpose, purpose);
    }
    let found = conflicts(&[claim("web", 15010, Scope::Own)], &[]);
    assert!(matches!(found[..], [PortConflict::Reserved { port: 15010, .. }]), "{found:?}");
    assert_eq!(conflicts(&[claim("web", 15022, Scope::Own)], &[]), []);
}

#[test]
fn workloads_conflict_only_where_they_share_ports() {
    let check = |wanted: Scope, held: Scope| {
        conflicts(&[claim("a", 8080, wanted)], &[claim("b", 8080, held)]).len()
    };
    assert_eq!(check(Scope::Machine, Scope::Machine), 1);
    assert_eq!(check(Scope::Own, Scope::Own), 0);
    assert_eq!(check(Scope::Own, Scope::Machine), 0);
    let found = conflicts(
        &[claim("a", 8080, Scope::Machine), claim("a", 8080, Scope::Machine)],
        &[claim("b", 9090, Scope::Machine)],
    );
    assert!(matches!(found[..], [PortConflict::Twice { port: 8080, .. }]), "{found:?}");
}
