use std::time::Duration;

use weft_model::id::BackendId;
use weft_model::policy::{
    BasicAuth, Compress, Cors, Fault, FixedAnswer, HeaderEdits, IpAllowList, IpStrategy,
    PathRewrite, Refusal, RetryPolicy, Rewrite, SecureHeaders, SourceCriterion,
};
use weft_model::text::Pattern;
use weft_resilience::settings::{HedgeSettings, RateSettings};

use super::*;
use crate::testing::{PLAIN, TLS, lines, name, request, response, run, step};

fn rate_limit() -> StepKind {
    StepKind::RateLimit {
        settings: RateSettings { average: 1, period: Duration::from_secs(1), burst: 1 },
        source: SourceCriterion::Host,
    }
}

fn impure() -> Vec<(StepKind, StepClass)> {
    let retry = RetryPolicy { attempts: 2, on_network_error: true, ..RetryPolicy::NEVER };
    let compress = Compress {
        codings: vec![],
        default: None,
        body_bytes_min: 0,
        excluded_types: vec![],
        included_types: vec![],
    };
    let basic = BasicAuth {
        users: vec![("a".into(), "b".into())],
        realm: "r".into(),
        header: None,
        remove_header: false,
    };
    let backend = BackendId::new("b");
    let mirror = StepKind::Mirror { parts_per_million: 1, backend, compared: None };
    let hedge = StepKind::Hedge(HedgeSettings::DEFAULT);
    vec![
        (rate_limit(), StepClass::Admission),
        (StepKind::InFlight { amount: 1, source: SourceCriterion::Host }, StepClass::Admission),
        (StepKind::BasicAuth(basic), StepClass::Question),
        (StepKind::Retry(retry), StepClass::Attempt),
        (mirror, StepClass::Attempt),
        (hedge, StepClass::Attempt),
        (StepKind::Fault(Fault::default()), StepClass::Attempt),
        (StepKind::LocalRateLimit(Box::default()), StepClass::Admission),
        (StepKind::Compress(compress), StepClass::Response),
    ]
}

#[test]
fn what_is_not_pure_never_passes_here() {
    for (kind, expected) in impure() {
        assert_eq!(class(&kind), expected, "{kind:?}");
        assert!(!edits_response(&kind));
        let answer = run(kind, request("GET http://a/", &[]), PLAIN).answer();
        assert_eq!((answer.status(), answer.reason), (500, Reason::Internal));
    }
}

#[test]
fn refusals_answer_at_once() {
    let detail: Arc<str> = "backend shop/none".into();
    let kind = StepKind::Refuse(Refusal { reason: Reason::InvalidBackend, detail: detail.clone() });
    assert_eq!(class(&kind), StepClass::Pure);
    let answer = run(kind, request("GET http://a/", &[]), PLAIN).answer();
    assert_eq!((answer.status(), answer.detail), (500, Some(detail)));
}

#[test]
fn fixed_answers_are_as_they_are() {
    let kind = |body: &[u8]| StepKind::Respond(FixedAnswer { status: 418, body: body.into() });
    assert_eq!(class(&kind(b"")), StepClass::Pure);
    let answer = run(kind(b"short and stout"), request("GET http://a/", &[]), PLAIN).answer();
    assert_eq!((answer.status(), answer.reason), (418, Reason::Direct));
    assert_eq!(answer.body, &b"short and stout"[..]);
    assert_eq!(lines(&answer.head.fields), ["content-type: text/plain"]);
    let empty = run(kind(b""), request("GET http://a/", &[]), PLAIN).answer();
    assert_eq!(lines(&empty.head.fields), [""; 0]);
}

#[test]
fn a_refusal_speaks_the_callers_language() {
    let kind = || {
        StepKind::IpAllowList(IpAllowList {
            ranges: vec![],
            strategy: IpStrategy::default(),
            reject_status: 403,
        })
    };
    let call = request("POST http://a/svc/m", &[("Content-Type", "application/grpc")]);
    let answer = run(kind(), call, PLAIN).answer();
    let expected =
        ["content-type: application/grpc", "grpc-status: 7", "grpc-message: access is denied"];
    assert_eq!(
        (answer.status(), lines(&answer.head.fields)),
        (200, expected.map(Into::into).into())
    );
    // Of HEAD too: whoever sends it says the length of what GET would get.
    let head = request("HEAD http://a/", &[]);
    assert_eq!(&*run(kind(), head, PLAIN).answer().body, b"access is denied\n");
}

/// Runs the steps of a route on a request and, in reverse, on a response.
fn walk(steps: &[StepKind], head: &mut RequestHead, answer: &mut ResponseHead) {
    let mut facts = ResponseFacts::default();
    let mut scratch = String::new();
    for kind in steps {
        let mut ctx =
            RequestContext { head, client: TLS, facts: &mut facts, scratch: &mut scratch };
        assert_eq!(on_request(&step(kind.clone()), &mut ctx), Verdict::Continue, "{kind:?}");
    }
    for kind in steps.iter().rev() {
        on_response(&step(kind.clone()), &facts, answer, &mut scratch).expect("it fits");
    }
}

#[test]
fn responses_pass_the_steps_in_reverse() {
    let set = |value: &str| {
        StepKind::ResponseHeaders(HeaderEdits {
            set: vec![(name("X-Step"), value.into())],
            add: vec![(name("X-Trail"), value.into())],
            ..HeaderEdits::default()
        })
    };
    let mut answer = response(200, &[]);
    let mut head = request("GET http://a/", &[]);
    walk(&[set("outer"), set("inner")], &mut head, &mut answer);
    assert_eq!(lines(&answer.fields), ["x-step: outer", "x-trail: inner", "x-trail: outer"]);
}

