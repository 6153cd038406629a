use super::*;

fn name(text: &str) -> ServiceName {
    ServiceName::new(text)
}

fn names(texts: &[&str]) -> BTreeSet<ServiceName> {
    texts.iter().copied().map(name).collect()
}

const IDLE: Duration = Duration::from_secs(600);

#[test]
fn what_was_not_used_for_long_is_taken_out_once() {
    let start = weft_runtime::time::now();
    let at = |secs| start + Duration::from_secs(secs);
    let mut usage = Usage::default();
    assert!(usage.touch(name("a"), at(0)));
    assert!(usage.touch(name("b"), at(0)));
    assert!(!usage.touch(name("a"), at(60)));
    let mut check = |secs, expected: &[&str]| {
        usage.drop_idle(IDLE, at(secs));
        assert_eq!(usage.take_unused(), names(expected), "after {secs} s");
    };
    check(599, &[]);
    check(600, &["b"]);
    check(659, &[]);
    check(660, &["a"]);
}

#[test]
fn what_rules_lead_to_stays_as_long_as_they_do() {
    let start = weft_runtime::time::now();
    let mut usage = Usage::default();
    usage.touch(name("front"), start);
    usage.touch(name("both"), start);
    usage.lead(names(&["both", "canary"]));
    usage.drop_idle(IDLE, start + IDLE);
    assert_eq!(usage.take_unused(), names(&["front"]), "led to by a rule, though nobody dials it");
    usage.lead(names(&["canary"]));
    assert_eq!(usage.take_unused(), names(&["both"]));
    usage.lead(names(&[]));
    usage.touch(name("canary"), start + IDLE);
    assert_eq!(usage.take_unused(), names(&[]), "dialled since");
}
