//! Programs of these tests: this very test binary, told by a variable what to be.

use std::process::exit;

use weft_runtime::worker;

use crate::{echo, traffic};

/// The variable that tells: the kind of program, and words for it behind a blank.
const ROLE: &str = "WEFT_MESH_TEST_ROLE";

/// The program of a kind, with words for it, as a command.
pub(crate) fn command(kind: &str, words: &str) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let role = format!("{ROLE}={kind} {words}");
    let test = "role::application";
    let test = [test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"];
    let argv = ["env", &role, program.to_str().unwrap()].into_iter().chain(test);
    argv.map(str::to_owned).collect()
}

/// Becomes a program, if that is what it is told.
#[test]
#[ignore = "not a test: a program of others"]
fn application() {
    let Some(role) = told() else { return };
    let (kind, words) = role.split_once(' ').unwrap();
    let ran = worker::block_on(async {
        match kind {
            "traffic" => traffic::play(words).await,
            "echo" => echo::serve(words).await,
            "ask" => echo::ask(words).await,
            _ => panic!("{role}"),
        }
    });
    exit(if ran.is_ok() { 0 } else { 1 });
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn told() -> Option<String> {
    std::env::var(ROLE).ok()
}
