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
        (name("a"), Known { namespace: Some(ours), proxy: Some(10), application: Some(11) }),
        (name("b"), Known { namespace: Some(other), proxy: Some(20), application: Some(21) }),
    ]);
    let check = |uid: u32, pid: u32, namespace: Option<NamespaceId>| {
        let facts = Facts { namespace, ancestors: vec![pid] };
        decide(Caller { pid, uid }, &facts, &known).map(|found| (found.workload, found.process))
    };
    assert_eq!(check(2102, 99, Some(ours)), Some((name("a"), Process::Proxy)));
    assert_eq!(check(1000, 99, Some(other)), Some((name("b"), Process::Application)));
    // The process of one in the namespace of another is of the namespace.
    assert_eq!(check(2102, 20, Some(ours)), Some((name("a"), Process::Proxy)));
    // Ids of processes mean nothing outside: a number can be used again.
    assert_eq!(check(2102, 10, None), None);
}

#[test]
fn descent_tells_workloads_without_namespaces() {
    let known = BTreeMap::from([
        (name("a"), Known { namespace: None, proxy: Some(10), application: Some(11) }),
        (name("b"), Known { namespace: None, proxy: Some(20), application: Some(21) }),
    ]);
    let (ours, _) = namespaces();
    let check = |ancestors: &[u32]| {
        let facts = Facts { namespace: Some(ours), ancestors: ancestors.into() };
        let caller = Caller { pid: ancestors[0], uid: 2102 };
        decide(caller, &facts, &known).map(|found| (found.workload, found.process))
    };
    assert_eq!(check(&[10, 2]), Some((name("a"), Process::Proxy)));
    assert_eq!(check(&[50, 21, 2]), Some((name("b"), Process::Application)));
    // Started by a workload, and one itself: the nearest counts.
    assert_eq!(check(&[51, 21, 11, 2]), Some((name("b"), Process::Application)));
    assert_eq!(check(&[60, 2]), None);
}
