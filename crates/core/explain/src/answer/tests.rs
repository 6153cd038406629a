use weft_model::listener::Destination;
use weft_model::outcome::Reason;
use weft_model::policy::RetryPolicy;
use weft_model::route::{Choice, Weighted};
use weft_route::Verdict;

use super::*;
use crate::testing::{destination, in_shop, question, route, snapshot, with_intake};

fn ask(snapshot: &Snapshot, text: &str) -> Explanation {
    explain(snapshot, &in_shop(), &question(text))
}

#[test]
fn the_rule_that_wins_is_told_with_its_line_and_those_that_nearly_did() {
    let snapshot = snapshot([
        route("all", "/", "v1"),
        route("charge", "/v2/charge", "v2"),
        route("refund", "/v2/refund", "v2"),
    ]);
    let explanation = ask(&snapshot, "POST http://payments/v2/charge/7");
    let told: Vec<_> = explanation
        .candidates
        .iter()
        .map(|one| (one.candidate.route.id.as_str(), one.line, one.candidate.verdict.clone()))
        .collect();
    assert_eq!(told[0], ("charge", 11, Verdict::Taken));
    assert_eq!(told[1], ("all", 10, Verdict::Outranked));
    assert_eq!((told[2].0, told[2].1), ("refund", 12));
    let Verdict::Failed(failure) = &told[2].2 else { panic!("it takes other paths") };
    assert_eq!((&*failure.wanted, &*failure.found), ("PathElements(`/v2/refund`)", "/v2/charge/7"));
    assert_eq!(
        explanation.arrives,
        Arrives::Service(format!("{}:80", crate::testing::SERVICE).into())
    );
    assert_eq!(explanation.leads[0].backend.as_str(), "v2");
    assert_eq!(explanation.leads[0].endpoints().len(), 1);
}

#[test]
fn policies_come_in_order_with_their_source() {
    let mut charge = route("charge", "/", "v1");
    charge.timeouts.request = Some(std::time::Duration::from_secs(5));
    charge.timeouts.retry =
        Some(RetryPolicy { attempts: 3, on_unreached: true, ..RetryPolicy::NEVER });
    let explanation = ask(&snapshot([charge]), "http://payments.shop/");
    let told: Vec<_> =
        explanation.policies.iter().map(|one| (&*one.name, &*one.value, &*one.source)).collect();
    let place = "HTTPRoute shop/charge (routes.yaml:10)";
    assert_eq!(
        told,
        [
            ("request timeout", "5s", place),
            ("retry", "up to 3 tries on connections that were not made or refused streams", place),
        ]
    );
}

#[test]
fn shares_are_those_of_the_weights() {
    let choice = |name: &str, weight| Choice {
        name: name.into(),
        weight,
        steps: Arc::default(),
        target: Target::Backend(BackendId::new(name)),
    };
    let weighted = Weighted { choices: vec![choice("v1", 9), choice("v2", 1)], sticky: None };
    let split = Route { target: Target::Weighted(Arc::new(weighted)), ..route("split", "/", "") };
    let explanation = ask(&snapshot([split]), "http://payments/");
    let leads: Vec<_> =
        explanation.leads.iter().map(|lead| (lead.backend.as_str(), lead.percent)).collect();
    assert_eq!(leads, [("v1", Some(90.0)), ("v2", Some(10.0))]);
}

#[test]
fn what_is_closed_or_unknown_is_said() {
    let refusal = Refusal { reason: Reason::PolicyUnenforceable, detail: "closed".into() };
    let closed = Destination { closed: Some(refusal.clone()), ..destination() };
    let snapshot_closed = with_intake(Intake::Destination(closed), [route("all", "/", "v1")]);
    let explanation = ask(&snapshot_closed, "http://payments/");
    assert_eq!(explanation.refused, Some(refusal));
    assert!(explanation.candidates.is_empty());

    let known = snapshot([route("all", "/", "v1")]);
    let elsewhere = ask(&known, "http://elsewhere.example/");
    assert_eq!(elsewhere.arrives, Arrives::Unknown("elsewhere.example".into()));
    assert!(ask(&known, "http://payments:81/").candidates.is_empty(), "no such port");
}

