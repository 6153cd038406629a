use super::*;

#[test]
fn what_was_not_used_for_long_is_taken_out_once() {
    let start = weft_runtime::time::now();
    let at = |secs| start + Duration::from_secs(secs);
    let idle = Duration::from_secs(600);
    let mut usage = Usage::default();
    usage.touch(ServiceName::new("a"), at(0));
    usage.touch(ServiceName::new("b"), at(0));
    usage.touch(ServiceName::new("a"), at(60));
    assert_eq!(usage.take_idle(idle, at(599)), []);
    assert_eq!(usage.take_idle(idle, at(600)), [ServiceName::new("b")]);
    assert_eq!(usage.take_idle(idle, at(659)), []);
    assert_eq!(usage.take_idle(idle, at(660)), [ServiceName::new("a")]);
}
