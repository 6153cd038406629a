use super::super::testing::{Set, ask, choices};
use super::super::{Ask, Picker};
use crate::hash::stable;
use crate::rng::Rng;
use crate::settings::{PickerKind, RingHashSettings};

const RING: PickerKind = PickerKind::RingHash(RingHashSettings::DEFAULT);

fn sized(size_min: u32) -> PickerKind {
    PickerKind::RingHash(RingHashSettings { size_min, ..RingHashSettings::DEFAULT })
}

/// Points that each of those weights gets.
fn points(settings: RingHashSettings, weights: &[f64]) -> Vec<usize> {
    let set = Set::new(weights.iter().copied());
    let mut points = super::Points::default();
    let view = super::View { candidates: &set, members: None, tried: &[], panicking: false };
    points.place(&view, &settings);
    let owned = |index| points.sorted.iter().filter(|(_, owner)| *owner == index).count();
    (0..weights.len() as u32).map(owned).collect()
}

#[test]
fn points_are_in_proportion_and_no_fewer_than_the_minimum() {
    let settings = RingHashSettings::DEFAULT;
    // 1024 points do not divide by three: the smallest ring above in which they do.
    assert_eq!(points(settings, &[1.0; 3]), [342; 3]);
    assert_eq!(points(settings, &[1.0; 4]), [256; 4]);
    assert_eq!(points(settings, &[1.0, 3.0, 0.0]), [256, 768, 0]);
    assert_eq!(points(settings, &[1.0; 2_000]), [1; 2_000]);
    let small = RingHashSettings { size_min: 1, ..settings };
    assert_eq!(points(small, &[1.0, 2.0, 5.0]), [1, 2, 5]);
    // Where a ring at its largest has none to give, each has one all the same.
    let bounded = RingHashSettings { size_min: 8, size_max: 8, ..settings };
    assert_eq!(points(bounded, &[1.0, 1.0, 1e9]), [1, 1, 8 - 2]);
    assert!(points(settings, &[]).is_empty());
    assert_eq!(points(settings, &[0.0, f64::NAN]), [0, 0]);
}

/// With `v` points each, shares have a standard deviation of about `1 / sqrt(v)` (the figure of
/// Karger et al. and of ketama): 3.5 % for 819.
#[test]
fn shares_are_even_within_the_spread_of_the_points() {
    let set = Set::equal(10);
    let choices = choices(sized(8_192), &set, 200_000);
    let mut counts = [0.0f64; 10];
    choices.into_iter().for_each(|choice| counts[choice] += 1.0);
    let variance = counts.iter().map(|count| (count / 20_000.0 - 1.0).powi(2)).sum::<f64>() / 10.0;
    assert!(variance.sqrt() < 0.06, "{counts:?}");
    assert!(counts.iter().all(|count| (count / 20_000.0 - 1.0).abs() < 0.12), "{counts:?}");
}

#[test]
fn shares_follow_weights() {
    let set = Set::new([1.0, 2.0, 5.0]);
    let mut counts = [0.0f64; 3];
    choices(sized(8_192), &set, 80_000).into_iter().for_each(|choice| counts[choice] += 1.0);
    for (count, weight) in counts.iter().zip([1.0, 2.0, 5.0]) {
        assert!((count / (10_000.0 * weight) - 1.0).abs() < 0.12, "{counts:?}");
    }
}

#[test]
fn one_that_leaves_the_list_moves_its_own_keys_and_no_others() {
    let set = Set::equal(20);
    // Points of equal weights do not depend on how many there are, as long as each has as many.
    let kind = sized(20 * 200);
    let before = choices(kind, &set, 40_000);
    let mut without = Set::equal(20);
    without.0.remove(7);
    let after = choices(sized(19 * 200), &without, 40_000);
    let renamed = |index: usize| if index < 7 { index } else { index + 1 };
    let moved = before.iter().zip(&after).filter(|(before, after)| **before != renamed(**after));
    let (mut count, mut foreign) = (0, 0);
    for (before, _) in moved {
        count += 1;
        foreign += usize::from(*before != 7);
    }
    assert_eq!(foreign, 0);
    // About a twentieth.
    assert!((1_500..2_500).contains(&count), "{count}");
}

#[test]
fn movement_is_near_one_in_n_with_the_default_ring() {
    let before = choices(RING, &Set::equal(10), 40_000);
    let after = choices(RING, &Set::equal(11), 40_000);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    // An eleventh, and the few points that each has less of.
    assert!((2_600..7_000).contains(&moved), "{moved}");
}

