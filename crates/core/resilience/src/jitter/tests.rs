use super::*;
use crate::virtual_clock::ms;

/// Draws often: within the bounds, close to both, and even between them.
fn check(low: Duration, high: Duration, draw: impl Fn(&Rng) -> Duration) {
    let rng = Rng::new(11);
    let drawn: Vec<Duration> = (0..20_000).map(|_| draw(&rng)).collect();
    let (width, mid) = ((high - low).as_secs_f64(), (low + high).as_secs_f64() / 2.0);
    assert!(drawn.iter().all(|one| (low..=high).contains(one)));
    let least = drawn.iter().min().map_or(0.0, Duration::as_secs_f64);
    let most = drawn.iter().max().map_or(0.0, Duration::as_secs_f64);
    let mean = drawn.iter().map(Duration::as_secs_f64).sum::<f64>() / 20_000.0;
    assert!(least - low.as_secs_f64() < width / 100.0);
    assert!(high.as_secs_f64() - most < width / 100.0);
    assert!((mean - mid).abs() < width / 100.0);
}

#[test]
fn spreads_are_even_within_their_bounds() {
    check(ms(0), ms(100), |rng| full(ms(100), rng));
    check(ms(50), ms(100), |rng| half(ms(100), rng));
    check(ms(90), ms(110), |rng| around(ms(100), 0.1, rng));
    check(ms(0), ms(200), |rng| around(ms(100), 5.0, rng));
    check(ms(20), ms(30), |rng| between(ms(20), ms(30), rng));
}

#[test]
fn odd_arguments_do_not_panic() {
    let rng = Rng::new(1);
    assert_eq!(around(ms(100), f64::NAN, &rng), ms(100));
    assert_eq!(around(ms(100), -1.0, &rng), ms(100));
    assert_eq!(between(ms(9), ms(3), &rng), ms(9));
    assert!(around(Duration::MAX, 1.0, &rng) <= Duration::MAX);
    assert!(full(Duration::MAX, &rng) <= Duration::MAX);
}
