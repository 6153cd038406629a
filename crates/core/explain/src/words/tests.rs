use weft_model::id::PolicyId;
use weft_model::outcome::Reason;
use weft_model::policy::MadeHeader;
use weft_resilience::settings::{ActiveBudget, MaglevSettings, SlowStartSettings};

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
fn a_setting_is_not_that_of_a_field_inside_or_around() {
    let calling = Calling {
        picker: PickerKind::Random,
        locality: Some(std::sync::Arc::new(Locality::default())),
        slow_start: SlowStartSettings::linear(Duration::from_secs(30)),
        ..Calling::default()
    };
    let inside = "trafficPolicy.loadBalancer.warmup";
    for place in [
        "trafficPolicy.loadBalancer.localityLbSetting (its default)",
        "spec.trafficDistribution",
        "metadata.annotations.networking.istio.io/traffic-distribution",
    ] {
        let around = Source { line: 9, ..source("spec.loadBalancer") };
        let said = super::calling(&calling, &[source(inside), source(place), around]);
        let find = |name: &str| &*said.iter().find(|one| &*one.name == name).unwrap().source;
        let at = |line: u32, field: &str| {
            format!("DestinationRule shop/payments (rules.yaml:{line}): {field}")
        };
        assert_eq!(find("load balancing"), at(9, "spec.loadBalancer"));
        assert_eq!(find("locality"), at(7, place));
        assert_eq!(find("warm-up"), at(7, inside));
    }
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
        made: vec![
            MadeHeader {
                name: name("x-secret"),
                adds: false,
                parts: vec![ValuePart::Text("abc ".into()), ValuePart::Fact(Fact::ClientIp)],
            },
            MadeHeader {
                name: name("x-who"),
                adds: true,
                parts: vec![ValuePart::Text("by ".into()), ValuePart::Fact(Fact::ClientIp)],
            },
        ],
        remove: vec![name("x-old")],
    };
    let said = "authorization = (hidden), x-user = 7, x-api-token + (hidden), x-secret = (hidden), \
                x-who + by <address of the client>, without x-old";
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
fn a_bound_from_elsewhere_names_the_document_that_has_it() {
    let retry = RetryPolicy { attempts: 3, by_default: false, ..RetryPolicy::NEVER };
    let timeouts = Timeouts {
        request: Some(Duration::from_secs(2)),
        idle: Some(Duration::from_secs(3)),
        retry: Some(retry),
        inherited: [
            (Bound::Request, source("trafficPolicy.timeout")),
            (Bound::Retry, source("trafficPolicy.retries")),
        ]
        .into(),
        ..Timeouts::default()
    };
    let sources = |timeouts: &Timeouts| -> Vec<String> {
        let all = super::timeouts(timeouts, "here").into_iter();
        all.map(|one| format!("{} {}", one.name, one.source)).collect()
    };
    let there = "DestinationRule shop/payments (rules.yaml:7)";
    let expected = [
        format!("request timeout {there}: trafficPolicy.timeout"),
        "idle timeout here".into(),
        format!("retry {there}: trafficPolicy.retries"),
    ];
    assert_eq!(sources(&timeouts), expected);
    // Never is an answer, too.
    assert_eq!(sources(&Timeouts { retry: None, ..timeouts.clone() })[2], expected[2]);
    let own = Timeouts { inherited: [].into(), ..timeouts };
    assert_eq!(sources(&own), ["request timeout here", "idle timeout here", "retry here"]);
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
