use super::*;

fn egress(text: &str) -> Egress {
    let (excluded, text) = match text.strip_prefix('~') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (namespace, host) = text.split_once('/').unwrap();
    let (host, port) = match host.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().unwrap())),
        None => (host, None),
    };
    Egress { namespace: namespace.into(), host: host.into(), port, excluded }
}

#[test]
fn a_service_may_be_called_that_is_named_and_not_excluded() {
    let check = |all: &[&str], name: &str, port: u16, expected: bool| {
        let all: Vec<_> = all.iter().map(|text| egress(text)).collect();
        assert_eq!(Scope(Some(&all)).has(name, Some(port)), expected, "{name} in {all:?}");
    };
    let pay = "pay.shop.svc.cluster.local";
    check(&[], pay, 80, false);
    check(&["*/*"], pay, 80, true);
    check(&["shop/*"], pay, 80, true);
    check(&["other/*"], pay, 80, false);
    check(&["*/pay.shop.svc.cluster.local"], pay, 80, true);
    check(&["*/cart.shop.svc.cluster.local"], pay, 80, false);
    check(&["*/*.shop.svc.cluster.local"], pay, 80, true);
    check(&["*/*.other.svc.cluster.local"], pay, 80, false);
    check(&["shop/*:81"], pay, 80, false);
    check(&["shop/*:80"], pay, 80, true);
    check(&["*/*", "~shop/*"], pay, 80, false);
    check(&["*/*", "~other/*"], pay, 80, true);
    check(&["*/*", "~shop/*:81"], pay, 80, true);
    // Hosts elsewhere have no namespace in their names.
    check(&["shop/*"], "api.example.com", 443, false);
    check(&["*/*.example.com"], "api.example.com", 443, true);
    check(&["*/*.example.com"], "*.example.com", 443, true);
    check(&["*/*.example.com"], "example.com", 443, false);
}

#[test]
fn everything_may_be_called_where_no_document_says_otherwise() {
    let scope = Scope::new(None);
    assert!(scope.has("pay.shop.svc.cluster.local", Some(80)) && scope.has_addresses());
}
