use weft_model::id::BackendId;
use weft_model::identity::{Identity, TrustDomain};
use weft_model::listener::Destination;
use weft_model::mesh::Peer;
use weft_model::outcome::Reason;

use super::*;
use crate::testing::{destination, in_shop, question, route, snapshot, with_intake};

fn differences(before: &Snapshot, after: &Snapshot) -> Vec<(Weight, String, String)> {
    let found = plan(before, after, &in_shop(), &[]);
    found.into_iter().map(|one| (one.weight, one.subject, one.what)).collect()
}

#[test]
fn nothing_differs_from_itself() {
    let one = snapshot([route("a", "/a", "v1"), route("b", "/b", "v2")]);
    assert_eq!(differences(&one, &one), []);
}

#[test]
fn rules_that_come_and_go_are_told_with_their_calls() {
    let before = snapshot([route("all", "/", "v1"), route("gone", "/gone", "v1")]);
    let after = snapshot([route("all", "/", "v1"), route("new", "/new", "v2")]);
    let told = differences(&before, &after);
    let has = |weight, subject: &str, what: &str| {
        let found = told.iter().any(|(one, about, says)| {
            *one == weight && about.contains(subject) && says.contains(what)
        });
        assert!(found, "{subject}: {what} in {told:#?}");
    };
    has(Weight::Gone, "HTTPRoute shop/gone (routes.yaml:11)", "vanishes");
    has(Weight::Changed, "HTTPRoute shop/new (routes.yaml:11)", "appears");
    has(Weight::Changed, "/new", "taken by new, to v2, until now taken by all, to v1");
    has(Weight::Changed, "/gone", "taken by all, to v1, until now taken by gone");
}

#[test]
fn a_call_that_loses_its_rule_comes_first() {
    let before = snapshot([route("a", "/a", "v1"), route("b", "/b", "v1")]);
    let after = snapshot([route("a", "/a", "v1")]);
    let told = differences(&before, &after);
    assert_eq!(told[0].0, Weight::Lost);
    assert!(told[0].1.ends_with("/b"), "{told:?}");
    assert!(told[0].2.starts_with("no rule takes it"), "{told:?}");
}

#[test]
fn recorded_requests_are_asked_about() {
    let before = snapshot([route("a", "/a", "v1")]);
    let mut other = route("b", "/a", "v2");
    other.matcher = Matcher::All(vec![
        other.matcher.clone(),
        Matcher::Header(
            weft_message::FieldName::new("x-user").unwrap(),
            TextMatch::Exact("7".into()),
        ),
    ]);
    other.rank.detail = 1;
    let after = snapshot([route("a", "/a", "v1"), other]);
    let seventh = || Question::parse("GET http://payments/a/9", ["x-user: 7"]).unwrap();
    let recorded = [seventh(), question("GET http://payments/a/8"), seventh()];
    let told = plan(&before, &after, &in_shop(), &recorded);
    assert!(told.iter().any(|one| one.subject.ends_with("/a/9, seen twice")), "{told:#?}");
    assert!(!told.iter().any(|one| one.subject.contains("/a/8")), "{told:#?}");
}

#[test]
fn what_a_rule_does_otherwise_is_said() {
    let before = snapshot([route("a", "/a", "v1")]);
    let mut slower = route("a", "/a", "v1");
    slower.timeouts.request = Some(std::time::Duration::from_secs(9));
    let told = differences(&before, &snapshot([slower]));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].2, "request timeout: 9s");
}

#[test]
fn lost_protection_is_the_gravest() {
    let all = || [route("all", "/", "v1")];
    let before = snapshot(all());
    let refusal = Refusal { reason: Reason::Forbidden, detail: "not yours".into() };
    let closed = Destination { closed: Some(refusal), ..destination() };
    let after = with_intake(Intake::Destination(closed), all());
    let told = differences(&before, &after);
    assert!(told.iter().all(|one| one.0 == Weight::Lost), "{told:#?}");
    assert!(told.iter().any(|one| one.2 == "would be denied: not yours"), "{told:#?}");

    let identity = Identity::new(&TrustDomain::default(), "shop", "payments").unwrap();
    let peer = Arc::new(Peer { addr: "10.77.0.2:15008".parse().unwrap(), identity });
    let mut meshed = snapshot(all());
    let backend = meshed.backends.get_mut(&BackendId::new("v1")).unwrap();
    let endpoint =
        Endpoint { peer: Some(peer), ..Endpoint::new("10.77.0.2:8080".parse().unwrap()) };
    *backend = Arc::new(Backend {
        endpoints: Endpoints::Static([endpoint].into()),
        ..Backend::clone(backend)
    });
    let told = differences(&meshed, &snapshot(all()));
    assert!(told.iter().all(|one| one.0 == Weight::Lost), "{told:#?}");
    let told: Vec<&str> = told.iter().map(|one| &*one.2).collect();
    assert_eq!(
        told,
        ["would be sent without TLS", "1 endpoint would be called without mutual TLS"]
    );
}

#[test]
fn calls_that_would_be_plain_from_now_on_are_told() {
    let all = || [route("all", "/", "v1")];
    let changed = |change: &dyn Fn(&mut Backend)| {
        let mut snapshot = snapshot(all());
        change(Arc::make_mut(snapshot.backends.get_mut(&BackendId::new("v1")).unwrap()));
        snapshot
    };
    let identity = Identity::new(&TrustDomain::default(), "shop", "payments").unwrap();
    let peer = Arc::new(Peer { addr: "10.77.0.2:15008".parse().unwrap(), identity });
    let secured = changed(&|backend| {
        Arc::make_mut(&mut backend.calling).tls = Some(Arc::default());
    });
    let meshed = changed(&|backend| {
        backend.endpoints = Endpoints::DialledThrough(Arc::clone(&peer));
    });
    let dialled = changed(&|backend| backend.endpoints = Endpoints::Dialled);
    let plain = snapshot(all());
    let told = |before, after| {
        differences(before, after).into_iter().map(|one| (one.0, one.2)).collect::<Vec<_>>()
    };
    let without = |what: &str| {
        let call = (Weight::Lost, "would be sent without TLS".to_owned());
        vec![call, (Weight::Lost, format!("would be called without {what}"))]
    };
    assert_eq!(told(&secured, &plain), without("TLS"));
    assert_eq!(told(&meshed, &dialled), without("mutual TLS"));
    assert_eq!(told(&secured, &meshed), [], "mutual TLS is no less");
}