#[test]
fn facts_survive_edits_of_the_request() {
    let cors = StepKind::Cors(Cors { allow_origins: vec!["https://a".into()], ..Cors::default() });
    let remove = StepKind::RequestHeaders(HeaderEdits {
        remove: vec![name("Origin")],
        ..HeaderEdits::default()
    });
    let sts = StepKind::SecureHeaders(SecureHeaders {
        sts: Some("max-age=1".into()),
        ..SecureHeaders::default()
    });
    let mut head = request("GET http://a/", &[("Origin", "https://a")]);
    let mut answer = response(200, &[]);
    walk(&[sts, cors, remove], &mut head, &mut answer);
    assert!(head.fields.is_empty());
    assert_eq!(
        lines(&answer.fields),
        [
            "access-control-allow-origin: https://a",
            "vary: Origin",
            "strict-transport-security: max-age=1",
        ]
    );
    let mut facts = ResponseFacts { origin: None, secure: true };
    facts.clear();
    assert_eq!(facts, ResponseFacts::default());
}

/// Steps that let a request pass without taking memory, once everything is warm.
fn frugal() -> Vec<StepKind> {
    let edits = || HeaderEdits {
        set: vec![(name("X-Set"), "value".into()), (name("Host"), "other.example".into())],
        add: vec![(name("X-Add"), "value".into())],
        remove: vec![name("X-Remove"), name("Accept")],
        ..HeaderEdits::default()
    };
    let range = |text: &str| text.parse().expect("a network");
    let list = |strategy| IpAllowList {
        ranges: vec![range("192.0.2.0/24"), range("10.0.0.0/8")],
        strategy,
        reject_status: 403,
    };
    let prefix = PathRewrite::Prefix { matched: "/front".into(), replacement: "/back".into() };
    vec![
        StepKind::AddPrefix("/front".into()),
        StepKind::Rewrite(Rewrite { host: Some("a.example".into()), path: Some(prefix) }),
        StepKind::StripPrefix(vec!["/none".into(), "/back".into()]),
        StepKind::ReplacePath("/replaced/path".into()),
        StepKind::RedirectScheme { scheme: "https".into(), port: "".into(), permanent: true },
        StepKind::RedirectRegex {
            pattern: Pattern::new("^http://(.*)").expect("a pattern"),
            replacement: "https://$1".into(),
            permanent: false,
        },
        StepKind::RequestHeaders(edits()),
        StepKind::ResponseHeaders(edits()),
        StepKind::SecureHeaders(SecureHeaders {
            allowed_hosts: vec!["a".into(), "other.example".into()],
            sts: Some("max-age=1".into()),
            ssl_proxy_headers: vec![(name("X-Forwarded-Proto"), "https".into())],
            response: vec![(name("X-Frame-Options"), "DENY".into())],
            ..SecureHeaders::default()
        }),
        StepKind::Cors(Cors {
            allow_origins: vec!["https://*.example.com".into()],
            expose_headers: vec!["x-a".into(), "x-b".into()],
            allow_credentials: true,
            ..Cors::default()
        }),
        StepKind::IpAllowList(list(IpStrategy::default())),
        StepKind::IpAllowList(list(IpStrategy { depth: 2, ..IpStrategy::default() })),
        StepKind::IpAllowList(list(IpStrategy {
            excluded: vec![range("203.0.113.0/24")],
            ..IpStrategy::default()
        })),
    ]
}

#[test]
fn passing_takes_no_memory() {
    let steps: Vec<_> = frugal().into_iter().map(step).collect();
    let fields = [
        ("Accept", "*/*"),
        ("X-Remove", "1"),
        ("Origin", "https://www.example.com"),
        ("X-Forwarded-For", "10.0.0.1, 203.0.113.7"),
    ];
    let (mut head, mut answer) = (RequestHead::new(), ResponseHead::new());
    let (mut facts, mut scratch) = (ResponseFacts::default(), String::new());
    for round in 0..3 {
        head.clear();
        head.set_path("/a/b").expect("a canonical path");
        head.set_authority("example.com").expect("an authority");
        answer.clear();
        facts.clear();
        for (name, value) in fields {
            head.fields.append(name, value.as_bytes()).expect("a field");
        }
        for step in &steps {
            let taken = allocation_counter::measure(|| {
                let mut ctx = RequestContext {
                    head: &mut head,
                    client: TLS,
                    facts: &mut facts,
                    scratch: &mut scratch,
                };
                assert_eq!(on_request(step, &mut ctx), Verdict::Continue);
            });
            // The first round warms the reused memory.
            assert!(round == 0 || taken.count_total == 0, "{:?}: {taken:?}", step.kind);
        }
        for step in steps.iter().rev() {
            let taken = allocation_counter::measure(|| {
                on_response(step, &facts, &mut answer, &mut scratch).expect("it fits");
            });
            assert!(round == 0 || taken.count_total == 0, "{:?}: {taken:?}", step.kind);
        }
    }
    assert_eq!(head.path(), "/replaced/path");
}

#[test]
fn keys_take_no_memory() {
    let head = request("GET http://a/", &[("X-Key", &"k".repeat(200))]);
    for criterion in [
        SourceCriterion::Host,
        SourceCriterion::Header(name("X-Key")),
        SourceCriterion::Ip(IpStrategy::default()),
    ] {
        let taken = allocation_counter::measure(|| {
            source::source_key(&criterion, &head, PLAIN.peer);
        });
        assert_eq!(taken.count_total, 0, "{criterion:?}");
    }
}
