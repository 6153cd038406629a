mod simulation;

use weft_model::identity::TrustDomain;

use super::*;
use crate::fixtures::{DAY, HOUR, now, report};
use crate::lifetimes::Lifetimes;
use crate::validity::Validity;

fn issuer() -> Issuer {
    Issuer::generate(&TrustDomain::default(), &Lifetimes::default(), now())
}

/// A rotation to begin with, what it shall go over to, and the roots of the two.
fn pair() -> (Rotation, Issuer, Fingerprint, Fingerprint) {
    let (old, new) = (issuer(), issuer());
    let (old_root, new_root) = (root_of(&old), root_of(&new));
    (Rotation::new(old), new, old_root, new_root)
}

fn prepared() -> (Rotation, Fingerprint, Fingerprint) {
    let (mut rotation, next, old, new) = pair();
    rotation.prepare(next, now()).unwrap();
    (rotation, old, new)
}

fn switched() -> (Rotation, Fingerprint, Fingerprint) {
    let (mut rotation, old, new) = prepared();
    rotation.switch(&[], now()).unwrap();
    (rotation, old, new)
}

/// What is trusted, what signs, and the name of the phase.
#[track_caller]
fn check(rotation: &Rotation, trusted: &[Fingerprint], signing: Fingerprint, phase: &str) {
    let mut trusted = trusted.to_vec();
    trusted.sort();
    assert_eq!(rotation.bundle().fingerprints().collect::<Vec<_>>(), trusted);
    assert_eq!(root_of(rotation.signing()), signing);
    assert_eq!(rotation.phase().as_str(), phase);
}

