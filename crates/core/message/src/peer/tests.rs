use super::*;

const CALLER_OF_SHOP: Caller<'static> = Caller {
    own_id: "spiffe://cluster.local/ns/shop/sa/cart",
    id: "spiffe://cluster.local/ns/web/sa/front",
    service_account: "front",
    namespace: "web",
    trust_domain: "cluster.local",
};

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(*name, value.as_bytes()).unwrap();
    }
    fields
}

fn lines(fields: &Fields) -> Vec<String> {
    let line = |(name, value): (&str, &[u8])| format!("{name}: {}", String::from_utf8_lossy(value));
    fields.iter().map(line).collect()
}

#[test]
fn a_destination_is_taken_out() {
    let check = |values: &[&str], expected: Result<Option<&str>, InvalidDestination>| {
        let mut all = vec![("accept", "*/*")];
        all.extend(values.iter().map(|value| ("Weftway-Destination", *value)));
        all.push(("weftway_destination", "192.0.2.66:80"));
        let mut fields = fields(&all);
        let expected = expected.map(|addr| addr.map(|addr| addr.parse().unwrap()));
        assert_eq!(take_destination(&mut fields), expected, "{values:?}");
        assert_eq!(lines(&fields), ["accept: */*"], "{values:?}");
    };
    check(&[], Ok(None));
    check(&["10.77.0.9:8080"], Ok(Some("10.77.0.9:8080")));
    check(&["[fd77::9]:8080"], Ok(Some("[fd77::9]:8080")));
    for malformed in [
        "",
        "10.77.0.9",
        "10.77.0.9:0",
        "10.77.0.9:70000",
        "payments:8080",
        "fd77::9",
        "10.77.0.9:80, 10.77.0.8:80",
        "10.77.0.9:80\u{e4}",
    ] {
        check(&[malformed], Err(InvalidDestination::Malformed));
    }
    check(&["10.77.0.9:80", "10.77.0.9:80"], Err(InvalidDestination::Repeated));
}

#[test]
fn a_destination_that_is_set_is_the_one_that_is_read() {
    for addr in ["10.77.0.9:8080", "[fd77::9]:1"] {
        let addr: SocketAddr = addr.parse().unwrap();
        let mut fields = fields(&[("weftway-destination", "192.0.2.66:80")]);
        set_destination(&mut fields, addr);
        assert_eq!(take_destination(&mut fields), Ok(Some(addr)));
    }
}

#[test]
fn a_forged_caller_gives_way_to_the_proved_one() {
    let forged = [
        ("X-Forwarded-Client-Cert", "URI=spiffe://evil"),
        ("x_forwarded.client-cert", "URI=spiffe://evil"),
        ("accept", "*/*"),
        ("L5D-Client-Id", "evil"),
        ("l5d_client_id", "evil"),
        ("x-forwarded-client-cert", "URI=spiffe://evil"),
    ];
    let mut all = fields(&forged);
    set_caller(&mut all, &CALLER_OF_SHOP);
    let expected = [
        "accept: */*",
        "x-forwarded-client-cert: By=spiffe://cluster.local/ns/shop/sa/cart;\
         URI=spiffe://cluster.local/ns/web/sa/front",
        "l5d-client-id: front.web.serviceaccount.identity.linkerd.cluster.local",
    ];
    assert_eq!(lines(&all), expected);
    let mut all = fields(&forged);
    assert_eq!(remove_caller(&mut all), 5);
    assert_eq!(lines(&all), ["accept: */*"]);
    assert_eq!(remove_caller(&mut all), 0);
}

#[test]
fn a_mark_of_spent_retries_is_taken_out() {
    let mut marked = fields(&[("server", "a")]);
    assert!(!take_retried(&mut marked));
    set_retried(&mut marked);
    set_retried(&mut marked);
    assert_eq!(lines(&marked), ["server: a", "weftway-retried: 1"]);
    assert!(take_retried(&mut marked));
    assert_eq!(lines(&marked), ["server: a"]);
}

#[test]
fn attempts_are_counted_from_the_first() {
    for (lines, expected) in [
        (&[][..], 0),
        (&[("X-Envoy-Attempt-Count", "1")], 0),
        (&[("x-envoy-attempt-count", "3")], 2),
        (&[("x-envoy-attempt-count", "0")], 0),
        (&[("x-envoy-attempt-count", "many")], 0),
        (&[("grpc-previous-rpc-attempts", "1")], 1),
        (&[("grpc-previous-rpc-attempts", "1"), ("x-envoy-attempt-count", "3")], 2),
    ] {
        assert_eq!(attempts_before(&fields(lines)), expected, "{lines:?}");
    }
    let mut all = fields(&[("x-envoy-attempt-count", "9")]);
    set_attempt(&mut all, 2);
    assert_eq!(lines(&all), ["x-envoy-attempt-count: 2"]);
    all.append("x_envoy_attempt_count", b"9").unwrap();
    assert_eq!(remove_attempt(&mut all), 2);
    assert!(all.is_empty());
}
