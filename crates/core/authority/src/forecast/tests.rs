use weft_model::identity::TrustDomain;

use super::*;
use crate::authority::Authority;
use crate::fixtures::{DAY, Foreign, HOUR, authority, identity, now, report};
use crate::issuer::{Intermediate, Root};
use crate::pem::Pem;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn root_of(issuer: &Issuer) -> Fingerprint {
    issuer.root().certificate().fingerprint()
}

/// Who has it, what for, what breaks, and what is to be done, one line for each.
fn lines(forecast: &Forecast, at: SystemTime) -> Vec<String> {
    let line = |entry: &Entry| {
        let holder = match &entry.holder {
            Holder::Root => "root".to_owned(),
            Holder::Intermediate => "intermediate".to_owned(),
            Holder::Proxy(proxy) => proxy.to_string(),
        };
        let Entry { duty, breaks, remedy, .. } = entry;
        format!("{holder}, {duty:?}: {breaks}; {}", remedy.describe(at))
    };
    forecast.entries.iter().map(line).collect()
}

#[test]
fn every_certificate_is_told_the_first_to_end_at_the_top() {
    let authority = authority();
    let root = root_of(authority.rotation().signing());
    let fleet = [report("a", &[root], root)];
    let forecast = authority.forecast(&fleet, now());
    assert_eq!(
        lines(&forecast, now()),
        [
            "shop/a, Presented: connections of shop/a; renewed by itself within 4 h 48 min",
            "intermediate, Signing: all connections between proxies; renewed by itself within \
             218 d 23 h",
            "root, Signing: all connections between proxies; rotate the root within 9 y",
        ]
    );
    assert_eq!(forecast.outage_at, now() + YEAR);
    assert_eq!(forecast.time_to_outage(now() + YEAR - HOUR), HOUR);
    assert_eq!(forecast.time_to_outage(now() + YEAR + HOUR), Duration::ZERO);
    let leaf = &forecast.entries[0];
    assert_eq!(&*leaf.subject, identity("a").as_str());
    assert_eq!((leaf.fingerprint, leaf.root), (None, root));
    assert_eq!((leaf.age, leaf.left), (12 * HOUR, 12 * HOUR));
    let last = &forecast.entries[2];
    assert_eq!((last.fingerprint, last.root), (Some(root), root));
    assert!(last.subject.contains("Weftway root"), "{}", last.subject);
    assert_eq!((last.age, last.left), (HOUR, 10 * YEAR));
}

#[test]
fn what_should_have_been_renewed_is_overdue() {
    let authority = authority();
    let root = root_of(authority.rotation().signing());
    let later = now() + 10 * HOUR;
    let forecast = authority.forecast(&[report("a", &[root], root)], later);
    assert_eq!(
        lines(&forecast, later)[0],
        "shop/a, Presented: connections of shop/a; should have been renewed 5 h 12 min ago: is the \
         authority reached?"
    );
    let later = now() + 300 * DAY;
    let forecast = authority.forecast(&[], later);
    assert!(matches!(forecast.entries[0].remedy, Remedy::Overdue(_)), "{forecast:?}");
    let later = now() + 9 * YEAR + DAY;
    let forecast = authority.forecast(&[], later);
    let line = &lines(&forecast, later)[1];
    assert_eq!(line, "root, Signing: all connections between proxies; rotate the root now");
}

#[test]
fn a_rotation_shows_what_waits_for_what() {
    let mut authority = authority();
    let old = root_of(authority.rotation().signing());
    let next = authority.new_issuer(now());
    let new = root_of(&next);
    authority.rotation_mut().prepare(next, now()).unwrap();
    let of_root = |forecast: &Forecast, root: Fingerprint| -> (Duty, Breaks, Remedy) {
        let found = forecast.entries.iter().find(|entry| entry.fingerprint == Some(root)).unwrap();
        (found.duty, found.breaks.clone(), found.remedy.clone())
    };
    let finish = Remedy::FinishRotation(now() + 10 * YEAR);
    let forecast = authority.forecast(&[], now());
    assert_eq!(forecast.entries.len(), 4);
    assert_eq!(of_root(&forecast, old), (Duty::Signing, Breaks::Mesh, finish.clone()));
    assert_eq!(of_root(&forecast, new), (Duty::Next, Breaks::Rotation, finish.clone()));

    authority.rotation_mut().switch(&[], now()).unwrap();
    let both = [old, new];
    let fleet = [report("a", &both, old), report("b", &both, new), report("c", &both, old)];
    let forecast = authority.forecast(&fleet, now());
    assert_eq!(of_root(&forecast, old), (Duty::Previous, Breaks::Proxies(2), finish.clone()));
    assert_eq!(of_root(&forecast, new), (Duty::Signing, Breaks::Mesh, finish.clone()));
    let forecast = authority.forecast(&fleet[1..2], now());
    assert_eq!(of_root(&forecast, old), (Duty::Previous, Breaks::Nothing, finish));
}

#[test]
fn what_the_operator_supplied_the_operator_must_replace() {
    let made = Foreign::root("Example");
    let (upper, name) = (made.under("Upper", |_| {}), "ca.pem");
    let lower = upper.under("Lower", |params| params.not_after = (now() + 30 * DAY).into());
    let root = Root::from_pem(Pem { name, text: made.pem().as_bytes() }, None, now()).unwrap();
    let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
    let (chain, key) = (lower.pem() + &upper.pem(), lower.key_pem());
    let (chain, key) = (Pem { name, text: chain.as_bytes() }, Pem { name, text: key.as_bytes() });
    let intermediate = Intermediate::from_pem(chain, key, &root, &domain, now()).unwrap();
    let issuer = Issuer::new(root, intermediate).unwrap();
    let authority = Authority::new(domain, lifetimes, issuer).unwrap();
    let forecast = authority.forecast(&[], now());
    assert_eq!(
        lines(&forecast, now()),
        [
            "intermediate, Signing: all connections between proxies; supply another intermediate \
             within 30 d",
            "intermediate, Signing: all connections between proxies; supply another intermediate \
             within 1 y",
            "root, Signing: all connections between proxies; rotate the root within 255 d 4 h",
        ]
    );
    assert_eq!(forecast.outage_at, now() + 30 * DAY);
}

#[test]
fn numbers_of_proxies_are_spelt() {
    assert_eq!(Breaks::Proxies(1).to_string(), "connections of 1 proxy");
    assert_eq!(Breaks::Proxies(2).to_string(), "connections of 2 proxies");
}
