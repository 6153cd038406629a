use super::*;

fn application(argv: &[&str], env: &[(&str, &str)], cwd: &Path) -> Application {
    Application {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        cwd: cwd.into(),
        umask: 0o027,
    }
}

/// Runs a script as the node does, with nothing in its environment.
fn run(application: &Application) -> std::process::Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script");
    std::fs::write(&path, script(application)).expect("a script");
    std::process::Command::new("/bin/sh").arg(path).env_clear().output().expect("there is a shell")
}

#[test]
fn a_script_hands_everything_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let odd = "a'b\"c$(echo no) `no`\\\n*";
    let path = "/usr/bin:/bin";
    let env = [("PATH", path), ("ODD", odd), ("a.b", "dotted"), ("UID", "77"), ("EMPTY", "")];
    let program = "printf '%s|' \"$@\"; pwd; umask; printf '%s|%s|%s' \"$ODD\" \"${EMPTY-unset}\" \
                   \"$(env | grep -c -e '^a.b=dotted$' -e '^UID=77$')\"";
    let argv = ["sh", "-c", program, "sh", "one two", odd, ""];
    let output = run(&application(&argv, &env, folder.path()));
    let stdout = String::from_utf8(output.stdout).expect("plain text");
    let cwd = folder.path().display();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // bash, as sh, does not pass on a UID that it was given.
    let expected = format!("one two|{odd}||{cwd}\n0027\n{odd}||");
    assert!(stdout.starts_with(&expected), "{stdout:?} {stderr}");
    assert!(!stdout[expected.len()..].starts_with('0'), "{stdout:?}");
}

#[test]
fn a_program_that_is_not_there_gives_127() {
    let output = run(&application(&["no-such-program"], &[("PATH", "/bin")], Path::new("/")));
    assert_eq!(output.status.code(), Some(127));
    let output = run(&application(&["true"], &[("PATH", "/bin")], Path::new("/no/folder")));
    assert_eq!(output.status.code(), Some(126));
}

#[test]
fn what_stands_before_a_program() {
    let user = User { uid: 1000, gid: 100, groups: vec![24, 27] };
    let script = Path::new("/run/weftway/launch/a");
    let proxy = Proxy {
        program: "/usr/bin/weftway".into(),
        args: vec!["proxy".into(), "--name".into(), "a".into()],
        env: Vec::new(),
        log: None,
    };
    let check = |surroundings: Surroundings, application: &str, expected_proxy: &str| {
        assert_eq!(surroundings.application(&user, script).join(" "), application);
        assert_eq!(surroundings.proxy(&proxy, &proxy.program).join(" "), expected_proxy);
    };
    check(
        Surroundings { namespace: Some("wf-a".into()), is_root: true, has_setpriv: true },
        "ip netns exec wf-a setpriv --pdeathsig TERM --reuid 1000 --regid 100 --groups 24,27 -- \
         sh /run/weftway/launch/a",
        "ip netns exec wf-a setpriv --pdeathsig TERM --no-new-privs --reuid 2102 --regid 2102 \
         --clear-groups -- /usr/bin/weftway proxy --name a",
    );
    check(
        Surroundings { namespace: None, is_root: false, has_setpriv: true },
        "setpriv --pdeathsig TERM -- sh /run/weftway/launch/a",
        "setpriv --pdeathsig TERM --no-new-privs -- /usr/bin/weftway proxy --name a",
    );
    check(Surroundings::default(), "sh /run/weftway/launch/a", "/usr/bin/weftway proxy --name a");
}