#[test]
fn a_gateway_is_asked_by_port_and_scheme() {
    let snapshot = with_intake(Intake::Bound, [route("all", "/", "v1")]);
    let ask = |text: &str| explain(&snapshot, &Standpoint::Gateway, &question(text));
    assert!(ask("http://shop.example/").taken().is_some());
    assert!(ask("http://shop.example:8080/").taken().is_some(), "the port is moved elsewhere");
    assert!(ask("https://shop.example/").taken().is_none(), "nothing is served on TLS");
}

#[test]
fn addresses_are_those_of_services_or_of_workloads() {
    let mut known = snapshot([route("all", "/", "v1")]);
    known.neighbours.networks = ["10.77.0.0/24".parse().unwrap()].into();
    let service = ask(&known, "http://10.78.0.1/");
    assert_eq!(service.taken().map(|route| route.id.as_str()), Some("all"));
    let missing = |text: &str| unlearned(&known, &in_shop(), &question(text));
    assert_eq!(missing("http://10.78.0.1/"), None);
    assert_eq!(missing("http://payments/"), None);
    // Whose it is, the control plane tells.
    assert_eq!(missing("http://10.77.0.9:8080/"), Some(ServiceName::new("10.77.0.9")));
    assert_eq!(missing("http://192.0.2.1/"), None);
}

#[test]
fn what_an_application_encrypts_is_no_request() {
    let known = snapshot([route("all", "/", "v1")]);
    let encrypted = ask(&known, "https://payments:80/");
    assert_eq!(encrypted.candidates, []);
    assert!(ask(&known, "http://payments:80/").taken().is_some());
}

#[test]
fn what_has_come_to_a_workload_is_asked_about_there() {
    let inbound = Destination {
        direction: Direction::Inbound,
        mtls: Mtls::Strict,
        port: Some(8080),
        name: "shop/payments".into(),
        ..destination()
    };
    let snapshot = with_intake(Intake::Destination(inbound), [route("all", "/", "v1")]);
    let ask = |listener: &str, peer: Option<&str>| {
        let listener = Some(weft_model::id::ListenerId::new(listener));
        let peer = peer.map(Into::into);
        let question = Question { listener, peer, ..question("http://payments/") };
        explain(&snapshot, &in_shop(), &question)
    };
    let proved = ask("outbound/payments:80", Some("spiffe://cluster.local/ns/shop/sa/checkout"));
    assert_eq!(proved.arrives, Arrives::Workload("shop/payments:8080".into()));
    assert!(proved.taken().is_some() && proved.refused.is_none());
    let plain = ask("outbound/payments:80", None);
    assert_eq!(plain.refused.map(|refusal| refusal.reason), Some(Reason::Forbidden));
}

#[test]
fn what_has_come_where_nothing_stands_for_it_any_more_is_no_call_of_the_workload() {
    let mut known = snapshot([route("all", "/", "v1")]);
    known.neighbours.networks = ["10.77.0.0/24".parse().unwrap()].into();
    let listener = Some(weft_model::id::ListenerId::new("inbound/8080"));
    let come = |text: &str| Question { listener: listener.clone(), ..question(text) };
    let explanation = explain(&known, &in_shop(), &come("http://payments/"));
    assert_eq!(explanation.arrives, Arrives::Nowhere);
    assert_eq!((explanation.leads, explanation.candidates), (Vec::new(), Vec::new()));
    assert_eq!(unlearned(&known, &in_shop(), &come("http://10.77.0.9:8080/")), None);
}

#[test]
fn a_rule_that_answers_by_itself_is_no_refusal() {
    let answer = StepKind::Respond(weft_model::policy::FixedAnswer {
        status: 403,
        body: "not from here".as_bytes().into(),
    });
    let step = Step { id: weft_model::id::PolicyId::new("answer"), kind: answer };
    let refusal = Refusal { reason: Reason::NoEndpoint, detail: "it answers by itself".into() };
    let admin = Route {
        steps: [Arc::new(step)].into(),
        target: Target::Refuse(refusal),
        ..route("admin", "/", "")
    };
    let explanation = ask(&snapshot([admin]), "http://payments/");
    assert_eq!((explanation.refused, explanation.leads), (None, Vec::new()));
    assert_eq!(explanation.policies.len(), 1);
}
