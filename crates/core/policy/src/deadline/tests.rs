use proptest::prelude::*;

use super::*;

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(*name, value.as_bytes()).expect("valid");
    }
    fields
}

#[test]
fn both_dialects_are_read_and_the_lesser_holds() {
    let check = |lines: &[(&str, &str)], millis: Option<u64>, told: (bool, bool)| {
        let (grpc, envoy) = told;
        let expected = (millis.map(Duration::from_millis), Told { grpc, envoy });
        assert_eq!(read(&fields(lines)), expected, "{lines:?}");
    };
    check(&[], None, (false, false));
    for (value, millis) in
        [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("40m", 40), ("5000u", 5), ("0S", 0)]
    {
        check(&[("grpc-timeout", value)], Some(millis), (true, false));
    }
    check(&[("grpc-timeout", "1000000n")], Some(1), (true, false));
    for value in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789m", "1 S"] {
        check(&[("grpc-timeout", value)], None, (false, false));
    }
    check(&[("x-envoy-expected-rq-timeout-ms", "250")], Some(250), (false, true));
    for value in ["", "0", "-5", "1s"] {
        check(&[("x-envoy-expected-rq-timeout-ms", value)], None, (false, false));
    }
    let both = [("grpc-timeout", "1S"), ("x-envoy-expected-rq-timeout-ms", "250")];
    check(&both, Some(250), (true, true));
}

#[test]
fn what_is_left_is_written_where_it_is_to_be_told() {
    let check = |left: Duration, grpc: &str, envoy: &str| {
        let mut fields = fields(&[("grpc-timeout", "1H")]);
        write(&mut fields, left, Told { grpc: true, envoy: true });
        assert_eq!(fields.get_str("grpc-timeout"), Some(grpc));
        assert_eq!(fields.get_str("x-envoy-expected-rq-timeout-ms"), Some(envoy));
    };
    check(Duration::from_micros(99_999), "99999u", "99");
    check(Duration::from_millis(1_234), "1234m", "1234");
    check(Duration::from_secs(99_999), "99999000m", "99999000");
    check(Duration::from_secs(100_000), "100000S", "100000000");
    // Nothing left is not the same as no bound.
    check(Duration::ZERO, "0u", "1");
    let mut untouched = fields(&[("grpc-timeout", "1H")]);
    write(&mut untouched, Duration::ZERO, Told::default());
    assert_eq!(untouched.get_str("grpc-timeout"), Some("1H"));
}

proptest! {
    #[test]
    fn no_hop_makes_a_deadline_longer(nanos in any::<u64>()) {
        let left = Duration::from_nanos(nanos);
        let mut fields = Fields::new();
        write(&mut fields, left, Told { grpc: true, envoy: false });
        let (read, _) = read(&fields);
        let read = read.expect("what is written can be read");
        prop_assert!(read <= left);
        prop_assert!(left - read < Duration::from_millis(1).max(left / 1_000));
    }
}
