use super::*;

fn policy() -> RetryPolicy {
    RetryPolicy {
        attempts: 3,
        body_bytes_max: 2 << 20,
        on_network_error: true,
        ..RetryPolicy::NEVER
    }
}

fn on_statuses() -> RetryPolicy {
    RetryPolicy { statuses: vec![(401, 401), (502, 504)], ..policy() }
}

fn after(outcome: AttemptOutcome) -> AttemptFacts {
    AttemptFacts { attempts: 1, elapsed: Duration::ZERO, outcome, body_is_kept: true }
}

fn failed(reason: Reason, request_bytes_written: bool) -> AttemptFacts {
    after(AttemptOutcome::Failed { reason, request_bytes_written })
}

fn answered(status: u16) -> AttemptFacts {
    after(AttemptOutcome::Answered { status, grpc_status: None })
}

fn grpc(code: u32) -> AttemptFacts {
    after(AttemptOutcome::Answered { status: 200, grpc_status: Some(code) })
}

#[test]
fn unsent_requests_are_retried_whatever_the_method() {
    for method in [Method::Get, Method::Post, Method::Patch, Method::Other("LOCK".into())] {
        for reason in [Reason::ConnectFailed, Reason::ConnectTimeout, Reason::UpstreamReset] {
            assert!(may_retry(&policy(), &method, failed(reason, false)), "{method} {reason:?}");
            // Once sent, only what may be done twice.
            let sent = may_retry(&policy(), &method, failed(reason, true));
            assert_eq!(sent, method.is_idempotent(), "{method} {reason:?}");
        }
    }
    let never = RetryPolicy { on_network_error: false, ..policy() };
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
        assert!(!may_retry(&policy(), &method, answered(503)), "{method}");
    }
}

#[test]
fn a_policy_for_the_unreached_covers_what_nobody_looked_at() {
    let policy = RetryPolicy { on_unreached: true, on_network_error: false, ..policy() };
    for method in [Method::Get, Method::Post] {
        for reason in [Reason::ConnectFailed, Reason::ConnectTimeout, Reason::UpstreamReset] {
            assert!(may_retry(&policy, &method, failed(reason, false)), "{method} {reason:?}");
            assert!(!may_retry(&policy, &method, failed(reason, true)), "{method} {reason:?}");
        }
    }
}

#[test]
fn a_policy_for_timeouts_covers_timeouts() {
    let policy = RetryPolicy { on_timeout: true, on_network_error: false, ..policy() };
    let any_method = RetryPolicy { non_idempotent: true, ..policy.clone() };
    let late = failed(Reason::UpstreamTimeout, true);
    assert!(may_retry(&policy, &Method::Get, late));
    assert!(!may_retry(&policy, &Method::Post, late));
    assert!(may_retry(&any_method, &Method::Post, late));
    assert!(!may_retry(&policy, &Method::Get, failed(Reason::UpstreamReset, true)));
    // Those of the whole request are no reason to begin anew.
    assert!(!may_retry(&policy, &Method::Get, failed(Reason::RequestTimeout, true)));
}

#[test]
fn grpc_statuses_are_retried_for_post() {
    let policy = RetryPolicy { grpc_statuses: vec![1, 14], ..policy() };
    assert!(may_retry(&policy, &Method::Post, grpc(14)));
    assert!(!may_retry(&policy, &Method::Post, grpc(13)));
    assert!(!may_retry(&policy, &Method::Post, grpc(0)));
    assert!(!may_retry(&policy, &Method::Post, answered(200)));
}

#[test]
fn a_failure_counts_as_the_status_it_would_become() {
    let only_504 = RetryPolicy { statuses: vec![(504, 504)], on_network_error: false, ..policy() };
    assert!(may_retry(&only_504, &Method::Get, failed(Reason::UpstreamTimeout, true)));
    assert!(!may_retry(&only_504, &Method::Get, failed(Reason::UpstreamReset, true)));
}

#[test]
fn what_we_answered_is_never_retried() {
    let all = RetryPolicy { statuses: vec![(100, 599)], non_idempotent: true, ..policy() };
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
    let timed = RetryPolicy { timeout: Some(Duration::from_secs(1)), ..policy() };
    let base = failed(Reason::ConnectFailed, false);
    let cases = [
        (&policy(), AttemptFacts { attempts: 2, ..base }, true),
        (&policy(), AttemptFacts { attempts: 3, ..base }, false),
        (&policy(), AttemptFacts { attempts: 4, ..base }, false),
        (&RetryPolicy { attempts: 1, ..policy() }, base, false),
        (&timed, AttemptFacts { elapsed: Duration::from_millis(999), ..base }, true),
        (&timed, AttemptFacts { elapsed: Duration::from_secs(1), ..base }, false),
        (&policy(), AttemptFacts { elapsed: Duration::MAX, ..base }, true),
        (&policy(), AttemptFacts { body_is_kept: false, ..base }, false),
    ];
    for (policy, facts, expected) in cases {
        assert_eq!(may_retry(policy, &Method::Get, facts), expected, "{facts:?}");
    }
}
