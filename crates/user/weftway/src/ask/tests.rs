use tokio::net::UnixStream;

use super::*;
use crate::inspect::SOCKET;

#[test]
fn text_is_escaped_for_a_query() {
    assert_eq!(escaped("GET http://a/b?c=d&e"), "GET%20http%3A%2F%2Fa%2Fb%3Fc%3Dd%26e");
    assert_eq!(escaped("ä~-_."), "%C3%A4~-_.");
}

#[tokio::test]
async fn a_newer_proxy_is_asked_in_place_of_the_older() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET);
    let older = crate::control::bind_unix_in_place(&path).unwrap();
    let newer = crate::control::bind_unix_in_place(&path).unwrap();
    let _asked = UnixStream::connect(&path).await.unwrap();
    tokio::select! {
        biased;
        accepted = newer.accept() => drop(accepted.unwrap()),
        _ = older.accept() => panic!("the older one is asked"),
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn instances_have_numbers_and_other_workloads_have_not() {
    let is_instance = super::door::is_instance_of("checkout");
    for (name, expected) in [
        ("checkout-2", true),
        ("checkout-17", true),
        ("checkout", false),
        ("checkout-api", false),
        ("checkout2", false),
        ("shop/checkout-2", false),
    ] {
        assert_eq!(is_instance(name), expected, "{name}");
    }
    assert!(super::door::is_instance_of("default/checkout")("checkout-2"));
    assert!(super::door::is_instance_of("shop/checkout")("shop/checkout-2"));
}

fn endpoint(state: &str) -> ExplanationView {
    let endpoint = LeadEndpointView {
        addr: "10.77.0.2:8080".parse().unwrap(),
        weight: 1,
        tier: 0,
        locality: None,
        identity: None,
        state: Some(state.into()),
        refuses: None,
    };
    let lead = weft_admin_api::explain::LeadView {
        backend: "pay:80".into(),
        percent: Some(100.0),
        role: String::new(),
        calling: Vec::new(),
        endpoints: vec![endpoint],
        found_by: None,
        arrival: Vec::new(),
    };
    ExplanationView { leads: vec![lead], ..ExplanationView::default() }
}

#[test]
fn instances_agree_unless_one_would_do_something_else() {
    let otherwise = |first, second| {
        let by = |state: &str, by: &str| signed(endpoint(state), by);
        agreed(vec![by(first, "checkout"), by(second, "checkout-2")]).otherwise
    };
    assert_eq!(otherwise("usable", "not used yet"), []);
    assert_eq!(otherwise("usable, 3 requests", "usable"), []);
    let found = otherwise("usable", "set aside");
    assert_eq!(found[0].by.as_deref(), Some("checkout-2"));
}

#[test]
fn who_has_sent_a_request_first_tells_what_would_become_of_it() {
    let seen = |direction: &str, duration_ms| SampleView {
        at_unix_secs: 0,
        request: "GET http://pay/".into(),
        headers: Vec::new(),
        direction: direction.into(),
        listener: String::new(),
        by: None,
        client: "10.77.0.9:4000".parse().unwrap(),
        identity: None,
        request_id: Some("abc".into()),
        generation: 1,
        route: None,
        backend: None,
        endpoint: None,
        status: 200,
        reason: "upstream".into(),
        detail: None,
        attempts: 1,
        duration_ms,
    };
    let by = |by: &str, direction: &str, duration_ms| {
        let past = Some(seen(direction, duration_ms));
        signed(ExplanationView { past, ..ExplanationView::default() }, by)
    };
    let view = traced(vec![
        by("pay", "inbound", 9.0),
        by("ledger", "outbound", 3.0),
        by("checkout", "outbound", 8.0),
    ]);
    assert_eq!(view.by.as_deref(), Some("checkout"));
    let others: Vec<_> = view.others.iter().map(|one| one.by.as_deref().unwrap()).collect();
    assert_eq!(others, ["pay", "ledger"]);
}
