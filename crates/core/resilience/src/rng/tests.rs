use super::*;

#[test]
fn equal_seeds_repeat_and_others_do_not() {
    let words = |seed| {
        let rng = Rng::new(seed);
        [rng.word(), rng.word(), rng.word()]
    };
    assert_eq!(words(1), words(1));
    assert_ne!(words(1), words(2));
}

#[test]
fn matches_the_published_sequence() {
    let rng = Rng::new(1_234_567);
    assert_eq!(rng.word(), 6_457_827_717_110_365_317);
    assert_eq!(rng.word(), 3_203_168_211_198_807_973);
}

#[test]
fn below_is_even_and_bounded() {
    let rng = Rng::new(3);
    assert_eq!(rng.below(0), 0);
    assert_eq!(rng.below(1), 0);
    let mut counts = [0u32; 7];
    for _ in 0..70_000 {
        counts[rng.below(7)] += 1;
    }
    for count in counts {
        assert!((9_600..10_400).contains(&count), "{counts:?}");
    }
}

#[test]
fn ratio_is_even_in_the_unit_interval() {
    let rng = Rng::new(4);
    let mut sum = 0.0;
    for _ in 0..100_000 {
        let ratio = rng.ratio();
        assert!((0.0..1.0).contains(&ratio));
        sum += ratio;
    }
    assert!((sum / 100_000.0 - 0.5).abs() < 0.005);
}
