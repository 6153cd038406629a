use std::future::poll_fn;
use std::task::Poll;

use super::*;

async fn fires(watchdog: &Watchdog) {
    poll_fn(|_| if watchdog.expired() { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn local<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime can be built")
        .block_on(future)
}

#[test]
fn fires_within_two_ticks() {
    local(async {
        let deadlines = Deadlines::new();
        crate::task::spawn("deadlines", deadlines.clone().run());
        let watchdog = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
        for wanted in [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(10)] {
            // Between two ticks, where rounding shows.
            time::sleep(Duration::from_millis(70)).await;
            let start = time::now();
            watchdog.arm(wanted);
            fires(&watchdog).await;
            let took = time::now() - start;
            assert!(took >= wanted && took <= wanted + 2 * TICK, "{wanted:?} took {took:?}");
        }
    });
}

#[test]
fn disarmed_does_not_fire_and_slots_are_reused() {
    local(async {
        let deadlines = Deadlines::new();
        crate::task::spawn("deadlines", deadlines.clone().run());
        let watchdog = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
        watchdog.arm(Duration::from_millis(300));
        watchdog.disarm();
        time::sleep(Duration::from_secs(5)).await;
        assert!(!watchdog.expired());
        let slot = watchdog.slot;
        drop(watchdog);
        let next = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
        assert_eq!(next.slot, slot);
    });
}

/// How long it takes until the instant that far away has come.
async fn reached(watchdog: &Watchdog, after: Duration) -> Duration {
    let start = time::now();
    poll_fn(|cx| watchdog.poll_until(cx, start + after)).await;
    time::now() - start
}

#[test]
fn an_instant_is_met_whatever_was_waited_for_before() {
    local(async {
        let deadlines = Deadlines::new();
        let watchdog = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
        let millis = Duration::from_millis;
        let check = async |wanted: Duration| {
            let took = reached(&watchdog, wanted).await;
            assert!(took >= wanted && took <= wanted + millis(1), "{wanted:?} took {took:?}");
        };
        check(millis(250)).await;
        check(millis(30)).await;
        // Given up, so that the timer is set for an instant that nobody waits for.
        for given_up in [millis(40), millis(5_000)] {
            let at = time::now() + given_up;
            assert!(poll_fn(|cx| Poll::Ready(watchdog.poll_until(cx, at))).await.is_pending());
            check(millis(120)).await;
        }
        check(Duration::ZERO).await;
    });
}

#[test]
fn of_two_instants_neither_is_missed() {
    local(async {
        let deadlines = Deadlines::new();
        let watchdog = poll_fn(|cx| Poll::Ready(deadlines.watchdog(cx))).await;
        let start = time::now();
        let (late, early) = (start + Duration::from_secs(2), start + Duration::from_secs(1));
        let mut seen = Vec::new();
        poll_fn(|cx| {
            for at in [late, early] {
                if !seen.contains(&at) && watchdog.poll_until(cx, at).is_ready() {
                    assert!(time::now() - at <= Duration::from_millis(1));
                    seen.push(at);
                }
            }
            if seen.len() == 2 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(seen, [early, late]);
    });
}
