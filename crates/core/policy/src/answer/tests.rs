use super::*;
use crate::testing::{lines, request};

fn asker(fields: &[(&str, &str)]) -> Form {
    Asker::of(&request("GET http://a/", fields)).form
}

const PROBLEM: Asker<'_> = Asker { form: Form::Problem, request_id: "", service: "" };
const GRPC: Asker<'_> = Asker { form: Form::Grpc, request_id: "", service: "" };

fn text(answer: &DirectResponse) -> &str {
    std::str::from_utf8(&answer.body).expect("text")
}

#[test]
fn forms() {
    let cases: &[(&[(&str, &str)], Form)] = &[
        (&[], Form::Text),
        (&[("Accept", "*/*")], Form::Text),
        (&[("Accept", "application/json")], Form::Text),
        (&[("Accept", "application/problem+json")], Form::Problem),
        (&[("Accept", "text/html, Application/Problem+JSON; q=0.1")], Form::Problem),
        (&[("Accept", "application/problem+json;q=0")], Form::Text),
        (&[("Accept", "text/html"), ("Accept", "application/problem+json")], Form::Problem),
        (&[("Content-Type", "application/grpc")], Form::Grpc),
        (&[("Content-Type", "Application/GRPC+proto")], Form::Grpc),
        (&[("Content-Type", "application/grpc; x=y")], Form::Grpc),
        (&[("Content-Type", "application/grpc-web+proto")], Form::Text),
        (&[("Content-Type", "application/grpcx")], Form::Text),
        (
            &[("Content-Type", "application/grpc"), ("Accept", "application/problem+json")],
            Form::Grpc,
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(asker(fields), *expected, "{fields:?}");
    }
}

#[test]
fn texts() {
    let answer = error(Reason::NoRoute, Asker::default());
    assert_eq!((answer.status(), text(&answer)), (404, "404 page not found\n"));
    assert_eq!(
        lines(&answer.head.fields),
        ["content-type: text/plain; charset=utf-8", "x-content-type-options: nosniff"]
    );
}

#[test]
fn problems() {
    let answer = error(Reason::NoHealthyEndpoint, Asker { request_id: "a\"b/1", ..PROBLEM });
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.head.fields.get_str("content-type"), Some("application/problem+json"));
    assert_eq!(
        text(&answer),
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
         \"detail\":\"the service has no healthy endpoint\",\"instance\":\"a%22b%2F1\"}"
    );
    assert!(!text(&error(Reason::Internal, PROBLEM)).contains("instance"));
}

#[test]
fn json_strings() {
    let mut out = String::new();
    push_json("a\"\\\n\u{7f}\u{1}é", &mut out);
    assert_eq!(out, "\"a\\\"\\\\\\u000a\\u007f\\u0001é\"");
}

#[test]
fn grpc() {
    let answer = error(Reason::NoHealthyEndpoint, GRPC);
    assert_eq!((answer.status(), text(&answer)), (200, ""));
    assert_eq!(
        lines(&answer.head.fields),
        [
            "content-type: application/grpc",
            "grpc-status: 14",
            "grpc-message: the service has no healthy endpoint",
        ]
    );
    let cases = [
        (200, 0),
        (400, 13),
        (401, 16),
        (403, 7),
        (404, 12),
        (429, 14),
        (502, 14),
        (503, 14),
        (504, 14),
        (500, 2),
        (301, 2),
        (418, 2),
    ];
    for (status, expected) in cases {
        assert_eq!(grpc_status(status), expected, "{status}");
    }
}

#[test]
fn grpc_knows_deadlines() {
    for reason in [Reason::RequestTimeout, Reason::UpstreamTimeout] {
        let answer = error(reason, GRPC);
        assert_eq!(answer.head.fields.get_str("grpc-status"), Some("4"), "{reason:?}");
    }
    assert_eq!(error(Reason::RequestTimeout, PROBLEM).status(), 504);
}

