use super::config::{ChoiceView, TargetView};
use super::rotation::StepName;
use super::*;

#[test]
fn ready_means_no_blockers() {
    let text = |blockers: &[&str]| {
        let blockers = blockers.iter().map(|name| (*name).to_owned()).collect();
        serde_json::to_string(&ReadinessView::new(blockers, 7)).unwrap()
    };
    assert_eq!(text(&[]), r#"{"ready":true,"blockers":[],"process":7}"#);
    assert_eq!(text(&["draining"]), r#"{"ready":false,"blockers":["draining"],"process":7}"#);
}

#[test]
fn targets_say_their_kind() {
    let backend = TargetView::Backend { backend: "shop/cart:80".into() };
    let choice =
        ChoiceView { name: "a".into(), weight: 3, steps: Vec::new(), target: backend.clone() };
    let target = TargetView::Weighted { choices: vec![choice], sticky_cookie: None };
    let value = serde_json::to_value(&target).unwrap();
    assert_eq!(value["kind"], "weighted");
    assert_eq!(value["choices"][0]["target"]["kind"], "backend");
    assert_eq!(serde_json::from_value::<TargetView>(value).unwrap(), target);
}

#[test]
fn readers_skip_what_they_do_not_know() {
    let text = r#"{"generation":7,"listeners":[],"backends":[],"certificates":[],"resources":[],
        "problems":[],"of_a_later_version":{}}"#;
    let dump: ConfigDump = serde_json::from_str(text).unwrap();
    assert_eq!(dump, ConfigDump { generation: 7, ..ConfigDump::default() });
}

#[test]
fn steps_are_written_as_in_the_path() {
    for step in StepName::ALL {
        assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
    }
}

#[test]
fn a_token_is_not_printed() {
    let token =
        TokenView { token: "weft-join-secret".into(), scope: "spiffe://a/ns/b/sa/c".into() };
    let text = format!("{token:?}");
    assert!(text.contains("spiffe://a") && !text.contains("secret"), "{text}");
}

#[test]
fn keys_are_not_shown() {
    let pem = |name: &str| PemText { name: name.into(), text: "SECRET".into() };
    let intermediate = IntermediateRequest { chain: pem("ca.pem"), key: pem("ca.key") };
    let request = IssuerRequest {
        root: pem("root.pem"),
        root_key: Some(pem("root.key")),
        intermediate: Some(intermediate),
    };
    let shown = format!("{request:?}");
    assert!(shown.contains("ca.key") && !shown.contains("SECRET"), "{shown}");
}
