use std::time::UNIX_EPOCH;

use weft_authority::{Authority, Fingerprint, LeafReport, Lifetimes, Validity};
use weft_model::Generation;
use weft_model::identity::{Identity, TrustDomain};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn authority() -> Authority {
    let trust_domain = TrustDomain::new("cluster.local").unwrap();
    Authority::generate(trust_domain, Lifetimes::default(), now()).unwrap()
}

fn signing(rotation: &Rotation) -> Fingerprint {
    rotation.signing().root().certificate().fingerprint()
}

/// A proxy with a certificate under `root`.
fn report(name: &str, trusts: &[Fingerprint], root: Fingerprint) -> ProxyReport {
    let trust_domain = TrustDomain::new("cluster.local").unwrap();
    let identity = Identity::new(&trust_domain, "shop", "default").unwrap();
    let validity = Validity::new(now() - HOUR, now() + HOUR);
    ProxyReport {
        proxy: WorkloadName::new(name),
        trusts: trusts.iter().copied().collect(),
        leaf: Some(LeafReport { identity, root, validity }),
        reported_at: now(),
    }
}

fn status(connected: &[&str]) -> FleetStatus {
    let entry = |name: &&str| ProxyEntry {
        workload: WorkloadName::new(*name),
        phase: ProxyPhase::Connected,
        peer: String::new(),
        product_version: String::new(),
        since: now() - HOUR,
        last_seen: now(),
        sent: Generation(7),
        in_force: Generation(7),
        subscribed: 0,
        rejected: Vec::new(),
        trusts: Vec::new(),
        leaf: None,
    };
    let proxies = connected.iter().map(entry).collect();
    FleetStatus { generation: Generation(7), proxies, applications: Vec::new() }
}

fn in_the_way(view: &RotationView, step: StepName) -> Vec<(&str, bool)> {
    let hindrances = view.hindrances(step).expect("it can follow");
    hindrances.iter().map(|it| (&*it.workload, it.is_connected)).collect()
}

#[test]
fn an_application_with_an_svid_is_in_reach() {
    let authority = authority();
    let root = signing(authority.rotation());
    let names = ["shop/cart", "shop/cart (process 7 of user 1000)"];
    let reports = names.map(|name| report(name, &[root], root));
    let mut status = status(&["shop/cart"]);
    let before = rotation(authority.rotation(), &reports, &status, now());
    assert_eq!(in_the_way(&before, StepName::Prepare), [(names[1], false)]);
    status.applications = vec![WorkloadName::new(names[1])];
    let view = rotation(authority.rotation(), &reports, &status, now());
    assert_eq!(in_the_way(&view, StepName::Prepare), []);
}

#[test]
fn a_live_proxy_out_of_reach_is_in_the_way_of_a_rotation() {
    let authority = authority();
    let root = signing(authority.rotation());
    let reports = ["shop/cart", "shop/web"].map(|name| report(name, &[root], root));
    let view = rotation(authority.rotation(), &reports, &status(&["shop/web"]), now());
    assert_eq!((view.phase, view.other.as_deref()), (PhaseView::Steady, None));
    assert_eq!(in_the_way(&view, StepName::Prepare), [("shop/cart", false)]);
    assert_eq!(view.hindrances(StepName::Switch), None);
}

#[test]
fn each_step_says_who_is_in_its_way_before_it_is_made() {
    let mut authority = authority();
    let old = signing(authority.rotation());
    let next = authority.new_issuer(now());
    authority.rotation_mut().prepare(next, now()).unwrap();
    let new = match authority.rotation().phase() {
        Phase::Prepared { next, .. } => next.root().certificate().fingerprint(),
        phase => panic!("{phase:?}"),
    };
    let has_not = [report("shop/cart", &[old], old)];
    let view = rotation(authority.rotation(), &has_not, &status(&["shop/cart"]), now());
    assert_eq!(in_the_way(&view, StepName::Switch), [("shop/cart", true)]);
    assert_eq!(in_the_way(&view, StepName::Cancel), []);
    let hindrance = &view.hindrances(StepName::Switch).unwrap()[0];
    assert!(hindrance.why.contains("shop/cart does not accept root"), "{}", hindrance.why);
    assert_eq!(hindrance.left_secs, 3_600);

    // It is listed twice while it has not said which certificate it presents.
    let has = [report("shop/cart", &[old, new], old), report("shop/cart", &[old, new], old)];
    authority.rotation_mut().switch(&has, now()).unwrap();
    let view = rotation(authority.rotation(), &has, &status(&[]), now() + HOUR / 2);
    assert_eq!((view.phase, view.since_secs), (PhaseView::Switched, Some(1_800)));
    assert_eq!(view.signing, new.to_string());
    assert_eq!(view.other, Some(old.to_string()));
    assert_eq!(in_the_way(&view, StepName::Retire), [("shop/cart", false)]);
    assert_eq!(in_the_way(&view, StepName::Revert), []);
}

#[test]
fn certificates_are_shown_with_age_and_end() {
    let authority = authority();
    let root = signing(authority.rotation());
    let forecast = authority.forecast(&[report("shop/cart", &[root], root)], now());
    let view = certificates(&forecast, now());
    let shown = |view: &HeldCertificateView| (view.holder.clone(), view.duty, view.left_secs);
    let leaf = &view.certificates[0];
    let holder = HolderView::Proxy { workload: "shop/cart".into() };
    assert_eq!(shown(leaf), (holder, DutyView::Presented, 3_600));
    assert_eq!((leaf.age_secs, &*leaf.breaks), (3_600, "connections of shop/cart"));
    let others: Vec<_> = view.certificates[1..].iter().map(|it| it.holder.clone()).collect();
    assert_eq!(others, [HolderView::Intermediate, HolderView::Root]);
    assert_eq!(view.certificates[2].fingerprint, Some(root.to_string()));
    assert_eq!(view.outage_in_secs, forecast.time_to_outage(now()).as_secs());
}

#[test]
fn proxies_are_counted_by_what_is_in_force() {
    let mut status = status(&["shop/cart", "shop/web"]);
    status.proxies[0].in_force = Generation(6);
    status.proxies[0].rejected =
        vec![(weft_distribute::Kind::Service, "shop/db".into(), "port 0".into())];
    let view = proxies(&status, now());
    assert_eq!((view.generation, view.in_force, view.connected), (7, 1, 2));
    assert_eq!((view.proxies[0].since_secs, view.proxies[0].last_seen_secs), (3_600, 0));
    assert_eq!((&*view.proxies[0].rejected[0].kind, view.proxies[0].in_force), ("service", 6));
}
