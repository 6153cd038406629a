use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

/// Two namespaces that exist: this process's network, and, standing in for another, its user's.
fn namespaces() -> (NamespaceId, NamespaceId) {
    let id = |path: &str| {
        processes::namespace_of_handle(std::path::Path::new(path)).expect("the kernel has it")
    };
    (id("/proc/self/ns/net"), id("/proc/self/ns/user"))
}

#[test]
fn namespaces_tell_workloads_and_users_tell_proxies() {
    let (ours, other) = namespaces();
    let known = BTreeMap::from([
        (name("a"), Known { namespace: Some(ours), proxies: [10].into(), application: Some(11) }),
        (name("b"), Known { namespace: Some(other), proxies: [20].into(), application: Some(21) }),
    ]);
    let check = |uid: u32, pid: u32, namespace: Option<NamespaceId>| {
        let facts = Facts { uid: Some(uid), namespace, ancestors: vec![pid] };
        decide(Caller { pid, uid }, &facts, &known).map(|found| (found.workload, found.process))
    };
    assert_eq!(check(2102, 99, Some(ours)), Some((name("a"), Side::Proxy)));
    assert_eq!(check(1000, 99, Some(other)), Some((name("b"), Side::Application)));
    // The process of one in the namespace of another is of the namespace.
    assert_eq!(check(2102, 20, Some(ours)), Some((name("a"), Side::Proxy)));
    // Ids of processes mean nothing outside: a number can be used again.
    assert_eq!(check(2102, 10, None), None);
}

#[test]
fn the_number_of_a_process_that_has_ended_is_nobodys() {
    let (ours, _) = namespaces();
    let one = Known { namespace: Some(ours), proxies: [].into(), application: Some(11) };
    let known = BTreeMap::from([(name("a"), one)]);
    let caller = Caller { pid: 11, uid: 1000 };
    let check = |uid| {
        let facts = Facts { uid, namespace: Some(ours), ancestors: vec![11] };
        decide(caller, &facts, &known)
    };
    assert!(check(Some(1000)).is_some());
    assert_eq!(check(Some(1001)), None, "another user's process has the number now");
    assert_eq!(check(None), None);
    let own = Caller { pid: std::process::id(), uid: rustix::process::geteuid().as_raw() };
    assert_eq!(Facts::of(own).uid, Some(own.uid));
}

#[test]
fn descent_tells_workloads_without_namespaces() {
    let known = BTreeMap::from([
        (name("a"), Known { namespace: None, proxies: [10].into(), application: Some(11) }),
        (name("b"), Known { namespace: None, proxies: [20].into(), application: Some(21) }),
    ]);
    let (ours, _) = namespaces();
    let check = |ancestors: &[u32]| {
        let facts = Facts { uid: Some(2102), namespace: Some(ours), ancestors: ancestors.into() };
        let caller = Caller { pid: ancestors[0], uid: 2102 };
        decide(caller, &facts, &known).map(|found| (found.workload, found.process))
    };
    assert_eq!(check(&[10, 2]), Some((name("a"), Side::Proxy)));
    assert_eq!(check(&[50, 21, 2]), Some((name("b"), Side::Application)));
    // Started by a workload, and one itself: the nearest counts.
    assert_eq!(check(&[51, 21, 11, 2]), Some((name("b"), Side::Application)));
    assert_eq!(check(&[60, 2]), None);
}