#[track_caller]
fn stranded(found: Result<(), RefusedRotation>, expected: &[(&str, Why)]) {
    let Err(RefusedRotation::Stranded(stranded)) = found else { panic!("{found:?}") };
    let found: Vec<_> =
        stranded.proxies.iter().map(|found| (found.proxy.as_str(), found.why.clone())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_new_root_takes_over_in_three_steps() {
    let (mut rotation, next, old, new) = pair();
    check(&rotation, &[old], old, "steady");
    rotation.prepare(next, now()).unwrap();
    check(&rotation, &[old, new], old, "prepared");
    rotation.switch(&[report("a", &[old, new], old)], now()).unwrap();
    check(&rotation, &[old, new], new, "switched");
    rotation.retire(&[report("a", &[old, new], new)], now()).unwrap();
    check(&rotation, &[new], new, "steady");
}

#[test]
fn a_rotation_can_be_taken_back() {
    let (mut rotation, old, new) = switched();
    rotation.revert(&[report("a", &[old, new], new)], now()).unwrap();
    check(&rotation, &[old, new], old, "prepared");
    // What was signed in between would be refused.
    let left = 12 * HOUR;
    stranded(
        rotation.cancel(&[report("a", &[old, new], new)], now()),
        &[("shop/a", Why::PresentsOld { root: new, left })],
    );
    rotation.cancel(&[report("a", &[old, new], old)], now()).unwrap();
    check(&rotation, &[old], old, "steady");
}

#[test]
fn steps_have_an_order() {
    let (steady, next, ..) = pair();
    let ((prepared, ..), (switched, ..)) = (prepared(), switched());
    let take = |rotation: &Rotation, step: Step| {
        let mut rotation = rotation.clone();
        match step {
            Step::Prepare => rotation.prepare(next.clone(), now()),
            Step::Switch => rotation.switch(&[], now()),
            Step::Retire => rotation.retire(&[], now()),
            Step::Cancel => rotation.cancel(&[], now()),
            Step::Revert => rotation.revert(&[], now()),
            Step::ReplaceIntermediate => {
                let root = rotation.signing().root();
                let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
                let made = Intermediate::generate(root, &domain, &lifetimes, now()).unwrap();
                rotation.replace_intermediate(made, &[], now())
            }
        }
    };
    let cases = [
        (Step::Prepare, [true, false, false]),
        (Step::Switch, [false, true, false]),
        (Step::Cancel, [false, true, false]),
        (Step::Retire, [false, false, true]),
        (Step::Revert, [false, false, true]),
        (Step::ReplaceIntermediate, [true, true, true]),
    ];
    for (step, expected) in cases {
        for (rotation, is_allowed) in [&steady, &prepared, &switched].into_iter().zip(expected) {
            let phase = rotation.phase().as_str();
            match take(rotation, step) {
                Ok(()) => assert!(is_allowed, "{step} from {phase}"),
                Err(RefusedRotation::OutOfOrder { step: told, .. }) => {
                    assert!(!is_allowed && told == step, "{step} from {phase}");
                }
                Err(other) => panic!("{step} from {phase}: {other}"),
            }
        }
    }
    let refused = take(&steady, Step::Switch).unwrap_err();
    assert_eq!(refused.to_string(), "cannot switch now: no rotation is under way; prepare one");
}

#[test]
fn nobody_signs_whom_a_live_proxy_does_not_accept() {
    let (mut rotation, old, new) = prepared();
    let fleet = [
        report("a", &[old, new], old),
        report("b", &[old], old),
        report("c", &[], old),
        report("d", &[new], old),
    ];
    let why = Why::DoesNotTrust(new);
    stranded(rotation.switch(&fleet, now()), &[("shop/b", why.clone()), ("shop/c", why)]);
    check(&rotation, &[old, new], old, "prepared");
}

#[test]
fn a_root_that_a_live_proxy_is_under_is_not_dropped() {
    let (mut rotation, old, new) = switched();
    let fleet = [
        report("a", &[old, new], new),
        report("b", &[old, new], old),
        report("c", &[old], new),
        report("d", &[new], new),
    ];
    let (presents, lacks) =
        (Why::PresentsOld { root: old, left: 12 * HOUR }, Why::DoesNotTrust(new));
    stranded(rotation.retire(&fleet, now()), &[("shop/b", presents), ("shop/c", lacks)]);
    check(&rotation, &[old, new], new, "switched");
    stranded(
        rotation.revert(&[report("d", &[new], new)], now()),
        &[("shop/d", Why::DoesNotTrust(old))],
    );
}

#[test]
fn who_has_no_certificate_that_counts_is_not_waited_for() {
    let (mut rotation, old, new) = prepared();
    let mut without = report("a", &[old], old);
    without.leaf = None;
    let mut ended = report("b", &[old], old);
    // A minute longer, as a peer's clock may be behind.
    let minute = HOUR / 60;
    let leaf = ended.leaf.as_mut().unwrap();
    leaf.validity = Validity::new(now() - DAY, now() - minute);
    let fleet = [without, ended];
    stranded(
        rotation.clone().switch(&fleet, now() - HOUR / 3600),
        &[("shop/b", Why::DoesNotTrust(new))],
    );
    rotation.switch(&fleet, now()).unwrap();
}

#[test]
fn what_would_sign_is_valid() {
    let (mut rotation, next, old, _) = pair();
    let late = now() + 400 * DAY;
    let refused = rotation.prepare(next.clone(), late).unwrap_err();
    assert!(matches!(refused, RefusedRotation::Unusable(Unusable::Ended { .. })), "{refused:?}");
    rotation.prepare(next, now()).unwrap();
    assert!(matches!(rotation.switch(&[], late), Err(RefusedRotation::Unusable(_))));
    rotation.switch(&[], now()).unwrap();
    assert!(matches!(rotation.revert(&[], late), Err(RefusedRotation::Unusable(_))));
    // What signs already is not asked when the other goes.
    rotation.retire(&[], late).unwrap();
    let again = rotation.signing().clone();
    let refused = rotation.prepare(again, now()).unwrap_err();
    assert_eq!(refused, RefusedRotation::SameRoot(root_of(rotation.signing())));
    assert_ne!(root_of(rotation.signing()), old);
}

#[test]
fn an_intermediate_is_replaced_under_the_same_root() {
    let (mut rotation, next, old, new) = pair();
    let other = next.intermediate().clone();
    let refused = rotation.replace_intermediate(other, &[], now()).unwrap_err();
    assert_eq!(refused, RefusedRotation::OtherRoot { found: new, signing: old });

    let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
    let root = rotation.signing().root().clone();
    let made = Intermediate::generate(&root, &domain, &lifetimes, now()).unwrap();
    let late = now() + 400 * DAY;
    let refused = rotation.replace_intermediate(made.clone(), &[], late).unwrap_err();
    assert!(matches!(refused, RefusedRotation::Unusable(_)), "{refused:?}");

    // Who accepts the root does not care; who accepts the old intermediate alone does; who accepts
    // neither is no worse off.
    let before = rotation.signing().intermediate().certificate().fingerprint();
    let fleet = [report("a", &[old], old), report("b", &[before], old), report("c", &[new], old)];
    stranded(
        rotation.replace_intermediate(made.clone(), &fleet, now()),
        &[("shop/b", Why::DoesNotTrust(old))],
    );
    let fleet = [&fleet[..1], &fleet[2..]].concat();
    rotation.replace_intermediate(made.clone(), &fleet, now()).unwrap();
    assert_eq!(rotation.signing().intermediate().certificate(), made.certificate());
    check(&rotation, &[old], old, "steady");
}

#[test]
fn a_rotation_under_way_survives_a_new_intermediate() {
    let (mut rotation, old, new) = prepared();
    let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
    let root = rotation.signing().root().clone();
    let made = Intermediate::generate(&root, &domain, &lifetimes, now()).unwrap();
    rotation.replace_intermediate(made, &[], now()).unwrap();
    check(&rotation, &[old, new], old, "prepared");
}

#[test]
fn a_refusal_names_the_proxies_and_what_to_wait_for() {
    let (mut rotation, old, new) = switched();
    let refused = rotation.retire(&[report("a", &[old, new], old)], now()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "cannot retire yet: it would strand 1 live proxy: shop/a presents a certificate under \
             root {}, for 12 h at most (heard of 3 s ago). Wait until they have renewed, which \
             connected ones do at once, or are gone",
            old.short()
        )
    );
    let fleet: Vec<_> = (0..12).map(|index| report(&format!("p{index}"), &[old], new)).collect();
    let refused = rotation.retire(&fleet, now()).unwrap_err().to_string();
    assert!(refused.contains("would strand 12 live proxies: shop/p0 does not accept root"));
    assert!(refused.contains("shop/p9") && !refused.contains("shop/p10"));
    assert!(refused.contains("; and 2 more. Wait until they have taken the new bundle, which"));
}
