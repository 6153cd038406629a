use weft_authority::Validity;
use weft_model::identity::TrustDomain;

use super::*;

fn registry() -> Registry {
    Registry::new(Clock::wall(), Fleet::default(), Applications::new(), Arc::default())
}

fn who(account: &str, number: usize) -> Attested {
    Attested {
        workload: WorkloadName::new(format!("shop/{account}-{number}")),
        identity: Identity::new(&TrustDomain::default(), "shop", account).unwrap(),
    }
}

fn leaf(identity: &Identity) -> LeafReport {
    let now = Clock::wall().now();
    LeafReport {
        identity: identity.clone(),
        root: Fingerprint::from_bytes([1; 32]),
        validity: Validity::new(now, now + Duration::from_secs(3600)),
    }
}

/// Makes workloads of an identity known until there is room for no more.
fn fill(registry: &Registry, account: &str, know: impl Fn(&Registry, &Attested)) -> usize {
    let count = (0..=NAMES_MAX).find(|number| {
        let who = who(account, *number);
        let has_room = registry.has_room(&who);
        if has_room {
            know(registry, &who);
        }
        !has_room
    });
    count.expect("names that are made up have a bound")
}

#[test]
fn names_that_are_made_up_have_a_bound_for_each_identity() {
    let registry = registry();
    let issue = |registry: &Registry, who: &Attested| {
        registry.issued(who, &[], leaf(&who.identity));
    };
    assert_eq!(fill(&registry, "one", issue), NAMES_MAX);
    assert!(registry.has_room(&who("one", 0)), "a name that is known stays");
    assert!(registry.has_room(&who("two", 0)), "others have room");
}

#[test]
fn so_have_those_that_connect_and_go() {
    let registry = registry();
    let peer = Peer::Unknown { addr: None };
    let connect = |registry: &Registry, who: &Attested| {
        let status = weft_distribute::Session::new(who.workload.clone()).status();
        drop(registry.connected(who, &peer, "", status));
    };
    assert_eq!(fill(&registry, "one", connect), NAMES_MAX);
    assert!(registry.has_room(&who("two", 0)), "others have room");
}
