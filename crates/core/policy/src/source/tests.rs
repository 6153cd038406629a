use weft_model::policy::StepKind;

use super::*;
use crate::step::Verdict;
use crate::testing::{PLAIN, name, request, run};

type Pairs = &'static [(&'static str, &'static str)];

fn net(text: &str) -> IpNet {
    text.parse().expect("a network")
}

fn strategy(depth: u32, excluded: &[&str], ipv6_subnet: Option<u8>) -> IpStrategy {
    IpStrategy { depth, excluded: excluded.iter().map(|text| net(text)).collect(), ipv6_subnet }
}

#[track_caller]
fn check(strategy: &IpStrategy, forwarded: &[&str], peer: &str, expected: Option<&str>) {
    let fields: Vec<_> = forwarded.iter().map(|value| ("X-Forwarded-For", *value)).collect();
    let head = request("GET http://a/", &fields);
    let found = source_ip(strategy, &head, peer.parse().expect("an address"));
    let expected = expected.map(|text| text.parse().expect("an address"));
    assert_eq!(found, expected, "{strategy:?} {forwarded:?}");
}

#[test]
fn the_peer_is_the_default() {
    let peer = strategy(0, &[], None);
    check(&peer, &["10.0.0.1"], "192.0.2.1", Some("192.0.2.1"));
    check(&peer, &[], "::ffff:192.0.2.1", Some("192.0.2.1"));
}

#[test]
fn depth_counts_from_the_right() {
    let list: &[&str] = &["10.0.0.1, 10.0.0.2 ,10.0.0.3"];
    let cases: &[(u32, &[&str], Option<&str>)] = &[
        (1, list, Some("10.0.0.3")),
        (2, list, Some("10.0.0.2")),
        (3, list, Some("10.0.0.1")),
        (4, list, None),
        (u32::MAX, list, None),
        (1, &[], None),
        (1, &[""], None),
        // Several lines are one list.
        (3, &["10.0.0.1, 10.0.0.2", "10.0.0.3, 10.0.0.4"], Some("10.0.0.2")),
        // Empty elements keep their place.
        (2, &["10.0.0.1,,10.0.0.3"], None),
        (1, &["unknown"], None),
        (1, &["10.0.0.1:8080"], Some("10.0.0.1")),
        (1, &["[2001:db8::1]:8080"], Some("2001:db8::1")),
        (1, &["[2001:db8::1]"], Some("2001:db8::1")),
        (1, &["::ffff:10.0.0.1"], Some("10.0.0.1")),
        (1, &["10.0.0.1%eth0"], None),
    ];
    for (depth, forwarded, expected) in cases {
        check(&strategy(*depth, &[], None), forwarded, "192.0.2.1", *expected);
    }
}

#[test]
fn excluded_addresses_are_passed_over() {
    let excluded = strategy(0, &["10.0.0.0/8", "192.168.1.7/32"], None);
    let cases: &[(&[&str], Option<&str>)] = &[
        (&["203.0.113.9, 10.0.0.1, 192.168.1.7"], Some("203.0.113.9")),
        (&["203.0.113.9, 198.51.100.2, 10.0.0.1"], Some("198.51.100.2")),
        (&["203.0.113.9", "10.0.0.1"], Some("203.0.113.9")),
        (&["203.0.113.9, , 10.0.0.1,"], Some("203.0.113.9")),
        (&["10.0.0.1, 10.0.0.2"], None),
        (&["203.0.113.9, garbage, 10.0.0.1"], None),
        (&["garbage, 203.0.113.9, 10.0.0.1"], Some("203.0.113.9")),
        (&[], None),
    ];
    for (forwarded, expected) in cases {
        check(&excluded, forwarded, "192.0.2.1", *expected);
    }
}

