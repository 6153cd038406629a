use std::time::Duration;

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::super::testing::{Set, ask};
use super::super::{Ask, Picker};
use super::*;
use crate::hash::stable;
use crate::settings::{MaglevSettings, RingHashSettings};

const KINDS: [PickerKind; 5] = [
    PickerKind::RoundRobin,
    PickerKind::LeastRequest,
    PickerKind::Random,
    PickerKind::Rendezvous,
    PickerKind::RingHash(RingHashSettings::DEFAULT),
];

const WEIGHTED: LocalitySettings = LocalitySettings { weighted: true, ..LocalitySettings::DEFAULT };

/// Endpoints at these tiers and localities (whose last digit is their weight).
fn placed(places: impl IntoIterator<Item = (u32, u32)>) -> Set {
    let places: Vec<_> = places.into_iter().collect();
    let mut set = Set::equal(places.len());
    for (member, (tier, locality)) in set.0.iter_mut().zip(places) {
        (member.tier, member.locality) = (tier, locality);
    }
    set
}

/// Tiers of so many endpoints.
fn tiers(sizes: &[usize]) -> Set {
    let tier = |(tier, size): (usize, &usize)| std::iter::repeat_n((tier as u32, 1), *size);
    placed(sizes.iter().enumerate().flat_map(tier))
}

/// Shares of 4,000 picks by `part` of an endpoint, in percent.
fn shares(picker: &Picker, set: &Set, parts: usize, part: impl Fn(usize) -> u32) -> Vec<f64> {
    let (rng, mut shares) = (Rng::new(4), vec![0.0; parts]);
    for key in 0..4_000u64 {
        let ask = Ask { key: Some(stable(&key.to_le_bytes())), ..ask() };
        if let Some(picked) = picker.pick(set, &ask, &rng) {
            shares[part(picked) as usize] += 0.025;
        }
    }
    shares
}

fn check(set: &Set, panic_ratio: f64, expected: &[f64]) {
    for kind in KINDS {
        let picker = Picker::new(kind)
            .with_panic_ratio(panic_ratio)
            .with_locality(LocalitySettings::DEFAULT);
        let shares = shares(&picker, set, expected.len(), |index| set.0[index].tier);
        let fits = |(share, wanted): (&f64, &f64)| {
            (share - wanted).abs() < 3.0 && (*share > 0.0) == (*wanted > 0.0)
        };
        assert!(shares.iter().zip(expected).all(fits), "{kind:?} {shares:?} {expected:?}");
    }
}

/// Envoy's documentation of priority levels has these figures.
#[test]
fn what_a_tier_lacks_goes_to_the_next() {
    for (first_shut, second_shut, expected) in [
        (0, 0, [100.0, 0.0]),
        (28, 0, [100.0, 0.0]),
        (29, 0, [99.4, 0.6]),
        (50, 0, [70.0, 30.0]),
        (75, 0, [35.0, 65.0]),
        (100, 0, [0.0, 100.0]),
        (75, 50, [35.0, 65.0]),
        // Together they can carry 70 %: each half of it.
        (75, 75, [50.0, 50.0]),
    ] {
        let set = tiers(&[100, 100]);
        set.shut((0..first_shut).chain(100..100 + second_shut));
        check(&set, 0.0, &expected);
    }
}

#[test]
fn spill_over_passes_on_from_tier_to_tier() {
    let set = tiers(&[10, 10, 10]);
    set.shut((0..8).chain(10..15));
    // 28 %, then 70 % of it, and what is left.
    check(&set, 0.0, &[28.0, 70.0, 2.0]);
    set.shut(10..20);
    check(&set, 0.0, &[28.0, 0.0, 72.0]);
}

#[test]
fn a_tier_without_endpoints_is_no_tier() {
    let set = placed([(3, 1), (3, 1), (9, 1)]);
    let picker = Picker::new(PickerKind::RoundRobin).with_locality(LocalitySettings::DEFAULT);
    assert_eq!(shares(&picker, &set, 10, |index| set.0[index].tier)[3].round(), 100.0);
    set.shut([0, 1]);
    let picker = Picker::new(PickerKind::RoundRobin).with_locality(LocalitySettings::DEFAULT);
    assert_eq!(shares(&picker, &set, 10, |index| set.0[index].tier)[9].round(), 100.0);
}

#[test]
fn panic_begins_when_no_tier_can_carry_the_load() {
    let set = tiers(&[100, 100]);
    // Envoy's figures: 25 % and 20 % are left, and the threshold is half.
    set.shut((0..75).chain(100..180));
    let picker = Picker::new(PickerKind::Random)
        .with_panic_ratio(0.5)
        .with_locality(LocalitySettings::DEFAULT);
    let by_tier = shares(&picker, &set, 2, |index| set.0[index].tier);
    assert!((by_tier[0] - 50.0).abs() < 3.0, "all panic, and share by their size: {by_tier:?}");
    let usable = shares(&picker, &set, 2, |index| u32::from(set.0[index].usable.get()));
    assert!((usable[1] - 22.5).abs() < 3.0, "whoever is usable: {usable:?}");
    // A second tier that carries all leaves the first without a reason to panic.
    let set = tiers(&[100, 100]);
    set.shut(0..90);
    check(&set, 0.5, &[14.0, 86.0]);
    let picker = Picker::new(PickerKind::Random)
        .with_panic_ratio(0.5)
        .with_locality(LocalitySettings::DEFAULT);
    let usable = shares(&picker, &set, 2, |index| u32::from(set.0[index].usable.get()));
    assert_eq!(usable[1].round(), 100.0);
}

