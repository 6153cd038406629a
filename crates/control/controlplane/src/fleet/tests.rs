use weft_model::identity::{Identity, TrustDomain};

use super::*;

fn leaf(root: u8, not_after_secs: u64) -> LeafReport {
    LeafReport {
        identity: Identity::new(&TrustDomain::default(), "shop", "one").unwrap(),
        root: Fingerprint::from_bytes([root; 32]),
        validity: Validity::new(at(0), at(not_after_secs)),
    }
}

fn one() -> WorkloadName {
    WorkloadName::new("shop/one-1")
}

fn report(leaf: LeafReport) -> ProxyReport {
    let trusts = [leaf.root].into();
    ProxyReport { proxy: one(), trusts, leaf: Some(leaf), reported_at: at(5) }
}

fn ends(fleet: &Fleet) -> Vec<u64> {
    let reports = fleet.reports().into_iter();
    reports.map(|report| secs(report.leaf.unwrap().validity.not_after)).collect()
}

#[test]
fn a_workload_that_has_ended_is_waited_for_no_more() {
    let mut fleet = Fleet::default();
    fleet.issued(&one(), &[], leaf(1, 100), at(0));
    fleet.forget(&one());
    assert!(!fleet.contains(&one()));
    assert_eq!(ends(&fleet), [0; 0]);
}

#[test]
fn what_was_given_counts_beside_what_was_reported_until_it_is_reported_itself() {
    let mut fleet = Fleet::default();
    fleet.issued(&one(), &[], leaf(1, 100), at(0));
    fleet.reported(&one(), report(leaf(1, 100)));
    fleet.issued(&one(), &[], leaf(2, 200), at(50));
    assert_eq!(ends(&fleet), [100, 200]);
    assert_eq!(fleet.reported_by(&one()).unwrap().leaf, Some(leaf(1, 100)));
    // It says once more that it has the old one, as when it has just heard of other roots.
    fleet.reported(&one(), report(leaf(1, 100)));
    assert_eq!(ends(&fleet), [200, 100]);
    fleet.reported(&one(), report(leaf(2, 200)));
    assert_eq!(ends(&fleet), [200]);
}

#[test]
fn certificates_that_have_ended_and_those_given_up_are_forgotten() {
    let mut fleet = Fleet::default();
    fleet.issued(&one(), &[], leaf(1, 100), at(0));
    fleet.issued(&one(), &[], leaf(1, 200), at(0));
    fleet.forget_ended(at(100));
    assert_eq!(ends(&fleet), [100, 200], "other clocks may be behind");
    fleet.forget_ended(at(160));
    assert_eq!(ends(&fleet), [200]);
    fleet.goodbye(&one(), Some(&leaf(1, 150)));
    assert_eq!(ends(&fleet), [200], "the one that said goodbye had an older one");
    fleet.goodbye(&one(), Some(&leaf(1, 200)));
    assert_eq!(fleet, Fleet::default());
}

#[test]
fn a_workload_that_starts_again_and_again_costs_no_more() {
    let mut fleet = Fleet::default();
    for number in 0..1000 {
        fleet.issued(&one(), &[], leaf(1, number), at(0));
    }
    assert_eq!(ends(&fleet).len(), PER_WORKLOAD_MAX);
    assert_eq!(ends(&fleet).last(), Some(&999));
}

#[test]
fn the_file_holds_all_of_it() {
    let mut fleet = Fleet::default();
    fleet.reported(&one(), report(leaf(1, 100)));
    fleet.issued(&one(), &[Fingerprint::from_bytes([9; 32])], leaf(2, 200), at(50));
    let bytes = fleet.to_bytes();
    assert_eq!(Fleet::from_bytes(&bytes), Ok(fleet));
    let cut = &bytes[..bytes.len() - 5];
    assert_eq!(Fleet::from_bytes(cut), Err(InvalidFleet { line: 2 }));
}