#[test]
fn faults_answer_as_they_say() {
    let check = |abort, asker, status, code| {
        let answer = super::abort(abort, asker);
        let found = answer.head.fields.get_str("grpc-status");
        assert_eq!((answer.status(), found), (status, code), "{abort:?}");
        assert_eq!(answer.reason, Reason::FaultInjected);
    };
    check(Abort::Http(418), PROBLEM, 418, None);
    check(Abort::Http(503), GRPC, 200, Some("14"));
    check(Abort::Grpc(13), GRPC, 200, Some("13"));
    check(Abort::Grpc(14), PROBLEM, 503, None);
    check(Abort::Grpc(4), PROBLEM, 504, None);
}

#[test]
fn no_reason_breaks_an_answer_or_leaks() {
    for &reason in Reason::ALL {
        for form in [Form::Text, Form::Problem, Form::Grpc] {
            let asker = Asker { form, ..Asker::default() };
            let answer = error(reason, asker).with_detail("10.0.0.7:8080 refused");
            assert!((200..600).contains(&answer.status()), "{reason:?}");
            assert!(!text(&answer).contains("10.0.0.7"), "{reason:?}");
            let failed = answer.head.fields.get("grpc-status").is_none_or(|code| code != b"0");
            assert!(failed, "{reason:?}");
        }
    }
}

#[test]
fn refusals_keep_the_detail_for_the_log() {
    let detail: Arc<str> = "shop/limits is missing".into();
    let refusal = Refusal { reason: Reason::PolicyUnenforceable, detail: detail.clone() };
    let answer = super::refusal(&refusal, Asker::default());
    assert_eq!((answer.status(), text(&answer)), (503, "this route is not served\n"));
    assert_eq!((answer.reason, answer.detail), (Reason::PolicyUnenforceable, Some(detail)));
}

#[test]
fn other_statuses() {
    let status = |status| error_with_status(Reason::Forbidden, status, Asker::default()).status();
    assert_eq!([404, 599, 100, 0, 600].map(status), [404, 599, 500, 500, 500]);
}

#[test]
fn limits_say_when_to_come_again() {
    // Wait, Retry-After, X-Retry-In.
    let cases = [
        (Duration::ZERO, "0", "0s"),
        (Duration::from_nanos(7), "1", "7ns"),
        (Duration::from_nanos(1_500), "1", "1.5us"),
        (Duration::from_micros(2_050), "1", "2.05ms"),
        (Duration::from_millis(100), "1", "100ms"),
        (Duration::from_secs(1), "1", "1s"),
        (Duration::from_millis(1_001), "2", "1.001s"),
        (Duration::from_millis(59_999), "60", "59.999s"),
        (Duration::from_secs(60), "60", "1m0s"),
        (Duration::from_millis(3_723_500), "3724", "1h2m3.5s"),
        (Duration::from_secs(7_200), "7200", "2h0m0s"),
    ];
    for (wait, seconds, go) in cases {
        let answer = limited(Reason::RateLimited, wait, Asker::default());
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.head.fields.get_str(Known::RetryAfter), Some(seconds));
        assert_eq!(answer.head.fields.get_str(Known::XRetryIn), Some(go));
    }
}

#[test]
fn a_workload_of_the_mesh_is_told_which_service_failed() {
    let service = "payments.shop.svc.cluster.local";
    let check = |form, expected: &str| {
        let asker = Asker { form, service, ..Asker::default() };
        let answer = error(Reason::NoEndpoint, asker);
        let told = match form {
            Form::Grpc => answer.head.fields.get_str(Known::GrpcMessage).unwrap().to_owned(),
            Form::Text | Form::Problem => String::from_utf8(answer.body.to_vec()).unwrap(),
        };
        assert_eq!(told, expected);
    };
    check(Form::Text, "the service has no endpoint: payments.shop.svc.cluster.local\n");
    check(Form::Grpc, "the service has no endpoint: payments.shop.svc.cluster.local");
    check(
        Form::Problem,
        r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"the service has no endpoint: payments.shop.svc.cluster.local","service":"payments.shop.svc.cluster.local","reason":"no_endpoint"}"#,
    );
}
