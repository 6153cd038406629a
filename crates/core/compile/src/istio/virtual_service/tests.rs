//! Words and conditions by value. Whole documents are looked at where sidecars and gateways have them.

use std::time::Duration;

use weft_model::policy::RetryPolicy;
use weft_model::route::{Matcher, PathMatch};
use weft_model::text::TextMatch;
use weft_resources::Pos;
use weft_resources::istio::virtual_service::{
    CallMatch, HttpMatch, NamedMatch, Retries, RetryCondition, StringMatch, ValueMatch,
};

use super::condition::Condition;
use super::*;

fn retries(words: &[RetryCondition]) -> Retries {
    Retries {
        attempts: 1,
        per_try_timeout: None,
        retry_on: Some(Spanned::new(words.into(), Pos::FIRST)),
        remote_localities: None,
        ignore_previous_hosts: None,
        backoff: None,
    }
}

fn spanned<T>(value: T) -> Option<Spanned<T>> {
    Some(Spanned::new(value, Pos::FIRST))
}

/// A condition that asks for nothing.
fn nothing() -> HttpMatch {
    HttpMatch {
        name: None,
        uri: None,
        ignores_uri_case: false,
        scheme: None,
        method: None,
        authority: None,
        headers: Vec::new(),
        without_headers: Vec::new(),
        query: Vec::new(),
        call: CallMatch::default(),
        stat_prefix: None,
        at: Pos::FIRST,
    }
}

fn named(name: &str, condition: ValueMatch) -> NamedMatch {
    NamedMatch {
        name: Spanned::new(name.into(), Pos::FIRST),
        condition: Spanned::new(condition, Pos::FIRST),
    }
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

#[test]
fn every_word_of_retry_on() {
    use RetryCondition as On;
    // Statuses, statuses of gRPC, and whether what was not reached, broke off and took too long.
    type Row = (On, &'static [(u16, u16)], &'static [u32], [bool; 3]);
    let rows: &[Row] = &[
        (On::ServerError, &[(500, 599)], &[], [true; 3]),
        (On::GatewayError, &[(502, 504)], &[], [true; 3]),
        (On::Reset, &[], &[], [true; 3]),
        (On::ResetBeforeRequest, &[], &[], [true, false, false]),
        (On::ConnectFailure, &[], &[], [true, false, false]),
        (On::RefusedStream, &[], &[], [true, false, false]),
        (On::Retriable4xx, &[(409, 409)], &[], [false; 3]),
        (On::Status(418), &[(418, 418)], &[], [false; 3]),
        (On::Cancelled, &[], &[1], [false; 3]),
        (On::DeadlineExceeded, &[], &[4], [false; 3]),
        (On::ResourceExhausted, &[], &[8], [false; 3]),
        (On::Internal, &[], &[13], [false; 3]),
        (On::Unavailable, &[], &[14], [false; 3]),
        (On::RetriableStatusCodes, &[], &[], [false; 3]),
        (On::RetriableHeaders, &[], &[], [false; 3]),
        (On::EnvoyRatelimited, &[], &[], [false; 3]),
        (On::Http3PostConnectFailure, &[], &[], [false; 3]),
    ];
    for (word, statuses, grpc, [unreached, network, timeout]) in rows {
        let policy = retry(Some(&retries(&[*word]))).expect("it retries");
        let RetryPolicy { on_unreached, on_network_error, on_timeout, .. } = policy;
        assert_eq!((&*policy.statuses, &*policy.grpc_statuses), (*statuses, *grpc), "{word}");
        let found = [on_unreached, on_network_error, on_timeout];
        assert_eq!(found, [*unreached, *network, *timeout], "{word}");
    }
    assert_eq!(retry(Some(&Retries { attempts: 0, ..retries(&[]) })), None);
}

#[test]
fn what_is_not_said_is_as_istio_has_it() {
    let policy = retry(None).expect("it retries");
    assert_eq!((policy.attempts, policy.same_endpoint, policy.elsewhere), (3, false, false));
    assert_eq!(policy.backoff.initial_interval, Duration::from_millis(25));
    let written = retry(Some(&Retries { retry_on: None, attempts: 2, ..retries(&[]) })).unwrap();
    assert_eq!(policy, RetryPolicy { by_default: true, ..written });
}

#[test]
fn pseudo_headers_are_what_they_stand_for() {
    let of = |name: &str, text: &str| {
        let headers = vec![named(name, ValueMatch::Text(exact(text)))];
        let condition = Condition::new(&HttpMatch { headers, ..nothing() }).expect("it is valid");
        super::all(condition.matchers)
    };
    let path = Matcher::All(vec![Matcher::Path(PathMatch::Exact("/a".into()))]);
    assert_eq!(of(":path", "/a"), path);
    assert_eq!(of(":authority", "A.b"), Matcher::Authority(TextMatch::Exact("a.b".into())));
    assert_eq!(of("host", "a.b"), Matcher::Authority(TextMatch::Exact("a.b".into())));
    assert_eq!(of(":status", "200"), Matcher::Any(Vec::new()));
}

#[test]
fn both_conditions_hold_of_what_is_delegated() {
    let with = |port: Option<u16>, namespace: &str, label: &str| {
        let call = CallMatch {
            port: port.and_then(spanned),
            source_namespace: spanned::<Box<str>>(namespace.into()).filter(|name| !name.is_empty()),
            source_labels: [("app".into(), label.into())].into(),
            gateways: Vec::new(),
        };
        Condition::new(&HttpMatch { call, ..nothing() }).expect("it is valid")
    };
    let both = with(Some(80), "", "a").and(with(None, "shop", "a")).expect("some are taken");
    assert_eq!((both.port, &*both.audience.namespaces), (Some(80), &["shop".into()][..]));
    assert_eq!(both.audience.labels.len(), 1);
    assert!(with(Some(80), "", "a").and(with(Some(81), "", "a")).is_none());
    assert!(with(None, "x", "a").and(with(None, "y", "a")).is_none());
}
