use clap::CommandFactory as _;

use super::*;

#[test]
fn arguments_are_consistent() {
    Args::command().debug_assert();
}

/// docs/running.md has every argument, and says the default that holds.
#[test]
fn every_argument_is_documented() {
    let page = include_str!("../../../../../docs/running.md");
    let mut command = Args::command();
    for name in ["gateway", "analyze"] {
        let command = command.find_subcommand_mut(name).unwrap();
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            let flag = format!("--{}", argument.get_long().unwrap());
            let is_whole =
                |rest: &str| !rest.starts_with(|c: char| c == '-' || c.is_alphanumeric());
            let lines: Vec<&str> = page
                .lines()
                .filter(|line| line.starts_with('|'))
                .filter(|line| line.split(&flag).skip(1).any(is_whole))
                .collect();
            assert!(!lines.is_empty(), "{flag} of `{name}` is not in a table of docs/running.md");
            let help = argument.get_help().unwrap().to_string();
            let told =
                help.split("[default: ").nth(1).map(|rest| rest.trim_end_matches(['.', ']']));
            let usual = argument.get_default_values().iter().filter_map(|value| value.to_str());
            for default in usual.chain(told) {
                // `--help` speaks of switches as false.
                let takes_value = argument.get_action().takes_values();
                let is_there = lines.iter().any(|line| line.contains(default));
                assert!(is_there || !takes_value, "{flag}: {default} is not in {lines:?}");
            }
        }
    }
    for flag in page.split("| `--").skip(1).filter_map(|rest| rest.split([' ', '`']).next()) {
        let gateway = command.find_subcommand("gateway").unwrap();
        let mut known = gateway.get_arguments().filter_map(clap::Arg::get_long);
        assert!(
            known.any(|known| known == flag),
            "docs/running.md has --{flag}, which there is not"
        );
    }
}

#[test]
fn entry_points_have_names_and_addresses_of_their_own() {
    let check = |arguments: &[&str]| {
        let args = Args::try_parse_from([&["weftway", "analyze", "-f", "."], arguments].concat());
        let Ok(Args { command: Command::Analyze(args) }) = args else { panic!("{arguments:?}") };
        let names = args.documents.listen.entry_points();
        names.map(|all| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
    };
    for (arguments, names) in [
        (&[][..], "web websecure"),
        (&["--entry-point", "admin=:9000"], "web websecure admin"),
        (&["--entry-point", "web=:9000", "--http", ":8443"], "websecure web"),
        (&["--http", ":0", "--https", ":0", "--entry-point", "a=:0"], "web websecure a"),
        (&["--http", "127.0.0.1:80", "--https", "127.0.0.2:80"], "web websecure"),
    ] {
        assert_eq!(check(arguments).as_deref(), Ok(names), "{arguments:?}");
    }
    for (arguments, said) in [
        (&["--http", ":8443"][..], "`web` and `websecure` have the same address, 0.0.0.0:8443"),
        (&["--entry-point", "a=:80", "--entry-point", "a=:81"], "`a` is given twice"),
        (&["--entry-point", "a=:8080"], "`web` and `a`"),
    ] {
        let error = check(arguments).expect_err("they are in conflict");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn where_a_gateway_listens_can_be_typed_again() {
    let parse = |arguments: &[String]| {
        let typed = ["weftway", "analyze", "-f", "."].map(str::to_owned);
        let args = Args::try_parse_from(typed.iter().chain(arguments));
        let Ok(Args { command: Command::Analyze(args) }) = args else { panic!("{arguments:?}") };
        args.documents.listen
    };
    let arguments = [
        "--http=127.0.0.1:0",
        "--https=[::1]:8443",
        "--bind=127.0.0.2",
        "--entry-point=admin=:9000",
        "--entry-point=tcp=:9001",
        "--port-map=80=8080",
        "--port-map=443=0",
    ];
    let listen = parse(&arguments.map(str::to_owned));
    assert_eq!((listen.entry_point.len(), listen.port_map.len()), (2, 2));
    assert_eq!(format!("{:?}", parse(&listen.typed())), format!("{listen:?}"));
}

#[test]
fn durations() {
    for (text, millis) in
        [("250ms", 250), ("30s", 30_000), ("1m30s", 90_000), ("1.5s", 1_500), ("1h", 3_600_000)]
    {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "5", "s", "5d", "-1s", "1s!", "99999999999999999999h"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn backends() {
    let parsed = backend("shop/greeter:8080=127.0.0.1:9000,[::1]:9000");
    let parsed = parsed.expect("this is the documented form");
    assert_eq!((&*parsed.name, parsed.port, parsed.addrs.len()), ("shop/greeter", 8080, 2));
    for text in ["greeter", "greeter=127.0.0.1:1", ":80=127.0.0.1:1", "a:b=127.0.0.1:1", "a:1="] {
        assert!(backend(text).is_err(), "{text}");
    }
}

#[test]
fn a_backend_is_known_by_its_address() {
    let error = backend("greeter:80=localhost:9000").expect_err("a name is none");
    assert!(error.contains("`localhost:9000` is not IP:PORT"), "{error}");
}

#[test]
fn addresses() {
    for (text, expected) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        (":8080", "0.0.0.0:8080"),
        (":0", "0.0.0.0:0"),
    ] {
        assert_eq!(address(text).map(|addr| addr.to_string()).as_deref(), Ok(expected), "{text}");
    }
    for text in ["", "80", ":", ":x", ":99999", "localhost:80"] {
        assert!(address(text).is_err(), "{text}");
    }
}

#[test]
fn percentages() {
    for (text, percent) in [("20", 20), ("0", 0), ("150%", 150)] {
        assert_eq!(percent_or_off(text), Ok(PercentOrOff::Percent(percent)), "{text}");
    }
    assert_eq!(percent_or_off("off"), Ok(PercentOrOff::Off));
    for text in ["", "-1", "0.2", "1001", "none"] {
        assert!(percent_or_off(text).is_err(), "{text}");
    }
}
