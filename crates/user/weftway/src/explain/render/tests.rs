use super::*;

fn rule(verdict: &str) -> RuleView {
    RuleView {
        id: "httproute/shop/pay/0".into(),
        place: "HTTPRoute shop/pay (pay.yaml:7)".into(),
        rule: "path /v2".into(),
        verdict: verdict.into(),
    }
}

fn view(rules: Vec<RuleView>) -> ExplanationView {
    ExplanationView {
        request: "GET http://pay/v2".into(),
        arrives: "as a call of pay.shop.svc.cluster.local:80".into(),
        generation: 3,
        rules,
        policies: vec![PolicyView {
            name: "retry".into(),
            value: "up to 3 tries on 503".into(),
            source: "HTTPRoute shop/pay (pay.yaml:7)".into(),
        }],
        leads: vec![LeadView {
            backend: "pay:80/v2".into(),
            percent: Some(12.5),
            role: String::new(),
            calling: Vec::new(),
            endpoints: vec![LeadEndpointView {
                addr: "10.77.0.2:8080".parse().unwrap(),
                weight: 1,
                tier: 0,
                locality: None,
                identity: None,
                state: Some("set aside".into()),
                refuses: None,
            }],
            found_by: None,
            arrival: Vec::new(),
        }],
        refused: None,
        past: None,
        hints: Vec::new(),
        others: Vec::new(),
        by: None,
        otherwise: Vec::new(),
    }
}

#[test]
fn the_winner_comes_first_with_its_place() {
    let text = text(&view(vec![rule("wins"), rule("wants Path(`/v3`), and finds `/v2`")]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[3], "taken by HTTPRoute shop/pay (pay.yaml:7)");
    assert!(text.contains("also considered"), "{text}");
    assert!(text.contains("wants Path(`/v3`), and finds `/v2`"), "{text}");
    assert!(text.contains("to pay:80/v2 (12.5 %)") || text.contains("(12.5000 %)"), "{text}");
    assert!(text.contains("set aside"), "{text}");
}

#[test]
fn that_nothing_takes_it_is_said_with_the_nearest() {
    let text = text(&view(vec![rule("wants Method(`GET`), and finds `POST`")]));
    assert!(text.contains("no rule takes it"), "{text}");
    assert!(text.contains("nearest"), "{text}");
}

#[test]
fn a_past_request_is_told_before_what_would_become_of_it_now() {
    let past = SampleView {
        at_unix_secs: 0,
        request: "GET http://pay/v2".into(),
        headers: Vec::new(),
        direction: "outbound".into(),
        listener: "outbound/pay:80".into(),
        by: None,
        client: "10.77.0.9:4000".parse().unwrap(),
        identity: None,
        request_id: Some("abc".into()),
        generation: 2,
        route: Some("httproute/shop/old/0".into()),
        backend: None,
        endpoint: Some("10.77.0.2:8080".parse().unwrap()),
        status: 503,
        reason: "upstream".into(),
        detail: None,
        attempts: 3,
        duration_ms: 12.34,
    };
    let text = text(&ExplanationView { past: Some(past), ..view(vec![rule("wins")]) });
    assert!(
        text.contains("503 (upstream) after 3 tries and 12.3 ms, last at 10.77.0.2:8080"),
        "{text}"
    );
    assert!(text.contains("rule then: httproute/shop/old/0"), "{text}");
}
