use super::*;

const MAX: Duration = Duration::from_secs(10);

#[test]
fn waits_grow_up_to_the_longest_and_begin_anew_after_a_success() {
    let mut backoff = Backoff::new(1, MAX);
    let bounds = [(500, 1500), (1000, 3000), (2000, 6000), (4000, 10_000), (5000, 10_000)];
    for round in 0..2 {
        for (from, to) in bounds {
            let wait = backoff.next().as_millis();
            assert!((from..=to).contains(&wait), "round {round}: {wait} ms is not {from} to {to}");
        }
        backoff.reset();
    }
}

#[test]
fn there_is_at_most_one_attempt_a_second_even_if_each_succeeds() {
    let mut backoff = Backoff::new(7, MAX);
    let waits = (0..1000).map(|_| {
        backoff.reset();
        backoff.next()
    });
    assert!(waits.sum::<Duration>() >= Duration::from_secs(980));
}

#[test]
fn those_who_fail_together_do_not_come_again_together() {
    assert_ne!(Backoff::new(1, MAX).next(), Backoff::new(2, MAX).next());
}
