//! The examples do what their pages say. They are built with the tests (`cargo test`).

use std::path::PathBuf;
use std::process::Command;

/// Runs an example and hands over what it has printed.
fn run(name: &str) -> String {
    let test = std::env::current_exe().expect("a test is a file");
    let built: PathBuf = test.ancestors().nth(2).expect("in a folder of the build").into();
    let example = built.join("examples").join(name);
    let output = Command::new(&example).output().expect("the example is built");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

#[track_caller]
fn count(printed: &str, what: &str, expected: usize) {
    assert_eq!(printed.matches(what).count(), expected, "{what:?} in:\n{printed}");
}

#[test]
fn the_client_of_the_axum_example_copes_with_its_server() {
    let printed = run("axum");
    count(&printed, ": 200 OK hello\n", 12);
    assert!(printed.contains("  attempt 2 in 1."), "it is asked to wait a second:\n{printed}");
}

#[test]
fn the_client_of_the_tonic_example_gets_all_answers() {
    let printed = run("tonic");
    count(&printed, "hello, caller ", 12);
    count(&printed, "from green", 0);
}

#[test]
fn the_client_of_the_reqwest_example_gets_all_answers() {
    let printed = run("reqwest");
    count(&printed, "by the layers: 200 OK hello\n", 3);
    count(&printed, "by the function: 200 OK hello\n", 3);
    count(&printed, "  attempt 2 in ", 6);
}

#[test]
fn the_sidecar_in_miniature_says_what_it_does() {
    let printed = run("sidecar_in_miniature");
    let expected = [
        "[sidecar] retry 1 after: connection reset",
        "[sidecar] retry 2 after: connection reset",
        "[sidecar] success on attempt 3",
        "app sees: 200 OK from service B",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_application_beside_the_sidecar_sees_no_failure() {
    let printed = run("in_process_sidecar");
    count(&printed, "app sees: 200 OK from service B", 40);
    count(&printed, "is left alone for 30s", 1);
    assert!(printed.contains("[sidecar] 40 requests, "), "{printed}");
}
