//! Medians, and how sure they are.

/// The middle of the values; the mean of the two middle ones for an even count. Zero for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The value that `quantile` of the values do not exceed (nearest rank). Zero for none.
pub(crate) fn quantile(values: &[f64], quantile: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

/// An interval that holds the true median with at least 95 % confidence, whatever the
/// distribution: two order statistics by the binomial law of how many values fall below it.
/// `None` with fewer than six values, which cannot give that confidence.
pub(crate) fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    let count = sorted.len();
    let mut outside = 0.0;
    let mut drop = None;
    for below in 0..count / 2 {
        outside += 2.0 * binomial_half(count, below);
        if outside > 0.05 {
            break;
        }
        drop = Some(below);
    }
    let drop = drop?;
    Some((sorted[drop], sorted[count - 1 - drop]))
}

/// Chance of exactly `hits` heads in `count` fair throws.
fn binomial_half(count: usize, hits: usize) -> f64 {
    (0..hits).fold(0.5_f64.powi(count as i32), |chance, hit| {
        chance * (count - hit) as f64 / (hit + 1) as f64
    })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests;