#[test]
fn without_panic_nobody_is_picked_when_all_are_down() {
    let set = tiers(&[3, 3]);
    set.shut(0..6);
    for kind in KINDS {
        let picker = Picker::new(kind).with_locality(LocalitySettings::DEFAULT);
        assert_eq!(picker.pick(&set, &ask(), &Rng::new(1)), None);
        let picker = Picker::new(kind).with_panic_ratio(0.1).with_locality(WEIGHTED);
        assert!(picker.pick(&set, &ask(), &Rng::new(1)).is_some());
    }
}

#[test]
fn localities_share_by_weight_and_health() {
    // Weights 1, 2 and 7; and one of weight 0.
    let places = [1, 12, 7, 20].map(|locality| std::iter::repeat_n((0, locality), 10));
    let set = placed(places.into_iter().flatten());
    for kind in KINDS {
        let picker = Picker::new(kind).with_locality(WEIGHTED);
        let locality = |index: usize| (index / 10) as u32;
        let by_weight = shares(&picker, &set, 4, locality);
        for (share, wanted) in by_weight.iter().zip([10.0, 20.0, 70.0, 0.0]) {
            assert!((share - wanted).abs() < 3.0, "{kind:?} {by_weight:?}");
        }
    }
    // With half of the heaviest down it is worth 0.7 of its weight: 4.9 of 7.9.
    set.shut(20..25);
    let picker = Picker::new(PickerKind::Random).with_locality(WEIGHTED);
    let shares = shares(&picker, &set, 4, |index| (index / 10) as u32);
    assert!((shares[2] - 62.0).abs() < 3.0, "{shares:?}");
}

#[test]
fn a_locality_without_weight_does_not_carry_its_tier() {
    // The only weighty locality of the first tier is half down; so 30 % go to the second.
    let places = [(0, 1), (0, 1), (0, 10), (0, 10), (0, 10), (1, 1)];
    let set = placed(places);
    set.shut([0]);
    let picker = Picker::new(PickerKind::Random).with_locality(WEIGHTED);
    let shares = shares(&picker, &set, 6, |index| index as u32);
    assert!((shares[1] - 70.0).abs() < 3.0 && (shares[5] - 30.0).abs() < 3.0, "{shares:?}");
    // Nor does it take anything from the others where it is alone in one.
    let set = placed([(0, 10), (1, 1), (1, 1), (2, 1)]);
    set.shut([1]);
    let shares = self::shares(&picker, &set, 4, |index| index as u32);
    assert!((shares[2] - 70.0).abs() < 3.0 && (shares[3] - 30.0).abs() < 3.0, "{shares:?}");
}

#[test]
fn localities_do_not_matter_unless_weighted() {
    let set = placed([(0, 1), (0, 9), (0, 9), (0, 9)]);
    let picker = Picker::new(PickerKind::RoundRobin).with_locality(LocalitySettings::DEFAULT);
    let shares = shares(&picker, &set, 4, |index| index as u32);
    assert!(shares.iter().all(|share| (share - 25.0).abs() < 0.1), "{shares:?}");
}

#[test]
fn shares_inside_a_tier_are_exact_for_round_robin() {
    let set = tiers(&[40, 40]);
    set.shut(0..20);
    let (picker, rng) =
        (Picker::new(PickerKind::RoundRobin).with_locality(LocalitySettings::DEFAULT), Rng::new(1));
    let mut counts = vec![0u32; 80];
    for _ in 0..20_000 {
        counts[picker.pick(&set, &ask(), &rng).expect("some are usable")] += 1;
    }
    for tier in [20..40, 40..80] {
        let (least, most) = (counts[tier.clone()].iter().min(), counts[tier].iter().max());
        assert!(most.unwrap() - least.unwrap() <= 2, "{counts:?}");
    }
}

#[test]
fn health_that_changes_between_two_looks_is_heeded_all_the_same() {
    let set = tiers(&[4, 4]);
    let picker = Picker::new(PickerKind::RoundRobin).with_locality(LocalitySettings::DEFAULT);
    let (rng, now) = (Rng::new(1), ask().now);
    assert!(picker.pick(&set, &ask(), &rng).is_some_and(|picked| picked < 4));
    set.shut(0..4);
    let at = |millis| Ask::new(now + Duration::from_millis(millis));
    assert!(picker.pick(&set, &at(1), &rng).is_some_and(|picked| picked >= 4));
    set.0[2].usable.set(true);
    assert_eq!(picker.pick(&set, &at(2), &rng), Some(2), "its tier has all shares still");
    // A third of what is needed is in the first tier.
    let picks = (0..1_000).filter(|_| picker.pick(&set, &at(12), &rng) == Some(2)).count();
    assert!((300..400).contains(&picks), "{picks}");
}

