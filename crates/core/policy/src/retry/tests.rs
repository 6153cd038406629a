use super::*;

const POLICY: RetryPolicy = RetryPolicy {
    attempts: 3,
    initial_interval: Duration::ZERO,
    interval_min: Duration::ZERO,
    timeout: None,
    statuses: vec![],
    body_bytes_max: 2 << 20,
    on_network_error: true,
    non_idempotent: false,
};

fn on_statuses() -> RetryPolicy {
    RetryPolicy { statuses: vec![(401, 401), (502, 504)], ..POLICY }
}

fn after(outcome: AttemptOutcome) -> AttemptFacts {
    AttemptFacts { attempts: 1, elapsed: Duration::ZERO, outcome, body_is_kept: true }
}

fn failed(reason: Reason, request_bytes_written: bool) -> AttemptFacts {
    after(AttemptOutcome::Failed { reason, request_bytes_written })
}

fn answered(status: u16) -> AttemptFacts {
    after(AttemptOutcome::Answered(status))
}

#[test]
fn unsent_requests_are_retried_whatever_the_method() {
    for method in [Method::Get, Method::Post, Method::Patch, Method::Other("LOCK".into())] {
        for reason in [Reason::ConnectFailed, Reason::ConnectTimeout, Reason::UpstreamReset] {
            assert!(may_retry(&POLICY, &method, failed(reason, false)), "{method} {reason:?}");
            // Once sent, only what may be done twice.
            let sent = may_retry(&POLICY, &method, failed(reason, true));
            assert_eq!(sent, method.is_idempotent(), "{method} {reason:?}");
        }
    }
    let never = RetryPolicy { on_network_error: false, ..POLICY };
    assert!(!may_retry(&never, &Method::Get, failed(Reason::ConnectFailed, false)));
}

#[test]
fn sent_requests_are_retried_where_it_does_no_harm() {
    // Method, whether harmless.
    let cases = [
        (Method::Get, true),
        (Method::Put, true),
        (Method::Delete, true),
        (Method::Other("PURGE".into()), true),
        (Method::Post, false),
        (Method::Patch, false),
        (Method::Other("LOCK".into()), false),
        (Method::Connect, false),
    ];
    let always = RetryPolicy { non_idempotent: true, ..on_statuses() };
    for (method, harmless) in cases {
        for facts in [answered(503), failed(Reason::UpstreamReset, true), answered(401)] {
            assert_eq!(may_retry(&on_statuses(), &method, facts), harmless, "{method}");
            assert!(may_retry(&always, &method, facts), "{method}");
        }
        assert!(!may_retry(&on_statuses(), &method, answered(500)), "{method}");
        assert!(!may_retry(&always, &method, answered(200)), "{method}");
        assert!(!may_retry(&POLICY, &method, answered(503)), "{method}");
    }
}

#[test]
fn a_failure_counts_as_the_status_it_would_become() {
    let only_504 = RetryPolicy { statuses: vec![(504, 504)], on_network_error: false, ..POLICY };
    assert!(may_retry(&only_504, &Method::Get, failed(Reason::UpstreamTimeout, true)));
    assert!(!may_retry(&only_504, &Method::Get, failed(Reason::UpstreamReset, true)));
}

#[test]
fn what_we_answered_is_never_retried() {
    let all = RetryPolicy { statuses: vec![(100, 599)], non_idempotent: true, ..POLICY };
    for &reason in Reason::ALL {
        let expected = matches!(
            reason,
            Reason::ConnectFailed
                | Reason::ConnectTimeout
                | Reason::UpstreamTls
                | Reason::IdentityRefused
                | Reason::UpstreamReset
                | Reason::UpstreamProtocol
                | Reason::UpstreamTimeout
        );
        for written in [false, true] {
            let found = may_retry(&all, &Method::Get, failed(reason, written));
            assert_eq!(found, expected, "{reason:?} {written}");
        }
    }
    assert!(!may_retry(&all, &Method::Get, answered(101)), "an upgraded connection");
}

#[test]
fn retries_end() {
    let timed = RetryPolicy { timeout: Some(Duration::from_secs(1)), ..POLICY };
    let base = failed(Reason::ConnectFailed, false);
    let cases = [
        (&POLICY, AttemptFacts { attempts: 2, ..base }, true),
        (&POLICY, AttemptFacts { attempts: 3, ..base }, false),
        (&POLICY, AttemptFacts { attempts: 4, ..base }, false),
        (&RetryPolicy { attempts: 1, ..POLICY }, base, false),
        (&timed, AttemptFacts { elapsed: Duration::from_millis(999), ..base }, true),
        (&timed, AttemptFacts { elapsed: Duration::from_secs(1), ..base }, false),
        (&POLICY, AttemptFacts { elapsed: Duration::MAX, ..base }, true),
        (&POLICY, AttemptFacts { body_is_kept: false, ..base }, false),
    ];
    for (policy, facts, expected) in cases {
        assert_eq!(may_retry(policy, &Method::Get, facts), expected, "{facts:?}");
    }
}