#[test]
fn ipv6_addresses_of_one_subnet_count_as_one() {
    let cases = [
        ("2001:db8:1:2:3:4:5:6", Some(64), "2001:db8:1:2::"),
        ("2001:db8:1:2:3:4:5:6", Some(48), "2001:db8:1::"),
        ("2001:db8:1:2:3:4:5:6", Some(0), "::"),
        ("2001:db8:1:2:3:4:5:6", Some(128), "2001:db8:1:2:3:4:5:6"),
        ("2001:db8:1:2:3:4:5:6", Some(200), "2001:db8:1:2:3:4:5:6"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2:3:4:5:6"),
        ("192.0.2.1", Some(64), "192.0.2.1"),
        ("::ffff:192.0.2.1", Some(64), "192.0.2.1"),
    ];
    for (peer, subnet, expected) in cases {
        check(&strategy(0, &[], subnet), &[], peer, Some(expected));
    }
}

#[test]
fn allow_lists() {
    let list = |ranges: &[&str], strategy: IpStrategy| {
        StepKind::IpAllowList(IpAllowList {
            ranges: ranges.iter().map(|text| net(text)).collect(),
            strategy,
            reject_status: 403,
        })
    };
    let peer = strategy(0, &[], None);
    let first = strategy(1, &[], None);
    let cases: &[(StepKind, Pairs, bool)] = &[
        (list(&["192.0.2.0/24"], peer.clone()), &[], true),
        (list(&["10.0.0.0/8", "192.0.2.1/32"], peer.clone()), &[], true),
        (list(&["10.0.0.0/8"], peer.clone()), &[], false),
        (list(&[], peer.clone()), &[], false),
        (list(&["10.0.0.0/8"], peer.clone()), &[("X-Forwarded-For", "10.0.0.1")], false),
        (list(&["10.0.0.0/8"], first.clone()), &[("X-Forwarded-For", "10.0.0.1")], true),
        (list(&["0.0.0.0/0", "::/0"], first), &[], false),
    ];
    for (kind, fields, passes) in cases {
        let outcome = run(kind.clone(), request("GET http://a/", fields), PLAIN);
        match outcome.verdict {
            Verdict::Continue => assert!(passes, "{kind:?}"),
            Verdict::Respond(answer) => {
                assert!(!passes, "{kind:?}");
                assert_eq!((answer.status(), answer.reason), (403, Reason::Forbidden));
            }
        }
    }
    let kind =
        StepKind::IpAllowList(IpAllowList { ranges: vec![], strategy: peer, reject_status: 404 });
    assert_eq!(run(kind, request("GET http://a/", &[]), PLAIN).answer().status(), 404);
}

#[test]
fn keys_tell_sources_apart() {
    let long = "a".repeat(100);
    let other = format!("{}b", "a".repeat(99));
    let by_ip = SourceCriterion::Ip(IpStrategy::default());
    let by_header = SourceCriterion::Header(name("X-Key"));
    let key = |criterion: &SourceCriterion, value: &str, host: &str, peer: &str| {
        let head = request(&format!("GET http://{host}/"), &[("X-Key", value)]);
        source_key(criterion, &head, peer.parse().expect("an address"))
    };
    let keys = [
        key(&by_ip, "v", "a", "192.0.2.1"),
        key(&by_ip, "v", "a", "192.0.2.2"),
        key(&by_ip, "v", "a", "::1"),
        key(&by_header, "v", "a", "192.0.2.1"),
        key(&by_header, "a", "a", "192.0.2.1"),
        key(&by_header, "", "a", "192.0.2.1"),
        key(&by_header, &long, "a", "192.0.2.1"),
        key(&by_header, &other, "a", "192.0.2.1"),
        key(&SourceCriterion::Host, "v", "a", "192.0.2.1"),
        key(&SourceCriterion::Host, "v", "b", "192.0.2.1"),
        key(&SourceCriterion::Ip(strategy(1, &[], None)), "v", "a", "192.0.2.1"),
    ];
    for (index, one) in keys.iter().enumerate() {
        for two in &keys[index + 1..] {
            assert_ne!(one.as_bytes(), two.as_bytes());
        }
    }
    assert_eq!(key(&by_ip, "x", "b", "192.0.2.1"), keys[0]);
    assert_eq!(key(&by_header, &long, "b", "::1"), keys[6]);
    // Neither case nor port of the host makes another source.
    assert_eq!(key(&SourceCriterion::Host, "v", "A:8080", "::1"), keys[8]);
    assert!(!format!("{:?}", keys[3]).contains('v'), "values are not shown");
}

#[test]
fn all_requests_may_count_together() {
    let key = |url: &str, peer: [u8; 4]| {
        source_key(&SourceCriterion::All, &request(&format!("GET {url}"), &[]), peer.into())
    };
    assert_eq!(key("http://a/", [10, 0, 0, 1]), key("http://b/", [10, 0, 0, 2]));
    let host =
        source_key(&SourceCriterion::Host, &request("GET http://a/", &[]), [10, 0, 0, 1].into());
    assert_ne!(key("http://a/", [10, 0, 0, 1]), host);
}
