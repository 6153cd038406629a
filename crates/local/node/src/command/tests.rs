use super::*;

fn run(command: &Command) -> Result<String, CommandError> {
    weft_runtime::worker::block_on(command.run()).expect("a runtime")
}

fn shell(script: &str) -> Command {
    Command::new("sh", "").reading(script)
}

#[test]
fn programs_read_and_write() {
    assert_eq!(run(&shell("echo one; echo two >&2")), Ok("one\n".into()));
    assert_eq!(run(&Command::new("cat", "-")), Ok(String::new()));
}

#[test]
fn programs_get_a_clean_environment() {
    let names = run(&shell("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort"));
    assert_eq!(names, Ok(format!("LC_ALL=C\nPATH={SYSTEM_PATH}\n")));
}

#[test]
fn errors_tell_what_was_run_and_the_way_out() {
    let check = |command: &Command, expected: &str| {
        assert_eq!(run(command).expect_err("it fails").to_string(), expected);
    };
    check(&shell("echo out; echo err >&2; exit 3"), "`sh` failed: err out");
    check(&shell("exit 3"), "`sh` failed: exit status: 3");
    check(
        &Command::new("no-such-program", "netns  add a"),
        "`no-such-program netns add a` failed: No such file or directory (os error 2); \
         scripts/install-mesh-tools.sh installs it",
    );
    check(
        &shell("echo 'RTNETLINK answers: Operation not permitted' >&2; exit 2"),
        "`sh` failed: RTNETLINK answers: Operation not permitted; run as root (`sudo weftway up`)",
    );
}
