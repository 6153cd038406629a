use super::*;
use crate::h2::frame::END_STREAM;

const MAX: u32 = 100;

fn head(kind: FrameKind, length: u32) -> FrameHead {
    FrameHead { kind, flags: 0, length, stream: 1 }
}

fn start() -> Instant {
    crate::h2::testing::epoch()
}

fn meter(start: Instant) -> Meter {
    Meter::new(MAX, start)
}

/// Sends so many frames; what they overdraw the account by, if they do.
fn flood(meter: &mut Meter, head: FrameHead, count: u32, now: Instant) -> Option<FrameKind> {
    (0..count).for_each(|_| meter.received(head));
    meter.overdrawn(|| now)
}

#[test]
fn every_kind_of_small_frame_is_a_flood_when_there_are_too_many() {
    for kind in [
        FrameKind::Data,
        FrameKind::Priority,
        FrameKind::ResetStream,
        FrameKind::Settings,
        FrameKind::Ping,
        FrameKind::GoAway,
        FrameKind::WindowUpdate,
        FrameKind::Continuation,
        FrameKind::Unknown,
    ] {
        let start = start();
        let mut meter = meter(start);
        assert_eq!(flood(&mut meter, head(kind, 0), MAX, start), None, "{kind:?}");
        assert_eq!(flood(&mut meter, head(kind, 0), 1, start), Some(kind));
    }
}

#[test]
fn bodies_and_requests_are_no_flood() {
    let start = start();
    let mut meter = meter(start);
    let many = 100 * MAX;
    assert_eq!(flood(&mut meter, head(FrameKind::Data, 1), many, start), None);
    assert_eq!(flood(&mut meter, head(FrameKind::Headers, 1), many, start), None);
    let end = FrameHead { flags: END_STREAM, ..head(FrameKind::Data, 0) };
    assert_eq!(flood(&mut meter, end, many, start), None);
}

#[test]
fn what_is_asked_for_and_what_is_sent_pay_for_control_frames() {
    let start = start();
    for earns in [
        |meter: &mut Meter| meter.received(head(FrameKind::Headers, 10)),
        |meter: &mut Meter| meter.sent(16_384),
    ] {
        let mut meter = meter(start);
        for _ in 0..1_000 {
            earns(&mut meter);
            assert_eq!(flood(&mut meter, head(FrameKind::WindowUpdate, 4), EARNED, start), None);
        }
        // Also for what went out long before; but not without an end.
        (0..100_000).for_each(|_| earns(&mut meter));
        let update = head(FrameKind::WindowUpdate, 4);
        assert_eq!(flood(&mut meter, update, MAX + SAVED_MAX, start), None);
        assert!(flood(&mut meter, update, 1, start).is_some());
    }
}

#[test]
fn the_account_is_full_again_after_a_while() {
    let start = start();
    let ping = head(FrameKind::Ping, 8);
    let mut meter = meter(start);
    for round in 1..10 {
        let now = start + REFILL_INTERVAL * round;
        assert_eq!(flood(&mut meter, ping, MAX + 1, now), None, "round {round}");
    }
    let now = start + REFILL_INTERVAL * 10 - Duration::from_millis(1);
    assert_eq!(flood(&mut meter, ping, MAX + 1, now), Some(FrameKind::Ping));
}

#[test]
fn the_time_is_asked_for_only_when_the_account_is_empty() {
    let mut meter = meter(start());
    meter.received(head(FrameKind::Ping, 8));
    assert_eq!(meter.overdrawn(|| panic!("there is no need to know")), None);
}
