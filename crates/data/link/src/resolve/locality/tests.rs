use weft_model::id::WorkloadName;
use weft_model::mesh::Transport;

use super::*;

type Labels = Box<[(Box<str>, Box<str>)]>;

fn labels(texts: &[&str]) -> Labels {
    let pair = |text: &&str| {
        let (key, value) = text.split_once('=').unwrap();
        (key.into(), value.into())
    };
    texts.iter().map(pair).collect()
}

/// An endpoint at `10.0.0.<last>` of that weight, `None` where it runs nowhere in particular.
fn at(last: u8, locality: Option<&str>, weight: u32, own: &[&str]) -> MeshEndpoint {
    MeshEndpoint {
        workload: WorkloadName::new("shop/one"),
        ip: [10, 0, 0, last].into(),
        ports: [(80, 8080)].into(),
        weight,
        locality: locality.map(Into::into),
        labels: labels(own).into(),
        hostname: None,
        transport: Transport::Plain,
    }
}

fn caller<'a>(locality: Option<&'a str>, labels: &'a Labels) -> Caller<'a> {
    Caller { namespace: "shop", labels, locality }
}

/// Last byte of the address, tier and weight of each endpoint.
fn placed_as(
    known: &[MeshEndpoint],
    caller: &Caller<'_>,
    locality: &Locality,
) -> Vec<(u8, u8, u32)> {
    let last = |endpoint: &Endpoint| match endpoint.addr.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    };
    placed(known.iter(), 80, caller, Some(locality))
        .iter()
        .map(|endpoint| (last(endpoint), endpoint.tier, endpoint.weight))
        .collect()
}

fn tiers(all: &[MeshEndpoint], caller: &Caller<'_>, locality: &Locality) -> Vec<(u8, u8)> {
    placed_as(all, caller, locality).into_iter().map(|(last, tier, _)| (last, tier)).collect()
}

fn world() -> [MeshEndpoint; 6] {
    [
        at(1, Some("west/1/a"), 1, &[]),
        at(2, Some("west/1/b"), 1, &[]),
        at(3, Some("west/2"), 1, &[]),
        at(4, Some("east/1/a"), 1, &[]),
        at(5, Some("south/1/a"), 1, &[]),
        at(6, None, 1, &[]),
    ]
}

#[test]
fn the_subzone_comes_first_then_the_zone_then_the_region_then_others() {
    let (none, locality) =
        (labels(&[]), Locality { order: LocalityOrder::Place, ..Locality::default() });
    let here = caller(Some("west/1/a"), &none);
    let expected = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (6, 3)];
    assert_eq!(tiers(&world(), &here, &locality), expected);
    // Nobody is near to one of whom it is not known where it is.
    let nowhere = caller(None, &none);
    assert!(tiers(&world(), &nowhere, &locality).iter().all(|(_, tier)| *tier == 0));
    let all_alike = Locality::default();
    assert!(tiers(&world(), &here, &all_alike).iter().all(|(_, tier)| *tier == 0));
}

#[test]
fn zones_play_no_role_among_few_endpoints() {
    let none = labels(&[]);
    let here = caller(Some("west/1/a"), &none);
    // However many there are in other regions.
    for (zones_from, expected) in [
        (3, [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (6, 3)]),
        (4, [(1, 0), (2, 0), (3, 0), (4, 3), (5, 3), (6, 3)]),
    ] {
        let order = LocalityOrder::Place;
        let locality = Locality { order, zones_from, ..Locality::default() };
        assert_eq!(tiers(&world(), &here, &locality), expected, "{zones_from}");
    }
}

#[test]
fn the_region_that_stands_in_comes_before_others() {
    let failover = vec![("east".into(), "west".into()), ("west".into(), "south".into())];
    let locality = Locality { order: LocalityOrder::Place, failover, ..Locality::default() };
    let none = labels(&[]);
    let here = caller(Some("west/1/a"), &none);
    let expected = [(1, 0), (2, 1), (3, 2), (4, 4), (5, 3), (6, 4)];
    assert_eq!(tiers(&world(), &here, &locality), expected);
    let other = caller(Some("south/1/a"), &none);
    let expected = [(1, 3), (2, 3), (3, 3), (4, 3), (5, 0), (6, 3)];
    assert_eq!(tiers(&world(), &other, &locality), expected, "nothing is said of its region");
}

