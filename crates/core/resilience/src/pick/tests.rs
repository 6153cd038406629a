use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::testing::{Set, ask, assert_shares, choices, counts};
use super::*;
use crate::settings::{LoadReportSettings, MaglevSettings, RingHashSettings};

const KINDS: [PickerKind; 8] = [
    PickerKind::RoundRobin,
    PickerKind::LeastRequest,
    PickerKind::PeakEwma,
    PickerKind::Random,
    PickerKind::Rendezvous,
    PickerKind::RingHash(RingHashSettings { load_max_percent: Some(125), ..RING }),
    PickerKind::Maglev(MaglevSettings { size: 2_003, load_max_percent: None }),
    PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT),
];

const RING: RingHashSettings = RingHashSettings::DEFAULT;

/// A pick with a key and what was tried.
fn wanting(key: Option<u64>, tried: &[usize]) -> Ask<'_> {
    Ask { key, tried, ..ask() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What every kind promises, whatever the candidates and however they change.
    #[test]
    fn promises_hold(
        members in proptest::collection::vec((0u8..4, 0u8..3, 0u8..3), 0..40),
        tried in proptest::collection::vec(0usize..40, 0..6),
        seed: u64,
    ) {
        let set = Set::new(members.iter().map(|(weight, ..)| f64::from(*weight)));
        let rng = Rng::new(seed);
        for kind in KINDS {
            let picker = Picker::new(kind);
            for round in 0..12u8 {
                for (member, (_, usable, load)) in set.0.iter().zip(&members) {
                    member.usable.set((usable + round) % 3 > 0);
                    member.load.set(f64::from(*load));
                }
                let fits = |index: usize| set.usable(index) && set.weight(index) > 0.0;
                let all: Vec<usize> = (0..set.len()).filter(|index| fits(*index)).collect();
                let untried = all.iter().any(|index| !tried.contains(index));
                match picker.pick(&set, &wanting(None, &tried), &rng) {
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

#[test]
fn nothing_to_choose_from_is_no_pick() {
    let rng = Rng::new(1);
    for kind in KINDS {
        let picker = Picker::new(kind);
        assert_eq!(picker.pick(&Set::equal(0), &wanting(Some(1), &[]), &rng), None);
        assert_eq!(picker.pick(&Set::equal(1), &wanting(Some(1), &[]), &rng), Some(0));
        assert_eq!(picker.pick(&Set::equal(1), &wanting(Some(1), &[0]), &rng), Some(0));
        let odd = Set::new([0.0, -1.0, f64::NAN, 0.5, 0.0]);
        assert_eq!(picker.pick(&odd, &wanting(Some(1), &[]), &rng), Some(3));
        for len in [3, 30] {
            let shut = Set::equal(len);
            shut.shut(0..len);
            assert_eq!(picker.pick(&shut, &wanting(Some(1), &[1]), &rng), None);
        }
    }
}

#[test]
fn panic_ignores_health_below_the_ratio() {
    let rng = Rng::new(2);
    for kind in KINDS {
        for len in [4, 40] {
            let set = Set::equal(len);
            let picker = Picker::new(kind).with_panic_ratio(0.5);
            let unusable_picked = || {
                let picks = (0..1_000).filter_map(|_| picker.pick(&set, &ask(), &rng));
                picks.filter(|picked| !set.usable(*picked)).count()
            };
            set.shut(0..len / 2);
            assert_eq!(unusable_picked(), 0, "{kind:?}: half is not below half");
            set.shut([len / 2]);
            assert!(unusable_picked() > 300, "{kind:?}");
            set.shut(0..len);
            assert_eq!(unusable_picked(), 1_000, "{kind:?}");
        }
    }
}

#[test]
fn picker_adapts_to_another_list() {
    let rng = Rng::new(3);
    for kind in KINDS {
        let picker = Picker::new(kind);
        for len in [3, 40, 5, 1, 17, 16] {
            let set = Set::equal(len);
            let counts = counts(&picker, &set, len * 200, &rng);
            assert!(counts.iter().all(|count| *count > 100), "{kind:?} {counts:?}");
        }
    }
}

#[test]
fn few_usable_among_many_are_found() {
    let (rng, set) = (Rng::new(4), Set::equal(2_000));
    set.shut((0..2_000).filter(|index| ![7, 1_500].contains(index)));
    for kind in KINDS {
        let picker = Picker::new(kind);
        let counts = counts(&picker, &set, 500, &rng);
        assert_eq!(counts[7] + counts[1_500], 500, "{kind:?}");
        // Whose keys a table passes on to whom depends on the gaps between their places.
        let even = !matches!(kind, PickerKind::RingHash(_) | PickerKind::Maglev(_));
        assert!(!even || counts[7] > 200 && counts[1_500] > 200, "{kind:?}");
    }
}

// Round robin.

#[test]
fn round_robin_is_smooth() {
    let (picker, rng) = (Picker::new(PickerKind::RoundRobin), Rng::new(5));
    let set = Set::new([5.0, 1.0, 1.0]);
    let picks = (0..21).filter_map(|_| picker.pick(&set, &ask(), &rng));
    let sequence: String = picks.map(|picked| ['a', 'b', 'c'][picked]).collect();
    assert!("aabacaa".repeat(5).contains(&sequence), "{sequence}");
}

#[test]
fn round_robin_begins_anywhere() {
    let (set, rng) = (Set::equal(8), Rng::new(6));
    let first = |_| Picker::new(PickerKind::RoundRobin).pick(&set, &ask(), &rng);
    let mut begun: Vec<usize> = (0..100).filter_map(first).collect();
    begun.sort_unstable();
    begun.dedup();
    assert_eq!(begun.len(), 8);
}

#[test]
fn round_robin_shares_are_exact() {
    let rng = Rng::new(7);
    for weights in [vec![1.0; 3], vec![7.0, 2.0, 1.0], vec![0.1, 0.25, 1.0]] {
        let (picker, set) = (Picker::new(PickerKind::RoundRobin), Set::new(weights));
        assert_shares(&counts(&picker, &set, 100_000, &rng), &set, 1.01);
    }
    let (picker, set) =
        (Picker::new(PickerKind::RoundRobin), Set::new((0..200).map(|n| f64::from(n % 7 + 1))));
    for _ in 0..5 {
        assert_shares(&counts(&picker, &set, 79_600, &rng), &set, 2.01);
    }
}

#[test]
fn round_robin_spaces_its_turns_in_large_lists() {
    let (picker, rng) = (Picker::new(PickerKind::RoundRobin), Rng::new(8));
    let set = Set::new((0..100).map(|n| if n == 0 { 50.0 } else { 1.0 }));
    let mut last = vec![None; 100];
    for pick in 0..20_000 {
        let picked = picker.pick(&set, &ask(), &rng).expect("all are usable");
        let period = set.total() / set.weight(picked);
        if let Some(last) = last[picked].replace(pick) {
            let gap = f64::from(pick - last);
            assert!(gap >= period / 2.0 - 1.0 && gap <= period * 1.5 + 1.0, "{picked}: {gap}");
        }
    }
}

#[test]
fn round_robin_gives_no_burst_to_one_that_returns() {
    let rng = Rng::new(9);
    for len in [10, 100] {
        let (picker, set) = (Picker::new(PickerKind::RoundRobin), Set::equal(len));
        counts(&picker, &set, 5 * len, &rng);
        set.shut([3]);
        assert_eq!(counts(&picker, &set, 1_000 * len, &rng)[3], 0);
        set.0[3].usable.set(true);
        let after = counts(&picker, &set, 10 * len, &rng);
        assert!((9..=11).contains(&after[3]), "{after:?}");
    }
}

#[test]
fn round_robin_shares_hold_among_the_usable() {
    let (picker, rng) = (Picker::new(PickerKind::RoundRobin), Rng::new(10));
    let set = Set::new((0..50).map(|n| f64::from(n % 5 + 1)));
    set.shut((0..50).step_by(2));
    let counts = counts(&picker, &set, 75_000, &rng);
    let usable: f64 = (1..50).step_by(2).map(|index| set.weight(index)).sum();
    for index in (1..50).step_by(2) {
        let expected = 75_000.0 * set.weight(index) / usable;
        assert!((f64::from(counts[index]) - expected).abs() <= 2.0);
    }
}

#[test]
fn round_robin_keeps_the_turn_of_the_tried() {
    let rng = Rng::new(11);
    for len in [4, 40] {
        let (picker, set) = (Picker::new(PickerKind::RoundRobin), Set::equal(len));
        let mut counts = vec![0; len];
        for request in 0..1_000 * len {
            let first = picker.pick(&set, &ask(), &rng).expect("all are usable");
            counts[first] += 1;
            if request % 3 == 0 {
                counts[picker
                    .pick(&set, &wanting(None, &[first]), &rng)
                    .expect("others are usable")] += 1;
            }
        }
        let picks: u32 = counts.iter().sum();
        let mean = f64::from(picks) / len as f64;
        assert!(counts.iter().all(|count| (f64::from(*count) - mean).abs() < 4.0), "{counts:?}");
    }
}

#[test]
fn round_robin_passes_the_tried_over_once_only() {
    let (picker, rng, set) = (Picker::new(PickerKind::RoundRobin), Rng::new(11), Set::equal(40));
    let pick =
        |tried: &[usize]| picker.pick(&set, &wanting(None, tried), &rng).expect("all are usable");
    let round: Vec<usize> = (0..40).map(|_| pick(&[])).collect();
    assert_eq!(pick(&[round[0]]), round[1]);
    assert_eq!(pick(&[]), round[0]);
    assert_eq!(pick(&[]), round[2]);
}

#[test]
fn round_robin_follows_changing_weights() {
    let rng = Rng::new(12);
    for len in [4, 40] {
        let (picker, set) = (Picker::new(PickerKind::RoundRobin), Set::equal(len));
        for share in [0.1, 0.5, 1.0] {
            set.0[0].weight.set(share);
            // Each list settles within a turn of its slowest.
            counts(&picker, &set, 20 * len, &rng);
            assert_shares(&counts(&picker, &set, 1_000 * len, &rng), &set, 2.01);
        }
    }
}

#[test]
fn round_robin_deadlines_stay_precise() {
    let (picker, rng) = (Picker::new(PickerKind::RoundRobin), Rng::new(13));
    let set = Set::new((0..20).map(|_| 1e9));
    counts(&picker, &set, 20, &rng);
    // By the unit of the first weights, each turn is now beyond the bound of a deadline.
    set.0.iter().for_each(|member| member.weight.set(1.0));
    counts(&picker, &set, 100, &rng);
    assert_shares(&counts(&picker, &set, 20_000, &rng), &set, 2.01);
}

// The better of two.

#[test]
fn two_choices_share_by_weight_when_idle() {
    let rng = Rng::new(14);
    for weights in [vec![3.0, 1.0], vec![1.0, 1.0, 4.0, 2.0]] {
        let set = Set::new(weights);
        for kind in [PickerKind::LeastRequest, PickerKind::PeakEwma] {
            let counts = counts(&Picker::new(kind), &set, 100_000, &rng);
            assert_shares(&counts, &set, 800.0);
        }
    }
    // One so heavy that most draws fail, and all are looked at.
    let skewed = Set::new((0..50).map(|n| if n == 9 { 30.0 } else { 1.0 }));
    let counts_of_skewed = counts(&Picker::new(PickerKind::PeakEwma), &skewed, 100_000, &rng);
    assert_shares(&counts_of_skewed, &skewed, 800.0);
    let many = Set::new((0..200).map(|n| f64::from(n % 4 + 1)));
    for kind in [PickerKind::LeastRequest, PickerKind::PeakEwma] {
        // Four standard deviations of the mean count.
        assert_shares(&counts(&Picker::new(kind), &many, 200_000, &rng), &many, 160.0);
    }
}

#[test]
fn the_busiest_of_all_is_never_picked() {
    let rng = Rng::new(15);
    for kind in [PickerKind::LeastRequest, PickerKind::PeakEwma] {
        for len in [2, 5, 50] {
            let set = Set::equal(len);
            for (index, member) in set.0.iter().enumerate() {
                member.load.set(if index == 1 { 9.0 } else { 2.0 });
            }
            let counts = counts(&Picker::new(kind), &set, 2_000, &rng);
            assert_eq!(counts[1], 0, "{kind:?} {len}");
        }
    }
}

#[test]
fn least_request_evens_out_load_by_weight() {
    let (picker, rng) = (Picker::new(PickerKind::LeastRequest), Rng::new(16));
    let set = Set::new([1.0, 2.0, 5.0]);
    // Eighty requests are in flight; whenever one ends, at random, another begins.
    let mut flying = Vec::new();
    let mut share = vec![0.0; 3];
    for step in 0..60_000 {
        if flying.len() == 80 {
            let ended: usize = flying.swap_remove(rng.below(80));
            set.0[ended].load.set(set.load(ended) - 1.0);
        }
        let picked = picker.pick(&set, &ask(), &rng).expect("all are usable");
        set.0[picked].load.set(set.load(picked) + 1.0);
        flying.push(picked);
        if step > 1_000 {
            (0..3).for_each(|index| share[index] += set.load(index) / 59_000.0);
        }
    }
    for (index, expected) in [10.0, 20.0, 50.0].into_iter().enumerate() {
        assert!((share[index] / expected - 1.0).abs() < 0.1, "{share:?}");
    }
}

#[test]
fn slow_endpoint_gets_less_in_a_closed_loop() {
    let rng = Rng::new(17);
    for kind in [PickerKind::LeastRequest, PickerKind::PeakEwma] {
        let (picker, set) = (Picker::new(kind), Set::equal(4));
        let mut flying: Vec<(u64, usize)> = Vec::new();
        let mut picks = [0u32; 4];
        for now in 0..40_000u64 {
            flying.retain(|&(ends, index)| {
                if ends == now {
                    set.0[index].load.set(set.load(index) - 1.0);
                }
                ends != now
            });
            let picked = picker.pick(&set, &ask(), &rng).expect("all are usable");
            picks[picked] += 1;
            set.0[picked].load.set(set.load(picked) + 1.0);
            flying.push((now + if picked == 0 { 50 } else { 5 }, picked));
        }
        assert!(picks[0] * 4 < picks[1], "{kind:?} {picks:?}");
    }
}

#[test]
fn peak_ewma_keeps_weights_among_endpoints_alike() {
    let (picker, rng) = (Picker::new(PickerKind::PeakEwma), Rng::new(18));
    let set = Set::new([3.0, 1.0]);
    let mut light = 0;
    for _ in 0..50_000 {
        set.0.iter().for_each(|member| member.load.set(100.0 + rng.ratio()));
        light += picker.pick(&set, &ask(), &rng).expect("both are usable");
    }
    assert!((light as f64 / 50_000.0 - 0.25).abs() < 0.01, "{light}");
}

#[test]
fn peak_ewma_leaves_a_heavy_endpoint_that_hangs() {
    let (picker, rng) = (Picker::new(PickerKind::PeakEwma), Rng::new(19));
    let set = Set::new([10.0, 1.0]);
    set.0[0].load.set(1e9);
    set.0[1].load.set(1e6);
    assert_eq!(counts(&picker, &set, 1_000, &rng), [0, 1_000]);
}

// At random.

#[test]
fn random_shares_are_by_weight_whatever_the_load() {
    let rng = Rng::new(23);
    for len in [4, 200] {
        let set = Set::new((0..len).map(|n| f64::from(n % 4 + 1)));
        set.0[0].load.set(1e9);
        let picks = 500 * len as usize;
        // Five standard deviations of the mean count.
        let counts = counts(&Picker::new(PickerKind::Random), &set, picks, &rng);
        assert_shares(&counts, &set, 5.0 * 500f64.sqrt() * 1.3);
    }
}

// By key.

#[test]
fn keys_need_not_be_hashes() {
    let (rng, set) = (Rng::new(24), Set::equal(8));
    for kind in KINDS.into_iter().filter(|kind| kind.is_keyed()) {
        let (picker, mut counts) = (Picker::new(kind), [0; 8]);
        for key in 0..2_000 {
            counts[picker.pick(&set, &wanting(Some(key), &[]), &rng).expect("usable")] += 1;
        }
        assert!(counts.iter().all(|count| (120..420).contains(count)), "{kind:?} {counts:?}");
    }
}

// Rendezvous.

#[test]
fn rendezvous_shares_are_proportional() {
    for weights in [vec![1.0; 5], vec![1.0, 2.0, 5.0]] {
        let set = Set::new(weights);
        let mut counts = vec![0; set.len()];
        choices(PickerKind::Rendezvous, &set, 80_000)
            .into_iter()
            .for_each(|choice| counts[choice] += 1);
        assert_shares(&counts, &set, 600.0);
    }
}

#[test]
fn rendezvous_moves_only_the_keys_of_one_that_leaves() {
    for weights in [vec![2.0; 20], (1..=20).map(f64::from).collect()] {
        let set = Set::new(weights);
        let before = choices(PickerKind::Rendezvous, &set, 20_000);
        set.shut([7]);
        let after = choices(PickerKind::Rendezvous, &set, 20_000);
        for (before, after) in before.iter().zip(&after) {
            assert!(*before == 7 && *after != 7 || before == after);
        }
        set.0[7].usable.set(true);
        assert_eq!(choices(PickerKind::Rendezvous, &set, 20_000), before);
    }
}

#[test]
fn rendezvous_moves_keys_only_to_one_that_gains_weight() {
    // From equal weights to others, and so from one way of comparing to the other.
    let set = Set::equal(10);
    let before = choices(PickerKind::Rendezvous, &set, 40_000);
    set.0[4].weight.set(2.0);
    let after = choices(PickerKind::Rendezvous, &set, 40_000);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    let (gained, others): (Vec<_>, Vec<_>) = moved.partition(|(_, after)| **after == 4);
    assert_eq!(others, []);
    // From a tenth to two elevenths of all keys.
    let expected = 40_000.0 * (2.0 / 11.0 - 0.1);
    assert!((gained.len() as f64 - expected).abs() < 250.0, "{}", gained.len());
}

#[test]
fn rendezvous_retries_at_the_next_in_rank() {
    let (picker, rng, set) = (Picker::new(PickerKind::Rendezvous), Rng::new(21), Set::equal(9));
    for key in 0..500 {
        let pick =
            |tried: &[usize]| picker.pick(&set, &wanting(Some(key), tried), &rng).expect("usable");
        let first = pick(&[]);
        let second = pick(&[first]);
        set.shut([first]);
        assert_eq!(pick(&[]), second);
        set.0[first].usable.set(true);
    }
}

#[test]
fn rendezvous_without_a_key_is_random() {
    let (picker, rng, set) = (Picker::new(PickerKind::Rendezvous), Rng::new(22), Set::equal(4));
    assert_shares(&counts(&picker, &set, 40_000, &rng), &set, 500.0);
}
