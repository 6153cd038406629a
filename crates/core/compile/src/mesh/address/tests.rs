use proptest::prelude::*;

use super::*;

fn range(prefix: u8) -> ServiceRange {
    ServiceRange { v4: Ipv4Net::new_assert(Ipv4Addr::new(10, 78, 0, 0), prefix), v6: None }
}

fn name(number: u32) -> ServiceName {
    ServiceName::new(format!("s{number}.default.svc.cluster.local"))
}

fn names(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<ServiceName> {
    numbers.into_iter().map(name).collect()
}

/// The addresses of all that have one, by number.
fn shown(assigned: &Assigned, range: &ServiceRange, count: u32) -> Vec<Option<IpAddr>> {
    (0..count).map(|number| assigned.addrs(&name(number), range).first().copied()).collect()
}

#[test]
fn addresses_of_both_families_belong_together() {
    let range = ServiceRange::default();
    let wanted = names([1]);
    let assigned = Assigned::default().update(&wanted, &HashSet::new(), &range, Generation(1));
    let addrs = assigned.addrs(&name(1), &range);
    let [IpAddr::V4(v4), IpAddr::V6(v6)] = *addrs else { panic!("{addrs:?}") };
    assert!(range.v4.contains(&v4));
    let offset = v4.to_bits() - range.v4.network().to_bits();
    assert_eq!(v6, Ipv6Addr::from_bits((0xfd78 << 112) + u128::from(offset)));
    assert!(assigned.addrs(&name(2), &range).is_empty());
}

#[test]
fn without_ipv6_a_service_keeps_its_address_of_ipv4() {
    let both = ServiceRange::default();
    let only = ServiceRange { v6: None, ..both };
    let wanted = names([1]);
    let update = |assigned: &Assigned, range: &ServiceRange| {
        assigned.update(&wanted, &HashSet::new(), range, Generation(1))
    };
    let before = update(&Assigned::default(), &both);
    let kept = Assigned::decode(&before.encode()).unwrap();
    let after = update(&kept, &only);
    assert_eq!(*after.addrs(&name(1), &only), before.addrs(&name(1), &both)[..1]);
    assert_eq!(after, before);
}

/// What was given out once must come out of every later version.
#[test]
fn an_address_follows_from_the_name() {
    let wanted = BTreeSet::from([ServiceName::new("payments.default.svc.cluster.local")]);
    let range = ServiceRange::default();
    let assigned = Assigned::default().update(&wanted, &HashSet::new(), &range, Generation(1));
    let offset = "payments.default.svc.cluster.local"
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
        % 65534
        + 1;
    let expected = IpAddr::from(Ipv4Addr::from_bits(0x0a4e_0000 + offset as u32));
    let addrs = assigned.addrs(wanted.first().expect("it has one"), &range);
    assert_eq!(addrs[0], expected);
}

#[test]
fn a_full_range_gives_what_was_free_for_the_longest() {
    // Places 1 to 6 of a range of 8.
    let range = range(29);
    let none = HashSet::new();
    let full = Assigned::default().update(&names(0..6), &none, &range, Generation(1));
    assert!(shown(&full, &range, 6).iter().all(Option::is_some));
    let more = full.update(&names(0..7), &none, &range, Generation(2));
    assert_eq!(more.addrs(&name(6), &range).len(), 0, "there is none left");
    let without_3 = full.update(&names([0, 1, 2, 4, 5]), &none, &range, Generation(2));
    let without_1 = without_3.update(&names([0, 2, 4, 5]), &none, &range, Generation(3));
    let with_6 = without_1.update(&names([0, 2, 4, 5, 6]), &none, &range, Generation(4));
    assert_eq!(with_6.addrs(&name(6), &range), full.addrs(&name(3), &range));
    let with_1 = with_6.update(&names([0, 1, 2, 4, 5, 6]), &none, &range, Generation(5));
    assert_eq!(with_1.addrs(&name(1), &range), full.addrs(&name(1), &range));
}

#[test]
fn taken_addresses_are_nobodys() {
    let range = range(29);
    let before = Assigned::default().update(&names(0..2), &HashSet::new(), &range, Generation(1));
    let taken = HashSet::from([before.addrs(&name(0), &range)[0]]);
    let after = before.update(&names(0..2), &taken, &range, Generation(2));
    assert!(!taken.contains(&after.addrs(&name(0), &range)[0]));
    assert_eq!(after.addrs(&name(1), &range), before.addrs(&name(1), &range));
}

#[test]
fn ranges_too_small_give_nothing() {
    for prefix in [31, 32] {
        let range = range(prefix);
        let assigned =
            Assigned::default().update(&names(0..3), &HashSet::new(), &range, Generation(1));
        assert_eq!(shown(&assigned, &range, 3), [None; 3], "/{prefix}");
    }
}

#[test]
fn what_was_kept_is_read_strictly() {
    let check = |text: &str, expected: Result<usize, InvalidAssigned>| {
        assert_eq!(Assigned::decode(text).map(|found| found.places.len()), expected, "{text:?}");
    };
    check("", Ok(0));
    check("1 a\n2 b 7\n", Ok(2));
    check("x a\n", Err(InvalidAssigned::Line(1)));
    check("1 a\n2\n", Err(InvalidAssigned::Line(2)));
    check("1 a b\n", Err(InvalidAssigned::Line(1)));
    check("1 a 2 3\n", Err(InvalidAssigned::Line(1)));
    check("1 a\n1 b\n", Err(InvalidAssigned::Contradiction(2)));
    check("1 a\n2 a\n", Err(InvalidAssigned::Contradiction(2)));
    // Of another range than this one, it is forgotten.
    let kept = Assigned::decode("60000 s0.default.svc.cluster.local\n").expect("it is well-formed");
    let assigned = kept.update(&names([0]), &HashSet::new(), &range(29), Generation(1));
    assert!(range(29).v4.contains(&match assigned.addrs(&name(0), &range(29))[0] {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(addr) => panic!("{addr}"),
    }));
}

proptest! {
    /// While a service is there it keeps its address, no two have one, and all have one as long as
    /// there are enough.
    #[test]
    fn addresses_stay(steps in proptest::collection::vec(
        proptest::collection::btree_set(0_u32..12, 0..8), 1..12,
    )) {
        let range = range(28);
        let mut assigned = Assigned::default();
        let mut before: Vec<Option<IpAddr>> = vec![None; 12];
        for (step, numbers) in (1..).zip(&steps) {
            let wanted = names(numbers.iter().copied());
            assigned = assigned.update(&wanted, &HashSet::new(), &range, Generation(step));
            let decoded = Assigned::decode(&assigned.encode()).expect("it was encoded");
            let now = shown(&assigned, &range, 12);
            prop_assert_eq!(&shown(&decoded, &range, 12), &now);
            let mut seen = HashSet::new();
            for number in 0..12_u32 {
                let addr = now[number as usize];
                prop_assert_eq!(addr.is_some(), numbers.contains(&number));
                if let Some(addr) = addr {
                    prop_assert!(seen.insert(addr));
                    let old = before[number as usize];
                    prop_assert!(old.is_none_or(|old| old == addr));
                }
            }
            before = now;
        }
    }
}