#[test]
fn keys_of_one_that_fails_are_spread_and_come_back() {
    let set = Set::equal(20);
    let before = choices(RING, &set, 20_000);
    set.shut([7]);
    let after = choices(RING, &set, 20_000);
    let mut heirs = [0; 20];
    for (before, after) in before.iter().zip(&after) {
        assert!(*before == 7 || before == after);
        heirs[*after] += usize::from(*before == 7);
    }
    assert_eq!(heirs[7], 0);
    assert!(heirs.iter().filter(|count| **count > 0).count() > 10, "{heirs:?}");
    set.0[7].usable.set(true);
    assert_eq!(choices(RING, &set, 20_000), before);
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    let set = Set::equal(12);
    let mut reversed = Set::equal(12);
    reversed.0.reverse();
    let (one, other) = (choices(RING, &set, 5_000), choices(RING, &reversed, 5_000));
    assert!(one.iter().zip(&other).all(|(one, other)| *one == 11 - other));
}

#[test]
fn the_ring_follows_the_version_and_not_health() {
    struct Versioned(Set, std::cell::Cell<u64>);
    impl super::Candidates for Versioned {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn weight(&self, index: usize) -> f64 {
            self.0.weight(index)
        }
        fn usable(&self, index: usize) -> bool {
            self.0.usable(index)
        }
        fn load(&self, index: usize) -> f64 {
            self.0.load(index)
        }
        fn hash(&self, index: usize) -> u64 {
            self.0.hash(index)
        }
        fn version(&self) -> Option<u64> {
            Some(self.1.get())
        }
    }
    let set = Versioned(Set::equal(2), std::cell::Cell::new(1));
    let (picker, rng) = (Picker::new(RING), Rng::new(1));
    let share = || {
        let asks = (0..4_000u64).map(|key| Ask { key: Some(stable(&key.to_le_bytes())), ..ask() });
        asks.filter(|ask| picker.pick(&set, ask, &rng) == Some(0)).count()
    };
    let even = share();
    assert!((1_600..2_400).contains(&even), "{even}");
    set.0.0[0].weight.set(9.0);
    assert_eq!(share(), even, "it has not heard of the new weight");
    set.1.set(2);
    assert!((3_400..3_800).contains(&share()));
}

/// One holds keys of its own for as long as requests run; never does an endpoint get more than its
/// bound, and where no bound is near, keys stay where they are.
#[test]
fn bounded_load_is_never_above_its_share() {
    for (percent, weights) in
        [(100, vec![1.0; 8]), (125, vec![1.0; 8]), (150, vec![1.0, 2.0, 5.0]), (200, vec![3.0; 40])]
    {
        let settings =
            RingHashSettings { load_max_percent: Some(percent), ..RingHashSettings::DEFAULT };
        let (picker, rng) = (Picker::new(PickerKind::RingHash(settings)), Rng::new(3));
        let set = Set::new(weights);
        let mut flying = Vec::new();
        for step in 0..4_000u64 {
            if flying.len() == 100 {
                let ended: usize = flying.swap_remove(rng.below(100));
                set.0[ended].load.set(set.0[ended].load.get() - 1.0);
            }
            // Three in four requests have one of two keys.
            let key = if step % 4 == 0 { rng.word() } else { stable(&[(step % 2) as u8]) };
            let ask = Ask { key: Some(key), ..ask() };
            let picked = picker.pick(&set, &ask, &rng).expect("there is room");
            set.0[picked].load.set(set.0[picked].load.get() + 1.0);
            flying.push(picked);
            let share = set.0[picked].weight.get() / set.total();
            let bound = flying.len() as f64 * f64::from(percent) / 100.0 * share;
            let load = set.0[picked].load.get();
            assert!(load <= (bound - 1e-9).ceil(), "{load} of {bound} at {percent} %");
        }
    }
}

#[test]
fn a_key_goes_on_to_the_next_when_its_own_is_full_and_back_when_it_is_not() {
    let settings = RingHashSettings { load_max_percent: Some(125), ..RingHashSettings::DEFAULT };
    let (picker, rng) = (Picker::new(PickerKind::RingHash(settings)), Rng::new(3));
    let set = Set::equal(4);
    let pick = || picker.pick(&set, &Ask { key: Some(77), ..ask() }, &rng).expect("one is free");
    let own = pick();
    set.0.iter().for_each(|member| member.load.set(10.0));
    set.0[own].load.set(20.0);
    let next = pick();
    assert_ne!(next, own);
    assert_eq!(pick(), next, "the next one is always the same");
    set.0[own].load.set(10.0);
    assert_eq!(pick(), own);
    // Tried are all that are not full: then the bound gives way.
    set.0[own].load.set(100.0);
    let others: Vec<usize> = (0..4).filter(|index| *index != own).collect();
    let wanted = Ask { key: Some(77), tried: &others, ..ask() };
    assert_eq!(picker.pick(&set, &wanted, &rng), Some(own));
}