#[test]
fn another_list_has_its_own_shares_at_once() {
    let picker = Picker::new(PickerKind::RoundRobin).with_locality(LocalitySettings::DEFAULT);
    let rng = Rng::new(1);
    let picks = |set: &Set| {
        let picks = (0..100).map(|_| picker.pick(set, &ask(), &rng).expect("some are usable"));
        picks.filter(|picked| set.0[*picked].tier == 0).count()
    };
    assert_eq!(picks(&tiers(&[4, 4])), 100);
    let other = tiers(&[10, 4]);
    other.shut(0..5);
    // 70 % of the first tier are there, at the same moment.
    assert!((55..85).contains(&picks(&other)));
}

#[test]
fn keys_stay_while_shares_do() {
    let set = placed((0..40).map(|index| (index / 20, 1 + index % 3)));
    for kind in [
        PickerKind::Rendezvous,
        PickerKind::RingHash(RingHashSettings::DEFAULT),
        PickerKind::Maglev(MaglevSettings { size: 2_003, ..MaglevSettings::DEFAULT }),
    ] {
        let choices = || -> Vec<_> {
            let (picker, rng) = (Picker::new(kind).with_locality(WEIGHTED), Rng::new(1));
            let ask = |key: u64| Ask { key: Some(stable(&key.to_le_bytes())), ..ask() };
            (0..4_000).map(|key| picker.pick(&set, &ask(key), &rng)).collect()
        };
        let before = choices();
        assert_eq!(choices(), before);
        set.shut([3]);
        let moved = choices().iter().zip(&before).filter(|(after, before)| after != before).count();
        // The keys of one of twenty, and no more: the tier carries all as before.
        assert!(moved < 400, "{kind:?} {moved}");
        set.0[3].usable.set(true);
    }
}

#[test]
fn retries_go_elsewhere_if_they_should() {
    // Two localities, then a second tier.
    let set = placed([(0, 1), (0, 1), (0, 2), (0, 2), (1, 1)]);
    for kind in KINDS {
        let weighted = Picker::new(kind).with_locality(WEIGHTED);
        let flat = Picker::new(kind).with_locality(LocalitySettings::DEFAULT);
        let rng = Rng::new(1);
        let pick = |picker: &Picker, tried: &[usize], elsewhere| {
            picker.pick(&set, &Ask { tried, elsewhere, ..ask() }, &rng).expect("all are usable")
        };
        for _ in 0..50 {
            assert!([2, 3].contains(&pick(&weighted, &[0], true)), "the other locality");
            assert_eq!(pick(&weighted, &[0, 2], true), 4, "the other tier");
            assert_eq!(pick(&flat, &[0], true), 4, "the other tier");
            for picker in [&weighted, &flat] {
                assert!([1, 2, 3].contains(&pick(picker, &[0], false)));
                assert!([0, 1, 2, 3].contains(&pick(picker, &[], true)));
                assert!([1, 3].contains(&pick(picker, &[0, 2, 4], true)), "no place is left");
                assert_eq!(pick(picker, &[0, 1, 2, 3], false), 4, "all others were tried");
                assert!(pick(picker, &[0, 1, 2, 3, 4], true) < 4);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The promises of every picker hold with tiers and localities too.
    #[test]
    fn promises_hold(
        members in proptest::collection::vec((0u32..4, 0u32..5, 0u8..3, 0u8..3), 0..30),
        tried in proptest::collection::vec(0usize..30, 0..5),
        weighted: bool,
        elsewhere: bool,
        seed: u64,
    ) {
        let set = placed(members.iter().map(|(tier, locality, ..)| (*tier, *locality)));
        let rng = Rng::new(seed);
        for kind in KINDS {
            let settings = LocalitySettings { weighted, ..LocalitySettings::DEFAULT };
            let picker = Picker::new(kind).with_locality(settings);
            for round in 0..6u8 {
                for (member, (.., weight, usable)) in set.0.iter().zip(&members) {
                    member.weight.set(f64::from(*weight));
                    member.usable.set((usable + round) % 3 > 0);
                }
                let fits = |index: usize| {
                    let member = &set.0[index];
                    let counts = !weighted || member.locality % 10 > 0;
                    member.usable.get() && member.weight.get() > 0.0 && counts
                };
                let all: Vec<usize> = (0..set.0.len()).filter(|index| fits(*index)).collect();
                let untried = all.iter().any(|index| !tried.contains(index));
                let now = ask().now + Duration::from_millis(u64::from(round) * 7);
                let ask = Ask { now, tried: &tried, elsewhere, key: None };
                match picker.pick(&set, &ask, &rng) {
                    None => prop_assert!(all.is_empty()),
                    Some(picked) => {
                        prop_assert!(all.contains(&picked), "{kind:?} {picked}");
                        prop_assert_eq!(tried.contains(&picked), !untried, "{:?}", kind);
                    }
                }
            }
        }
    }
}
