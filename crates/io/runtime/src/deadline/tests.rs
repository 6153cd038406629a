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
