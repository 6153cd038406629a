use weft_model::identity::TrustDomain;

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
    fleet.reported(report(leaf(1, 100)));
    fleet.issued(&one(), &[], leaf(2, 200), at(50));
    assert_eq!(ends(&fleet), [100, 200]);
    assert_eq!(fleet.reported_by(&one()).unwrap().leaf, Some(leaf(1, 100)));
    // It says once more that it has the old one, as when it has just heard of other roots.
    fleet.reported(report(leaf(1, 100)));
    assert_eq!(ends(&fleet), [200, 100]);
    fleet.reported(report(leaf(2, 200)));
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
fn nobody_speaks_for_another_identity() {
    let mut fleet = Fleet::default();
    fleet.issued(&one(), &[], leaf(1, 100), at(0));
    let identity = Identity::new(&TrustDomain::default(), "shop", "other").unwrap();
    let other = LeafReport { identity: identity.clone(), ..leaf(2, 200) };
    fleet.goodbye(&one(), Some(&other));
    assert_eq!(ends(&fleet), [100]);
    fleet.reported(report(other));
    assert_eq!(ends(&fleet), [100, 200]);
    assert_eq!((fleet.len(), fleet.names_of(&identity)), (1, 1));
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
    fleet.reported(report(leaf(1, 100)));
    fleet.issued(&one(), &[Fingerprint::from_bytes([9; 32])], leaf(2, 200), at(50));
    let bytes = fleet.to_bytes();
    assert_eq!(Fleet::from_bytes(&bytes), Ok(fleet));
    let cut = &bytes[..bytes.len() - 5];
    assert_eq!(Fleet::from_bytes(cut), Err(InvalidFleet { line: 2 }));
}

#[test]
fn the_last_certificate_of_a_workload_is_remembered_for_a_while_after_its_end() {
    let identity = leaf(1, 100).identity;
    let is_last = |fleet: &Fleet, end| fleet.is_last(&one(), &identity, at(end));
    let mut fleet = Fleet::default();
    fleet.issued(&one(), &[], leaf(1, 100), at(0));
    fleet.reported(report(leaf(1, 100)));
    fleet.issued(&one(), &[], leaf(1, 200), at(50));
    // Of the second one nobody knows whether it has arrived.
    assert!(is_last(&fleet, 100) && is_last(&fleet, 200) && !is_last(&fleet, 150));
    fleet.forget_ended(at(1000));
    assert!(!fleet.contains(&one()) && fleet.reports().is_empty(), "nobody waits for it");
    let mut fleet = Fleet::from_bytes(&fleet.to_bytes()).unwrap();
    fleet.forget_ended(at(1000));
    assert!(is_last(&fleet, 100) && is_last(&fleet, 200));
    let other = Identity::new(&TrustDomain::default(), "shop", "other").unwrap();
    assert!(!fleet.is_last(&one(), &other, at(100)));
    assert!(!fleet.is_last(&WorkloadName::new("shop/two"), &identity, at(100)));
    // Back, it has another one, and the old ones are of no use.
    let mut back = fleet.clone();
    back.issued(&one(), &[], leaf(1, 2000), at(1000));
    assert!(is_last(&back, 100), "it may not have arrived");
    back.reported(report(leaf(1, 2000)));
    assert!(!is_last(&back, 100) && !is_last(&back, 200));
    let mut gone = fleet.clone();
    gone.forget(&one());
    assert!(!is_last(&gone, 200));
    let mut gone = fleet.clone();
    gone.goodbye(&one(), Some(&leaf(1, 200)));
    assert!(!is_last(&gone, 200));
    let week = RETURNING.as_secs();
    fleet.forget_ended(at(150 + week));
    assert!(!is_last(&fleet, 100) && is_last(&fleet, 200));
    fleet.forget_ended(at(200 + week));
    assert_eq!(fleet, Fleet::default());
}

#[test]
fn certificates_that_have_ended_are_remembered_within_a_bound() {
    let mut fleet = Fleet::default();
    for number in 0..ENDED_MAX as u64 + 2 {
        let name = WorkloadName::new(format!("shop/one-{number}"));
        fleet.issued(&name, &[], leaf(1, 1000 + number), at(0));
    }
    fleet.forget_ended(at(100_000));
    assert_eq!(fleet.ended.len(), ENDED_MAX);
    let is_there = |number: u64| fleet.ended.contains_key(format!("shop/one-{number}").as_str());
    assert!(!is_there(0) && !is_there(1) && is_there(2), "those that ended first have gone");
}
