use super::*;

/// Twenty whose weights are all the same, and change.
struct Twenty(Cell<f64>);

impl Candidates for Twenty {
    fn len(&self) -> usize {
        20
    }

    fn weight(&self, _: usize) -> f64 {
        self.0.get()
    }

    fn usable(&self, _: usize) -> bool {
        true
    }

    fn load(&self, _: usize) -> f64 {
        0.0
    }

    fn hash(&self, index: usize) -> u64 {
        index as u64
    }
}

#[test]
fn deadlines_begin_at_zero_again() {
    let twenty = Twenty(Cell::new(1e5));
    let view = View { candidates: &twenty, members: None, tried: &[], panicking: false };
    let weigh = |index| view.any_weight(index);
    let mut schedule = Schedule::new(20, &weigh, &Rng::new(1));
    twenty.0.set(1.0);
    let mut counts = [0u32; 20];
    for _ in 0..20_000 {
        counts[schedule.pick(&view, &weigh).expect("all are usable")] += 1;
        assert!(schedule.turns.iter().all(|turn| turn.at <= DEADLINE_MAX + 2e5));
    }
    assert!(counts.iter().all(|count| count.abs_diff(1_000) <= 1), "{counts:?}");
}
