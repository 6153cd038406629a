use super::*;

/// What is told of that output.
fn told(output: &str) -> String {
    let mut failures = Failures::default();
    output.lines().for_each(|line| failures.read(line.trim_end()));
    failures.told()
}

#[test]
fn the_first_panic_of_each_test_that_has_failed_is_told() {
    let found = told(
        "running 3 tests\n\
         test one ... FAILED\n\
         test two ... ok\n\
         test three ... FAILED\n\n\
         failures:\n\n\
         ---- one stdout ----\n\
         what it has printed\n\n\
         thread 'one' (71) panicked at tests/one.rs:4:5:\n\
         assertion `left == right` failed: why\n  left: 1\n right: 2\n\
         thread 'one' (71) panicked at tests/other.rs:6:7:\n\
         poisoned\n\n\
         ---- three stdout ----\n\
         Error: it is gone\n\n\n\
         failures:\n    one\n    three\n\n\
         test result: FAILED. 1 passed; 2 failed\n",
    );
    let one = "one: tests/one.rs:4:5: assertion `left == right` failed: why";
    assert_eq!(found, format!("\n  {one}\n  three: no panic: "));
}

#[test]
fn a_test_that_does_not_end_is_told() {
    assert_eq!(told("test one ... ok\ntest two ... "), "\n  two: did not end");
    assert_eq!(told("test two ... \nok\ntest result: ok. 1 passed\n"), "");
}

#[test]
fn a_message_has_a_bound() {
    let found = told(&format!(
        "---- one stdout ----\nx panicked at a:1:2:\n{}\n",
        "é".repeat(2 * MESSAGE_CHARS_MAX)
    ));
    assert_eq!(found, format!("\n  one: a:1:2: {}", "é".repeat(MESSAGE_CHARS_MAX)));
}
