use clap::CommandFactory as _;

use super::*;

#[test]
fn arguments_are_consistent() {
    Args::command().debug_assert();
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
