use proptest::prelude::*;

use super::*;

fn range(v4: &str, v6: Option<&str>) -> Range {
    Range {
        v4: v4.parse().expect("a valid range"),
        v6: v6.map(|v6| v6.parse().expect("a valid range")),
    }
}

/// Addresses .2 to .6: 7 is broadcast, 1 the machine's own.
fn small() -> Pool {
    Pool::new(range("10.77.0.0/29", Some("fd77::/64")), 2)
}

#[test]
fn both_families_count_alike() {
    let mut pool = Pool::new(range("10.77.0.0/16", Some("fd77::/64")), 2);
    for _ in 0..255 {
        let name = format!("w{}", pool.held());
        pool.claim(&name).expect("there is room");
    }
    let addrs = pool.addrs("w254").expect("it was claimed");
    assert_eq!(addrs.v4, "10.77.1.0".parse::<std::net::Ipv4Addr>().expect("valid"));
    assert_eq!(addrs.v6, Some("fd77::100".parse().expect("valid")));
}

#[test]
fn ranges_end_before_broadcast() {
    assert_eq!(range("10.0.0.0/29", None).end(), 7);
    assert_eq!(range("10.0.0.0/16", Some("fd77::/64")).end(), 65535);
    assert_eq!(range("10.0.0.0/16", Some("fd77::/126")).end(), 3);
    assert_eq!(range("10.0.0.1/32", None).end(), 0);
    assert_eq!(range("0.0.0.0/0", None).end(), u32::MAX);
}

#[test]
fn a_name_keeps_its_address() {
    let mut pool = small();
    let first = pool.claim("a").expect("there is room");
    pool.release("a");
    let other = pool.claim("b").expect("there is room");
    assert_ne!(first, other, "an address does not change hands while there are fresh ones");
    assert_eq!(pool.claim("a"), Ok(first));

    let mut kept = Pool::decode(pool.range, 2, &pool.encode()).expect("it was just encoded");
    assert_eq!(kept.held(), 0);
    assert_eq!(kept.claim("b"), Ok(other));
    assert_eq!(kept.claim("a"), Ok(first));
}

#[test]
fn the_longest_free_goes_first() {
    let mut pool = small();
    for name in ["a", "b", "c", "d", "e"] {
        pool.claim(name).expect("there is room");
    }
    let (b, d) = (pool.addrs("b"), pool.addrs("d"));
    pool.release("d");
    pool.release("b");
    pool = Pool::decode(pool.range, 2, &pool.encode()).expect("it was just encoded");
    for name in ["a", "c", "e"] {
        pool.claim(name).expect("they are its own");
    }
    assert_eq!(pool.claim("f").ok(), d);
    assert_eq!(pool.claim("g").ok(), b);
    assert_eq!(pool.addrs("d"), None);
}

#[test]
fn exhaustion_says_so() {
    let mut pool = small();
    for name in ["a", "b", "c", "d", "e"] {
        pool.claim(name).expect("there is room");
    }
    let error = pool.claim("f").expect_err("all are taken");
    assert_eq!(
        error.to_string(),
        "no address left for `f`: all 5 of 10.77.0.0/29 and fd77::/64 are in use; \
         end what is not needed, or configure a larger range"
    );
    pool.release("c");
    assert!(pool.claim("f").is_ok());
}

#[test]
fn what_is_no_pool_is_refused() {
    let range = small().range;
    let read = |text: &str| Pool::decode(range, 2, text.as_bytes());
    assert!(matches!(read("no"), Err(InvalidPool::Form(_))));
    let with = |version: u32, entries: &str| {
        let range = serde_json::to_string(&range).expect("a range has a form");
        read(&format!(r#"{{"version":{version},"range":{range},"entries":{entries}}}"#))
    };
    assert!(matches!(with(2, "{}"), Err(InvalidPool::Version(2))));
    for entries in [
        r#"{"a":{"offset":2,"released":null},"b":{"offset":2,"released":1}}"#,
        r#"{"b":{"offset":1,"released":null}}"#,
        r#"{"b":{"offset":7,"released":null}}"#,
    ] {
        let error = with(1, entries).expect_err("it contradicts itself");
        assert!(matches!(&error, InvalidPool::Contradiction(name) if name == "b"), "{error}");
    }
}

#[test]
fn another_range_begins_anew() {
    let mut pool = small();
    pool.claim("a").expect("there is room");
    let other = range("10.99.0.0/24", None);
    let pool = Pool::decode(other, 2, &pool.encode()).expect("it was just encoded");
    assert_eq!(pool, Pool::new(other, 2));
}

proptest! {
    #[test]
    fn no_two_names_share_an_address(steps in prop::collection::vec((0..12_u8, any::<bool>()), 0..60)) {
        let mut pool = small();
        for (name, is_claim) in steps {
            let name = name.to_string();
            if is_claim {
                let _ = pool.claim(&name);
            } else {
                pool.release(&name);
            }
            let offsets: BTreeSet<u32> = pool.entries.values().map(|entry| entry.offset).collect();
            prop_assert_eq!(offsets.len(), pool.entries.len());
            prop_assert!(offsets.iter().all(|offset| (2..7).contains(offset)));
        }
        let kept = Pool::decode(pool.range, 2, &pool.encode()).expect("it was just encoded");
        for name in pool.entries.keys() {
            prop_assert_eq!(kept.addrs(name), pool.addrs(name));
        }
    }
}
