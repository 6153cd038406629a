use super::*;

fn open(per_sec: f64, offset_ms: u64) -> OpenLoop {
    OpenLoop { offset: Duration::from_millis(offset_ms), interval_nanos: 1e9 / per_sec }
}

#[test]
fn slots_follow_the_rate_and_the_offset() {
    let schedule = open(100.0, 5);
    assert_eq!(schedule.slot(0), Duration::from_millis(5));
    assert_eq!(schedule.slot(3), Duration::from_millis(35));
    // 5, 15, ..., 95 ms are due before 100 ms.
    assert_eq!(schedule.slots_before(Duration::from_millis(100)), 10);
    assert_eq!(schedule.slots_before(Duration::from_millis(5)), 0);
    assert_eq!(schedule.slots_before(Duration::from_millis(1)), 0);
}

#[test]
fn a_deadline_out_of_range_never_comes() {
    let pacer = Pacer::new(Instant::now(), Some(Duration::MAX), Some(1), None);
    assert_eq!((pacer.deadline, pacer.missed()), (None, 0));
}

#[test]
fn a_slot_not_started_before_the_deadline_is_missed() {
    let start = Instant::now();
    let pacer = Pacer::new(start, Some(Duration::from_secs(1)), None, Some(open(100.0, 0)));
    assert_eq!(pacer.missed(), 100);
    pacer.take();
    assert_eq!(pacer.missed(), 99);
    let counted = Pacer::new(start, Some(Duration::from_secs(1)), Some(7), Some(open(100.0, 0)));
    counted.take();
    assert_eq!(counted.missed(), 6);
    let closed = Pacer::new(start, Some(Duration::from_secs(1)), Some(7), None);
    assert_eq!(closed.missed(), 0);
}
