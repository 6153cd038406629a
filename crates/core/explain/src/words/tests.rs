use weft_model::id::PolicyId;
use weft_model::outcome::Reason;
use weft_resilience::settings::{ActiveBudget, MaglevSettings};

use super::*;

fn source(setting: &str) -> Source {
    Source {
        setting: setting.into(),
        document: "DestinationRule shop/payments".into(),
        file: "rules.yaml".into(),
        line: 7,
    }
}

#[test]
fn a_setting_names_the_document_that_speaks_of_it() {
    let calling = Calling {
        picker: PickerKind::Maglev(MaglevSettings::DEFAULT),
        key: HashKey::Header(FieldName::new("x-user").unwrap()),
        retry_budget: Some(BudgetSettings::Active(ActiveBudget::DEFAULT)),
        ..Calling::default()
    };
    let said = super::calling(&calling, &[source("trafficPolicy.loadBalancer")]);
    let find = |name: &str| said.iter().find(|one| &*one.name == name).unwrap();
    assert_eq!(find("load balancing").value, "Maglev hash of the header x-user");
    let place = "DestinationRule shop/payments (rules.yaml:7): trafficPolicy.loadBalancer";
    assert_eq!(&*find("load balancing").source, place);
    assert_eq!(find("retry budget").value, "20 % of the requests under way, or 3");
    assert_eq!(&*find("retry budget").source, DEFAULT);
}

#[test]
fn steps_say_what_they_do() {
    let fault = Fault {
        delay: Some((Duration::from_secs(2), 500_000)),
        abort: Some((Abort::Http(503), 1_000)),
    };
    let refusal = Refusal { reason: Reason::NoEndpoint, detail: "nobody is there".into() };
    let name = |name: &str| FieldName::new(name).unwrap();
    let edits = HeaderEdits {
        set: vec![(name("authorization"), "Basic abc".into()), (name("x-user"), "7".into())],
        add: vec![(name("x-api-token"), "abc".into())],
        remove: vec![name("x-old")],
        ..HeaderEdits::default()
    };
    let said = "authorization = (hidden), x-user = 7, x-api-token + (hidden), without x-old";
    let cases = [
        (StepKind::RequestHeaders(edits), "request headers", said),
        (StepKind::Fault(fault), "fault", "50 % of the requests wait 2s, 0.1 % are answered 503"),
        (StepKind::Refuse(refusal), "answer", "503 (no_endpoint): nobody is there"),
        (
            StepKind::Rewrite(Rewrite {
                host: Some("b".into()),
                path: Some(PathRewrite::Full("/x".into())),
            }),
            "rewrite",
            "host b, path /x",
        ),
    ];
    for (kind, name, value) in cases {
        let said = step(&Step { id: PolicyId::new("one"), kind }, "here");
        assert_eq!((&*said.name, &*said.value, &*said.source), (name, value, "here"));
    }
}

#[test]
fn places_are_as_exact_as_they_are_known() {
    let origin = |file: &str| Origin {
        kind: "HTTPRoute".into(),
        name: "shop/a".into(),
        file: file.into(),
        rule: Box::default(),
    };
    assert_eq!(place(&origin("a.yaml"), 3), "HTTPRoute shop/a (a.yaml:3)");
    assert_eq!(place(&origin("a.yaml"), 0), "HTTPRoute shop/a (a.yaml)");
    assert_eq!(place(&origin(""), 3), "HTTPRoute shop/a");
}
