use super::*;

#[test]
fn ready_when_all_are_cleared() {
    let readiness = Readiness::new();
    assert!(readiness.is_ready());
    let config = readiness.block("configuration");
    let listeners = readiness.block("listeners");
    config.clear();
    assert_eq!(readiness.pending(), ["listeners"]);
    listeners.clear();
    assert!(readiness.is_ready());
}

#[test]
fn a_dropped_blocker_keeps_blocking() {
    let readiness = Readiness::new();
    drop(readiness.block("listeners"));
    assert_eq!(readiness.pending(), ["listeners"]);
}
