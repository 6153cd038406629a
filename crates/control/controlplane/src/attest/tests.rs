use std::sync::Arc;

use weft_model::Generation;
use weft_model::identity::TrustDomain;
use weft_model::mesh::{Mesh, Workload};

use super::*;

fn identity(name: &str) -> Identity {
    Identity::new(&TrustDomain::default(), "shop", name).unwrap()
}

/// A mesh that knows one workload.
fn published() -> Published {
    let workload = Workload::new(WorkloadName::new("shop/one-1"), identity("one"));
    Published::default().next(&Mesh {
        generation: Generation(1),
        workloads: [(workload.name.clone(), Arc::new(workload))].into(),
        ..Mesh::default()
    })
}

fn claim(workload: &str, name: &str) -> Claim {
    Claim { workload: workload.into(), identity: (!name.is_empty()).then(|| identity(name)) }
}

#[test]
fn an_identity_speaks_for_its_own_workloads_alone() {
    let check = |workload, claimed, proved, is_believed| {
        let by = Attested::by_identity(&identity(proved), &claim(workload, claimed), &published());
        assert_eq!(by.is_ok(), is_believed, "{proved} as {workload} {claimed}: {by:?}");
        if let Ok(by) = by {
            assert_eq!((by.workload.as_str(), by.identity), (workload, identity(proved)));
        }
    };
    check("shop/one-1", "", "one", true);
    check("shop/one-1", "one", "one", true);
    check("shop/one-1", "one", "two", false);
    check("shop/one-1", "", "two", false);
    // The mesh may not know it yet.
    check("shop/two-1", "", "two", true);
    check("other/two-1", "", "two", false);
    check("two-1", "", "two", false);
    check("", "", "two", false);
}

#[test]
fn users_who_are_not_believed_are_nobody() {
    let by_uid = ByUid::new([1000]);
    let attest = |uid, claim| by_uid.attest(Process { uid, pid: None }, Side::Proxy, &claim);
    let attested = attest(1000, claim("shop/one-1", "one")).unwrap();
    assert_eq!((attested.workload.as_str(), attested.identity), ("shop/one-1", identity("one")));
    attest(1001, claim("shop/one-1", "one")).unwrap_err();
    attest(1000, claim("shop/one-1", "")).unwrap_err();
    attest(1000, claim("other/one-1", "one")).unwrap_err();
}

#[test]
fn an_identity_that_is_none_is_not_passed_over() {
    assert_eq!(Claim::parse("shop/one-1", ""), Ok(claim("shop/one-1", "")));
    Claim::parse("shop/one-1", "one").unwrap_err();
}
