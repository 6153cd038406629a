use super::*;

#[test]
fn medians_and_quantiles() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    assert_eq!(median(&[]), 0.0);
    let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(quantile(&hundred, 0.99), 99.0);
    assert_eq!(quantile(&hundred, 0.5), 50.0);
    assert_eq!(quantile(&hundred, 0.0), 1.0);
    assert_eq!(quantile(&[7.0], 0.99), 7.0);
}

#[test]
fn the_interval_uses_the_known_order_statistics() {
    // Tables of the sign test: 5 values reach 93.75 % only, 6 reach 96.9 % with the extremes,
    // 15 reach 96.5 % with the 4th from each end.
    let first = |count: u32| (1..=count).map(f64::from).collect::<Vec<f64>>();
    assert_eq!(median_interval(&first(5)), None);
    assert_eq!(median_interval(&first(6)), Some((1.0, 6.0)));
    assert_eq!(median_interval(&first(15)), Some((4.0, 12.0)));
    assert_eq!(median_interval(&[]), None);
}