#[test]
fn endpoints_that_share_more_labels_from_the_first_on_come_first() {
    let check = |keys: &[&str], own: &[&str], expected: &[(u8, u8)]| {
        let order = LocalityOrder::Labels(keys.iter().map(|key| (*key).into()).collect());
        let locality = Locality { order, ..Locality::default() };
        let all = [
            at(1, Some("west/1"), 1, &["net=a", "version=1"]),
            at(2, Some("west/2"), 1, &["net=a", "version=2"]),
            at(3, Some("east/1"), 1, &["net=b", "version=1"]),
            at(4, None, 1, &[]),
        ];
        let own = labels(own);
        let here = caller(Some("west/1"), &own);
        assert_eq!(tiers(&all, &here, &locality), expected, "{keys:?}");
    };
    let own = &["net=a", "version=1"];
    check(&["net", "version"], own, &[(1, 0), (2, 1), (3, 2), (4, 2)]);
    check(&["version", "net"], own, &[(1, 0), (2, 2), (3, 1), (4, 2)]);
    // A value that is written down counts instead of the caller's.
    check(&["version=2"], own, &[(1, 1), (2, 0), (3, 1), (4, 1)]);
    check(&["net=b", "version"], own, &[(1, 2), (2, 2), (3, 0), (4, 2)]);
    // Who has none is like others that have none.
    check(&["rack"], own, &[(1, 0), (2, 0), (3, 0), (4, 0)]);
    // Where something runs is a label of it.
    let places = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];
    check(&places, own, &[(1, 0), (2, 1), (3, 2), (4, 2)]);
}

#[test]
fn the_zone_of_the_caller_is_kept_to_as_long_as_it_has_endpoints() {
    let (none, locality) =
        (labels(&[]), Locality { order: LocalityOrder::SameZone, ..Locality::default() });
    let check = |here: Option<&str>, expected: &[u8]| {
        let found = placed_as(&world(), &caller(here, &none), &locality);
        let found: Vec<_> = found.into_iter().map(|(last, _, _)| last).collect();
        assert_eq!(found, expected, "from {here:?}");
    };
    check(Some("west/1/c"), &[1, 2]);
    check(Some("west/2"), &[3]);
    let all = [1, 2, 3, 4, 5, 6];
    check(Some("west/3"), &all);
    check(Some("west"), &all);
    check(None, &all);
}

#[test]
fn places_share_by_percentages_whatever_runs_there() {
    let to = vec![("west/1/*".into(), 80), ("west/*".into(), 15), ("east".into(), 5)];
    let other = Distribute { from: "east/*".into(), to: vec![("*".into(), 100)] };
    let here = Distribute { from: "west/1/*".into(), to };
    let locality = Locality {
        distribute: vec![other, here],
        order: LocalityOrder::Place,
        ..Locality::default()
    };
    let none = labels(&[]);
    let all = [
        at(1, Some("west/1/a"), 1, &[]),
        at(2, Some("west/1/b"), 3, &[]),
        at(3, Some("west/2/a"), 7, &[]),
        at(4, Some("east/1/a"), 1, &[]),
        at(5, Some("south/1/a"), 1, &[]),
    ];
    let found = placed_as(&all, &caller(Some("west/1/a"), &none), &locality);
    assert_eq!(found, [(1, 0, 200_000), (2, 0, 600_000), (3, 0, 150_000), (4, 0, 50_000)]);
    // One for whose place nothing is said uses the order.
    let found = tiers(&all, &caller(Some("south/1/a"), &none), &locality);
    assert_eq!(found, [(1, 3), (2, 3), (3, 3), (4, 3), (5, 0)]);
}

#[test]
fn a_place_with_no_share_is_not_used() {
    let to = vec![("west".into(), 100), ("east".into(), 0)];
    let distribute = vec![Distribute { from: "*".into(), to }];
    let locality = Locality { distribute, ..Locality::default() };
    let none = labels(&[]);
    for here in [Some("west/1"), None] {
        let found = placed_as(&world(), &caller(here, &none), &locality);
        assert_eq!(found.iter().map(|(last, ..)| *last).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

#[test]
fn a_port_that_an_endpoint_does_not_have_is_not_there() {
    let none = labels(&[]);
    let all = [at(1, None, 1, &[])];
    assert!(placed(all.iter(), 81, &caller(None, &none), None).is_empty());
}
